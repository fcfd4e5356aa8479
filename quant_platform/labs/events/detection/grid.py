"""The grid of five-minute bars: numbering, months, and the checks that let rows stand for time."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.errors import SchemaViolation

BAR = timedelta(minutes=5)
BAR_US = 300_000_000

Stamps = npt.NDArray[np.int64]


def stamps(frame: pl.DataFrame) -> Stamps:
    """Open times of the bars in microseconds since 1970, one row per bar of one symbol's grid.

    Raises
    ------
    SchemaViolation
        A row does not follow its predecessor by exactly one bar, or several symbols are in the frame.
    """
    symbols = frame["symbol"]
    # To compare with the first costs far less than to count.
    if frame.height and not symbols.eq_missing(symbols.first()).all():
        raise SchemaViolation(
            "bars of several symbols were given at once",
            where="column symbol",
            how_many=f"{symbols.n_unique()} symbols",
            cause="a window would run from one symbol into the next",
            action="split by symbol first",
        )
    bars = frame["bar"].cast(pl.Datetime("us", "UTC")).to_physical().to_numpy()
    broken = np.flatnonzero(np.diff(bars) != BAR_US)
    if broken.size or (bars.size and bars[0] % BAR_US):
        rows = frame.select("symbol", "bar")[broken + 1] if broken.size else frame.select("symbol", "bar").head(1)
        raise SchemaViolation(
            "bars were not on the full five-minute grid",
            where="column bar",
            how_many=f"{broken.size} of {bars.size} rows",
            rows=rows,
            cause="a missing month, a repeated row, or a missing bar that is no row",
            action="give clean.market_5m, where a missing bar is a row of NaN, for consecutive months",
        )
    return np.asarray(bars, dtype=np.int64)


def month_start(month: str) -> datetime:
    """First bar of a month given as YYYY-MM."""
    return datetime.fromisoformat(f"{month}-01T00:00:00+00:00")


def months_before(month: str, bars: int) -> list[str]:
    """The month and those before it that ``bars`` earlier bars reach into, oldest first."""
    day = month_start(month)
    first = day - bars * BAR
    found = [month]
    while day > first:
        day = (day - timedelta(days=1)).replace(day=1)
        found.append(f"{day:%Y-%m}")
    return found[::-1]
