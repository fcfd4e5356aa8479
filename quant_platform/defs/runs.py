"""Running jobs from Python: the same jobs the UI runs, one after the other, in the order the data needs.

:func:`everything` is the whole graph of a market. Each entry names a job and the partitions it covers; a job over many
partitions is one run, so that Dagster's worker processes share it out.
"""

from __future__ import annotations

import os
import platform
import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.executor.child_process_executor import ChildProcessCrashException
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster_shared.error import SerializableErrorInfo

from quant_platform.contracts.errors import PartitionMissing, PlatformError
from quant_platform.contracts.tables import Table, table
from quant_platform.defs.executors import require_workers
from quant_platform.defs.instances import instance_of as instance_of
from quant_platform.defs.jobs import ALL, Job, job_named
from quant_platform.defs.labs import labs_of
from quant_platform.defs.remainder import failed_partitions, pieces
from quant_platform.defs.schemes import (
    DAYS,
    EVENT_CUTOFFS,
    SIGNAL,
    SIGNALS,
    SUITE,
    SUITES,
    SYMBOL_MONTHS,
    TICKER,
    TICKERS,
    UNPARTITIONED,
    partition_key,
    range_tags,
)
from quant_platform.defs.tags import FIRST_RUN_TAG, GOES_ON_TAG, PROCESS_TAG, REFRESH_TAG
from quant_platform.defs.workers import chunks, steps_at_a_time, worth_beside
from quant_platform.lake.catalogue import known_rows
from quant_platform.lake.inventory import inventory
from quant_platform.pipeline.changed import Changed, changed
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sources import tickers_of
from quant_platform.pipeline.stage import Stage
from quant_platform.specification.deployment import ExecutorSpec, deployment
from quant_platform.specification.settings import Settings, settings


class RunFailed(PlatformError, RuntimeError):
    """A Dagster run did not succeed."""

    code = "run_failed"


class TickersLeftOut(RunFailed):
    """A run went on without the tickers that failed; all others were made."""

    code = "tickers_left_out"


@dataclass(frozen=True)
class Launch:
    """One run: a job over consecutive partitions, or over none for an unpartitioned asset."""

    job: str
    keys: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    """Those of the job's tables that are made; all when none is named."""


def everything(
    home: Home,
    instance: dg.DagsterInstance,
    *,
    only: Sequence[str] | None = None,
    live_sessions: int | None = None,
) -> list[Launch]:
    """Every job of the graph in the order the data needs, over the whole history of the market.

    Parameters
    ----------
    home
        The market; its tickers have partitions already (:func:`register_tickers`).
    instance
        Which ticker partitions there are.
    only
        Names of the jobs wanted; all when not given.
    live_sessions
        Number of last sessions that are scanned; the job's own number when not given.
    """
    jobs = [job for lab in labs_of(home) for job in lab.jobs if job.whole and (only is None or job.name in only)]
    launches = [_whole(job, home, instance, live_sessions) for job in jobs]
    # A market in which no week is over yet has no report; one without a ticker or a month is a mistake.
    data = (UNPARTITIONED, TICKERS, SYMBOL_MONTHS)
    return [launch for launch in launches if launch.keys or job_named(launch.job).scheme in data]


def _whole(job: Job, home: Home, instance: dg.DagsterInstance, live_sessions: int | None) -> Launch:
    keys = job.scheme.keys(home, instance)
    if job.scheme is EVENT_CUTOFFS and keys:
        newest = max(key.split("|")[0] for key in keys)
        keys = [key for key in keys if key.startswith(f"{newest}|")]
    ended = home.simulated and home.spec.last_session is not None if job.simulated is not None else False
    count = job.simulated if ended and job.simulated is not None else job.whole
    count = live_sessions if job.scheme is DAYS and live_sessions is not None else count
    return Launch(job.name, tuple(keys if count == ALL else keys[-count:]))


def stale_launches(home: Home, instance: dg.DagsterInstance) -> list[tuple[Launch, list[Changed]]]:
    """What of the whole graph was made by other code or under other specs than today's, as runs with their reasons.

    Returns
    -------
    list of (Launch, list of Changed)
        In the order of :func:`everything`; of each job only the tables that are to be made.
    """
    launches = everything(home, instance)
    rows = inventory(home.lake, known_rows(home.settings.catalogue))
    stages = {launch.job: job_named(launch.job, home).stages for launch in launches}
    counted = []
    for launch in launches:
        tables = {definition.name: definition for stage in stages[launch.job] for definition in stage.tables}
        own, keys = [row for row in rows if row.table_name in tables], set(launch.keys)
        counted += [row for row in own if row.key is None or _key_of_row(tables[row.table_name], row.key) in keys]
    found = changed(home, [stage for launch in launches for stage in stages[launch.job]], counted)
    plan = []
    for launch in launches:
        of_job = [one for one in found if any(one.stage is stage for stage in stages[launch.job])]
        if of_job:
            tables_made = tuple(name for one in of_job for name in one.stage.outputs)
            plan.append((replace(launch, tables=tables_made), of_job))
    return plan


def _key_of_row(definition: Table, shown: str) -> str:
    parts = shown.split("/")
    return partition_key(definition, parts[0] if len(parts) == 1 else tuple(parts))


def register_tickers(home: Home, instance: dg.DagsterInstance) -> tuple[list[str], list[str]]:
    """Add a partition for every name of the universe that has none.

    Returns
    -------
    (all, new)
        All ticker partitions in the order Dagster keeps them, and the ones just added.
    """
    known = set(instance.get_dynamic_partitions(TICKER))
    new = [ticker for ticker in tickers_of(home) if ticker not in known]
    if new:
        instance.add_dynamic_partitions(TICKER, new)
    return list(instance.get_dynamic_partitions(TICKER)), new


def register_suite(instance: dg.DagsterInstance, signal: str, snapshot: str) -> str:
    """Add the partitions of a signal and of the pair of signal and snapshot, where there are none.

    Returns
    -------
    str
        Partition key of the pair.
    """
    key = partition_key(table("suite.verdict"), (signal, snapshot))
    for name, wanted in ((SIGNAL, signal), (SUITE, key)):
        if not instance.has_dynamic_partition(name, wanted):
            instance.add_dynamic_partitions(name, [wanted])
    return key


def consecutive(job: str, keys: Sequence[str], home: Home, instance: dg.DagsterInstance) -> Iterator[tuple[str, ...]]:
    """Cut partitions of a job into stretches that one run can cover: Dagster runs a range from a key to a key."""
    order = {key: place for place, key in enumerate(job_named(job).scheme.keys(home, instance))}
    stretch: list[str] = []
    for key in sorted(keys, key=order.__getitem__):
        if stretch and order[key] != order[stretch[-1]] + 1:
            yield tuple(stretch)
            stretch = []
        stretch.append(key)
    if stretch:
        yield tuple(stretch)


def load_definitions(home: Home) -> dg.Definitions:
    """Make what Dagster knows of a home, which its first run would otherwise wait for."""
    # It imports this module.
    definitions = import_module("quant_platform.defs.definitions")
    made: dg.Definitions = definitions.definitions_of(home.settings)
    return made


def resolved_job(name: str, home: str, specs: str, elsewhere: bool = False) -> dg.JobDefinition:
    """Take one job out of the definitions of a home: what a worker calls.

    Parameters
    ----------
    name
        Of the job.
    home, specs
        The folders of the process that started the run.
    elsewhere
        Whether the worker may be on another machine, where the environment says which folders are those of the home.
    """
    definitions = import_module("quant_platform.defs.definitions")
    where = settings() if elsewhere else Settings(home=Path(home), specs=Path(specs))
    job: dg.JobDefinition = definitions.definitions_of(where).resolve_job_def(name)
    return job


def execute(
    launch: Launch,
    instance: dg.DagsterInstance,
    *,
    refresh: bool = False,
    in_process: bool | None = None,
    workers: int | None = None,
    resume: str | None = None,
    may_leave_out: int = 0,
) -> str:
    """Run one job to its end; a job over tickers also without those that fail.

    Parameters
    ----------
    launch
        Job and partitions.
    instance
        Where the run is recorded.
    refresh
        Compute also what is current.
    in_process
        Run every step in this process and alone, or every step in a process of its own; None runs the steps here, with
        processes beside it that share many partitions (`quant_platform.pipeline.sharing`), or where the deployment
        says so on other machines.
    workers
        Processes beside this one, or steps at a time; None takes the number of the deployment, or all cores but one.
    resume
        Id of an earlier run of the same job that was interrupted: what it made is kept, also with ``refresh``.
    may_leave_out
        How many tickers may fail before the run does not go on without them; each costs about one more run.

    Returns
    -------
    str
        The run id.

    Raises
    ------
    PartitionMissing
        When a job over partitions is given none.
    ExecutorUnavailable
        When steps were to run on other machines and no worker is there.
    RunFailed
        Naming the step that failed and its error.
    TickersLeftOut
        When the run was finished without some tickers, naming them and their errors.
    KeyboardInterrupt
        When the run was interrupted; what it had written is whole.
    """
    if not launch.keys and job_named(launch.job).scheme is not UNPARTITIONED:
        raise PartitionMissing(
            f"the job {launch.job} was asked to run over no partition",
            where=instance.root_directory,
            cause="nothing of what it makes is over yet, or the universe has no name",
            action="give the market a first session or month that is over, and names",
        )
    if resume is not None and instance.get_run_by_id(resume) is None:
        raise RunFailed(
            f"there is no run {resume!r} to resume",
            where=f"{launch.job}, {instance.root_directory}",
            action="give the whole id, as `quant run` prints it and the UI shows it",
        )
    refreshing = {REFRESH_TAG: "true"} if refresh else {}
    first = _attempt(launch, instance, refreshing | {GOES_ON_TAG: "true"}, in_process, workers, resume)
    left_out = dict(first.failed)
    if first.error is None:
        return first.run_id
    waiting = pieces(launch.keys, left_out) if job_named(launch.job).scheme is TICKERS else []
    if not waiting or not 0 < len(left_out) <= may_leave_out:
        raise first.error
    while waiting:
        piece = waiting.pop(0)
        tags = refreshing | {GOES_ON_TAG: "true", FIRST_RUN_TAG: first.first_run_id}
        further = _attempt(replace(launch, keys=piece), instance, tags, in_process, workers, None)
        left_out |= further.failed
        if further.error is not None and (not further.failed or len(left_out) > may_leave_out):
            raise further.error
        waiting = pieces(piece, further.failed) + waiting if further.failed else waiting
    raise TickersLeftOut(
        f"{len(left_out)} of {len(launch.keys)} tickers of the job {launch.job} could not be made; the others were",
        where=f"run {first.run_id}: {', '.join(left_out)}",
        rows=[{ticker: "; ".join(map(str.strip, error.splitlines()))} for ticker, error in left_out.items()],
        cause="each row above is that ticker's own error",
        action=f"mend the cause and start `quant run {launch.job}` again: what was made is kept and skipped",
    )


@dataclass(frozen=True)
class _Attempt:
    run_id: str
    first_run_id: str
    error: RunFailed | None = None
    failed: Mapping[str, str] = field(default_factory=dict)


def _attempt(
    launch: Launch,
    instance: dg.DagsterInstance,
    tags: Mapping[str, str],
    in_process: bool | None,
    workers: int | None,
    resume: str | None,
) -> _Attempt:
    """Run one job once."""
    config: dict[str, object] = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
    executor = deployment(settings()).executor
    where = _where(launch, executor, in_process, workers)
    config["execution"] = {"config": where}
    if not where.get("in_process"):
        require_workers(executor)
    again = dg.ReexecutionOptions(parent_run_id=resume) if resume is not None else None
    # Dagster keeps the last job it built by these arguments: without the folders, a second home in this process would
    # be answered with the job of the first.
    what: dict[str, Any] = {
        "name": launch.job,
        "home": os.environ["QUANT_HOME"],
        "specs": os.environ["QUANT_SPECS"],
        "elsewhere": executor.distributed,
    }
    job = dg.build_reconstructable_job("quant_platform.defs.runs", "resolved_job", reconstructable_kwargs=what)
    covered = {**tags, PROCESS_TAG: process_tag(os.getpid()), **(range_tags(launch.keys) if launch.keys else {})}
    some = [dg.AssetKey(name.split(".")) for name in launch.tables]
    with dg.execute_job(
        job, instance, run_config=config, tags=covered, reexecution_options=again, asset_selection=some or None
    ) as result:
        if _was_interrupted(result):
            raise KeyboardInterrupt
        first_run = result.dagster_run.root_run_id or result.run_id
        if not result.success:
            return _Attempt(result.run_id, first_run, _failure(launch, result), failed_partitions(result.all_events))
        return _Attempt(result.run_id, first_run)


def process_tag(process: int) -> str:
    """What the runs of a process of this machine are tagged with; machines may share a history."""
    return f"{process}@{platform.node()}"


def end_lost_runs(instance: dg.DagsterInstance, job: str, process: int) -> None:
    """Record that runs of a job failed which a process had under way that was lost: it cannot say so itself."""
    lost = dg.RunsFilter(job_name=job, tags={PROCESS_TAG: process_tag(process)}, statuses=list(NOT_FINISHED_STATUSES))
    for run in instance.get_runs(lost):
        instance.report_run_failed(run, "the process that executed it was lost; what it had written is whole")


def processes_of(launch: Launch, *, in_process: bool | None = None, workers: int | None = None) -> int:
    """Processes that would share the partitions of a run with this one; see `execute` for the options."""
    return int(_where(launch, deployment(settings()).executor, in_process, workers).get("beside", 0))


def waits_of(launches: Sequence[Launch], home: Home, *, alone: Sequence[bool]) -> list[frozenset[int]]:
    """For each of some runs in the order of the graph, the positions of the earlier ones that it waits for.

    Those are the runs that make what it reads, or what a job makes that it follows, and those that read or make what it
    makes itself.

    Parameters
    ----------
    launches
        The runs.
    home
        The market, whose tables in SQL have jobs too.
    alone
        For each of them whether it is run beside no other one.
    """
    found: list[frozenset[int]] = []
    jobs = [job_named(launch.job, home) for launch in launches]
    for position, job in enumerate(jobs):
        before = {name for follows in job.follows for name in job_named(follows, home).tables} | job.reads
        waits = {
            earlier
            for earlier in range(position)
            if alone[position]
            or alone[earlier]
            or not before.isdisjoint(jobs[earlier].tables)
            or not (jobs[earlier].reads | set(jobs[earlier].tables)).isdisjoint(job.tables)
        }
        found.append(frozenset(waits))
    return found


def _where(
    launch: Launch, executor: ExecutorSpec, in_process: bool | None, workers: int | None
) -> dict[str, bool | int]:
    """Where the steps of a run are executed, as its configuration says it."""
    count = workers or steps_at_a_time(executor)
    shareable = in_process is None and all(isinstance(stage, Stage) for stage in job_named(launch.job).stages)
    elsewhere = shareable and executor.distributed and len(chunks(launch.keys, count)) > 1
    if in_process is False or elsewhere:
        return {"max_concurrent": count}
    beside = worth_beside(len(launch.keys), workers, executor) if shareable else 0
    return {"in_process": True, "beside": beside}


def _was_interrupted(result: dg.JobExecutionResult) -> bool:
    """Whether somebody stopped the run: Dagster turns the interrupt into a failed step, or into a run without one."""
    name = dg.DagsterExecutionInterruptedError.__name__
    errors = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    errors += [event.job_failure_data.error for event in result.all_events if event.is_run_failure]
    return any(error is not None and error.cls_name == name for error in errors)


def _failure(launch: Launch, result: dg.JobExecutionResult) -> RunFailed:
    failed = [event for event in result.all_events if event.is_step_failure]
    texts = []
    for event in failed:
        step = (event.step_key or "step").split(".")[0]
        texts.append({step: _crash(event, result.all_events) or _plain(_told(event.step_failure_data.error))})
    return RunFailed(
        f"the job {launch.job} did not succeed",
        where=f"run {result.run_id}",
        how_many=f"{len(failed)} step{'s' if len(failed) != 1 else ''} failed",
        rows=texts,
        action=f"mend the cause and start `quant run {launch.job}` again: what was made is kept and skipped",
    )


def _crash(failure: dg.DagsterEvent, events: Sequence[dg.DagsterEvent]) -> str:
    """How the process of a step ended that said nothing itself; empty where the step failed by itself."""
    error = failure.step_failure_data.error
    if error is None or not error.message.rstrip().endswith(ChildProcessCrashException.__name__):
        return ""
    said = [
        event.message or ""
        for event in events
        if event.is_engine_event and event.step_key == failure.step_key and event.engine_event_data.error is not None
    ]
    how = re.search(r"(was terminated by signal \d+|unexpectedly exited with code -?\d+)", said[-1] if said else "")
    if how is None:
        return "worker_ended: its process ended without a word"
    killed = how[1].endswith(f"signal {int(signal.SIGKILL)}")
    return f"worker_ended: its process {how[1]}{', as when memory is short' if killed else ''}"


def _told(error: SerializableErrorInfo | None) -> str:
    """What an error says to people: the innermost of ours, below what Dagster says and above what a library said."""
    chain = []
    while error is not None:
        chain.append(error.message)
        error = error.cause
    ours = [message for message in chain if message.startswith("quant_platform.") and _OURS.match(message)]
    return (ours or chain or [""])[-1]


_OURS = re.compile(r"^[\w.]+: (?=[a-z_]+: )")


def _plain(message: str) -> str:
    """An error without the class name that Dagster puts before it, its further lines indented below the first."""
    text = _OURS.sub("", message.strip(), count=1)
    return text.replace("\n", "\n    ")


def partition_range(
    home: Home, instance: dg.DagsterInstance, job: str, first: str | None, last: str | None
) -> tuple[str, ...]:
    """Partitions of a job between two keys, both included; from the first, or to the last, when one is not given.

    Raises
    ------
    UnknownJob
        With the closest one.
    PartitionMissing
        When a key is none of the job's, with the closest one.
    """
    scheme = job_named(job).scheme
    keys = scheme.keys(home, instance)
    if not keys and scheme in (SIGNALS, SUITES):
        raise PartitionMissing(
            f"the job {job} has no partitions yet: no signal was judged",
            action="register one and judge it: quant signal submit FILE --name NAME, then quant suite NAME",
        )
    for key in (first, last):
        if key is not None and key not in keys:
            close = get_close_matches(key, keys, n=1)
            raise PartitionMissing(
                f"{key!r} is not a partition of the job {job}",
                how_many=f"it has {len(keys)}" + (f", from {keys[0]} to {keys[-1]}" if keys else ""),
                action=f"did you mean {close[0]!r}?" if close else "leave out --from and --to to run all of them",
            )
    start = keys.index(first) if first is not None else 0
    stop = keys.index(last) + 1 if last is not None else len(keys)
    if stop <= start and keys:
        raise PartitionMissing(
            f"no partition of the job {job} lies between {first!r} and {last!r}",
            cause=f"{first!r} comes after {last!r}",
            action=f"turn them round: --from {last} --to {first}",
        )
    return tuple(keys[start:stop])
