"""The point-in-time universe: who belonged to it on each session, as rows or as a mask.

Every cross-section of the house is taken over this mask, so that a name counts from the day it entered to the day it
left, whether or not it survived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.market.calendar import Days


@dataclass(frozen=True)
class Survivorship:
    """How much of a universe the data hold.

    Attributes
    ----------
    member_sessions
        Pairs of member and session there should be.
    with_bars
        Pairs that have a bar.
    names, names_with_bars
        Members at any time, and those of them with any bar.
    """

    member_sessions: int
    with_bars: int
    names: int
    names_with_bars: int

    @property
    def share(self) -> float:
        """Share of the member sessions that have a bar; NaN without members."""
        return self.with_bars / self.member_sessions if self.member_sessions else float("nan")


def intervals(securities: pl.DataFrame, universe: str) -> pl.DataFrame:
    """Membership intervals of one universe: ticker, start_date, end_date (null while it lasts).

    Raises
    ------
    SchemaViolation
        When nothing is known about the universe: an empty mask would silently empty every cross-section.
    """
    own = securities.filter(pl.col("universe") == universe).select("ticker", "start_date", "end_date")
    if own.is_empty():
        known = securities["universe"].unique().sort().to_list()
        raise SchemaViolation(
            f"raw.securities has no member of the universe {universe!r}",
            where="raw.securities, column universe",
            how_many=f"0 of {securities.height} rows",
            cause=f"the universes it has are: {', '.join(known) or 'none'}",
            action="name one of them in specs/universe, or give the source a membership file",
        )
    return own


def membership_mask(
    securities: pl.DataFrame, universe: str, sessions: Sequence[date] | Days, tickers: Sequence[str]
) -> NDArray[np.bool_]:
    """Mask ``[sessions, tickers]``: True where the ticker was a member, first and last day included.

    Parameters
    ----------
    securities
        ``raw.securities``.
    universe
        Name of the universe.
    sessions
        Ascending.
    tickers
        Columns of the mask; a ticker without an interval is never a member.
    """
    days = np.asarray(sessions, dtype="datetime64[D]")
    mask = np.zeros((len(days), len(tickers)), dtype=np.bool_)
    column = {ticker: position for position, ticker in enumerate(tickers)}
    for ticker, start, end in intervals(securities, universe).iter_rows():
        at = column.get(ticker)
        if at is None:
            continue
        first = int(np.searchsorted(days, np.datetime64(start)))
        stop = len(days) if end is None else int(np.searchsorted(days, np.datetime64(end), side="right"))
        mask[first:stop, at] = True
    return mask


def member_sessions(securities: pl.DataFrame, universe: str, sessions: Sequence[date] | Days) -> pl.DataFrame:
    """Ticker and session of every member, one row per pair, sorted."""
    days = np.asarray(sessions, dtype="datetime64[D]")
    tickers = intervals(securities, universe)["ticker"].unique().sort().to_list()
    rows, columns = np.nonzero(membership_mask(securities, universe, days, tickers))
    return pl.DataFrame(
        {"ticker": pl.Series(tickers, dtype=pl.String)[columns], "session": pl.Series(days[rows], dtype=pl.Date)}
    ).sort("ticker", "session")


def survivorship(securities: pl.DataFrame, universe: str, bars: pl.DataFrame, sessions: Sequence[date] | Days) -> Survivorship:
    """Compare who should be there with what is: names that failed are the ones vendors tend to lose.

    Parameters
    ----------
    securities
        ``raw.securities``.
    universe
        Name of the universe.
    bars
        Ticker and session of every bar with prices.
    sessions
        The sessions that are compared.
    """
    members = member_sessions(securities, universe, sessions)
    present = members.join(bars.select("ticker", "session"), on=["ticker", "session"], how="semi")
    return Survivorship(
        member_sessions=members.height,
        with_bars=present.height,
        names=members["ticker"].n_unique(),
        names_with_bars=present["ticker"].n_unique(),
    )
