"""The simulated perpetuals behind the protocol every perpetual source follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from quant_platform.contracts.errors import SpecError
from quant_platform.sources.perp_protocol import require_month, require_symbol
from quant_platform.sources.simulated_perp.market import SimulatedPerpMarket, months, simulate, symbols
from quant_platform.specification.perp_sources import PerpSourceSpec, SimulatedPerpSpec


@dataclass(frozen=True)
class SimulatedPerpSource:
    """Raw tables of the market the spec describes; everything that shows them says SIMULATED."""

    spec: PerpSourceSpec

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
        """All months of the market."""
        require_symbol(symbol, self.symbols(), self.name)
        return months(self._section)

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
        return frames[symbol].filter(pl.col("month") == month)
