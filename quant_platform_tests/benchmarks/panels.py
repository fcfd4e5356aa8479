"""The markets the benchmarks run on: seeded, as panels and in the shapes of the lake's tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.tables import table

Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]

SEED = 20260102


@dataclass(frozen=True)
class Shape:
    """How large a benchmark is, and how often it is repeated after a warm-up."""

    names: int = 500
    sessions: int = 1260
    partitions: int = 633
    partition_rows: int = 3200
    repetitions: int = 7
    turns_with_peer: int = 5
    event_symbols: int = 20
    event_rows: int = 365 * 288


FULL = Shape()
REDUCED = Shape(
    names=40,
    sessions=400,
    partitions=6,
    partition_rows=50,
    repetitions=2,
    turns_with_peer=1,
    event_symbols=8,
    event_rows=60 * 288,
)


def weekdays(count: int, start: date = date(2018, 1, 1)) -> list[date]:
    """The first ``count`` weekdays from a date: enough like sessions for a timing."""
    days = (start + timedelta(days=k) for k in range(2 * count))
    return [day for day in days if day.weekday() < 5][:count]


def week_ends(days: list[date]) -> list[date]:
    """The Fridays among some weekdays."""
    return [day for day in days if day.weekday() == 4]


def tickers(count: int) -> list[str]:
    """Names that sort like their columns."""
    return [f"N{k:04d}" for k in range(count)]


def complete_market(sessions: int, names: int, seed: int = SEED) -> Floats:
    """``[sessions, names]`` closes of a one-factor market with Student t(5) shocks.

    Every name lives throughout. Libraries that treat delistings differently do the same work on it and must agree.
    """
    rng = np.random.default_rng(seed)
    market = 0.008 * rng.standard_t(5, sessions)
    own = 0.018 * rng.standard_t(5, (sessions, names))
    return 50.0 * np.exp(np.cumsum(market[:, None] + own - 0.0003, axis=0))


def uneven_market(sessions: int, names: int, seed: int = SEED) -> Floats:
    """The same with what real markets have: 20 % of the names listed late, 5 % delisted, and strong bull runs.

    In a bull run many names stand at their 52-week high at once, so that their proximity to it is tied at 1.
    """
    rng = np.random.default_rng(seed + 1)
    market = 0.001 + 0.008 * rng.standard_t(5, sessions)
    own = 0.008 * rng.standard_t(5, (sessions, names))
    panel: Floats = 50.0 * np.exp(np.cumsum(market[:, None] + own, axis=0))
    late, dead = names // 5, names // 20
    for name in range(late):
        panel[: rng.integers(20, sessions // 2), name] = np.nan
    for name in range(late, late + dead):
        panel[rng.integers(sessions // 2, sessions - 1) :, name] = np.nan
    return panel


def clean_bars(shape: Shape, seed: int = SEED) -> Iterator[pl.DataFrame]:
    """``clean.equity_bars`` of each name of the complete market: consistent bars, nothing missing."""
    rng = np.random.default_rng(seed + 2)
    close = complete_market(shape.sessions, shape.names)
    opened = np.vstack([close[:1], close[:-1]]) * np.exp(0.004 * rng.standard_normal(close.shape))
    reach = np.exp(0.008 * np.abs(rng.standard_normal((2, *close.shape))))
    high, low = np.maximum(opened, close) * reach[0], np.minimum(opened, close) / reach[1]
    volume = np.round(rng.lognormal(13.0, 0.5, close.shape))
    days, columns = weekdays(shape.sessions), table("clean.equity_bars").schema.columns()
    for k, ticker in enumerate(tickers(shape.names)):
        yield pl.DataFrame(
            {
                "ticker": ticker,
                "session": days,
                "open": opened[:, k],
                "high": high[:, k],
                "low": low[:, k],
                "close": close[:, k],
                "volume": volume[:, k],
                "close_unadjusted": close[:, k],
                "dollar_volume": close[:, k] * volume[:, k],
                "adjustment_factor": 1.0,
                "missing_reason": None,
                "suspect": None,
            },
            schema_overrides={name: column.dtype for name, column in columns.items()},
        )


def raw_bars(clean: pl.DataFrame) -> pl.DataFrame:
    """The bars of one name as a vendor would have delivered them."""
    columns = table("raw.equity_bars").schema.columns()
    return (
        clean.with_row_index("source_row")
        .with_columns(adjustment=pl.lit("none"), source=pl.lit("benchmark"))
        .select(pl.col(name).cast(column.dtype) for name, column in columns.items())
    )


def dividends(clean: pl.DataFrame) -> pl.DataFrame:
    """``raw.corporate_actions`` of one name: a dividend a quarter."""
    columns = table("raw.corporate_actions").schema.columns()
    days = clean["session"].gather_every(63, offset=62)
    return pl.DataFrame(
        {
            "ticker": clean["ticker"][0],
            "ex_date": days,
            "kind": "cash_dividend",
            "value": 0.1,
            "known_at": days.cast(pl.Datetime("us", "UTC")),
            "source": "benchmark",
        }
    ).select(pl.col(name).cast(column.dtype) for name, column in columns.items())
