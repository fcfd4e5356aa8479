"""Ticker tables as assets: a run over many tickers is cut into chunks, one worker process each.

Every asset made here is a graph of three steps: ``plan`` cuts the run's partitions into chunks, ``work`` runs the stage
over one chunk (Dagster maps it over the chunks, in parallel processes where there are cores), ``record`` reports every
partition as materialised with its own metadata. With one ticker, one core, or no fork there is one chunk, and the same
function gives the same bits in one process.
"""

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from quant_platform.contracts.errors import PlatformError
from quant_platform.contracts.tables import table
from quant_platform.defs import partitions
from quant_platform.defs.metadata import bar_picture, column_schema
from quant_platform.defs.remainder import FIRST_RUN_TAG, failure_metadata
from quant_platform.defs.resources import SOURCES_TAG, HomeResource
from quant_platform.pipeline.stage import Stage, run_stage
from quant_platform.specification.home import SchedulesSpec

REFRESH_TAG = "quant/refresh"
SMALLEST_CHUNK = 8
OWNERS = ["team:quant-platform"]


class PartitionsFailed(PlatformError, RuntimeError):
    """Some partitions of a run could not be made; the others were."""

    code = "partitions_failed"


def worker_count() -> int:
    """Worker processes of a run: one core is left to the machine, and there is always one worker."""
    return max(1, (os.cpu_count() or 1) - 1)


def can_fork() -> bool:
    """Whether worker processes can come from a fork server here."""
    return sys.platform != "win32" and hasattr(os, "fork")


def workers_of_run(run_config: Mapping[str, Any]) -> int:
    """Worker processes that a run asks for, or the machine's number; one where a run stays in its own process."""
    asked = run_config.get("execution", {}).get("config", {})
    if asked.get("in_process") or not can_fork():
        return 1
    return int(asked.get("max_concurrent") or worker_count())


def chunks(keys: Sequence[str], workers: int) -> list[list[str]]:
    """Cut keys into at most ``workers`` contiguous chunks of even size, none smaller than needs its own process."""
    count = max(1, min(workers, len(keys) // SMALLEST_CHUNK))
    size, rest = divmod(len(keys), count)
    cut, start = [], 0
    for position in range(count):
        stop = start + size + (1 if position < rest else 0)
        cut.append(list(keys[start:stop]))
        start = stop
    return cut


def ask_again(context: dg.OpExecutionContext | dg.AssetExecutionContext, schedules: SchedulesSpec) -> None:
    """Ask Dagster to repeat this step later, twice as late each time, while ``specs/schedules.yaml`` allows it.

    A ``RetryPolicy`` on the step would also repeat it after an interrupt, and after errors that no waiting mends.

    Raises
    ------
    RetryRequested
        While there are retries left.
    """
    if context.retry_number < schedules.retry_max:
        wait = schedules.retry_delay_seconds * 2**context.retry_number
        raise dg.RetryRequested(max_retries=schedules.retry_max, seconds_to_wait=wait)


def ticker_asset(
    stage: Stage,
    *,
    group: str,
    kinds: set[str],
    code_version: str,
    schedules: SchedulesSpec,
    from_source: bool = False,
    open_ended: bool = False,
    extra_columns: Mapping[str, str] | None = None,
    lineage: Mapping[str, Sequence[tuple[str, str]]] | None = None,
    partitions_def: dg.PartitionsDefinition[Any] = partitions.tickers,
) -> dg.AssetsDefinition:
    """Make the asset (or, for a stage with several outputs, the assets) of a stage.

    Parameters
    ----------
    stage
        The computation; its outputs become the asset keys.
    group, kinds
        As the UI shows them.
    code_version
        From :meth:`Stage.code_version`.
    schedules
        Retries and freshness.
    from_source
        True for stages that read the outside world: they are retried with back-off.
    open_ended
        True where the market goes on, so that freshness means something.
    extra_columns
        Columns and descriptions that the specs add to an open table.
    lineage
        For a column, the upstream (table, column) pairs it comes from.
    partitions_def
        Tickers, or another scheme whose partitions do not depend on each other.
    """
    name = "__".join(output.replace(".", "_") for output in stage.outputs)
    upstream = [*stage.inputs, *stage.shared_inputs, *stage.upstream]
    ins = {source.replace(".", "_"): dg.In(dg.Nothing) for source in upstream}

    @dg.op(name=f"{name}__plan", ins=ins, out=dg.DynamicOut(list[str]), tags={"kind": "plan"})
    def plan(context: dg.OpExecutionContext) -> Any:
        workers = workers_of_run(context.run.run_config)
        for position, chunk in enumerate(chunks(context.partition_keys, workers)):
            yield dg.DynamicOutput(chunk, mapping_key=f"chunk_{position:03d}")

    @dg.op(name=f"{name}__work")
    def work(context: dg.OpExecutionContext, chunk: list[str], home: HomeResource) -> list[dict[str, Any]]:
        refresh = context.run.tags.get(REFRESH_TAG) == "true"
        first_run = context.run.tags.get(FIRST_RUN_TAG) or context.run.root_run_id or context.run_id
        keys = [partitions.lake_key(stage.outputs[0], key) for key in chunk]
        results = run_stage(stage, home.open(), keys, run_id=first_run, refresh=refresh)
        if from_source and any(result.passing for result in results):
            ask_again(context, schedules)
        written = sum(result.state == "written" for result in results)
        current = sum(result.state == "current" for result in results)
        context.log.info("%d partitions written, %d were current, of %d", written, current, len(chunk))
        return [
            {"key": key, "state": result.state, "rows": dict(result.rows), "error": result.error}
            for key, result in zip(chunk, results, strict=True)
        ]

    def report(context: dg.AssetExecutionContext, results: list[Any], home: HomeResource) -> None:
        flat = [row for part in results for row in part]
        home.refresh_catalogue()
        good = [row for row in flat if row["state"] != "failed"]
        failed = [row for row in flat if row["state"] == "failed"]
        for output in stage.outputs:
            asset_key = dg.AssetKey(output.split("."))
            for row in good:
                metadata = {"dagster/row_count": row["rows"][output], "state": row["state"]}
                if failed:
                    context.log_event(dg.AssetMaterialization(asset_key, partition=row["key"], metadata=metadata))
                else:
                    context.add_asset_metadata(metadata, asset_key=asset_key, partition_key=row["key"])
        if failed:
            errors = {row["key"]: row["error"] for row in failed}
            description = str(_failure(stage, failed, len(flat)))
            raise dg.Failure(description=description, metadata=failure_metadata(errors), allow_retries=False)
        for output in stage.outputs:
            counts = sorted((row["rows"][output] for row in good), reverse=True)
            step = max(1, len(counts) // 24)
            picture = bar_picture(range(0, len(counts), step), counts[::step], f"rows per ticker of {output}, sorted")
            context.add_asset_metadata(
                {"rows_in_run": sum(counts), "tickers_in_run": len(counts), "rows_per_ticker": picture},
                asset_key=dg.AssetKey(output.split(".")),
            )

    freshness = (
        dg.FreshnessPolicy.time_window(
            fail_window=timedelta(days=4 * schedules.freshness_days),
            warn_window=timedelta(days=schedules.freshness_days),
        )
        if open_ended
        else None
    )
    common: dict[str, Any] = {
        "ins": {
            source.replace(".", "_"): dg.AssetIn(key=dg.AssetKey(source.split(".")), dagster_type=dg.Nothing)
            for source in upstream
        },
        "partitions_def": partitions_def,
        "backfill_policy": dg.BackfillPolicy.single_run(),
    }
    metadata: dict[str, dict[str, Any]] = {
        output: {
            "dagster/column_schema": column_schema(table(output), extra_columns),
            SOURCES_TAG: list(stage.specs),
            **({"dagster/column_lineage": _lineage(lineage)} if lineage and output == stage.outputs[0] else {}),
        }
        for output in stage.outputs
    }

    if len(stage.outputs) == 1:
        only = stage.outputs[0]

        @dg.op(name=f"{name}__record")
        def record(context: dg.AssetExecutionContext, results: list[Any], home: HomeResource) -> None:
            report(context, results, home)

        @dg.graph_asset(
            key=dg.AssetKey(only.split(".")),
            group_name=group,
            kinds=kinds,
            owners=OWNERS,
            description=table(only).schema.__doc__,
            code_version=code_version,
            metadata=metadata[only],
            **common,
        )
        @_with_parameters(common["ins"])
        def single(*inputs: Any, **named: Any) -> Any:
            return record(plan(*inputs, **named).map(work).collect())

        return _with_freshness(single, freshness)

    outs = {output.replace(".", "_"): output for output in stage.outputs}

    @dg.op(name=f"{name}__record", out={short: dg.Out(dg.Nothing) for short in outs})
    def record_all(context: dg.AssetExecutionContext, results: list[Any], home: HomeResource) -> Any:
        report(context, results, home)
        for short in outs:
            yield dg.Output(None, short)

    @dg.graph_multi_asset(
        name=name,
        group_name=group,
        outs={
            short: dg.AssetOut(
                key=dg.AssetKey(output.split(".")),
                group_name=group,
                kinds=kinds,
                owners=OWNERS,
                description=table(output).schema.__doc__,
                code_version=code_version,
                metadata=metadata[output],
                dagster_type=dg.Nothing,
            )
            for short, output in outs.items()
        },
        **common,
    )
    @_with_parameters(common["ins"])
    def several(*inputs: Any, **named: Any) -> Any:
        recorded = record_all(plan(*inputs, **named).map(work).collect())
        return {short: getattr(recorded, short) for short in outs}

    return _with_freshness(several, freshness)


def _with_freshness(asset: dg.AssetsDefinition, policy: dg.FreshnessPolicy | None) -> dg.AssetsDefinition:
    return (
        asset
        if policy is None
        else asset.map_asset_specs(lambda spec: spec.replace_attributes(freshness_policy=policy))
    )


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


def _lineage(lineage: Mapping[str, Sequence[tuple[str, str]]]) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            column: [
                dg.TableColumnDep(asset_key=dg.AssetKey(source.split(".")), column_name=name) for source, name in deps
            ]
            for column, deps in lineage.items()
        }
    )
