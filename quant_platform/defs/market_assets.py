"""Assets about the market as a whole: membership, the accounting of rows, momentum ranks."""

import dagster as dg
import polars as pl
from dagster_duckdb import DuckDBResource

from quant_platform.defs.frame_assets import market_sessions, note_rows, reads, reads_all, signal_sessions, table_asset
from quant_platform.defs.partitions import weeks
from quant_platform.defs.resources import HomeResource
from quant_platform.defs.ticker_assets import ask_again
from quant_platform.labs.equity.setups.momentum import momentum_rank
from quant_platform.market.universe import member_sessions
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import PASSING

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


def build_market_assets(home: Home) -> list[dg.AssetsDefinition]:
    """Membership, the accounting of rows, and momentum ranks."""

    @table_asset(
        home,
        "raw.securities",
        rooms=("sources",),
        specs=("sources/{source}.yaml",),
        kinds={home.spec.source, "parquet"},
    )
    def raw_securities(context: dg.AssetExecutionContext, home: HomeResource) -> pl.DataFrame:
        opened = home.open()
        try:
            return opened.source.securities()
        except PASSING:
            ask_again(context, opened.schedules)
            raise

    @table_asset(
        home,
        "clean.equity_accounting",
        rooms=(),
        specs=(),
        kinds={"duckdb", "sql"},
        deps=[
            dg.AssetKey(name.split(".")) for name in ("raw.equity_bars", "clean.equity_bars", "clean.equity_quarantine")
        ],
    )
    def clean_equity_accounting(home: HomeResource, catalogue: DuckDBResource) -> pl.DataFrame:
        home.refresh_catalogue(force=True)
        with catalogue.get_connection() as connection:
            counted: pl.DataFrame = connection.sql(ACCOUNTING).pl()
        return counted

    @table_asset(
        home,
        "signals.momentum_rank",
        rooms=("labs/equity/setups/momentum", "market/universe"),
        specs=("features/equity*.yaml",),
        kinds={"polars", "parquet"},
        partitions_def=weeks(home.spec),
        backfill_policy=dg.BackfillPolicy.single_run(),
        ins={"features": reads_all("features.equity"), "securities": reads("raw.securities")},
    )
    def signals_momentum_rank(
        context: dg.AssetExecutionContext, home: HomeResource, features: pl.LazyFrame, securities: pl.LazyFrame
    ) -> pl.DataFrame:
        opened = home.open()
        at = signal_sessions(opened, context.partition_keys)
        wanted = pl.col("session").is_in(pl.Series(at, dtype=pl.Date).implode())
        ranked = momentum_rank(
            features.select("ticker", "session", "momentum_12_1").filter(wanted).collect(),
            at,
            market_sessions(opened),
            members=member_sessions(securities.collect(), opened.universe.name, at),
        )
        note_rows(context, ranked, "week")
        return ranked

    return [raw_securities, clean_equity_accounting, signals_momentum_rank]
