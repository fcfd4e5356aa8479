"""The simulated market behind the protocol every source follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

import numpy as np
import polars as pl

from quant_platform.contracts.errors import SourceNotFound, SpecError
from quant_platform.market.calendar import Days, session_closes
from quant_platform.sources.protocol import bars_schema, securities_schema
from quant_platform.sources.simulated.market import SimulatedMarket, simulate
from quant_platform.specification.sources import SourceSpec

# How long before its close a simulated session opens.
TRADED = timedelta(hours=6.5)


@dataclass(frozen=True)
class SimulatedSource:
    """Raw tables of the market the spec describes; everything that shows them says SIMULATED.

    Parameters
    ----------
    spec
        The source spec; its years are how far the simulated future reaches.
    until
        A time with a zone: what had not happened by then is not delivered, and the bar of the session that is running
        then is delivered as far as it has come. None delivers the whole market.

    Notes
    -----
    The whole market is drawn at once and cut at ``until``, so that a later time never changes what an earlier one saw;
    more years in the spec are another market.
    """

    spec: SourceSpec
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
    def market(self) -> SimulatedMarket:
        """The whole market with its oracle; made on first use."""
        if self.spec.simulated is None:
            raise SpecError("the source spec has no section 'simulated'", where=f"source {self.spec.name!r}")
        return simulate(self.spec.simulated, self.spec.exchange, self.spec.name)

    def tickers(self) -> list[str]:
        """Every name that has traded, delisted ones included."""
        last = self._last_day()
        return sorted(name for name, (first, _) in self.market.listed.items() if last is None or first <= last)

    def bars(self, ticker: str, start: date | None = None, end: date | None = None) -> pl.DataFrame:
        """``raw.equity_bars`` of one name."""
        frame = self._so_far(self._of(self.market.bars, ticker))
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
        return self._known(self._of(self.market.actions, ticker))

    def fundamentals(self, ticker: str) -> pl.DataFrame:
        """``raw.fundamentals`` of one name."""
        return self._known(self._of(self.market.fundamentals, ticker))

    def securities(self) -> pl.DataFrame:
        """``raw.securities``: a name is a member from its listing to its delisting."""
        today = self._last_day()
        rows = [
            (
                ticker,
                self.spec.universe,
                first,
                last if last is None or today is None or last < today else None,
                f"Simulated {ticker[3:]}",
                self.market.industry.get(ticker),
                self.spec.name,
            )
            for ticker, (first, last) in sorted(self.market.listed.items())
            if today is None or first <= today
        ]
        return pl.DataFrame(rows, schema=securities_schema(), orient="row")

    def _last_day(self) -> date | None:
        """The newest session that has begun, None for all."""
        if self.until is None:
            return None
        days, opens, _ = self._times
        begun = int(np.searchsorted(opens, self._moment, side="right"))
        if begun == 0 or self._moment >= opens[-1] + np.timedelta64(7, "D"):
            raise SourceNotFound(
                f"the simulated market reaches from {days[0]} to {days[-1]} and was asked for {self.until}",
                where=f"source {self.name!r}",
                action="give it more years, or another start, in the source spec",
            )
        return date.fromisoformat(str(days[begun - 1]))

    @cached_property
    def _times(self) -> tuple[Days, Days, Days]:
        """Every session of the market with its opening and closing time."""
        days = self.market.sessions
        closes = session_closes(self.spec.exchange, days)
        return days, closes - np.timedelta64(TRADED), closes

    @property
    def _moment(self) -> np.datetime64:
        assert self.until is not None
        return np.datetime64(self.until.astimezone(UTC).replace(tzinfo=None), "us")

    def _known(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame if self.until is None else frame.filter(pl.col("known_at") <= self.until)

    def _so_far(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Bars up to the running session, whose own goes from its open towards its close on a straight line of logs."""
        last = self._last_day()
        if last is None:
            return frame
        days, opens, closes = self._times
        place = int(np.searchsorted(days, np.datetime64(last)))
        frame = frame.filter(pl.col("session") <= last)
        share = float((self._moment - opens[place]) / (closes[place] - opens[place]))
        if share >= 1.0:
            return frame
        runs = pl.col("session") == last
        reached = pl.col("open") * (pl.col("close") / pl.col("open")) ** share
        return frame.with_columns(
            high=pl.when(runs).then(pl.max_horizontal("open", reached)).otherwise("high"),
            low=pl.when(runs).then(pl.min_horizontal("open", reached)).otherwise("low"),
            close=pl.when(runs).then(reached).otherwise("close"),
            volume=pl.when(runs).then((pl.col("volume") * share).ceil()).otherwise("volume"),
        )

    def _of(self, frames: Mapping[str, pl.DataFrame], ticker: str) -> pl.DataFrame:
        found = frames.get(ticker)
        if found is None:
            raise SourceNotFound(
                f"the source has no ticker {ticker!r}",
                where=f"source {self.spec.name!r}",
                action=f"it has {', '.join(sorted(frames)[:3])} and so on",
            )
        return found
