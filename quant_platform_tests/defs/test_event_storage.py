"""The event log keeps Dagster's format, whoever writes and however many files are open."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from quant_platform.defs.event_storage import OPEN_FILES, PooledSqliteEventLogStorage, batch_events
from quant_platform.defs.metadata import describe_partitions
from quant_platform.defs.schemes import range_tags

KEY = dg.AssetKey(["raw", "equity_bars"])
WRITER = """
import sys, dagster as dg
with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    for number in range(40):
        instance.report_runless_asset_event(
            dg.AssetMaterialization(dg.AssetKey(["raw", "equity_bars"]), partition=f"{sys.argv[2]}{number}")
        )
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = Path(__file__).resolve().parents[2]
    (tmp_path / "dagster.yaml").write_text((root / "dagster.yaml").read_text())
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def instance(folder: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(folder)) as opened:
        yield opened


def _report(instance: dg.DagsterInstance, partition: str) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition=partition))


def test_the_instance_file_asks_for_it_and_keeps_files_under_the_home(
    instance: dg.DagsterInstance, folder: Path
) -> None:
    assert isinstance(instance.event_log_storage, PooledSqliteEventLogStorage)
    _report(instance, "A")
    assert instance.get_materialized_partitions(KEY) == {"A"}
    assert (folder / "history" / "runs" / "index.db").is_file()


def test_dagsters_own_storage_reads_what_was_written(instance: dg.DagsterInstance, folder: Path) -> None:
    _report(instance, "A")
    stock = SqliteEventLogStorage(base_dir=str(folder / "history" / "runs"))
    assert stock.get_materialized_partitions(KEY) == {"A"}


def test_two_processes_write_at_once_and_nothing_is_lost(instance: dg.DagsterInstance, folder: Path) -> None:
    _report(instance, "first")
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(folder), name]) for name in "AB"]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    expected = {f"{name}{number}" for name in "AB" for number in range(40)} | {"first"}
    assert instance.get_materialized_partitions(KEY) == expected


def test_a_long_lived_process_does_not_hold_the_file_of_every_run(folder: Path) -> None:
    storage = PooledSqliteEventLogStorage(base_dir=str(folder / "history" / "runs"))
    for number in range(OPEN_FILES + 5):
        assert storage.get_logs_for_run(f"run{number}") == []
    assert len(storage._opened) == OPEN_FILES
    storage.dispose()
    assert storage._opened == {}


def test_a_result_that_is_not_read_to_its_end_does_not_hide_what_came_later(
    instance: dg.DagsterInstance, folder: Path
) -> None:
    for name in "ABC":
        _report(instance, name)
    storage = instance.event_log_storage
    assert isinstance(storage, PooledSqliteEventLogStorage)
    with storage.index_connection() as connection:
        left_open = connection.exec_driver_sql("select id from event_logs")
        assert left_open.fetchone() is not None
        cursor = left_open.cursor
    subprocess.run([sys.executable, "-c", WRITER, str(folder), "D"], check=True, timeout=120)
    assert "D39" in instance.get_materialized_partitions(KEY)
    assert cursor is not None


WEEKS = ("2024-01-01", "2024-01-08", "2024-01-15")
ROWS = dict(zip(WEEKS, (3, 0, 7), strict=True))


@dg.asset(
    key=KEY,
    partitions_def=dg.WeeklyPartitionsDefinition(start_date=WEEKS[0], day_offset=1),
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def counted(context: dg.AssetExecutionContext) -> None:
    """Three weeks in one run, each with its own number of rows."""
    describe_partitions(context, KEY, {week: {"dagster/partition_row_count": rows} for week, rows in ROWS.items()})


@dg.asset_check(asset=KEY)
def looked_at() -> dg.AssetCheckResult:
    """A check that looks at all weeks of a run at once."""
    return dg.AssetCheckResult(passed=True)


@pytest.fixture
def finished(folder: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a run over three weeks."""
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
    batch_events()
    job = dg.Definitions(
        assets=[counted], asset_checks=[looked_at], jobs=[dg.define_asset_job("weekly", [counted])]
    ).resolve_job_def("weekly")
    result = job.execute_in_process(instance=instance, tags=range_tags(WEEKS))
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE")
    assert result.success
    return str(result.run_id)


def _rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as connection:
        return connection.execute(query).fetchall()


def test_a_run_over_partitions_is_stored_once_and_reads_as_dagsters_own(
    finished: str, instance: dg.DagsterInstance, folder: Path
) -> None:
    files = folder / "history" / "runs"
    stock = SqliteEventLogStorage(base_dir=str(files))
    records = instance.fetch_materializations(KEY, limit=10).records
    said = {one.partition_key: one.asset_materialization.metadata for one in records if one.asset_materialization}
    assert {key: found["dagster/partition_row_count"].value for key, found in said.items()} == ROWS
    assert {record.event_log_entry.step_key for record in records} == {"raw__equity_bars"}
    # The events of the run, read by Dagster's own storage: none is missing and none is there twice.
    kinds = [entry.dagster_event.event_type_value for entry in stock.get_logs_for_run(finished) if entry.dagster_event]
    assert kinds.count("ASSET_MATERIALIZATION") == len(WEEKS)
    assert [kinds.count(f"STEP_{word}") for word in ("START", "SUCCESS")] == [2, 2]
    assert kinds[-1] == "PIPELINE_SUCCESS"
    # Of an event the step is named in the entry and in Dagster's part of it, not in every handle and tag.
    texts = _rows(files / "index.db", "select event from event_logs where dagster_event_type = 'ASSET_MATERIALIZATION'")
    assert {str(text).count('"raw__equity_bars"') for (text,) in texts} == {2}


def test_a_check_over_a_run_is_planned_once_and_its_result_fills_that_row(finished: str, folder: Path) -> None:
    found = _rows(
        folder / "history" / "runs" / "index.db",
        "select check_name, partition, run_id, execution_status from asset_check_executions",
    )
    assert found == [("looked_at", None, finished, "SUCCEEDED")]


def test_the_file_of_a_run_has_what_dagsters_own_would_have(finished: str, folder: Path, tmp_path: Path) -> None:
    stock = SqliteEventLogStorage(base_dir=str(tmp_path / "stock"))
    with stock.run_connection("other"):
        pass
    query = "select type, name, sql from sqlite_master order by type, name"
    own = folder / "history" / "runs" / f"{finished}.db"
    assert _rows(own, query) == _rows(tmp_path / "stock" / "other.db", query)
    version = "select version_num from alembic_version"
    assert _rows(own, version) == _rows(tmp_path / "stock" / "other.db", version)
    assert _rows(own, "pragma journal_mode") == [("wal",)]


def test_runs_that_begin_at_once_in_two_processes_have_one_file_each(folder: Path) -> None:
    files = folder / "history" / "runs"
    first, second = (PooledSqliteEventLogStorage(base_dir=str(files)) for _ in range(2))
    first._copy_empty_file(files / "run.db")
    before = (files / "run.db").stat().st_ino
    second._copy_empty_file(files / "run.db")
    assert (files / "run.db").stat().st_ino == before
    assert [path.name for path in files.glob("*.new")] == []
