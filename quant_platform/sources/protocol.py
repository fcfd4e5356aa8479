"""What every source can do, and the frames it answers with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Protocol, runtime_checkable

import polars as pl

from quant_platform.contracts.errors import SourceMalformed
from quant_platform.contracts.findings import Finding
from quant_platform.contracts.schemas.raw import ACTION_KINDS, ADJUSTMENTS, UTC_STAMP

# What may stand in a ticker. A ticker names a partition folder, so nothing that a path could be built from passes.
_TICKER = re.compile(r"[A-Z0-9^][A-Z0-9^=_\-]*(\.[A-Z0-9]+)*")
TICKER_MAX_LENGTH = 20


@runtime_checkable
class Source(Protocol):
    """A place raw equity data comes from.

    All frames carry exactly the columns of their ``raw.*`` table. A table that the source does not have (say,
    fundamentals) answers with an empty frame; a ticker that it does not have raises ``SourceNotFound``.

    Raises
    ------
    SourceNotFound
        No such ticker, file or folder.
    SourceMalformed
        What is there does not have the stated layout.
    SourceRateLimited, SourceUnavailable
        Network sources, after their retries.
    """

    @property
    def name(self) -> str:
        """Name of the source spec; stands in every row."""
        ...

    @property
    def simulated(self) -> bool:
        """Whether the numbers are made up, which everything that shows them must say."""
        ...

    def tickers(self) -> list[str]:
        """Every ticker that can be asked for, sorted."""
        ...

    def bars(self, ticker: str, start: date | None = None, end: date | None = None) -> pl.DataFrame:
        """``raw.equity_bars`` of one ticker from ``start`` to ``end``, both included, sorted by session."""
        ...

    def bars_many(self, tickers: Sequence[str]) -> pl.DataFrame:
        """``raw.equity_bars`` of several tickers in one pass."""
        ...

    def actions(self, ticker: str) -> pl.DataFrame:
        """``raw.corporate_actions`` of one ticker."""
        ...

    def fundamentals(self, ticker: str) -> pl.DataFrame:
        """``raw.fundamentals`` of one ticker."""
        ...

    def securities(self) -> pl.DataFrame:
        """``raw.securities``: all membership intervals, also of names without bars."""
        ...


@runtime_checkable
class ReportsReading(Protocol):
    """A source that counts what it met while reading."""

    def reading_report(self) -> tuple[Finding, ...]:
        """What reading everything brought to light; it reads what was not read yet."""
        ...


def reading_report(source: object) -> tuple[Finding, ...]:
    """What reading a source brought to light; nothing for one that has nothing to report, such as a simulated one."""
    return source.reading_report() if isinstance(source, ReportsReading) else ()


@cache
def bars_schema() -> pl.Schema:
    """Columns of ``raw.equity_bars``."""
    columns: dict[str, pl.DataType | type[pl.DataType]] = {
        "ticker": pl.String,
        "source_row": pl.Int64,
        "session": pl.Date,
        **dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64),
        "adjustment": pl.Enum(ADJUSTMENTS),
        "source": pl.String,
    }
    return pl.Schema(columns)


@cache
def actions_schema() -> pl.Schema:
    """Columns of ``raw.corporate_actions``."""
    columns: dict[str, pl.DataType | type[pl.DataType]] = {
        "ticker": pl.String,
        "ex_date": pl.Date,
        "kind": pl.Enum(ACTION_KINDS),
        "value": pl.Float64,
        "known_at": UTC_STAMP,
        "source": pl.String,
    }
    return pl.Schema(columns)


@cache
def fundamentals_schema() -> pl.Schema:
    """Columns of ``raw.fundamentals``."""
    columns: dict[str, pl.DataType | type[pl.DataType]] = {
        "ticker": pl.String,
        "metric": pl.String,
        "known_at": UTC_STAMP,
        "value": pl.Float64,
        "unit": pl.String,
        "source": pl.String,
    }
    return pl.Schema(columns)


@cache
def securities_schema() -> pl.Schema:
    """Columns of ``raw.securities`` that a source states."""
    columns: dict[str, pl.DataType | type[pl.DataType]] = {
        "ticker": pl.String,
        "universe": pl.String,
        "start_date": pl.Date,
        "end_date": pl.Date,
        "name": pl.String,
        "sector": pl.String,
        "source": pl.String,
    }
    return pl.Schema(columns)


def action_known_at(kind: str, ex_date: date) -> datetime:
    """When a reader knew an action, where the source does not say.

    A split or dividend is announced before its ex-date; midnight UTC of the ex-date is late, never early. A delisting
    is known after the last session.
    """
    day = ex_date + timedelta(days=1) if kind == "delisting" else ex_date
    return datetime.combine(day, time(0), tzinfo=UTC)


def safe_ticker(ticker: str, *, where: str) -> str:
    """Return a ticker that may name a partition.

    Raises
    ------
    SourceMalformed
        When it holds anything but letters, digits, ``. - _ ^ =``, or is empty or too long.
    """
    if len(ticker) > TICKER_MAX_LENGTH or not _TICKER.fullmatch(ticker):
        raise SourceMalformed(
            f"{ticker!r} is not a ticker",
            where=where,
            cause="a wrong column mapping, or a file that is not what it says",
            action=f"a ticker has at most {TICKER_MAX_LENGTH} letters, digits, and . - _ ^ = between them; "
            "`ticker.replace` in the source spec turns other signs into these",
        )
    return ticker
