"""What differs between two partitions of a table, or two snapshots: rows that came or went, cells that changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import CorruptFile
from quant_platform.contracts.tables import Table
from quant_platform.lake.keys import Key
from quant_platform.lake.lake import Lake
from quant_platform.lake.manifest import Snapshot, SnapshotFile, file_path

CELL_COLUMNS = ("column", "first", "second", "difference")
_SECOND = ":second"


@dataclass(frozen=True)
class Difference:
    """Two versions of the same thing, side by side.

    Attributes
    ----------
    only_first, only_second
        Rows whose key the other one does not have.
    changed
        Rows of both of which at least one cell differs.
    same
        Rows of both that are equal.
    cells
        One row for each cell that differs: the columns of the key as text, then ``column``, ``first`` and ``second`` as
        text, and ``difference``, second minus first, null where a cell is no number.
    """

    only_first: int
    only_second: int
    changed: int
    same: int
    cells: pl.DataFrame


def compare_frames(first: pl.DataFrame, second: pl.DataFrame, keys: Sequence[str]) -> Difference:
    """Match rows by their key and compare every other column.

    Parameters
    ----------
    first, second
        Frames in which the key is unique. A column that one of them lacks is compared as missing.
    keys
        Columns that identify a row; with none, rows are matched by their place.

    Notes
    -----
    **Missing values.** Null equals null and NaN equals NaN; null and NaN differ. Numbers are compared exactly.
    """
    matched = list(keys) or ["row"]
    if not keys:
        first, second = (frame.with_row_index("row") for frame in (first, second))
    both = first.join(second, on=matched, how="inner", suffix=_SECOND, nulls_equal=True)
    values = [name for name in dict.fromkeys([*first.columns, *second.columns]) if name not in matched]
    cells, changed = [], pl.Series("changed", [False] * both.height, dtype=pl.Boolean)
    for name in values:
        one = both[name] if name in first.columns else pl.Series(name, [None] * both.height, dtype=second.schema[name])
        other_name = f"{name}{_SECOND}" if name in first.columns else name
        other = both[other_name] if name in second.columns else pl.Series(name, [None] * both.height, dtype=one.dtype)
        if one.dtype != other.dtype:
            one, other = _as_text(one), _as_text(other)
        if one.dtype == pl.Null:
            continue
        differs = one.ne_missing(other)
        changed = changed | differs
        if differs.any():
            cells.append(_cells(both.filter(differs), matched, name, one.filter(differs), other.filter(differs)))
    empty = pl.DataFrame(schema={**dict.fromkeys([*matched, *CELL_COLUMNS[:3]], pl.String), "difference": pl.Float64})
    many = int(changed.sum())
    return Difference(
        first.height - both.height,
        second.height - both.height,
        many,
        both.height - many,
        pl.concat([empty, *cells]),
    )


def _cells(rows: pl.DataFrame, keys: Sequence[str], name: str, one: pl.Series, other: pl.Series) -> pl.DataFrame:
    numbers = one.dtype.is_numeric() and other.dtype.is_numeric()
    gap = (
        (other.cast(pl.Float64) - one.cast(pl.Float64))
        if numbers
        else pl.Series([None] * rows.height, dtype=pl.Float64)
    )
    return pl.DataFrame(
        [
            *(_as_text(rows[key]) for key in keys),
            pl.Series("column", [name] * rows.height, dtype=pl.String),
            _as_text(one).alias("first"),
            _as_text(other).alias("second"),
            gap.alias("difference"),
        ]
    )


def _as_text(values: pl.Series) -> pl.Series:
    return pl.Series(values.name, [None if value is None else str(value) for value in values], dtype=pl.String)


def compare_partitions(lake: Lake, table: Table, first: Key, second: Key) -> Difference:
    """Compare two partitions of a table row by row; the column of the partition itself is not compared.

    Raises
    ------
    PartitionMissing
        When there is no such partition.
    """
    own = {table.key_column(dimension) for dimension in table.dimensions}
    one, other = (lake.read(table.name, [key]).drop(own, strict=False) for key in (first, second))
    return compare_frames(one, other, [name for name in table.primary_key if name not in own])


def compare_snapshots(lake: Lake, first: Snapshot, second: Snapshot) -> dict[str, Difference]:
    """Compare two snapshots table by table; a partition whose content is the same in both is not read.

    Returns
    -------
    dict
        Every table that one of them holds.

    Raises
    ------
    CorruptFile
        When a file that a snapshot names is gone or cannot be read.
    """
    names = dict.fromkeys([table.name for snapshot in (first, second) for table in snapshot.tables])
    return {name: _compare_tables(lake, name, _files(first, name), _files(second, name)) for name in names}


def _files(snapshot: Snapshot, name: str) -> dict[str | None, SnapshotFile]:
    return {file.key: file for table in snapshot.tables if table.name == name for file in table.files}


def _compare_tables(
    lake: Lake, name: str, first: dict[str | None, SnapshotFile], second: dict[str | None, SnapshotFile]
) -> Difference:
    keys = lake.table(name).primary_key
    found = []
    same = 0
    for key in dict.fromkeys([*first, *second]):
        one, other = first.get(key), second.get(key)
        if one is not None and other is not None and one.content_hash == other.content_hash:
            same += one.rows
        elif one is not None and other is not None:
            found.append(compare_frames(_frame(file_path(lake, one)), _frame(file_path(lake, other)), keys))
        else:
            found.append(Difference(one.rows if one else 0, other.rows if other else 0, 0, 0, pl.DataFrame()))
    cells = [difference.cells for difference in found if difference.cells.width]
    return Difference(
        sum(difference.only_first for difference in found),
        sum(difference.only_second for difference in found),
        sum(difference.changed for difference in found),
        same + sum(difference.same for difference in found),
        pl.concat(cells) if cells else pl.DataFrame(),
    )


def _frame(path: Path) -> pl.DataFrame:
    try:
        return pl.scan_parquet(path, glob=False, hive_partitioning=False).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise CorruptFile(
            "a file that the snapshot names cannot be read",
            where=str(path),
            cause=str(error).splitlines()[0],
            action="`quant snapshot verify` names every such file",
        ) from error
