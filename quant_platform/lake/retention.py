"""Remove the versions that nobody can need any more."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

from quant_platform.contracts.errors import CorruptFile
from quant_platform.lake import partition_files
from quant_platform.lake.catalogue import build_catalogue
from quant_platform.lake.lake import Lake
from quant_platform.lake.partition_files import TEMPORARY_PREFIX, stamp_time, storage_failures
from quant_platform.lake.provenance import read_record
from quant_platform.lake.snapshots import named_files
from quant_platform.lake.store import LocalFiles
from quant_platform.specification.lake import lake_spec
from quant_platform.specification.settings import settings


@dataclass(frozen=True)
class Vacuumed:
    """What `vacuum` removed, or would remove.

    ``versions`` and ``temporary`` are the files, ``bytes`` their size together; ``named_by_snapshots`` counts old
    enough versions that a snapshot keeps, ``behind_damaged`` those kept because the current version cannot be read.
    """

    versions: tuple[Path, ...]
    temporary: tuple[Path, ...]
    bytes: int
    named_by_snapshots: int
    behind_damaged: int
    dry_run: bool


def vacuum(
    lake: Lake,
    keep: timedelta,
    snapshots: Path | None,
    dry_run: bool = False,
    *,
    temporary_age: timedelta | None = None,
    catalogue: Path | None = None,
) -> Vacuumed:
    """Remove superseded versions and the remains of killed processes.

    Parameters
    ----------
    lake
        The lake; other processes may read and write meanwhile.
    keep
        How long a version stays after the next one has come: longer than any query, or any notebook that holds an old
        catalogue open.
    snapshots
        Folder of the snapshots, whose versions stay for ever; None where there is none.
    dry_run
        Only say what would be removed.
    temporary_age
        Age from which a temporary file is taken for the remains of a killed process; by default as ``specs/lake.yaml``
        says.
    catalogue
        The catalogue, built anew first so that it names no version that goes; by default ``quant.duckdb`` beside the
        lake, where there is one.

    Raises
    ------
    ValueError
        When `keep` is negative.
    SnapshotInvalid
        When a manifest cannot be trusted; nothing is removed then.
    StorageFailed
        When the file system refuses.

    Notes
    -----
    The current version always stays, and so does every version behind a current one that cannot be read: it may be
    the one to go back to. Folders of tables that are not registered are left alone.
    """
    if keep < timedelta(0):
        raise ValueError(f"keep was {keep}, it has to be zero or more")
    age = lake_spec(settings().specs).temporary_age if temporary_age is None else temporary_age
    with _alone(lake, snapshots) as confirm:
        named = named_files(lake, snapshots)
        path = lake.root.parent / "quant.duckdb" if catalogue is None else catalogue
        if path.exists() and not dry_run:
            build_catalogue(lake, path)
        old = list(_superseded(lake, keep))
        unnamed = [path for path in old if path not in named]
        damaged = _damaged(lake, {path.parent for path in unnamed})
        versions = tuple(path for path in unnamed if path.parent not in damaged)
        temporary = tuple(_abandoned(lake, age))
        size = lake.store.size(versions) + LocalFiles(lake.root).size(temporary)
        if not dry_run:
            confirm()
            lake.store.remove(versions)
            with storage_failures(lake.root):
                for path in temporary:
                    path.unlink(missing_ok=True)
    return Vacuumed(
        versions=versions,
        temporary=temporary,
        bytes=size,
        named_by_snapshots=len(old) - len(unnamed),
        behind_damaged=len(unnamed) - len(versions),
        dry_run=dry_run,
    )


def _superseded(lake: Lake, keep: timedelta) -> Iterator[Path]:
    now = partition_files.utc_now()
    for table_name in lake.tables:
        for versions in lake.versions_by_key(table_name).values():
            for path, successor in pairwise(versions):
                if now - stamp_time(successor) >= keep:
                    yield path


def _abandoned(lake: Lake, age: timedelta) -> Iterator[Path]:
    for table_name in lake.tables:
        for _, folder in lake.partition_folders(table_name):
            for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - path.stat().st_mtime >= age.total_seconds():
                        yield path


def _damaged(lake: Lake, folders: set[Path]) -> set[Path]:
    """Partition folders whose current version cannot be read."""
    current = {folder: lake.version_paths(folder)[-1] for folder in folders}
    wrong = lake.store.renew(current.values())
    return {folder for folder, path in current.items() if path in wrong or not _is_readable(path)}


def _is_readable(path: Path) -> bool:
    try:
        read_record(path)
    except CorruptFile:
        return False
    return True


def _alone(lake: Lake, snapshots: Path | None) -> AbstractContextManager[Callable[[], None]]:
    """Keep snapshots from being made meanwhile."""
    if snapshots is None:
        return contextlib.nullcontext(lambda: None)
    return lake.store.exclusive(snapshots / ".lock")
