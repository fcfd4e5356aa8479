from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl

START = dt.date(2015, 1, 2)


def simulated_bars(seed: int, rows: int = 700, gap_share: float = 0.01, ticker: str = "SIM") -> pl.DataFrame:
    """Random-walk bars in the columns of clean.equity_bars; weekdays stand for sessions, gaps are rows of NaN."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0.0003, 0.02, rows)))
    opened = close * np.exp(rng.normal(0, 0.006, rows))
    high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0, 0.006, rows)))
    low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0, 0.006, rows)))
    volume = np.round(np.exp(rng.normal(13, 0.4, rows)))
    numbers = {
        "open": opened,
        "high": high,
        "low": low,
        "close": close,
        "volume": volume,
        "close_unadjusted": 2 * close,
        "dollar_volume": close * volume,
        "adjustment_factor": np.full(rows, 0.5),
    }
    missing = rng.random(rows) < gap_share
    for name in ("open", "high", "low", "close", "volume", "close_unadjusted", "dollar_volume"):
        numbers[name][missing] = np.nan
    weekdays = pl.date_range(START, START + dt.timedelta(days=2 * rows), eager=True)
    sessions = weekdays.filter(weekdays.dt.weekday() <= 5).head(rows)
    return pl.DataFrame({"ticker": [ticker] * rows, "session": sessions, **numbers})
