"""Bars for parity cases: drawn with a seed, written by hand, or read from a folder of real ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_platform.contracts.errors import SourceNotFound
from quant_platform.engine.backtest import Bars, Event
from quant_platform.market.calendar import sessions

Floats = NDArray[np.float64]
Line = tuple[float, float, float, float]
FIRST_DAY = date(2010, 1, 4)
BITCOIN_FILE = "binance_um_5m_2023_2024/BTC_USDT_USDT-5m-futures.parquet"
MEMBERS_FILE = "us_sp500_daily_2000_2015/sp500_members_daily.parquet"


def random_bars(
    assets: int,
    bars: int,
    seed: int,
    *,
    volatility: float = 0.015,
    start: float = 100.0,
    step: timedelta | None = None,
    halted: float = 0.0,
) -> Bars:
    """Random walks with gaps between the bars, prices in cents.

    Parameters
    ----------
    assets, bars
        How many.
    seed
        Of the generator.
    volatility
        Standard deviation of the log return of a bar; gaps and the reach beyond open and close have a third of it.
    start
        Price around which they begin.
    step
        Time between bars around the clock; None for sessions of the New York exchange.
    halted
        Share of the bars that are missing.
    """
    draw = np.random.default_rng(seed)
    shape = (bars, assets)
    gap, move = draw.normal(0.0, volatility / 3.0, shape), draw.normal(0.0, volatility, shape)
    log_close = np.log(start) + draw.normal(0.0, 0.3, assets) + np.cumsum(gap + move, axis=0)
    # A walk that is drawn back to where it began stays in cents that mean something, for any number of bars.
    log_close -= np.linspace(0.0, 1.0, bars)[:, None] * 0.9 * (log_close[-1] - log_close[0])
    close = np.maximum(np.round(np.exp(log_close), 2), 1.0)
    before = np.vstack([close[:1], close[:-1]])
    open_ = np.maximum(np.round(before * np.exp(gap), 2), 1.0)
    reach = np.abs(draw.normal(0.0, volatility / 3.0, (2, *shape)))
    high = np.round(np.maximum(open_, close) * (1.0 + reach[0]), 2)
    low = np.round(np.minimum(open_, close) * (1.0 - reach[1]), 2)
    volume = draw.integers(50_000, 500_000, shape).astype(np.float64)
    missing = draw.random(shape) < halted
    missing[0] = False
    first, top, bottom, last = (np.where(missing, np.nan, price) for price in (open_, high, low, close))
    return Bars(
        tuple(f"A{column:03d}" for column in range(assets)),
        _stamps(bars, step),
        first,
        top,
        bottom,
        last,
        volume=np.where(missing, np.nan, volume),
    )


def bars_of(
    *assets: Sequence[Line | None], volume: Sequence[float] | None = None, delisted: Event | None = None
) -> Bars:
    """Bars written by hand, one list of (open, high, low, close) per asset, None for a bar that is missing."""
    missing = (np.nan,) * 4
    panel = np.array([[line or missing for line in lines] for lines in assets], dtype=np.float64).transpose(2, 1, 0)
    size = np.full(panel.shape[1:], 1_000_000.0)
    if volume is not None:
        size = np.repeat(np.asarray(volume, dtype=np.float64)[:, None], panel.shape[2], axis=1)
    return Bars(
        tuple("ABCDEFGH"[: len(assets)]),
        _stamps(panel.shape[1], None),
        panel[0],
        panel[1],
        panel[2],
        panel[3],
        volume=np.where(np.isnan(panel[0]), np.nan, size),
        delistings=() if delisted is None else (delisted,),
    )


def bitcoin(folder: Path | None, *, minutes: int, bars: int) -> Bars:
    """Bitcoin's perpetual in bars of five minutes or of days; a seeded series of that many bars without a folder.

    Raises
    ------
    SourceNotFound
        When the folder is given and the file is not in it.
    """
    if folder is None:
        step = timedelta(minutes=minutes)
        deep = 0.03 if minutes > 60 else 0.0015
        made = random_bars(1, bars, 20_240_101, volatility=deep, start=30_000.0, step=step)
        return Bars(("BTC",), made.stamps, made.open, made.high, made.low, made.close, volume=made.volume)
    frame = _read(folder, BITCOIN_FILE).sort("date").with_columns(pl.col("date").dt.replace_time_zone(None))
    if minutes > 5:
        frame = frame.group_by_dynamic("date", every=f"{minutes}m").agg(
            pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close").last(),
            pl.col("volume").sum(),
        )  # fmt: skip
    frame = frame.tail(bars).with_columns(asset=pl.lit("BTC"))
    return Bars.from_frame(frame, asset="asset", stamp="date")


def members(folder: Path | None, tickers: Sequence[str], first: date, last: date) -> Bars:
    """Real daily bars of members of the S&P 500; seeded ones of the same span without a folder."""
    days = sessions("XNYS", first, last)
    if folder is None:
        made = random_bars(len(tickers), len(days), 20_000_103, volatility=0.02)
        stamps = np.array(days, dtype="datetime64[ns]").astype(np.int64)
        return Bars(tuple(tickers), stamps, made.open, made.high, made.low, made.close, volume=made.volume)
    names = {"Date": "session", "Open": "open", "High": "high", "Low": "low", "Close": "close", "Volume": "volume"}
    frame = _read(folder, MEMBERS_FILE).rename(names)
    wanted = frame.with_columns(pl.col("session").cast(pl.Date), pl.col("ticker").str.to_uppercase()).filter(
        pl.col("ticker").is_in(list(tickers)), pl.col("session").is_between(first, last)
    )
    # A session without any of them is a session all the same: a calendar's bars have no holes.
    every = pl.DataFrame({"session": days}).join(pl.DataFrame({"ticker": list(tickers)}), how="cross")
    return Bars.from_frame(
        every.join(wanted, on=["session", "ticker"], how="left").with_columns(
            high=pl.max_horizontal("open", "high", "low", "close"), low=pl.min_horizontal("open", "low", "close"),
        )
    )  # fmt: skip


def _read(folder: Path, name: str) -> pl.DataFrame:
    path = folder / name
    if not path.is_file():
        raise SourceNotFound(
            f"the folder of real bars has no {name}", where=str(folder), action="leave --data out to draw bars instead"
        )
    return pl.read_parquet(path)


def _stamps(bars: int, step: timedelta | None) -> NDArray[np.int64]:
    if step is not None:
        first = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000_000
        if step >= timedelta(days=1):
            first = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000_000
        return first + np.arange(bars, dtype=np.int64) * int(step.total_seconds() * 1e9)
    # Longer cases begin earlier, so that every one ends in the past.
    first_day = FIRST_DAY if bars <= 2500 else date(1995, 1, 3)
    days = sessions("XNYS", first_day, first_day + timedelta(days=int(bars * 1.5) + 20))
    return np.array(days[:bars], dtype="datetime64[ns]").astype(np.int64)
