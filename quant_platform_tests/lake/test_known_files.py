"""What is remembered of files is what opening them would say, and a file that is not what it was is opened again."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from quant_platform.contracts.errors import CorruptFile
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
    known_files.note_written(path, record, frame.schema)
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
    known: known_files._Known[int] = known_files._Known(lambda path: read.append(path.name) or 0, 2)
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.touch()
        known.note(path, 1)
    assert [known.get(path) for path in reversed(paths)] == [1, 1, 0]
    assert read == ["a"]
