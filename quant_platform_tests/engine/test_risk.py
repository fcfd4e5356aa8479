"""Allocator, kill switches and drift: known answers and properties."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quant_platform.engine.allocator import RiskLimits, allocate
from quant_platform.engine.config import BacktestInvalid
from quant_platform.engine.cost_law import almgren_impact
from quant_platform.engine.drift import drift_alarm
from quant_platform.engine.kill_switches import KillLimits, Observation, Trip, replay

WORKED = RiskLimits(strategy=1.0, symbol=0.8, portfolio=1.5, new_exposure=0.5)
TARGETS = np.array([[0.6, 0.6], [0.5, -0.4]])
WEIGHTS = arrays(np.float64, (3, 4), elements=st.floats(-1.0, 1.0, width=16))
LIMIT = st.sampled_from([0.0, 0.3, 0.8, 1.5, math.inf])


def test_the_worked_example_layer_by_layer() -> None:
    """METHODS 5.2: A (.6, .6) and B (.5, -.4) from nothing."""
    for limits, expected in (
        (RiskLimits(1.0), [[0.5, 0.5], [0.5, -0.4]]),
        (RiskLimits(1.0, 0.8), [[0.4, 0.444444], [0.4, -0.355556]]),
        (RiskLimits(1.0, 0.8, 1.5), [[0.375, 0.416667], [0.375, -0.333333]]),
        (WORKED, [[0.125, 0.138889], [0.125, -0.111111]]),
    ):
        np.testing.assert_allclose(allocate(TARGETS, np.zeros((2, 2)), limits).weights, expected, atol=5e-7)


def test_the_log_says_which_layer_took_what() -> None:
    clips = allocate(TARGETS, np.zeros((2, 2)), WORKED).clips
    assert clips.group_by("layer", maintain_order=True).len().rows() == [
        ("strategy", 2), ("symbol", 4), ("portfolio", 4), ("new_exposure", 4),
    ]  # fmt: skip
    assert clips.row(0) == ("strategy", 0, 0, 0.6, 0.5)
    assert allocate(TARGETS, np.zeros((2, 2)), RiskLimits()).clips.is_empty()


def test_only_what_adds_is_scaled() -> None:
    held = np.array([[0.4, 0.4, -0.3, 0.5]])
    wanted = np.array([[0.1, 0.8, 0.3, 0.0]])
    # Leaving .3 of the first and all of the fourth passes; .4 and, after the turn, .3 are added: .7 for .35.
    found = allocate(wanted, held, RiskLimits(new_exposure=0.35)).weights
    np.testing.assert_allclose(found, [[0.1, 0.6, 0.15, 0.0]])


@given(WEIGHTS, WEIGHTS, LIMIT, LIMIT, LIMIT, LIMIT)
def test_properties_of_the_allocator(wanted, held, strategy, symbol, portfolio, new) -> None:  # type: ignore[no-untyped-def]  # drawn
    limits = RiskLimits(strategy, symbol, portfolio, new)
    found = allocate(wanted, held, limits).weights
    slack = 1e-12
    assert (np.abs(found).sum(axis=1) <= strategy + slack).all()
    assert (np.abs(found).sum(axis=0) <= symbol + slack).all()
    assert np.abs(found).sum() <= portfolio + slack
    same_side = found * held > 0.0
    added = np.where(same_side, np.maximum(0.0, np.abs(found) - np.abs(held)), np.abs(found))
    assert added.sum() <= new + slack
    assert (found * wanted >= 0.0).all()
    assert (np.abs(found) <= np.abs(wanted) + slack).all()
    order = [2, 0, 1]
    np.testing.assert_allclose(allocate(wanted[order], held[order], limits).weights, found[order], atol=slack)
    np.testing.assert_allclose(allocate(found, held, limits).weights, found, atol=slack)
    doubled = RiskLimits(2 * strategy, 2 * symbol, 2 * portfolio, 2 * new)
    np.testing.assert_allclose(allocate(2 * wanted, 2 * held, doubled).weights, 2 * found, atol=slack)


@given(WEIGHTS, st.floats(0.0, 1.0, width=16))
def test_a_reduction_always_passes_in_full(held, share) -> None:  # type: ignore[no-untyped-def]  # drawn
    found = allocate(share * held, held, RiskLimits(new_exposure=0.0))
    np.testing.assert_array_equal(found.weights, share * held)
    assert found.clips.is_empty()


@pytest.mark.parametrize("wrong", [np.zeros(3), np.zeros((2, 3)), np.full((2, 2), np.nan)])
def test_the_allocator_refuses_what_it_cannot_read(wrong: np.ndarray) -> None:
    with pytest.raises(BacktestInvalid, match=r"complete arrays \[strategy, symbol\]"):
        allocate(wrong, np.zeros((2, 2)), WORKED)
    with pytest.raises(BacktestInvalid, match="symbol was -1"):
        RiskLimits(symbol=-1.0)


GOOD = Observation(day=0, equity=100.0)


def test_what_an_observation_does_not_state_is_nothing() -> None:
    assert asdict(GOOD) == {
        "day": 0, "equity": 100.0, "bars_since_data": 0.0, "missing_last_hour": 0, "realised_slippage": 0.0,
        "modelled_slippage": 0.0, "fills": 0, "orders": 0, "rejects": 0, "position_mismatch": 0.0, "funding_rate": 0.0,
        "drift_alarms": 0, "clock_skew_seconds": 0.0,
    }  # fmt: skip


def test_switches_that_are_on_by_default_and_those_that_are_not() -> None:
    """Two bars late, three missing, twice the modelled slippage over 20 fills, any difference to the venue."""
    off = dict.fromkeys(
        ("drawdown", "daily_loss", "reject_rate", "funding_rate", "drift_alarms", "clock_skew_seconds"), math.inf
    )
    on = {"bars_since_data": 2.0, "missing_last_hour": 3.0, "slippage_ratio": 2.0, "position_mismatch": 0.0}
    assert asdict(KillLimits()) == off | on | {"slippage_fills": 20, "reject_orders": 20}


@pytest.mark.parametrize(
    ("limits", "fine", "bad", "switch"),
    [
        ({}, {"bars_since_data": 2.0}, {"bars_since_data": 2.1}, "stale_data"),
        ({}, {"missing_last_hour": 2}, {"missing_last_hour": 3}, "missing_bars"),
        ({"drawdown": 0.1}, {"equity": 90.5}, {"equity": 89.9}, "drawdown"),
        ({"daily_loss": 0.05}, {"equity": 95.5}, {"equity": 94.9}, "daily_loss"),
        ({}, {"fills": 19, "realised_slippage": 9.0, "modelled_slippage": 1.0},
         {"fills": 20, "realised_slippage": 2.1, "modelled_slippage": 1.0}, "slippage"),
        ({}, {"fills": 20, "realised_slippage": 2.0, "modelled_slippage": 1.0},
         {"fills": 20, "realised_slippage": 0.1, "modelled_slippage": 0.0}, "slippage"),
        ({"reject_rate": 0.2}, {"orders": 19, "rejects": 19}, {"orders": 20, "rejects": 5}, "rejects"),
        ({}, {}, {"position_mismatch": -0.1}, "position_mismatch"),
        ({"funding_rate": 0.002}, {"funding_rate": -0.002}, {"funding_rate": -0.003}, "funding"),
        ({"drift_alarms": 2}, {"drift_alarms": 2}, {"drift_alarms": 3}, "drift"),
        ({"clock_skew_seconds": 1.0}, {"clock_skew_seconds": -1.0}, {"clock_skew_seconds": -1.5}, "clock_skew"),
    ],
)  # fmt: skip
def test_each_switch_trips_at_its_bound_and_acts_on_the_next_bar(limits, fine, bad, switch) -> None:  # type: ignore[no-untyped-def]  # table
    log = [GOOD, replace(GOOD, **fine), replace(GOOD, **bad), GOOD, GOOD]
    found = replay(log, KillLimits(**limits))
    assert [(trip.bar, trip.switch) for trip in found.trips] == [(2, switch)]
    assert found.halted.tolist() == [False, False, False, True, True, True]
    assert replay(log, KillLimits(**limits)).trips == found.trips


def test_a_switch_stays_until_it_is_reset_and_trips_again_if_the_cause_goes_on() -> None:
    log = [GOOD, *(replace(GOOD, bars_since_data=5.0) for _ in range(3)), GOOD, GOOD]
    found = replay(log, KillLimits(), resets=[3])
    assert found.trips == (Trip(1, "stale_data", 5.0, 2.0), Trip(3, "stale_data", 5.0, 2.0))
    assert found.halted.tolist() == [False, False, True, False, True, True, True]
    assert replay(log, KillLimits(), resets=[5]).halted.tolist() == [False, False, True, True, True, False, False]
    assert not replay(log, KillLimits(), resets=[6]).halted[-1]


def test_the_peak_starts_anew_at_a_reset_and_the_day_with_its_first_bar() -> None:
    falling = [replace(GOOD, equity=value) for value in (100.0, 80.0, 79.0, 78.0)]
    found = replay(falling, KillLimits(drawdown=0.1), resets=[2])
    assert [trip.bar for trip in found.trips] == [1]
    assert not found.halted[2:].any()
    days = [Observation(day=day, equity=value) for day, value in ((0, 100.0), (0, 97.0), (1, 94.0), (1, 92.0))]
    # The second day begins with the equity the first one ended with: 97 to 92 is more than five per cent.
    assert [(t.bar, round(t.value, 6)) for t in replay(days, KillLimits(daily_loss=0.05)).trips] == [(3, 0.051546)]


def test_drift_is_said_only_when_it_is_large_and_not_luck() -> None:
    rng = np.random.default_rng(5)
    large, small = rng.normal(size=20_000), rng.normal(size=60)
    assert not drift_alarm(large, rng.normal(size=20_000)).raised
    assert drift_alarm(large, rng.normal(0.6, 1.0, 20_000)).raised
    # Many values: significant and too small to matter. Few: large and within what luck does.
    slight = drift_alarm(large, rng.normal(0.12, 1.0, 20_000))
    assert slight.index.value > slight.index.bound
    assert not slight.raised
    few = drift_alarm(small, rng.normal(size=60))
    assert few.index.value > 0.10
    assert not few.raised


def test_neighbouring_bars_are_thinned_before_they_are_counted() -> None:
    repeated = np.repeat(np.random.default_rng(6).normal(size=200), 288)
    found = drift_alarm(repeated, repeated[::-1], every=288)
    assert (found.index.n_reference, found.index.n_current) == (200, 200)


@pytest.mark.parametrize(
    ("volatility", "theta", "days", "expected"),
    [
        (0.0157, 1728 / 6.561, 0.1, (20, 22, 32)), (0.0157, 1728 / 6.561, 0.2, (20, 15, 25)),
        (0.0157, 1728 / 6.561, 0.5, (20, 8, 18)), (0.0226, 168 / 1.929, 0.1, (22, 32, 43)),
        (0.0226, 168 / 1.929, 0.2, (22, 21, 32)), (0.0226, 168 / 1.929, 0.5, (22, 12, 23)),
    ],
)  # fmt: skip
def test_impact_of_almgren_and_others(volatility: float, theta: float, days: float, expected: tuple[int, ...]) -> None:
    """Their table for IBM and DRI, an order of a tenth of a day's volume, in bps."""
    found = almgren_impact(volatility, 0.1, theta, days)
    assert tuple(round(1e4 * part) for part in found) == expected


def test_the_log_is_a_table() -> None:
    clips = allocate(TARGETS, np.zeros((2, 2)), RiskLimits()).clips
    assert clips.schema["before"] == pl.Float64


MOVED = np.array([50, 50, 100, 100, 100, 100, 100, 100, 150, 150])


def test_the_worked_example_of_drift() -> None:
    """METHODS 5.4: tenths against .05 .05 .1 .1 .1 .1 .1 .1 .15 .15 are .109861, over .0338 for a thousand each."""
    reference, current = np.arange(1000.0), np.repeat(100.0 * np.arange(10), MOVED)
    found = drift_alarm(reference, current)
    assert found.index.value == pytest.approx(0.109861, abs=5e-7)
    assert found.index.bound == pytest.approx(0.0338, abs=5e-5)
    assert found.raised
    assert not drift_alarm(reference, current, smallest=0.11).raised
    # It has to be above what matters, not at it.
    assert not drift_alarm(reference, current, smallest=found.index.value).raised
    # A tenth of the values moves as far, and luck alone reaches .338.
    few = drift_alarm(reference, current, every=10)
    assert few.index.bound == pytest.approx(0.338, abs=5e-4)
    assert not few.raised
    assert drift_alarm(reference, current, confidence=0.5).index.bound < found.index.bound


def test_every_row_of_the_log_names_strategy_and_symbol() -> None:
    found = allocate([[0.1, 0.2], [0.1, 0.6]], np.zeros((2, 2)), RiskLimits(symbol=0.4))
    # The second symbol holds .8 for .4; the first is within.
    assert [(*row[:3], *(round(x, 12) for x in row[3:])) for row in found.clips.rows()] == [
        ("symbol", 0, 1, 0.2, 0.1), ("symbol", 1, 1, 0.6, 0.3),
    ]  # fmt: skip


def test_a_limit_may_be_nothing_or_little_and_positions_must_be_known() -> None:
    np.testing.assert_allclose(allocate([[0.1]], [[0.0]], RiskLimits(symbol=0.05)).weights, [[0.05]])
    assert allocate([[0.1]], [[0.0]], RiskLimits(portfolio=0.0)).weights.tolist() == [[0.0]]
    with pytest.raises(BacktestInvalid, match="complete arrays"):
        allocate([[0.1]], [[math.nan]], RiskLimits())
    with pytest.raises(BacktestInvalid, match="strategy was nan"):
        RiskLimits(strategy=math.nan)
