"""Look through the whole lake for what should not be there, and say what to do about it. Nothing is ever deleted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from quant_platform.contracts.errors import CorruptFile, FileTooLarge, SchemaViolation
from quant_platform.contracts.limits import require_bounded_parquet
from quant_platform.contracts.tables import Table
from quant_platform.lake.content_hash import content_hash
from quant_platform.lake.keys import Key, key_of_parts, part_of_folder, shown_key
from quant_platform.lake.lake import Lake
from quant_platform.lake.partition_files import TEMPORARY_PREFIX, is_version_name, version_files
from quant_platform.lake.provenance import FileRecord, read_footer, record_of_metadata
from quant_platform.lake.validation import validated

Kind = Literal["foreign", "orphan", "temporary", "torn", "misplaced", "hash", "schema", "missing"]


@dataclass(frozen=True)
class Finding:
    """Something that should not be so.

    Attributes
    ----------
    kind
        ``foreign``: not written by this platform; ``orphan``: belongs to no registered table or holds no version;
        ``temporary``: left by a killed process, or being written right now; ``torn``: cannot be read; ``misplaced``:
        lies in the folder of another partition; ``hash``: other content than was written; ``schema``: rows break the
        schema; ``missing``: a snapshot names a file that is gone.
    path
        The file or folder.
    message
        What is wrong.
    action
        What to do.
    """

    kind: Kind
    path: Path
    message: str
    action: str


def check(lake: Lake) -> list[Finding]:
    """Look through every folder and read every version.

    Parameters
    ----------
    lake
        The lake; other processes may write to it meanwhile.

    Returns
    -------
    list of Finding
        Sorted by path; empty for a sound lake.

    Notes
    -----
    Every version is read and hashed again; only current versions are held against the schema, which may have changed
    since an older one was written. What this does not catch: a version that was removed whole (then the one before is
    current again), and rows that are wrong but valid. `quant_platform.lake.snapshots.verify` catches the former.
    """
    return sorted(_check_root(lake), key=lambda finding: (str(finding.path), finding.kind))


def read_version(path: Path, table: Table, key: Key) -> tuple[FileRecord, pl.DataFrame] | Finding:
    """Read a version whole and hold it against its own record; returns the finding where it is not sound."""
    try:
        footer = read_footer(path)
        require_bounded_parquet(path)
        frame = pl.scan_parquet(path, glob=False, hive_partitioning=False).collect()
    except (CorruptFile, FileTooLarge, pl.exceptions.PolarsError, OSError) as error:
        cause = error.cause if isinstance(error, CorruptFile | FileTooLarge) else str(error).splitlines()[0]
        return Finding("torn", path, f"the file cannot be read: {cause}", _restore(path))
    try:
        record = record_of_metadata(path, footer)
    except CorruptFile as error:
        return Finding("foreign", path, error.what, error.action)
    if (record.table, record.partition) != (table.name, shown_key(key)):
        return Finding(
            "misplaced",
            path,
            f"the file belongs to {record.table}, partition {record.partition!r}",
            "move it to its own partition folder, or out of the lake",
        )
    if record.rows != frame.height or record.content_hash != content_hash(frame):
        return Finding("hash", path, "the content is not what was written", _restore(path))
    return record, frame


def _restore(path: Path) -> str:
    versions = version_files(path.parent)
    if path == versions[-1] and len(versions) > 1:
        return f"restore it or materialise the partition again; moved away, {versions[-2].name} is current again"
    if path == versions[-1]:
        return "restore it from a backup, or materialise the partition again"
    return "it is superseded: `quant lake vacuum` removes it in time, unless a snapshot names it; then restore it"


def _check_root(lake: Lake) -> Iterator[Finding]:
    schemas: dict[str, dict[str, Table]] = {}
    for table in lake.tables.values():
        schemas.setdefault(table.database_schema, {})[table.relation] = table
    for folder in _folders(lake.root):
        if isinstance(folder, Finding):
            yield folder
        elif folder.name not in schemas:
            yield _no_table(folder)
        else:
            yield from _check_schema(folder, schemas[folder.name])


def _check_schema(folder: Path, tables: dict[str, Table]) -> Iterator[Finding]:
    for child in _folders(folder):
        if isinstance(child, Finding):
            yield child
        elif child.name not in tables:
            yield _no_table(child)
        else:
            yield from _check_dimension(tables[child.name], child, ())


def _check_dimension(table: Table, folder: Path, parts: tuple[str, ...]) -> Iterator[Finding]:
    if len(parts) == len(table.dimensions):
        yield from _check_partition(table, key_of_parts(parts), folder)
        return
    dimension = table.dimensions[len(parts)]
    for child in _folders(folder):
        part = None if isinstance(child, Finding) else part_of_folder(dimension, child.name)
        if isinstance(child, Finding):
            yield child
        elif part is None:
            yield _foreign(child, f"a folder {dimension}=<key> was expected")
        else:
            yield from _check_dimension(table, child, (*parts, part))


def _check_partition(table: Table, key: Key, folder: Path) -> Iterator[Finding]:
    for path in folder.iterdir():
        if path.is_symlink():
            yield _link(path)
        elif path.name.startswith(TEMPORARY_PREFIX):
            yield Finding(
                "temporary",
                path,
                "a temporary file, being written right now or left by a process that was killed",
                "nothing: no reader sees it, and `quant lake vacuum` removes it in time",
            )
        elif not path.is_file() or not is_version_name(path.name):
            yield _foreign(path, "it does not have the name of a version")
    versions = version_files(folder)
    if not versions:
        yield Finding("orphan", folder, "a partition folder without a version", "nothing: readers take it for absent")
    for path in versions:
        if path.is_symlink():
            continue
        found = read_version(path, table, key)
        if isinstance(found, Finding):
            yield found
        elif path == versions[-1]:
            yield from _check_rows(table, key, path, found[1])


def _check_rows(table: Table, key: Key, path: Path, frame: pl.DataFrame) -> Iterator[Finding]:
    try:
        validated(table, key, frame)
    except SchemaViolation as error:
        yield Finding(
            "schema",
            path,
            f"{error.what} ({error.how_many})" if error.how_many else error.what,
            "the schema is stricter than when the rows were written: materialise the partition again",
        )


def _folders(folder: Path) -> Iterator[Path | Finding]:
    if not folder.is_dir():
        return
    for child in folder.iterdir():
        if child.is_symlink():
            yield _link(child)
        else:
            yield child if child.is_dir() else _foreign(child, "only folders belong here")


def _link(path: Path) -> Finding:
    """A link: what readers see through it can change, and can lie anywhere."""
    return Finding(
        "foreign",
        path,
        f"a link to {path.readlink()}: what it shows is not in the lake, may change and may be removed",
        "remove the link, then materialise the partition again; a whole home may lie elsewhere, its parts may not",
    )


def _foreign(path: Path, message: str) -> Finding:
    return Finding("foreign", path, message, "move it out of the lake; readers do not see it")


def _no_table(folder: Path) -> Finding:
    return Finding(
        "orphan",
        folder,
        "no registered table has this folder",
        "register the table in quant_platform/contracts/tables.py, or move the folder out of the lake",
    )
