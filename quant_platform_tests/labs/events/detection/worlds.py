"""Small made-up markets for the event lab: quick, with every column, gaps, and enough drama for most events."""

from __future__ import annotations

import datetime as dt
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from quant_platform.labs.events.detection.plan import EventPlan, event_plan
from quant_platform.specification.event_lab import EventLab, load_event_lab

SPECS = Path(__file__).resolve().parents[4] / "specs"
START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
NAMES = ("BTCUSDT", "ETHUSDT", "LTCUSDT")


@cache
def lab() -> EventLab:
    return load_event_lab(SPECS)


@cache
def plan() -> EventPlan:
    return event_plan(lab())


def one_symbol(
    seed: int,
    rows: int = 13_000,
    symbol: str = "BTCUSDT",
    *,
    start: dt.datetime = START,
    common: np.ndarray | None = None,
    gap_share: float = 0.002,
    interval_hours: int = 8,
) -> pl.DataFrame:
    """Rows of clean.market_5m with all optional columns; volatility clusters, jumps drag every column along."""
    rng = np.random.default_rng(seed)
    log_sd = np.zeros(rows)
    for i in range(1, rows):
        log_sd[i] = 0.995 * log_sd[i - 1] + 0.06 * rng.normal()
    jump = (rng.random(rows) < 0.003) * rng.choice([-1.0, 1.0], rows) * rng.uniform(4, 12, rows)
    calm = 0.0012 * np.exp(log_sd)
    own = calm * (rng.standard_t(5, rows) / np.sqrt(5 / 3) + jump)
    returns = own if common is None else 0.6 * own + 0.8 * common
    stress = np.convolve(np.abs(jump) > 0, 0.8 ** np.arange(12))[:rows]
    close = 100 * np.exp(np.cumsum(returns))
    opened = np.concatenate([[100.0], close[:-1]])
    wick = calm * 100 * np.abs(rng.normal(0, 0.6, (2, rows)))
    volume = np.exp(rng.normal(3, 0.4, rows) + 0.5 * log_sd + 1.5 * stress)
    buying = np.clip(0.5 + 0.15 * returns / calm / 2 + rng.normal(0, 0.08, rows), 0.02, 0.98)
    basis = np.zeros(rows)
    for i in range(1, rows):
        basis[i] = 0.97 * basis[i - 1] + 0.8 * rng.normal() + 9 * np.sign(jump[i]) * (abs(jump[i]) > 9)
    every = interval_hours * 12
    settle = np.arange(rows) % every == 0
    level = np.repeat(1 + 3 * np.cumsum(rng.normal(0, 0.5, rows // every + 1)), every)[:rows]
    rate = np.round(np.clip(level, -30, 30) * interval_hours / 8, 4) / 10_000
    oi = np.exp(np.cumsum(rng.normal(0, 0.0006, rows) - 0.002 * np.roll(stress, 1))) * 1e6
    forced = stress * volume * close * 0.03
    numbers = {
        "open": opened,
        "high": np.maximum(opened, close) + wick[0],
        "low": np.minimum(opened, close) - wick[1],
        "close": close,
        "volume": volume,
        "quote_volume": volume * close,
        "trades": np.round(volume * 3),
        "taker_buy_volume": volume * buying,
        "spot_close": close * np.exp(-basis / 10_000),
        "funding_rate": rate,
        "funding_settle": settle.astype(float),
        "funding_interval_hours": np.full(rows, float(interval_hours)),
        "oi": oi,
        "liq_long_usd": forced * (returns < 0),
        "liq_short_usd": forced * (returns >= 0),
        "spread_bps": np.exp(rng.normal(0, 0.25, rows) + 0.2 * log_sd + stress),
        "bid_depth_usd": np.exp(rng.normal(14, 0.3, rows) - 0.8 * stress),
        "ask_depth_usd": np.exp(rng.normal(14, 0.3, rows) - 0.8 * stress),
    }
    missing = rng.random(rows) < gap_share
    missing[rows // 2 : rows // 2 + 15] = gap_share > 0
    for name in ("open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_buy_volume", "spot_close"):
        numbers[name] = np.where(missing, np.nan, numbers[name])
    bars = pl.datetime_range(start, start + dt.timedelta(minutes=5 * (rows - 1)), "5m", time_unit="us", eager=True)
    frame = pl.DataFrame({"symbol": [symbol] * rows, "bar": bars, **numbers})
    return frame.with_columns(month=pl.col("bar").dt.strftime("%Y-%m")).select("symbol", "month", "bar", *numbers)


def market(seed: int, rows: int = 13_000, names: tuple[str, ...] = NAMES) -> dict[str, pl.DataFrame]:
    """Several symbols that share half of their moves."""
    common = np.random.default_rng(seed).standard_t(5, rows) * 0.001
    return {name: one_symbol(seed + k + 1, rows, name, common=common) for k, name in enumerate(names)}
