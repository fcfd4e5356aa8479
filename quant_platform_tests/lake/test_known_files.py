"""What is remembered of files is what opening them would say, and a file that is not what it was is opened again."""

from __future__ import annotations

import os
import pickle
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from quant_platform.contracts.errors import CorruptFile, SchemaViolation
from quant_platform.contracts.tables import TABLES
from quant_platform.lake import Lake, Provenance, known_files
from quant_platform.lake.partition_files import encode, write_version
from quant_platform.lake.provenance import FileRecord, read_record

MADE = Provenance(asset="test", code_version="1", ontology_hash="o", inputs={"a/b": "c"})


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are opened."""
    opened: list[Path] = []
    read = known_files.read_footer

    def noted(path: Path) -> dict[str, str]:
        opened.append(path)
        return read(path)

    monkeypatch.setattr(known_files, "read_footer", noted)
    return opened


@pytest.mark.parametrize("name", sorted(TABLES))
def test_what_is_remembered_of_a_written_file_is_what_its_footer_says(name: str, tmp_path: Path) -> None:
    table = TABLES[name]
    frame = table.schema.create_empty()
    record = FileRecord(name, None, 0, "hash", datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), MADE)
    path, _ = write_version(tmp_path / name, encode(frame, record))
    known_files.note_written(path, record, frame)
    assert known_files.record_of(path) == read_record(path)
    assert dict(known_files.types_of(path)) == dict(pl.read_parquet_schema(path))


def test_a_written_file_is_not_opened_and_a_changed_one_is(tmp_path: Path, closed: list[Path]) -> None:
    lake = Lake(tmp_path / "lake")
    frame = TABLES["suite.dates"].schema.create_empty()
    version = lake.write("suite.dates", None, frame, MADE)
    assert lake.read("suite.dates").equals(frame)
    assert lake.current("suite.dates", None) == version
    assert closed == []
    known_files.types_of(version.path)
    os.utime(version.path, ns=(1, 1))
    known_files.types_of(version.path)
    assert closed == [version.path]
    with version.path.open("r+b") as stream:
        stream.truncate(100)
    with pytest.raises(CorruptFile):
        known_files.types_of(version.path)
    with pytest.raises(CorruptFile):
        lake.current("suite.dates", None)
    version.path.unlink()
    with pytest.raises(CorruptFile):
        known_files.record_of(version.path)


def test_only_the_last_files_are_remembered(tmp_path: Path) -> None:
    read: list[str] = []

    def opened(path: Path) -> int:
        read.append(path.name)
        return 1

    known: known_files._Known[int] = known_files._Known(2)
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.touch()
        known.note(path, 5)
    assert [known.get(path, opened) for path in reversed(paths)] == [5, 5, 1]
    assert read == ["a"]


def test_the_newest_are_kept_while_they_weigh_no_more_than_allowed(tmp_path: Path) -> None:
    known: known_files._Known[str] = known_files._Known(10, len)
    paths = {name: tmp_path / name for name in "abcd"}
    for path in paths.values():
        path.touch()
    known.note(paths["a"], "four")
    known.note(paths["b"], "four")
    known.note(paths["a"], "2.")
    # 4 + 2 + 4 are ten: all three stay. One more sends the oldest away, and the one that was noted again is not it.
    known.note(paths["c"], "four")
    assert [known.find(paths[name]) for name in "abc"] == ["2.", "four", "four"]
    known.note(paths["d"], "1")
    assert [known.find(paths[name]) for name in "abcd"] == ["2.", None, "four", "1"]


@pytest.fixture
def bars() -> pl.DataFrame:
    """Two sessions of one ticker, out of order."""
    empty = TABLES["suite.dates"].schema.create_empty()
    days = [date(2024, 1, 3), date(2024, 1, 2)]
    return pl.DataFrame(
        {name: days if dtype == pl.Date else [1, 0] for name, dtype in empty.schema.items()},
        schema_overrides=dict(empty.schema),
        strict=False,
    )


def test_rows_that_this_process_wrote_are_those_of_the_file(tmp_path: Path, bars: pl.DataFrame) -> None:
    lake = Lake(tmp_path / "lake")
    version = lake.write("suite.dates", None, bars, MADE)
    known = lake.read("suite.dates")
    file = pl.read_parquet(version.path)
    assert known.equals(file)
    assert known.schema == file.schema
    assert lake.read("suite.dates", opened=True).equals(file)
    some = file.columns[:1]
    assert lake.read("suite.dates", columns=some).equals(file.select(some))
    assert lake.scan("suite.dates", columns=some).collect().equals(file.select(some))
    with pytest.raises(SchemaViolation, match="no column 'dat'"):
        lake.read("suite.dates", columns=["dat"])


def test_a_file_that_is_not_what_was_written_is_opened(tmp_path: Path, bars: pl.DataFrame) -> None:
    lake = Lake(tmp_path / "lake")
    version = lake.write("suite.dates", None, bars, MADE)
    # Somebody puts another file in its place.
    other = pl.read_parquet(version.path).head(1)
    version.path.write_bytes(encode(other, read_record(version.path)))
    assert lake.read("suite.dates").equals(other)
    with version.path.open("r+b") as stream:
        stream.truncate(100)
    with pytest.raises(CorruptFile):
        lake.read("suite.dates")


def test_who_judges_the_disk_does_not_read_from_memory(tmp_path: Path, bars: pl.DataFrame) -> None:
    lake = Lake(tmp_path / "lake")
    version = lake.write("suite.dates", None, bars, MADE)
    # Damage that neither the size nor the time of change shows.
    state = version.path.stat()
    content = bytearray(version.path.read_bytes())
    content[4:60] = bytes(56)
    version.path.write_bytes(content)
    os.utime(version.path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert lake.read("suite.dates").height == 2
    with pytest.raises(CorruptFile):
        lake.read("suite.dates", opened=True)


def test_a_caller_cannot_change_what_is_remembered(tmp_path: Path, bars: pl.DataFrame) -> None:
    lake = Lake(tmp_path / "lake")
    lake.write("suite.dates", None, bars, MADE)
    first = lake.read("suite.dates")
    expected = first.clone()
    first.insert_column(0, pl.Series("added", [1, 2]))
    first.drop_in_place(expected.columns[0])
    assert lake.read("suite.dates").equals(expected)


def test_large_frames_are_not_kept(tmp_path: Path, bars: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_files, "_LARGE", 1)
    lake = Lake(tmp_path / "lake")
    version = lake.write("suite.dates", None, bars, MADE)
    assert known_files.rows_of(version.path) is None
    assert lake.read("suite.dates").height == 2


def test_what_one_process_knows_another_need_not_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: list[Path]
) -> None:
    lake = Lake(tmp_path / "lake")
    frames = {name: TABLES[name].schema.create_empty() for name in ("suite.dates", "raw.securities")}
    paths = {name: lake.write(name, None, frame, MADE).path for name, frame in frames.items()}
    told = pickle.loads(pickle.dumps(known_files.known()))
    monkeypatch.setattr(known_files, "_TYPES", known_files._Known(65_536))
    known_files.note_told(told)
    for name, path in paths.items():
        assert dict(known_files.types_of(path)) == dict(frames[name].schema)
    assert closed == []
