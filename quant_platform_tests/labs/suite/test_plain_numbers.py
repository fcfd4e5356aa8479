"""Costs, trailing windows, ICs, fractiles and slices on a handful of rows, with what each must be written beside it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import NotAvailable
from quant_platform.labs.suite.backtest import Workbench, available, run_variants
from quant_platform.labs.suite.book import Targets, overlap, run_book, target_weights
from quant_platform.labs.suite.capacity import capacity
from quant_platform.labs.suite.costs import CostRates, cost_rates
from quant_platform.labs.suite.derived import (
    Grid,
    endings,
    mean_of,
    rolling,
    standardise,
    trailing_beta,
    trailing_momentum,
)
from quant_platform.labs.suite.evidence import (
    decay_half_life,
    fractile_groups,
    fractile_table,
    ic_decay,
    ic_table,
    rank_autocorrelation,
)
from quant_platform.labs.suite.kernels import demean_rows, forward_return_rows, group_mean_rows
from quant_platform.labs.suite.panel import Panel, dense_signal
from quant_platform.labs.suite.ranking import rank_panel
from quant_platform.labs.suite.summary import market_regimes, summarise_book
from quant_platform.labs.suite.trials import _mean_correlation, select
from quant_platform.labs.suite.uniqueness import correlations
from quant_platform.specification.suite import BacktestConfig, load_suite
from quant_platform_tests.labs.suite.worlds import make_panel, slow_signal

SPECS = load_suite(Path("specs"))
NAN = math.nan


def same(*values: float) -> Any:
    return pytest.approx(list(values), nan_ok=True)


def small(names: int, rows: int, **changes: Any) -> Panel:
    return replace(make_panel(1, names=names, sessions=rows, industries=1), **changes)


def test_a_half_spread_falls_with_the_value_that_was_traded_before() -> None:
    """2.5 bps at 20 million a day, by the power 0.35 of the value; at least 0.5 and at most 50; a fee of 0.5 on top."""
    adv = np.array([[2e7, 2e7 / 1024, 1e-9], [2e12, NAN, 2e7], [1.0, 1.0, 1.0]])
    rates = cost_rates("spread", small(3, 3, adv=adv), SPECS.costs)
    wide = 2.5 * 1024**0.35
    expected = [[50.0, 50.0, 50.0], [2.5, wide, 50.0], [0.5, 50.0, 2.5]]
    np.testing.assert_allclose(rates.linear, 1e-4 * (np.array(expected) + 0.5), rtol=1e-12)
    assert rates.impact.tolist() == [[0.0]]
    assert rates.holding is None
    assert rates.end_loss == pytest.approx(0.3), "of what is gone unsaid 0.7 is recovered"
    naive = cost_rates("naive", small(3, 3, adv=adv), SPECS.costs)
    assert (naive.linear.tolist(), naive.impact.tolist()) == ([[pytest.approx(5e-4)]], [[0.0]])
    assert naive.end_loss == pytest.approx(0.3)


def test_an_unknown_impact_is_the_worst_that_was_seen_so_far() -> None:
    """Volatility over the root of the value of the row before: 0.02 / 2, 0.02 / 4; then 0.02 / 1; then 0.02 / 8.

    Before anything was seen it is the worst of the panel.
    """
    adv = np.array([[4.0, 16.0], [NAN, 1.0], [64.0, NAN], [9.0, 9.0]])
    volatility = np.full((4, 2), 0.02)
    rates = cost_rates("impact", small(2, 4, adv=adv, volatility=volatility), SPECS.costs)
    # The spreads of the impact model are those of the spread model, computed or taken over.
    panel = small(2, 4, adv=adv, volatility=volatility)
    spread = cost_rates("spread", panel, SPECS.costs)
    taken = cost_rates("impact", panel, SPECS.costs, of_spread=spread)
    assert taken.linear is spread.linear
    np.testing.assert_array_equal(taken.linear, rates.linear)
    np.testing.assert_array_equal(taken.impact, rates.impact)
    np.testing.assert_allclose(rates.impact, [[0.02, 0.02], [0.01, 0.005], [0.02, 0.02], [0.0025, 0.02]], rtol=1e-12)
    twice = SPECS.costs.model_copy(update={"impact_coefficient": 2.0})
    doubled = cost_rates("impact", small(2, 4, adv=adv, volatility=volatility), twice)
    np.testing.assert_allclose(doubled.impact, 2.0 * rates.impact, rtol=1e-12)
    with pytest.raises(NotAvailable, match="needs traded values"):
        cost_rates("impact", small(2, 4, adv=np.full((4, 2), NAN)), SPECS.costs)


def test_hours_of_unknown_funding_cost_three_bps_each_eight() -> None:
    hours = np.array([[NAN, 8.0], [4.0, 0.0]])
    rates = cost_rates("naive", small(2, 2, funding_unknown_hours=hours), SPECS.costs)
    np.testing.assert_allclose(rates.holding, [[0.0, 3e-4], [1.5e-4, 0.0]], rtol=1e-12)


def test_what_is_held_over_unknown_hours_is_charged_to_long_and_short() -> None:
    """Long 1 of A and short 1 of B from row 0 on; over row 1 both cost 1 %, over row 2 A alone 2 %."""
    nothing = np.zeros((3, 2))
    panel = small(2, 3, returns=nothing, cap_bucket=np.array([[1, 2]] * 3), industry=np.array([[0, -1]] * 3))
    holding = np.array([[9.0, 9.0], [0.01, 0.01], [0.02, 0.0]])
    made = Targets(np.array([[1.0, -1.0], [0.0, 0.0], [0.0, 0.0]]), np.array([True, False, False]))
    rates = CostRates(np.zeros((1, 1)), np.zeros((1, 1)), holding)
    book = run_book(made, panel, rates, lag=0, capital=4.0, max_age=9)
    assert book.linear_cost.tolist() == same(0.0, 0.02, 0.02)
    assert book.unfunded.tolist() == [0, 2, 1]
    assert book.by_cap[:, :, 1].tolist() == [[0.0] * 4, same(0.0, 0.01, 0.01, 0.0), same(0.0, 0.02, 0.0, 0.0)]
    # The industry of B is not known, which is the first of the buckets.
    assert book.by_industry[:, :, 1].tolist() == [[0.0, 0.0], same(0.01, 0.01), same(0.0, 0.02)]
    assert book.held is None, "positions are kept for the charge, not for the caller"
    assert (book.long.tolist(), book.short.tolist()) == ([1.0] * 3, [1.0] * 3)
    assert (book.names_long.tolist(), book.names_short.tolist()) == ([1] * 3, [1] * 3)


def test_impact_grows_with_the_root_of_capital() -> None:
    """One unit traded at an impact of 1 % a unit of capital 1: at 4 it is 2 %, at 9 it is 3 %; a linear cost of 1 %."""
    panel = small(2, 2, returns=np.array([[0.0, 0.0], [0.5, 0.0]]))
    made = Targets(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([True, False]))
    book = run_book(made, panel, CostRates(np.full((1, 1), 0.01), np.full((1, 1), 0.01)), lag=0, capital=4.0, max_age=9)
    assert book.impact_cost.tolist() == same(0.02, 0.0)
    assert book.cost.tolist() == same(0.03, 0.0)
    assert book.net.tolist() == same(-0.03, 0.5)
    assert book.net_at(9.0).tolist() == same(-0.04, 0.5)
    assert book.net_of(book.by_cap).sum(axis=1).tolist() == same(-0.03, 0.5)
    assert (book.first, book.capital) == (0, 4.0)
    idle = run_book(Targets(0.0 * made.weights, made.formed), panel, CostRates(*[np.zeros((1, 1))] * 2), lag=0,
                    capital=1.0, max_age=9)  # fmt: skip
    assert idle.first == 2, "a book that never trades begins after the end"


def test_a_book_is_closed_when_its_last_portfolio_is_too_old() -> None:
    """Formed on row 0, kept for two rows and sold on the third; what has no price then stays and is counted."""
    priced = np.ones((6, 2), dtype=np.bool_)
    priced[3, 1] = False
    panel = small(2, 6, returns=np.zeros((6, 2)), priced=priced)
    made = Targets(np.vstack([[1.0, -1.0], np.zeros((5, 2))]), np.array([True] + [False] * 5))
    book = run_book(made, panel, CostRates(*[np.zeros((1, 1))] * 2), lag=0, capital=1.0, max_age=2)
    assert book.long.tolist() == [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    assert book.short.tolist() == [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    assert book.untradable.tolist() == [0, 0, 0, 1, 0, 0]
    assert book.traded.tolist() == [2.0, 0.0, 0.0, 1.0, 1.0, 0.0]
    late = run_book(made, panel, CostRates(*[np.zeros((1, 1))] * 2), lag=2, capital=1.0, max_age=9)
    assert late.long.tolist() == [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]


def test_portfolios_that_overlap_are_equal_parts_of_the_last_that_were_formed() -> None:
    weights = np.array([[1.0], [0.0], [3.0], [5.0], [7.0]])
    formed = np.array([True, False, True, True, True])
    assert overlap(Targets(weights, formed), 2).weights[:, 0].tolist() == same(0.5, 0.0, 2.0, 4.0, 6.0)
    assert overlap(Targets(weights, formed), 1).weights is weights


def test_weights_of_a_leg_are_by_size_signal_or_risk() -> None:
    """Short the lowest two of six and long the highest two; the median of 1, 2, 3, 4, 6 and 9 is 3.5."""
    values = np.array([[1.0, 2.0, 3.0, 4.0, 6.0, 9.0]])
    panel = small(
        6, 1, market_cap=np.array([[1.0, 3.0, 9.0, 9.0, 6.0, 2.0]]), universe=np.ones((1, 6), dtype=np.bool_),
        volatility=np.array([[0.1, 0.3, 1.0, 1.0, 0.0, 0.2]]),
    )  # fmt: skip

    def made(weight: Any, mincos: int = 1) -> Any:
        options = {"weight": weight, "fractile": (33.0, 67.0), "mincos": mincos}
        return target_weights(rank_panel(values), values, panel, **options)

    assert made("equal").weights[0].tolist() == same(-0.5, -0.5, 0.0, 0.0, 0.5, 0.5)
    assert made("value").weights[0].tolist() == same(-0.25, -0.75, 0.0, 0.0, 0.75, 0.25)
    # Distances of 2.5 and 1.5, and of 2.5 and 5.5.
    assert made("signal").weights[0].tolist() == same(-0.625, -0.375, 0.0, 0.0, 2.5 / 8.0, 5.5 / 8.0)
    # Ten and ten thirds; of no volatility the inverse is not known, and the name is left out.
    assert made("risk").weights[0].tolist() == same(-0.75, -0.25, 0.0, 0.0, 0.0, 1.0)
    assert (made("risk", 1).formed.tolist(), made("risk", 2).formed.tolist()) == ([True], [False])
    with pytest.raises(NotAvailable, match="no market caps"):
        target_weights(
            rank_panel(values), values, replace(panel, market_cap=None), weight="value", fractile=(33.0, 67.0), mincos=1
        )


def test_exposures_are_standardised_and_held_at_three_deviations() -> None:
    """Of 1, 2, 3 and 6 the mean is 3 and the deviation the root of 14/4; nine ones and a hundred: 99/11 to 9 x 99/11.

    With ten names one alone can be three deviations away: (100 - 10.9) / 29.7.
    """
    inside = np.ones((1, 4), dtype=np.bool_)
    found = standardise(np.array([[1.0, 2.0, 3.0, 6.0]]), inside)
    sd = math.sqrt(14.0 / 4.0)
    assert found[0].tolist() == same(-2.0 / sd, -1.0 / sd, 0.0, 3.0 / sd)
    one_far = np.array([[0.0] * 16 + [100.0]])
    assert standardise(one_far, np.ones((1, 17), dtype=np.bool_))[0, -1] == 3.0, "four without the bound"
    assert standardise(-one_far, np.ones((1, 17), dtype=np.bool_))[0, -1] == -3.0
    holed = standardise(np.array([[1.0, NAN, 3.0, 99.0]]), np.array([[True, True, True, False]]))
    assert holed[0].tolist() == same(-1.0, NAN, 1.0, NAN)
    assert standardise(np.array([[2.0, 2.0]]), np.ones((1, 2), dtype=np.bool_))[0].tolist() == [0.0, 0.0]
    assert np.isnan(standardise(np.array([[NAN, NAN]]), np.ones((1, 2), dtype=np.bool_))).all()


def grid() -> Grid:
    return Grid(np.arange("2024-01-01", "2024-01-05", dtype="datetime64[D]"), ("A", "B"))


def test_lines_lie_on_their_session_and_name_or_nowhere() -> None:
    frame = pl.DataFrame(
        {
            "ticker": ["B", "A", "Z", "A", "A"],
            "session": ["2024-01-02", "2024-01-04", "2024-01-02", "2023-12-31", "2024-01-09"],
            "x": [2.0, None, 9.0, 9.0, 9.0],
        }
    ).with_columns(pl.col("session").str.to_date())
    places = grid().places(frame)
    assert places.inside == 2
    assert np.argwhere(places.flag(np.ones(5, dtype=np.bool_))).tolist() == [[1, 1], [3, 0]]
    spread = grid().spread(frame, "x")
    assert spread[1, 1] == 2.0
    assert np.isnan(spread).sum() == 7


def test_a_name_is_gone_with_its_delisting_or_ten_sessions_before_the_end() -> None:
    """Thirty rows: prices up to row 18 end eleven before the last, up to row 19 ten; one on the last row is none."""
    names = ("LONG_GONE", "JUST_THERE", "STATED", "AT_THE_END", "UNSAID", "NEVER", "WHOLE")
    final = {"LONG_GONE": 18, "JUST_THERE": 19, "STATED": 28, "AT_THE_END": 29, "UNSAID": 20, "WHOLE": 29}
    priced = np.zeros((30, 7), dtype=np.bool_)
    for k, name in enumerate(names):
        priced[: final.get(name, -1) + 1, k] = True
    actions = pl.DataFrame(
        {
            "ticker": ["STATED", "AT_THE_END", "UNSAID", "WHOLE"],
            "kind": ["delisting", "delisting", "delisting", "split"],
            "value": [-0.3, -0.5, None, 2.0],
        }
    )
    days = np.arange("2024-01-01", "2024-01-31", dtype="datetime64[D]")
    last, payout = endings(actions, priced, Grid(days, names))
    assert last.tolist() == [18, 30, 28, 30, 20, 30, 30]
    assert payout.tolist() == same(NAN, NAN, -0.3, -0.5, NAN, NAN, NAN)


def test_windows_need_half_of_their_rows_and_two_at_least() -> None:
    values = np.array([[1.0], [NAN], [3.0], [8.0], [NAN], [NAN]])
    assert rolling(values, 4, "mean")[:, 0].tolist() == same(NAN, NAN, 2.0, 4.0, 5.5, 5.5)
    assert rolling(values, 4, "std")[:, 0].tolist() == same(
        NAN, NAN, math.sqrt(2.0), math.sqrt(13.0), math.sqrt(12.5), math.sqrt(12.5)
    )
    assert rolling(values, 2, "mean")[:, 0].tolist() == same(NAN, NAN, NAN, 5.5, NAN, NAN)
    assert rolling(values, 6, "mean")[:, 0].tolist() == same(NAN, NAN, NAN, 4.0, 4.0, 4.0)
    assert mean_of(np.array([[1.0, NAN, 4.0], [NAN, NAN, NAN]])).tolist() == same(2.5, NAN)


def test_a_beta_is_the_covariance_over_the_variance_of_the_rows_that_both_have() -> None:
    """The market 1, 3, 5 (mean 3) and a name 2, 4, 9 (mean 5): (6 + 0 + 8) / 8 = 1.75; without a move there is none."""
    market = np.array([1.0, 3.0, 5.0, NAN, 5.0])
    returns = np.array([[2.0], [4.0], [9.0], [7.0], [NAN]])
    found = trailing_beta(returns, market, 4)
    # Row 1: deviations of 1 either way, so that the slope is 1.
    assert found[:, 0].tolist() == same(NAN, 1.0, 1.75, 1.75, (9.0 - 4.0) / 2.0)
    assert np.isnan(trailing_beta(returns, np.full(5, 2.0), 4)).all()


def test_momentum_is_from_the_start_to_the_skip_and_needs_a_price_today() -> None:
    """From four rows ago to one row ago."""
    carried = np.array([[2.0], [4.0], [6.0], [9.0], [5.0], [8.0]])
    priced = np.array([[True]] * 5 + [[False]])
    assert trailing_momentum(carried, priced, 4, 1)[:, 0].tolist() == same(NAN, NAN, NAN, NAN, 3.5, NAN)
    priced[5] = True
    assert trailing_momentum(carried, priced, 4, 1)[5, 0] == pytest.approx(5.0 / 4.0 - 1.0)
    assert np.isnan(trailing_momentum(carried, priced, 6, 1)).all()


# Ranks of five names over six rows; the returns are those of the row after.
SCORES = np.array(
    [
        [1.0, 2.0, 3.0, 4.0, 5.0],
        [5.0, 4.0, 3.0, 2.0, 1.0],
        [1.0, 2.0, 3.0, 4.0, 5.0],
        [2.0, 1.0, 3.0, 5.0, 4.0],
        [NAN, NAN, NAN, NAN, 4.0],
        [1.0, 2.0, 3.0, 4.0, 5.0],
    ]
)
FOLLOWING = np.array(
    [
        [1.0, 2.0, 3.0, 4.0, 5.0],
        [1.0, 2.0, 3.0, 4.0, 5.0],
        [2.0, 1.0, 3.0, 4.0, 5.0],
        [1.0, 2.0, 3.0, 4.0, 5.0],
        [1.0, 2.0, 3.0, 4.0, 5.0],
        [5.0, 4.0, 3.0, 2.0, 1.0],
    ]
)
# One less six times the squared differences of ranks over 120: 1, -1, 1 - 12/120, 1 - 24/120, nothing, -1.
BY_ROW = [1.0, -1.0, 0.9, 0.8, NAN, -1.0]
NARROW = SPECS.suite.model_copy(update={"min_names": 3, "fractiles": 2, "ic_decay_lags": 1, "bootstrap_draws": 99})


def test_ics_of_a_horizon_and_their_spread() -> None:
    ranked, forward = rank_panel(SCORES), rank_panel(FOLLOWING)
    table, first = ic_table(ranked, SimpleNamespace(shape=SCORES.shape), {1: forward, 5: forward}, NARROW, lag=0)  # type: ignore[arg-type]
    assert first.tolist() == same(*BY_ROW)
    assert table["horizon_sessions"].to_list() == [1, 5]
    row = table.row(0, named=True)
    known = np.array([1.0, -1.0, 0.9, 0.8, -1.0])
    assert (row["n"], row["n_independent"]) == (5, 5)
    assert (row["mean"], row["sd"]) == (pytest.approx(0.14), pytest.approx(known.std(ddof=1)))
    assert row["icir"] == pytest.approx(0.14 / known.std(ddof=1))
    assert row["t_nonoverlapping"] == pytest.approx(0.14 / (known.std(ddof=1) / math.sqrt(5.0)))
    # A row later: row 0 with the returns of row 1 and so on; the last has none.
    _, lagged = ic_table(ranked, SimpleNamespace(shape=SCORES.shape), {1: forward}, NARROW, lag=1)  # type: ignore[arg-type]
    assert lagged.tolist() == same(1.0, -0.9, 1.0, 0.8, NAN, NAN)


def test_the_decay_of_an_ic_is_its_mean_and_error_by_lag() -> None:
    found = ic_decay(rank_panel(SCORES), rank_panel(FOLLOWING), NARROW)
    here, later = np.array([1.0, -1.0, 0.9, 0.8, -1.0]), np.array([1.0, -0.9, 1.0, 0.8])
    assert found.rows() == [
        (0, pytest.approx(0.14), pytest.approx(here.std(ddof=1) / math.sqrt(5.0)), 5),
        (1, pytest.approx(0.475), pytest.approx(later.std(ddof=1) / 2.0), 4),
    ]
    lonely = ic_decay(rank_panel(SCORES[:1]), rank_panel(FOLLOWING[:1]), NARROW)
    assert lonely.rows() == [
        (0, 1.0, pytest.approx(NAN, nan_ok=True), 1),
        (1, *[pytest.approx(NAN, nan_ok=True)] * 2, 0),
    ]


def test_ranks_are_compared_with_those_of_some_rows_later() -> None:
    """Rows 0 to 3: turned round twice, then 1 - 24/120; rows 4 and 5 have no pair of three names."""
    found = rank_autocorrelation(rank_panel(SCORES), (1, 2, 9), NARROW)
    assert found["lag"].to_list() == [1, 2, 9]
    # Two rows later: 1, and -0.8 of the turned row; row 2 meets row 4, row 3 row 5, which is 0.8 again.
    assert found["mean"].to_list() == same((-1.0 - 1.0 + 0.8) / 3.0, (1.0 - 0.8 + 0.8) / 3.0, NAN)


@pytest.mark.parametrize(
    ("error", "known"),
    # The first two of eight lags have the mean 0.06; three errors of it are 3 x error / root 2 = 0.06 at 0.0283.
    [(0.0282, True), (0.0284, False)],
)
def test_a_half_life_is_measured_where_the_head_is_three_errors_from_nothing(error: float, known: bool) -> None:
    means = [0.08 * 0.5**k for k in range(8)]
    frame = pl.DataFrame({"lag": range(8), "mean": means, "standard_error": [error] * 8})
    assert 3.0 * 0.0282 / math.sqrt(2.0) < 0.06 < 3.0 * 0.0284 / math.sqrt(2.0)
    found = decay_half_life(frame)
    assert found == (pytest.approx(1.0, abs=0.01) if known else pytest.approx(NAN, nan_ok=True))
    turned = frame.with_columns(-pl.col("mean"))
    assert math.isnan(decay_half_life(turned)) is not known
    holed = frame.with_columns(mean=pl.when(pl.col("lag") == 1).then(NAN).otherwise("mean"))
    assert math.isnan(decay_half_life(holed))


def test_fractiles_by_hand() -> None:
    """The lower three and the upper two of five; returns of 1 to 5 bps give means of 2 and 4.5, a spread of 2.5."""
    scores = np.tile(np.arange(1.0, 6.0), (6, 1))
    groups = fractile_groups(rank_panel(scores), NARROW)
    assert groups[0].tolist() == [0, 0, 0, 1, 1]
    noise = np.array([0.0, 1.0, -1.0, 2.0, -2.0, 0.0])
    forward = 1e-4 * (np.arange(1.0, 6.0) + noise[:, np.newaxis])
    forward[3, :3] = NAN
    found = fractile_table(groups, forward, NARROW, lag=0, periods_per_year=100, rng=np.random.default_rng(1))
    # On row 3 two names are left, fewer than three, and the row says nothing.
    assert found.by_date[3].tolist() == same(NAN, NAN)
    assert found.by_date[1].tolist() == same(3e-4, 5.5e-4)
    kept = noise[[0, 1, 2, 4, 5]].mean()
    assert found.table["fractile"].to_list() == [1, 2]
    assert found.table["names"].to_list() == [3.0, 2.0]
    assert found.table["mean_bps"].to_list() == same(2.0 + kept, 4.5 + kept)
    assert found.table["ann_return"].to_list() == same(1e-2 * (2.0 + kept), 1e-2 * (4.5 + kept))
    assert found.spread_mean_bps == pytest.approx(2.5)
    assert found.monotonicity.rising_steps == 1
    later = fractile_table(groups, forward, NARROW, lag=4, periods_per_year=100, rng=np.random.default_rng(1))
    assert later.by_date[:, 0].tolist() == same(0.0, 2e-4, NAN, NAN, NAN, NAN)
    none = fractile_table(groups, forward, NARROW, lag=6, periods_per_year=100, rng=np.random.default_rng(1))
    assert np.isnan(none.by_date).all()
    assert none.table["names"].is_nan().all()


def test_the_trend_over_three_fractiles_is_a_slope() -> None:
    """Group means of 1, 2 and 6: (6 - 1) / 2 a step; with a t of the same as the spread where they only shift."""
    three = NARROW.model_copy(update={"fractiles": 3, "min_names": 3})
    groups = np.tile(np.array([0, 1, 2], dtype=np.int16), (8, 1))
    steps = np.array([1.0, 1.2, 0.8, 1.1, 0.9, 1.3, 0.7, 1.0])[:, np.newaxis]
    forward = steps * np.array([1.0, 2.0, 6.0])
    found = fractile_table(groups, forward, three, lag=0, periods_per_year=100, rng=np.random.default_rng(1))
    assert found.spread_mean_bps == pytest.approx(5e4)
    assert (found.trend_t, found.trend_p) == pytest.approx((found.spread_t, found.spread_p))
    bent = fractile_table(
        groups, steps * np.array([6.0, 2.0, 6.0]), three, lag=0, periods_per_year=100, rng=np.random.default_rng(1)
    )
    assert bent.spread_mean_bps == pytest.approx(0.0, abs=1e-9)


def test_group_means_need_their_pairs_and_forward_returns_their_end() -> None:
    groups = np.array([[0, 0, 1, -1, 1]], dtype=np.int16)
    means, counts = np.empty((1, 3)), np.empty((1, 3), dtype=np.int64)
    group_mean_rows(groups, np.array([[1.0, 3.0, NAN, 9.0, 5.0]]), 3, 3, means, counts)
    assert (means[0].tolist(), counts[0].tolist()) == (same(2.0, 5.0, NAN), [2, 1, 0])
    group_mean_rows(groups, np.array([[1.0, 3.0, NAN, 9.0, 5.0]]), 3, 4, means, counts)
    assert np.isnan(means).all()

    returns = np.array([[0.0, 0.0, 0.0], [0.5, NAN, 1.0], [1.0, 0.5, -0.5], [0.0, 1.0, NAN], [3.0, NAN, NAN]])
    tradable = np.ones((5, 3), dtype=np.bool_)
    tradable[1, 0] = False
    # The third name was paid out on row 2; the second has a hole on row 1 and none on row 4.
    out = np.empty((2, 5, 3))
    forward_return_rows(returns, tradable, np.array([5, 5, 1]), np.array([1, 3], dtype=np.int64), 0, out)
    assert out[0].tolist() == [
        same(0.5, NAN, 1.0), same(NAN, 0.5, -0.5), same(0.0, 1.0, 0.0), same(3.0, NAN, 0.0), same(NAN, NAN, NAN),
    ]  # fmt: skip
    assert out[1].tolist() == [
        same(2.0, 2.0, 0.0), same(NAN, NAN, -0.5), same(NAN, NAN, NAN), same(NAN, NAN, NAN), same(NAN, NAN, NAN),
    ]  # fmt: skip


def test_what_rounding_leaves_of_a_name_alone_in_its_industry_is_nothing() -> None:
    values = np.array([[[1.0, 4.0, 1e9, 7.0, NAN, 5.0]]])
    codes = np.array([[0, 0, 1, -1, 0, 2]], dtype=np.int16)
    out = np.empty(values.shape)
    demean_rows(values, codes, 3, out)
    assert out[0, 0].tolist() == same(-1.5, 1.5, 0.0, NAN, NAN, 0.0)
    tiny = np.array([[[1.0, 1.0 + 4e-12, 2.0]]])
    demean_rows(tiny, np.zeros((1, 3), dtype=np.int16)[:, :3], 1, out[:, :, :3])
    # Two values apart by 4e-12 beside a 2.0: a mean of all three leaves their difference.
    assert out[0, 0, 2] == pytest.approx(2.0 / 3.0)
    pair = np.array([[[1.0, 1.0 + 3e-12, 2.0]]])
    for code, left in ((np.array([[0, 0, 1]], dtype=np.int16), 0.0), (np.array([[0, 0, 0]], dtype=np.int16), -1 / 3)):
        made = np.empty(pair.shape)
        demean_rows(pair, code, 2, made)
        # Half of 3e-12 is less than 1e-12 of 2.0.
        assert made[0, 0, 0] == pytest.approx(left, abs=1e-9)
        assert bool(made[0, 0, 0] == 0.0) is (left == 0.0)
    apart = np.array([[[1.0, 1.0 + 5e-12, 2.0]]])
    made = np.empty(apart.shape)
    demean_rows(apart, np.array([[0, 0, 1]], dtype=np.int16), 2, made)
    assert made[0, 0, 0] == pytest.approx(-2.5e-12, rel=1e-3)


def test_regimes_compare_volatility_before_the_row_with_its_median_before() -> None:
    """Windows of two: volatilities of market returns, known from the row after; medians over three of them."""
    spec = SPECS.suite.model_copy(update={"regime_volatility_sessions": 2, "regime_reference_sessions": 3})
    market = np.array([0.0, 1.0, 1.0, 1.0, 4.0, 4.0, 9.0, 9.0])
    panel = small(2, 8, returns=np.repeat(market[:, np.newaxis], 2, axis=1), universe=np.ones((8, 2), dtype=np.bool_))
    # No return of row 0 counts, for nobody was in the universe before it. Deviations over root 2, known from row 3 on:
    # 0, 0, 3, 0, 5; medians of three from row 5 on: 0, 0, 3.
    assert market_regimes(panel, spec).tolist() == [0, 0, 0, 0, 0, 2, 1, 2]


def test_slices_are_years_regimes_buckets_and_industries_that_have_rows() -> None:
    """Two rows of 2012 and one of 2013 after the first trade; a bucket that did nothing is not listed."""
    sessions = np.array(["2012-01-03", "2012-12-28", "2012-12-31", "2013-01-02"], dtype="datetime64[D]")
    panel = small(2, 4, sessions=sessions)
    by_cap, by_industry = np.zeros((4, 4, 3)), np.zeros((4, 2, 3))
    by_cap[:, 1, 0], by_cap[:, 3, 0], by_cap[:, 3, 1] = 0.01, 0.03, 0.02
    by_industry[:, 1, 0] = 0.04
    book: Any = SimpleNamespace(
        first=1, gross=np.array([9.0, 0.04, 0.04, 0.04]), net=np.array([9.0, 0.02, 0.02, 0.02]),
        traded=np.array([9.0, 1.0, 2.0, 3.0]), by_cap=by_cap, by_industry=by_industry,
        net_of=lambda by: by[:, :, 0] - by[:, :, 1],
    )  # fmt: skip
    slices = ("overall", "year", "regime", "cap", "industry")
    found = summarise_book("v", book, panel, SPECS.suite, slices, np.array([0, 1, 1, 2], dtype=np.int8))
    rows = found.select("slice_kind", "slice", "sessions").rows()
    assert rows == [
        ("overall", "all", 3), ("year", "2012", 2), ("year", "2013", 1), ("regime", "low_volatility", 2),
        ("regime", "high_volatility", 1), ("cap", "small", 3), ("cap", "large", 3), ("industry", "industry_0", 3),
    ]  # fmt: skip
    share = dict(zip(found["slice"], found["share_of_gross"], strict=True))
    assert share["small"] == pytest.approx(0.25)
    assert share["2012"] == pytest.approx(2.0 / 3.0)
    large = found.row(6, named=True)
    assert (large["ann_return_net"], large["ann_cost"]) == (pytest.approx(0.01 * 252), pytest.approx(0.02 * 252))
    assert [row["turnover"] for row in found.to_dicts()[:5]] == [2.0, 1.5, 3.0, 1.5, 3.0]
    assert found["turnover"][5:].null_count() == 3


PLAIN, LAGGED = BacktestConfig(mincos=2), BacktestConfig(mincos=2, lag=1)


def bench() -> tuple[Workbench, Any, dict[str, Any]]:
    panel = make_panel(5, names=40, sessions=120)
    made = Workbench(panel, SPECS.suite, SPECS.costs)
    prepared = made.prepare(dense_signal("s", slow_signal(5, names=40, sessions=120)))
    return made, prepared, run_variants(prepared, [PLAIN, LAGGED], made)


def test_a_curve_of_capacity_is_what_runs_at_its_capitals_are() -> None:
    made, prepared, _ = bench()
    config = BacktestConfig(mincos=2, capital=3e7)
    spec = SPECS.suite.model_copy(update={"capacity_capitals": (1e6, 1e8)})
    found = capacity(prepared, config, spec, floor=-99.0)
    assert found.curve["capital"].to_list() == [1e6, 1e8]
    for capital, row in zip((1e6, 1e8), found.curve.to_dicts(), strict=True):
        alone = config.model_copy(update={"tc_model": "impact", "capital": capital})
        overall = run_variants(prepared, [alone], made)[alone.variant].overall
        assert row["sharpe_net"] == pytest.approx(overall("sharpe_net"))
        assert row["ann_return_net"] == pytest.approx(overall("ann_return_net"))
        assert row["ann_cost"] == pytest.approx(overall("ann_cost"))
    assert (found.capital, found.floor) == (math.inf, -99.0)


def test_a_day_and_the_diagnostics_of_a_variant_are_those_of_its_book() -> None:
    made, _, results = bench()
    found, panel = results[PLAIN.variant], made.panel
    book, daily = found.book, found.daily
    rows = slice(book.first, None)
    assert daily["session"].to_list() == panel.sessions[rows].tolist()
    net = book.gross[rows] - book.linear_cost[rows] - book.impact_cost[rows]
    for name, values in {
        "gross": book.gross[rows], "net": net, "linear_cost": book.linear_cost[rows],
        "impact_cost": book.impact_cost[rows], "cumret": np.cumprod(1.0 + net) - 1.0, "turnover": book.traded[rows],
        "long": book.long[rows], "short": book.short[rows], "names_long": book.names_long[rows],
        "names_short": book.names_short[rows],
    }.items():  # fmt: skip
        np.testing.assert_allclose(daily[name].to_numpy(), values, rtol=1e-12, atol=1e-15, err_msg=name)
    value = np.cumprod(1.0 + net)
    peak = np.maximum.accumulate(np.append(1.0, value))[1:]
    np.testing.assert_allclose(daily["drawdown"].to_numpy(), value / peak - 1.0, atol=1e-12)
    assert set(daily["regime"]) == {"unknown"}, "a year of volatilities is not there"
    about = found.diagnostics
    # 119 dates can be traded, all forty names on each.
    assert (about["rows"], about["rows_outside"], about["rows_superseded"]) == (4800.0, 40.0, 0.0)
    assert (about["dates"], about["names_mean"], about["coverage_mean"], about["coverage_min"]) == (
        119.0,
        40.0,
        1.0,
        1.0,
    )
    assert (about["sessions_without_position"], about["positions_without_price"]) == (0.0, 0.0)
    assert about["orders_without_price"] == 0.0


def test_coverage_is_of_the_names_that_are_in_the_universe() -> None:
    """Half of the forty names have a signal from the first tradable row on, and a quarter on one of them."""
    panel = make_panel(5, names=40, sessions=60)
    values = slow_signal(5, names=40, sessions=60)
    values[:, 20:] = NAN
    values[30, 10:] = NAN
    made = Workbench(panel, SPECS.suite, SPECS.costs)
    config = BacktestConfig(mincos=2)
    about = run_variants(dense_signal("s", values), [config], made)[config.variant].diagnostics
    assert about["coverage_min"] == 0.25
    assert about["coverage_mean"] == pytest.approx((58 * 0.5 + 0.25) / 59)
    assert about["names_mean"] == pytest.approx((58 * 20 + 10) / 59)


def test_what_a_variant_needs_of_the_data() -> None:
    whole = make_panel(1, names=3, sessions=3)
    needs = {
        "industry": [{"residualize": "industry"}, {"residualize": "all"}],
        "exposures": [{"residualize": "factor"}, {"residualize": "all"}],
        "market_cap": [{"weight": "value"}],
        "open": [{"from_open": True}],
        "adv": [{"tc_model": "spread"}, {"tc_model": "impact"}],
    }
    every = [BacktestConfig(**change) for changes in needs.values() for change in changes] + [BacktestConfig()]
    every = list(dict.fromkeys(every))
    assert available(every, whole) == (every, {})
    for what, changes in needs.items():
        kept, causes = available(every, replace(whole, not_available={what: "it is not there"}))
        lacking = {BacktestConfig(**change).variant for change in changes}
        assert set(causes) == lacking
        assert set(causes.values()) == {f"{what}: it is not there"}
        assert [config.variant for config in kept] == [one.variant for one in every if one.variant not in lacking]


def test_profits_and_ranks_are_compared_over_the_sessions_that_both_have() -> None:
    made, prepared, results = bench()
    other = made.prepare(dense_signal("o", -slow_signal(5, names=40, sessions=120)))
    theirs = run_variants(other, [PLAIN], made)[PLAIN.variant]
    mine = results[LAGGED.variant]
    [row] = correlations(prepared, mine, {"o": (other, theirs)}).to_dicts()
    first = max(mine.book.first, theirs.book.first)
    assert first == mine.book.first > theirs.book.first
    assert row["signal_correlation"] == pytest.approx(-1.0)
    assert row["pnl_correlation"] == pytest.approx(np.corrcoef(mine.book.net[first:], theirs.book.net[first:])[0, 1])
    assert (row["baseline"], row["sessions"]) == ("o", 120 - first)
    assert row["baseline_sharpe_net"] == theirs.overall("sharpe_net")
    assert row["baseline_ic"] == theirs.ic["mean"][0]


def test_trials_are_worth_less_where_their_profits_go_together() -> None:
    """Three columns: two alike, one their negative: correlations of 1, -1 and -1 average below zero, which is none."""
    walk = np.array([1.0, -2.0, 3.0, -1.0])
    assert _mean_correlation(np.column_stack([walk, walk])) == pytest.approx(1.0)
    assert _mean_correlation(np.column_stack([walk, walk, -walk])) == 0.0
    assert _mean_correlation(np.column_stack([walk, np.ones(4)])) == 1.0, "a single one that moves"
    assert _mean_correlation(np.empty((0, 2))) == 1.0
    square = np.array([1.0, 1.0, -1.0, -1.0])
    # Of walk, square and walk again: 1 and twice the correlation of walk and square.
    rho = float(np.corrcoef(walk, square)[0, 1])
    expected = max(0.0, (1.0 + 2.0 * rho) / 3.0)
    assert _mean_correlation(np.column_stack([walk, square, walk])) == pytest.approx(expected)


def judged(
    nets: list[np.ndarray], trials: list[tuple[str, str, float | None]], *, results: Any = None, **options: Any
) -> Any:
    """Variants of s; unless they are given, each begins to trade a row later than the one before."""
    results = results or [
        SimpleNamespace(signal="s", book=SimpleNamespace(net=net, first=first)) for first, net in enumerate(nets)
    ]
    ledger = pl.DataFrame(trials, schema={"trial_id": pl.String, "signal": pl.String, "sharpe_net": pl.Float64},
                          orient="row")  # fmt: skip
    given = {"confidence": 0.95, "blocks": 2, "periods_per_year": 100} | options
    return select(results[0], results, ledger, **given)


def test_a_ratio_is_deflated_by_the_trials_of_its_own_signal() -> None:
    """Four trials of s, one of another; profits of its two variants correlate by one: they are worth one trial.

    The variance of the ratios 0.1 and 0.3 is 0.02; that of worthless ones over 40 rows is 1/40.
    """
    rng = np.random.default_rng(1)
    net = rng.normal(0.001, 0.01, 40)
    trials = [("a", "s", 0.1), ("b", "s", 0.3), ("c", "s", None), ("d", "s", None), ("e", "x", 9.0)]
    found = judged([net, np.append(0.0, net[1:])], trials)
    assert (found.trials, found.effective_trials) == (4, pytest.approx(1.0))
    assert found.trial_variance == pytest.approx(1.0 / 40.0)
    wide = judged([net], [("a", "s", 0.0), ("b", "s", 1.0)])
    assert wide.trial_variance == pytest.approx(0.5)
    assert judged([net], [("a", "s", 0.7)]).trial_variance == pytest.approx(1.0 / 40.0)
    other = np.append(0.0, rng.normal(0.0, 0.01, 39))
    apart = judged([net, other], trials)
    # From the first row on which both trade.
    rho = max(0.0, float(np.corrcoef(net[1:], other[1:])[0, 1]))
    assert apart.effective_trials == pytest.approx(rho + (1.0 - rho) * 4.0)
    still = judged([np.zeros(40)], trials)
    assert math.isnan(still.deflated.probability)
    assert (still.minimum_years, still.trials) == (math.inf, 4)
    # Forty rows are two blocks of twenty; with twenty-one blocks there is less than two rows each.
    assert math.isfinite(judged([net, -net], trials, blocks=18).overfitting.probability)
    assert math.isnan(judged([net, -net], trials, blocks=20).overfitting.probability)


def test_a_variant_that_never_traded_says_nothing_of_the_others() -> None:
    """It has no first trade: the profits of the two that have are compared as if it were not there."""
    rng = np.random.default_rng(2)
    net, other = rng.normal(0.001, 0.01, 40), rng.normal(0.0, 0.01, 40)
    trials = [(name, "s", 0.1) for name in "abcd"]
    with_it: Any = [
        SimpleNamespace(signal="s", book=SimpleNamespace(net=one, first=first))
        for one, first in ((net, 0), (other, 0), (np.zeros(40), 40))
    ]
    found = judged([], trials, results=with_it)
    expected = judged([], trials, results=with_it[:2])
    rho = max(0.0, float(np.corrcoef(net, other)[0, 1]))
    assert found.effective_trials == expected.effective_trials == pytest.approx(rho + (1.0 - rho) * 4.0)
    assert found.overfitting.probability == expected.overfitting.probability
    none = judged([], trials, results=with_it[2:])
    assert (none.effective_trials, math.isnan(none.overfitting.probability)) == (1.0, True)
