"""Labs in a process beside this one: what it says arrives, what fails there fails here, and nothing is left running."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from quant_platform.cli.beside import Other, beside, main
from quant_platform.defs.runs import RunFailed
from quant_platform.pipeline.home import Home
from quant_platform.specification.settings import Settings
from quant_platform_tests.homes import declare_perps, edit, write_perp_specs


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Perpetuals whose specs cannot be read as soon as a job looks at them."""
    specs = write_perp_specs(tmp_path / "specs")
    folder = declare_perps(tmp_path / "home", specs)
    edit(folder / "perps.yaml", lambda spec: spec.update(first_month="2024-13"))
    return Home(Settings(home=folder, specs=specs))


def test_what_fails_there_fails_here_with_its_words(home: Home) -> None:
    shown = io.StringIO()
    with (
        pytest.raises(RunFailed, match="2024-13") as failed,
        beside(home.settings, ["events"], Console(file=shown)) as other,
    ):
        other.begin()
    assert "events" in str(failed.value)
    assert "Traceback" not in str(failed.value)


def test_what_it_said_is_shown_and_a_failure_here_ends_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[str]] = []
    real = subprocess.Popen

    def instead(command: list[str], **named: Any) -> subprocess.Popen[str]:
        started.append(real([command[0], "-c", "print('made it', flush=True); import time; time.sleep(600)"], **named))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", instead)
    with pytest.raises(KeyboardInterrupt), beside(home.settings, ["events"], Console(file=io.StringIO())):
        raise KeyboardInterrupt
    assert started[0].returncode is not None

    def short(command: list[str], **named: Any) -> subprocess.Popen[str]:
        return real([command[0], "-c", "print('made it')"], **named)

    monkeypatch.setattr(subprocess, "Popen", short)
    shown = io.StringIO()
    with beside(home.settings, ["events"], Console(file=shown)):
        pass
    assert shown.getvalue() == "made it\n"


@pytest.mark.parametrize(
    ("told", "taken", "ran"),
    [
        ("begin\ngo on\n", False, ["a1", "a2", "b1", "c1"]),
        ("begin\ngo on\n", True, ["a1", "a2"]),
        ("begin\n", False, ["a1", "a2"]),
        ("", False, []),
    ],
)
def test_labs_wait_until_they_are_told_to_begin_and_later_ones_until_nobody_took_them(
    told: str, taken: bool, ran: list[str], home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done: list[str] = []
    jobs = {"a": ["a1", "a2"], "b": ["b1"], "c": ["c1"]}

    def run_everything(_: Home, __: Console, jobs: Sequence[str], *, begun: bool, lanes: int) -> None:
        assert (begun, lanes) == (True, 1)
        done.extend(jobs)

    monkeypatch.setattr("quant_platform.cli.market.run_everything", run_everything)

    class Said(io.StringIO):
        def readline(self, *_: Any) -> str:
            assert loaded == [home]  # It waits when it is ready, and not before.
            return super().readline()

    loaded: list[Home] = []
    monkeypatch.setattr("quant_platform.cli.homes.open_checked_home", lambda *_, **__: home)
    monkeypatch.setattr("quant_platform.defs.runs.load_definitions", loaded.append)
    monkeypatch.setattr(
        "quant_platform.defs.labs.job_names_of", lambda _, labs: [job for lab in labs for job in jobs[lab]]
    )
    monkeypatch.setattr(sys, "stdin", Said(told))
    claim = tmp_path / "claim"
    monkeypatch.setenv("QUANT_BESIDE_TAKEN", str(claim))
    if taken:
        assert Other(io.StringIO(), claim).take_over()
    assert main(["a", "--later", "b", "c"]) == 0
    assert done == ran
    assert Other(io.StringIO(), claim).take_over() == (not taken and "b1" not in ran)


def test_the_other_process_is_told_to_go_on_and_may_have_ended_by_then(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, commands = subprocess.Popen, []

    def instead(command: list[str], **named: Any) -> subprocess.Popen[str]:
        commands.append(command[2:])
        return real([command[0], "-c", "import sys; print('told:', sys.stdin.read().split())"], **named)

    monkeypatch.setattr(subprocess, "Popen", instead)
    shown = io.StringIO()
    with beside(home.settings, ["events"], Console(file=shown), later=["operations"]) as other:
        other.begin()
        other.go_on()
    assert shown.getvalue() == "told: ['begin', 'go', 'on']\n"
    assert commands == [["quant_platform.cli.beside", "events", "--later", "operations"]]

    def ended(command: list[str], **named: Any) -> subprocess.Popen[str]:
        process = real([command[0], "-c", "raise SystemExit(3)"], **named)
        process.wait()
        return process

    monkeypatch.setattr(subprocess, "Popen", ended)
    with (
        pytest.raises(RunFailed, match="code 3"),
        beside(home.settings, ["events"], Console(file=io.StringIO()), later=["operations"]) as other,
    ):
        other.go_on()
