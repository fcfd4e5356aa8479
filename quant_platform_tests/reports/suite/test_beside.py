"""Tear sheets of another process: the same bytes as of this one, and a page also where the other one is lost."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
import pytest

from quant_platform.contracts import companion
from quant_platform.labs.suite.frames import suite_frames
from quant_platform.reports.suite import beside
from quant_platform.reports.suite.beside import drawn_beside, drawn_here
from quant_platform.reports.suite.findings import Findings
from quant_platform_tests.reports.suite.golden import origin, suite

COMMAND = [sys.executable, "-m", "quant_platform.reports.suite.beside"]
Work = tuple[Mapping[str, pl.DataFrame], Findings, Any]


@pytest.fixture(scope="module")
def work() -> Work:
    found = suite()
    return (
        suite_frames(found),
        Findings(found.verdict.because, ["to next"], [], {"lag9_residoff": "of a test"}),
        origin(),
    )


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The processes that were started, and that this process is taken for one that has drawn nothing."""
    processes: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def remembered(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        processes.append(start(*arguments, **options))
        return processes[-1]

    monkeypatch.setattr(beside, "_brings_something", lambda: True)
    monkeypatch.setattr(companion.subprocess, "Popen", remembered)
    yield processes
    assert [process.poll() is not None for process in processes] == [True]


def test_another_process_draws_the_same_bytes_page_after_page(
    work: Work, started: list[subprocess.Popen[bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    with drawn_beside() as draw:
        first, second = draw(*work), draw(*work)
        pages = {first(), second()}
    assert pages == {drawn_here(*work)()}
    assert (len(started), caplog.records) == (1, [])


def test_a_process_that_is_killed_is_said_to_be_and_the_page_is_drawn_here(
    work: Work, started: list[subprocess.Popen[bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    with drawn_beside() as draw, caplog.at_level(logging.WARNING):
        os.kill(started[0].pid, signal.SIGKILL)
        page = draw(*work)()
    assert page == drawn_here(*work)()
    [said] = caplog.messages
    assert said.startswith("the process that was to draw the tear sheet of planted failed (")


def test_where_no_process_can_be_started_this_one_draws_and_says_so(
    work: Work, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(beside, "_brings_something", lambda: True)
    monkeypatch.setattr(companion.subprocess, "Popen", refused)
    with drawn_beside() as draw:
        assert draw(*work)() == drawn_here(*work)()
    [said] = caplog.messages
    assert "Cannot allocate memory" in said


def test_what_cannot_be_drawn_raises_what_it_would_raise_here(
    work: Work, started: list[subprocess.Popen[bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    frames, findings, where = work
    broken = {name: frame for name, frame in frames.items() if name != "suite.daily"}
    with drawn_beside() as draw:
        with pytest.raises(KeyError, match=r"suite\.daily"):
            draw(broken, findings, where)()
        # The process that said so draws the next one.
        assert draw(*work)() == drawn_here(*work)()
    [said] = caplog.messages
    assert "KeyError('suite.daily')" in said
    assert len(started) == 1


def test_no_process_is_started_on_one_core_or_where_this_one_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    # Importing what makes the pages of these tests has made this process ready.
    with drawn_beside() as draw:
        assert draw is drawn_here
    monkeypatch.setattr(beside.sys, "modules", {})
    monkeypatch.setattr(beside.os, "cpu_count", lambda: 2)
    assert beside._brings_something()
    monkeypatch.setattr(beside.os, "cpu_count", lambda: 1)
    assert not beside._brings_something()


def test_it_ends_with_the_process_that_asks_it() -> None:
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        said, wrong = process.communicate(timeout=60)
    assert (process.returncode, said, wrong) == (0, b"", b"")


def test_a_process_that_only_computes_loads_nothing_that_draws() -> None:
    asked = "import sys, quant_platform.pipeline.suite; print({'altair', 'vl_convert'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
