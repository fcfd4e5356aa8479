"""What a panel derives from prices or returns: places on the grid, endings, trailing windows, standard exposures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.labs.suite.panel import Places
from quant_platform.labs.suite.sessions import DayRows

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Longs = npt.NDArray[np.int64]
Days = npt.NDArray[np.datetime64]

# Bars that end earlier than this before the market's end are those of a name that is gone.
ENDED_AFTER_SESSIONS = 10
_EXTREME = 3.0


def standardise(values: Floats, inside: Bools) -> Floats:
    """Standardise each row over the universe: mean 0, standard deviation 1, nothing beyond three of them.

    An exposure is a control, not a signal: one name with an absurd ratio must not decide what is left of the others.
    """
    kept = np.where(inside & np.isfinite(values), values, np.nan)
    count = np.maximum(np.isfinite(kept).sum(axis=1, keepdims=True), 1)
    mean = np.nansum(kept, axis=1, keepdims=True) / count
    sd = np.sqrt(np.nansum((kept - mean) ** 2, axis=1, keepdims=True) / count)
    z = np.divide(kept - mean, sd, out=np.zeros_like(kept), where=sd > 0.0)
    return np.where(np.isfinite(kept), np.clip(z, -_EXTREME, _EXTREME), np.nan)


class Grid:
    """Places of sessions and tickers."""

    def __init__(self, days: Days, tickers: tuple[str, ...]) -> None:
        self.days = days
        self.tickers = tickers
        self.shape = (len(days), len(tickers))
        self._names = pl.Enum(tickers)
        self._of_day = DayRows(days)

    def places(self, frame: pl.DataFrame) -> Places:
        """The place of each line."""
        names = frame["ticker"]
        if names.dtype != self._names:
            names = names.cast(pl.String).cast(self._names, strict=False)
        columns = names.to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
        return Places(self.shape, self._of_day.rows(frame["session"].to_numpy()), columns)

    def spread(self, frame: pl.DataFrame, column: str) -> Floats:
        """One column as ``[T, N]``, NaN where there is no row."""
        return self.places(frame).lay(frame[column].cast(pl.Float64).fill_null(np.nan).to_numpy())


def endings(actions: pl.DataFrame, priced: Bools, grid: Grid) -> tuple[Longs, Floats]:
    """Row of the last price of each name that is gone, the number of rows for the others; and what it was paid out.

    What was paid out is NaN where nobody says.

    Parameters
    ----------
    actions
        ``ticker, kind, value``: delistings are read.
    priced
        ``[T, N]`` where each name had a price.
    grid
        Their places.

    Notes
    -----
    A name is gone with its stated delisting, or when its prices end ten sessions too early.
    """
    sessions = priced.shape[0]
    some = priced.any(axis=0)
    final = np.where(some, sessions - 1 - priced[::-1].argmax(axis=0), sessions - 1)
    stated = dict(actions.filter(pl.col("kind") == "delisting").select("ticker", "value").iter_rows())
    payout = np.array([stated.get(name, np.nan) for name in grid.tickers], dtype=np.float64)
    delisted = np.array([name in stated for name in grid.tickers])
    gone = (delisted & (final < sessions - 1)) | (final < sessions - 1 - ENDED_AFTER_SESSIONS)
    return np.where(gone, final, sessions).astype(np.int64), payout


def rolling(values: Floats, window: int, what: str) -> Floats:
    """Trailing mean or standard deviation per column over at least half of the window."""
    frame = pl.DataFrame(values).fill_nan(None)
    column, half = pl.all(), max(2, window // 2)
    made = (
        column.rolling_mean(window, min_samples=half)
        if what == "mean"
        else column.rolling_std(window, min_samples=half)
    )
    return np.ascontiguousarray(frame.select(made).fill_null(np.nan).to_numpy())


def mean_of(values: Floats) -> Floats:
    """Mean of each row over the names that have a value; NaN where none has."""
    present = np.isfinite(values)
    total, names = np.where(present, values, 0.0).sum(axis=1), present.sum(axis=1)
    result: Floats = np.divide(total, names, out=np.full(total.shape, np.nan), where=names > 0)
    return result


def trailing_beta(returns: Floats, market: Floats, window: int) -> Floats:
    """Trailing covariance with the market over its variance, on the rows on which name and market have a return."""
    present = np.isfinite(returns) & np.isfinite(market)[:, np.newaxis]
    r, m = np.where(present, returns, np.nan), np.where(present, market[:, np.newaxis], np.nan)
    mean_r, mean_m = rolling(r, window, "mean"), rolling(m, window, "mean")
    cross = rolling(r * m, window, "mean") - mean_r * mean_m
    variance = rolling(m * m, window, "mean") - mean_m**2
    beta: Floats = np.divide(cross, variance, out=np.full(cross.shape, np.nan), where=variance > 1e-12)
    return beta


def trailing_momentum(carried: Floats, priced: Bools, start: int, skip: int) -> Floats:
    """Return from ``start`` to ``skip`` rows ago over prices that are carried over holes; NaN without a price today."""
    out = np.full(carried.shape, np.nan)
    if carried.shape[0] > start:
        with np.errstate(invalid="ignore", divide="ignore"):
            out[start:] = carried[start - skip : carried.shape[0] - skip] / carried[: carried.shape[0] - start] - 1.0
    return np.where(priced, out, np.nan)
