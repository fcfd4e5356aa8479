"""The event lab's symbol-month tables as assets: features, context, states and flags come from one computation."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from quant_platform.contracts.tables import table
from quant_platform.defs import partitions
from quant_platform.defs.metadata import column_schema
from quant_platform.defs.resources import SOURCES_TAG, HomeResource
from quant_platform.defs.ticker_assets import OWNERS, REFRESH_TAG, worker_count
from quant_platform.pipeline.events import MARKET, TABLES, code_version, run_events
from quant_platform.pipeline.home import Home
from quant_platform.specification.event_lab import EVENT_LAB_FILES, load_event_lab


def build_event_assets(home: Home) -> list[dg.AssetsDefinition]:
    """The four tables of one computation; a run over many symbols and months is one pass per symbol."""
    lab = load_event_lab(home.specs)
    described = {
        "features.market_5m": {name: feature.description for name, feature in lab.features.features.items()},
        "events.event_flags": {name: event.mechanism for name, event in lab.active.items()},
    }
    version = code_version(home)

    @dg.multi_asset(
        name="features_and_event_flags",
        specs=[
            dg.AssetSpec(
                key=dg.AssetKey(name.split(".")),
                deps=[dg.AssetKey(MARKET.split("."))],
                group_name=table(name).database_schema,
                kinds={"numba", "parquet"},
                owners=OWNERS,
                description=table(name).schema.__doc__,
                code_version=version,
                metadata={
                    "dagster/column_schema": column_schema(table(name), described.get(name)),
                    SOURCES_TAG: list(EVENT_LAB_FILES),
                },
            )
            for name in TABLES
        ],
        partitions_def=partitions.symbol_months(home.perps),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def features_and_event_flags(context: dg.AssetExecutionContext, home: HomeResource) -> Iterator[Any]:
        keys = [partitions.symbol_month(key) for key in context.partition_keys]
        done = run_events(
            home.open(),
            keys,
            run_id=context.run.root_run_id or context.run.run_id,
            refresh=context.run.tags.get(REFRESH_TAG) == "true",
            workers=worker_count(),
        )
        home.refresh_catalogue()
        for name in TABLES:
            asset_key = dg.AssetKey(name.split("."))
            for partition, result in zip(context.partition_keys, done, strict=True):
                metadata = {"dagster/row_count": result.rows[name], "state": result.state}
                context.add_asset_metadata(metadata, asset_key=asset_key, partition_key=partition)
            yield dg.MaterializeResult(asset_key=asset_key, metadata={"rows_in_run": sum(d.rows[name] for d in done)})

    return [features_and_event_flags]
