from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from quant_platform.lake import Finding, Lake, check
from quant_platform.lake.content_hash import content_hash
from quant_platform_tests.lake.frames import BARS, FEATURES, SECURITIES, bars, features, provenance, securities


@pytest.fixture
def sound(lake: Lake) -> Lake:
    lake.write_many(BARS, {"A": bars("A", [1.0, 2.0]), "B": bars("B", [3.0])}, provenance())
    lake.write(BARS, "A", bars("A", [1.5]), provenance())
    lake.write(BARS, "C", bars("C", []), provenance())
    lake.write(FEATURES, "A", features("A", 2, momentum=1.0), provenance())
    lake.write(SECURITIES, None, securities("A"), provenance())
    frame = pl.DataFrame({"symbol": ["A/B"], "month": ["2020-01"], "value": [1.0]})
    lake.write("test.symbol_months", ("A/B", "2020-01"), frame, provenance())
    return lake


def only(lake: Lake) -> Finding:
    (finding,) = check(lake)
    assert finding.action
    return finding


def rewrite(path: Path, frame: pl.DataFrame, **changes: object) -> None:
    """Write other rows under the record of a version, or the record changed."""
    record = json.loads(pl.read_parquet_metadata(path)["quant_platform"])
    frame.write_parquet(path, metadata={"quant_platform": json.dumps({**record, **changes})})


def test_a_sound_lake_has_no_findings(sound: Lake, lake: Lake) -> None:
    assert check(sound) == []


def test_no_lake_has_no_findings(lake: Lake) -> None:
    assert check(lake) == []


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.999])
def test_a_torn_current_version_and_the_way_back(sound: Lake, keep: float) -> None:
    older, current = sound.versions(BARS, "A")
    content = current.path.read_bytes()
    current.path.write_bytes(content[: int(len(content) * keep)])
    finding = only(sound)
    assert (finding.kind, finding.path) == ("torn", current.path)
    assert f"moved away, {older.path.name} is current again" in finding.action
    assert current.path.exists(), "check never deletes"
    current.path.unlink()
    assert check(sound) == []
    assert sound.read(BARS, ["A"])["close"].to_list() == [1.0, 2.0]


def test_a_torn_superseded_version(sound: Lake) -> None:
    older, _ = sound.versions(BARS, "A")
    older.path.write_bytes(older.path.read_bytes()[:-1])
    finding = only(sound)
    assert finding.kind == "torn"
    assert "superseded" in finding.action


def test_other_content_than_was_written(sound: Lake) -> None:
    version = sound.current(BARS, "B")
    assert version is not None
    rewrite(version.path, bars("B", [4.0]))
    assert only(sound).kind == "hash"
    rewrite(version.path, bars("B", [3.0]))
    assert check(sound) == []
    rewrite(version.path, bars("B", [3.0]), rows=2)
    assert only(sound).kind == "hash"


def test_a_version_in_the_folder_of_another_partition(sound: Lake) -> None:
    version = sound.current(BARS, "B")
    assert version is not None
    target = sound.partition_folder(BARS, "A") / "99990101T000000000000Z-00000000.parquet"
    target.write_bytes(version.path.read_bytes())
    finding = only(sound)
    assert (finding.kind, finding.path) == ("misplaced", target)
    assert finding.message == "the file belongs to clean.equity_bars, partition 'B'"


def test_rows_that_break_the_schema(sound: Lake) -> None:
    version = sound.current(BARS, "B")
    assert version is not None
    bad = bars("B", [3.0, 4.0]).with_columns(adjustment_factor=pl.Series([1.0, -1.0]))
    rewrite(version.path, bad, rows=2, content_hash=content_hash(bad))
    finding = only(sound)
    assert finding.kind == "schema"
    assert finding.message == "rows broke rule 'min' of column 'adjustment_factor' for 1 of 2 rows (1 of 2 rows)"


def test_files_of_other_programs(sound: Lake) -> None:
    folder = sound.partition_folder(BARS, "A")
    named_alike = folder / "20000101T000000000000Z-00000000.parquet"
    bars("A", [1.0]).write_parquet(named_alike)
    foreign = {
        sound.root / "notes.txt",
        sound.root / "clean" / "notes.txt",
        sound.root / "clean" / "equity_bars" / "notes.txt",
        folder / "data.parquet",
    }
    for path in foreign:
        path.write_text("x")
    folders = {sound.root / "clean" / "equity_bars" / name for name in ("A", "ticker=a b", "day=2020-01-01")}
    for path in folders:
        path.mkdir()
    (folder / "deeper").mkdir()
    findings = check(sound)
    assert {finding.kind for finding in findings} == {"foreign"}
    assert {finding.path for finding in findings} == foreign | folders | {named_alike, folder / "deeper"}


def test_orphans(sound: Lake) -> None:
    expected = set()
    for name in ("nowhere", "clean/no_table", "clean/equity_bars/ticker=EMPTY"):
        (sound.root / name).mkdir()
        expected.add(sound.root / name)
    (sound.root / "nowhere" / "x.parquet").write_text("x")
    findings = check(sound)
    assert {finding.kind for finding in findings} == {"orphan"}
    assert {finding.path for finding in findings} == expected


def test_temporary_files(sound: Lake) -> None:
    path = sound.partition_folder(BARS, "A") / ".writing-1-aa"
    path.write_bytes(b"half")
    finding = only(sound)
    assert (finding.kind, finding.path) == ("temporary", path)
    assert "vacuum" in finding.action


@pytest.mark.parametrize("linked", ["clean", "clean/equity_bars", "clean/equity_bars/ticker=A", "raw/securities"])
def test_a_link_is_found_wherever_it_leads(sound: Lake, linked: str, tmp_path: Path) -> None:
    """Moved out of the lake and linked to from inside, as somebody short of room would do."""
    folder, outside = sound.root / linked, tmp_path / "elsewhere"
    folder.rename(outside)
    folder.symlink_to(outside)
    finding = only(sound)
    assert (finding.kind, finding.path) == ("foreign", folder)
    assert f"a link to {outside}" in finding.message


def test_a_version_that_is_a_link_is_found_and_not_read(sound: Lake, tmp_path: Path) -> None:
    current = sound.versions(BARS, "B")[-1].path
    outside = tmp_path / "outside.parquet"
    current.rename(outside)
    current.symlink_to(outside)
    outside.write_bytes(b"anything")
    finding = only(sound)
    assert (finding.kind, finding.path) == ("foreign", current)
