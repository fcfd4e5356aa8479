"""What runs when nobody clicks: schedules at the times of the specs, sensors for the partitions that need it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
import yaml
from dagster._utils.schedules import schedule_execution_time_iterator

from quant_platform.contracts.errors import PartitionMissing
from quant_platform.contracts.tables import table
from quant_platform.defs import runs
from quant_platform.defs.automation import due, follow_up
from quant_platform.defs.definitions import build_definitions
from quant_platform.defs.jobs import job_named
from quant_platform.defs.remainder import failure_metadata
from quant_platform.defs.resources import HomeResource
from quant_platform.lake import Provenance
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sources import tickers_of
from quant_platform_tests.homes import NAMES, SHIPPED, edit, entered, write_specs

START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
BY_TICKER = ("daily_pipeline", "weekly_fundamentals", "weekly_replay")
SCHEDULED = (*BY_TICKER, "intraday_pipeline")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("automation")
    with entered(folder / "home", write_specs(folder / "specs")) as found:
        yield found


@pytest.fixture(scope="module")
def definitions(home: Home) -> dg.Definitions:
    return build_definitions(home)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as found:
        yield found


@pytest.mark.parametrize(
    ("name", "runs_of_three"),
    [("discovery", 3), ("event_backtest", 1), ("weekly_report", 1), ("perp_graph", 1)],
)
def test_a_job_that_makes_one_partition_at_a_time_has_a_run_for_each(name: str, runs_of_three: int) -> None:
    keys = ("2024-01", "2024-02", "2024-03")
    assert job_named(name).runs_over(keys) == ([keys] if runs_of_three == 1 else [(key,) for key in keys])
    assert job_named(name).runs_over(()) == [()]


@pytest.mark.parametrize("name", SCHEDULED)
def test_a_schedule_has_the_times_of_the_specs(name: str, definitions: dg.Definitions) -> None:
    written = yaml.safe_load((SHIPPED / "schedules.yaml").read_text(encoding="utf-8"))
    schedule = definitions.resolve_schedule_def(name)
    assert schedule.cron_schedule == written[name]["cron"]
    assert schedule.execution_timezone == written["timezone"]
    assert schedule.job_name == name
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED


def test_the_daily_pipeline_runs_at_seven_in_berlin(definitions: dg.Definitions) -> None:
    schedule = definitions.resolve_schedule_def("daily_pipeline")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 7 * * *", "Europe/Berlin")


def test_other_times_in_the_specs_are_other_times_of_the_schedule(tmp_path: Path) -> None:
    specs = write_specs(tmp_path / "specs")
    edit(specs / "schedules.yaml", lambda spec: spec.update(timezone="America/New_York"))
    edit(specs / "schedules.yaml", lambda spec: spec["weekly_replay"].update(cron="30 18 * * 5"))
    with entered(tmp_path / "home", specs) as other:
        schedule = build_definitions(other).resolve_schedule_def("weekly_replay")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("30 18 * * 5", "America/New_York")


def test_the_intraday_pipeline_ticks_at_every_full_hour_of_the_session(definitions: dg.Definitions) -> None:
    # March has weeks in which New York is on summer time and Berlin is not.
    new_york = ZoneInfo("America/New_York")
    schedule = definitions.resolve_schedule_def("intraday_pipeline")
    started = datetime(2024, 3, 1, tzinfo=ZoneInfo("UTC")).timestamp()
    ticks = schedule_execution_time_iterator(
        started, schedule.cron_schedule, schedule.execution_timezone, ascending=True
    )
    seen = set()
    for tick in ticks:
        if tick > datetime(2024, 4, 6, tzinfo=new_york):
            break
        seen.add(tick.astimezone(new_york))
    days = [datetime(2024, 3, 4, tzinfo=new_york) + timedelta(days=k) for k in range(30)]
    hours = [day.replace(hour=hour) for day in days if day.weekday() < 5 for hour in range(10, 17)]
    assert [hour for hour in hours if hour not in seen] == []


@pytest.mark.parametrize("name", BY_TICKER)
def test_a_tick_asks_for_every_name_of_the_universe(
    name: str, definitions: dg.Definitions, home: Home, instance: dg.DagsterInstance
) -> None:
    # One name has left the universe and keeps its partition; the others get theirs by the tick.
    instance.add_dynamic_partitions("ticker", ["GONE"])
    with dg.build_schedule_context(instance, scheduled_execution_time=datetime(2024, 3, 4, 7, tzinfo=UTC)) as context:
        data = definitions.resolve_schedule_def(name).evaluate_tick(context)
    assert data.run_requests is not None
    names = tickers_of(home)
    assert len(names) == NAMES
    assert [(request.tags[START], request.tags[END]) for request in data.run_requests] == [("GONE", names[-1])]
    assert "2024-03-04" in str(data.run_requests[0].run_key)
    assert data.run_requests[0].tags["quant/as_of"] == "2024-03-04T07:00:00+00:00"


def universe_tick(definitions: dg.Definitions, home: Home, instance: dg.DagsterInstance) -> Any:
    where = HomeResource(home=str(home.settings.home), specs=str(home.settings.specs))
    with dg.build_sensor_context(instance, resources={"home": where}, definitions=definitions) as context:
        return definitions.resolve_sensor_def("universe_sensor").evaluate_tick(context)


def test_a_name_that_enters_the_universe_is_added_and_only_it_is_fetched(
    definitions: dg.Definitions, home: Home, instance: dg.DagsterInstance
) -> None:
    names = tickers_of(home)
    known, new = names[2:], names[:2]
    instance.add_dynamic_partitions("ticker", known)
    data = universe_tick(definitions, home, instance)
    assert [(request.partitions_def_name, request.partition_keys) for request in data.dynamic_partitions_requests] == [
        ("ticker", new)
    ]
    assert [(request.tags[START], request.tags[END]) for request in data.run_requests] == [tuple(new)]
    assert definitions.resolve_sensor_def("universe_sensor").job_name == "data_backfill"
    # Added after the others, the two lie side by side: the range of the run holds nobody else.
    instance.add_dynamic_partitions("ticker", new)
    order = instance.get_dynamic_partitions("ticker")
    assert order[order.index(new[0]) : order.index(new[1]) + 1] == new


def test_a_universe_that_is_known_starts_nothing(
    definitions: dg.Definitions, home: Home, instance: dg.DagsterInstance
) -> None:
    instance.add_dynamic_partitions("ticker", tickers_of(home))
    data = universe_tick(definitions, home, instance)
    assert not data.run_requests
    assert not data.dynamic_partitions_requests
    assert f"{NAMES} names" in str(data.skip_message)


def test_a_failed_run_is_one_line_of_the_log(home: Home, instance: dg.DagsterInstance) -> None:
    where = HomeResource(home=str(home.settings.home), specs=str(home.settings.specs))

    @dg.op
    def burst() -> None:
        raise ValueError("the pipe\nburst")

    @dg.job(name="weekly_replay")
    def failing() -> None:
        burst()

    result = failing.execute_in_process(instance=instance, raise_on_error=False)
    run, event = result.dagster_run, result.get_run_failure_event()
    log = home.settings.home / "failures.log"
    for count in (1, 2):
        told = dg.build_run_status_sensor_context("run_failure_log", event, instance, run, resources={"home": where})
        with told.for_run_failure() as context:
            build_definitions(home).resolve_sensor_def("run_failure_log")(context)
        lines = log.read_text(encoding="utf-8").splitlines()
        assert len(lines) == count
        assert f" weekly_replay {run.run_id} " in lines[-1]
        assert datetime.fromisoformat(lines[-1].split()[0]).tzinfo is not None


TICKERS = ["A", "B", "C", "D", "E"]
# What was left out before, which tickers fail, the tags that matter: the pieces that are asked for, or why none is.
FAILURES = {
    "one in the middle": ({}, ["C"], [("A", "B"), ("D", "E")]),
    "two at the ends": ({}, ["A", "E"], [("B", "D")]),
    "one of a part of the universe": ({START: "B", END: "D"}, ["B"], [("C", "D")]),
    "as many as may be left out": ({"quant/left_out": "X"}, ["C"], [("A", "B"), ("D", "E")]),
    "more than may be left out": ({"quant/left_out": "X,Y"}, ["C"], "3 tickers failed"),
    "all": ({START: "C", END: "C"}, ["C"], "no other ticker"),
    "a run of the command line": ({"quant/goes_on": "true"}, ["C"], "goes on by itself"),
    "a step as a whole": ({}, [], "no step of this run names"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_run_in_which_few_tickers_failed_is_finished_over_the_others(
    case: str, definitions: dg.Definitions, instance: dg.DagsterInstance, home: Home, tmp_path: Path
) -> None:
    tags, failed, wanted = FAILURES[case]
    instance.add_dynamic_partitions("ticker", TICKERS)

    @dg.op
    def burst() -> None:
        raise dg.Failure("some", metadata=failure_metadata(dict.fromkeys(failed, "torn")) if failed else {})

    @dg.job(name="daily_pipeline", tags={START: "A", END: "E"} | tags)
    def failing() -> None:
        burst()

    specs = write_specs(tmp_path / "specs")
    edit(specs / "schedules.yaml", lambda spec: spec.update(left_out_max=2))
    result = failing.execute_in_process(instance=instance, raise_on_error=False)
    told = dg.build_run_status_sensor_context(
        "go_on_without_failed",
        result.get_run_failure_event(),
        instance,
        result.dagster_run,
        resources={"home": HomeResource(home=str(home.settings.home), specs=str(specs))},
    )
    with told as context:
        found: Any = definitions.resolve_sensor_def("go_on_without_failed")(context)
    if isinstance(wanted, str):
        assert wanted in found.skip_message
        return
    assert [(request.tags[START], request.tags[END]) for request in found.run_requests] == wanted
    for request in found.run_requests:
        assert request.job_name == "daily_pipeline"
        assert request.tags["quant/first_run"] == result.run_id
        assert set(failed) <= set(request.tags["quant/left_out"].split(","))
    assert len({request.run_key for request in found.run_requests}) == len(wanted)


# The market of the fixture ended on Tuesday 2019-12-31; nothing is in its lake. What a follower then covers: of periods
# as many as the whole graph takes of it, of anything else everything.
CHAIN = {
    "securities": ("daily_pipeline", []),
    "row_accounting": ("daily_pipeline", []),
    "equity_audit": ("row_accounting", []),
    "live_scan": ("securities", ["2019-12-27", "2019-12-31"]),
    # The last session, a Tuesday, lies in the week of Monday the 30th.
    "weekly_cross_section": ("weekly_replay", ["2018-01-01", "2019-12-30"]),
    "factor_study": ("weekly_cross_section", None),
    "sweep_study": ("factor_study", None),
    "trial_ledger": ("sweep_study", []),
    "weekly_report": ("sweep_study", ["2019-12-30", "2019-12-30"]),
    "operations_daily": ("live_scan", ["2019-12-27", "2019-12-31"]),
    "operations_fills": ("operations_daily", []),
    "operations_dashboard": ("operations_fills", ["2019-12-31", "2019-12-31"]),
    "operations_sweep": ("weekly_cross_section", None),
    "operations_weekly": ("operations_sweep", ["2019-12-30", "2019-12-30"]),
}
ON_FROM_THE_START = {f"{after}_after_{before}" for after, (before, _) in CHAIN.items()} | {
    "run_failure_log",
    "go_on_without_failed",
    "operations_alerts",
    "inbox_sensor",
    "suite_tracking_after_suite",
}


def test_the_chain_is_the_one_of_this_list_and_on_from_the_start(definitions: dg.Definitions) -> None:
    status = {sensor.name: sensor.default_status for sensor in definitions.sensors or ()}
    assert set(status) == ON_FROM_THE_START | {"universe_sensor"}
    running = {name for name, one in status.items() if one is dg.DefaultSensorStatus.RUNNING}
    assert running == ON_FROM_THE_START


@pytest.mark.parametrize("after", CHAIN)
def test_a_follower_gets_the_partitions_that_are_due(
    after: str, home: Home, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    before, wanted = CHAIN[after]
    runs.register_tickers(home, instance)
    if wanted is None:
        wanted = job_named(after).scheme.keys(home, instance)
        assert len(wanted) > 4
    result = finished(before, instance)
    sensor = definitions.resolve_sensor_def(f"{after}_after_{before}")
    context = dg.build_run_status_sensor_context(
        sensor.name, result.get_run_success_event(), instance, result.dagster_run
    )
    found: Any = sensor(context)
    (request,) = found.run_requests
    expected = {START: wanted[0], END: wanted[-1]} if wanted else {}
    assert {name: value for name, value in request.tags.items() if name in (START, END)} == expected
    assert [job.name for job in sensor.jobs] == [after]


def finished(name: str, instance: dg.DagsterInstance, **tags: str) -> Any:
    """A run of a job of this name that did nothing and succeeded."""

    @dg.op
    def nothing() -> None:
        """Succeed."""

    @dg.job(name=name, tags=tags)
    def empty() -> None:
        nothing()

    return empty.execute_in_process(instance=instance)


@pytest.fixture
def open_ended(tmp_path: Path) -> Iterator[Home]:
    """A market that goes on, with an empty lake."""
    specs = write_specs(tmp_path / "specs")
    edit(specs / "home.yaml", lambda spec: spec.update(first_session=date(2024, 1, 2), last_session=None))
    with entered(tmp_path / "home", specs) as found:
        yield found


def hold(home: Home, name: str, *keys: str) -> None:
    """Put empty partitions of a table into the lake."""
    provenance = Provenance(name, "", "", {}, "a run", {}, simulated=True)
    for key in keys:
        home.lake.write(name, key, table(name).schema.create_empty(), provenance)


# Good Friday, 29 March 2024: the exchange was closed, and its week ended on Thursday. 09:00 in Berlin is before New
# York opens.
DUE = [
    ("live_scan", "2024-03-29T09:00:00+01:00", "2024-03-28", []),
    ("live_scan", "2024-04-02T09:00:00+02:00", "2024-03-28", ["2024-04-01"]),
    ("live_scan", "2024-04-04T09:00:00+02:00", "2024-03-27", ["2024-03-28", "2024-04-01", "2024-04-02", "2024-04-03"]),
    ("live_scan", "2024-04-04T22:30:00+02:00", "2024-04-03", ["2024-04-04"]),
    ("live_scan", "2024-04-04T21:30:00+02:00", "2024-04-03", []),
    ("weekly_report", "2024-03-30T09:00:00+01:00", "2024-03-18", ["2024-03-25"]),
    ("weekly_report", "2024-03-28T20:59:00+01:00", "2024-03-18", []),
    ("weekly_report", "2024-04-06T09:00:00+02:00", "2024-03-18", ["2024-03-25", "2024-04-01"]),
]


@pytest.mark.parametrize(("job", "moment", "last", "wanted"), DUE)
def test_what_is_due_was_over_when_the_data_were_asked_for_and_is_not_made(
    job: str, moment: str, last: str, wanted: list[str], open_ended: Home, instance: dg.DagsterInstance
) -> None:
    after = job_named(job)
    for name in after.tables:
        hold(open_ended, name, last)
    before = finished("sweep_study", instance, **{"quant/as_of": moment}).dagster_run
    found: Any = follow_up(open_ended, after, before, instance)
    if not wanted:
        assert "made or being made" in found.skip_message
        return
    (request,) = found.run_requests
    assert (request.tags[START], request.tags[END]) == (wanted[0], wanted[-1])
    assert due(open_ended, after, datetime.fromisoformat(moment), instance) == wanted
    assert request.tags["quant/as_of"] == moment
    assert request.run_key == f"{job}/{wanted[0]}/{wanted[-1]}"
    # An attempt that failed is made again under another key, which no sensor takes for the first.
    finished(job, instance, **{START: wanted[0], END: wanted[-1]})
    again: Any = follow_up(open_ended, after, before, instance)
    assert [one.run_key for one in again.run_requests] == [f"{request.run_key}/again-1"]


def test_of_the_pieces_of_a_failed_run_the_last_to_succeed_is_followed(
    open_ended: Home, instance: dg.DagsterInstance
) -> None:
    piece = finished("daily_pipeline", instance, **{"quant/first_run": "x"}).dagster_run
    other = instance.create_run_for_job(
        dg.GraphDefinition(name="daily_pipeline").to_job(), tags={"quant/first_run": "x"}
    )
    waiting: Any = follow_up(open_ended, job_named("securities"), piece, instance)
    assert "1 runs over other tickers" in waiting.skip_message
    instance.report_run_failed(other)
    found: Any = follow_up(open_ended, job_named("securities"), piece, instance)
    assert len(found.run_requests) == 1


def test_the_intraday_tick_asks_for_the_running_session_and_for_none_outside(
    open_ended: Home, instance: dg.DagsterInstance
) -> None:
    schedule = build_definitions(open_ended).resolve_schedule_def("intraday_pipeline")
    for moment, wanted in (("2024-04-04T17:00:00+02:00", "2024-04-04"), ("2024-03-29T17:00:00+01:00", None)):
        with dg.build_schedule_context(instance, scheduled_execution_time=datetime.fromisoformat(moment)) as context:
            data = schedule.evaluate_tick(context)
        assert [request.tags[START] for request in data.run_requests or ()] == ([wanted] if wanted else [])
    assert "no session of XNYS is running" in str(data.skip_message)


def test_no_partition_is_nothing_to_run(open_ended: Home) -> None:
    with runs.instance_of(open_ended) as instance, pytest.raises(PartitionMissing, match="over no partition"):
        runs.execute(runs.Launch("live_scan"), instance, in_process=True)
