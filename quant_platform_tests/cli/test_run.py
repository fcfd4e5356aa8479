"""Making: jobs, their options, and how they end when a spec, a disk or a person stops them."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
import sqlalchemy

from quant_platform.cli import paragraph
from quant_platform.defs import runs
from quant_platform_tests.cli.commands import QUANT, Command, is_one_paragraph
from quant_platform_tests.homes import Market, copied, declare, edit, entered, files, harm, versions


def test_a_step_without_its_inputs_names_the_job_that_makes_them(own: Path, quant: Command) -> None:
    shutil.rmtree(own / "lake" / "replay" / "qualified")
    ended = quant("run", "weekly_report", "--from", "2019-12-30", "--in-process")
    is_one_paragraph(ended, "run_failed")
    assert "none of the partitions of replay.qualified that this step reads has been made" in ended.plain
    assert "`quant run weekly_cross_section`" in ended.plain
    assert "partition=2018-01-01 partition=2018-01-08" in ended.plain


def test_run_knows_its_jobs_and_partitions(own: Path, quant: Command) -> None:
    before = files(own / "lake")
    unknown = quant("run", "weekly_replai")
    is_one_paragraph(unknown, "unknown_job")
    assert "weekly_replay" in unknown.plain
    missing = quant("run", "weekly_replay", "--from", "SIM0O1")
    is_one_paragraph(missing, "partition_missing")
    assert "did you mean 'SIM0" in missing.plain
    turned = quant("run", "weekly_replay", "--from", "SIM005", "--to", "SIM001")
    is_one_paragraph(turned, "partition_missing")
    assert "turn them round: --from SIM001 --to SIM005" in turned.plain
    resumed = quant("run", "weekly_replay", "--resume", "0b6c1f9e")
    is_one_paragraph(resumed, "run_failed")
    assert "there is no run '0b6c1f9e' to resume" in resumed.plain
    assert quant("run", "everything", "--from", "SIM001").code == 2
    assert files(own / "lake") == before


def test_up_says_that_its_port_is_taken(own: Path, quant: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = quant("up", "--port", taken.getsockname()[1])
    is_one_paragraph(ended, "settings_invalid")
    assert "choose another with --port" in ended.plain


def test_run_makes_one_partition_and_says_so(own: Path, quant: Command) -> None:
    before = files(own / "lake")
    arguments = ("run", "weekly_replay", "--from", "SIM001", "--to", "SIM001", "--refresh", "--in-process")
    ended = quant(*arguments)
    assert ended.code == 0, ended.err
    assert "weekly_replay: 1 partitions" in ended.out
    added = set(files(own / "lake")) - set(before)
    assert [path.split("/")[:3] for path in added] == [["replay", "candidates", "ticker=SIM001"]]
    assert (own / "quant.duckdb").is_file()


BAD_SPECS: list[tuple[str, str, str, tuple[str, ...]]] = [
    ("activation.yaml", "min_rr: 1.2", "min_rrr: 1.2", ("min_rrr", "did you mean 'min_rr'", "activation.yaml:2")),
    ("features/equity.yaml", "lag(close,21)/lag(close,252)", "lag(close,-21)/lag(close,252)", ("-21",)),
    ("features/equity.yaml", "lag(close,21)/lag(close,252)", "lead(close,21)", ("lead",)),
    ("cleaning/equity.yaml", "max_power: 3", "max_power: three", ("max_power", "three")),
    ("schedules.yaml", "freshness_days: 4", "freshness_days: [4", ("schedules.yaml",)),
]


@pytest.mark.parametrize(("file", "good", "bad", "said"), BAD_SPECS, ids=[row[2] for row in BAD_SPECS])
def test_a_bad_spec_stops_a_run_before_it_starts(
    file: str, good: str, bad: str, said: tuple[str, ...], own: Path, quant: Command
) -> None:
    path = Path(os.environ["QUANT_SPECS"]) / file
    text = path.read_text(encoding="utf-8")
    assert text.count(good) == 1
    path.write_text(text.replace(good, bad), encoding="utf-8")
    before = files(own)
    ended = quant("run", "everything")
    assert ended.code == 1
    is_one_paragraph(ended, ended.err.split(":")[0])
    assert ended.err.startswith(("spec_invalid", "expression_invalid"))
    for word in (file, *said):
        assert word in ended.plain
    assert files(own) == before
    found = quant("doctor")
    assert found.code == 3
    assert file in found.out


def test_debug_shows_the_traceback(own: Path, quant: Command) -> None:
    path = Path(os.environ["QUANT_SPECS"]) / "activation.yaml"
    path.write_text("min_rr: nothing\n", encoding="utf-8")
    with pytest.raises(ValueError, match="activation"):
        quant("--debug", "run", "everything")


def test_a_database_of_runs_that_cannot_be_written_is_said_as_what_it_is(tmp_path: Path) -> None:
    """SQLite's refusal under SQLAlchemy, itself the cause of another error: a database that is only to be read."""
    sqlite3.connect(tmp_path / "runs.db").close()
    engine = sqlalchemy.create_engine(f"sqlite:///file:{tmp_path / 'runs.db'}?mode=ro&uri=true")
    with engine.connect() as connection, pytest.raises(sqlalchemy.exc.OperationalError) as refused:
        connection.execute(sqlalchemy.text("create table runs (id integer)"))
    failed = RuntimeError("the run could not be made")
    failed.__cause__ = refused.value
    said = paragraph(failed)
    assert said.startswith("storage_failed: the history of runs cannot be read or written")
    assert "SQLite: attempt to write a readonly database" in said
    assert "next: free space, correct the permissions" in said
    # What no database has to do with is still said to be unexpected.
    assert paragraph(RuntimeError("other")).startswith("unexpected: RuntimeError: other")


def test_a_bug_ends_in_one_line(own: Path, quant: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def burst(*_: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr("quant_platform.cli.lake.check", burst)
    ended = quant("lake", "check")
    assert ended.code == 1
    assert (
        ended.err == "unexpected: ZeroDivisionError: division by zero; `quant --debug ...` shows where it comes from\n"
    )
    with pytest.raises(ZeroDivisionError):
        quant("--debug", "lake", "check")


@pytest.mark.long
def test_a_full_disk_is_one_clear_error_and_the_old_versions_stand(market: Market, tmp_path: Path) -> None:
    home = copied(market.home.settings.home, tmp_path / "home")
    before = files(home / "lake")
    command = ["run", "weekly_replay", "--refresh", "--in-process", "--from", "SIM000", "--to", "SIM001"]

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = subprocess.run(
        [*QUANT, *command],
        env=os.environ | {"QUANT_HOME": str(home), "QUANT_SPECS": str(market.specs)},
        capture_output=True,
        text=True,
        preexec_fn=small_files,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) < 15
    assert {name: what for name, what in files(home / "lake").items() if name in before} == before
    with entered(home, market.specs) as opened:
        assert harm(opened.lake) == []


@pytest.mark.long
def test_an_interrupt_ends_the_run_and_says_so(market: Market, tmp_path: Path) -> None:
    home = tmp_path / "home"
    declare(home, market.specs)
    environment = os.environ | {"QUANT_HOME": str(home), "QUANT_SPECS": str(market.specs)}
    command = [*QUANT, "run", "ticker_graph", "--in-process"]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while len(list(home.glob("lake/raw/*/*/*.parquet"))) < 6:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    shown, said = process.communicate(timeout=60)
    assert process.returncode == 130, shown + said
    assert said.startswith("interrupted: what was written is whole")
    assert "Traceback" not in said
    with entered(home, market.specs) as opened:
        assert harm(opened.lake) == []


def test_what_a_changed_spec_makes_stale(own: Path, quant: Command) -> None:
    specs = Path(os.environ["QUANT_SPECS"])
    before = quant("run", "--changed", "--dry-run")
    assert before.code == 0
    # What the market of the session never made is named; everything else is of today, code and specs.
    untouched = [line for line in before.out.splitlines() if "partitions)" in line and "was never made" not in line]
    assert untouched == []
    edit(specs / "setups" / "equity.yaml", lambda spec: spec.update(minimum_rr=spec["minimum_rr"] + 0.1))
    planned = quant("run", "--changed", "--dry-run").out
    why = dict(line.rsplit(" (", 1) for line in planned.splitlines() if "partitions)" in line)
    assert why["replay.candidates"].endswith("partitions): setups/equity.yaml changed")
    assert "setups/equity.yaml changed" in why["replay.activation_sweep"]
    assert "raw.equity_bars, raw.corporate_actions" not in why
    assert "features.equity" not in why
    assert "replay.qualified" in why
    assert why["replay.qualified"].endswith("reads replay.candidates")


def test_one_table_of_a_job_is_made_alone(own: Path) -> None:
    tables = ("raw.equity_bars", "features.equity", "replay.candidates")
    with entered(own, Path(os.environ["QUANT_SPECS"])) as home, runs.instance_of(home) as instance:
        runs.register_tickers(home, instance)
        keys = runs.partition_range(home, instance, "ticker_graph", None, "SIM002")
        before = versions(home, *tables)
        launch = runs.Launch("ticker_graph", keys, ("features.equity",))
        runs.execute(launch, instance, in_process=True, refresh=True)
        after = versions(home, *tables)
    assert {key for key in before if before[key] != after[key]} == {("features.equity", key) for key in keys}


def test_changed_is_about_the_whole_graph(own: Path, quant: Command) -> None:
    ended = quant("run", "securities", "--changed")
    assert ended.code == 2
    assert "whole graph" in ended.err
