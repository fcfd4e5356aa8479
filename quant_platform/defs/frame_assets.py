"""Assets of stages over whole tables: their body reads the inputs, calls one function and returns the frame."""

import inspect
from collections.abc import Callable

import dagster as dg
import polars as pl

from quant_platform.contracts.tables import table
from quant_platform.defs.covered import covered
from quant_platform.defs.described import described, key_of
from quant_platform.defs.metadata import describe_partitions
from quant_platform.defs.resources import REQUIRED, HomeResource
from quant_platform.defs.retries import ask_again
from quant_platform.defs.schemes import stage_scheme
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import PASSING, FrameStage, Made, Reads


def frame_asset(stage: FrameStage, home: Home, lab: str) -> dg.AssetsDefinition:
    """Make the asset of a stage over whole tables.

    Parameters
    ----------
    stage
        The computation.
    home
        The market.
    lab
        The group under which the UI shows it.
    """
    (name,) = stage.outputs
    definition = stage.table
    scheme = stage_scheme(stage)
    partitions_def = scheme.definition(home)

    def body(context: dg.AssetExecutionContext, home: HomeResource, **frames: pl.LazyFrame) -> pl.DataFrame:
        opened = home.open()
        keys = covered(context, scheme, opened) if partitions_def is not None else []
        try:
            found = stage.compute(opened, keys, **frames)
        except PASSING:
            if stage.from_source:
                ask_again(context, opened.schedules)
            raise
        made = found if isinstance(found, Made) else Made(found)
        opened.lake.store.publish(made.files.values())
        context.add_output_metadata(
            {key: dg.MetadataValue.path(str(path)) for key, path in made.files.items()} | dict(made.notes)
        )
        if stage.together and partitions_def is not None:
            _note_rows(context, made.frame, definition.key_column(definition.dimensions[0]))
        return made.frame

    declare: Callable[[Callable[..., pl.DataFrame]], dg.AssetsDefinition] = dg.asset(
        **described(stage, name, home, lab),
        partitions_def=partitions_def,
        backfill_policy=dg.BackfillPolicy.single_run() if stage.together else None,
        ins={parameter: _input(reads, definition.dimensions) for parameter, reads in stage.inputs.items()},
        deps=[key_of(dep) for dep in stage.deps if home.has_perps or not _of_perpetuals(dep)],
    )
    return declare(_with_parameters(body, list(stage.inputs)))


def _of_perpetuals(name: str) -> bool:
    """Whether a table is made of perpetuals alone: a home of equities does not show it."""
    return not {"symbol", "cutoff"}.isdisjoint(table(name).dimensions)


def _input(reads: Reads, dimensions: tuple[str, ...]) -> dg.AssetIn:
    mappings: dict[str, dg.PartitionMapping | None] = {
        "same": None,
        "all": dg.AllPartitionMapping(),
        "dimension": dg.MultiToSingleDimensionPartitionMapping(dimensions[0]) if dimensions else None,
    }
    return dg.AssetIn(
        key=key_of(reads.table), partition_mapping=mappings[reads.partitions], metadata={REQUIRED: reads.required}
    )


def _with_parameters(body: Callable[..., pl.DataFrame], names: list[str]) -> Callable[..., pl.DataFrame]:
    """Give an asset body the named parameters Dagster looks for; their number differs from stage to stage."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [
        inspect.Parameter("context", kind, annotation=dg.AssetExecutionContext),
        inspect.Parameter("home", kind, annotation=HomeResource),
        *(inspect.Parameter(name, kind, annotation=pl.LazyFrame) for name in names),
    ]
    vars(body)["__signature__"] = inspect.Signature(parameters, return_annotation=pl.DataFrame)
    body.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return body


def _note_rows(context: dg.AssetExecutionContext, frame: pl.DataFrame, column: str) -> None:
    """Report the row count of each partition of a run over many."""
    counts = dict(frame.group_by(pl.col(column).cast(pl.String)).len().iter_rows())
    about = {str(key): {"dagster/partition_row_count": counts.get(key, 0)} for key in context.partition_keys}
    describe_partitions(context, context.asset_key, about)
