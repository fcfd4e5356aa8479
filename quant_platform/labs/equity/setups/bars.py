"""The bars of one ticker as the arrays the kernel takes: traded sessions only, each with its place in the market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_platform.contracts.columns import distinct, floats_of
from quant_platform.contracts.errors import SchemaViolation
from quant_platform.labs.equity.setups.kernel import Floats, Integers

Sessions = NDArray[np.datetime64]

_PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class TradedBars:
    """Bars on which the ticker traded, oldest first.

    ``position`` is the index of each bar in ``sessions``, the market's sessions that have happened.
    """

    ticker: str
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    position: Integers
    sessions: Sessions

    @property
    def last_position(self) -> int:
        """Index of the market's last session."""
        return len(self.sessions) - 1

    def bars_on(self, sessions: Sessions) -> Integers:
        """Indices of the bars of the given ascending sessions; sessions on which it did not trade are left out."""
        own = self.sessions[self.position]
        found = np.searchsorted(own, sessions)
        inside = found < len(own)
        hit = own[found[inside]] == sessions[inside]
        return np.asarray(found[inside][hit], dtype=np.int64)


def as_sessions(sessions: Sequence[date] | Sessions) -> Sessions:
    """Ascending dates as a ``datetime64[D]`` array."""
    return np.asarray(sessions, dtype="datetime64[D]")


def traded_bars(bars: pl.DataFrame, sessions: Sequence[date] | Sessions) -> TradedBars:
    """Take the traded bars of one ticker up to the market's last session.

    Parameters
    ----------
    bars
        Rows of ``clean.equity_bars`` of one ticker, ascending by session.
    sessions
        The market's sessions up to the last one that has happened; bars after it are not looked at.

    Raises
    ------
    SchemaViolation
        When the bars hold more than one ticker, are not ascending, or lie on days that are not sessions.

    Notes
    -----
    **Missing values.** A row without a close did not trade: it is left out here and still counts as a session wherever
    sessions are counted. A missing open, high, low (a suspect print) or volume stays missing.
    """
    market = as_sessions(sessions)
    names = distinct(bars["ticker"])
    if len(names) > 1:
        raise SchemaViolation(
            "the bars of one ticker were expected", where="clean.equity_bars", rows=[{"ticker": name} for name in names]
        )
    days = bars["session"].to_numpy().astype("datetime64[D]")
    if (days[1:] <= days[:-1]).any():
        raise SchemaViolation(
            "the sessions are not strictly ascending",
            where=f"clean.equity_bars, ticker {names[0]}",
            how_many=f"{int((days[1:] <= days[:-1]).sum())} of {len(days)} rows",
            cause="an unsorted frame, or two rows of one session",
            action="sort by session; the lake stores partitions sorted",
        )
    values = {name: floats_of(bars[name]) for name in (*_PRICES, "volume")}
    traded = np.isfinite(values["close"])
    if market.size:
        traded &= days <= market[-1]
    position = np.searchsorted(market, days[traded]).astype(np.int64)
    foreign = np.ones(len(position), dtype=bool) if not market.size else market[position] != days[traded]
    if foreign.any():
        raise SchemaViolation(
            "bars lie on days that are not sessions of the market",
            where=f"clean.equity_bars, ticker {names[0]}",
            how_many=f"{int(foreign.sum())} of {len(foreign)} traded bars",
            rows=[{"session": day} for day in days[traded][foreign][:5]],
            cause="the calendar of another exchange, or sessions that begin after the bars do",
            action="pass the sessions of the exchange from the first bar on",
        )
    cut = {name: np.ascontiguousarray(array[traded]) for name, array in values.items()}
    return TradedBars(ticker=names[0] if names else "", position=position, sessions=market, **cut)
