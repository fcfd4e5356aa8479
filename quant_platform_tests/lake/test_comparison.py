"""What differs between two partitions or snapshots, against differences put there by hand."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest

from quant_platform.contracts.errors import CorruptFile, PartitionMissing
from quant_platform.lake import Lake, snapshots
from quant_platform.lake.comparison import compare_frames, compare_partitions, compare_snapshots
from quant_platform_tests.lake.frames import BARS, bars, provenance


def test_rows_that_came_went_changed_and_stayed() -> None:
    first = pl.DataFrame({"k": ["a", "b", "c", "d"], "x": [1.0, 2.0, math.nan, None], "t": ["p", "q", "r", "s"]})
    second = pl.DataFrame({"k": ["b", "c", "d", "e"], "x": [2.5, math.nan, None, 4.0], "t": ["q", "R", "s", "u"]})
    found = compare_frames(first, second, ["k"])
    assert (found.only_first, found.only_second, found.changed, found.same) == (1, 1, 2, 1)
    assert found.cells.rows() == [("b", "x", "2.0", "2.5", 0.5), ("c", "t", "r", "R", None)]


def test_a_missing_value_is_not_nan() -> None:
    found = compare_frames(pl.DataFrame({"k": [1], "x": [None]}), pl.DataFrame({"k": [1], "x": [math.nan]}), ["k"])
    assert found.cells.rows() == [("1", "x", None, "nan", None)]


def test_a_column_that_one_side_lacks_is_missing_there() -> None:
    found = compare_frames(pl.DataFrame({"k": [1], "x": [2]}), pl.DataFrame({"k": [1], "y": [3]}), ["k"])
    assert sorted(found.cells.rows()) == [("1", "x", "2", None, None), ("1", "y", None, "3", None)]


def test_rows_without_a_key_are_matched_by_their_place() -> None:
    found = compare_frames(pl.DataFrame({"x": [1, 2]}), pl.DataFrame({"x": [1, 3]}), [])
    assert (found.changed, found.same) == (1, 1)
    assert found.cells.rows() == [("1", "x", "2", "3", 1.0)]


def test_nothing_is_compared_with_nothing() -> None:
    empty = pl.DataFrame(schema={"k": pl.String, "x": pl.Float64})
    found = compare_frames(empty, empty, ["k"])
    assert (found.only_first, found.only_second, found.changed, found.same) == (0, 0, 0, 0)
    assert found.cells.height == 0


def test_two_partitions_are_compared_without_their_own_column(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.write_many(BARS, {"A": bars("A", [1.0, 2.0, 3.0]), "B": bars("B", [1.0, 2.5])}, provenance())
    found = compare_partitions(lake, lake.table(BARS), "A", "B")
    assert (found.only_first, found.only_second, found.changed, found.same) == (1, 0, 1, 1)
    assert ("close", "2.0", "2.5", 0.5) in [row[-4:] for row in found.cells.rows()]
    assert "ticker" not in found.cells.columns
    with pytest.raises(PartitionMissing):
        compare_partitions(lake, lake.table(BARS), "A", "C")


def test_two_snapshots_are_compared_by_what_they_froze(tmp_path: Path) -> None:
    lake, folder = Lake(tmp_path / "lake"), tmp_path / "snapshots"
    lake.write_many(BARS, {"A": bars("A", [1.0, 2.0]), "B": bars("B", [5.0])}, provenance())
    before = snapshots.create(lake, folder, "US")
    lake.write(BARS, "A", bars("A", [1.0, 2.5]), provenance())
    lake.write(BARS, "C", bars("C", [7.0, 8.0]), provenance())
    after = snapshots.create(lake, folder, "US")
    found = compare_snapshots(lake, before, after)[BARS]
    assert (found.only_first, found.only_second, found.changed, found.same) == (0, 2, 1, 2)
    assert ("A", "close", "2.0", "2.5", 0.5) in [(row[0], *row[-4:]) for row in found.cells.rows()]
    for path in (tmp_path / "lake").rglob("*.parquet"):
        path.unlink()
    with pytest.raises(CorruptFile, match="snapshot verify"):
        compare_snapshots(lake, before, after)
