"""The simulated perpetuals behind the protocol every perpetual source follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from quant_platform.contracts.errors import SourceNotFound, SpecError
from quant_platform.sources.perp_protocol import require_month, require_symbol
from quant_platform.sources.simulated_perp.market import SimulatedPerpMarket, months, simulate, symbols
from quant_platform.specification.perp_sources import PerpSourceSpec, SimulatedPerpSpec


@dataclass(frozen=True)
class SimulatedPerpSource:
    """Raw tables of the market the spec describes; everything that shows them says SIMULATED.

    Parameters
    ----------
    spec
        The source spec; its months are how far the simulated future reaches.
    until
        A time with a zone: bars that had not closed and rows that were not known by then are not delivered. None
        delivers the whole market. What was delivered once does not change with a later time.
    """

    spec: PerpSourceSpec
    until: datetime | None = None

    @property
    def name(self) -> str:
        """Name of the source spec."""
        return self.spec.name

    @property
    def simulated(self) -> bool:
        """Always."""
        return True

    @property
    def market(self) -> SimulatedPerpMarket:
        """The whole market with its oracle; made on first use."""
        return simulate(self._section, self.spec.name)

    def symbols(self) -> list[str]:
        """All perpetuals."""
        return symbols(self._section)

    def months(self, symbol: str) -> list[str]:
        """All months of the market, up to the running one.

        Raises
        ------
        SourceNotFound
            When the market lies wholly after, or its simulated future wholly before, the time it is asked at.
        """
        require_symbol(symbol, self.symbols(), self.name)
        found = months(self._section)
        if self.until is None:
            return found
        running = f"{self.until.astimezone(UTC):%Y-%m}"
        if not found[0] <= running <= found[-1]:
            raise SourceNotFound(
                f"the simulated market reaches from {found[0]} to {found[-1]} and was asked for {running}",
                where=f"source {self.name!r}",
                action="give it more months, or another start, in the source spec",
            )
        return [month for month in found if month <= running]

    def bars(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.perp_bars``."""
        return self._of("bars", symbol, month)

    def spot_bars(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.spot_bars``."""
        return self._of("spot_bars", symbol, month)

    def funding(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.funding``."""
        return self._of("funding", symbol, month)

    def open_interest(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.open_interest``."""
        return self._of("open_interest", symbol, month)

    def liquidations(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.liquidations``."""
        return self._of("liquidations", symbol, month)

    def book(self, symbol: str, month: str) -> pl.DataFrame:
        """``raw.book``."""
        return self._of("book", symbol, month)

    @property
    def _section(self) -> SimulatedPerpSpec:
        if self.spec.simulated_perp is None:
            raise SpecError("the source spec has no section 'simulated_perp'", where=f"source {self.spec.name!r}")
        return self.spec.simulated_perp

    def _of(self, kind: str, symbol: str, month: str) -> pl.DataFrame:
        require_month(month, self.months(symbol), symbol, self.name)
        frames: Mapping[str, pl.DataFrame] = getattr(self.market, kind)
        frame = frames[symbol].filter(pl.col("month") == month)
        if self.until is None:
            return frame
        if "open_time" in frame.columns:
            known = pl.col("open_time") + pl.duration(seconds="interval_seconds")
        else:
            known = pl.col("known_at")
        return frame.filter(known <= self.until)
