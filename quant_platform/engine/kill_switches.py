"""Switches that stop whatever adds risk: latched until a person resets them, and replayable from the log.

Each bar's observation holds what was known at its close. A switch that it trips acts from the next bar on; a reset at a
bar opens it from that bar on, and it trips again if what tripped it goes on. Reducing is always allowed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from quant_platform.engine.layout import Bools


@dataclass(frozen=True)
class Observation:
    """What is known at the close of one bar.

    Attributes
    ----------
    day
        Any number that changes with the trading day.
    equity
        Of the account.
    bars_since_data
        Age of the newest bar, in bars.
    missing_last_hour
        Bars missing within the last hour.
    realised_slippage, modelled_slippage, fills
        Sums over the fills so far within the window that the caller looks at, in money, and their number.
    orders, rejects
        Sent and refused within that window.
    position_mismatch
        Largest difference between the books and the venue, in units.
    funding_rate
        Largest rate per settlement among what is held, in size.
    drift_alarms
        Features whose distribution has moved.
    clock_skew_seconds
        Difference to the venue's clock.
    """

    day: int
    equity: float
    bars_since_data: float = 0.0
    missing_last_hour: int = 0
    realised_slippage: float = 0.0
    modelled_slippage: float = 0.0
    fills: int = 0
    orders: int = 0
    rejects: int = 0
    position_mismatch: float = 0.0
    funding_rate: float = 0.0
    drift_alarms: int = 0
    clock_skew_seconds: float = 0.0


@dataclass(frozen=True)
class KillLimits:
    """Bounds beyond which a switch trips; infinity for a switch that is off."""

    bars_since_data: float = 2.0
    missing_last_hour: float = 3.0
    drawdown: float = math.inf
    daily_loss: float = math.inf
    slippage_ratio: float = 2.0
    slippage_fills: int = 20
    reject_rate: float = math.inf
    reject_orders: int = 20
    position_mismatch: float = 0.0
    funding_rate: float = math.inf
    drift_alarms: float = math.inf
    clock_skew_seconds: float = math.inf


@dataclass(frozen=True)
class Trip:
    """A switch that tripped: by the observation of ``bar``, acting from ``bar + 1`` on."""

    bar: int
    switch: str
    value: float
    bound: float


@dataclass(frozen=True, eq=False)
class KillLog:
    """Trips in order, and for every bar (and the one after the last) whether opening is stopped."""

    trips: tuple[Trip, ...]
    halted: Bools


def replay(observations: Sequence[Observation], limits: KillLimits, resets: Collection[int] = ()) -> KillLog:
    """Run the switches over a log; the same log gives the same trips.

    Parameters
    ----------
    observations
        One per bar.
    limits
        The bounds. Most trip above their bound; missing bars trip at it.
    resets
        Bars at whose beginning a person opened all switches; the peak of the drawdown starts anew there.
    """
    halted = np.zeros(len(observations) + 1, dtype=np.bool_)
    latched: set[str] = set()
    trips: list[Trip] = []
    peak, day_start, day = -math.inf, math.nan, None
    before = math.nan
    for bar, seen in enumerate(observations):
        if bar in resets:
            latched.clear()
            peak = -math.inf
        halted[bar] = bool(latched)
        if seen.day != day:
            day, day_start = seen.day, seen.equity if math.isnan(before) else before
        before = seen.equity
        peak = max(peak, seen.equity)
        for switch, value, bound, trips_at in _readings(seen, limits, peak, day_start):
            if switch not in latched and (value > bound or (trips_at and value == bound)):
                latched.add(switch)
                trips.append(Trip(bar, switch, value, bound))
    halted[-1] = bool(latched) and len(observations) not in resets
    return KillLog(tuple(trips), halted)


def _readings(
    seen: Observation, limits: KillLimits, peak: float, day_start: float
) -> list[tuple[str, float, float, bool]]:
    """Name, value, bound and whether the bound itself trips, of every switch that has something to read."""
    found = [
        ("stale_data", seen.bars_since_data, limits.bars_since_data, False),
        ("missing_bars", float(seen.missing_last_hour), limits.missing_last_hour, True),
        ("drawdown", 1.0 - seen.equity / peak if peak > 0.0 else math.inf, limits.drawdown, False),
        ("daily_loss", 1.0 - seen.equity / day_start if day_start > 0.0 else math.inf, limits.daily_loss, False),
        ("position_mismatch", abs(seen.position_mismatch), limits.position_mismatch, False),
        ("funding", abs(seen.funding_rate), limits.funding_rate, False),
        ("drift", float(seen.drift_alarms), limits.drift_alarms, False),
        ("clock_skew", abs(seen.clock_skew_seconds), limits.clock_skew_seconds, False),
    ]
    if seen.fills >= limits.slippage_fills:
        ratio = math.inf if seen.modelled_slippage <= 0.0 else seen.realised_slippage / seen.modelled_slippage
        found.append(("slippage", ratio if seen.realised_slippage > 0.0 else 0.0, limits.slippage_ratio, False))
    if seen.orders >= limits.reject_orders:
        found.append(("rejects", seen.rejects / seen.orders, limits.reject_rate, False))
    return found
