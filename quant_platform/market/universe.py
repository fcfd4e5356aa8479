"""Who belonged to a universe on which session: the mask every cross-section is taken over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_platform.contracts.errors import SchemaViolation

Flags = NDArray[np.bool_]
Days = NDArray[np.datetime64]


@dataclass(frozen=True)
class UniverseMask:
    """Membership by session and ticker, arrays of shape (sessions, tickers).

    ``member``: the index counts the name on that session. ``listed``: the name has a clean bar on it. A
    cross-section is taken over both.
    """

    sessions: Days
    tickers: tuple[str, ...]
    member: Flags
    listed: Flags

    @property
    def tradable(self) -> Flags:
        """Members with a bar."""
        both: Flags = self.member & self.listed
        return both

    def long(self) -> pl.DataFrame:
        """``session, ticker, member, listed``, one row where either holds."""
        t, i = np.nonzero(self.member | self.listed)
        return pl.DataFrame(
            {
                "session": self.sessions[t],
                "ticker": [self.tickers[k] for k in i],
                "member": self.member[t, i],
                "listed": self.listed[t, i],
            },
            schema={"session": pl.Date, "ticker": pl.String, "member": pl.Boolean, "listed": pl.Boolean},
        )


def universe_mask(
    securities: pl.DataFrame, universe: str, sessions: Days, tickers: Sequence[str], bars: pl.DataFrame
) -> UniverseMask:
    """Build the mask of some tickers over some sessions.

    Parameters
    ----------
    securities
        ``raw.securities``; a ticker may have several intervals, both ends included, an open one has no end.
    universe
        Which universe in it.
    sessions
        Sorted sessions, ``datetime64[D]``.
    tickers
        The columns of the mask; members that are not among them are left out (`survivorship` counts those).
    bars
        ``clean.equity_bars`` of the tickers; only ``ticker``, ``session`` and ``close`` are read.

    Notes
    -----
    **Timing.** Membership on a session is what the index counted on that session. The files state effective dates, not
    announcements, which come days earlier: the mask is late, never early.

    **Missing values.** A session whose close is NaN is not listed.
    """
    columns = {ticker: k for k, ticker in enumerate(tickers)}
    days = np.asarray(sessions, dtype="datetime64[D]")
    listed = np.zeros((len(days), len(columns)), dtype=np.bool_)
    priced = bars.filter(pl.col("close").is_not_nan() & pl.col("ticker").is_in(list(columns)))
    stamps = priced["session"].to_numpy().astype("datetime64[D]")
    rows = np.searchsorted(days, stamps)
    inside = (rows < len(days)) & (days[np.minimum(rows, len(days) - 1)] == stamps) if len(days) else rows < 0
    names = priced["ticker"].replace_strict(columns, return_dtype=pl.Int64).to_numpy()
    listed[rows[inside], names[inside]] = True
    return UniverseMask(days, tuple(tickers), membership(securities, universe, days, tickers), listed)


def membership(securities: pl.DataFrame, universe: str, sessions: Days, tickers: Sequence[str]) -> Flags:
    """Membership alone, shape (sessions, tickers).

    Raises
    ------
    SchemaViolation
        When the universe has no interval at all.
    """
    mine = securities.filter(pl.col("universe") == universe)
    if mine.height == 0:
        raise SchemaViolation(
            f"there are no members of the universe {universe!r}",
            where="raw.securities, column universe",
            how_many=f"0 of {securities.height} rows",
            cause=f"it has {', '.join(sorted(securities['universe'].unique())) or 'no rows'}",
            action="check the name of the universe in its spec and in the source spec",
        )
    columns = {ticker: k for k, ticker in enumerate(tickers)}
    days = np.asarray(sessions, dtype="datetime64[D]")
    member = np.zeros((len(days), len(columns)), dtype=np.bool_)
    for ticker, start, end in mine.select("ticker", "start_date", "end_date").iter_rows():
        column = columns.get(ticker)
        if column is None:
            continue
        first = int(np.searchsorted(days, np.datetime64(start)))
        last = len(days) if end is None else int(np.searchsorted(days, np.datetime64(end), side="right"))
        member[first:last, column] = True
    return member


def members_on(securities: pl.DataFrame, universe: str, day: date) -> list[str]:
    """Every member of a day, sorted, whether it has bars or not."""
    inside = (
        (pl.col("universe") == universe)
        & (pl.col("start_date") <= day)
        & (pl.col("end_date").is_null() | (pl.col("end_date") >= day))
    )
    return sorted(securities.filter(inside)["ticker"].unique().to_list())


def survivorship(securities: pl.DataFrame, universe: str, mask: UniverseMask) -> pl.DataFrame:
    """How much of the index the data covers: ``session, members, with_bars, share_missing``.

    Notes
    -----
    ``members`` counts every name of the membership file, also those no bar was ever delivered for. A share that falls
    over time is survivorship bias in the data: the names that are absent are mostly those that went.
    """
    everyone = sorted(securities.filter(pl.col("universe") == universe)["ticker"].unique().to_list())
    members = membership(securities, universe, mask.sessions, everyone).sum(axis=1)
    covered = mask.tradable.sum(axis=1)
    return pl.DataFrame({"session": mask.sessions, "members": members, "with_bars": covered}).with_columns(
        pl.when(pl.col("members") > 0)
        .then(1.0 - pl.col("with_bars") / pl.col("members"))
        .otherwise(None)
        .alias("share_missing")
    )


def member_sessions(securities: pl.DataFrame, universe: str, sessions: Days) -> pl.DataFrame:
    """Every pair of ticker and session with membership, sorted: the mask as rows, for joins.

    Raises
    ------
    SchemaViolation
        As :func:`membership`.
    """
    days = np.asarray(sessions, dtype="datetime64[D]")
    own = securities.filter(pl.col("universe") == universe)
    tickers = own["ticker"].unique().sort()
    rows, columns = np.nonzero(membership(securities, universe, days, tickers.to_list()))
    return pl.DataFrame({"ticker": tickers[columns], "session": pl.Series(days[rows], dtype=pl.Date)}).sort(
        "ticker", "session"
    )
