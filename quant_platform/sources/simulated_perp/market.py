"""The simulated market of perpetuals as raw tables, made once per process and spec."""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_platform.sources.perp_protocol import (
    bars_schema,
    book_schema,
    funding_schema,
    liquidations_schema,
    open_interest_schema,
)
from quant_platform.sources.simulated_perp.draws import BARS_PER_DAY, draw, streams
from quant_platform.sources.simulated_perp.kernel import Path, run
from quant_platform.specification.perp_sources import SimulatedPerpSpec

Floats = NDArray[np.float64]
Stamps = NDArray[np.datetime64]

_BAR = np.timedelta64(5, "m")
_DECIMALS = 8


@dataclass(frozen=True)
class SimulatedPerpMarket:
    """All raw tables of one market, by symbol, over its whole length.

    Attributes
    ----------
    bars, spot_bars, funding, open_interest, liquidations, book
        The raw tables.
    oracle
        ``symbol, bar, mu``: the expected log return of the perpetual's bar, E[r_t | F_(t-1)], sorted by both. The true
        effect of a rule is the mean of side x direction x the sum of ``mu`` over the bars it holds.
    """

    bars: Mapping[str, pl.DataFrame]
    spot_bars: Mapping[str, pl.DataFrame]
    funding: Mapping[str, pl.DataFrame]
    open_interest: Mapping[str, pl.DataFrame]
    liquidations: Mapping[str, pl.DataFrame]
    book: Mapping[str, pl.DataFrame]
    oracle: pl.DataFrame


@lru_cache(maxsize=2)
def simulate(spec: SimulatedPerpSpec, source: str = "simulated_perp") -> SimulatedPerpMarket:
    """Make the market of a spec; the same spec gives the same bits."""
    random = streams(spec.seed)
    opens = bar_opens(spec)
    minutes = opens.astype("datetime64[m]").astype(np.int64)
    draws = draw(spec, minutes, random)
    path = run(spec, draws, minutes)
    keep = slice(spec.burn_in_days * BARS_PER_DAY, None)
    values = _values(spec, path, keep, random)
    stamps = opens[keep]
    names = symbols(spec)
    jitter = random["jitter"].integers(0, spec.carry.stamp_jitter_ms + 1, path.funding.shape)[keep]
    tables = [_tables(name, stamps, values, jitter, i, spec, source) for i, name in enumerate(names)]
    oracle = pl.concat(
        pl.DataFrame({"bar": stamps, "mu": path.expected[keep, i].copy()}).select(
            pl.lit(name).alias("symbol"), pl.col("bar").dt.replace_time_zone("UTC"), "mu"
        )
        for i, name in enumerate(names)
    )
    by_kind = {kind: {name: each[kind] for name, each in zip(names, tables, strict=True)} for kind in tables[0]}
    return SimulatedPerpMarket(oracle=oracle, **by_kind)


def symbols(spec: SimulatedPerpSpec) -> list[str]:
    """Names of the perpetuals, sorted."""
    return [f"SIM{i + 1:02d}USDT" for i in range(spec.symbols)]


def months(spec: SimulatedPerpSpec) -> list[str]:
    """Months of the market, YYYY-MM."""
    first = spec.start.year * 12 + spec.start.month - 1
    return [f"{m // 12:04d}-{m % 12 + 1:02d}" for m in range(first, first + spec.months)]


def bar_opens(spec: SimulatedPerpSpec) -> Stamps:
    """Open time of every bar, the burn-in included, ``datetime64[us]``."""
    last = months(spec)[-1]
    year, month = int(last[:4]), int(last[5:])
    end = np.datetime64(date(year, month, calendar.monthrange(year, month)[1]), "us") + np.timedelta64(1, "D")
    start = np.datetime64(spec.start, "us") - np.timedelta64(spec.burn_in_days, "D")
    return np.arange(start, end, _BAR.astype("timedelta64[us]"))


def _values(
    spec: SimulatedPerpSpec, path: Path, keep: slice, random: Mapping[str, np.random.Generator]
) -> dict[str, Floats]:
    """Columns of all tables, shape (bars, symbols), after the burn-in."""
    n = spec.symbols
    rank = np.arange(1, n + 1, dtype=np.float64)
    size = rank**-1.2
    returns, sigma = path.returns[keep], path.sigma[keep]
    close = spec.start_price / 6.0 ** (rank - 1.0) * np.exp(np.cumsum(returns, axis=0))
    opened = close / np.exp(returns)
    high, low = _extremes(returns, sigma, random["extremes"], opened, close)

    ratio = np.log(sigma / (spec.volatility.daily_by_regime[1] / np.sqrt(BARS_PER_DAY)))
    surprise = np.abs(returns - path.expected[keep]) / sigma
    flow = spec.book_flow
    noise = 0.25 * random["volume"].normal(size=returns.shape)
    quiet = flow.daily_volume_usd / BARS_PER_DAY * size * np.exp(0.9 * ratio + 0.2 * surprise + noise)

    base_interest = spec.positions.open_interest_usd * size / close[0]
    interest = base_interest * np.exp(path.log_interest[keep])
    liq_long = path.liquidated_long[keep] * interest * close
    liq_short = path.liquidated_short[keep] * interest * close
    quote_volume = quiet + liq_long + liq_short
    volume = quote_volume / np.sqrt(opened * close)
    share = np.clip(path.taker[keep], 0.02, 0.98)

    illiquidity = path.illiquidity[keep]
    book = random["book"]
    depth = flow.depth_usd * size * np.exp(-0.5 * ratio - 0.9 * illiquidity)
    basis = path.basis[keep] / 1e4
    spot_close = close / (1.0 + basis)
    spot_open = np.vstack([spot_close[:1], spot_close[:-1]])
    spot = random["spot"]
    spot_high, spot_low = _extremes(np.log(spot_close / spot_open), sigma, spot, spot_open, spot_close)
    spot_volume = 0.3 * volume * np.exp(0.3 * spot.normal(size=volume.shape))
    return {
        "open": opened,
        "high": high,
        "low": low,
        "close": close,
        "volume": volume,
        "quote_volume": quote_volume,
        "trades": np.ceil(quote_volume / flow.trade_usd),
        "taker_buy_volume": volume * share,
        "spot_open": spot_open,
        "spot_high": spot_high,
        "spot_low": spot_low,
        "spot_close": spot_close,
        "spot_volume": spot_volume,
        "funding_rate": np.round(path.funding[keep] / 1e4 * spec.carry.interval_hours / 8.0, _DECIMALS),
        "open_interest": interest,
        "liq_long_usd": liq_long,
        "liq_short_usd": liq_short,
        "spread_bps": flow.spread_bps
        * rank**0.6
        * np.exp(0.45 * ratio + 0.9 * illiquidity + 0.1 * book.normal(size=ratio.shape)),
        "bid_depth_usd": depth * np.exp(0.15 * book.normal(size=ratio.shape)),
        "ask_depth_usd": depth * np.exp(0.15 * book.normal(size=ratio.shape)),
    }


def _extremes(
    returns: Floats, sigma: Floats, random: np.random.Generator, opened: Floats, close: Floats
) -> tuple[Floats, Floats]:
    """Extremes of a Brownian bridge from open to close."""
    up, down = 1.0 - random.random(returns.shape), 1.0 - random.random(returns.shape)
    above = (returns + np.sqrt(returns**2 - 2.0 * sigma**2 * np.log(up))) / 2.0
    below = (returns - np.sqrt(returns**2 - 2.0 * sigma**2 * np.log(down))) / 2.0
    high: Floats = np.maximum(opened * np.exp(above), np.maximum(opened, close))
    low: Floats = np.minimum(opened * np.exp(below), np.minimum(opened, close))
    return high, low


def _tables(
    name: str,
    stamps: Stamps,
    values: Mapping[str, Floats],
    jitter: NDArray[np.int64],
    i: int,
    spec: SimulatedPerpSpec,
    source: str,
) -> dict[str, pl.DataFrame]:
    columns = {key: np.ascontiguousarray(value[:, i]) for key, value in values.items()}
    base = pl.DataFrame({"bar": stamps, **columns}).with_columns(
        pl.col("bar").dt.replace_time_zone("UTC"),
        pl.lit(name).alias("symbol"),
        pl.lit(source).alias("source"),
    )
    base = base.with_columns(
        pl.col("bar").dt.strftime("%Y-%m").alias("month"),
        (pl.col("bar") + pl.duration(minutes=5)).alias("known_at"),
    )
    rows = base.with_columns(
        pl.col("bar").alias("open_time"),
        pl.lit(300, dtype=pl.Int64).alias("interval_seconds"),
        pl.int_range(pl.len(), dtype=pl.Int64).over("month").alias("source_row"),
    )
    spot = rows.drop("open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_buy_volume").rename(
        {f"spot_{key}": key for key in ("open", "high", "low", "close", "volume")}
    )
    spot = spot.with_columns(pl.lit(None).alias(key) for key in ("quote_volume", "trades", "taker_buy_volume"))
    settled = base.with_columns(pl.Series("jitter", jitter[:, i])).filter(pl.col("funding_rate").is_not_nan())
    late = pl.col("bar") + pl.duration(milliseconds=pl.col("jitter"))
    settled = settled.with_columns(
        late.alias("settle_time"),
        late.alias("known_at"),
        pl.lit(float(spec.carry.interval_hours)).alias("interval_hours"),
    )
    # Open interest at the close of a bar is stamped with that time, and published a bar later.
    interest = base.with_columns(pl.col("known_at").alias("stamp")).with_columns(
        (pl.col("stamp") + pl.duration(minutes=5)).alias("known_at"),
        pl.col("stamp").dt.strftime("%Y-%m").alias("month"),
    )
    interest = interest.filter(pl.col("month").is_in(months(spec)))
    return {
        "bars": _as(rows, bars_schema()),
        "spot_bars": _as(spot, bars_schema()),
        "funding": _as(settled, funding_schema()),
        "open_interest": _as(interest, open_interest_schema()),
        "liquidations": _as(base, liquidations_schema()),
        "book": _as(base, book_schema()),
    }


def _as(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    return frame.select(schema.names()).cast(schema)
