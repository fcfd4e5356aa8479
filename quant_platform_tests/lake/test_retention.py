from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path

import pytest

from quant_platform.contracts.errors import SnapshotInvalid
from quant_platform.lake import Lake, build_catalogue, open_catalogue, partition_files, snapshots, vacuum
from quant_platform_tests.lake.frames import BARS, bars, provenance
from quant_platform_tests.lake.objects import on_every_store

DAY = dt.timedelta(days=1)
NOON = dt.datetime(2026, 2, 5, 12, tzinfo=dt.UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> dt.datetime:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(partition_files, "utc_now", found)
    return found


@pytest.fixture
def aged(lake: Lake, clock: Clock) -> list[Path]:
    """Three versions of A, written on three days; the clock stands two hours after the last."""
    paths = []
    for day in range(3):
        clock.now = NOON + day * DAY
        paths.append(lake.write(BARS, "A", bars("A", [float(day)]), provenance()).path)
    clock.now += dt.timedelta(hours=2)
    return paths


@on_every_store
def test_age_counts_from_the_version_that_came_after(lake: Lake, aged: list[Path]) -> None:
    # The first was superseded 26 hours ago, the second 2 hours ago.
    kept = vacuum(lake, 27 * DAY / 24, None)
    assert kept.versions == ()
    report = vacuum(lake, DAY, None)
    assert report.versions == (aged[0],)
    assert [path.exists() for path in aged] == [False, True, True]
    assert vacuum(lake, dt.timedelta(0), None).versions == (aged[1],)
    assert lake.read(BARS)["close"].to_list() == [2.0], "the current version always stays"
    assert vacuum(lake, dt.timedelta(0), None).versions == ()


@on_every_store
def test_a_dry_run_only_says(lake: Lake, aged: list[Path]) -> None:
    size = aged[0].stat().st_size
    report = vacuum(lake, DAY, None, dry_run=True)
    assert (report.versions, report.bytes, report.dry_run) == ((aged[0],), size, True)
    assert all(path.exists() for path in aged)


@on_every_store
def test_what_a_snapshot_names_stays(lake: Lake, clock: Clock) -> None:
    folder = lake.root.parent / "snapshots"
    first = lake.write(BARS, "A", bars("A", [1.0]), provenance()).path
    snapshots.create(lake, folder, "US")
    second = lake.write(BARS, "A", bars("A", [2.0]), provenance()).path
    third = lake.write(BARS, "A", bars("A", [3.0]), provenance()).path
    clock.now += 30 * DAY
    report = vacuum(lake, DAY, folder)
    assert (report.versions, report.named_by_snapshots) == ((second,), 1)
    assert [path.exists() for path in (first, second, third)] == [True, False, True]


@on_every_store
def test_nothing_goes_while_a_manifest_cannot_be_trusted(lake: Lake, aged: list[Path]) -> None:
    folder = lake.root.parent / "snapshots"
    made = snapshots.create(lake, folder, "US")
    path = folder / made.snapshot_id / "manifest.json"
    path.chmod(0o644)
    path.write_text(path.read_text()[:-5])
    with pytest.raises(SnapshotInvalid):
        vacuum(lake, dt.timedelta(0), folder)
    assert all(path.exists() for path in aged)


@on_every_store
def test_the_catalogue_is_built_first(lake: Lake, clock: Clock) -> None:
    catalogue = lake.root.parent / "quant.duckdb"
    lake.write(BARS, "A", bars("A", [1.0]), provenance())
    build_catalogue(lake, catalogue)
    lake.write(BARS, "A", bars("A", [2.0]), provenance())
    clock.now += 2 * DAY
    assert len(vacuum(lake, DAY, None).versions) == 1
    with open_catalogue(catalogue) as connection:
        assert connection.execute("SELECT close FROM clean.equity_bars").fetchall() == [(2.0,)]


def test_a_version_behind_a_damaged_one_stays(lake: Lake, aged: list[Path]) -> None:
    aged[2].write_bytes(aged[2].read_bytes()[:-3])
    report = vacuum(lake, dt.timedelta(0), None)
    assert (report.versions, report.behind_damaged) == ((), 2)
    assert all(path.exists() for path in aged)


@on_every_store
def test_old_temporary_files_go_and_young_ones_stay(lake: Lake, clock: Clock) -> None:
    folder = lake.write(BARS, "A", bars("A", [1.0]), provenance()).path.parent
    old, young, foreign = (folder / name for name in (".writing-1-aa", ".writing-2-bb", "notes.txt"))
    for path in (old, young, foreign):
        path.write_bytes(b"12345")
    for path in (old, foreign):
        os.utime(path, (time.time() - 7200,) * 2)
    report = vacuum(lake, DAY, None, temporary_age=dt.timedelta(hours=1))
    assert (report.temporary, report.bytes) == ((old,), 5)
    assert [path.exists() for path in (old, young, foreign)] == [False, True, True]
    # By default as the specs say, which is longer than an hour.
    os.utime(young, (time.time() - 7200,) * 2)
    assert vacuum(lake, DAY, None).temporary == ()


def test_a_negative_time_is_refused(lake: Lake) -> None:
    with pytest.raises(ValueError, match="keep was -1 day"):
        vacuum(lake, -DAY, None)


@on_every_store
def test_an_empty_lake(lake: Lake) -> None:
    assert vacuum(lake, DAY, lake.root.parent / "snapshots").versions == ()
