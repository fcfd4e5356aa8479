"""Markets without an edge, and the trades a replay would make in them: what its intervals must cover is known.

Prices are martingales, a trade ends at the close that reaches its stop or target or at its horizon, and nothing is
charged: by optional stopping the expectancy of every choice made from the past is zero. The chance of a hit has no
closed form with a horizon; it is the share over all worlds of a design.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import numba
import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.tables import table
from quant_platform.labs.equity.setups.gate import apply_gate
from quant_platform.specification.activation import ActivationSpec

Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Design = Literal["industry", "plain"]
DESIGNS: tuple[Design, ...] = ("industry", "plain")

MONDAY = date(2000, 1, 3)
SESSIONS_A_WEEK, MOMENTUM_SESSIONS, SKIPPED_SESSIONS = 5, 252, 21
INDUSTRIES, INDUSTRY_SD = 6, 0.012
_SCHEMA = table("replay.qualified").schema


@dataclass(frozen=True)
class Size:
    """How large a world is."""

    names: int = 60
    years: int = 10
    horizon_sessions: int = 30


@numba.njit(cache=True)
def _follow(
    price: Floats,
    entry: Longs,
    name: Longs,
    direction: Floats,
    distance: Floats,
    rr: Floats,
    horizon: int,
    result: Floats,
    outcome: Longs,
    held: Longs,
) -> None:  # pragma: no cover - compiled
    """Result in R, 1 for a target, -1 for a stop, 0 for the horizon; the entry session counts as the first."""
    for i in range(entry.size):
        start = price[entry[i], name[i]]
        for k in range(1, horizon):
            r = direction[i] * (price[entry[i] + k, name[i]] / start - 1.0) / distance[i]
            result[i] = r
            held[i] = k + 1
            if r <= -1.0:
                outcome[i] = -1
                break
            if r >= rr[i]:
                outcome[i] = 1
                break


def replay_world(design: Design, seed: int, activation: ActivationSpec, size: Size | None = None) -> pl.DataFrame:
    """Trades of one world, as rows of ``replay.qualified``.

    Parameters
    ----------
    design
        ``plain``: a market with volatility that persists, and names with their own noise; ``industry``: six industries
        on top, so that trades of neighbouring weeks share more than the market.
    seed
        Of everything drawn.
    activation
        The gate that qualifies.
    size
        Names, years and horizon.
    """
    size = size or Size()
    rng = np.random.default_rng([seed, DESIGNS.index(design)])
    warm_up = MOMENTUM_SESSIONS + 8
    sessions = warm_up + size.years * MOMENTUM_SESSIONS + size.horizon_sessions + 2
    price, sd = _prices(rng, design, sessions, size.names)
    last = np.arange(warm_up, sessions - size.horizon_sessions - 2, SESSIONS_A_WEEK)
    week, name = (each.ravel() for each in np.meshgrid(np.arange(last.size), np.arange(size.names), indexing="ij"))
    moved = (price[last] / price[last - 10] - 1.0) / (sd * math.sqrt(10))
    momentum = price[last - SKIPPED_SESSIONS] / price[last - MOMENTUM_SESSIONS]
    percentile = 100.0 * (momentum.argsort(axis=1).argsort(axis=1) + 0.5) / size.names

    chosen = rng.random(week.size) < 0.25
    week, name = week[chosen], name[chosen]
    n = week.size
    # Three in four are long, more of them after a fall.
    direction = np.where(moved[week, name] + 0.7 * rng.standard_normal(n) < 0.9, 1.0, -1.0)
    distance, rr = sd[name] * rng.uniform(2.0, 5.0, n), rng.uniform(0.6, 3.0, n)
    result, outcome, held = np.zeros(n), np.zeros(n, np.int64), np.zeros(n, np.int64)
    _follow(price, last[week] + 1, name, direction, distance, rr, size.horizon_sessions, result, outcome, held)
    # A model that is too bold about what is near: its correction has something to do.
    stated = 1.0 / (1.0 + np.exp(1.3 * np.log(rr) + 0.2 * rng.standard_normal(n)))
    mondays = np.datetime64(MONDAY) + 7 * week.astype("timedelta64[D]")
    rows = pl.DataFrame(
        {
            "week": mondays,
            "ticker": [f"T{each:03}" for each in name],
            "date_sig": mondays + np.timedelta64(4, "D"),
            "direction": np.where(direction > 0, "long", "short"),
            "percentile": percentile[week, name],
            "rr": rr,
            "target_probability": stated,
            "expected_value_r": stated * rr - (1.0 - stated),
            "confidence": rng.uniform(20.0, 90.0, n),
            "conflict": False,
            "outcome": np.array(["stop", "timeout", "target"])[outcome + 1],
            "realised_r": result,
            "bars_held": held,
            # Sessions to calendar days: five in a week.
            "resolved_at": mondays + ((4 + 1 + held) // 5 * 7 + (4 + held) % 5).astype("timedelta64[D]"),
        }
    )
    judged = apply_gate(rows, activation)
    return judged.select(pl.col(column).cast(each.dtype) for column, each in _SCHEMA.columns().items()).sort(
        "week", "ticker", "direction"
    )


def after_everything(rows: pl.DataFrame) -> date:
    """A Monday at which every outcome is known."""
    latest = rows["resolved_at"].max()
    assert isinstance(latest, date)
    return latest + timedelta(days=7 - latest.weekday())


def _prices(rng: np.random.Generator, design: Design, sessions: int, names: int) -> tuple[Floats, Floats]:
    """Closes ``[session, name]`` of a martingale, and the daily standard deviation of each name."""
    volatility = np.zeros(sessions)
    shocks = rng.standard_normal(sessions)
    for t in range(1, sessions):
        volatility[t] = 0.985 * volatility[t - 1] + 0.1 * shocks[t]
    market = 0.009 * np.exp(volatility - 0.15) * rng.standard_t(5, sessions) * math.sqrt(3.0 / 5.0)
    own = 0.018 * np.exp(0.35 * rng.standard_normal(names))
    returns = market[:, None] * (1.0 + 0.3 * rng.standard_normal(names))
    returns = returns + own * rng.standard_t(4, (sessions, names)) * math.sqrt(2.0 / 4.0)
    if design == "industry":
        factor = INDUSTRY_SD * rng.standard_normal((sessions, INDUSTRIES))
        returns = returns + factor[:, np.arange(names) % INDUSTRIES]
    # Bounded on both sides alike, which keeps the mean at zero.
    price: Floats = np.cumprod(1.0 + np.clip(returns, -0.4, 0.4), axis=0)
    spread: Floats = np.sqrt(own**2 + 0.011**2 + (INDUSTRY_SD**2 if design == "industry" else 0.0))
    return price, spread
