"""Schedules and sensors: what runs when nobody clicks."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime

import dagster as dg

from quant_platform.defs.jobs import AssetJob, Job
from quant_platform.defs.remainder import failed_partitions, pieces
from quant_platform.defs.resources import HomeResource
from quant_platform.defs.schemes import END, START, TICKER, TICKERS, UNPARTITIONED, range_tags, tickers
from quant_platform.defs.tags import FIRST_RUN_TAG, GOES_ON_TAG, LEFT_OUT_TAG, REFRESH_TAG
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sources import tickers_of
from quant_platform.specification.home import ScheduleSpec


def follow_up(home: Home, job: Job, today: date, keys: Sequence[str]) -> dict[str, str]:
    """Tags of a follower's run: the partitions it must cover, none for an unpartitioned asset."""
    if job.scheme is UNPARTITIONED:
        return {}
    return range_tags(list(job.scheme.at(home, today, keys)))


def build_schedules(home: Home, jobs: dict[str, AssetJob]) -> list[dg.ScheduleDefinition]:
    """A schedule per entry of ``specs/schedules.yaml`` that names one of the jobs; cron and time zone from there."""
    spec = home.schedules

    def make(name: str) -> dg.ScheduleDefinition:
        entry = getattr(spec, name)

        @dg.schedule(
            name=name,
            job=jobs[name],
            cron_schedule=entry.cron,
            execution_timezone=spec.timezone,
            description=entry.description,
        )
        def tick(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
            keys = context.instance.get_dynamic_partitions(TICKER)
            if not keys:
                yield dg.SkipReason(
                    "the universe has no ticker partition yet; turn on universe_sensor or run `quant run`"
                )
                return
            stamp = context.scheduled_execution_time.isoformat()
            yield dg.RunRequest(run_key=f"{name}/{stamp}", tags=range_tags(keys))

        return tick

    return [make(name) for name, entry in spec if isinstance(entry, ScheduleSpec) and name in jobs]


def build_sensors(home: Home, declared: Sequence[Job], jobs: dict[str, AssetJob]) -> list[dg.SensorDefinition]:
    """The universe sensor and the chain of jobs."""

    @dg.sensor(
        name="universe_sensor",
        job=jobs["data_backfill"],
        minimum_interval_seconds=300,
        description="Adds a ticker partition when a name enters the universe, and fetches its history.",
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

    def chain(before: str, after: Job) -> dg.SensorDefinition:
        @dg.run_status_sensor(
            name=f"{after.name}_after_{before}",
            run_status=dg.DagsterRunStatus.SUCCESS,
            monitored_jobs=[jobs[before]],
            request_job=jobs[after.name],
            description=f"Starts {after.name} when {before} has succeeded.",
        )
        def follow(context: dg.RunStatusSensorContext) -> dg.RunRequest:
            keys = after.scheme.keys(home, context.instance)
            tags = follow_up(home, after, date.today(), keys)
            return dg.RunRequest(run_key=f"{after.name}/{context.dagster_run.run_id}", tags=tags)

        return follow

    by_ticker = [jobs[job.name] for job in declared if job.scheme is TICKERS]

    @dg.run_status_sensor(
        name="go_on_without_failed",
        run_status=dg.DagsterRunStatus.FAILURE,
        monitored_jobs=by_ticker,
        request_jobs=by_ticker,
        description="Runs a job again over the tickers that did not fail, where only a few did.",
    )
    def go_on_without_failed(context: dg.RunStatusSensorContext, home: HomeResource) -> dg.SensorResult | dg.SkipReason:
        return follow_up_of_failure(context.dagster_run, context.instance, home.open().schedules.left_out_max)

    chained = [chain(before, after) for after in declared for before in after.follows]
    return [universe_sensor, go_on_without_failed, *chained]


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
    carried = {name: value for name, value in run.tags.items() if name == REFRESH_TAG}
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
        description="Appends every failed run, with its error, to <home>/failures.log, one line each.",
    )
    def run_failure_log(context: dg.RunFailureSensorContext, home: HomeResource) -> None:
        message = " | ".join(
            line.strip() for line in (context.failure_event.message or "no message").splitlines() if line.strip()
        )
        path = home.open().settings.home / "failures.log"
        stamp = datetime.now().astimezone().isoformat(timespec="seconds")
        with path.open("a", encoding="utf-8") as log:
            log.write(f"{stamp} {context.dagster_run.job_name} {context.dagster_run.run_id} {message}\n")

    return run_failure_log
