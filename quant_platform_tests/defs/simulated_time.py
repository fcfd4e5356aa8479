"""Dagster's own scheduler and sensor code over a home, driven by simulated time in this process."""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import (
    InProcessTestWorkspaceLoadTarget,
    create_test_daemon_workspace_context,
    freeze_time,
    instance_for_test,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._scheduler.scheduler import launch_scheduled_runs

from quant_platform.defs import definitions
from quant_platform.defs.schemes import END, START
from quant_platform.defs.sqlite_storages import storages_in
from quant_platform.pipeline.home import Home
from quant_platform_tests.homes import edit, entered, write_specs

LOCATION = "quant_platform"
BERLIN = ZoneInfo("Europe/Berlin")

# New York in autumn 2025, by hand: Europe leaves summer time on 26 October and America on 2 November, Thanksgiving is
# Thursday 27 November, and Friday the 28th closes at 13:00.
THANKSGIVING = date(2025, 11, 27)
_LOGGER = logging.getLogger("simulated daemon")
# The daemon looks at a sensor again after half a minute.
PASS = timedelta(seconds=31)


def of_environment() -> dg.Definitions:
    """What the code server loads, with every step in the run's own process."""
    return _loaded(os.environ["QUANT_HOME"])


@lru_cache(maxsize=1)
def _loaded(home: str) -> dg.Definitions:
    """Loaded once and used for weeks, as a code server does: nothing in it may go by the time of loading."""
    assert home == os.environ["QUANT_HOME"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(definitions, "build_executor", lambda _: dg.in_process_executor)
        return definitions.build_definitions(Home.from_environment())


@dataclass
class Daemon:
    """A daemon that is up: one instance, one workspace, and what it remembers between its iterations."""

    instance: dg.DagsterInstance
    workspace: Any
    iteration_times: dict[str, Any]

    def turn_on(self, at: datetime, *schedules: str) -> None:
        """Switch schedules on, as the UI does, when the daemon has looked at every sensor once."""
        with simulated(at):
            self._drain(execute_sensor_iteration(self.workspace, _LOGGER, None, None))
            repository = self._repository()
            for name in schedules:
                self.instance.start_schedule(repository.get_schedule(name))

    def works_at(self, at: datetime) -> None:
        """One iteration of the scheduler, then sensors until they ask for nothing more."""
        with simulated(at):
            self._drain(launch_scheduled_runs(self.workspace, _LOGGER, at, self.iteration_times))
        known = -1
        while known != self.instance.get_runs_count():
            known = self.instance.get_runs_count()
            at += PASS
            with simulated(at):
                self._drain(execute_sensor_iteration(self.workspace, _LOGGER, None, None))

    def _repository(self) -> Any:
        return self.workspace.create_request_context().get_code_location(LOCATION).get_repository("__repository__")

    def _drain(self, errors: Iterator[Any]) -> None:
        found = [error for error in errors if error is not None]
        assert not found, found


@contextmanager
def simulated(at: datetime) -> Iterator[None]:
    """Let it be another time, for the platform and for Dagster."""
    with pytest.MonkeyPatch.context() as patch, freeze_time(at.astimezone(UTC)):
        patch.setenv("QUANT_NOW", at.isoformat())
        yield


@contextmanager
def daemon(folder: Path, at: datetime) -> Iterator[Daemon]:
    """Start a daemon over the home of the environment at a time; a second one over the same folder is a restart."""
    folder.mkdir(exist_ok=True)
    origin = InProcessCodeLocationOrigin(
        LoadableTargetOrigin(executable_path=sys.executable, module_name=__name__, attribute="of_environment"),
        location_name=LOCATION,
    )
    launcher = {"module": "dagster._core.launcher.sync_in_memory_run_launcher", "class": "SyncInMemoryRunLauncher"}
    with ExitStack() as stack:
        at_once = {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"}
        settings: dict[str, Any] = {
            "run_launcher": launcher,
            "run_coordinator": at_once,
            "telemetry": {"enabled": False},
        }
        settings |= storages_in(folder)
        instance = stack.enter_context(instance_for_test(overrides=settings, temp_dir=str(folder)))
        target = InProcessTestWorkspaceLoadTarget(origin)
        with simulated(at):
            workspace = stack.enter_context(create_test_daemon_workspace_context(target, instance))
        yield Daemon(instance, workspace, {})


def weekdays(first: date, last: date) -> list[str]:
    """Weekdays of a span without Thanksgiving: the sessions of New York, in a span without another holiday."""
    days = [first + timedelta(days=k) for k in range((last - first).days + 1)]
    return [day.isoformat() for day in days if day.weekday() < 5 and day != THANKSGIVING]


@contextmanager
def open_market(folder: Path) -> Iterator[Home]:
    """A home of ten simulated names whose market began in summer 2024 and goes on."""
    specs = write_specs(folder / "specs", names=10)

    def goes_on(spec: dict[str, object]) -> None:
        spec.update(first_session=date(2024, 6, 3), last_session=None)

    def longer(spec: dict[str, dict[str, object]]) -> None:
        spec["simulated"].update(start=date(2024, 6, 3), years=2, late_listing_share=0.0, vendor_errors=[])

    edit(specs / "home.yaml", goes_on)
    edit(specs / "sources" / "simulated.yaml", longer)
    with entered(folder / "home", specs) as home:
        yield home


def at(day: date, hour: int) -> datetime:
    """A minute after a full hour in Berlin."""
    return datetime(day.year, day.month, day.day, hour, 1, tzinfo=BERLIN)


def works_through(up: Daemon, first: date, last: date) -> None:
    """Let the daemon run from the morning of one day to that of another, Saturdays also after the weekly tick."""
    day = first
    while day <= last:
        up.works_at(at(day, 7))
        if day.weekday() == 5:
            up.works_at(at(day, 9))
        day += timedelta(days=1)


def covered_by(runs: Sequence[dg.DagsterRun], keys: Sequence[str]) -> Counter[str]:
    """How many of some runs cover each key."""
    return Counter(key for run in runs for key in keys if run.tags[START] <= key <= run.tags[END])


def successes(instance: dg.DagsterInstance, job: str) -> list[dg.DagsterRun]:
    """Runs of a job that succeeded, the oldest first."""
    found = instance.get_runs(dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS]))
    return list(reversed(found))


def failures(instance: dg.DagsterInstance) -> Sequence[dg.DagsterRun]:
    """Runs that did not succeed."""
    return [run for run in instance.get_runs() if run.status is not dg.DagsterRunStatus.SUCCESS]


def each_once(up: Daemon, home: Home, scanned: Sequence[str], reported: Sequence[str]) -> None:
    """Every session was scanned by one run, every week reported by one, and no run failed."""
    assert [(run.job_name, run.tags) for run in failures(up.instance)] == []
    assert sorted(home.lake.partitions("live.scan")) == scanned
    assert covered_by(successes(up.instance, "live_scan"), scanned) == dict.fromkeys(scanned, 1)
    assert sorted(home.lake.partitions("replay.report")) == reported
    assert covered_by(successes(up.instance, "weekly_report"), reported) == dict.fromkeys(reported, 1)
