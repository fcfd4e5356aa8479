"""The event log keeps Dagster's format, whoever writes and however many files are open."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from quant_platform.defs.event_storage import OPEN_FILES, PooledSqliteEventLogStorage

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
