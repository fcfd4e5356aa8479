"""Runs and schedules of Dagster in files that stay open: the same tables, opened without reading every migration."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest
from alembic.script import ScriptDirectory
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage

from quant_platform.defs.sqlite_storages import PooledSqliteRunStorage, PooledSqliteScheduleStorage


def added(storage: SqliteRunStorage, number: int) -> str:
    return storage.add_run(dg.DagsterRun(job_name=f"job_{number}")).run_id


def test_runs_are_those_that_dagsters_own_storage_reads_and_the_other_way_round(tmp_path: Path) -> None:
    kept = PooledSqliteRunStorage.from_local(str(tmp_path))
    first = added(kept, 1)
    stock = SqliteRunStorage.from_local(str(tmp_path))
    second = added(stock, 2)
    assert {run.run_id for run in stock.get_runs()} == {run.run_id for run in kept.get_runs()} == {first, second}
    kept.dispose()


def test_a_file_that_is_there_is_opened_without_its_migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for storage in (PooledSqliteRunStorage, PooledSqliteScheduleStorage):
        storage.from_local(str(tmp_path)).dispose()
    monkeypatch.setattr(ScriptDirectory, "__init__", lambda *_, **__: pytest.fail("the migrations were read"))
    runs, schedules = (
        PooledSqliteRunStorage.from_local(str(tmp_path)),
        PooledSqliteScheduleStorage.from_local(str(tmp_path)),
    )
    assert list(runs.get_runs()) == []
    assert schedules.has_instigators_table()
    assert list(schedules.all_instigator_state()) == []
    with pytest.raises(pytest.fail.Exception):
        SqliteScheduleStorage.from_local(str(tmp_path))


def test_what_another_storage_wrote_is_seen_at_once_by_many_threads(tmp_path: Path) -> None:
    one, other = (PooledSqliteRunStorage.from_local(str(tmp_path)) for _ in range(2))
    assert one.get_runs_count() == 0
    with ThreadPoolExecutor(6) as pool:
        ids = set(pool.map(lambda number: added(one if number % 2 else other, number), range(24)))
        counts = set(pool.map(lambda storage: storage.get_runs_count(), [one, other] * 6))
    assert len(ids) == 24
    assert counts == {24}
    for storage in (one, other):
        storage.dispose()
