"""The event log keeps Dagster's tables, whoever writes, and every event once."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
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


def test_what_the_tables_look_like_is_asked_once_and_a_later_migration_is_seen(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    assert isinstance(storage, PooledSqliteEventLogStorage)
    assert not storage.has_secondary_index("made_up")
    storage.enable_secondary_index("made_up")
    asked = [(storage.has_secondary_index, "made_up"), (storage.has_asset_key_col, "cached_status_data")]
    assert all(has(name) for has, name in asked)
    storage.index_connection = None
    assert all(has(name) for has, name in asked)
    with pytest.raises(TypeError):
        storage.has_asset_key_col("made_up")


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
    files = folder / "history" / "runs"
    before = SqliteEventLogStorage(base_dir=str(files))
    runs = [f"run{number}" for number in range(OPEN_FILES + 5)]
    for run in runs:
        before.store_event(_said(run, f"hello from {run}"))
    storage = PooledSqliteEventLogStorage(base_dir=str(files))
    # Homes made before have a file per run: they are read where they are.
    assert [[entry.user_message for entry in storage.get_logs_for_run(run)] for run in runs] == [
        [f"hello from {run}"] for run in runs
    ]
    assert len(storage._opened) == OPEN_FILES
    storage.dispose()
    assert storage._opened == {}


def test_events_of_every_kind_over_all_runs_are_found_once(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    for run in ("first", "second"):
        storage.store_event(_said(run, run, "STEP_START"))
    found = storage.get_event_records(dg.EventRecordsFilter(dg.DagsterEventType.STEP_START), ascending=True)
    assert [record.event_log_entry.run_id for record in found] == ["first", "second"]
    storage.delete_events("first")
    assert storage.get_logs_for_run("first") == []
    assert [entry.user_message for entry in storage.get_logs_for_run("second")] == ["second"]


def test_whoever_watches_a_run_hears_of_each_event_once(instance: dg.DagsterInstance) -> None:
    storage, heard = instance.event_log_storage, list[str]()
    ready = threading.Event()

    def hear(entry: dg.EventLogEntry, _: str) -> None:
        heard.append(entry.user_message)
        if len(heard) == 3:
            ready.set()

    storage.store_event(_said("run", "one"))
    storage.watch("run", None, hear)
    storage.store_event(_said("other", "not this"))
    for text in ("two", "three"):
        storage.store_event(_said("run", text))
    assert ready.wait(30)
    storage.end_watch("run", hear)
    assert heard == ["one", "two", "three"]


def test_an_asset_is_forgotten_and_the_log_of_its_run_stays(finished: str, instance: dg.DagsterInstance) -> None:
    before = len(instance.all_logs(finished))
    instance.wipe_assets([KEY])
    assert instance.get_materialized_partitions(KEY) == set()
    assert len(instance.all_logs(finished)) == before


def _said(run: str, text: str, kind: str | None = None) -> dg.EventLogEntry:
    event = dg.DagsterEvent(kind, "a_job") if kind else None
    return dg.EventLogEntry(
        error_info=None, level=20, user_message=text, run_id=run, timestamp=time.time(), dagster_event=event
    )


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


def test_a_run_over_partitions_is_stored_once(finished: str, instance: dg.DagsterInstance, folder: Path) -> None:
    files = folder / "history" / "runs"
    assert [path.name for path in files.glob("*.db")] == ["index.db"]
    records = instance.fetch_materializations(KEY, limit=10).records
    said = {one.partition_key: one.asset_materialization.metadata for one in records if one.asset_materialization}
    assert {key: found["dagster/partition_row_count"].value for key, found in said.items()} == ROWS
    assert {record.event_log_entry.step_key for record in records} == {"raw__equity_bars"}
    # The events of the run: none is missing and none is there twice.
    kinds = [entry.dagster_event.event_type_value for entry in instance.all_logs(finished) if entry.dagster_event]
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


def test_the_pages_of_a_new_file_hold_five_events_and_an_old_file_keeps_its_own(folder: Path) -> None:
    old = folder / "old" / "index.db"
    old.parent.mkdir()
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("create table kept (one integer)")
    for place in (folder / "new", old.parent):
        PooledSqliteEventLogStorage(str(place)).dispose()
    assert _rows(folder / "new" / "index.db", "pragma page_size") == [(8_192,)]
    assert _rows(old, "pragma page_size") == [(4_096,)]


def test_an_event_keeps_its_sentence_and_the_end_of_a_step_its_handle(
    finished: str, instance: dg.DagsterInstance
) -> None:
    entries = instance.all_logs(finished)
    assert all(entry.message for entry in entries)
    # A run that goes on where this one failed would ask them which steps are done.
    done = [entry for entry in entries if entry.dagster_event_type == dg.DagsterEventType.STEP_SUCCESS]
    assert {entry.step_key for entry in done} == {str(entry.get_dagster_event().step_handle.to_key()) for entry in done}
