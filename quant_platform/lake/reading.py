"""One lazy scan over an exact list of partition files, whose columns may differ."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import groupby
from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import CorruptFile, SchemaViolation
from quant_platform.contracts.tables import Table
from quant_platform.lake import known_files
from quant_platform.lake.known_files import Types
from quant_platform.lake.provenance import read_footer
from quant_platform.lake.validation import declared_types


class TypesOfFiles:
    """Columns and types per file, read once: a version never changes."""

    def __init__(self) -> None:
        self._known: dict[Path, Types] = {}

    def __call__(self, path: Path) -> Types:
        """Return the columns of a file; raises CorruptFile where it cannot be read."""
        if path not in self._known:
            self._known[path] = types_of_file(path)
        return self._known[path]


def types_of_file(path: Path) -> Types:
    """Return the columns of a Parquet file and their types, in file order; raises CorruptFile.

    A file is opened once by a process, and again when it is not what it was.
    """
    try:
        return known_files.types_of(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(path, error) from error


def scan_files(
    table: Table, files: Sequence[Path], types_of: TypesOfFiles, columns: Sequence[str] | None
) -> pl.LazyFrame:
    """Scan files as one table, rows in the order of the files.

    Parameters
    ----------
    table
        Declares columns and types of the result.
    files
        The exact files; empty gives an empty frame.
    types_of
        Remembers the columns of each file.
    columns
        Columns wanted, in this order; None for the declared columns and then every open column any of the files has.

    Returns
    -------
    polars.LazyFrame
        A column that a file does not have is null there; a file of an earlier schema is cast to the declared types.

    Raises
    ------
    SchemaViolation
        For a column that is neither declared nor in any of the files.
    """
    declared = declared_types(table)
    types = dict(declared)
    if table.open_columns:
        for path in files:
            types.update({name: dtype for name, dtype in types_of(path).items() if name not in types})
    wanted = list(types) if columns is None else list(columns)
    types = {name: _type_of(table, name, types, bool(files)) for name in wanted}
    if not files:
        return pl.LazyFrame(schema=types)
    runs = [
        _scan_alike(list(alike), types, types_of)
        for _, alike in groupby(files, key=lambda path: _differing_types(types_of(path), types))
    ]
    return runs[0] if len(runs) == 1 else pl.concat(runs, how="vertical")


def remembered(table: Table, files: Sequence[Path], columns: Sequence[str] | None) -> pl.DataFrame | None:
    """What `scan_files` and `collect_files` read, where this process wrote every one of the files and has their rows.

    Returns
    -------
    polars.DataFrame or None
        None where a file has to be opened: this process does not have its rows, it is not as it was written, or the
        columns of the files differ from each other or from what is declared now.
    """
    frames = [rows for path in files if (rows := known_files.rows_of(path)) is not None]
    if not frames or len(frames) < len(files):
        return None
    types = frames[0].schema
    if any(types.get(name) != dtype for name, dtype in declared_types(table).items()):
        return None
    if any(frame.schema != types for frame in frames[1:]) or not set(columns or ()) <= set(types):
        return None
    whole = frames[0].clone() if len(frames) == 1 else pl.concat(frames, how="vertical")
    return whole if columns is None else whole[list(columns)]


def collect_files(frame: pl.LazyFrame, files: Sequence[Path]) -> pl.DataFrame:
    """Collect a scan.

    Raises
    ------
    CorruptFile
        With the file at fault, where one cannot be read.
    SchemaViolation
        Where a file of an earlier schema cannot be read with the declared types.
    """
    try:
        return frame.collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        for path in files:
            read_footer(path)
            try:
                pl.scan_parquet(path, glob=False, hive_partitioning=False).collect()
            except (pl.exceptions.PolarsError, OSError) as cause:
                raise _unreadable(path, cause) from cause
        raise SchemaViolation(
            "the files cannot be read with the declared types",
            where=", ".join(str(path.parent) for path in files[:1]),
            how_many=f"{len(files)} files",
            cause=str(error).splitlines()[0],
            action="the schema has changed since they were written: materialise the table again",
        ) from error


def _scan_alike(files: list[Path], types: Types, types_of: TypesOfFiles) -> pl.LazyFrame:
    stored = {name: dtype for name, dtype in types_of(files[0]).items() if name in types}
    schema = {name: stored.get(name, dtype) for name, dtype in types.items()}
    scan = pl.scan_parquet(
        files, glob=False, hive_partitioning=False, schema=schema, missing_columns="insert", extra_columns="ignore"
    )
    casts = [pl.col(name).cast(dtype) for name, dtype in types.items() if schema[name] != dtype]
    return scan.with_columns(casts).select(list(types)) if casts else scan.select(list(types))


def _differing_types(stored: Types, types: Types) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(stored[name])) for name in types if name in stored and stored[name] != types[name])


def _type_of(table: Table, name: str, types: Types, has_files: bool) -> pl.DataType:
    if name in types:
        return types[name]
    if table.open_columns and not has_files:
        return pl.Float64()
    close = get_close_matches(name, types, n=1)
    raise SchemaViolation(
        f"there is no column {name!r}",
        where=table.name,
        action=f"did you mean {close[0]!r}?" if close else f"choose from: {', '.join(types)}",
    )


def _unreadable(path: Path, error: Exception) -> CorruptFile:
    return CorruptFile(
        "the partition file could not be read",
        where=str(path),
        cause=str(error).splitlines()[0],
        action="run `quant lake check`; restore the file from a backup or materialise the partition again",
    )
