"""Tables over independent partitions as assets: a run over many is cut into chunks, one worker each.

Every asset made here is a graph of three steps: ``plan`` cuts the run's partitions into chunks, ``work`` runs the stage
over one chunk (Dagster maps it over the chunks, in parallel processes where there are cores, or on other machines where
the deployment says so; the other two stay beside the run), ``record`` reports every partition as materialised with its
own metadata. With one partition, one core, or no fork there is one chunk, and the same function gives the same bits in
one process.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import dagster as dg
from dagster._core.events import AssetMaterializationPlannedData
from dagster._core.storage.tags import PRIORITY_TAG

from quant_platform.contracts.errors import PlatformError
from quant_platform.defs import schemes
from quant_platform.defs.covered import covered
from quant_platform.defs.described import described, key_of
from quant_platform.defs.metadata import bar_picture, describe_partitions, partition_metadata
from quant_platform.defs.remainder import failure_metadata
from quant_platform.defs.resources import CatalogueResource, HomeResource
from quant_platform.defs.retries import ask_again, lost_when_told_to_end
from quant_platform.defs.steps_here import STAYS_HERE
from quant_platform.defs.tags import FIRST_RUN_TAG, REFRESH_TAG
from quant_platform.defs.workers import chunks, workers_of_run
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sharing import RunStage
from quant_platform.pipeline.sql import SqlStage
from quant_platform.pipeline.stage import Done, Stage, run_stage
from quant_platform.specification.deployment import deployment

# Names of the steps within the graph of their asset. Every event of every partition says its step four times, so they
# are short; the ops themselves need names that no other graph has.
PLAN, WORK, RECORD = "plan", "work", "record"


class PartitionsFailed(PlatformError, RuntimeError):
    """Some partitions of a run could not be made; the others were."""

    code = "partitions_failed"


def chunked_asset(stage: Stage, home: Home, lab: str) -> dg.AssetsDefinition:
    """Make the assets of a stage over independent partitions, one per output.

    Parameters
    ----------
    stage
        The computation.
    home
        The market; whether it goes on decides whether its freshness means something.
    lab
        The group under which the UI shows them.
    """
    name = _name(stage)
    order = {PRIORITY_TAG: str(stage.priority)}
    upstream = [*stage.inputs, *stage.shared_inputs, *stage.upstream]
    ins = {source.replace(".", "_"): source for source in upstream}
    outs = {output.replace(".", "_"): output for output in stage.outputs}

    @dg.op(
        name=f"{name}__plan",
        ins={short: dg.In(dg.Nothing) for short in ins},
        out=dg.DynamicOut(list[str]),
        tags={"kind": "plan", **STAYS_HERE, **order},
    )
    def plan(context: dg.OpExecutionContext, home: HomeResource) -> Any:
        opened = home.open()
        workers = workers_of_run(context.run.run_config, deployment(opened.settings).executor)
        keys = covered(context, schemes.scheme_of(stage.tables), opened)
        for position, chunk in enumerate(chunks(keys, workers)):
            yield dg.DynamicOutput(chunk, mapping_key=f"chunk_{position:03d}")

    work = _sql_op(stage, name, order) if isinstance(stage, SqlStage) else _work_op(stage, name, order)

    @dg.op(name=f"{name}__record", out={short: dg.Out(dg.Nothing) for short in outs}, tags={**STAYS_HERE, **order})
    def record(context: dg.AssetExecutionContext, results: list[Any], home: HomeResource) -> Any:
        home.refresh_catalogue()
        _record(stage, context, [row for part in results for row in part])
        for short in outs:
            yield dg.Output(None, short)

    @dg.graph_multi_asset(
        name=name,
        group_name=lab,
        ins={short: dg.AssetIn(key=key_of(source), dagster_type=dg.Nothing) for short, source in ins.items()},
        outs={
            short: dg.AssetOut(**described(stage, output, home, lab), dagster_type=dg.Nothing)
            for short, output in outs.items()
        },
        partitions_def=schemes.scheme_of(stage.tables).definition(home),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    @_with_parameters(ins)
    def assets(*inputs: Any, **named: Any) -> Any:
        chunked = plan.alias(PLAN)(*inputs, **named)
        recorded = record.alias(RECORD)(chunked.map(work.alias(WORK)).collect())
        return {short: getattr(recorded, short) for short in outs} if len(outs) > 1 else recorded

    return assets


def _work_op(stage: Stage, name: str, tags: Mapping[str, str]) -> dg.OpDefinition:
    @dg.op(name=f"{name}__work", tags=tags)
    def work(
        context: dg.OpExecutionContext, chunk: list[str], home: HomeResource, sharing: dg.ResourceParam[RunStage]
    ) -> list[dict[str, Any]]:
        return _work(stage, context, chunk, home.open(), partial(sharing, warn=context.log.warning))

    return work


def _sql_op(stage: SqlStage, name: str, tags: Mapping[str, str]) -> dg.OpDefinition:
    """The step of a table in SQL: its partitions are asked of one open catalogue, which shows the lake as it is now."""

    @dg.op(name=f"{name}__work", tags=tags)
    def work(
        context: dg.OpExecutionContext, chunk: list[str], home: HomeResource, catalogue: CatalogueResource
    ) -> list[dict[str, Any]]:
        opened = home.open()
        opened.follow_catalogue()
        with catalogue.get_connection() as connection:
            return _work(stage.over(connection, opened), context, chunk, opened, run_stage)

    return work


def _work(
    stage: Stage, context: dg.OpExecutionContext, chunk: Sequence[str], home: Home, run: Callable[..., list[Done]]
) -> list[dict[str, Any]]:
    refresh = context.run.tags.get(REFRESH_TAG) == "true"
    first_run = context.run.tags.get(FIRST_RUN_TAG) or context.run.root_run_id or context.run_id
    keys = [schemes.lake_key(stage.table, key) for key in chunk]
    with lost_when_told_to_end():
        results = run(stage, home, keys, run_id=first_run, refresh=refresh)
    if stage.always and any(result.passing for result in results):
        ask_again(context, home.schedules)
    written = sum(result.state == "written" for result in results)
    current = sum(result.state == "current" for result in results)
    context.log.info("%d partitions written, %d were current, of %d", written, current, len(chunk))
    return [
        {"key": key, "state": result.state, "rows": dict(result.rows), "error": result.error}
        for key, result in zip(chunk, results, strict=True)
    ]


def _record(stage: Stage, context: dg.AssetExecutionContext, rows: Sequence[Mapping[str, Any]]) -> None:
    good = [row for row in rows if row["state"] != "failed"]
    failed = [row for row in rows if row["state"] == "failed"]
    for output in stage.outputs:
        asset_key = key_of(output)
        about = {str(row["key"]): partition_metadata(row["rows"][output], row["state"]) for row in good}
        if not failed:
            describe_partitions(context, asset_key, about)
            continue
        for key, metadata in about.items():
            context.log_event(dg.AssetMaterialization(asset_key, partition=key, metadata=metadata))
    if failed:
        _plan_failed(stage, context, [row["key"] for row in failed])
        errors = {row["key"]: row["error"] for row in failed}
        description = str(_failure(stage, failed, len(rows)))
        raise dg.Failure(description=description, metadata=failure_metadata(errors), allow_retries=False)
    for output in stage.outputs:
        counts = sorted((row["rows"][output] for row in good), reverse=True)
        step = max(1, len(counts) // 24)
        picture = bar_picture(range(0, len(counts), step), counts[::step], f"rows per partition of {output}, sorted")
        # Once per run: metadata of a materialisation is stored with every partition.
        seen = {"rows_in_run": sum(counts), "partitions_in_run": len(counts), "rows_per_partition": picture}
        context.log_event(dg.AssetObservation(key_of(output), metadata=seen))


def _name(stage: Stage) -> str:
    # Of the first output only: every event of every partition names its step.
    return stage.outputs[0].replace(".", "_")


def _plan_failed(stage: Stage, context: dg.AssetExecutionContext, keys: Sequence[str]) -> None:
    """Say of each partition that failed that the run was to make it, so that the UI shows it as failed."""
    for output in stage.outputs:
        for key in keys:
            planned = AssetMaterializationPlannedData(key_of(output), partition=key)
            event = dg.DagsterEvent.build_asset_materialization_planned_event(
                context.run.job_name, f"{_name(stage)}.{RECORD}", planned
            )
            context.instance.report_dagster_event(event, context.run.run_id)


def _with_parameters(names: Iterable[str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a graph body the named parameters Dagster looks for; their number differs from stage to stage."""

    def declare(body: Callable[..., Any]) -> Callable[..., Any]:
        parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
        vars(body)["__signature__"] = inspect.Signature(parameters)  # the attribute inspect.signature reads
        return body

    return declare


def _failure(stage: Stage, failed: Sequence[Mapping[str, Any]], total: int) -> PartitionsFailed:
    return PartitionsFailed(
        f"{len(failed)} of {total} partitions of {', '.join(stage.outputs)} could not be made",
        where=", ".join(row["key"] for row in failed[:20]),
        rows=[{row["key"]: "; ".join(map(str.strip, row["error"].splitlines()))} for row in failed],
        cause="each row above is that partition's own error; the other partitions of this run were written",
        action="mend the cause and run the failed partitions again; what is current is skipped",
    )
