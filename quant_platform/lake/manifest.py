"""The manifest of a snapshot: what it says, how it is written once, and how it is trusted."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from quant_platform.contracts.errors import SnapshotInvalid
from quant_platform.lake.lake import Lake
from quant_platform.lake.places import store_of
from quant_platform.lake.store import Store

MANIFEST = "manifest.json"

_ID = re.compile(r"(?P<day>\d{4}-\d{2}-\d{2})-(?P<region>[A-Z][A-Z0-9]*)-v(?P<number>[1-9]\d*)")


@dataclass(frozen=True)
class SnapshotFile:
    """One version: partition key as text, path below the lake, rows, bytes, SHA-256 of the file and of its content."""

    key: str | None
    path: str
    rows: int
    bytes: int
    sha256: str
    content_hash: str


@dataclass(frozen=True)
class SnapshotTable:
    """One table as the snapshot sees it.

    ``date_from`` and ``date_to`` are the first and last value of ``date_column`` (ISO), the first date of the primary
    key or else of the table; ``securities`` counts distinct tickers or symbols. Each is None where there is no such
    column or no row. ``sha256`` is over keys and content hashes, so equal data has an equal hash.
    """

    name: str
    rows: int
    columns: tuple[str, ...]
    date_column: str | None
    date_from: str | None
    date_to: str | None
    securities: int | None
    sha256: str
    files: tuple[SnapshotFile, ...]


@dataclass(frozen=True)
class Selection:
    """What a lightweight snapshot holds of the lake, as copies of its own.

    ``rule`` says in words how ``securities`` were chosen, from ``considered`` names; the tables ``cut`` begin on
    ``since``, the others keep their history.
    """

    rule: str
    securities: tuple[str, ...]
    considered: int
    since: date
    cut: tuple[str, ...]


@dataclass(frozen=True)
class Snapshot:
    """A manifest.

    ``source_hash`` is over the content of every ``raw`` table of the lake at that time, in the snapshot or not: what
    the sources had delivered. ``sha256`` is over the rest of the manifest. ``selection`` is None for a snapshot that
    names files of the lake; a lightweight one has files of its own.
    """

    snapshot_id: str
    region: str
    created_at: str
    source_hash: str
    simulated: bool
    tables: tuple[SnapshotTable, ...]
    sha256: str
    selection: Selection | None = None

    def table(self, table_name: str) -> SnapshotTable:
        """Return one table; raises SnapshotInvalid where the snapshot does not hold it."""
        for table in self.tables:
            if table.name == table_name:
                return table
        raise SnapshotInvalid(
            f"the snapshot does not hold {table_name!r}",
            where=self.snapshot_id,
            action=f"choose from: {', '.join(table.name for table in self.tables)}",
        )


def load(snapshots: Path, snapshot_id: str) -> Snapshot:
    """Read a manifest.

    Raises
    ------
    SnapshotInvalid
        When there is none of that id, or it is not what was written.
    """
    path = snapshots / snapshot_id / MANIFEST
    region_of(snapshot_id)
    store_of(snapshots.resolve().parent).fetch([path.resolve()])
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        written = content.pop("sha256")
        tables = tuple(
            SnapshotTable(
                **{
                    **table,
                    "columns": tuple(table["columns"]),
                    "files": tuple(SnapshotFile(**file) for file in table["files"]),
                }
            )
            for table in content["tables"]
        )
        selection = _selection(content.get("selection"))
        snapshot = Snapshot(**{**content, "tables": tables, "sha256": written, "selection": selection})
    except FileNotFoundError as error:
        raise SnapshotInvalid(
            f"there is no snapshot {snapshot_id!r}", where=str(snapshots), action="see `quant snapshot list`"
        ) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _changed(path, f"it cannot be read: {error}") from error
    if hash_of(content) != written or snapshot.snapshot_id != snapshot_id:
        raise _changed(path, "its own hash does not match")
    return snapshot


def lake_of(lake: Lake, snapshots: Path, snapshot: Snapshot) -> Lake:
    """Return where the files of a snapshot are: in the lake, or beside the manifest of a lightweight one."""
    return lake if snapshot.selection is None else own_lake(lake, snapshots, snapshot.snapshot_id)


def own_lake(lake: Lake, snapshots: Path, snapshot_id: str) -> Lake:
    """Return the lake below the manifest of a lightweight snapshot."""
    return Lake(snapshots / snapshot_id / "lake", lake.tables, lake.store)


def write_manifest(store: Store, path: Path, content: Any) -> None:
    """Write a manifest that was not there before and never changes; raises SnapshotInvalid where the id is taken."""
    try:
        store.create(path, json.dumps(content, indent=1, ensure_ascii=False).encode())
    except FileExistsError as error:
        raise SnapshotInvalid(
            f"the snapshot {path.parent.name!r} exists",
            where=str(path),
            action="a snapshot never changes: use the next number",
        ) from error


def region_of(snapshot_id: str) -> str:
    """Return the region in an id; raises SnapshotInvalid for a malformed one."""
    matched = _ID.fullmatch(snapshot_id)
    try:
        date.fromisoformat(matched["day"] if matched else "")
    except ValueError:
        matched = None
    if matched is None:
        raise SnapshotInvalid(
            f"the id {snapshot_id!r} is not of the form YYYY-MM-DD-REGION-vN", action="for example 2026-02-05-US-v1"
        )
    return matched["region"]


def sort_key(snapshot_id: str) -> tuple[str, int]:
    """Return what ids are sorted by, so that v10 comes after v9."""
    stem, _, number = snapshot_id.rpartition("-v")
    return stem, int(number)


def file_path(lake: Lake, file: SnapshotFile) -> Path:
    """Return where a file of a snapshot is; raises SnapshotInvalid for a path outside the lake."""
    path = lake.root / file.path
    if ".." in path.parts or not path.is_relative_to(lake.root):
        raise SnapshotInvalid(f"the path {file.path!r} leaves the lake", action="do not use this manifest")
    return path


def existing_file(lake: Lake, snapshot_id: str, file: SnapshotFile) -> Path:
    """Return where a file of a snapshot is; raises SnapshotInvalid where it is gone or has another size."""
    path = file_path(lake, file)
    size = path.stat().st_size if path.is_file() else None
    if size != file.bytes:
        raise SnapshotInvalid(
            "a file of the snapshot is gone" if size is None else f"a file of the snapshot has {size} bytes",
            where=f"{snapshot_id}, {path}",
            how_many="" if size is None else f"{size} of {file.bytes} bytes",
            action=f"run `quant snapshot verify {snapshot_id}`, then restore the file",
        )
    return path


def hash_of(content: Any) -> str:
    """Return the SHA-256 of JSON content, whatever the order of its keys."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _selection(content: Any) -> Selection | None:
    if content is None:
        return None
    return Selection(
        **{
            **content,
            "securities": tuple(content["securities"]),
            "since": date.fromisoformat(content["since"]),
            "cut": tuple(content["cut"]),
        }
    )


def _changed(path: Path, what: str) -> SnapshotInvalid:
    return SnapshotInvalid(
        "the manifest is not what was written",
        where=str(path),
        cause=what,
        action="restore it from a backup; nothing is removed from the lake while it cannot be trusted",
    )
