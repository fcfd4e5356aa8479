from __future__ import annotations

import datetime as dt
import errno
import hashlib
import json
import os
from pathlib import Path

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from quant_platform.contracts.errors import PartitionMissing, SnapshotInvalid, StorageFailed
from quant_platform.lake import DataCatalog, Lake, partition_files, snapshots
from quant_platform.lake.locks import exclusive
from quant_platform.lake.manifest import SnapshotFile, file_path
from quant_platform_tests.lake.frames import BARS, FEATURES, SECURITIES, bars, features, provenance, securities
from quant_platform_tests.lake.objects import Place, on_every_store

RAW = "raw.corporate_actions"


@pytest.fixture
def home(place: Place) -> Path:
    return place.home


@pytest.fixture
def full(home: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setattr(partition_files, "utc_now", lambda: dt.datetime(2026, 2, 5, 12, tzinfo=dt.UTC))
    lake = Lake(home / "lake")
    lake.write_many(BARS, {"A": bars("A", [1.0, 2.0]), "B": bars("B", [3.0])}, provenance())
    lake.write(BARS, "C", bars("C", []), provenance())
    lake.write(SECURITIES, None, securities("A", "B"), provenance())
    lake.write(FEATURES, "A", features("A", 1, momentum=1.0), provenance())
    return lake


@on_every_store
def test_the_manifest_says_what_is_in_it(full: Lake, home: Path) -> None:
    made = snapshots.create(full, home / "snapshots", "US")
    manifest = json.loads((home / "snapshots" / "2026-02-05-US-v1" / "manifest.json").read_text())
    assert manifest["snapshot_id"] == made.snapshot_id == "2026-02-05-US-v1"
    assert manifest["region"] == "US"
    assert manifest["created_at"] == "2026-02-05T12:00:00+00:00"
    assert manifest["simulated"] is True
    assert [table["name"] for table in manifest["tables"]] == [SECURITIES, BARS, FEATURES]
    table = manifest["tables"][1]
    assert (table["rows"], table["date_column"], table["securities"]) == (3, "session", 2)
    assert (table["date_from"], table["date_to"]) == ("2020-01-06", "2020-01-07")
    assert table["columns"] == bars("A", []).columns
    assert manifest["tables"][2]["columns"] == ["ticker", "session", "momentum"]
    for file, key, rows in zip(table["files"], "ABC", (2, 1, 0), strict=True):
        version = full.current(BARS, key)
        assert version is not None
        content = version.path.read_bytes()
        assert file == {
            "key": key,
            "path": f"clean/equity_bars/ticker={key}/{version.path.name}",
            "rows": rows,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "content_hash": version.content_hash,
        }


@on_every_store
def test_equal_data_has_equal_hashes_and_new_raw_data_another_source_hash(full: Lake, home: Path) -> None:
    first = snapshots.create(full, home / "snapshots", "US", tables=[BARS])
    full.write(BARS, "A", bars("A", [1.0, 2.0]), provenance("2"))
    second = snapshots.create(full, home / "snapshots", "US", tables=[BARS])
    assert (first.snapshot_id, second.snapshot_id) == ("2026-02-05-US-v1", "2026-02-05-US-v2")
    assert first.table(BARS).sha256 == second.table(BARS).sha256
    assert first.source_hash == second.source_hash
    full.write(BARS, "A", bars("A", [1.0, 9.0]), provenance())
    full.write(SECURITIES, None, securities("A"), provenance())
    third = snapshots.create(full, home / "snapshots", "US", tables=[BARS])
    assert third.table(BARS).sha256 != first.table(BARS).sha256
    assert third.source_hash != first.source_hash


@on_every_store
def test_a_snapshot_never_changes(full: Lake, home: Path) -> None:
    folder = home / "snapshots"
    made = snapshots.create(full, folder, "US", snapshot_id="2026-01-01-US-v7")
    before = (folder / made.snapshot_id / "manifest.json").read_bytes()
    full.write(BARS, "A", bars("A", [9.0]), provenance())
    with pytest.raises(SnapshotInvalid, match=r"'2026-01-01-US-v7' exists(.|\n)*use the next number"):
        snapshots.create(full, folder, "US", snapshot_id="2026-01-01-US-v7")
    assert (folder / made.snapshot_id / "manifest.json").read_bytes() == before
    assert sorted(path.name for path in (folder / made.snapshot_id).iterdir()) == ["manifest.json"]
    assert DataCatalog("2026-01-01-US-v7", "US", home).read(BARS, ["A"])["close"].to_list() == [1.0, 2.0]


MALFORMED = ("2026-02-05-US", "2026-2-5-US-v1", "2026-02-30-US-v1", "2026-02-05-us-v1", "../x", "", "2026-02-05-US-v0")


@on_every_store
@pytest.mark.parametrize("snapshot_id", MALFORMED)
def test_malformed_ids(full: Lake, home: Path, snapshot_id: str) -> None:
    if snapshot_id:
        with pytest.raises(SnapshotInvalid, match="YYYY-MM-DD-REGION-vN"):
            snapshots.create(full, home / "snapshots", "US", snapshot_id=snapshot_id)
    with pytest.raises(SnapshotInvalid, match="YYYY-MM-DD-REGION-vN"):
        DataCatalog(snapshot_id, "US", home)


@on_every_store
def test_what_cannot_be_a_snapshot(full: Lake, home: Path, tmp_path: Path) -> None:
    with pytest.raises(SnapshotInvalid, match="not of region 'EU'"):
        snapshots.create(full, home / "snapshots", "EU", snapshot_id="2026-02-05-US-v1")
    with pytest.raises(SnapshotInvalid, match="nothing to snapshot"):
        snapshots.create(Lake(tmp_path / "empty" / "lake"), tmp_path / "empty" / "snapshots", "US")
    with pytest.raises(SnapshotInvalid, match="there is no snapshot '2020-01-01-US-v1'"):
        DataCatalog("2020-01-01-US-v1", "US", home)
    assert snapshots.list_snapshots(home / "snapshots") == []


@on_every_store
def test_a_damaged_file_is_not_vouched_for(full: Lake, home: Path) -> None:
    version = full.current(BARS, "B")
    assert version is not None
    record = pl.read_parquet_metadata(version.path)["quant_platform"]
    bars("B", [4.0]).write_parquet(version.path, metadata={"quant_platform": record})
    with pytest.raises(SnapshotInvalid, match=r"the content is not what was written(.|\n)*ticker=B"):
        snapshots.create(full, home / "snapshots", "US")


@on_every_store
def test_snapshots_are_listed_in_order(full: Lake, home: Path) -> None:
    for number in (10, 2, 9):
        snapshots.create(full, home / "snapshots", "US", snapshot_id=f"2026-02-05-US-v{number}", tables=[BARS])
    (home / "snapshots" / "2026-02-05-US-v11").mkdir()
    found = [each.snapshot_id for each in snapshots.list_snapshots(home / "snapshots")]
    assert found == ["2026-02-05-US-v2", "2026-02-05-US-v9", "2026-02-05-US-v10"]
    assert snapshots.create(full, home / "snapshots", "US", tables=[BARS]).snapshot_id == "2026-02-05-US-v11"


def test_verify_hashes_again(full: Lake, home: Path) -> None:
    made = snapshots.create(full, home / "snapshots", "US")
    assert snapshots.verify(full, home / "snapshots", made.snapshot_id) == []
    a, b = (full.root / file.path for file in made.table(BARS).files[:2])
    content = bytearray(a.read_bytes())
    content[20] ^= 1
    a.write_bytes(bytes(content))
    b.unlink()
    findings = snapshots.verify(full, home / "snapshots", made.snapshot_id)
    assert [(finding.kind, finding.path) for finding in findings] == [("hash", a), ("missing", b)]
    assert "2026-02-05-US-v1" in findings[0].message


def test_an_edited_manifest_is_not_trusted(full: Lake, home: Path) -> None:
    made = snapshots.create(full, home / "snapshots", "US")
    path = home / "snapshots" / made.snapshot_id / "manifest.json"
    assert path.stat().st_mode & 0o222 == 0
    content = path.read_text()
    path.chmod(0o644)
    for edited in (content.replace('"rows": 3', '"rows": 4'), content[:-20], "[]", "{}"):
        assert edited != content
        path.write_text(edited)
        with pytest.raises(SnapshotInvalid, match="the manifest is not what was written"):
            DataCatalog(made.snapshot_id, "US", home)
    other = home / "snapshots" / "2026-02-06-US-v1"
    other.mkdir()
    (other / "manifest.json").write_text(content)
    with pytest.raises(SnapshotInvalid, match="the manifest is not what was written"):
        DataCatalog("2026-02-06-US-v1", "US", home)


@on_every_store
def test_the_catalog_is_the_only_door(full: Lake, home: Path) -> None:
    made = snapshots.create(full, home / "snapshots", "US", tables=[BARS, FEATURES])
    before = full.read(BARS)
    full.write(BARS, "A", bars("A", [9.0]), provenance())
    full.write(BARS, "D", bars("D", [9.0]), provenance())
    full.write(FEATURES, "B", features("B", 1, later=1.0), provenance())
    catalog = DataCatalog(made.snapshot_id, "US", home)
    assert (catalog.snapshot_id, catalog.region, catalog.simulated) == (made.snapshot_id, "US", True)
    assert catalog.tables == [BARS, FEATURES]
    assert catalog.partitions(BARS) == ["A", "B", "C"]
    assert_frame_equal(catalog.read(BARS), before)
    assert catalog.read(BARS, ["B"], ["close"]).to_dict(as_series=False) == {"close": [3.0]}
    assert catalog.read(FEATURES).columns == ["ticker", "session", "momentum"]
    with pytest.raises(PartitionMissing, match=r"does not hold 'D'"):
        catalog.read(BARS, ["A", "D"])
    assert catalog.read(BARS, ["B", "D"], missing="ignore").height == 1
    with pytest.raises(SnapshotInvalid, match=r"does not hold 'raw\.securities'"):
        catalog.read(SECURITIES)
    with catalog.connect() as connection:
        assert connection.execute("SELECT sum(close) FROM clean.equity_bars").fetchall() == [(6.0,)]
        assert connection.execute("SELECT count(*) FROM lake.partitions").fetchall() == [(4,)]
        with pytest.raises(duckdb.CatalogException):
            connection.execute("SELECT * FROM raw.securities")
    with pytest.raises(SnapshotInvalid, match="of region 'US', 'EU' was asked for"):
        DataCatalog(made.snapshot_id, "EU", home)


def test_a_file_that_went_is_not_read_around(full: Lake, home: Path) -> None:
    made = snapshots.create(full, home / "snapshots", "US")
    path = full.root / made.table(BARS).files[1].path
    content = path.read_bytes()
    catalog = DataCatalog(made.snapshot_id, "US", home)
    path.write_bytes(content[:-1])
    with pytest.raises(SnapshotInvalid, match=f"{len(content) - 1} of {len(content)} bytes"):
        catalog.read(BARS)
    path.unlink()
    with pytest.raises(SnapshotInvalid, match=r"gone(.|\n)*quant snapshot verify 2026-02-05-US-v1"):
        catalog.read(BARS)


@on_every_store
def test_an_export_needs_nothing_else(full: Lake, home: Path, tmp_path: Path) -> None:
    made = snapshots.create(full, home / "snapshots", "US", tables=[BARS, SECURITIES])
    full.write(BARS, "A", bars("A", [9.0]), provenance())
    target = tmp_path / "out" / "copy"
    assert snapshots.export(full, home / "snapshots", made.snapshot_id, target) == target
    moved = tmp_path / "moved"
    target.rename(moved)
    home.rename(tmp_path / "gone")
    catalog = DataCatalog(made.snapshot_id, "US", moved)
    assert catalog.read(BARS)["close"].to_list() == [1.0, 2.0, 3.0]
    assert snapshots.verify(Lake(moved / "lake"), moved / "snapshots", made.snapshot_id) == []
    alone = tmp_path / "alone.duckdb"
    (moved / "quant.duckdb").rename(alone)
    with duckdb.connect(str(alone), read_only=True) as connection:
        closes = connection.execute("SELECT close FROM clean.equity_bars ORDER BY 1").fetchall()
        assert closes == [(1.0,), (2.0,), (3.0,)]
        assert connection.execute("SELECT count(*) FROM raw.securities").fetchall() == [(2,)]
        (path,) = connection.execute("SELECT path FROM lake.partitions WHERE key = 'B'").fetchone() or ("",)
        (comment,) = connection.execute(
            "SELECT comment FROM duckdb_tables() WHERE table_name = 'equity_bars'"
        ).fetchone() or ("",)
        assert str(comment).startswith("SIMULATED. One row per exchange session")
    assert (moved / path).is_file()


@on_every_store
def test_an_export_is_whole_or_not_there(
    full: Lake, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = snapshots.create(full, home / "snapshots", "US")
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(SnapshotInvalid, match="exists"):
        snapshots.export(full, home / "snapshots", made.snapshot_id, folder)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(snapshots.shutil, "copyfile", refuse)
        with pytest.raises(StorageFailed):
            snapshots.export(full, home / "snapshots", made.snapshot_id, folder / "a")
    path = full.root / made.table(BARS).files[0].path
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(SnapshotInvalid, match="is not what 2026-02-05-US-v1 has recorded"):
        snapshots.export(full, home / "snapshots", made.snapshot_id, folder / "b")
    assert list(folder.iterdir()) == []


@on_every_store
def test_what_a_killed_export_left_goes_with_the_next_and_one_under_way_stays(
    full: Lake, home: Path, tmp_path: Path
) -> None:
    made = snapshots.create(full, home / "snapshots", "US")
    folder = tmp_path / "out"
    killed, living = folder / ".copy.copying-0123", folder / ".copy.copying-4567"
    other = folder / ".else.copying-89ab"
    for left in (killed, living, other):
        left.mkdir(parents=True)
        (left / "part").write_text("half")
        left.with_name(f"{left.name}.alive").touch()
    with exclusive(living.with_name(f"{living.name}.alive"), wait=True):
        snapshots.export(full, home / "snapshots", made.snapshot_id, folder / "copy")
    left = {path.name for path in folder.iterdir()} - {f"{living.name}.alive"}
    assert left == {"copy", living.name, other.name, f"{other.name}.alive"}
    copied = Lake(folder / "copy" / "lake", full.tables)
    assert snapshots.verify(copied, folder / "copy" / "snapshots", made.snapshot_id) == []


@on_every_store
def test_a_path_that_leaves_the_lake_is_refused(full: Lake, home: Path) -> None:
    for path in ("../secret", "/etc/passwd", "a/../../b"):
        with pytest.raises(SnapshotInvalid, match="leaves the lake"):
            file_path(full, SnapshotFile("A", path, 1, 1, "", ""))
