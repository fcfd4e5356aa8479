"""What every source of perpetuals can do, and the frames it answers with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import polars as pl

from quant_platform.contracts.errors import SourceNotFound
from quant_platform.contracts.schemas.perp import (
    RawBook,
    RawFunding,
    RawLiquidations,
    RawOpenInterest,
    RawPerpBars,
)


@runtime_checkable
class PerpSource(Protocol):
    """A place raw data of perpetuals comes from.

    All frames carry exactly the columns of their ``raw.*`` table; an empty frame says that the source lacks it. A
    column of bars that the source lacks is null throughout.

    Raises
    ------
    SourceNotFound
        No such symbol, month, file or folder.
    SourceMalformed
        What is there does not have the stated layout.
    SourceUnavailable
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

    def symbols(self) -> list[str]:
        """Every symbol that can be asked for, sorted."""
        ...

    def months(self, symbol: str) -> list[str]:
        """Every month with bars of a symbol, YYYY-MM, in order and without a gap."""
        ...

    def bars(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.perp_bars``."""
        ...

    def spot_bars(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.spot_bars``."""
        ...

    def funding(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.funding``."""
        ...

    def open_interest(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.open_interest``."""
        ...

    def liquidations(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.liquidations``."""
        ...

    def book(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.book``."""
        ...


def bars_schema() -> pl.Schema:
    """Columns of ``raw.perp_bars`` and ``raw.spot_bars``."""
    return RawPerpBars.create_empty().schema


def funding_schema() -> pl.Schema:
    """Columns of ``raw.funding``."""
    return RawFunding.create_empty().schema


def open_interest_schema() -> pl.Schema:
    """Columns of ``raw.open_interest``."""
    return RawOpenInterest.create_empty().schema


def liquidations_schema() -> pl.Schema:
    """Columns of ``raw.liquidations``."""
    return RawLiquidations.create_empty().schema


def book_schema() -> pl.Schema:
    """Columns of ``raw.book``."""
    return RawBook.create_empty().schema


def require_symbol(symbol: str, symbols: Sequence[str], source: str) -> None:
    """Raise ``SourceNotFound`` for a symbol the source does not have."""
    if symbol not in symbols:
        raise SourceNotFound(
            f"the source has no symbol {symbol!r}",
            where=f"source {source!r}",
            action=f"it has {', '.join(symbols[:5])}",
        )


def require_month(month: str, months: Sequence[str], symbol: str, source: str) -> None:
    """Raise ``SourceNotFound`` for a month the source does not have."""
    if month not in months:
        span = f"{months[0]} to {months[-1]}" if months else "no month"
        raise SourceNotFound(
            f"the source has no month {month!r} of {symbol}", where=f"source {source!r}", action=f"it has {span}"
        )
