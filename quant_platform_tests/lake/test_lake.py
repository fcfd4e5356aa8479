from __future__ import annotations

import datetime as dt
import errno
import json
import os
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from quant_platform.contracts.errors import (
    CorruptFile,
    PartitionKeyInvalid,
    PartitionMissing,
    SchemaViolation,
    StorageFailed,
    UnknownTable,
)
from quant_platform.lake import Lake, partition_files
from quant_platform.lake.content_hash import content_hash
from quant_platform_tests.lake.frames import BARS, FEATURES, SECURITIES, bars, features, provenance, securities
from quant_platform_tests.lake.objects import on_every_store


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@on_every_store
def test_write_and_read_back(lake: Lake) -> None:
    frame = bars("A", [1.0, 2.0])
    version = lake.write(BARS, "A", frame.reverse(), provenance())
    assert version.path.parent == lake.root / "clean" / "equity_bars" / "ticker=A"
    assert version.path.name == f"{version.name}.parquet"
    assert (version.table, version.key, version.rows) == (BARS, "A", 2)
    assert_frame_equal(lake.read(BARS, ["A"]), frame)
    assert_frame_equal(lake.read(BARS), frame)
    assert lake.current(BARS, "A") == version
    assert lake.versions(BARS, "A") == [version]
    assert lake.provenance(version) == provenance()


@on_every_store
def test_the_footer_says_where_the_file_came_from(lake: Lake) -> None:
    version = lake.write(BARS, "A", bars("A", [1.0, 2.0]), provenance("7", **{"raw.equity_bars/A": "v1"}))
    metadata = pq.read_metadata(version.path)
    record = json.loads(metadata.metadata[b"quant_platform"])
    created_at = record.pop("created_at")
    assert record == {
        "table": "clean.equity_bars",
        "partition": "A",
        "rows": 2,
        "content_hash": content_hash(bars("A", [1.0, 2.0])),
        "asset": "an_asset",
        "code_version": "7",
        "ontology_hash": "onto",
        "ontology_files": {"cleaning/equity.yaml": "abc"},
        "run_id": "run-1",
        "inputs": {"raw.equity_bars/A": "v1"},
        "simulated": True,
        "extra": {"note": "x"},
    }
    assert abs(dt.datetime.fromisoformat(created_at) - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)
    assert metadata.row_group(0).column(0).compression == "ZSTD"


def test_a_new_version_leaves_the_old_file_alone(lake: Lake) -> None:
    old = lake.write(BARS, "A", bars("A", [1.0]), provenance())
    before = (old.path.read_bytes(), old.path.stat().st_mtime_ns)
    new = lake.write(BARS, "A", bars("A", [2.0]), provenance())
    assert (old.path.read_bytes(), old.path.stat().st_mtime_ns) == before
    assert lake.versions(BARS, "A") == [old, new]
    assert lake.current(BARS, "A") == new
    assert lake.read(BARS)["close"].to_list() == [2.0]
    assert files_below(lake.root) == sorted([old.path, new.path])


@on_every_store
def test_versions_stay_ordered_when_the_clock_steps_back(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    noon = dt.datetime(2026, 2, 5, 12, tzinfo=dt.UTC)
    for i, hours in enumerate((0, -24, -24, 0, -1)):
        monkeypatch.setattr(partition_files, "utc_now", lambda h=hours: noon + dt.timedelta(hours=h))
        names.append(lake.write(BARS, "A", bars("A", [float(i)]), provenance()).name)
        assert lake.read(BARS)["close"].to_list() == [float(i)]
    assert names == sorted(set(names))
    assert [name.split("-")[0] for name in names[:2]] == ["20260205T120000000000Z", "20260205T120000000001Z"]


@on_every_store
def test_an_empty_frame_replaces_the_rows_of_before(lake: Lake) -> None:
    lake.write(BARS, "A", bars("A", [1.0]), provenance())
    version = lake.write(BARS, "A", bars("A", []), provenance())
    assert version.rows == 0
    assert lake.read(BARS).height == 0
    assert lake.read(BARS, ["A"]).schema == bars("A", []).schema
    assert lake.partitions(BARS) == ["A"]


def test_nothing_is_written_when_the_rows_are_bad(lake: Lake) -> None:
    with pytest.raises(SchemaViolation):
        lake.write(BARS, "A", bars("B", [1.0]), provenance())
    with pytest.raises(SchemaViolation):
        lake.write_many(BARS, {"A": bars("A", [1.0]), "B": bars("A", [1.0])}, provenance())
    with pytest.raises(PartitionKeyInvalid):
        lake.write_many(BARS, {"A": bars("A", [1.0]), "..": bars("..", [1.0])}, provenance())
    assert not lake.root.exists()


@on_every_store
def test_of_many_partitions_the_broken_one_is_named_and_none_is_written(lake: Lake) -> None:
    frames = {f"T{place:02d}": bars(f"T{place:02d}", [1.0, 2.0]) for place in range(20)}
    twice = pl.concat([frames["T07"], frames["T07"]])
    with pytest.raises(SchemaViolation, match="partition 'T07'"):
        lake.write_many(BARS, {**frames, "T07": twice}, provenance())
    assert lake.partitions(BARS) == []


def test_many_partitions_are_written_as_each_alone_would_be(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quant_platform.lake.lake.FILES_PREPARED", 3)
    # Rows that are not in order, and partitions without any, among the others.
    frames = {f"T{place:02d}": bars(f"T{place:02d}", [1.0, 2.0, 3.0][: place % 4])[::-1] for place in range(20)}
    together = lake.write_many(BARS, frames, provenance())
    alone = [lake.write(BARS, key, frame, provenance()) for key, frame in frames.items()]
    assert [one.key for one in together] == list(frames)
    assert [(one.key, one.content_hash, one.rows) for one in together] == [
        (one.key, one.content_hash, one.rows) for one in alone
    ]


def test_partitions_and_reading_what_is_not_there(lake: Lake) -> None:
    assert lake.partitions(BARS) == []
    assert lake.read(BARS).schema == bars("A", []).schema
    assert lake.current(BARS, "A") is None
    assert lake.versions(BARS, "A") == []
    lake.write_many(BARS, {"B": bars("B", [2.0]), "A": bars("A", [1.0])}, provenance())
    assert lake.partitions(BARS) == ["A", "B"]
    with pytest.raises(PartitionMissing, match=r"'X', 'Y'(.|\n)*2 of 3 partitions"):
        lake.read(BARS, ["A", "X", "Y"])
    assert lake.read(BARS, ["B", "X"], missing="ignore")["ticker"].to_list() == ["B"]
    assert lake.read(BARS, []).height == 0
    assert lake.read(BARS, "B")["ticker"].to_list() == ["B"]
    assert lake.read(BARS, ["B", "A", "B"])["ticker"].to_list() == ["A", "B"]
    with pytest.raises(UnknownTable, match=r"did you mean 'clean\.equity_bars'"):
        lake.read("clean.equity_bar")


@on_every_store
def test_a_folder_without_a_version_is_not_a_partition(lake: Lake) -> None:
    folder = lake.partition_folder(BARS, "A")
    folder.mkdir(parents=True)
    (folder / ".writing-1-aa").write_bytes(b"half")
    (folder / "notes.parquet").write_bytes(b"x")
    assert lake.partitions(BARS) == []
    with pytest.raises(PartitionMissing):
        lake.read(BARS, ["A"])


@on_every_store
def test_columns(lake: Lake) -> None:
    lake.write(BARS, "A", bars("A", [1.0]), provenance())
    assert lake.read(BARS, columns=["close", "ticker"]).columns == ["close", "ticker"]
    assert lake.scan(BARS, columns=["close"]).filter(pl.col("close") > 0).collect().height == 1
    with pytest.raises(SchemaViolation, match=r"no column 'closed'(.|\n)*did you mean 'close'"):
        lake.read(BARS, columns=["closed"])


@on_every_store
def test_several_dimensions_and_none(lake: Lake) -> None:
    table = "test.symbol_months"
    for key in (("BTC/USDT", "2020-02"), ("BTC/USDT", "2020-01"), ("A", "2020-01")):
        frame = pl.DataFrame({"symbol": [key[0]], "month": [key[1]], "value": [1.0]})
        version = lake.write(table, key, frame, provenance())
        assert version.key == key
    assert lake.partitions(table) == [("A", "2020-01"), ("BTC/USDT", "2020-01"), ("BTC/USDT", "2020-02")]
    assert (lake.root / "test" / "symbol_months" / "symbol=BTC%2FUSDT" / "month=2020-01").is_dir()
    assert lake.read(table, [("BTC/USDT", "2020-02")])["month"].to_list() == ["2020-02"]
    lake.write(SECURITIES, None, securities("B", "A"), provenance())
    assert lake.partitions(SECURITIES) == [None]
    assert lake.read(SECURITIES)["ticker"].to_list() == ["A", "B"]
    assert lake.read(SECURITIES, [None])["ticker"].to_list() == ["A", "B"]


@on_every_store
def test_columns_added_later_are_null_in_older_files(lake: Lake) -> None:
    lake.write(FEATURES, "A", features("A", 1, momentum=1.0), provenance())
    lake.write(FEATURES, "B", features("B", 1, size=2.0, momentum=3.0), provenance())
    lake.write(FEATURES, "C", features("C", 1), provenance())
    expected = pl.DataFrame({"ticker": ["A", "B", "C"], "momentum": [1.0, 3.0, None], "size": [None, 2.0, None]})
    assert_frame_equal(lake.read(FEATURES).drop("session"), expected)
    assert lake.read(FEATURES, ["C"]).columns == ["ticker", "session"]
    assert lake.read(FEATURES, columns=["size"])["size"].to_list() == [None, 2.0, None]
    with pytest.raises(SchemaViolation, match="no column 'sized'"):
        lake.read(FEATURES, columns=["sized"])
    assert Lake(lake.root.parent / "other").read(FEATURES, columns=["size"]).schema == {"size": pl.Float64}


@on_every_store
def test_files_of_an_earlier_schema_are_read_with_the_declared_types(lake: Lake) -> None:
    lake.write(BARS, "A", bars("A", [1.0]), provenance())
    lake.write(BARS, "C", bars("C", [3.0]), provenance())
    version = lake.write(BARS, "B", bars("B", [2.0]), provenance())
    footer = pl.read_parquet_metadata(version.path)
    # As a schema of before may have had it: other categories, a narrower number, a column less.
    earlier = (
        bars("B", [2.0])
        .with_columns(pl.Series("missing_reason", ["halt"], dtype=pl.Enum(["halt"])), pl.col("volume").cast(pl.Float32))
        .drop("high")
    )
    earlier.write_parquet(version.path, metadata={"quant_platform": footer["quant_platform"]})
    frame = Lake(lake.root).read(BARS)
    assert frame.schema == bars("A", []).schema
    assert frame["ticker"].to_list() == ["A", "B", "C"]
    assert frame["missing_reason"].to_list() == [None, "halt", None]
    assert frame["high"].to_list() == [1.0, None, 3.0]


@on_every_store
def test_a_value_that_the_schema_no_longer_knows_is_an_error(lake: Lake) -> None:
    version = lake.write(BARS, "B", bars("B", [2.0]), provenance())
    gone = pl.Series("missing_reason", ["moon"], dtype=pl.Enum(["moon"]))
    bars("B", [2.0]).with_columns(gone).write_parquet(version.path)
    with pytest.raises(SchemaViolation, match="cannot be read with the declared types"):
        lake.read(BARS)


@on_every_store
def test_lists_and_nulls_come_back(lake: Lake) -> None:
    frame = pl.DataFrame({"name": ["a", "b"], "tags": [["x", "y"], []], "flag": [None, True]})
    lake.write("test.tags", None, frame, provenance())
    assert_frame_equal(lake.read("test.tags"), frame)


@on_every_store
def test_write_many_writes_what_write_writes(lake: Lake) -> None:
    frames = {f"T{i:03d}": bars(f"T{i:03d}", [float(i)] * 5) for i in range(50)}
    versions = lake.write_many(BARS, frames, provenance())
    assert [version.key for version in versions] == list(frames)
    assert_frame_equal(lake.read(BARS), pl.concat(frames.values()))
    one = lake.write(BARS, "T007", frames["T007"], provenance())
    assert one.content_hash == versions[7].content_hash
    assert lake.write_many(BARS, {}, provenance()) == []


@on_every_store
def test_is_current(lake: Lake) -> None:
    inputs = {"raw.equity_bars/A": "v1"}
    assert not lake.is_current(BARS, "A", "1", "onto", inputs)
    lake.write(BARS, "A", bars("A", [1.0]), provenance("1", **inputs))
    assert lake.is_current(BARS, "A", "1", "onto", inputs)
    assert not lake.is_current(BARS, "A", "2", "onto", inputs)
    assert not lake.is_current(BARS, "A", "1", "other", inputs)
    assert not lake.is_current(BARS, "A", "1", "onto", {"raw.equity_bars/A": "v2"})
    assert not lake.is_current(BARS, "A", "1", "onto", {})


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_a_full_or_closed_disk_leaves_the_old_version(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    old = lake.write(BARS, "A", bars("A", [1.0]), provenance())

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        if call == "rename":
            patch.setattr(Path, "rename", refuse)
        else:
            patch.setattr(partition_files.os, call, refuse)
        with pytest.raises(StorageFailed) as caught:
            lake.write(BARS, "A", bars("A", [2.0]), provenance())
        with pytest.raises(StorageFailed):
            lake.write_many(BARS, {"A": bars("A", [2.0]), "B": bars("B", [2.0])}, provenance())
    assert os.strerror(code) in caught.value.cause
    assert files_below(lake.root) == [old.path]
    assert lake.read(BARS)["close"].to_list() == [1.0]


def test_content_is_on_the_disk_before_it_has_its_name(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def seen_fsync(handle: int) -> None:
        target = Path(f"/proc/self/fd/{handle}").readlink()
        steps.append(f"flush {'file' if target.is_file() else target.relative_to(lake.root.parent.parent)}")
        fsync(handle)

    def seen_rename(path: Path, target: Path) -> Path:
        steps.append(f"rename {path.name.split('-')[0]} to {target.suffix}")
        return rename(path, target)

    monkeypatch.setattr(partition_files.os, "fsync", seen_fsync)
    monkeypatch.setattr(Path, "rename", seen_rename)
    once = ["flush file", "rename .writing to .parquet", "flush home/lake/clean/equity_bars/ticker=A"]
    parents = ["flush home/lake/clean/equity_bars", "flush home/lake/clean", "flush home/lake", "flush home"]
    lake.write(BARS, "A", bars("A", [1.0]), provenance())
    assert steps == once + parents, "a new folder is flushed up to the one that holds the lake"
    steps.clear()
    lake.write(BARS, "A", bars("A", [1.0]), provenance())
    assert steps == once
    steps.clear()
    lake.write_many(BARS, {"B": bars("B", [1.0]), "C": bars("C", [1.0])}, provenance())
    assert steps[-4:] == parents
    assert len(steps) == 2 * len(once) + len(parents), "parents are flushed once for all"


def test_a_disk_that_fills_in_the_middle_of_a_file(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.write, []

    def write_a_little(handle: int, content: memoryview) -> int:
        calls.append(len(content))
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle, content[:100])

    with monkeypatch.context() as patch:
        patch.setattr(partition_files.os, "write", write_a_little)
        with pytest.raises(StorageFailed, match="No space left on device"):
            lake.write(BARS, "A", bars("A", [2.0]), provenance())
    assert calls[0] - calls[2] == 200
    assert files_below(lake.root) == []


def test_a_folder_that_cannot_be_flushed_does_not_leave_a_doubtful_version(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = lake.write(BARS, "A", bars("A", [1.0]), provenance())

    def refuse(_: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(partition_files, "flush_folder", refuse)
        with pytest.raises(StorageFailed):
            lake.write(BARS, "A", bars("A", [2.0]), provenance())
    assert lake.versions(BARS, "A") == [old]


def test_something_in_the_way_is_a_storage_failure(lake: Lake) -> None:
    lake.root.mkdir(parents=True)
    (lake.root / "clean").write_text("a file")
    with pytest.raises(StorageFailed, match="clean"):
        lake.write(BARS, "A", bars("A", [1.0]), provenance())


@on_every_store
@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_torn_file_is_named(lake: Lake, keep: float) -> None:
    lake.write(BARS, "A", bars("A", [1.0] * 500), provenance())
    version = lake.write(BARS, "B", bars("B", [1.0] * 500), provenance())
    content = version.path.read_bytes()
    version.path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    with pytest.raises(CorruptFile, match="ticker=B"):
        lake.read(BARS)
    with pytest.raises(CorruptFile, match="ticker=B"):
        lake.current(BARS, "B")
    assert lake.read(BARS, ["A"]).height == 500
    assert lake.is_current(BARS, "A", "1", "onto", {})
    assert not lake.is_current(BARS, "B", "1", "onto", {}), "a torn version is made again"
    lake.write(BARS, "B", bars("B", [1.0]), provenance())
    assert lake.read(BARS).height == 501


@on_every_store
def test_a_damaged_page_is_named(lake: Lake) -> None:
    lake.write(BARS, "A", bars("A", [1.0] * 500), provenance())
    version = lake.write(BARS, "B", bars("B", [float(i) for i in range(500)]), provenance())
    content = bytearray(version.path.read_bytes())
    content[4:200] = b"\xff" * 196
    version.path.write_bytes(bytes(content))
    with pytest.raises(CorruptFile, match="ticker=B"):
        lake.read(BARS)


@on_every_store
def test_a_foreign_file_under_a_version_name_is_named(lake: Lake) -> None:
    version = lake.write(BARS, "A", bars("A", [1.0]), provenance())
    bars("A", [1.0]).write_parquet(version.path)
    with pytest.raises(CorruptFile, match="no record of this platform"):
        lake.current(BARS, "A")


@pytest.mark.parametrize("name", ["it's [x]*?", "ünï cødé", "a=b"])
def test_any_folder_name_holds_a_lake(tmp_path: Path, name: str) -> None:
    lake = Lake(tmp_path / name / "lake")
    lake.write_many(BARS, {"A": bars("A", [1.0]), "*": bars("*", [2.0])}, provenance())
    assert lake.read(BARS)["close"].to_list() == [2.0, 1.0]
    assert lake.read(BARS, ["A"])["ticker"].to_list() == ["A"]


def test_a_stage_sees_each_folder_as_it_was_and_what_it_writes_itself(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.write_many(BARS, {"A": bars("A", [1.0]), "B": bars("B", [1.0])}, provenance())
    asked: list[Path] = []
    names_in = partition_files.names_in
    monkeypatch.setattr(partition_files, "names_in", lambda folder: asked.append(folder) or names_in(folder))
    other = Lake(lake.root)
    with lake.listed([BARS]):
        first = lake.version_name(BARS, "A")
        other.write(BARS, "A", bars("A", [2.0]), provenance())
        asked.clear()
        assert lake.version_name(BARS, "A") == first, "what is noted as an input"
        assert lake.read(BARS, ["A"])["close"].to_list() == [1.0], "is what is read"
        assert lake.partition_folder(BARS, "A") not in asked
        own, new = (lake.write(BARS, key, bars(key, [3.0]), provenance()) for key in ("B", "C"))
        assert lake.version_name(BARS, "B") == own.name
        assert lake.partitions(BARS) == ["A", "B", "C"]
        assert [version.name for version in lake.versions(BARS, "C")] == [new.name], "seen once, not twice"
    assert lake.read(BARS, ["A"])["close"].to_list() == [2.0]
