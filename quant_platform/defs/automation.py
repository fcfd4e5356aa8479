"""Schedules and sensors: what runs when nobody clicks.

A schedule is the one switch of its pipeline. Its followers are sensors that are on from the start and react to their
predecessor only. What a follower covers comes from three things that a restart does not change: the time at which the
data of the chain were asked for (:data:`AS_OF_TAG`: the tick's own time, whenever it is worked off), the partitions
that are over by then, and those that the lake holds already.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TypeAlias

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from quant_platform.defs.jobs import ALL, AssetJob, Job
from quant_platform.defs.remainder import failed_partitions, pieces
from quant_platform.defs.resources import HomeResource
from quant_platform.defs.runs import register_tickers
from quant_platform.defs.schemes import (
    END,
    EVENT_CUTOFFS,
    START,
    SYMBOL_MONTHS,
    TICKER,
    TICKERS,
    UNPARTITIONED,
    partition_key,
    range_tags,
    tickers,
)
from quant_platform.defs.tags import AS_OF_TAG, FIRST_RUN_TAG, GOES_ON_TAG, LEFT_OUT_TAG, REFRESH_TAG
from quant_platform.pipeline.alerts import alerts_of, tell
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sessions import running_session
from quant_platform.pipeline.sources import tickers_of
from quant_platform.specification.home import ScheduleSpec

# How long after its end a month is asked for again: vendors restate and deliver late.
MONTH_SETTLES = timedelta(days=3)

Asked: TypeAlias = list[tuple[str, ...]] | str


def made(home: Home, job: Job) -> set[str]:
    """Partition keys, as Dagster writes them, of which the lake holds every table of a job."""
    stored = ({partition_key(home.lake.table(name), key) for key in home.lake.partitions(name)} for name in job.tables)
    return set.intersection(*stored)


def due(home: Home, job: Job, at: datetime, instance: dg.DagsterInstance) -> list[str]:
    """Partitions that a follower of one kind or the other covers.

    Parameters
    ----------
    home, job
        Market and follower.
    at
        When the data of the chain were asked for.
    instance
        Where tickers and runs are recorded.

    Returns
    -------
    list of str
        Of periods those that were over and come after the last one in the lake, without what a run that is not
        finished covers; where the lake holds none, as many of the last as belong to the whole graph. Of anything else
        everything.
    """
    keys = job.scheme.keys(home, instance, at)
    if not job.scheme.period:
        return keys
    present = made(home, job)
    if present:
        keys = [key for key in keys if key > max(present)]
    elif job.whole != ALL:
        keys = keys[-max(1, job.whole) :]
    running = instance.get_runs(dg.RunsFilter(job_name=job.name, statuses=list(NOT_FINISHED_STATUSES)))
    spans = [(run.tags[START], run.tags[END]) for run in running if START in run.tags and END in run.tags]
    return [key for key in keys if not any(first <= key <= last for first, last in spans)]


def requests_for(
    job: Job, keys: Sequence[str], tags: Mapping[str, str], instance: dg.DagsterInstance
) -> list[dg.RunRequest]:
    """The runs of a job over some consecutive keys.

    The key of a run is made from its partitions, so that no daemon asks for it twice; a further attempt at partitions
    that a finished run did not make has a key of its own.
    """
    found = []
    for group in job.runs_over(keys):
        covered = range_tags(group)
        earlier = [run for run in instance.get_runs(dg.RunsFilter(job_name=job.name, tags=covered)) if run.is_finished]
        again = f"/again-{len(earlier)}" if earlier else ""
        run_key = f"{job.name}/{group[0]}/{group[-1]}{again}"
        found.append(dg.RunRequest(run_key=run_key, tags={**tags, **covered}))
    return found


def _tickers_asked(home: Home, _at: datetime, instance: dg.DagsterInstance) -> Asked:
    known, _ = register_tickers(home, instance)
    return [tuple(known)] if known else "the universe has no name"


def _session_asked(home: Home, at: datetime, _instance: dg.DagsterInstance) -> Asked:
    running = running_session(home, at)
    if running is None:
        return f"no session of {home.universe.exchange} is running at {at.isoformat()}"
    return [(running.isoformat(),)]


def _months_asked(home: Home, at: datetime, _instance: dg.DagsterInstance) -> Asked:
    """Every symbol of the running month, of the one before while it settles, and of all months since the last made."""
    months = [month for month in home.perps.months if month <= f"{at.astimezone(UTC):%Y-%m}"]
    stored = [str(key[1]) for key in home.lake.partitions("clean.market_5m") if isinstance(key, tuple)]
    settling = f"{(at.astimezone(UTC) - MONTH_SETTLES):%Y-%m}"
    wanted = [month for month in months if month >= min(settling, max(stored, default=""))]
    if not wanted:
        return f"the market starts with {home.perps.first_month}"
    symbols = home.perps.symbols
    return [(f"{wanted[0]}|{symbols[0]}", f"{wanted[-1]}|{symbols[-1]}")]


def _cutoffs_asked(home: Home, at: datetime, instance: dg.DagsterInstance) -> Asked:
    """Every event of the finished months that come after the last one judged, each month a run of its own."""
    keys = EVENT_CUTOFFS.keys(home, instance, at)
    judged = max((str(key) for key in home.lake.partitions("discovery.report")), default="")
    finished = sorted({key.split("|")[0] for key in keys})
    wanted = [cutoff for cutoff in finished if cutoff > judged]
    wanted = wanted if judged else wanted[-1:]
    if not wanted:
        return f"every month up to {judged} is judged"
    late = [cutoff for cutoff in wanted if not _is_whole(home, cutoff)]
    if late:
        return f"the event flags of {late[0]} do not reach its last day yet; perp_daily makes them"
    return [tuple(key for key in keys if key.startswith(f"{cutoff}|")) for cutoff in wanted]


def _is_whole(home: Home, month: str) -> bool:
    """Whether every symbol of a month has flags and some bar of its last day is among them."""
    there = set(home.lake.partitions("events.event_flags"))
    wanted = [(symbol, month) for symbol in home.perps.symbols]
    if not there.issuperset(wanted):
        return False
    newest = home.lake.read("events.event_flags", wanted, columns=["bar"]).get_column("bar").max()
    return isinstance(newest, datetime) and f"{newest + timedelta(days=1):%Y-%m}" > month


def _asker(job: Job) -> Callable[[Home, datetime, dg.DagsterInstance], Asked]:
    """What the schedule of a job asks for at a time: groups of partitions, or why nothing."""
    if job.scheme is TICKERS:
        return _tickers_asked
    if job.scheme is SYMBOL_MONTHS:
        return _months_asked
    return _cutoffs_asked if job.scheme is EVENT_CUTOFFS else _session_asked


def build_schedules(home: Home, declared: Sequence[Job], jobs: dict[str, AssetJob]) -> list[dg.ScheduleDefinition]:
    """A schedule per entry of ``specs/schedules.yaml`` that names one of the jobs; cron and time zone from there."""
    spec = home.schedules

    def make(job: Job) -> dg.ScheduleDefinition:
        entry, asked = getattr(spec, job.name), _asker(job)

        @dg.schedule(
            name=job.name,
            job=jobs[job.name],
            cron_schedule=entry.cron,
            execution_timezone=spec.timezone,
            description=entry.description,
        )
        def tick(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
            at = context.scheduled_execution_time
            # A new object: what it caches, such as an opened source, must not outlive the tick.
            found = asked(Home(home.settings), at, context.instance)
            if isinstance(found, str):
                yield dg.SkipReason(found)
                return
            for keys in found:
                tags = {AS_OF_TAG: at.isoformat(), **range_tags(keys)}
                yield dg.RunRequest(run_key=f"{job.name}/{at.isoformat()}/{keys[0]}", tags=tags)

        return tick

    return [make(job) for job in declared if isinstance(getattr(spec, job.name, None), ScheduleSpec)]


def build_sensors(home: Home, declared: Sequence[Job], jobs: dict[str, AssetJob]) -> list[dg.SensorDefinition]:
    """The chains of jobs, and for a home of equities the universe sensor and what goes on without failed tickers."""
    chained = [_chain(home, before, after, jobs) for after in declared for before in after.follows]
    own = [*_ticker_sensors(declared, jobs), build_alert_sensor(jobs)] if home.has_bars else []
    return [*own, *chained]


def _chain(home: Home, before: str, after: Job, jobs: dict[str, AssetJob]) -> dg.SensorDefinition:
    @dg.run_status_sensor(
        name=f"{after.name}_after_{before}",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[jobs[before]],
        request_job=jobs[after.name],
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Starts {after.name} when {before} has succeeded; a schedule that is off starts nothing.",
    )
    def follow(context: dg.RunStatusSensorContext) -> dg.SensorResult | dg.SkipReason:
        return follow_up(Home(home.settings), after, context.dagster_run, context.instance)

    return follow


def follow_up(
    home: Home, after: Job, run: dg.DagsterRun, instance: dg.DagsterInstance
) -> dg.SensorResult | dg.SkipReason:
    """Ask for the runs of a follower.

    Parameters
    ----------
    home, after
        Market and follower.
    run
        The run of its predecessor that succeeded.
    instance
        Where runs are recorded.
    """
    waiting = _unfinished_pieces(run, instance)
    if waiting:
        return dg.SkipReason(f"{waiting} runs over other tickers of the same data are not finished")
    at = asked_at(run, instance)
    tags = {AS_OF_TAG: at.isoformat()}
    if after.scheme is UNPARTITIONED:
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"{after.name}/{run.run_id}", tags=tags)])
    if after.scheme is SYMBOL_MONTHS:
        same = {name: run.tags[name] for name in (START, END) if name in run.tags}
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"{after.name}/{run.run_id}", tags=tags | same)])
    keys = due(home, after, at, instance)
    if not keys:
        return dg.SkipReason(
            f"{after.name}: everything that was over at {at.isoformat()} is made or being made; "
            f"`quant run {after.name}` makes it again"
        )
    if not after.scheme.period:
        request = dg.RunRequest(run_key=f"{after.name}/{run.run_id}", tags=tags | range_tags(keys))
        return dg.SensorResult(run_requests=[request])
    return dg.SensorResult(run_requests=requests_for(after, keys, tags, instance))


def asked_at(run: dg.DagsterRun, instance: dg.DagsterInstance) -> datetime:
    """When the data of a run's chain were asked for: the time of the tick, or when a run without one started."""
    if AS_OF_TAG in run.tags:
        return datetime.fromisoformat(run.tags[AS_OF_TAG])
    record = instance.get_run_record_by_id(run.run_id)
    started = record.start_time if record is not None else None
    if started is None:
        raise RuntimeError(f"run {run.run_id} succeeded and has no start time in {instance.root_directory}")
    return datetime.fromtimestamp(started, UTC)


def _unfinished_pieces(run: dg.DagsterRun, instance: dg.DagsterInstance) -> int:
    """Runs that finish the same failed run over other tickers and are not done; the last to succeed is followed."""
    first = run.tags.get(FIRST_RUN_TAG)
    if first is None:
        return 0
    same = dg.RunsFilter(job_name=run.job_name, tags={FIRST_RUN_TAG: first}, statuses=list(NOT_FINISHED_STATUSES))
    return len(instance.get_runs(same))


def _ticker_sensors(declared: Sequence[Job], jobs: dict[str, AssetJob]) -> list[dg.SensorDefinition]:
    @dg.sensor(
        name="universe_sensor",
        job=jobs["data_backfill"],
        minimum_interval_seconds=300,
        description="Adds a ticker partition when a name enters the universe, and fetches its history at once; "
        "without it the next run of a schedule does.",
    )
    def universe_sensor(context: dg.SensorEvaluationContext, home: HomeResource) -> dg.SensorResult | dg.SkipReason:
        known = set(context.instance.get_dynamic_partitions(TICKER))
        new = [ticker for ticker in tickers_of(home.open()) if ticker not in known]
        if not new:
            return dg.SkipReason(f"all {len(known)} names of the universe have a partition")
        return dg.SensorResult(
            dynamic_partitions_requests=[tickers.build_add_request(new)],
            run_requests=[dg.RunRequest(run_key=f"new/{new[0]}/{new[-1]}/{len(new)}", tags=range_tags(new))],
        )

    by_ticker = [jobs[job.name] for job in declared if job.scheme is TICKERS]

    @dg.run_status_sensor(
        name="go_on_without_failed",
        run_status=dg.DagsterRunStatus.FAILURE,
        monitored_jobs=by_ticker,
        request_jobs=by_ticker,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Runs a job again over the tickers that did not fail, where only a few did.",
    )
    def go_on_without_failed(context: dg.RunStatusSensorContext, home: HomeResource) -> dg.SensorResult | dg.SkipReason:
        return follow_up_of_failure(context.dagster_run, context.instance, home.open().schedules.left_out_max)

    return [universe_sensor, go_on_without_failed]


def follow_up_of_failure(
    run: dg.DagsterRun, instance: dg.DagsterInstance, left_out_max: int
) -> dg.SensorResult | dg.SkipReason:
    """Ask for the runs that finish a failed one over the tickers that did not fail.

    Parameters
    ----------
    run
        A failed run of a job over tickers.
    instance
        Where it is recorded.
    left_out_max
        How many tickers may be left out, those of the runs before it included.
    """
    if GOES_ON_TAG in run.tags:
        return dg.SkipReason("the command that started this run goes on by itself")
    entries = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    failed = failed_partitions(entry.get_dagster_event() for entry in entries)
    if not failed:
        return dg.SkipReason("no step of this run names the partitions it failed for")
    left_out = sorted({*filter(None, run.tags.get(LEFT_OUT_TAG, "").split(",")), *failed})
    if len(left_out) > left_out_max:
        return dg.SkipReason(f"{len(left_out)} tickers failed, more than a run may leave out: {', '.join(left_out)}")
    known = list(instance.get_dynamic_partitions(TICKER))
    first, last = run.tags.get(START), run.tags.get(END)
    keys = known[known.index(first) : known.index(last) + 1] if first in known and last in known else []
    carried = {name: value for name, value in run.tags.items() if name in (REFRESH_TAG, AS_OF_TAG)}
    carried |= {FIRST_RUN_TAG: run.tags.get(FIRST_RUN_TAG, run.run_id), LEFT_OUT_TAG: ",".join(left_out)}
    requests = [
        dg.RunRequest(
            run_key=f"{run.run_id}/{piece[0]}",
            job_name=run.job_name,
            run_config=run.run_config,
            tags=carried | range_tags(piece),
        )
        for piece in pieces(keys, failed)
    ]
    return dg.SensorResult(run_requests=requests) if requests else dg.SkipReason("no other ticker is left")


def build_failure_log() -> dg.SensorDefinition:
    """The sensor that writes down every run that failed."""

    @dg.run_failure_sensor(
        name="run_failure_log",
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Appends every failed run, with its error, to <home>/failures.log, one line each.",
    )
    def run_failure_log(context: dg.RunFailureSensorContext, home: HomeResource) -> None:
        message = " | ".join(
            line.strip() for line in (context.failure_event.message or "no message").splitlines() if line.strip()
        )
        path = home.open().settings.home / "failures.log"
        stamp = datetime.now().astimezone().isoformat(timespec="seconds")
        run = context.dagster_run
        with path.open("a", encoding="utf-8") as log:
            log.write(f"{stamp} {run.job_name} {run.run_id} {message}\n")
        failed = {"code": "run_failed", "subject": run.job_name, "text": message}
        for line in tell(home.open(), f"run {run.run_id}", [failed]):
            context.log.warning(line)

    return run_failure_log


def build_alert_sensor(jobs: dict[str, AssetJob]) -> dg.SensorDefinition:
    """The sensor that tells somebody what a session's dashboard found out of bounds."""

    @dg.run_status_sensor(
        name="operations_alerts",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[jobs["operations_dashboard"]],
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Writes new alerts of the paper account to the log, to <home>/alerts.jsonl, and to the webhook of "
        "specs/operations/alerts.yaml.",
    )
    def operations_alerts(context: dg.RunStatusSensorContext, home: HomeResource) -> None:
        opened, tags = home.open(), context.dagster_run.tags
        for key in opened.lake.partitions("ops.dashboard"):
            if tags.get(START, "") <= str(key) <= tags.get(END, ""):
                for line in tell(opened, str(key), alerts_of(opened, date.fromisoformat(str(key)))):
                    context.log.warning(line)

    return operations_alerts
