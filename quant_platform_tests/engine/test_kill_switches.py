"""Each switch exactly at its bound, next to it on both sides, and where its divisor is nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from quant_platform.engine.kill_switches import KillLimits, Observation, Trip, replay

GOOD = Observation(day=0, equity=100.0)
FILLED = {"fills": 20}


@pytest.mark.parametrize(
    ("limits", "seen"),
    [
        ({"bars_since_data": 2.0}, {"bars_since_data": 2.0}),
        ({"drawdown": 0.25}, {"equity": 75.0}),
        ({"daily_loss": 0.25}, {"equity": 75.0}),
        ({"position_mismatch": 0.5}, {"position_mismatch": -0.5}),
        ({"funding_rate": 0.5}, {"funding_rate": -0.5}),
        ({"drift_alarms": 2.0}, {"drift_alarms": 2}),
        ({"clock_skew_seconds": 0.5}, {"clock_skew_seconds": 0.5}),
        ({"slippage_ratio": 2.0}, {**FILLED, "realised_slippage": 0.5, "modelled_slippage": 0.25}),
        ({"reject_rate": 0.25}, {"orders": 20, "rejects": 5}),
        ({"missing_last_hour": 3.0}, {"missing_last_hour": 2}),
    ],
)
def test_a_value_exactly_at_its_bound_does_not_trip(limits: dict[str, float], seen: dict[str, Any]) -> None:
    log = replay([GOOD, replace(GOOD, **seen)], KillLimits(**limits))
    assert log.trips == ()
    assert not log.halted.any()


@pytest.mark.parametrize("missing", [3, 4])
def test_missing_bars_trip_at_their_bound_and_above(missing: int) -> None:
    found = replay([GOOD, replace(GOOD, missing_last_hour=missing)], KillLimits())
    assert found.trips == (Trip(1, "missing_bars", float(missing), 3.0),)


@pytest.mark.parametrize(
    ("limits", "seen", "trip"),
    [
        ({"drawdown": 0.25}, {"equity": 50.0}, ("drawdown", 0.5, 0.25)),
        ({"daily_loss": 0.25}, {"equity": 50.0}, ("daily_loss", 0.5, 0.25)),
        ({}, {"bars_since_data": 2.5}, ("stale_data", 2.5, 2.0)),
        ({}, {"position_mismatch": -0.05}, ("position_mismatch", 0.05, 0.0)),
        ({"funding_rate": 0.25}, {"funding_rate": -0.5}, ("funding", 0.5, 0.25)),
        ({"drift_alarms": 0.0}, {"drift_alarms": 1}, ("drift", 1.0, 0.0)),
        ({"clock_skew_seconds": 0.25}, {"clock_skew_seconds": -0.5}, ("clock_skew", 0.5, 0.25)),
        ({"reject_rate": 0.25}, {"orders": 20, "rejects": 6}, ("rejects", 0.3, 0.25)),
        ({}, {**FILLED, "realised_slippage": 0.05, "modelled_slippage": 0.02}, ("slippage", 2.5, 2.0)),
        ({}, {**FILLED, "realised_slippage": 0.05, "modelled_slippage": 0.0}, ("slippage", math.inf, 2.0)),
        ({}, {**FILLED, "realised_slippage": 0.05, "modelled_slippage": -1.0}, ("slippage", math.inf, 2.0)),
    ],
)  # fmt: skip
def test_a_trip_says_its_value_and_bound(limits: dict[str, float], seen: dict[str, Any], trip: Any) -> None:
    (found,) = replay([GOOD, replace(GOOD, **seen)], KillLimits(**limits)).trips
    assert (found.bar, found.switch, found.bound) == (1, trip[0], trip[2])
    assert found.value == pytest.approx(trip[1])


@pytest.mark.parametrize(
    "seen",
    [
        {**FILLED, "realised_slippage": 0.0, "modelled_slippage": 0.0},
        {**FILLED, "realised_slippage": -3.0, "modelled_slippage": 0.0},
        {**FILLED, "realised_slippage": 0.05, "modelled_slippage": 0.05},
        {"fills": 19, "realised_slippage": 5.0, "modelled_slippage": 0.0},
        {"orders": 19, "rejects": 19},
        {"orders": 20, "rejects": 20},
    ],
)
def test_slippage_needs_fills_and_a_loss_and_rejects_need_orders_and_a_bound(seen: dict[str, Any]) -> None:
    """The last is refused throughout, but no bound is set by default."""
    limits = KillLimits() if seen.get("orders") != 19 else KillLimits(reject_rate=0.5)
    assert replay([GOOD, replace(GOOD, **seen)], limits).trips == ()


@pytest.mark.parametrize(("name", "switch"), [("drawdown", "drawdown"), ("daily_loss", "daily_loss")])
@pytest.mark.parametrize("equity", [0.0, -5.0])
def test_an_account_that_never_had_anything_has_lost_everything(name: str, switch: str, equity: float) -> None:
    found = replay([replace(GOOD, equity=equity)], KillLimits(**{name: 0.5}))
    assert found.trips == (Trip(0, switch, math.inf, 0.5),)
    assert found.halted.tolist() == [False, True]


def test_an_account_of_a_few_cents_is_measured_as_any_other() -> None:
    limits = KillLimits(drawdown=0.5, daily_loss=0.5)
    cents = [replace(GOOD, equity=value) for value in (0.05, 0.04, 0.02)]
    assert replay(cents[:2], limits).trips == ()
    assert [(trip.bar, trip.switch, round(trip.value, 12)) for trip in replay(cents, limits).trips] == [
        (2, "drawdown", 0.6), (2, "daily_loss", 0.6),
    ]  # fmt: skip


def test_the_first_day_begins_with_its_own_first_equity_and_a_later_one_with_the_last_before_it() -> None:
    log = [Observation(day, equity) for day, equity in ((7, 100.0), (7, 80.0), (8, 79.0), (8, 78.0), (9, 50.0))]
    # 1 - 50 / 78 within the third day; the 20 % of the first day are within the bound.
    (found,) = replay(log, KillLimits(daily_loss=0.25)).trips
    assert (found.bar, found.value) == (4, pytest.approx(28 / 78))


def test_the_peak_is_the_highest_since_the_last_reset() -> None:
    log = [replace(GOOD, equity=value) for value in (100.0, 160.0, 90.0, 90.0, 60.0)]
    found = replay(log, KillLimits(drawdown=0.3), resets=[3])
    # 1 - 90 / 160, then, from 90 on, 1 - 60 / 90.
    assert [(trip.bar, trip.value) for trip in found.trips] == [(2, 0.4375), (4, pytest.approx(1 / 3))]
    assert found.halted.tolist() == [False, False, False, False, False, True]
