"""The assets of the equity lab that see many tickers at once: weeks, as-of weeks, factors, sweeps, days."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl
from dagster_duckdb import DuckDBResource

from quant_platform.contracts.tables import table
from quant_platform.defs.home import Home
from quant_platform.defs.metadata import column_schema
from quant_platform.defs.partitions import weeks
from quant_platform.defs.resources import SOURCES_TAG, HomeResource
from quant_platform.defs.stage import code_hash
from quant_platform.defs.ticker_assets import OWNERS
from quant_platform.market.calendar import session_array
from quant_platform.market.universe import member_sessions
from quant_platform.signals.momentum import momentum_rank
from quant_platform.signals.weeks import Sessions, week_ends

_EVERY = dg.AllPartitionMapping()


def asset_options(home: Home, name: str, *, rooms: Sequence[str], specs: Sequence[str], kinds: set[str]) -> dict[str, Any]:
    """What every asset of a table says about itself."""
    definition = table(name)
    content = code_hash(tuple(rooms)) + (home.ontology(specs).hash if specs else "")
    return {
        "key": dg.AssetKey(name.split(".")),
        "group_name": definition.database_schema,
        "kinds": kinds,
        "owners": OWNERS,
        "description": definition.schema.__doc__,
        "code_version": hashlib.sha256(content.encode()).hexdigest()[:16],
        "metadata": {"dagster/column_schema": column_schema(definition), SOURCES_TAG: list(specs)},
    }


def reads(name: str, *, every_partition: bool = False) -> dg.AssetIn:
    """An input by the name of its table; all of its partitions, or the ones the partition schemes pair up."""
    mapping = {"partition_mapping": _EVERY} if every_partition else {}
    return dg.AssetIn(key=dg.AssetKey(name.split(".")), **mapping)


def market_sessions(home: Home) -> Sessions:
    """Sessions of the market up to the last one that has happened."""
    last = home.spec.last_session or date.today()
    return session_array(home.universe.exchange, home.spec.first_session, last)


def signal_sessions(home: Home, mondays: Sequence[str]) -> Sessions:
    """The last session of each finished week among some weeks, which are named by their Monday."""
    last = home.spec.last_session or date.today()
    beyond = session_array(home.universe.exchange, home.spec.first_session, last + timedelta(days=14))
    ends = week_ends(beyond, last)
    wanted = set(mondays)
    return ends[[(day - timedelta(days=day.weekday())).isoformat() in wanted for day in ends.tolist()]]


def note_rows(context: dg.AssetExecutionContext, frame: pl.DataFrame, column: str) -> None:
    """Report the row count of each partition of a run over many."""
    counts = dict(frame.group_by(pl.col(column).cast(pl.String)).len().iter_rows())
    for key in context.partition_keys:
        context.add_asset_metadata({"rows": counts.get(key, 0)}, partition_key=key)


def build_market_assets(home: Home) -> list[dg.AssetsDefinition]:
    """Membership, the accounting of rows, and momentum ranks."""

    @dg.asset(
        **asset_options(
            home, "raw.securities", rooms=("sources",), specs=("sources/*.yaml",), kinds={home.spec.source, "parquet"}
        ),
        retry_policy=dg.RetryPolicy(max_retries=home.schedules.retry_max, delay=home.schedules.retry_delay_seconds),
    )
    def raw_securities(home: HomeResource) -> pl.DataFrame:
        return home.open().source.securities()

    @dg.asset(
        **asset_options(home, "clean.equity_accounting", rooms=(), specs=(), kinds={"duckdb", "sql"}),
        deps=[dg.AssetKey(["raw", "equity_bars"]), dg.AssetKey(["clean", "equity_bars"]), dg.AssetKey(["clean", "equity_quarantine"])],
    )
    def clean_equity_accounting(home: HomeResource, catalogue: DuckDBResource) -> pl.DataFrame:
        home.refresh_catalogue(force=True)
        with catalogue.get_connection() as connection:
            return connection.sql(ACCOUNTING).pl()

    @dg.asset(
        **asset_options(
            home,
            "signals.momentum_rank",
            rooms=("signals/momentum", "market/universe"),
            specs=("features/equity*.yaml",),
            kinds={"polars", "parquet"},
        ),
        partitions_def=weeks(home.spec),
        backfill_policy=dg.BackfillPolicy.single_run(),
        ins={"features": reads("features.equity", every_partition=True), "securities": reads("raw.securities")},
    )
    def signals_momentum_rank(
        context: dg.AssetExecutionContext, home: HomeResource, features: pl.LazyFrame, securities: pl.LazyFrame
    ) -> pl.DataFrame:
        opened = home.open()
        at = signal_sessions(opened, context.partition_keys)
        ranked = momentum_rank(
            features.select("ticker", "session", "momentum_12_1").filter(pl.col("session").is_in(pl.Series(at).implode())).collect(),
            at,
            market_sessions(opened),
            members=member_sessions(securities.collect(), opened.universe.name, at),
        )
        note_rows(context, ranked, "week")
        return ranked

    return [raw_securities, clean_equity_accounting, signals_momentum_rank]


ACCOUNTING = """
    with raw_counts as (select ticker, count(*) as raw_rows from raw.equity_bars group by ticker),
    clean_counts as (
        select ticker,
               count(*) filter (where missing_reason is null) as clean_rows,
               count(*) filter (where missing_reason is not null) as missing_sessions,
               min(session) as first_session,
               max(session) as last_session
        from clean.equity_bars group by ticker
    ),
    quarantine_counts as (select ticker, count(*) as quarantined_rows from clean.equity_quarantine group by ticker)
    select ticker,
           coalesce(raw_rows, 0) as raw_rows,
           coalesce(clean_rows, 0) as clean_rows,
           coalesce(quarantined_rows, 0) as quarantined_rows,
           coalesce(raw_rows, 0) - coalesce(clean_rows, 0) - coalesce(quarantined_rows, 0) as unaccounted_rows,
           coalesce(missing_sessions, 0) as missing_sessions,
           first_session,
           last_session
    from raw_counts
    full join clean_counts using (ticker)
    full join quarantine_counts using (ticker)
    order by ticker
"""
