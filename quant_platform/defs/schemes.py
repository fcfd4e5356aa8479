"""The partition schemes of the house, each of which knows its keys; a table's dimensions say which one is its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.contracts.tables import Table
from quant_platform.labs.equity.features.equity import factor_names
from quant_platform.labs.parity.adapters import all_frameworks
from quant_platform.labs.parity.cases import CASES
from quant_platform.lake import Key
from quant_platform.market.calendar import calendar, sessions
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sessions import finished_weeks, last_final
from quant_platform.pipeline.stage import FrameStage, StageBase
from quant_platform.specification import clock
from quant_platform.specification.event_lab import load_event_lab
from quant_platform.specification.features import load_equity_features
from quant_platform.specification.home import HomeSpec, PerpMarketSpec

TICKER = "ticker"
SIGNAL, SUITE = "signal", "suite"
START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

tickers = dg.DynamicPartitionsDefinition(name=TICKER)
signals = dg.DynamicPartitionsDefinition(name=SIGNAL)
# Pairs that were asked for, not every signal by every snapshot: most of those nobody wants.
suites = dg.DynamicPartitionsDefinition(name=SUITE)
# Cases and frameworks are code: a new one is a new partition.
parity_cases = dg.StaticPartitionsDefinition(list(CASES))
parity_runs = dg.MultiPartitionsDefinition(
    {"case": parity_cases, "framework": dg.StaticPartitionsDefinition(list(all_frameworks()))}
)


def lake_key(definition: Table, partition_key: str) -> Key:
    """Key in the lake of a Dagster partition key, whose dimensions Dagster sorts by name and joins with ``|``."""
    dimensions = definition.dimensions
    if len(dimensions) < 2:
        return partition_key
    parts = dict(zip(sorted(dimensions), partition_key.split("|"), strict=True))
    return tuple(parts[dimension] for dimension in dimensions)


def partition_key(definition: Table, key: Key) -> str:
    """Dagster partition key of a key in the lake; the inverse of :func:`lake_key`."""
    if not isinstance(key, tuple):
        return str(key)
    named = dict(zip(definition.dimensions, key, strict=True))
    return "|".join(named[dimension] for dimension in sorted(named))


def monday(day: date) -> date:
    """Monday of the ISO week of a day: the key of the week."""
    return day - timedelta(days=day.weekday())


def weeks(spec: HomeSpec) -> dg.WeeklyPartitionsDefinition:
    """ISO weeks keyed by their Monday, from the first to the last session of the market.

    In a market that goes on the running week is a partition from its Monday on: its evidence is due on Friday evening,
    and Dagster's own windows would not exist before the next Monday. Which weeks are over, :data:`WEEKS` says.
    """
    end = None if spec.last_session is None else (monday(spec.last_session) + timedelta(days=7)).isoformat()
    return dg.WeeklyPartitionsDefinition(
        start_date=monday(spec.first_session).isoformat(),
        end_date=end,
        day_offset=1,
        fmt="%Y-%m-%d",
        end_offset=1 if end is None else 0,
    )


def perp_weeks(spec: PerpMarketSpec) -> dg.WeeklyPartitionsDefinition:
    """ISO weeks keyed by their Monday, UTC, from the first to the last day of a market of perpetuals."""
    first = date.fromisoformat(f"{spec.first_month}-01")
    end = None if spec.last_month is None else (monday(_last_day(spec.last_month)) + timedelta(days=7)).isoformat()
    return dg.WeeklyPartitionsDefinition(
        start_date=monday(first).isoformat(), end_date=end, day_offset=1, fmt="%Y-%m-%d"
    )


def _last_day(month: str) -> date:
    """The last day of a month."""
    return (date.fromisoformat(f"{month}-01") + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def days(spec: HomeSpec, exchange: str) -> dg.TimeWindowPartitionsDefinition:
    """Exchange sessions: weekdays without the holidays of the calendar, those to come included.

    In a market that goes on a session is a partition from its midnight on; which are over, :data:`DAYS` says.
    """
    last = spec.last_session or calendar(exchange).end
    open_days = set(sessions(exchange, spec.first_session, last))
    span = (last - spec.first_session).days + 1
    weekdays = (spec.first_session + timedelta(days=k) for k in range(span))
    holidays = [
        datetime(day.year, day.month, day.day) for day in weekdays if day.weekday() < 5 and day not in open_days
    ]
    end = None if spec.last_session is None else (spec.last_session + timedelta(days=1)).isoformat()
    return dg.TimeWindowPartitionsDefinition(
        start=spec.first_session.isoformat(),
        end=end,
        fmt="%Y-%m-%d",
        cron_schedule="0 0 * * 1-5",
        exclusions=holidays,
        end_offset=1 if end is None else 0,
    )


def months(spec: PerpMarketSpec, *, running: bool) -> dg.PartitionsDefinition[str]:
    """Calendar months of a market; of one that goes on those over, with ``running`` also the one that is not."""
    if spec.last_month is not None:
        return dg.StaticPartitionsDefinition(list(spec.months))
    return dg.MonthlyPartitionsDefinition(start_date=spec.first_month, fmt="%Y-%m", end_offset=1 if running else 0)


def years(spec: HomeSpec) -> dg.StaticPartitionsDefinition:
    """Calendar years of the market."""
    last = (spec.last_session or clock.now().date()).year
    return dg.StaticPartitionsDefinition([str(year) for year in range(spec.first_session.year, last + 1)])


def perp_years(spec: PerpMarketSpec) -> dg.StaticPartitionsDefinition:
    """Calendar years of a market of perpetuals."""
    return dg.StaticPartitionsDefinition(sorted({month[:4] for month in spec.months}))


def symbol_months(spec: PerpMarketSpec) -> dg.MultiPartitionsDefinition:
    """Symbols by calendar months, the running one included."""
    return dg.MultiPartitionsDefinition(
        {"symbol": dg.StaticPartitionsDefinition(list(spec.symbols)), "month": months(spec, running=True)}
    )


def cutoffs(spec: PerpMarketSpec) -> dg.PartitionsDefinition[str]:
    """Calendar months up to whose end data are used: those that are over."""
    return months(spec, running=False)


def event_cutoffs(events: Sequence[str], spec: PerpMarketSpec) -> dg.MultiPartitionsDefinition:
    """Events by cutoffs: a new event file is a new partition."""
    return dg.MultiPartitionsDefinition({"event": dg.StaticPartitionsDefinition(list(events)), "cutoff": cutoffs(spec)})


def symbol_month(key: str) -> tuple[str, str]:
    """Symbol and month of a Dagster partition key of :func:`symbol_months`."""
    month, symbol = key.split("|")
    return symbol, month


def _all_of(_home: Home, _at: datetime, keys: Sequence[str]) -> Sequence[str]:
    return keys


def range_tags(keys: Sequence[str]) -> dict[str, str]:
    """Tags that make one run cover all of the keys, which must be consecutive partitions."""
    return {START: keys[0], END: keys[-1]}


@dataclass(frozen=True)
class Scheme:
    """How some tables are partitioned.

    Attributes
    ----------
    name
        A word for people.
    definition
        Dagster's definition for a home; None for tables without partitions.
    over
        Which of the keys are over at a time; a key that is not over may exist and cannot be made yet.
    period
        Whether the keys are periods of time: of those a follow-up covers what is over and not made yet, of others all.
    """

    name: str
    definition: Callable[[Home], dg.PartitionsDefinition[Any] | None]
    over: Callable[[Home, datetime, Sequence[str]], Sequence[str]] = _all_of
    period: bool = False

    def keys(self, home: Home, instance: dg.DagsterInstance, at: datetime | None = None) -> list[str]:
        """Every partition key that is over, in Dagster's order; none for tables without partitions.

        Parameters
        ----------
        home, instance
            The market, and where its tickers are recorded.
        at
            A time with a zone; the clock's, when not given.
        """
        definition = self.definition(home)
        if definition is None:
            return []
        moment = at or clock.now()
        found = definition.get_partition_keys(current_time=moment, dynamic_partitions_store=instance)
        return list(self.over(home, moment, [str(key) for key in found]))


def _sessions_over(home: Home, at: datetime, keys: Sequence[str]) -> Sequence[str]:
    last = last_final(home, at).isoformat()
    return [key for key in keys if key <= last]


def _weeks_over(home: Home, at: datetime, keys: Sequence[str]) -> Sequence[str]:
    if not home.has_equities:
        # Dagster's own windows are over when they exist.
        return keys
    if home.spec.last_session is not None:
        return keys
    finished = set(finished_weeks(home, at))
    return [key for key in keys if key in finished]


UNPARTITIONED = Scheme("none", lambda _: None)
TICKERS = Scheme("ticker", lambda _: tickers)
WEEKS = Scheme(
    "week", lambda home: weeks(home.spec) if home.has_equities else perp_weeks(home.perps), _weeks_over, period=True
)
DAYS = Scheme("day", lambda home: days(home.spec, home.universe.exchange), _sessions_over, period=True)
# A new factor file, a new sweep file or a new event file is a new partition.
FACTORS = Scheme(
    "factor",
    lambda home: dg.StaticPartitionsDefinition(factor_names(load_equity_features(home.specs))),
)
SWEEPS = Scheme(
    "sweep",
    lambda home: dg.StaticPartitionsDefinition(sorted(path.stem for path in (home.specs / "sweeps").glob("*.yaml"))),
)
YEARS = Scheme("year", lambda home: years(home.spec) if home.has_equities else perp_years(home.perps))
SIGNALS = Scheme("signal", lambda _: signals)
SUITES = Scheme("signal x snapshot", lambda _: suites)
PARITY_CASES = Scheme("case", lambda _: parity_cases)
PARITY_RUNS = Scheme("case x framework", lambda _: parity_runs)
SYMBOL_MONTHS = Scheme("symbol x month", lambda home: symbol_months(home.perps))
CUTOFFS = Scheme("cutoff", lambda home: cutoffs(home.perps), period=True)
EVENT_CUTOFFS = Scheme(
    "event x cutoff", lambda home: event_cutoffs(list(load_event_lab(home.specs).active), home.perps)
)

_BY_DIMENSIONS: Mapping[tuple[str, ...], Scheme] = {
    (): UNPARTITIONED,
    ("ticker",): TICKERS,
    ("week",): WEEKS,
    ("as_of_week",): WEEKS,
    ("day",): DAYS,
    ("factor",): FACTORS,
    ("sweep",): SWEEPS,
    ("year",): YEARS,
    ("signal",): SIGNALS,
    ("signal", "snapshot"): SUITES,
    ("case",): PARITY_CASES,
    ("case", "framework"): PARITY_RUNS,
    ("symbol", "month"): SYMBOL_MONTHS,
    ("cutoff",): CUTOFFS,
    ("event", "cutoff"): EVENT_CUTOFFS,
}


def scheme_of(tables: Iterable[Table]) -> Scheme:
    """The one partition scheme of some tables.

    Raises
    ------
    SchemaViolation
        When they have several.
    """
    named = list(tables)
    found = {_BY_DIMENSIONS[one.dimensions] for one in named}
    if len(found) != 1:
        raise SchemaViolation(
            f"tables of one run must share a partition scheme, these have {sorted(one.name for one in found)}",
            where=", ".join(one.name for one in named),
        )
    return found.pop()


def stage_scheme(stage: StageBase) -> Scheme:
    """The partition scheme of a stage; of one that may look at a running session, with that session."""
    scheme = scheme_of(stage.tables)
    running = isinstance(stage, FrameStage) and stage.running
    return replace(scheme, over=_all_of) if running else scheme
