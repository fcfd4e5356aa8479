"""Work that outlives the page: what is recorded, what it becomes, and that it can be stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from quant_platform.app import keeper, launching
from quant_platform.app.launching import Work


def until(home: Path, work: Work, state: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while launching.state_of(home, work) != state:
        assert time.monotonic() < deadline, launching.log_tail(home, work)
        time.sleep(0.05)


def test_a_command_outlives_its_starter_and_says_how_it_ended(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from quant_platform.app import launching;"
        f"print(launching.start(Path({str(tmp_path)!r}), 'a question', ['--version']).id)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    (work,) = launching.works(tmp_path)
    assert work.id == done.stdout.strip()
    assert (work.title, work.command) == ("a question", ("--version",))
    until(tmp_path, work, "done")
    assert launching.log_tail(tmp_path, work).startswith("quant_platform ")
    assert not launching.cancel(tmp_path, work)


@pytest.mark.parametrize(("code", "state"), [(1, "failed"), (3, "failed"), (130, "cancelled")])
def test_what_a_command_becomes(tmp_path: Path, code: int, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "QUANT", f"import sys; sys.exit({code})")
    work = _recorded(tmp_path)
    keeper.keep(launching.works_folder(tmp_path) / work.id)
    assert launching.state_of(tmp_path, work) == state


def test_a_stop_reaches_the_command_and_is_written_down(tmp_path: Path) -> None:
    work = _recorded(tmp_path)
    folder = launching.works_folder(tmp_path) / work.id
    # The keeper as it is, with a command that would take a minute.
    script = (
        "from pathlib import Path; from quant_platform.app import keeper;"
        "keeper.QUANT = 'import time; print(1, flush=True); time.sleep(60)';"
        f"keeper.keep(Path({str(folder)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while launching.log_tail(tmp_path, work) != "1" and time.monotonic() < deadline:
            time.sleep(0.05)
        assert launching.state_of(tmp_path, work) == "running"
        assert launching.cancel(tmp_path, work)
        until(tmp_path, work, "cancelled")
    finally:
        process.wait(30)


def test_a_process_that_is_gone_without_a_word_has_died(tmp_path: Path) -> None:
    work = _recorded(tmp_path, since=timedelta(minutes=1))
    assert launching.state_of(tmp_path, work) == "died"
    young = _recorded(tmp_path)
    assert launching.state_of(tmp_path, young) == "running"
    folder = launching.works_folder(tmp_path) / young.id
    (folder / "keeper.json").write_text(json.dumps({"group": os.getpgrp()}))
    assert launching.state_of(tmp_path, young) == "died"


def test_a_line_that_was_written_over_is_shown_as_it_was_last(tmp_path: Path) -> None:
    work = _recorded(tmp_path)
    (launching.works_folder(tmp_path) / work.id / "log").write_bytes(b"one\rtwo\rthree\nlast\n")
    assert launching.log_tail(tmp_path, work) == "three\nlast"


def _recorded(home: Path, since: timedelta = timedelta(0)) -> Work:
    at = datetime.now(UTC) - since
    work = Work(f"{at:%Y%m%dT%H%M%S%f}", "t", ("x",), at.isoformat())
    folder = launching.works_folder(home) / work.id
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(
        json.dumps({"id": work.id, "title": "t", "command": ["x"], "started_at": work.started_at})
    )
    return work
