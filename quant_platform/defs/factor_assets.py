"""Information coefficients of the factors, one partition each."""

import dagster as dg
import polars as pl

from quant_platform.defs.frame_assets import reads, reads_all, table_asset
from quant_platform.defs.resources import HomeResource
from quant_platform.market.stated_facts import applied_actions
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.studies import FACTOR_SPECS, Market, study_factors


def build_factor_assets(home: Home, factors: dg.StaticPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The factor study; a run over several factors reads the market once."""

    @table_asset(
        home,
        "factors.information_coefficient",
        rooms=("labs/equity/factors", "statistics", "market/universe", "market/stated_facts"),
        specs=FACTOR_SPECS,
        kinds={"numba", "parquet"},
        partitions_def=factors,
        backfill_policy=dg.BackfillPolicy.single_run(),
        ins={
            "features": reads_all("features.equity"),
            "bars": reads_all("clean.equity_bars"),
            "actions": reads_all("clean.corporate_actions"),
            "securities": reads("raw.securities"),
        },
    )
    def factors_information_coefficient(
        context: dg.AssetExecutionContext,
        home: HomeResource,
        features: pl.LazyFrame,
        bars: pl.LazyFrame,
        actions: pl.LazyFrame,
        securities: pl.LazyFrame,
    ) -> pl.DataFrame:
        market = Market(features, bars, applied_actions(actions), securities)
        return study_factors(home.open(), context.partition_keys, market)

    return [factors_information_coefficient]
