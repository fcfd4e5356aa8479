"""Look through the whole lake for what should not be there, and say what to do about it. Nothing is ever deleted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import polars as pl

from quant_platform.contracts.errors import CorruptFile, FileTooLarge, SchemaViolation
from quant_platform.contracts.limits import require_bounded_parquet
from quant_platform.contracts.tables import Table
from quant_platform.lake.content_hash import content_hash
from quant_platform.lake.keys import Key, key_of_parts, part_of_folder, shown_key
from quant_platform.lake.lake import Lake
from quant_platform.lake.partition_files import TEMPORARY_PREFIX, is_version_name, versions_among
from quant_platform.lake.provenance import FileRecord, read_footer, record_of_metadata
from quant_platform.lake.store import Listing
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
    return sorted(
        _check_root(lake, lake.store.listing([lake.root])), key=lambda finding: (str(finding.path), finding.kind)
    )


def read_version(path: Path, table: Table, key: Key) -> tuple[FileRecord, pl.DataFrame] | Finding:
    """Read a version whole and hold it against its own record; returns the finding where it is not sound."""
    try:
        footer = read_footer(path)
        require_bounded_parquet(path)
        frame = pl.scan_parquet(path, glob=False, hive_partitioning=False).collect()
    except (CorruptFile, FileTooLarge, pl.exceptions.PolarsError, OSError) as error:
        cause = error.cause if isinstance(error, CorruptFile | FileTooLarge) else str(error).splitlines()[0]
        return Finding("torn", path, f"the file cannot be read: {cause}", _RESTORE)
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
        return Finding("hash", path, "the content is not what was written", _RESTORE)
    return record, frame


_RESTORE = "restore it from a backup, or materialise the partition again"


def _restore(path: Path, versions: Sequence[str]) -> str:
    """What to do about a version that is not sound, among those of its partition."""
    if path.name == versions[-1] and len(versions) > 1:
        return f"restore it or materialise the partition again; moved away, {versions[-2]} is current again"
    if path.name == versions[-1]:
        return _RESTORE
    return "it is superseded: `quant lake vacuum` removes it in time, unless a snapshot names it; then restore it"


def _check_root(lake: Lake, listing: Listing) -> Iterator[Finding]:
    schemas: dict[str, dict[str, Table]] = {}
    for table in lake.tables.values():
        schemas.setdefault(table.database_schema, {})[table.relation] = table
    for folder in _folders(listing, lake.root):
        if isinstance(folder, Finding):
            yield folder
        elif folder.name not in schemas:
            yield _no_table(folder)
        else:
            yield from _check_schema(lake, listing, folder, schemas[folder.name])


def _check_schema(lake: Lake, listing: Listing, folder: Path, tables: dict[str, Table]) -> Iterator[Finding]:
    for child in _folders(listing, folder):
        if isinstance(child, Finding):
            yield child
        elif child.name not in tables:
            yield _no_table(child)
        else:
            yield from _check_dimension(lake, listing, tables[child.name], child, ())


def _check_dimension(
    lake: Lake, listing: Listing, table: Table, folder: Path, parts: tuple[str, ...]
) -> Iterator[Finding]:
    if len(parts) == len(table.dimensions):
        yield from _check_partition(lake, listing, table, key_of_parts(parts), folder)
        return
    dimension = table.dimensions[len(parts)]
    for child in _folders(listing, folder):
        part = None if isinstance(child, Finding) else part_of_folder(dimension, child.name)
        if isinstance(child, Finding):
            yield child
        elif part is None:
            yield _foreign(child, f"a folder {dimension}=<key> was expected")
        else:
            yield from _check_dimension(lake, listing, table, child, (*parts, part))


def _check_partition(lake: Lake, listing: Listing, table: Table, key: Key, folder: Path) -> Iterator[Finding]:
    names = listing.names(folder)
    for path in (folder / name for name in names):
        kind = listing.kind(path)
        if kind == "link":
            yield _link(path)
        elif path.name.startswith(TEMPORARY_PREFIX):
            yield Finding(
                "temporary",
                path,
                "a temporary file, being written right now or left by a process that was killed",
                "nothing: no reader sees it, and `quant lake vacuum` removes it in time",
            )
        elif kind != "file" or not is_version_name(path.name):
            yield _foreign(path, "it does not have the name of a version")
    versions = versions_among(names)
    if not versions:
        yield Finding("orphan", folder, "a partition folder without a version", "nothing: readers take it for absent")
    paths = [folder / name for name in versions if listing.kind(folder / name) != "link"]
    wrong = lake.store.renew(paths)
    for path in paths:
        found = Finding("torn", path, wrong[path], _RESTORE) if path in wrong else read_version(path, table, key)
        if isinstance(found, Finding):
            yield replace(found, action=_restore(path, versions)) if found.action == _RESTORE else found
        elif path.name == versions[-1]:
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


def _folders(listing: Listing, folder: Path) -> Iterator[Path | Finding]:
    for child in (folder / name for name in listing.names(folder)):
        kind = listing.kind(child)
        if kind == "link":
            yield _link(child)
        else:
            yield child if kind == "folder" else _foreign(child, "only folders belong here")


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
