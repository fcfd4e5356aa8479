"""A market that stands still but for the moves written down here, so that every outcome is known by hand.

Two symbols, twenty days, an event a day in each. A settles its funding inside every trade; of B's funding nobody knows
anything on the last day of training. On even days both events lie on the same bar, so that each hedges the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from quant_platform.market.perp_panel import BARS_PER_DAY, PricePanel
from quant_platform_tests.labs.events.discovery.worlds import START

A, B = "AAAUSDT", "BBBUSDT"
DAYS, TRAIN, VALIDATION = 20, range(12), range(13, 16)
BETA = 0.5
UNKNOWN_DAY = 11
# What a trade with the impulse earns before cost, in bps, by day.
GAINS = {
    A: (30, 12, 25, -8, 40, 18, 9, 33, 21, 14, 27, 16, 11, 24, -35, 19, 7, 13, 22, 5),
    B: (10, -20, 5, 15, 8, -4, 22, 11, 6, 17, 3, 13, 9, 28, 12, -41, 2, 18, 4, 10),
}
RATES = (1.0, -2.0, 0.5, 3.0)
SPREADS = {A: 1.0, B: 3.0}


@dataclass(frozen=True)
class Trade:
    """An event and what a trade with its impulse makes of it, in bps."""

    symbol: str
    day: int
    bar: int
    direction: int
    state: str
    gross: float
    hedged: float
    funding: float
    cost: float
    matched: float


def _bar(symbol: str, day: int) -> int:
    return day * BARS_PER_DAY + (200 if symbol == B and day % 2 else 100)


def _direction(symbol: str, day: int) -> int:
    return 1 if (day + (symbol == B)) % 3 else -1


def _move(symbol: str, day: int) -> float:
    return float(_direction(symbol, day) * GAINS[symbol][day])


def trades() -> list[Trade]:
    """Every event, by bar and symbol."""
    found = []
    for day in range(DAYS):
        for symbol, other in ((A, B), (B, A)):
            direction, same = _direction(symbol, day), day % 2 == 0
            unknown = symbol == B and day == UNKNOWN_DAY
            # Both sides: fee, half the spread, and impact: 10 bps an hour times the root of 1 % of the volume.
            cost = 2.0 * (4.0 + 0.5 * SPREADS[symbol] + 1.0) + (3.0 * 3 / 96 if unknown else 0.0)
            before = [
                abs(_move(symbol, d)) * (_bar(symbol, d) % BARS_PER_DAY == _bar(symbol, day) % BARS_PER_DAY)
                for d in (day - 1, day - 2)
                if d >= 0
            ]
            found.append(
                Trade(
                    symbol,
                    day,
                    _bar(symbol, day),
                    direction,
                    "high" if (day + (symbol == B)) % 4 < 2 else "low",
                    float(GAINS[symbol][day]),
                    direction * (_move(symbol, day) - BETA * _move(other, day) * same),
                    direction * RATES[day % 4] if symbol == A else 0.0,
                    cost,
                    abs(_move(symbol, day)) - sum(before) / len(before) if before else float("nan"),
                )
            )
    return sorted(found, key=lambda trade: (trade.bar, trade.symbol))


def events(event_id: str = "E") -> pl.DataFrame:
    """Rows of ``events.events``, out of order."""
    rows = [
        {
            "event_id": event_id,
            "symbol": trade.symbol,
            "bar": START + timedelta(minutes=5 * trade.bar),
            "direction": trade.direction,
            "vol_regime": trade.state,
        }
        for trade in reversed(trades())
    ]
    return pl.DataFrame(rows, schema_overrides={"bar": pl.Datetime("us", "UTC")})


def market() -> PricePanel:
    """Prices that jump two bars after each event; entry is one bar after it and exit four."""
    shape = (2, DAYS * BARS_PER_DAY)
    steps, settle, rate = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for trade in trades():
        row = (A, B).index(trade.symbol)
        steps[row, trade.bar + 2] = 1e-4 * trade.direction * trade.gross
        if trade.symbol == A:
            # At the entry's own open nothing is held yet; at the exit's it is.
            settle[row, [trade.bar + 1, trade.bar + 4]] = 1.0
            rate[row, trade.bar + 1], rate[row, trade.bar + 4] = 9e-4, 1e-4 * RATES[trade.day % 4]
        elif trade.day == UNKNOWN_DAY:
            settle[row, trade.day * BARS_PER_DAY : (trade.day + 1) * BARS_PER_DAY] = np.nan
    price = 100.0 * np.exp(np.cumsum(steps, axis=1))
    spread = np.repeat([[SPREADS[A]], [SPREADS[B]]], shape[1], axis=1)
    numbers = {"quote_volume": 1e6, "rv12": 1e-3, "rv288": 1e-3, "beta2016b": BETA, "tstat96": 1.5, "tstat288": 1.5}
    return PricePanel(
        (A, B),
        START,
        # No bar reaches as far as the extremes of the hour: a stop beyond them is never hit.
        {"open": price, "close": price, "high": 1.01 * price, "low": 0.99 * price}
        | {"spread_bps": spread, "funding_settle": settle, "funding_rate": rate}
        | {name: np.full(shape, value) for name, value in numbers.items()},
    )


def of(days: Iterable[int], symbol: str = "ALL", state: str = "ALL") -> list[Trade]:
    """The trades of a cell."""
    wanted = set(days)
    return [t for t in trades() if t.day in wanted and symbol in ("ALL", t.symbol) and state in ("ALL", t.state)]


def mean(own: list[Trade], value: Callable[[Trade], float]) -> float:
    return sum(value(trade) for trade in own) / len(own)


def clustered(own: list[Trade], value: Callable[[Trade], float]) -> tuple[float, float, int]:
    """Mean, its error from sums by day, and the number of days: Liang and Zeger, with G / (G - 1)."""
    centre = mean(own, value)
    sums: dict[int, float] = {}
    for trade in own:
        sums[trade.day] = sums.get(trade.day, 0.0) + value(trade) - centre
    count = len(sums)
    return centre, (count / (count - 1) * sum(x * x for x in sums.values())) ** 0.5 / len(own), count
