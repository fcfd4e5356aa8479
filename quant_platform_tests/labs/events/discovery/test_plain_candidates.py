"""Every number of a candidate on a market whose outcomes are written down."""

from __future__ import annotations

import math
from datetime import timedelta
from functools import cache
from statistics import NormalDist

import numpy as np
import polars as pl
import pytest
from scipy import stats

from quant_platform.labs.events.discovery import candidates
from quant_platform.labs.events.discovery.candidates import _leave_one_symbol_out, counted_tests, evaluate
from quant_platform.labs.events.discovery.cells import EventRows
from quant_platform.specification.discovery import DiscoverySpecs
from quant_platform.statistics import clustered_means
from quant_platform_tests.labs.events.discovery.plain_market import (
    TRAIN,
    A,
    B,
    Trade,
    clustered,
    events,
    market,
    mean,
    of,
)
from quant_platform_tests.labs.events.discovery.worlds import START, event_spec, specs

TEMPLATES = (
    "continuation",
    "mean_reversion",
    "reversal_or_squeeze",
    "exhaustion_reversal",
    "volatility_expansion_follow",
)
CELLS = [("ALL", "ALL"), (A, "ALL"), (B, "ALL"), ("ALL", "high"), (A, "low")]


def small(**changes: object) -> DiscoverySpecs:
    """The shipped defaults with small cells, few shuffles and no bootstrap."""
    shipped = specs([]).discovery
    errors = shipped.errors.model_dump() | {"placebo_draws": 19, "few_clusters": 3, "wild_draws": 99}
    given = {"cells": {"min_events": 4, "min_days": 4}, "errors": errors, "matched_days": 2, **changes}
    return specs([event_spec("E", horizons_bars=(3,), templates=TEMPLATES)], **given)


@cache
def evaluated(test_label: str = "raw") -> pl.DataFrame:
    return evaluate(events(), market(), small(test_label=test_label), cutoff="2024-01")


def row_of(frame: pl.DataFrame, template: str, symbol: str, state: str) -> dict:
    [row] = frame.filter(template=template, symbol=symbol, state=state).to_dicts()
    return row


def gross(trade: Trade) -> float:
    return trade.gross


def hedged(trade: Trade) -> float:
    return trade.hedged


@pytest.mark.parametrize(
    ("template", "side"), [("continuation", 1), ("mean_reversion", -1), ("reversal_or_squeeze", 1)]
)
@pytest.mark.parametrize(("symbol", "state"), CELLS)
def test_effect_error_cost_and_funding_are_those_of_the_trades(
    template: str, side: int, symbol: str, state: str
) -> None:
    found, own = row_of(evaluated(), template, symbol, state), of(TRAIN, symbol, state)
    effect, error, days = clustered(own, gross)
    cost, funding = mean(own, lambda trade: trade.cost), side * mean(own, lambda trade: trade.funding)
    assert (found["n"], found["n_days"], found["n_clusters"], found["side"]) == (len(own), days, days, side)
    assert (found["tested"], found["wild"], found["counted"]) == (True, False, template == "continuation")
    p = 2.0 * float(stats.t.sf(abs(effect / error), days - 1))
    multiple = NormalDist().inv_cdf(1.0 - 0.05 / 2.0) + NormalDist().inv_cdf(0.8)
    for name, expected in {
        "effect_bps": side * effect,
        "standard_error_bps": error,
        "t": side * effect / error,
        "p_cluster": p,
        "p_raw": p,
        "cost_bps": cost,
        "funding_bps": funding,
        "net_bps": side * effect - cost - funding,
        "stressed_bps": side * effect - 1.5 * cost - funding,
        "raw_effect_bps": side * effect,
        "raw_t": side * effect / error,
        "raw_p": p,
        "mde_bps": multiple * error,
    }.items():
        assert found[name] == pytest.approx(expected, rel=1e-8), name


@pytest.mark.parametrize(("symbol", "state"), CELLS)
@pytest.mark.parametrize(("template", "side"), [("continuation", 1), ("mean_reversion", -1)])
def test_the_hedged_return_stands_beside_the_raw_one_or_is_tested_in_its_place(
    template: str, side: int, symbol: str, state: str
) -> None:
    own = of(TRAIN, symbol, state)
    effect, error, days = clustered(own, hedged)
    p = 2.0 * float(stats.t.sf(abs(effect / error), days - 1))
    for label in ("raw", "hedged"):
        found = row_of(evaluated(label), template, symbol, state)
        shown = (found["hedged_effect_bps"], found["hedged_standard_error_bps"], found["hedged_t"], found["hedged_p"])
        assert shown == pytest.approx((side * effect, error, side * effect / error, p), rel=1e-8), label
        assert found["raw_effect_bps"] == pytest.approx(side * mean(own, gross), rel=1e-8)
        tested = (found["effect_bps"], found["standard_error_bps"], found["t"], found["p_raw"])
        if label == "hedged":
            assert tested == pytest.approx(shown)
            assert mean(own, gross) != pytest.approx(effect)
        else:
            assert tested[0] == pytest.approx(found["raw_effect_bps"])


@pytest.mark.parametrize("side", [1, -1])
def test_stability_is_of_five_blocks_of_the_training_days(side: int) -> None:
    """Twelve days in five blocks: three, two, three, two and two days."""
    found = row_of(evaluated(), "continuation" if side == 1 else "mean_reversion", "ALL", "ALL")
    blocks = [(0, 1, 2), (3, 4), (5, 6, 7), (8, 9), (10, 11)]
    totals = [side * sum(map(gross, of(days))) for days in blocks]
    assert found["block_signs"] == "".join("+" if total > 0 else "-" for total in totals)
    assert found["blocks_agreeing"] == 5
    assert found["largest_block_share"] == pytest.approx(max(map(abs, totals)) / abs(sum(totals)))

    def t(days: list[int], symbol: str = "ALL") -> float:
        effect, error, _ = clustered(of(days, symbol), gross)
        return effect / error

    without = [t([day for day in TRAIN if day not in block]) for block in blocks]
    assert found["leave_one_out_t"] == pytest.approx(min(without), rel=1e-8)
    assert found["recent_t"] == pytest.approx(t([*blocks[3], *blocks[4]]), rel=1e-8)
    assert found["leave_one_symbol_out_t"] == pytest.approx(min(t(list(TRAIN), A), t(list(TRAIN), B)), rel=1e-8)
    weights, means = [], []
    for block in blocks:
        effect, error, _ = clustered(of(block), gross)
        weights.append(error**-2)
        means.append(effect)
    centre = sum(w * m for w, m in zip(weights, means, strict=True)) / sum(weights)
    cochran = sum(w * (m - centre) ** 2 for w, m in zip(weights, means, strict=True))
    assert found["heterogeneity_p"] == pytest.approx(float(stats.chi2.sf(cochran, 4)), rel=1e-8)
    assert row_of(evaluated(), "continuation", A, "ALL")["leave_one_symbol_out_t"] is None


def test_a_row_says_what_it_is_of() -> None:
    found = row_of(evaluated(), "mean_reversion", A, "high")
    assert found["alias_group"] == f"E|forward_return|3|{A}|vol_regime|high"
    assert (found["dimension"], found["cluster"], found["entry_lag_bars"]) == ("vol_regime", "day", 1)
    assert (found["train_start"], found["train_end"]) == (START, START + timedelta(days=12))
    assert (found["cutoff"], found["family"], found["question"], found["kind"]) == (
        "2024-01", "TESTS", "direction", "hypothesis",
    )  # fmt: skip
    assert found["placebo_shifts"] == 11, "twelve days have eleven other places to begin on"


def test_a_size_without_a_sign_costs_nothing_and_is_compared_with_the_days_before() -> None:
    found = row_of(evaluated(), "volatility_expansion_follow", "ALL", "ALL")
    own = [trade for trade in of(TRAIN) if not math.isnan(trade.matched)]
    effect, error, days = clustered(own, lambda trade: trade.matched)
    assert (found["n"], found["n_days"]) == (22, days) == (22, 11)
    assert (found["effect_bps"], found["t"]) == pytest.approx((effect, effect / error), rel=1e-6)
    assert (found["cost_bps"], found["funding_bps"]) == (0.0, 0.0)
    assert found["net_bps"] == found["stressed_bps"] == found["effect_bps"]
    assert (found["p_placebo"], found["hedged_effect_bps"]) == (None, None)


@pytest.mark.parametrize(("symbol", "state"), CELLS)
def test_a_trade_with_one_side_has_that_side_and_is_asked_for_gains(symbol: str, state: str) -> None:
    """Its stop is never hit here: against the impulse until the horizon."""
    found, own = row_of(evaluated(), "exhaustion_reversal", symbol, state), of(TRAIN, symbol, state)
    effect, error, days = clustered(own, gross)
    assert (found["side"], found["counted"]) == (-1, True)
    assert (found["effect_bps"], found["t"]) == pytest.approx((-effect, -effect / error), rel=1e-8)
    assert found["funding_bps"] == pytest.approx(-mean(own, lambda trade: trade.funding), abs=1e-9)
    assert found["p_raw"] == pytest.approx(float(stats.t.sf(-effect / error, days - 1)), rel=1e-8)
    multiple = NormalDist().inv_cdf(1.0 - 0.05) + NormalDist().inv_cdf(0.8)
    assert found["mde_bps"] == pytest.approx(multiple * error, rel=1e-8)
    signs = row_of(evaluated(), "mean_reversion", symbol, state)["block_signs"]
    assert found["block_signs"] == signs


@pytest.mark.parametrize(("least", "days", "tested"), [(12, 12, True), (13, 12, False), (12, 13, False)])
def test_a_cell_is_tested_from_its_smallest_size_on(least: int, days: int, tested: bool) -> None:
    """In every cell of one symbol an event a day: twelve events on twelve days."""
    found = evaluate(events(), market(), small(cells={"min_events": least, "min_days": days}), cutoff="2024-01")
    row = row_of(found, "continuation", A, "ALL")
    assert (row["n"], row["n_days"], row["tested"], row["p_raw"] is not None) == (12, 12, tested, tested)


def test_the_sign_that_training_shows_is_taken_and_no_effect_goes_with_the_impulse() -> None:
    """All events turned round: what was earned with the impulse is earned against it."""
    turned = events().with_columns(direction=-pl.col("direction"))
    found = evaluate(turned, market(), small(), cutoff="2024-01")
    row = row_of(found, "reversal_or_squeeze", "ALL", "ALL")
    effect, error, _ = clustered(of(TRAIN), gross)
    assert row["side"] == -1
    assert (row["effect_bps"], row["t"]) == pytest.approx((effect, effect / error), rel=1e-8)
    # Who trades against the turned event holds what the event pointed to before, and pays the same funding.
    assert row["funding_bps"] == pytest.approx(mean(of(TRAIN), lambda trade: trade.funding), rel=1e-8)


@pytest.mark.parametrize(("few", "wild"), [(12, False), (13, True)])
def test_a_wild_bootstrap_decides_where_clusters_are_few(few: int, wild: bool) -> None:
    """Ninety-nine draws know no p below a hundredth."""
    errors = small().discovery.errors.model_dump() | {"few_clusters": few}
    row = row_of(evaluate(events(), market(), small(errors=errors), cutoff="2024-01"), "continuation", "ALL", "ALL")
    assert row["wild"] is wild
    assert (row["p_cluster"] >= 0.01) is wild


def test_of_three_symbols_the_one_that_helps_most_is_left_out() -> None:
    """Cell 0 is over all symbols, cell 1 over the first, cell 2 over all with a mean of zero."""
    values = np.array([30.0, 10.0, -2.0, 40.0, 8.0, 1.0, 35.0, 15.0, -3.0, 5.0, -5.0])
    symbols, days = np.array([0, 1, 2] * 3 + [0, 1]), np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 1])
    members = np.array([[0] * 9 + [1] * 3 + [2] * 2, [*range(9), 0, 3, 6, 9, 10]])
    names = ("ALL", "AAAUSDT", "ALL"), ("ALL",) * 3, ("ALL", "ALL", "none")
    rows = EventRows(symbols, 300 * days, np.ones_like(days), days, *names, members)
    whole = clustered_means(values, days, rows.index(days))
    found = _leave_one_symbol_out(rows, values, days, whole)

    def t(kept: list[int]) -> float:
        own = [sum(values[3 * day + one] for one in kept) for day in range(3)]
        centre = sum(own) / (3 * len(kept))
        error = (3 / 2 * sum((total - centre * len(kept)) ** 2 for total in own)) ** 0.5 / (3 * len(kept))
        return float(centre / error)

    assert found[0] == pytest.approx(min(t([1, 2]), t([0, 2]), t([0, 1])))
    assert np.isnan(found[1])
    turned = clustered_means(-values, days, rows.index(days))
    assert _leave_one_symbol_out(rows, -values, days, turned)[0] == pytest.approx(found[0])
    assert not found[2] > 0.0, "without a direction nothing is in it"


@pytest.mark.parametrize(("above", "cluster"), [(3, "day"), (2, "week")])
def test_horizons_above_a_day_are_clustered_by_weeks_and_a_week_lies_in_the_block_of_its_first_day(
    above: int, cluster: str
) -> None:
    """The panel begins on a Monday: twelve days are two weeks, whose first days 0 and 7 lie in blocks 0 and 2 of 5."""
    errors = small().discovery.errors.model_dump() | {"week_above_bars": above}
    row = row_of(evaluate(events(), market(), small(errors=errors), cutoff="2024-01"), "continuation", "ALL", "ALL")
    assert (row["cluster"], row["n_days"]) == (cluster, 12)
    if cluster == "day":
        assert (row["n_clusters"], row["block_signs"]) == (12, "+++++")
        return
    own = of(TRAIN)
    centre = mean(own, gross)
    sums = [sum(t.gross - centre for t in own if (t.day < 7) is first) for first in (True, False)]
    error = (2 * sum(x * x for x in sums)) ** 0.5 / len(own)
    assert (row["n"], row["n_clusters"], row["block_signs"], row["blocks_agreeing"]) == (24, 2, "+0+00", 2)
    assert row["standard_error_bps"] == pytest.approx(error, rel=1e-8)
    # One degree of freedom: Student's is Cauchy's.
    assert row["raw_p"] == pytest.approx(1.0 - 2.0 * math.atan(centre / error) / math.pi, rel=1e-8)
    assert row["wild"], "two clusters are few"
    weeks = [sum(t.gross for t in own if (t.day < 7) is first) for first in (True, False)]
    assert row["largest_block_share"] == pytest.approx(max(weeks) / sum(weeks))


def test_an_effect_of_nothing_goes_with_the_impulse_and_has_no_sign_in_any_block() -> None:
    flat = market()
    for name in ("open", "high", "low", "close"):
        flat.columns[name][:] = 100.0
    row = row_of(evaluate(events(), flat, small(), cutoff="2024-01"), "reversal_or_squeeze", "ALL", "ALL")
    assert (row["side"], row["effect_bps"], row["block_signs"]) == (1, 0.0, "00000")
    assert row["net_bps"] == pytest.approx(-mean(of(TRAIN), lambda t: t.cost) - row["funding_bps"])


def test_a_market_of_one_symbol_has_no_other_to_leave_out() -> None:
    alone = market()
    one = type(alone)((A,), START, {name: values[:1] for name, values in alone.columns.items()})
    found = evaluate(events().filter(symbol=A), one, small(), cutoff="2024-01")
    row = row_of(found, "continuation", "ALL", "ALL")
    assert (row["n"], row["leave_one_symbol_out_t"], row["hedged_effect_bps"]) == (12, None, None)


def test_templates_are_tests_in_their_order_and_the_first_of_each_counts() -> None:
    event = event_spec(
        "E", templates=("mean_reversion", "continuation", "overshoot_repair"),
        filters=("tail_risk_avoid", "only_if_trend"),
    )  # fmt: skip
    found = candidates.tests_of(event, small().templates)
    assert list(found.values()) == [["mean_reversion", "continuation"], ["overshoot_repair"], ["tail_risk_avoid"]]
    assert next(iter(found)) == "forward_return"
    none = event.model_copy(update={"templates": None, "filters": None})
    assert candidates.tests_of(none, small().templates) == {}


def test_tests_of_a_question_are_its_counted_rows_that_are_large_enough() -> None:
    rows = evaluated()
    assert set(counted_tests(rows)["template"]) == {"continuation", "exhaustion_reversal"}
    assert set(counted_tests(rows, "risk")["template"]) == {"volatility_expansion_follow"}
    both = counted_tests(rows, ["risk", "direction"])
    assert both.height == counted_tests(rows).height + counted_tests(rows, "risk").height
    assert both["tested"].all()


# One without a period, or two shifts would be equally large but for rounding; and the way that each day of A went, so
# that no shift earns as much.
APERIODIC = (1, 1, -1, 1, 1, 1, -1, 1, -1, -1, 1, -1)
FORESEEN = (-1, 1, 1, 1, 1, 1, -1, 1, 1, -1, 1, 1)


@pytest.mark.parametrize("directions", [APERIODIC, FORESEEN], ids=["blind", "foreseen"])
@pytest.mark.parametrize("state", ["ALL", "low", "high"])
@pytest.mark.parametrize(("template", "side"), [("continuation", 1), ("exhaustion_reversal", -1)])
def test_the_placebo_moves_all_events_by_whole_days_round_the_end_of_training(
    template: str, side: int, state: str, directions: tuple[int, ...]
) -> None:
    """Events of A stand on one clock bar: k days later each meets the move of that day, in its own direction."""
    own = of(TRAIN, A, state)
    moves = {trade.day: trade.direction * trade.gross for trade in of(TRAIN, A)}

    def t(shift: int) -> float:
        values = [side * side * directions[trade.day] * moves[(trade.day + shift) % 12] for trade in own]
        centre = sum(values) / len(values)
        squares = sum((value - centre) ** 2 for value in values)
        return centre / (len(values) / (len(values) - 1) * squares) ** 0.5 * len(values)

    shifted, observed, freedom = [t(shift) for shift in range(1, 12)], t(0), len(own) - 1
    if side == 1:
        large = sum(abs(one) >= abs(observed) for one in shifted)
        counted = shifted
        tail = 2.0 * float(stats.t.sf(abs(observed) / scale_of(counted, freedom), freedom))
    else:
        # A test for gains alone asks how many shifts earn as much, and measures the spread of those that earn.
        large = sum(one >= observed for one in shifted)
        counted = [one for one in shifted if one > 0.0]
        tail = float(stats.t.sf(observed / scale_of(counted, freedom), freedom))
    turned = events().with_columns(
        direction=pl.col("bar")
        .dt.ordinal_day()
        .replace_strict({k + 1: d for k, d in enumerate(side * d for d in directions)}, default=1)
    )
    found = row_of(evaluate(turned, market(), small(), cutoff="2024-01"), template, A, state)
    assert (found["placebo_shifts"], found["placebo_as_large"]) == (11, large)
    assert found["p_placebo"] == pytest.approx((1.0 + large) / 12.0 if large else min(tail, 1.0 / 12.0), rel=1e-8)


def scale_of(shifted: list[float], freedom: int) -> float:
    """Root mean square over that of Student's t, whose variance settles from five degrees of freedom on."""
    squares = sum(one * one for one in shifted) / len(shifted)
    return max(1.0, (squares * (1.0 - 2.0 / max(freedom, 5))) ** 0.5)
