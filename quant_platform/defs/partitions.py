"""The partition schemes of the house, sized to the market of the home."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import dagster as dg

from quant_platform.contracts.tables import table
from quant_platform.labs.equity.features.equity import factor_names
from quant_platform.lake import Key
from quant_platform.market.calendar import sessions
from quant_platform.pipeline.home import Home
from quant_platform.specification.features import load_equity_features
from quant_platform.specification.home import HomeSpec, PerpMarketSpec

TICKER = "ticker"
CHUNK_RANGE_START = "dagster/asset_partition_range_start"
CHUNK_RANGE_END = "dagster/asset_partition_range_end"

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


def factors(home: Home) -> dg.StaticPartitionsDefinition:
    """One partition per factor in the feature specs: a new factor file is a new partition."""
    return dg.StaticPartitionsDefinition(factor_names(load_equity_features(home.specs)))


def sweeps(home: Home) -> dg.StaticPartitionsDefinition:
    """One partition per file in specs/sweeps."""
    return dg.StaticPartitionsDefinition(sorted(path.stem for path in (home.specs / "sweeps").glob("*.yaml")))
