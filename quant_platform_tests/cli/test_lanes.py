"""Jobs of a graph beside each other: what one process makes, whatever happens to the second one."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from rich.console import Console

from quant_platform.cli import lanes
from quant_platform.cli import market as market_commands
from quant_platform.cli.lanes import How, run_each
from quant_platform.contracts import companion
from quant_platform.contracts.errors import PartitionMissing, PlatformError
from quant_platform.defs import workers
from quant_platform.defs.jobs import job_named
from quant_platform.defs.runs import Launch, end_lost_runs, process_tag, waits_of
from quant_platform.defs.tags import PROCESS_TAG
from quant_platform.pipeline.home import Home
from quant_platform.specification.settings import settings
from quant_platform_tests.homes import Market, entered, hashes, undeclared, working_copy

HOW = How(refresh=True, in_process=True)
# In the order of the graph: the first two need nothing of each other.
MADE = ("row_accounting", "live_scan", "equity_audit")
# Its own stages put orders and fills one after the other by days, which tables cannot say: the slippage of fills that
# are known is read by what decides on the next orders.
BY_DAYS = {"operations_daily": {"ops.fills"}}


@pytest.fixture
def both_at_work(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Holds back the first run of this process until the second one is at work at a run of its own."""
    at_work = threading.Event()
    take = lanes._Order.take

    def noted(order: lanes._Order, *, there: bool = False, **named: Any) -> int | None:
        position = take(order, there=there, **named)
        if there and position is not None:
            at_work.set()
        return position

    def wait() -> None:
        assert at_work.wait(120)

    monkeypatch.setattr(lanes._Order, "take", noted)
    return wait


def held_back(monkeypatch: pytest.MonkeyPatch, wait: Callable[[], None]) -> None:
    """Let this process wait before each of its runs."""
    run_one = lanes.run_one

    def waiting(launch: Launch, *rest: Any) -> PlatformError | None:
        wait()
        return run_one(launch, *rest)

    monkeypatch.setattr(lanes, "run_one", waiting)


def in_two(
    home: Home,
    instance: dg.DagsterInstance,
    launches: Sequence[Launch],
    shown: io.StringIO | None = None,
    how: How = HOW,
) -> PlatformError | None:
    waits = waits_of(launches, home, alone=[False] * len(launches))
    return run_each(launches, waits, how, home, instance, Console(file=shown or io.StringIO()), two=True)


def of(market: Market, *jobs: str) -> list[Launch]:
    return [market.launches[job] for job in jobs]


def ended_as(instance: dg.DagsterInstance, process: int) -> list[tuple[str, str]]:
    """Jobs and how they ended, of the runs of a process."""
    found = instance.get_runs(dg.RunsFilter(tags={PROCESS_TAG: process_tag(process)}))
    return [(run.job_name, run.status.value) for run in found]


def test_what_a_job_reads_is_what_its_stages_say(market: Market) -> None:
    assert undeclared(market) == BY_DAYS


def test_no_order_of_rows_is_left_to_the_memory_of_a_process(market: Market) -> None:
    assert market.arbitrary == {}


def test_a_run_waits_for_what_makes_what_it_reads_and_for_what_it_follows(market: Market) -> None:
    launches = list(market.launches.values())
    names = [launch.job for launch in launches]
    alone = [name == "ticker_graph" for name in names]
    waits = dict(zip(names, waits_of(launches, market.home, alone=alone), strict=True))
    for name in names:
        job = job_named(name, market.home)
        makers = {place for place, other in enumerate(names) if set(job_named(other).tables) & market.reads[name]}
        before = {place for place in makers if place < names.index(name)}
        assert before <= waits[name], name
        assert {names.index(other) for other in job.follows if other in names} <= waits[name], name
    place = names.index("ticker_graph")
    assert waits["ticker_graph"] == frozenset(range(place))
    assert all(place in waits[name] for name in names[place + 1 :])
    # By hand: what needs nothing of each other.
    assert not {names.index("weekly_cross_section"), names.index("equity_audit")} & waits["live_scan"]
    assert {names.index("operations_weekly"), names.index("live_scan")} <= waits["operations_dashboard"]
    assert {names.index("equity_audit"), names.index("factor_study")} <= waits["weekly_report"]


def test_a_run_waits_for_what_reads_or_makes_what_it_makes(market: Market) -> None:
    turned = of(market, "operations_dashboard", "operations_weekly", "factor_study", "operations_dashboard")
    found = waits_of(turned, market.home, alone=[False] * 4)
    assert found == [frozenset(), frozenset({0}), frozenset(), frozenset({0, 1})]


def test_a_run_of_another_machine_is_no_run_of_the_process_here(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with working_copy(market, tmp_path / "home") as (_, instance):
        for place in ("elsewhere", "here"):
            monkeypatch.setattr("platform.node", lambda place=place: place)
            tags = {PROCESS_TAG: process_tag(7)}
            instance.create_run_for_job(_nothing, tags=tags, status=dg.DagsterRunStatus.STARTED)
        end_lost_runs(instance, _nothing.name, 7)
        ended = {run.tags[PROCESS_TAG]: run.status.value for run in instance.get_runs()}
    assert ended == {"7@elsewhere": "STARTED", "7@here": "FAILURE"}


@dg.job
def _nothing() -> None:
    """A job that does nothing."""


def test_of_several_that_may_begin_the_one_most_others_wait_for_does() -> None:
    #     0     1 waits for 0     2: three wait for it, one of them through another     3, 4: for 2     5: for 4
    waits = [set(), {0}, set(), {2}, {2}, {4}]
    order = lanes._Order([frozenset(some) for some in waits])
    assert (order.take(), order.another_is_ready()) == (2, True)
    assert (order.take(there=True), order.another_is_ready()) == (0, False)
    order.finished(2, None)
    assert [order.take(), order.take()] == [4, 3]
    order.give_back(0)
    assert [order.take(), order.at_work_there] == [0, False]
    for position in (0, 4, 3):
        order.finished(position, None)
    assert [order.take(), order.take(), order.over()] == [1, 5, False]
    left_out = PlatformError("AAA")
    order.finished(1, left_out)
    order.finished(5, None)
    assert (order.take(), order.over(), order.left_out) == (None, True, left_out)


def test_one_process_runs_them_in_their_order(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(lanes, "run_one", lambda launch, *_: begun.append(launch.job))
    launches = list(market.launches.values())
    waits = waits_of(launches, market.home, alone=[False] * len(launches))
    with working_copy(market, tmp_path / "home") as (home, instance):
        run_each(launches, waits, HOW, home, instance, Console(file=io.StringIO()), two=False)
    assert begun == list(market.launches)
    assert not started


@pytest.mark.parametrize(
    ("options", "counts", "ahead", "two"),
    [
        ({}, (20, 100, 200), 3, True),
        ({}, (20,), 0, False),
        ({"in_process": True}, (100,), 0, False),
        ({"lanes": 1}, (100,), 3, False),
    ],
)
def test_a_command_starts_ahead_what_shares_its_first_long_run_and_a_second_process_where_there_is_one(
    options: dict[str, Any], counts: tuple[int, ...], ahead: int, two: bool, tmp_path: Path, monkeypatch: Any
) -> None:
    started: list[int] = []
    asked: list[tuple[Any, bool]] = []
    monkeypatch.setattr(workers.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(market_commands, "starting_ahead", lambda count: nullcontext(started.append(count)))
    monkeypatch.setattr(market_commands, "run_each", lambda _, waits, *__, two: asked.append((waits, two)))
    long = [Launch("ticker_graph", tuple(f"T{i:03d}" for i in range(count))) for count in counts]
    with entered(tmp_path / "home", settings().specs) as home:
        market_commands.run_everything(
            home,
            Console(file=io.StringIO()),
            launches=lambda *_: [Launch("securities"), *long, Launch("row_accounting")],
            begun=True,
            **options,
        )
    ((waits, runs_two),) = asked
    assert (started, runs_two) == ([ahead], two)
    # Beside a run that is shared there is no other one.
    assert waits[-1] == frozenset(range(1, len(counts) + 1))


def test_nothing_begins_after_a_stop() -> None:
    order = lanes._Order([frozenset(), frozenset({0}), frozenset()])
    order.take(there=True)
    waiting: list[int | None] = []
    thread = threading.Thread(target=lambda: (order.take(), waiting.append(order.take())))
    thread.start()
    failed = PlatformError("no bars")
    order.stop(failed)
    order.stop()
    thread.join(10)
    assert (waiting, order.failed, order.at_work_there) == ([None], failed, True)


def test_two_processes_make_what_one_makes(
    market: Market,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    both_at_work: Callable[[], None],
    started: list[subprocess.Popen[bytes]],
) -> None:
    held_back(monkeypatch, both_at_work)
    tables = [name for job in MADE for name in job_named(job).tables]
    shown = io.StringIO()
    with working_copy(market, tmp_path / "home") as (home, instance):
        assert in_two(home, instance, of(market, *MADE), shown) is None
        assert hashes(home, *tables) == hashes(market.home, *tables)
        (other,) = started
        here, there = ended_as(instance, os.getpid()), ended_as(instance, other.pid)
    assert other.poll() == -signal.SIGKILL
    assert here
    assert there
    assert sorted([*here, *there]) == sorted((job, "SUCCESS") for job in MADE)
    assert {line.split()[0] for line in shown.getvalue().splitlines()} == set(MADE)
    assert all("done" in line for line in shown.getvalue().splitlines())


def test_what_a_lost_process_was_at_is_made_by_this_one(
    market: Market,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    both_at_work: Callable[[], None],
    started: list[subprocess.Popen[bytes]],
) -> None:
    run_one = lanes.run_one
    shown = io.StringIO()

    with working_copy(market, tmp_path / "home") as (home, instance):

        def killing(launch: Launch, *rest: Any) -> PlatformError | None:
            both_at_work()
            (other,) = started
            if other.poll() is None:
                while not ended_as(instance, other.pid):
                    threading.Event().wait(0.01)
                other.kill()
            return run_one(launch, *rest)

        monkeypatch.setattr(lanes, "run_one", killing)
        in_two(home, instance, of(market, *MADE), shown)
        tables = [name for job in MADE for name in job_named(job).tables]
        assert hashes(home, *tables) == hashes(market.home, *tables)
        (lost,) = ended_as(instance, started[0].pid)
        here = ended_as(instance, os.getpid())
    assert lost[1] == "FAILURE"
    assert sorted(here) == sorted((job, "SUCCESS") for job in MADE)
    assert f"the second process was lost at {lost[0]}" in shown.getvalue()


def test_a_failure_there_fails_here_with_its_words_and_nothing_further_begins(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, both_at_work: Callable[[], None]
) -> None:
    held_back(monkeypatch, both_at_work)
    launches = [market.launches["row_accounting"], Launch("live_scan", ()), market.launches["equity_audit"]]
    with working_copy(market, tmp_path / "home") as (home, instance):
        with pytest.raises(PartitionMissing, match="live_scan was asked to run over no partition"):
            in_two(home, instance, launches)
        assert ended_as(instance, os.getpid()) == [("row_accounting", "SUCCESS")]


@pytest.mark.parametrize("stopped_by", [KeyboardInterrupt, PlatformError("it does not work")])
def test_who_stops_this_process_stops_both_and_a_failure_lets_the_other_run_go_on(
    stopped_by: Any,
    market: Market,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    both_at_work: Callable[[], None],
    started: list[subprocess.Popen[bytes]],
) -> None:
    with working_copy(market, tmp_path / "home") as (home, instance):

        def stopping(*_: Any) -> None:
            both_at_work()
            while "STARTED" not in dict(ended_as(instance, started[0].pid)).values():
                threading.Event().wait(0.01)
            raise stopped_by

        monkeypatch.setattr(lanes, "run_one", stopping)
        # The second takes long, and so is at work when this process stops; in a graph it would come before.
        pair = of(market, "row_accounting", "ticker_graph")
        with pytest.raises(stopped_by if isinstance(stopped_by, type) else PlatformError):
            run_each(pair, [frozenset()] * 2, HOW, home, instance, Console(file=io.StringIO()), two=True)
        (there,) = ended_as(instance, started[0].pid)
        assert ended_as(instance, os.getpid()) == []
    assert started[0].poll() is not None
    # Dagster counts what nobody ended through it as failed.
    assert there[1] == ("FAILURE" if stopped_by is KeyboardInterrupt else "SUCCESS")


def test_where_no_process_can_be_started_the_jobs_run_one_after_the_other(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(lanes, "Companion", refused)
    shown = io.StringIO()
    with working_copy(market, tmp_path / "home") as (home, instance):
        in_two(home, instance, of(market, "row_accounting", "live_scan"), shown)
        assert sorted(ended_as(instance, os.getpid())) == [("live_scan", "SUCCESS"), ("row_accounting", "SUCCESS")]
    assert shown.getvalue().count("Cannot allocate memory") == 1


@pytest.mark.parametrize("why", ["it does not start", "it fails"])
def test_one_that_cannot_get_ready_is_not_waited_for_and_said(
    why: str, market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = threading.Event()

    def unable(*arguments: Any, **named: Any) -> companion.Companion:
        with monkeypatch.context() as only_here:
            only_here.setenv("PYTHONHOME", "/nowhere")
            return companion.Companion(*arguments, **named)

    class Shown(io.StringIO):
        def write(self, text: str, /) -> int:
            if "could not get ready" in text:
                said.set()
            return super().write(text)

    def until_it_is_said() -> None:
        assert said.wait(60)

    if why == "it fails":
        monkeypatch.setattr(lanes.known_files, "known", lambda: "nothing it could remember")
    else:
        monkeypatch.setattr(lanes, "Companion", unable)
    held_back(monkeypatch, until_it_is_said)
    with working_copy(market, tmp_path / "home") as (home, instance):
        in_two(home, instance, of(market, "row_accounting", "live_scan"), Shown())
        assert sorted(ended_as(instance, os.getpid())) == [("live_scan", "SUCCESS"), ("row_accounting", "SUCCESS")]
