"""The simulated market behind the protocol every source follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from quant_platform.contracts.errors import SourceNotFound, SpecError
from quant_platform.sources.protocol import bars_schema, securities_schema
from quant_platform.sources.simulated.market import SimulatedMarket, simulate
from quant_platform.specification.sources import SourceSpec


@dataclass(frozen=True)
class SimulatedSource:
    """Raw tables of the market the spec describes; everything that shows them says SIMULATED."""

    spec: SourceSpec

    @property
    def name(self) -> str:
        """Name of the source spec."""
        return self.spec.name

    @property
    def simulated(self) -> bool:
        """Always."""
        return True

    @property
    def market(self) -> SimulatedMarket:
        """The whole market with its oracle; made on first use."""
        if self.spec.simulated is None:
            raise SpecError("the source spec has no section 'simulated'", where=f"source {self.spec.name!r}")
        return simulate(self.spec.simulated, self.spec.exchange, self.spec.name)

    def tickers(self) -> list[str]:
        """Every name that ever traded, delisted ones included."""
        return sorted(self.market.bars)

    def bars(self, ticker: str, start: date | None = None, end: date | None = None) -> pl.DataFrame:
        """``raw.equity_bars`` of one name."""
        frame = self._of(self.market.bars, ticker)
        if start is not None:
            frame = frame.filter(pl.col("session") >= start)
        if end is not None:
            frame = frame.filter(pl.col("session") <= end)
        return frame

    def bars_many(self, tickers: Sequence[str]) -> pl.DataFrame:
        """``raw.equity_bars`` of several names."""
        frames = [self.bars(ticker) for ticker in tickers]
        return pl.concat(frames) if frames else pl.DataFrame(schema=bars_schema())

    def actions(self, ticker: str) -> pl.DataFrame:
        """``raw.corporate_actions`` of one name."""
        return self._of(self.market.actions, ticker)

    def fundamentals(self, ticker: str) -> pl.DataFrame:
        """``raw.fundamentals`` of one name."""
        return self._of(self.market.fundamentals, ticker)

    def securities(self) -> pl.DataFrame:
        """``raw.securities``: a name is a member from its listing to its delisting."""
        rows = [
            (
                ticker,
                self.spec.universe,
                first,
                last,
                f"Simulated {ticker[3:]}",
                self.market.industry.get(ticker),
                self.spec.name,
            )
            for ticker, (first, last) in sorted(self.market.listed.items())
        ]
        return pl.DataFrame(rows, schema=securities_schema(), orient="row")

    def _of(self, frames: Mapping[str, pl.DataFrame], ticker: str) -> pl.DataFrame:
        found = frames.get(ticker)
        if found is None:
            raise SourceNotFound(
                f"the source has no ticker {ticker!r}",
                where=f"source {self.spec.name!r}",
                action=f"it has {', '.join(sorted(frames)[:3])} and so on",
            )
        return found
