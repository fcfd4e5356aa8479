"""What runs when nobody clicks: schedules at the times of the specs, sensors for the partitions that need it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
import yaml
from dagster._utils.schedules import schedule_execution_time_iterator

from quant_platform.defs.automation import follow_up
from quant_platform.defs.definitions import build_definitions
from quant_platform.defs.jobs import job_named
from quant_platform.defs.remainder import failure_metadata
from quant_platform.defs.resources import HomeResource
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sources import tickers_of
from quant_platform_tests.homes import NAMES, SHIPPED, edit, entered, write_specs

START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
SCHEDULED = ("daily_pipeline", "intraday_pipeline", "weekly_fundamentals", "weekly_replay")


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


@pytest.mark.parametrize("name", SCHEDULED)
def test_a_tick_asks_for_every_ticker(name: str, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("ticker", ["B", "A", "C"])
    with dg.build_schedule_context(instance, scheduled_execution_time=datetime(2024, 3, 4, 7)) as context:
        data = definitions.resolve_schedule_def(name).evaluate_tick(context)
    assert data.run_requests is not None
    assert [(request.tags[START], request.tags[END]) for request in data.run_requests] == [("B", "C")]
    assert "2024-03-04" in str(data.run_requests[0].run_key)


def test_a_tick_before_there_are_tickers_says_why_it_does_nothing(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    with dg.build_schedule_context(instance, scheduled_execution_time=datetime(2024, 3, 4, 7)) as context:
        data = definitions.resolve_schedule_def("daily_pipeline").evaluate_tick(context)
    assert not data.run_requests
    assert "universe_sensor" in str(data.skip_message)


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
        context = dg.build_run_status_sensor_context(
            "run_failure_log", event, instance, run, resources={"home": where}
        ).for_run_failure()
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
    context = dg.build_run_status_sensor_context(
        "go_on_without_failed",
        result.get_run_failure_event(),
        instance,
        result.dagster_run,
        resources={"home": HomeResource(home=str(home.settings.home), specs=str(specs))},
    )
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


CHAIN = {
    "live_scan": ("daily_pipeline", ["2019-12-31"]),
    "row_accounting": ("daily_pipeline", []),
    "live_outcomes": ("intraday_pipeline", ["2019-12-31"]),
    # The last session, a Tuesday, lies in the week of Monday the 30th.
    "weekly_cross_section": ("weekly_replay", ["2019-12-30"]),
    "factor_study": ("weekly_cross_section", None),
    "sweep_study": ("factor_study", None),
    "trial_ledger": ("sweep_study", []),
    "weekly_report": ("sweep_study", ["2019-12-30"]),
}


def test_the_chain_is_the_one_of_this_list(definitions: dg.Definitions) -> None:
    names = {sensor.name for sensor in definitions.sensors or ()}
    chain = {f"{after}_after_{before}" for after, (before, _) in CHAIN.items()}
    assert names == chain | {"universe_sensor", "run_failure_log", "go_on_without_failed"}


@pytest.mark.parametrize("after", CHAIN)
def test_a_follower_gets_the_partitions_that_its_predecessor_changed(
    after: str, home: Home, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    before, wanted = CHAIN[after]
    if wanted is None:
        wanted = job_named(after).scheme.keys(home, instance)
        assert len(wanted) > 4

    @dg.op
    def nothing() -> None:
        """Succeed."""

    @dg.job(name=before)
    def finished() -> None:
        nothing()

    result = finished.execute_in_process(instance=instance)
    sensor = definitions.resolve_sensor_def(f"{after}_after_{before}")
    context = dg.build_run_status_sensor_context(
        sensor.name, result.get_run_success_event(), instance, result.dagster_run
    )
    request: Any = sensor(context)
    expected = {START: wanted[0], END: wanted[-1]} if wanted else {}
    assert {name: value for name, value in request.tags.items() if name in (START, END)} == expected
    assert result.run_id in request.run_key
    assert [job.name for job in sensor.jobs] == [after]


def test_a_market_that_goes_on_is_followed_to_its_last_session_before_today(home: Home) -> None:
    spec = home.spec.model_copy(update={"last_session": None})
    open_ended: Any = SimpleNamespace(spec=spec, universe=home.universe)
    # Good Friday, 29 March 2024: the exchange was closed.
    day = follow_up(open_ended, job_named("live_scan"), datetime(2024, 3, 29).date(), [])
    assert day == {START: "2024-03-28", END: "2024-03-28"}
    week = follow_up(open_ended, job_named("weekly_report"), datetime(2024, 3, 30).date(), [])
    assert week == {START: "2024-03-25", END: "2024-03-25"}
