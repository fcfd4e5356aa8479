"""The partition schemes of the house, each of which knows its keys; a table's dimensions say which one is its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.contracts.tables import table
from quant_platform.labs.equity.features.equity import factor_names
from quant_platform.lake import Key
from quant_platform.market.calendar import sessions
from quant_platform.pipeline.home import Home
from quant_platform.specification.event_lab import load_event_lab
from quant_platform.specification.features import load_equity_features
from quant_platform.specification.home import HomeSpec, PerpMarketSpec

TICKER = "ticker"
START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

tickers = dg.DynamicPartitionsDefinition(name=TICKER)


def lake_key(name: str, partition_key: str) -> Key:
    """Key in the lake of a Dagster partition key, whose dimensions Dagster sorts by name and joins with ``|``."""
    dimensions = table(name).dimensions
    if len(dimensions) < 2:
        return partition_key
    parts = dict(zip(sorted(dimensions), partition_key.split("|"), strict=True))
    return tuple(parts[dimension] for dimension in dimensions)


def partition_key(name: str, key: Key) -> str:
    """Dagster partition key of a key in the lake; the inverse of :func:`lake_key`."""
    if not isinstance(key, tuple):
        return str(key)
    named = dict(zip(table(name).dimensions, key, strict=True))
    return "|".join(named[dimension] for dimension in sorted(named))


def monday(day: date) -> date:
    """Monday of the ISO week of a day: the key of the week."""
    return day - timedelta(days=day.weekday())


def weeks(spec: HomeSpec) -> dg.WeeklyPartitionsDefinition:
    """ISO weeks keyed by their Monday, from the first to the last session of the market."""
    end = None if spec.last_session is None else (monday(spec.last_session) + timedelta(days=7)).isoformat()
    return dg.WeeklyPartitionsDefinition(
        start_date=monday(spec.first_session).isoformat(), end_date=end, day_offset=1, fmt="%Y-%m-%d"
    )


def days(spec: HomeSpec, exchange: str) -> dg.TimeWindowPartitionsDefinition:
    """Exchange sessions: weekdays without the holidays of the calendar."""
    last = spec.last_session or date.today()
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
    )


def symbol_months(spec: PerpMarketSpec) -> dg.MultiPartitionsDefinition:
    """Symbols by calendar months."""
    return dg.MultiPartitionsDefinition(
        {
            "symbol": dg.StaticPartitionsDefinition(list(spec.symbols)),
            "month": dg.StaticPartitionsDefinition(list(spec.months)),
        }
    )


def cutoffs(spec: PerpMarketSpec) -> dg.StaticPartitionsDefinition:
    """Calendar months up to whose end data are used."""
    return dg.StaticPartitionsDefinition(list(spec.months))


def event_cutoffs(events: Sequence[str], spec: PerpMarketSpec) -> dg.MultiPartitionsDefinition:
    """Events by cutoffs: a new event file is a new partition."""
    return dg.MultiPartitionsDefinition({"event": dg.StaticPartitionsDefinition(list(events)), "cutoff": cutoffs(spec)})


def symbol_month(key: str) -> tuple[str, str]:
    """Symbol and month of a Dagster partition key of :func:`symbol_months`."""
    month, symbol = key.split("|")
    return symbol, month


def range_tags(keys: Sequence[str]) -> dict[str, str]:
    """Tags that make one run cover all of the keys, which must be consecutive partitions."""
    return {START: keys[0], END: keys[-1]}


def last_session(home: Home, today: date) -> date:
    """Last session of the market at a date."""
    limit = min(today, home.spec.last_session or today)
    return sessions(home.universe.exchange, limit - timedelta(days=14), limit)[-1]


@dataclass(frozen=True)
class Scheme:
    """How some tables are partitioned.

    Attributes
    ----------
    name
        A word for people.
    definition
        Dagster's definition for a home; None for tables without partitions.
    at
        What a follow-up at a date covers, given all keys that exist: the newest week, session or month, or everything.
    """

    name: str
    definition: Callable[[Home], dg.PartitionsDefinition[Any] | None]
    at: Callable[[Home, date, Sequence[str]], Sequence[str]]

    def keys(self, home: Home, instance: dg.DagsterInstance) -> list[str]:
        """Every partition key that exists now, in Dagster's order; none for tables without partitions."""
        definition = self.definition(home)
        if definition is None:
            return []
        return list(definition.get_partition_keys(dynamic_partitions_store=instance))


def _everything(_home: Home, _today: date, keys: Sequence[str]) -> Sequence[str]:
    return keys


def _newest(_home: Home, _today: date, keys: Sequence[str]) -> Sequence[str]:
    return keys[-1:]


def _week(home: Home, today: date, _keys: Sequence[str]) -> Sequence[str]:
    return [monday(last_session(home, today)).isoformat()]


def _day(home: Home, today: date, _keys: Sequence[str]) -> Sequence[str]:
    return [last_session(home, today).isoformat()]


UNPARTITIONED = Scheme("none", lambda _: None, _everything)
TICKERS = Scheme("ticker", lambda _: tickers, _everything)
WEEKS = Scheme("week", lambda home: weeks(home.spec), _week)
DAYS = Scheme("day", lambda home: days(home.spec, home.universe.exchange), _day)
# A new factor file, a new sweep file or a new event file is a new partition.
FACTORS = Scheme(
    "factor",
    lambda home: dg.StaticPartitionsDefinition(factor_names(load_equity_features(home.specs))),
    _everything,
)
SWEEPS = Scheme(
    "sweep",
    lambda home: dg.StaticPartitionsDefinition(sorted(path.stem for path in (home.specs / "sweeps").glob("*.yaml"))),
    _everything,
)
SYMBOL_MONTHS = Scheme("symbol x month", lambda home: symbol_months(home.perps), _everything)
CUTOFFS = Scheme("cutoff", lambda home: cutoffs(home.perps), _newest)
EVENT_CUTOFFS = Scheme(
    "event x cutoff",
    lambda home: event_cutoffs(list(load_event_lab(home.specs).active), home.perps),
    _everything,
)

_BY_DIMENSIONS: Mapping[tuple[str, ...], Scheme] = {
    (): UNPARTITIONED,
    ("ticker",): TICKERS,
    ("week",): WEEKS,
    ("as_of_week",): WEEKS,
    ("day",): DAYS,
    ("factor",): FACTORS,
    ("sweep",): SWEEPS,
    ("symbol", "month"): SYMBOL_MONTHS,
    ("cutoff",): CUTOFFS,
    ("event", "cutoff"): EVENT_CUTOFFS,
}


def scheme_of(names: Iterable[str]) -> Scheme:
    """The one partition scheme of some tables.

    Raises
    ------
    SchemaViolation
        When they have several.
    """
    found = {_BY_DIMENSIONS[table(name).dimensions] for name in names}
    if len(found) != 1:
        raise SchemaViolation(
            f"tables of one run must share a partition scheme, these have {sorted(one.name for one in found)}",
            where=", ".join(names),
        )
    return found.pop()
