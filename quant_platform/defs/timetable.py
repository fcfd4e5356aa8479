"""When each job of a home runs: its schedule, whether that is on, the last run and the next."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import polars as pl
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorStatus
from dagster._utils.schedules import schedule_execution_time_iterator

from quant_platform.defs.labs import labs_of
from quant_platform.defs.schemes import SIGNALS, SUITES
from quant_platform.pipeline.home import Home
from quant_platform.specification import clock
from quant_platform.specification.home import ScheduleSpec

TIMETABLE_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "job": pl.String,
    "cron": pl.String,
    "time_zone": pl.String,
    "on": pl.Boolean,
    "next_run": pl.Datetime("us", "UTC"),
    "follows": pl.String,
    "last_run": pl.Datetime("us", "UTC"),
    "last_state": pl.String,
    "last_run_id": pl.String,
    "description": pl.String,
    "needs_signal": pl.Boolean,
}


def timetable(home: Home, instance: dg.DagsterInstance) -> pl.DataFrame:
    """Say for every job when it runs.

    Parameters
    ----------
    home
        The market; its schedules are in ``specs/schedules.yaml``.
    instance
        Where runs and the switches of schedules are recorded.

    Returns
    -------
    polars.DataFrame
        One row per job, those with a schedule first. ``on`` and ``next_run`` are null for a job without one, and
        ``next_run`` also for one that is off; ``last_run`` is null for a job that never ran.
    """
    spec = home.schedules
    switches = {
        state.instigator_name: state.status
        for state in instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
    }
    rows = []
    for job in (job for lab in labs_of(home) for job in lab.jobs):
        entry = getattr(spec, job.name, None)
        scheduled = entry if isinstance(entry, ScheduleSpec) else None
        on = switches.get(job.name) == InstigatorStatus.RUNNING if scheduled else None
        last = next(iter(instance.get_run_records(dg.RunsFilter(job_name=job.name), limit=1)), None)
        rows.append(
            (
                job.name,
                scheduled.cron if scheduled else None,
                spec.timezone if scheduled else None,
                on,
                next_tick(scheduled.cron, spec.timezone, clock.now()) if scheduled and on else None,
                ", ".join(job.follows) or None,
                None if last is None else last.create_timestamp,
                None if last is None else last.dagster_run.status.value.lower(),
                None if last is None else last.dagster_run.run_id,
                job.description,
                job.scheme in (SIGNALS, SUITES),
            )
        )
    found = pl.DataFrame(rows, schema=TIMETABLE_SCHEMA, orient="row")
    return found.sort(pl.col("cron").is_null(), maintain_order=True)


def next_tick(cron: str, time_zone: str, after: datetime) -> datetime:
    """The first time after a moment at which a cron expression of a time zone holds, in UTC."""
    ticks = schedule_execution_time_iterator(after.timestamp(), cron, time_zone)
    return next(tick for tick in ticks if tick > after).astimezone(UTC)
