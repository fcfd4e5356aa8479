"""Assets of stages that make many partitions in one pass: several tables come from one computation."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from quant_platform.defs.covered import covered
from quant_platform.defs.described import described, key_of
from quant_platform.defs.metadata import describe_partitions, partition_metadata
from quant_platform.defs.resources import HomeResource
from quant_platform.defs.schemes import lake_key, scheme_of
from quant_platform.defs.tags import REFRESH_TAG
from quant_platform.defs.workers import worker_count
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import BatchStage


def batch_asset(stage: BatchStage, home: Home, lab: str) -> dg.AssetsDefinition:
    """Make the assets of a stage that makes many partitions in one pass.

    Parameters
    ----------
    stage
        The computation.
    home
        The market.
    lab
        The group under which the UI shows them.
    """

    @dg.multi_asset(
        name=stage.compute.__name__,
        specs=[
            dg.AssetSpec(**described(stage, name, home, lab), deps=[key_of(source) for source in stage.upstream])
            for name in stage.outputs
        ],
        partitions_def=scheme_of(stage.tables).definition(home),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def assets(context: dg.AssetExecutionContext, home: HomeResource) -> Iterator[Any]:
        opened = home.open()
        keys = covered(context, scheme_of(stage.tables), opened)
        done = stage.compute(
            opened,
            [lake_key(stage.table, key) for key in keys],
            run_id=context.run.root_run_id or context.run.run_id,
            refresh=context.run.tags.get(REFRESH_TAG) == "true",
            workers=worker_count(),
        )
        home.refresh_catalogue()
        for name in stage.outputs:
            asset_key = key_of(name)
            about = {
                partition: partition_metadata(result.rows[name], result.state)
                for partition, result in zip(keys, done, strict=True)
            }
            describe_partitions(context, asset_key, about)
            context.log_event(dg.AssetObservation(asset_key, metadata={"rows_in_run": sum(d.rows[name] for d in done)}))
            yield dg.MaterializeResult(asset_key=asset_key)

    return assets
