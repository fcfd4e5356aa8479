"""Every label and level on prices whose logarithms are squares, so that each outcome is a difference of two squares."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from quant_platform.contracts.errors import SpecError
from quant_platform.labs.events.discovery.label_kernels import walk_to_pullback, walk_to_target_or_stop
from quant_platform.labs.events.discovery.labels import (
    LabelStore,
    LabelTable,
    _ahead,
    _same_clock_mean,
    _shifted,
    levels_of,
)
from quant_platform.market.perp_panel import PricePanel
from quant_platform.specification.discovery import StopRule, TargetRule, TemplateSpec
from quant_platform_tests.labs.events.discovery.worlds import START, specs

DAY = 288
SPECS = specs([])
NAN = np.nan
# Log prices of three symbols at bar t: these times t squared, in units of 1e-6. A bar's open is its own.
STEEPNESS = np.array([[1.0], [2.0], [4.0]])
# High and low lie 3 and 1 bps from the open, the close 2 bps above it.
HIGH, LOW, CLOSE = 3e-4, 1e-4, 2e-4


def square(t: float) -> float:
    """Log price of the first symbol in bps."""
    return 1e-2 * t * t


def panel(days: int = 1, **columns: np.ndarray | float) -> PricePanel:
    logs = 1e-6 * STEEPNESS * np.arange(days * DAY) ** 2
    made = {"open": logs, "high": logs + HIGH, "low": logs - LOW, "close": logs + CLOSE}
    made = {name: np.exp(values) for name, values in made.items()}
    spread = {name: np.broadcast_to(values, logs.shape).copy() for name, values in columns.items()}
    return PricePanel(("A", "B", "C"), START, made | spread)


def store(days: int = 1, *, matched_days: int = 2, **columns: np.ndarray | float) -> LabelStore:
    return LabelStore(panel(days, **columns), SPECS.discovery.model_copy(update={"matched_days": matched_days}))


def values(template: str, given: LabelStore, horizon: int = 3, lag: int = 1) -> LabelTable:
    return given.table(SPECS.templates[template], horizon, lag)


def test_a_return_is_from_the_open_after_the_lag_to_that_after_the_horizon() -> None:
    """From bar t + 1 to t + 4: (t + 4)^2 - (t + 1)^2; confirmed ones a bar later."""
    found = values("continuation", store())
    assert (found.lag, found.reach, found.layout) == (1, 4, "mirrored")
    for t in (0, 100, DAY - 5):
        assert found.values[0, t] == pytest.approx(square(t + 4) - square(t + 1))
        assert found.values[2, t] == pytest.approx(4.0 * (square(t + 4) - square(t + 1)))
    assert np.isnan(found.values[:, DAY - 4 :]).all()
    late = values("breakout_followthrough", store())
    assert (late.lag, late.reach) == (2, 5)
    assert late.values[0, 100] == pytest.approx(square(105) - square(102))
    assert values("continuation", store(), horizon=5, lag=2).values[0, 10] == pytest.approx(square(17) - square(12))


def test_templates_of_one_test_and_those_that_only_choose_events_share_a_table() -> None:
    given = store()
    shared = values("continuation", given)
    for other in ("mean_reversion", "trend_continuation", "momentum_fade", "reversal_or_squeeze"):
        assert values(other, given) is shared
    assert values("breakout_followthrough", given) is values("continuation", given, lag=2)
    assert values("continuation", given, horizon=4) is not shared


def test_a_hedge_is_beta_times_the_mean_of_the_others_that_are_known() -> None:
    """The others move 2 and 4 times as much: at a beta of a half 1 - 0.5 x 3 is left, without the third 1 - 0.5 x 2."""
    prices = panel(beta2016b=0.5)
    prices.columns["open"][2, 54] = NAN
    found = LabelStore(prices, SPECS.discovery).table(SPECS.templates["continuation"], 3, 1)
    assert found.hedged is not None
    for t, left in ((100, 1.0 - 0.5 * 3.0), (50, 1.0 - 0.5 * 2.0)):
        assert found.hedged[0, t] == pytest.approx(left * (square(t + 4) - square(t + 1)))
    assert np.isnan(found.hedged[2, 50])
    assert found.hedged[1, 50] == pytest.approx((2.0 - 0.5) * (square(54) - square(51)))
    residual = LabelStore(prices, SPECS.discovery).table(SPECS.templates["convergence"], 3, 1)
    assert residual.values[0, 100] == pytest.approx(-0.5 * (square(104) - square(101)))
    assert residual.hedged is residual.values
    alone = PricePanel(("A",), START, {name: rows[:1] for name, rows in prices.columns.items()})
    one = LabelStore(alone, SPECS.discovery).table(SPECS.templates["continuation"], 3, 1)
    assert one.hedged is not None
    assert np.isnan(one.hedged).all()
    assert np.isfinite(one.values[0, 0])


def test_the_basis_is_the_close_over_that_of_the_spot() -> None:
    """The spot has half of the logarithm: what is left is half of the square."""
    logs = 0.5e-6 * STEEPNESS * np.arange(DAY) ** 2
    found = values("basis_repair", store(spot_close=np.exp(logs)))
    assert found.values[0, 100] == pytest.approx(0.5 * (square(104) - square(101)))
    assert (found.layout, found.hedged, found.reach) == ("mirrored", None, 4)


def test_the_best_excursion_less_the_worst_is_of_the_bars_that_are_held() -> None:
    """Of bars t + 1 to t + 3 the best is the last one's high, the worst the first one's low, both from the entry."""
    found = values("convexity_capture", store())
    for t in (0, 100):
        best, worst = square(t + 3) + 3.0 - square(t + 1), -1.0
        assert found.values[0, t] == pytest.approx(best + worst)
    assert (found.lag, found.reach) == (1, 4)


def clocked(move: np.ndarray, reach: int, days: int) -> list[list[float]]:
    """What is left of moves at two clock bars of some days, the first and the last of each."""
    rows = np.repeat(move[None, :, None], DAY, axis=2)
    found = _same_clock_mean(rows.reshape(1, -1), reach, days).reshape(len(move), DAY)
    assert (np.isnan(found) == np.isnan(found[:, :1])).all()
    return found[:, [0, -1]].tolist()


def test_the_mean_of_the_same_clock_is_over_finished_days_and_needs_half_of_them() -> None:
    """Moves of 1, 2, 4, 8 and 16 by day."""
    moves = 2.0 ** np.arange(5)

    def means(reach: int, days: int, given: np.ndarray = moves) -> list[float]:
        return [row[0] for row in clocked(given, reach, days)]

    same = pytest.approx
    assert means(4, 2) == same([NAN, 1.0, 1.5, 3.0, 6.0], nan_ok=True)
    # What ends within a day has ended a day later; what takes a bar more has not.
    assert means(DAY, 2) == same([NAN, 1.0, 1.5, 3.0, 6.0], nan_ok=True)
    assert means(DAY + 1, 2) == same([NAN, NAN, 1.0, 1.5, 3.0], nan_ok=True)
    # Of three days two are needed, of two one.
    assert means(4, 3) == same([NAN, NAN, 1.5, 7.0 / 3.0, 14.0 / 3.0], nan_ok=True)
    holed = moves.copy()
    holed[2] = NAN
    assert means(4, 2, holed) == same([NAN, 1.0, 1.5, 2.0, 8.0], nan_ok=True)


def by_day(levels: list[float]) -> np.ndarray:
    return np.repeat(np.array(levels), DAY)[None, :]


def test_what_exceeds_earlier_days_is_an_absolute_move_a_range_or_a_cost() -> None:
    """Two days: the outcome of the second less that of the first at the same clock bar, which half of two days."""
    given = store(2, rv288=0.0)
    t, before = DAY + 100, 100
    move = square(t + 4) - square(t + 1) - (square(before + 4) - square(before + 1))
    size = values("volatility_expansion_follow", given)
    assert (size.layout, size.lag, size.reach) == ("undirected", 1, 4)
    assert size.values[0, t] == pytest.approx(move)
    assert np.isnan(size.values[:, :DAY]).all()
    # The range is of the bars t + 1 to t + 3, and its 4 bps of extremes are those of every day.
    width = square(t + 3) - square(t + 1) - (square(before + 3) - square(before + 1))
    assert values("drawdown_filter", given).values[0, t] == pytest.approx(width)
    # Half of a spread of 2 on the first day and 6 on the second, horizon bars later; the rest of the cost is the same.
    costly = store(2, spread_bps=by_day([2.0, 6.0]), quote_volume=1e6, rv12=1e-3)
    found = values("slippage_aware_filter", costly)
    assert found.values[0, t] == pytest.approx(0.5 * (6.0 - 2.0), abs=1e-9)


def test_a_tail_is_what_goes_beyond_two_sigmas_of_the_horizon() -> None:
    """Three bars: 2 x 1 bp x sqrt(3) = 3.46 bps are taken off, and less than nothing is nothing."""
    given = store(2, rv288=1e-4)
    t, before = DAY + 100, 100
    bound = 2.0 * math.sqrt(3.0)
    now = square(t + 4) - square(t + 1)
    then = square(before + 4) - square(before + 1)
    assert then - bound == pytest.approx(2.686, abs=1e-3)
    found = values("tail_risk_avoid", given)
    assert found.values[0, t] == pytest.approx((now - bound) - (then - bound))
    calm = store(2, rv288=by_day([1.0, 1e-4]))
    assert values("tail_risk_avoid", calm).values[0, t] == pytest.approx(now - bound), "on the first day none"
    unknown = store(2, rv288=by_day([1e-4, NAN]))
    assert np.isnan(values("tail_risk_avoid", unknown).values[0, DAY:]).all()


def ruled(target: TargetRule, stop: StopRule, side: int = -1) -> TemplateSpec:
    return SPECS.templates["overshoot_repair"].model_copy(update={"target": target, "stop": stop, "side": side})


@cache
def walked() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """High, low and close of twenty bars in units of one: the close climbs by its number and falls back at the end."""
    close = np.cumsum(np.arange(20.0))
    close[19] = close[18] - 100.0
    return close + 2.0, close - 3.0, close


FAR = StopRule(kind="extreme", bars=4)


@pytest.mark.parametrize(
    ("target", "position", "bar", "expected"),
    [
        # A short at bar 10, closes 45, 36, 28, 21: three bars before it stood 17 lower, half of it is given back.
        (TargetRule(kind="displacement", bars=3, share=0.5), -1.0, 10, 55.0 - 0.5 * (55.0 - 28.0)),
        # At the fall of the last bar a long has something to come back from: 71 against 171 - 18 = 153 two bars before.
        (TargetRule(kind="displacement", bars=2, share=0.5), 1.0, 19, 71.0 + 0.5 * (153.0 - 71.0)),
        # Where the move was the other way there is none.
        (TargetRule(kind="displacement", bars=3, share=0.5), 1.0, 10, NAN),
        # The highest of three highs, twelve bars before: at bar 15 those of bars 1 to 3, the last of them 6 + 2.
        (TargetRule(kind="swept_level", bars=3), -1.0, 15, 8.0),
        # Of a long the lowest of three lows: those of bars 1 to 3, the first of them 1 - 3.
        (TargetRule(kind="swept_level", bars=3), 1.0, 15, -2.0),
        # The middle between the highest high and the lowest low of three bars: 57 and 36 - 3.
        (TargetRule(kind="range_middle", bars=3), -1.0, 10, 0.5 * (57.0 + 33.0)),
        (TargetRule(kind="mean", bars=3), -1.0, 10, (36.0 + 45.0 + 55.0) / 3.0),
        (TargetRule(kind="none", bars=1), -1.0, 10, NAN),
    ],
)
def test_a_target_by_hand(target: TargetRule, position: float, bar: int, expected: float) -> None:
    found, stop = levels_of(ruled(target, FAR), position, *walked())
    assert found[bar] == pytest.approx(expected, nan_ok=True)
    # A short is given up beyond the highest of four highs, a long beyond the lowest of four lows.
    assert stop[10] == (57.0 if position < 0.0 else 28.0 - 3.0)


def test_a_stop_is_as_far_as_a_multiple_of_the_move() -> None:
    """A short against a climb of 27 in three bars is given up 1.5 times as far above."""
    stop = StopRule(kind="displacement", bars=3, multiple=1.5)
    target = TargetRule(kind="none", bars=1)
    assert levels_of(ruled(target, stop), -1.0, *walked())[1][10] == pytest.approx(55.0 + 1.5 * 27.0)
    assert np.isnan(levels_of(ruled(target, stop), 1.0, *walked())[1][10])
    # A template that goes with the impulse: a long after a climb is given up below.
    assert levels_of(ruled(target, stop, side=1), 1.0, *walked())[1][10] == pytest.approx(55.0 - 1.5 * 27.0)
    flat = np.zeros(6)
    assert np.isnan(levels_of(ruled(target, stop), -1.0, flat, flat, flat)[1]).all(), "no move, no level"
    with pytest.raises(SpecError, match="no target and stop"):
        levels_of(SPECS.templates["continuation"], 1.0, *walked())


def test_values_stand_later_or_earlier_and_are_missing_beyond_the_ends() -> None:
    row = np.array([[1.0, 2.0, 3.0, 4.0]])
    same = pytest.approx
    assert _shifted(row, 1)[0].tolist() == same([2.0, 3.0, 4.0, NAN], nan_ok=True)
    assert _shifted(row, 0)[0].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert _shifted(row, -1)[0].tolist() == same([NAN, 1.0, 2.0, 3.0], nan_ok=True)
    assert np.isnan([_shifted(row, 4), _shifted(row, 9), _shifted(row, -4)]).all()
    assert _ahead(np.array([[5.0, 1.0, 4.0, 2.0, 9.0]]), 2, 1, "max")[0].tolist() == same(
        [4.0, 4.0, 9.0, NAN, NAN], nan_ok=True
    )
    assert _ahead(np.array([[5.0, 1.0, 4.0, 2.0, 9.0]]), 2, 1, "min")[0].tolist() == same(
        [1.0, 2.0, 2.0, NAN, NAN], nan_ok=True
    )


def test_a_subset_takes_what_is_known_when_the_order_is_placed() -> None:
    """Confirmed is a close that has not come back, equal ones included; of the last bar there is no later close."""
    close = np.exp(1e-4 * np.array([0.0, 1.0, 1.0, 0.0] + [0.0] * (DAY - 4)))
    prices = panel(tstat288=0.5, tstat96=-1.0)
    prices.columns["close"][0] = close
    given = LabelStore(prices, SPECS.discovery)
    bars = np.array([0, 1, 2, DAY - 1])
    symbols = np.zeros(4, dtype=np.int64)

    def taken(template: str, direction: int) -> list[bool]:
        found: list[bool] = given.takes(SPECS.templates[template], symbols, bars, symbols + direction).tolist()
        return found

    assert taken("breakout_followthrough", 1) == [True, True, False, True]
    assert taken("breakout_followthrough", -1) == [False, True, True, True]
    assert taken("trend_continuation", 1) == [True] * 4
    assert taken("trend_continuation", -1) == [False] * 4
    assert taken("momentum_fade", -1) == [True] * 4
    assert taken("momentum_fade", 1) == [False] * 4
    assert taken("continuation", 0) == [False] * 4
    assert taken("volatility_expansion_follow", 0) == [True] * 4, "a size needs no direction"


def test_a_walk_has_a_row_for_each_direction_and_its_own_bars() -> None:
    """Prices only climb: a pullback for a long never comes and is zero; a short's is there with the first close."""
    given = store(rv12=0.0)
    found = values("pullback_entry", given)
    assert (found.layout, found.lag, found.reach, found.side) == ("walked", 1, 1 + 6 + 3, 1.0)
    assert found.values.shape == (6, DAY)
    assert found.entries is not None
    assert found.exits is not None
    assert found.values[1, 100] == 0.0
    # Short at the open after the close of bar 101, for three bars: 102 to 105.
    assert found.values[0, 100] == pytest.approx(-(square(105) - square(102)))
    assert (found.entries[0, 100], found.exits[0, 100]) == (102, 105)
    # A level of a sigma: half of 1 % x sqrt(6) is 122 bps away, further than the closes ever are.
    assert values("pullback_entry", store(rv12=1e-2)).values[0, 10] == 0.0
    against = values("exhaustion_reversal", given)
    assert (against.layout, against.side, against.entries) == ("walked", -1.0, None)
    assert against.exits is not None
    # With direction +1 a short from bar 101; its stop, the high of the last hour, is passed by the close of that bar.
    assert against.values[1, 100] == pytest.approx(-(square(102) - square(101)))
    assert against.exits[1, 100] == 102
    # From bar 150 on a bar climbs by more than the 3 bps to its high: the stop is passed before there is a trade.
    assert np.isnan(against.values[1, 150])
    rows = found.rows(np.array([0, 0, 2]), np.array([-1, 1, 1]))
    assert rows.tolist() == [0, 1, 5]
    assert values("continuation", given).rows(np.array([0, 2]), np.array([-1, 1])).tolist() == [0, 2]


def test_tracks_are_every_direction_within_the_bars_and_a_last_one_of_nothing() -> None:
    held = np.arange(12.0).reshape(2, 6)
    mirrored = LabelTable("mirrored", held, 1, 2).tracks(held, slice(1, 6))
    same = pytest.approx
    # Of five bars the last two end outside.
    assert mirrored.shape == (5, 5)
    assert mirrored[1].tolist() == same([1.0, 2.0, 3.0, NAN, NAN], nan_ok=True)
    assert mirrored[0].tolist() == same([-1.0, -2.0, -3.0, NAN, NAN], nan_ok=True)
    assert mirrored[3].tolist() == same([7.0, 8.0, 9.0, NAN, NAN], nan_ok=True)
    assert np.isnan(mirrored[4]).all()
    plain = LabelTable("undirected", held, 1, 2).tracks(held, slice(1, 6))
    assert plain.shape == (3, 5)
    assert plain[0].tolist() == same([1.0, 2.0, 3.0, NAN, NAN], nan_ok=True)
    assert np.isnan(plain[2]).all()
    assert np.isnan(LabelTable("mirrored", held, 1, 7).tracks(held, slice(0, 6))).all()
    table = LabelTable("mirrored", held, 1, 2)
    where = np.array([0, 1]), np.array([3, 3])
    assert table.at(held, *where, np.array([1, -1])).tolist() == [3.0, -9.0]


def test_a_charge_is_what_is_cumulated_between_the_open_of_the_entry_and_that_of_the_exit() -> None:
    """A settlement of 1 bp at every bar: three bars held, counted to the end of the data."""
    given = store(funding_settle=1.0, funding_rate=1e-4)
    table = values("continuation", given)
    bars = np.array([0, 100, DAY - 4, DAY - 3, DAY - 1])
    symbols = np.zeros(5, dtype=np.int64)
    # Of the last but three the exit would be the bar after the data: 286 to 287 is one, of the last none.
    for direction in (1, -1):
        paid = given.funding(table, symbols, bars, symbols + direction)
        assert paid.tolist() == pytest.approx([direction * x for x in (3.0, 3.0, 2.0, 1.0, 0.0)])
    assert given.funding(values("drawdown_filter", given), symbols, bars, symbols + 1).tolist() == [0.0] * 5
    against = values("exhaustion_reversal", given)
    # A template against the impulse is short after a rise, and is paid for the bar it holds.
    assert given.funding(against, symbols[:1], np.array([100]), np.array([1])).tolist() == pytest.approx([-1.0])


def walk(opens: list[float], closes: list[float], target: float, stop: float, horizon: int = 2) -> list[object]:
    """A long from the bar after each: outcome and bar of the exit."""
    outcome, exits = np.empty(len(opens)), np.empty(len(opens), np.int64)
    levels = (np.full(len(opens), target), np.full(len(opens), stop))
    walk_to_target_or_stop(np.array(opens), np.array(closes), *levels, 1.0, 1, horizon, outcome, exits)
    return [None if np.isnan(x) else (x, end) for x, end in zip(outcome.tolist(), exits.tolist(), strict=True)]


def test_a_walk_ends_at_the_open_after_a_level_was_met_and_needs_its_last_bar() -> None:
    opens = [0.0, 1.0, 3.0, 6.0, 10.0]
    # Two bars held: from 1 to 6 and from 3 to 10; of the third bar on the last open is not there.
    assert walk(opens, opens, 99.0, -9.0) == [(5.0, 3), (7.0, 4), None, None, None]
    # A close at the target, to the last digit, is there; one at the stop too.
    assert walk(opens, [9.0, 2.0, 9.0, 9.0, 9.0], 2.0, -9.0)[0] == (2.0, 2)
    assert walk(opens, [9.0, -9.0, 9.0, 9.0, 9.0], 99.0, -9.0)[0] == (2.0, 2)
    # A target at the entry is dropped; where the stop is at the entry there is no trade.
    assert walk(opens, [9.0, 1.5, 9.0, 9.0, 9.0], 1.0, -9.0)[0] == (5.0, 3)
    assert walk(opens, opens, 99.0, 1.0)[0] is None
    assert walk(opens, opens, np.nan, -9.0)[0] == (5.0, 3)
    assert walk(opens, opens, 99.0, np.nan)[0] is None
    assert walk([0.0, np.nan, 3.0, 6.0, 10.0], opens, 99.0, -9.0)[:2] == [None, (7.0, 4)]
    assert walk([0.0, 1.0, 3.0, np.nan, 10.0], opens, 99.0, -9.0)[:2] == [None, (7.0, 4)]


def test_a_pullback_is_looked_for_in_its_bars_and_needs_room_for_the_whole_trade() -> None:
    """One bar after the event, two closes looked at, one bar held: three bars after the first must be there."""
    opens, closes = np.array([0.0, 5.0, 7.0, 4.0, 9.0, 8.0]), np.array([9.0, 9.0, 2.0, 9.0, 9.0, 9.0])
    outcome, entries, exits = np.empty(6), np.empty(6, np.int64), np.empty(6, np.int64)
    walk_to_pullback(opens, closes, np.full(6, 2.0), 1.0, 1, 2, 1, outcome, entries, exits)
    # The close of bar 2 is at the level: in at the open of 3, which is 4, out at that of 4, which is 9.
    assert outcome.tolist() == pytest.approx([5.0, 5.0, NAN, NAN, NAN, NAN], nan_ok=True)
    assert (entries[:2].tolist(), exits[:2].tolist()) == ([3, 3], [4, 4])
    level = np.array([1.0, 1.9, 2.0, 2.0, 2.0, 2.0])
    walk_to_pullback(opens, closes, level, 1.0, 1, 2, 1, outcome, entries, exits)
    assert outcome[:2].tolist() == [0.0, 0.0], "no close is as low, and what is not traded earns nothing"
    assert (entries[:2].tolist(), exits[:2].tolist()) == ([0, 1], [0, 1])
    level[0] = NAN
    walk_to_pullback(opens, closes, level, 1.0, 1, 2, 1, outcome, entries, exits)
    assert np.isnan(outcome[0])
