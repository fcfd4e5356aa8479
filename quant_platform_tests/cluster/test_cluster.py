"""What surrounds the scenarios of ``make cluster-test``; the scenarios themselves run by that command."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from quant_platform_tests.cluster import __main__ as command
from quant_platform_tests.cluster import backfills, environment, evidence, postgres
from quant_platform_tests.cluster.bench import Differs, until
from quant_platform_tests.cluster.processes import descendants, left, metered
from quant_platform_tests.cluster.ray_cluster import Node

FILES = "one process, files and SQLite"
KILLED = "two Ray workers, S3 and Postgres, one killed, a step of the other ended"
MADE = {
    "command": "a command",
    "machine": {"processor": "a processor", "cores": 2, "system": "a system"},
    "load_average": {"start": [0.5, 0, 0], "end": [1.5, 0, 0]},
    "versions": {"postgres": "15.18", "ray": "2.60.0"},
    "names": 24,
}
TEST = {
    **MADE,
    "seconds": 12.4,
    "shown": {
        "two Ray workers, one killed": {"repeated": ["a__work[chunk_001]: x | y"], "seconds_after_the_kill": 41.26},
        "refused: no driver": {"seconds": 0.04, "says": "settings_invalid: a | b"},
    },
}
COSTS = {
    **MADE,
    "partitions": 250,
    "ways": [
        {"way": "files", "wall_seconds": 2.0, "cpu_seconds": {"run": 1.5}, "runs": 2, "steps": 7},
        {
            "way": "Ray",
            "wall_seconds": 300.0,
            "cpu_seconds": {"run": 10.0, "ray": 20.0, "database": 0.5, "store": 4.0},
            "runs": 2,
            "steps": 38,
        },
    ],
}
SPENT = {"run": 30.0, "database": 2.0, "store": 1.0}
BACKFILLS = {
    **MADE,
    "partitions": 250,
    "rows": [
        {
            "way": "one run",
            "runs": 1,
            "killed": "nothing",
            "queued_seconds": 20.0,
            "working_seconds": 30.5,
            "wall_seconds": 42.5,
            "cpu_seconds": SPENT,
            "steps": 38,
            "load": 0.75,
        },
        None,
        {
            "way": "one run",
            "runs": 1,
            "killed": "step",
            "queued_seconds": 21.0,
            "working_seconds": 29.0,
            "wall_seconds": 35.0,
            "cpu_seconds": SPENT,
            "steps": 50,
            "load": 2.5,
            "known_seconds": 1.25,
            "recorded": 96,
            "kept": 100,
            "second": {
                "queued_seconds": 3.0,
                "working_seconds": 10.0,
                "wall_seconds": 17.0,
                "cpu_seconds": {**SPENT, "run": 9.5},
            },
        },
    ],
}


def test_the_page_says_what_was_run_and_what_it_cost() -> None:
    lines = evidence.page({"test": TEST, "costs": COSTS}).splitlines()
    assert "| two Ray workers, one killed | repeated: a__work[chunk_001]: x / y; seconds after the kill 41.3 |" in lines
    assert "| refused: no driver | seconds 0.0; settings_invalid: a / b |" in lines
    # 250 partitions are a quarter of 1,000.
    assert "| files | 8.0 | 6.0 |  |  |  |" in lines
    assert "| Ray | 1,200.0 | 40.0 | 80.0 | 2.0 | 16.0 |" in lines
    assert "| Ray | 300.0 | 10.0 | 20.0 | 0.5 | 4.0 | 2 | 38 |" in lines
    assert any("a processor, 2 cores" in line and "postgres 15.18" in line for line in lines)


def test_the_page_says_what_a_way_to_share_a_backfill_out_costs_and_what_a_kill_leaves() -> None:
    lines = evidence.page({"backfills": BACKFILLS}).splitlines()
    # Waiting is not scaled; 12 seconds of work for 250 partitions are 48 for 1,000.
    assert "| one run | 30.5 | 48.0 | 120.0 | 8.0 | 4.0 |" in lines
    assert (
        "| killed, of 250 partitions | failure known after | recorded | kept | second backfill: wall | CPU: client |"
        in lines
    )
    assert "| a worker process of: one run | 1.2 | 96 | 100 | 7.0 | 9.5 |" in lines
    assert "| one run | step | 21.0 | 29.0 | 35.0 | 30.0 | 2.0 | 1.0 | 1 | 50 | 2.5 |" in lines
    assert "| the second backfill after it |  | 3.0 | 10.0 | 17.0 | 9.5 | 2.0 | 1.0 | 1 |  |  |" in lines


def test_a_part_that_is_measured_anew_leaves_the_other(tmp_path: Path) -> None:
    path = tmp_path / "cluster.json"
    evidence.write(path, "test", TEST)
    evidence.write(path, "costs", COSTS)
    evidence.write(path, "test", {**TEST, "seconds": 99.0})
    text = path.with_suffix(".md").read_text()
    assert "It took 99 s." in text
    assert "## Costs" in text


def test_the_pages_say_what_the_evidence_says() -> None:
    document = json.loads(evidence.FILE.read_text(encoding="utf-8"))
    assert evidence.FILE.with_suffix(".md").read_text(encoding="utf-8") == evidence.page(document)
    guide = (evidence.ROOT / "docs" / "how-to" / "deploy.md").read_text(encoding="utf-8")
    made = {
        evidence.RUN: [evidence.where(document["test"])],
        evidence.COSTS: evidence.table(document["costs"]),
        evidence.BACKFILLS: evidence.backfill_table(document["backfills"]),
    }
    for (begin, end), lines in made.items():
        assert guide.split(begin)[1].split(end)[0].strip().splitlines() == lines


def test_the_evidence_is_of_all_that_has_to_be_shown() -> None:
    document = json.loads(evidence.FILE.read_text(encoding="utf-8"))
    shown = document["test"]["shown"]
    assert shown[KILLED]["repeated"]
    assert shown[KILLED]["hashes"] == shown[FILES]["hashes"] == shown["one process, S3 and Postgres"]["hashes"] > 300
    ways = {row["way"]: row for row in document["costs"]["ways"]}
    assert {"one process; files, SQLite", "one process; S3, Postgres", "two Ray workers; S3, Postgres"} <= ways.keys()
    assert document["costs"]["partitions"] > 400
    assert all(row["cpu_seconds"]["run"] > 0 and row["wall_seconds"] > 0 for row in ways.values())
    shared = document["backfills"]
    undisturbed, killed = ([row for row in shared["rows"] if ("second" in row) == disturbed] for disturbed in (0, 1))
    assert [row["runs"] for row in undisturbed] == [1, 2]
    assert {(row["runs"], row["killed"]) for row in killed} == {(1, "step"), (2, "run")}
    assert shared["partitions"] == 11 * shared["names"]
    assert all(0 < row["recorded"] <= row["kept"] < shared["partitions"] for row in killed)


def test_what_splits_a_backfill_replaces_the_policy_when_assets_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(dg.BackfillPolicy, "single_run", dg.BackfillPolicy.single_run)
    # This is what Python does with the file at its start.
    exec(backfills.SPLIT.format(partitions=12), {})
    finder: Any = sys.meta_path[0]
    assert finder.find_spec("quant_platform.contracts") is None
    assert dg.BackfillPolicy.single_run().max_partitions_per_run is None
    assert finder.find_spec("quant_platform.defs.chunked_assets") is None
    assert dg.BackfillPolicy.single_run().max_partitions_per_run == 12


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


def test_every_package_of_the_lock_has_a_hash_and_none_is_a_folder() -> None:
    entries = re.split(r"\n(?=[a-z])", "\n" + environment.LOCK.read_text(encoding="utf-8"))[1:]
    names = {entry.split("==")[0] for entry in entries}
    assert {"moto[server]", "obstore", "psycopg2-binary", "ray[default]", "dagster-ray", "dagster-k8s"} <= names
    assert [entry.splitlines()[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []


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


BURN = "import time; began = time.process_time()\nwhile time.process_time() - began < {}: pass\n"


def test_the_meter_counts_what_a_process_starts_and_not_what_others_do() -> None:
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN.format(0.6)!r}]); "
    other = subprocess.Popen([sys.executable, "-S", "-c", BURN.format(0.8)])
    process = subprocess.Popen([sys.executable, "-S", "-c", f"{child}\n{BURN.format(0.3)}"])
    with metered(process.pid) as meter:
        assert process.wait(30) == 0
    other.wait(30)
    # A look may come 0.2 s before the end of each of the two.
    assert 0.4 < meter.seconds() < 1.2


def test_a_process_that_is_left_is_found_by_its_folder(tmp_path: Path) -> None:
    assert not left(str(tmp_path), 0)
    process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"], env={"X": f"{tmp_path}/y"})
    try:
        deadline = time.monotonic() + 10
        while not left(str(tmp_path), 0):
            assert time.monotonic() < deadline
        assert "time.sleep(60)" in left(str(tmp_path), 0)[process.pid]
    finally:
        process.kill()
        process.wait(10)
    assert not left(str(tmp_path), 0)


@pytest.mark.parametrize(("sleeps", "words"), [(0, "the process has ended, and says lost its"), (60, "waited 0 s")])
def test_a_wait_ends_and_says_what_for(tmp_path: Path, sleeps: int, words: str) -> None:
    log = tmp_path / "log"
    log.write_text("lost its way")
    process = subprocess.Popen([sys.executable, "-S", "-c", f"import time; time.sleep({sleeps})"])
    try:
        if not sleeps:
            process.wait(10)
        with pytest.raises(Differs, match=words) as caught:
            until(lambda: False, process, "rain", log, 0.3)
        assert "for rain" in str(caught.value)
    finally:
        process.kill()
        process.wait(10)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
