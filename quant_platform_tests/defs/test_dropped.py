"""A signal file in the inbox: what a tick takes, refuses, asks for, and leaves for the next one."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from quant_platform.defs.dropped import tick
from quant_platform.defs.schemes import END, START
from quant_platform.pipeline import inbox
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.submissions import submissions
from quant_platform.pipeline.suite import asked_for
from quant_platform_tests.suites import SIGNAL, Judged

NOW = datetime.now(UTC)


def drop(home: Home, name: str, rows: pl.DataFrame, age: timedelta = timedelta(minutes=1)) -> Path:
    folder = inbox.inbox_folder(home)
    folder.mkdir(exist_ok=True)
    path = folder / name
    rows.write_csv(path)
    moment = (NOW - age).timestamp()
    os.utime(path, (moment, moment))
    return path


@pytest.fixture
def home(judged: Judged, tmp_path: Path) -> Home:
    return judged.copy(tmp_path)


@pytest.fixture
def rows(judged: Judged) -> pl.DataFrame:
    """A signal that is not the one of before."""
    stored = judged.home.lake.read("suite.signals", [SIGNAL]).head(400)
    return stored.select("security_id", "date_sig", "date_avail", (-pl.col("value")).alias("signal"))


def test_a_good_file_is_registered_and_judged_and_a_broken_one_says_why(
    home: Home, rows: pl.DataFrame, judged: Judged
) -> None:
    drop(home, "mine.csv", rows)
    (inbox.inbox_folder(home) / "mine.yaml").write_text("name: flipped\nauthor: Ada\n")
    drop(home, "broken.csv", rows.with_columns(pl.lit("NOBODY").alias("security_id")))
    drop(home, "growing.csv", rows, age=timedelta(seconds=1))
    with dg.DagsterInstance.ephemeral() as instance:
        found: Any = tick(home, instance, None, NOW)
        again = tick(home, instance, found.cursor, NOW)
    (flipped,) = [said for said in submissions(home) if said.name != SIGNAL]
    assert (flipped.name, flipped.author, flipped.rows) == ("flipped", "Ada", rows.height)
    asked = [(request.job_name, request.tags[START], request.tags[END]) for request in found.run_requests]
    pair = f"flipped|{judged.snapshot}"
    assert asked == [("suite_signals", "flipped", "flipped"), ("suite", pair, pair)]
    added = {request.partitions_def_name: request.partition_keys for request in found.dynamic_partitions_requests}
    assert list(added.values()) == [["flipped"], [pair]]
    assert asked_for(home, ("flipped", judged.snapshot)).name == "STANDARD"
    folder = inbox.inbox_folder(home)
    held = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert held == {
        "growing.csv",
        "taken/mine.csv",
        "taken/mine.yaml",
        "taken/mine.csv.said.txt",
        "refused/broken.csv",
        "refused/broken.csv.said.txt",
    }
    assert "signal_security_unknown" in (folder / "refused/broken.csv.said.txt").read_text()
    assert isinstance(again, dg.SkipReason)


def test_what_was_taken_waits_until_the_panel_is_current(home: Home, rows: pl.DataFrame) -> None:
    for path in home.lake.current_files("suite.returns"):
        path.unlink()
    drop(home, "mine.csv", rows)
    with dg.DagsterInstance.ephemeral() as instance:
        found: Any = tick(home, instance, None, NOW)
        assert [request.job_name for request in found.run_requests] == ["suite_dates", "suite_panel"]
        assert json.loads(found.cursor) == ["mine"]
        # Asked again before the panel is there: the same run keys, which Dagster starts once.
        again: Any = tick(home, instance, found.cursor, NOW)
    assert [r.run_key for r in again.run_requests] == [r.run_key for r in found.run_requests]


@pytest.mark.parametrize(
    ("sidecar", "said"),
    [
        ("name: flipped\nauthr: Ada\n", "did you mean 'author'"),
        ("name: not a name\n", "cannot be the name of a signal"),
        (f"name: {SIGNAL}\n", "is registered with other rows"),
        ("name: [\n", "spec_invalid"),
    ],
    ids=["unknown key", "bad name", "taken name", "no yaml"],
)
def test_a_sidecar_that_is_wrong_keeps_the_file_out(home: Home, rows: pl.DataFrame, sidecar: str, said: str) -> None:
    path = drop(home, "mine.csv", rows)
    path.with_suffix(".yaml").write_text(sidecar)
    taken = inbox.take(home, path)
    assert taken.signal == ""
    assert said in taken.said
    assert (inbox.inbox_folder(home) / "refused" / "mine.csv").is_file()
    assert len(submissions(home)) == 1
    # A second file of the same name does not push the first one out.
    inbox.take(home, drop(home, "mine.csv", rows.with_columns(pl.lit("NOBODY").alias("security_id"))))
    assert len(list((inbox.inbox_folder(home) / "refused").glob("mine*.csv"))) == 2
