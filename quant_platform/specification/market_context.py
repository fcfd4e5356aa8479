"""Typed model of ``specs/context.yaml``: what surrounds a symbol on a bar and does not come from its own data."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, time

from pydantic import AwareDatetime, Field, model_validator

from quant_platform.specification.loading import SpecModel
from quant_platform.specification.times import Zone


class Partners(SpecModel):
    """The designated pair partner of each symbol."""

    defaults: tuple[str, ...] = Field(
        description="The first of these that trades and is another symbol is the partner."
    )
    pairs: dict[str, str] = Field(default_factory=dict, description="Symbol to a partner of its own.")

    def of(self, symbol: str, universe: Collection[str]) -> str | None:
        """Partner of a symbol among those of the universe; None without one."""
        own = self.pairs.get(symbol)
        choices = self.defaults if own is None else (own,)
        return next((name for name in choices if name in universe and name != symbol), None)


class CashSession(SpecModel):
    """Trading hours of a cash market over a stretch of time."""

    name: str = Field(description="City, for people.")
    exchange: str = Field(description="ISO 10383 code of the calendar that says which days trade.")
    timezone: Zone = Field(description="Time zone of the exchange.")
    opens: time = Field(description="Local opening time.")
    closes: time = Field(description="Local closing time of a whole day; early closes are not modelled.")
    since: date | None = Field(default=None, description="First day of these hours.")
    until: date | None = Field(default=None, description="Last day of these hours.")


class FundingSchedule(SpecModel):
    """When the venue exchanges funding, for symbols whose data do not say."""

    interval_hours: int = Field(ge=1, le=24, description="Hours between funding times, counted from 00:00 UTC.")
    symbols: dict[str, int] = Field(default_factory=dict, description="Symbol to another interval.")


class Releases(SpecModel):
    """Macro releases of one kind, with the day their calendar was published."""

    name: str = Field(description="What is released.")
    published: AwareDatetime = Field(description="When the dates were public.")
    clock: time = Field(description="Local time of the release.")
    timezone: Zone = Field(description="Time zone of that clock.")
    days: tuple[date, ...] = Field(description="Local dates.")


class News(SpecModel):
    """The calendar of scheduled macro releases."""

    min_notice_hours: float = Field(ge=0.0, description="A release counts only when it was public so long before.")
    releases: tuple[Releases, ...] = Field(description="Releases by kind and published calendar.")


class Fee(SpecModel):
    """A taker fee from a date on."""

    since: AwareDatetime = Field(description="From when it holds.")
    taker_bps: float = Field(ge=0.0, description="Taker fee of one side, in basis points.")


class ContextSpec(SpecModel):
    """Everything outside the symbol's own data that features and events read."""

    min_bench_members: int = Field(ge=1, description="Fewest other symbols with a return for a benchmark return.")
    partners: Partners = Field(description="Pair partners.")
    sessions: tuple[CashSession, ...] = Field(description="Cash sessions whose opens and closes are flagged.")
    funding: FundingSchedule = Field(description="Funding times.")
    news: News = Field(description="Scheduled macro releases.")
    fees: tuple[Fee, ...] = Field(description="Fee schedule with effective dates, rising; empty when not known.")

    @model_validator(mode="after")
    def _fees_rise_in_time(self) -> ContextSpec:
        if any(a.since >= b.since for a, b in zip(self.fees, self.fees[1:], strict=False)):
            raise ValueError("fees must stand in order of their dates")
        return self
