"""The partitions a step covers; a step that would cover none, or others than its run names, is an error."""

from __future__ import annotations

import dagster as dg

from quant_platform.contracts.errors import PartitionMissing
from quant_platform.defs.schemes import END, START, Scheme
from quant_platform.pipeline.home import Home
from quant_platform.specification import clock


def covered(context: dg.OpExecutionContext | dg.AssetExecutionContext, scheme: Scheme, home: Home) -> list[str]:
    """Partition keys of a step.

    Dagster answers a range that names partitions which do not exist with those that do, or with none; such a step would
    succeed having made nothing.

    Parameters
    ----------
    context
        The context of an asset or an op of a partitioned run.
    scheme
        How its tables are partitioned.
    home
        The market, which says what is over.

    Raises
    ------
    PartitionMissing
        When the run names a partition that does not exist or is not over, or none at all.
    """
    keys = [str(key) for key in context.partition_keys]
    first, last = context.run.tags.get(START), context.run.tags.get(END)
    named = f"{first} to {last}" if first is not None else "no partition"
    if not keys or (first is not None and (keys[0], keys[-1]) != (first, last)):
        raise PartitionMissing(
            f"the run names {named}, of which {'none exists' if not keys else f'only {keys[0]} to {keys[-1]} exist'}",
            where=f"{scheme.name} partitions",
            cause="a partition that does not exist yet, or no longer",
            action="run it over partitions that exist; the UI and `quant run` list them",
        )
    over = set(scheme.over(home, clock.now(), keys))
    if len(over) < len(keys):
        early = [key for key in keys if key not in over]
        raise PartitionMissing(
            f"{early[0]} is not over yet, so nothing final can be made of it",
            where=f"{scheme.name} partitions at {clock.now().isoformat(timespec='minutes')}",
            how_many=f"{len(early)} of {len(keys)} partitions",
            action="run it when it is over; for open setups of the running session there is intraday_pipeline",
        )
    return keys
