"""The threshold sweep against cells and choices by hand."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.labs.operations.evidence import TradeLog, figures, independent
from quant_platform.labs.operations.sweep import (
    NEVER,
    Candidates,
    Cell,
    admissible,
    choose,
    grid,
    sweep_trials,
    threshold_sweep,
    walk_forward,
)
from quant_platform_tests.labs.operations.builders import EVIDENCE, ROUTING

START = date(2020, 1, 6)
RULES = EVIDENCE.sweep


def log(r: list[float], *, every: int = 7, held: int = 3) -> TradeLog:
    signal = np.arange(len(r), dtype=np.int64) * every
    return TradeLog(signal, signal + held, np.array(r))


def test_the_grid_is_every_combination_once() -> None:
    cells = grid(RULES)
    assert len(cells) == len(set(cells)) == 9
    assert cells[0] == Cell(0.5, 0.001, 1.0)
    assert cells[-1] == Cell(0.6, 0.003, 1.0)


def test_independent_trades_do_not_overlap() -> None:
    signal = np.array([0, 1, 5, 6, 20])
    known = np.array([5, 3, 9, 30, 22])
    # 0-5, then 5-9, then 20-22; the trade from 1 and that from 6 began inside others.
    assert independent(signal, known) == 3


def test_figures_by_hand() -> None:
    found = figures(log([2.0, -1.0, -1.0, 3.0, -1.0, 1.0]))
    assert (found.n, found.n_independent, found.total_r) == (6, 6, 3.0)
    assert found.profit_factor == pytest.approx(6 / 3)
    assert found.win_rate == 0.5
    assert found.max_drawdown_r == 2.0
    # Mean 0.5, standard deviation sqrt((17 - 6 x 0.25) / 5), t of five degrees 2.5706.
    half = 2.5706 * (15.5 / 5) ** 0.5 / 6**0.5
    assert (found.mean_low, found.mean_high) == pytest.approx((0.5 - half, 0.5 + half), rel=1e-4)


def test_the_best_admissible_cell_is_chosen() -> None:
    few, losing = np.array([5.0] * 9), np.array([3.0, *[-1.0] * 11])
    steady, better = np.array([1.0, -0.5] * 6), np.array([1.5, -0.5] * 6)
    assert choose([few, losing, steady, better, better], RULES) == 3
    assert choose([few, losing], RULES) is None
    # Twelve wins without a loss are profit factor enough.
    assert choose([np.ones(12)], RULES) == 0


@pytest.mark.parametrize(
    ("r", "allowed"),
    [
        ([1.0] * 10, True),
        ([1.0] * 9, False),  # nine trades, ten are needed
        ([1.1, -1.0] * 5, True),  # profit factor 1.1 and five of ten, as asked
        ([1.09, -1.0] * 5, False),
        ([3.3, -3.0] * 5, True),  # 16.5 over 15 is 1.1, and 1.1 times 15 more than 16.5 in floating point
        ([1.0] * 4 + [-0.1] * 6, False),  # four of ten won
        ([0.0] * 10, False),  # nothing was earned
        ([-1.0] * 10, False),
    ],
)
def test_what_may_be_chosen_at_the_borders(r: list[float], allowed: bool) -> None:
    assert admissible(np.array(r), RULES) is allowed


def test_a_win_rate_equal_to_what_is_asked_is_enough() -> None:
    # 14 of 25 are 0.56, and 0.56 times 25 is more than 14 in floating point.
    asked = RULES.model_copy(update={"minimum_win_rate": 0.56})
    assert 0.56 * 25 > 14
    assert admissible(np.array([1.0] * 14 + [-0.1] * 11), asked)
    assert not admissible(np.array([1.0] * 13 + [-0.1] * 12), asked)


def test_of_cells_that_earned_the_same_the_first_is_chosen() -> None:
    same = np.array([1.0, 1.0, -0.5] * 4)
    assert choose([same[:9], same, same.copy(), same], RULES) == 1


def one_cell_world(before: list[float], after: list[float]) -> Candidates:
    trades = log(before + after)
    n = len(before) + len(after)
    return Candidates(trades, np.full(n, 0.7), np.full(n, 0.05), np.full(n, 0.02))


def test_the_rule_is_paid_for_what_came_after_its_choice() -> None:
    # A good year of weekly trades, then a losing half year: the rule chooses once and loses, then knows better.
    found = one_cell_world([1.0, -0.5] * 26, [-1.0] * 27)
    until = int(found.trades.known[-1])
    result = walk_forward(found, grid(RULES), RULES, 365, until)
    # The step from day 365 holds thirteen signals. That from day 456 looks back on 19.5 won and 22.75 lost.
    assert (result.steps, result.n) == (2, 13)
    assert result.total_r == pytest.approx(-13.0)
    assert result.years == pytest.approx(2 * 91 / 365)


def test_a_step_with_an_unknown_outcome_is_not_judged() -> None:
    found = one_cell_world([1.0, -0.5] * 26, [-1.0] * 27)
    known = found.trades.known.copy()
    known[60] = NEVER
    open_one = Candidates(
        TradeLog(found.trades.signal, known, found.trades.r), found.chance, found.risk, found.expected
    )
    assert walk_forward(open_one, grid(RULES), RULES, 365, int(found.trades.known[-1])).steps == 0


def test_what_came_later_changes_no_choice() -> None:
    rng = np.random.default_rng(8)
    r = rng.standard_normal(80).tolist()
    n = len(r)
    chance = rng.uniform(0.45, 0.7, n)

    def world(outcomes: list[float]) -> Candidates:
        return Candidates(log(outcomes), chance, np.full(n, 0.05), np.full(n, 0.02))

    first = walk_forward(world(r), grid(RULES), RULES, 365, 365 + 91 + 6)
    changed = walk_forward(world(r[:66] + [9.0] * 14), grid(RULES), RULES, 365, 365 + 91 + 6)
    assert first == changed


def candidates(ticker: str, count: int, r: float, confidence: float) -> list[dict[str, Any]]:
    rows = []
    for k in range(count):
        signal = START + timedelta(days=7 * k)
        rows.append(
            {
                "ticker": ticker,
                "date_sig": signal,
                "direction": "long",
                "rr": 2.0,
                "confidence": confidence,
                "expected_value_r": 0.0,
                "stop_distance_bps": 500.0,
                "outcome": "target",
                "realised_r": r if k % 2 else -0.5,
                "resolved_at": signal + timedelta(days=4),
            }
        )
    return rows


def test_a_sweep_counts_what_each_cell_passes_and_shows_both_figures() -> None:
    rows = candidates("AAA", 120, 1.0, 57.0) + candidates("BBB", 120, 0.4, 62.0)
    until = START + timedelta(days=7 * 119 + 4)
    found = threshold_sweep(
        ["AAA"], pl.DataFrame(rows), {"AAA": "US_EQUITY", "BBB": "FX"}, EVIDENCE, ROUTING,
        seen_until=until, closed_overall=3,
    )  # fmt: skip
    assert found["ticker"].unique().to_list() == ["AAA"]
    assert found.height == 9
    by_cell = {(row["min_confidence"], row["min_expected_return"]): row for row in found.iter_rows(named=True)}
    assert by_cell[0.6, 0.001]["n"] == 0
    assert by_cell[0.6, 0.001]["mean_r"] is None
    passed = by_cell[0.5, 0.001]
    # Signals of the last 365 days: weeks whose Monday lies on or after until - 364 days, 52 of them.
    assert (passed["n"], passed["n_independent"]) == (52, 52)
    assert passed["annual_pnl"] == pytest.approx(0.005 * (26 * 1.0 - 26 * 0.5))
    assert passed["profit_factor"] == pytest.approx(2.0)
    assert passed["chosen"]
    assert found["chosen"].sum() == 1
    # Every quarter of thirteen weeks holds as many wins as losses or one more.
    assert passed["rule_steps"] == 5
    assert passed["rule_pnl"] == pytest.approx(0.005 * (33 * 1.0 - 32 * 0.5) / (5 * 91 / 365), rel=0.06)
    # Cells one step away: (0.55, 0.001) and (0.5, 0.002), which pass the same trades.
    assert passed["neighbour_pnl"] == pytest.approx(passed["annual_pnl"])
    assert passed["shrunk_r"] < passed["mean_r"]


def test_the_ledger_counts_a_cell_once_per_state_of_its_data() -> None:
    rows = candidates("AAA", 60, 1.0, 57.0)

    def swept(until: date) -> pl.DataFrame:
        return threshold_sweep(["AAA"], pl.DataFrame(rows), {"AAA": "US_EQUITY"}, EVIDENCE, ROUTING,
                               seen_until=until, closed_overall=0)  # fmt: skip

    first = sweep_trials(swept(date(2021, 1, 8)), "h", None)
    again = sweep_trials(swept(date(2021, 1, 8)), "h", first)
    later = sweep_trials(swept(date(2021, 1, 15)), "h", again)
    assert (first.height, again.height, later.height) == (9, 9, 18)
    assert sweep_trials(swept(date(2021, 1, 8)), "other", first).height == 18
