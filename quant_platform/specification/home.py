"""What market a home holds, which names belong to it, and when its jobs run."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from quant_platform.specification import clock
from quant_platform.specification.loading import MONTH, SpecModel
from quant_platform.specification.times import Cron, Zone


class HomeSpec(SpecModel):
    """The market of one home: ``specs/home.yaml`` by default, ``<home>/home.yaml`` after ``quant import``."""

    source: str = Field(description="Name of a file in specs/sources, without the suffix.")
    universe: str = Field(description="Name of a file in specs/universe, without the suffix.")
    locations: dict[str, Path] = Field(
        default_factory=dict,
        description="Folders the source reads: data, and for some layouts actions or fundamentals.",
    )
    first_session: date = Field(description="First session that week and day partitions start from.")
    last_session: date | None = Field(
        default=None, description="Last session of a market that has ended; null while it goes on."
    )

    @model_validator(mode="after")
    def _ordered(self) -> HomeSpec:
        if self.last_session is not None and self.last_session < self.first_session:
            raise ValueError(f"last_session {self.last_session} lies before first_session {self.first_session}")
        return self


AssetClass = Literal["US_EQUITY", "EQUITY", "FUND", "FX", "COMMODITY", "RATES", "CRYPTO_SPOT", "CRYPTO_PERPETUAL"]


class UniverseSpec(SpecModel):
    """A set of names on one exchange."""

    name: str = Field(description="Name of the universe, as it stands in raw.securities.")
    description: str = Field(description="One sentence.")
    exchange: str = Field(description="ISO 10383 code of the calendar, for example XNYS.")
    tickers: Literal["source"] | Annotated[list[str], Field(min_length=1)] = Field(
        description="A list, or the word source: every ticker the source knows becomes a partition."
    )
    asset_class: AssetClass = Field(
        default="US_EQUITY", description="Asset class of the names, which routing and cost evidence go by."
    )
    asset_classes: dict[str, AssetClass] = Field(
        default_factory=dict, description="Asset class of single names that are of another one, by ticker."
    )
    ohlcv_history_days: int = Field(
        default=1825, ge=1, description="Calendar days fetched for a new ticker where the source is open-ended."
    )

    def class_of(self, ticker: str) -> AssetClass:
        """Asset class of a name."""
        return self.asset_classes.get(ticker, self.asset_class)


class ScheduleSpec(SpecModel):
    """One schedule."""

    cron: Cron = Field(description="Cron expression, in the file's time zone.")
    description: str = Field(description="One sentence.")


class SchedulesSpec(SpecModel):
    """When the jobs run, how often a source is asked again, and when a table is called old."""

    timezone: Zone = Field(description="IANA name of the time zone of every cron expression here.")
    daily_pipeline: ScheduleSpec = Field(description="New bars to clean bars and features; scan and outcomes follow.")
    intraday_pipeline: ScheduleSpec = Field(description="Last price and R so far of open setups.")
    weekly_fundamentals: ScheduleSpec = Field(description="Published fundamentals.")
    weekly_replay: ScheduleSpec = Field(description="Candidates; ranks, gate, factors, sweeps and the report follow.")
    perp_daily: ScheduleSpec = Field(description="New bars of perpetuals to market rows; event flags follow.")
    monthly_discovery: ScheduleSpec = Field(description="Onsets and cells of a finished month; the verdicts follow.")
    retry_max: int = Field(ge=0, description="Retries of a step that reads a source.")
    retry_delay_seconds: float = Field(ge=0, description="Delay before the first retry; doubles with each.")
    left_out_max: int = Field(ge=0, description="Tickers that may fail before a run does not go on without them.")
    freshness_days: int = Field(ge=1, description="A table of an open-ended market warns when it is older than this.")


class PerpMarketSpec(SpecModel):
    """The perpetuals of a home: ``specs/perps.yaml``, or ``<home>/perps.yaml`` after ``quant import-perps``."""

    source: str = Field(description="Name of a file in specs/sources, without the suffix.")
    location: Path | None = Field(default=None, description="Folder the source reads; null for one that needs none.")
    symbols: tuple[str, ...] = Field(min_length=1, description="Perpetuals of the home.")
    currency: str = Field(
        default="USDT",
        pattern="^[A-Z]{3,5}$",
        description="In which they are settled: fills in another one are refused.",
    )
    first_month: str = Field(pattern=MONTH, description="First month, YYYY-MM.")
    last_month: str | None = Field(
        default=None,
        pattern=MONTH,
        description="Last month of a market that has ended, YYYY-MM; null while it goes on.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> PerpMarketSpec:
        if self.last_month is not None and self.last_month < self.first_month:
            raise ValueError(f"last_month {self.last_month} lies before first_month {self.first_month}")
        return self

    @property
    def months(self) -> tuple[str, ...]:
        """Every month from the first to the last; of a market that goes on, to the running one, UTC."""
        end = self.last_month or f"{clock.now():%Y-%m}"
        first, last = (int(text[:4]) * 12 + int(text[5:]) - 1 for text in (self.first_month, end))
        return tuple(f"{number // 12:04d}-{number % 12 + 1:02d}" for number in range(first, last + 1))
