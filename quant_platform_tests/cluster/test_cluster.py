"""What surrounds the scenarios of ``make cluster-test``; the scenarios themselves run by that command."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from quant_platform_tests.cluster import __main__ as command
from quant_platform_tests.cluster import environment, postgres
from quant_platform_tests.cluster.page import page
from quant_platform_tests.cluster.ray_cluster import Node, descendants

FOUND = {
    "command": "make cluster-test",
    "machine": {"processor": "a processor", "cores": 2, "system": "a system"},
    "load_average": {"start": [0.5, 0, 0], "end": [1.5, 0, 0]},
    "versions": {"postgres": "15.18", "ray": "2.60.0"},
    "names": 24,
    "shown": {
        "one process, SQLite": {
            "partitions": 1234,
            "cpu_seconds": 30.5,
            "cpu_seconds_per_1000": 2.125,
            "bytes_per_partition": 7000.0,
        },
        "two Ray workers, one killed": {"lost": ["a__work[chunk_001]"], "seconds_after_the_kill": 41.26},
        "refused: no driver": {"seconds": 0.04, "says": "settings_invalid: a | b"},
    },
}


def test_the_page_says_what_was_run_and_what_it_cost() -> None:
    lines = page(FOUND).splitlines()
    assert "| two Ray workers, one killed | lost: a__work[chunk_001]; seconds after the kill 41.3 |" in lines
    assert "| refused: no driver | seconds 0.0; settings_invalid: a / b |" in lines
    assert "| one process, SQLite | 1,234 | 30.50 | 2.12 |  | 7,000.00 |" in lines
    assert any("a processor, 2 cores" in line for line in lines)


def test_where_no_server_is_installed_it_says_so_and_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(postgres, "INSTALLED", tmp_path)
    monkeypatch.setattr(postgres.shutil, "which", lambda _: None)
    assert command.main() == 0
    assert "NOT RUN, no Postgres server: apt-get install postgresql" in capsys.readouterr().out


def test_an_environment_that_cannot_be_made_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise environment.NotInstalled("pip stopped with 1")

    monkeypatch.setattr(command, "missing", lambda: None)
    monkeypatch.setattr(command, "install", refuse)
    assert command.main() == 1
    assert "pip stopped with 1" in capsys.readouterr().out


def test_another_lock_file_is_another_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(environment.FOLDER_VARIABLE, str(tmp_path))
    lock = tmp_path / "lock"
    lock.write_text("a==1")
    first = environment.environment(lock).folder
    lock.write_text("a==2")
    second = environment.environment(lock)
    assert first.parent == second.folder.parent == tmp_path
    assert first != second.folder
    assert not second.installed


def test_a_node_is_killed_with_all_it_has_started(tmp_path: Path) -> None:
    inner = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    process = subprocess.Popen([sys.executable, "-c", inner + "time.sleep(60)"], start_new_session=True)
    node = Node("one", process)
    deadline = time.monotonic() + 20
    while not (children := descendants(process.pid)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    node.kill()
    assert process.returncode == -9
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}/cmdline").is_file() and _lives(pid) for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
