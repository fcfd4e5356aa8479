"""Long tables to ``[sessions, names]`` panels, and the forward returns a factor is judged against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.errors import StatisticError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Axes:
    """The sessions and names that every panel of one study shares."""

    sessions: tuple[date, ...]
    tickers: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """``(sessions, names)``."""
        return len(self.sessions), len(self.tickers)


@dataclass(frozen=True)
class ForwardReturns:
    """Returns that follow each rebalance.

    Attributes
    ----------
    simple
        ``[R, N]`` simple return; NaN where it cannot be known or could not be earned.
    ended
        ``[R, N]`` True where the window ends at a delisting instead of at its horizon.
    untold
        ``[R, N]`` True where it would end so and nobody said what came after the last close.
    """

    simple: Floats
    ended: Bools
    untold: Bools


def axes_of(frame: pl.DataFrame) -> Axes:
    """Collect the sorted sessions and tickers of a long table."""
    return Axes(
        tuple(frame.get_column("session").unique().sort().to_list()),
        tuple(frame.get_column("ticker").unique().sort().to_list()),
    )


def panel(frame: pl.DataFrame, column: str, axes: Axes) -> Floats:
    """Spread one column of a long table over ``[sessions, names]``; what has no row, or a null, is NaN.

    Raises
    ------
    StatisticError
        When a (ticker, session) pair occurs twice: a pivot would silently keep one of them.
    """
    rows = pl.Series(axes.sessions, dtype=pl.Date)
    positions = frame.select(
        row=pl.col("session").replace_strict(rows, pl.Series(np.arange(len(axes.sessions))), default=None),
        name=pl.col("ticker").cast(pl.String).cast(pl.Enum(axes.tickers), strict=False).to_physical().cast(pl.Int64),
        value=pl.col(column).cast(pl.Float64),
    ).drop_nulls(["row", "name"])
    flat = positions["row"].to_numpy() * len(axes.tickers) + positions["name"].to_numpy()
    # Counted in place: np.unique would cost ten times as much as the rest of this function.
    repeated = flat.size - np.count_nonzero(np.bincount(flat, minlength=1))
    if repeated:
        raise StatisticError(
            f"a ticker has two rows for one session in the column {column!r}",
            how_many=f"{repeated} of {flat.size} rows",
            cause="two tables were stacked, or a partition was read twice",
        )
    out = np.full(axes.shape[0] * axes.shape[1], np.nan)
    out[flat] = positions["value"].fill_null(np.nan).to_numpy()
    return out.reshape(axes.shape)


def week_last_rows(sessions: Sequence[date]) -> Longs:
    """Positions of the last session of each ISO week; a last week that may not be over counts as it stands."""
    weeks = [day.isocalendar()[:2] for day in sessions]
    last = [k for k in range(len(weeks)) if k + 1 == len(weeks) or weeks[k + 1] != weeks[k]]
    return np.array(last, dtype=np.int64)


def forward_returns(
    close: Floats,
    rows: Longs,
    *,
    horizon_sessions: int,
    entry_lag_sessions: int,
    ended: Bools,
    delisting_return: Floats,
    unknown_delisting_return: float,
) -> ForwardReturns:
    """Simple returns from ``close[t + lag]`` to ``close[t + lag + horizon]``.

    Parameters
    ----------
    close
        ``[T, N]`` adjusted closes; NaN where the session is missing or the name not listed.
    rows
        ``[R]`` positions of the rebalances.
    horizon_sessions, entry_lag_sessions
        Horizon and lag in sessions.
    ended
        ``[N]`` True where the name was delisted: its last close is the end of its life, not the end of the data.
    delisting_return
        ``[N]`` return after the last close; NaN where the source does not say.
    unknown_delisting_return
        What is taken where the source does not say: a stated number, or NaN to leave such windows out.

    Returns
    -------
    ForwardReturns

    Notes
    -----
    **Timing.** The return starts ``entry_lag_sessions`` after the signal, so it can be earned.
    **Missing values.** A name that is delisted inside the window earns the return to its last close and the delisting
    return, and is counted in ``ended``; where that return is not known, ``unknown_delisting_return`` stands for it and
    the window is counted in ``untold``; nothing is carried forward. A close missing at entry or exit for any other
    reason (a vendor hole), and a window that runs past the data, is NaN.
    """
    sessions, names = close.shape
    seen = ~np.isnan(close)
    last = np.where(seen.any(axis=0), sessions - 1 - seen[::-1].argmax(axis=0), -1)
    last_close = np.where(last >= 0, close[np.maximum(last, 0), np.arange(names)], np.nan)
    told = ~np.isnan(delisting_return)
    final = last_close * (1.0 + np.where(told, delisting_return, unknown_delisting_return))
    entry_rows = rows + entry_lag_sessions
    exit_rows = entry_rows + horizon_sessions
    entry = np.full((rows.size, names), np.nan)
    possible = entry_rows < sessions
    entry[possible] = close[entry_rows[possible]]
    leaving = np.full((rows.size, names), np.nan)
    inside = exit_rows < sessions
    leaving[inside] = close[exit_rows[inside]]
    # A window past the data is unknown for every name: with only the dead ones in it the cross-section would be biased.
    gone = ended[np.newaxis, :] & (last[np.newaxis, :] < exit_rows[:, np.newaxis]) & inside[:, np.newaxis]
    gone &= last[np.newaxis, :] >= entry_rows[:, np.newaxis]
    leaving = np.where(gone, final[np.newaxis, :], leaving)
    with np.errstate(invalid="ignore", divide="ignore"):
        simple = leaving / entry - 1.0
    return ForwardReturns(simple, gone & ~np.isnan(simple), gone & ~np.isnan(entry) & ~told[np.newaxis, :])


def rebalances_per_window(rows: Longs, horizon_sessions: int) -> int:
    """Smallest number of rebalances after which no window of the horizon overlaps an earlier one, at any date."""
    for step in range(1, rows.size):
        if bool(np.all(rows[step:] - rows[:-step] >= horizon_sessions)):
            return step
    return max(rows.size, 1)
