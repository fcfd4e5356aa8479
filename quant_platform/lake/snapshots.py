"""Snapshots: named, immutable lists of file versions, with the hashes that prove them.

A snapshot is one file, ``<home>/snapshots/2026-02-05-US-v1/manifest.json``. It copies nothing: versions never change,
and `vacuum` keeps those that a manifest names. A lightweight one holds some securities from a day on, as files of its
own below ``<home>/snapshots/<id>/lake``, so that it is small to read and to send. Every number a suite run reports
carries the id of its snapshot.
"""

from __future__ import annotations

import glob
import hashlib
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import SnapshotInvalid
from quant_platform.contracts.tables import Table
from quant_platform.lake import partition_files
from quant_platform.lake.catalogue import write_database
from quant_platform.lake.integrity import Finding, read_version
from quant_platform.lake.inventory import inventory_row
from quant_platform.lake.keys import Key, shown_key
from quant_platform.lake.lake import Lake
from quant_platform.lake.locks import exclusive
from quant_platform.lake.manifest import (
    MANIFEST,
    Selection,
    Snapshot,
    SnapshotFile,
    SnapshotTable,
    existing_file,
    file_path,
    hash_of,
    lake_of,
    load,
    own_lake,
    region_of,
    sort_key,
    write_manifest,
)
from quant_platform.lake.partition_files import flush_folder, storage_failures
from quant_platform.lake.places import store_of
from quant_platform.lake.store import Store
from quant_platform.lake.views import copy_tables

SECURITY_COLUMNS = ("ticker", "symbol")
# Beside the copy that an export makes, locked for as long as its process lives.
ALIVE = ".alive"


def create(
    lake: Lake,
    snapshots: Path,
    region: str,
    *,
    tables: Sequence[str] | None = None,
    snapshot_id: str | None = None,
    selection: Selection | None = None,
) -> Snapshot:
    """Name the current versions, once and for all.

    Parameters
    ----------
    lake
        The lake.
    snapshots
        Folder of the snapshots, ``<home>/snapshots``.
    region
        The market, in capitals, for example ``US``.
    tables
        The tables to hold; by default every table that has a partition.
    snapshot_id
        ``YYYY-MM-DD-REGION-vN``; by default today (UTC) with the next free number.
    selection
        The securities and sessions of a lightweight snapshot, which is written beside its manifest; everything when
        not given.

    Raises
    ------
    SnapshotInvalid
        For a malformed or taken id, an empty lake, or a file that is not what was written.
    StorageFailed
        When the file system refuses.

    Notes
    -----
    Every file is read and held against its recorded content hash, so that a snapshot never vouches for a damaged file.
    Make one when no run is writing: versions are taken table by table. Of a table without a security column, or
    without dates, a lightweight snapshot holds every row.
    """
    snapshots = snapshots.resolve()
    with lake.store.exclusive(snapshots / ".lock") as confirm:
        name = snapshot_id or _next_id(lake.store, snapshots, region)
        if region_of(name) != region:
            raise SnapshotInvalid(f"the id {name!r} is not of region {region!r}", action="use YYYY-MM-DD-REGION-vN")
        names = [table for table in lake.tables if lake.partitions(table)] if tables is None else list(tables)
        if selection is None:
            _write_manifest(lake, lake, snapshots, name, names, None, confirm)
        else:
            _write_selected(lake, snapshots, name, names, selection, confirm)
        return load(snapshots, name)


def list_snapshots(snapshots: Path) -> list[Snapshot]:
    """Return every snapshot, oldest name first; raises SnapshotInvalid for a manifest that was changed."""
    snapshots = snapshots.resolve()
    names = _names(store_of(snapshots.parent), snapshots)
    for name in names:
        region_of(name)
    return [load(snapshots, name) for name in sorted(names, key=sort_key)]


def verify(lake: Lake, snapshots: Path, snapshot_id: str) -> list[Finding]:
    """Hash every file of a snapshot again.

    Returns
    -------
    list of Finding
        ``missing`` and ``hash`` findings; empty for a snapshot that is what it was.

    Raises
    ------
    SnapshotInvalid
        When the manifest itself is gone or was changed.
    """
    findings = []
    snapshot = load(snapshots, snapshot_id)
    held = lake_of(lake, snapshots, snapshot)
    action = "restore the file from a backup or an export; results under this snapshot cannot be repeated without it"
    wrong = held.store.renew(file_path(held, file) for table in snapshot.tables for file in table.files)
    for table in snapshot.tables:
        for file in table.files:
            path = file_path(held, file)
            if path not in wrong and not path.is_file():
                findings.append(Finding("missing", path, f"{snapshot_id} names this file and it is gone", action))
            elif path in wrong or _sha256(path) != file.sha256:
                findings.append(Finding("hash", path, f"the file is not what {snapshot_id} has recorded", action))
    return findings


def export(lake: Lake, snapshots: Path, snapshot_id: str, target: Path) -> Path:
    """Copy a snapshot into a folder that needs nothing else.

    Parameters
    ----------
    lake, snapshots, snapshot_id
        What to copy.
    target
        A new folder. It becomes a home of its own: ``lake/`` with the files, ``snapshots/`` with the manifest, and
        ``quant.duckdb`` that holds the rows themselves, so that it can be moved and sent on by itself.

    Returns
    -------
    pathlib.Path
        The folder, in place only when it is complete and verified.

    Raises
    ------
    SnapshotInvalid
        When the snapshot is not what it was, or the target exists.
    StorageFailed
        When the file system refuses.
    """
    snapshot = load(snapshots, snapshot_id)
    if target.exists():
        raise SnapshotInvalid(f"the folder {target} exists", where=snapshot_id, action="name a new folder")
    _forget_killed(target.resolve())
    copying = target.resolve().with_name(f".{target.name}.copying-{secrets.token_hex(4)}")
    alive = copying.with_name(f"{copying.name}{ALIVE}")
    with exclusive(alive, wait=True):
        try:
            _copy_whole(lake, snapshots, snapshot, copying)
            with storage_failures(target):
                copying.rename(target)
                flush_folder(target.parent)
        finally:
            shutil.rmtree(copying, ignore_errors=True)
            alive.unlink(missing_ok=True)
    return target


def _forget_killed(target: Path) -> None:
    """Remove what exports to the same folder left that were killed: the system let go of their lock when they died."""
    for alive in target.parent.glob(f".{glob.escape(target.name)}.copying-*{ALIVE}"):
        with exclusive(alive, wait=False) as nobody_else:
            if nobody_else:
                shutil.rmtree(alive.with_name(alive.name.removesuffix(ALIVE)), ignore_errors=True)
                alive.unlink(missing_ok=True)


def _copy_whole(lake: Lake, snapshots: Path, snapshot: Snapshot, copying: Path) -> None:
    """Copy every file of a snapshot, see that they are what they were, and make the database of their rows."""
    snapshot_id = snapshot.snapshot_id
    held = lake_of(lake, snapshots, snapshot)
    copy = lake_of(Lake(copying / "lake", lake.tables), copying / "snapshots", snapshot)
    manifest = Path(snapshot_id) / MANIFEST
    held.store.fetch(file_path(held, file) for table in snapshot.tables for file in table.files)
    with storage_failures(copying):
        for table in snapshot.tables:
            for file in table.files:
                _copy_file(existing_file(held, snapshot_id, file), file_path(copy, file))
        _copy_file(snapshots / manifest, copying / "snapshots" / manifest)
    broken = verify(copy, copying / "snapshots", snapshot_id)
    if broken:
        raise SnapshotInvalid(
            f"the snapshot is no longer what it was: {broken[0].message}",
            where=snapshot_id,
            how_many=f"{len(broken)} files",
            action=broken[0].action,
        )
    tables = [lake.table(table.name) for table in snapshot.tables]
    rows = [
        inventory_row(table.name, file.key, file_path(copy, file), copying)
        for table in snapshot.tables
        for file in table.files
    ]
    write_database(copying / "quant.duckdb", partial(copy_tables, home=copying), tables, rows)


def named_files(lake: Lake, snapshots: Path | None) -> set[Path]:
    """Return every file that a snapshot names; raises SnapshotInvalid where a manifest cannot be trusted."""
    found = list_snapshots(snapshots) if snapshots is not None else []
    naming = [snapshot for snapshot in found if snapshot.selection is None]
    return {file_path(lake, file) for snapshot in naming for table in snapshot.tables for file in table.files}


def _write_manifest(
    lake: Lake,
    held: Lake,
    snapshots: Path,
    name: str,
    tables: Sequence[str],
    selection: Selection | None,
    confirm: Callable[[], None],
) -> None:
    described = [_describe(held, held.table(table)) for table in tables]
    if not any(table.files for table, _ in described):
        raise SnapshotInvalid("there is nothing to snapshot", where=str(lake.root), action="materialise tables")
    content = {
        "snapshot_id": name,
        "region": region_of(name),
        "created_at": partition_files.utc_now().isoformat(timespec="seconds"),
        "source_hash": _source_hash(lake),
        "simulated": any(simulated for _, simulated in described),
        "tables": [asdict(table) for table, _ in described],
    }
    if selection is not None:
        content["selection"] = {**asdict(selection), "since": selection.since.isoformat()}
    confirm()
    write_manifest(lake.store, snapshots / name / MANIFEST, {**content, "sha256": hash_of(content)})


def _write_selected(
    lake: Lake,
    snapshots: Path,
    name: str,
    tables: Sequence[str],
    selection: Selection,
    confirm: Callable[[], None],
) -> None:
    """Write the chosen rows as files of their own; what was written is removed where it cannot be finished."""
    if MANIFEST in lake.store.names(snapshots / name):
        raise SnapshotInvalid(f"the snapshot {name!r} exists", action="a snapshot never changes: use the next number")
    held, written = own_lake(lake, snapshots, name), []
    confirm()
    lake.store.clear(held.root)
    try:
        for table in tables:
            confirm()
            current = lake.current_by_key(table)
            lake.store.fetch(current.values())
            for key, path in current.items():
                found = read_version(path, lake.table(table), key)
                if isinstance(found, Finding):
                    raise SnapshotInvalid(found.message, where=str(path), action=found.action)
                record, frame = found
                kept = _chosen(lake.table(table), frame, selection)
                if kept.height or not lake.table(table).dimensions:
                    extra = {**record.provenance.extra, "selected_from": path.name}
                    written.append(held.write(table, key, kept, replace(record.provenance, extra=extra)).path)
        _write_manifest(lake, held, snapshots, name, tables, selection, confirm)
    except BaseException:
        # Only what this call has written: on object storage another holder of the lease may have made this snapshot.
        lake.store.remove(written)
        shutil.rmtree(snapshots / name, ignore_errors=True)
        raise


def _chosen(table: Table, frame: pl.DataFrame, selection: Selection) -> pl.DataFrame:
    security, day = _security_column(table), _date_column(table)
    if security is not None:
        frame = frame.filter(pl.col(security).cast(pl.String).is_in(selection.securities))
    if table.name in selection.cut and day is not None:
        frame = frame.filter(pl.col(day).cast(pl.Date) >= selection.since)
    return frame


def _describe(lake: Lake, table: Table) -> tuple[SnapshotTable, bool]:
    date_column, security = _date_column(table), _security_column(table)
    files, columns, simulated = [], dict.fromkeys(table.schema.column_names()), False
    first, last, securities = None, None, set[str]()
    current = lake.current_by_key(table.name)
    lake.store.fetch(current.values())
    for key, path in current.items():
        file, frame, is_simulated = _describe_file(lake, table, key, path)
        files.append(file)
        columns.update(dict.fromkeys(frame.columns))
        simulated = simulated or is_simulated
        if date_column and frame.get_column(date_column).count():
            values = frame.get_column(date_column).cast(pl.String)
            first = min(str(values.min()), first or str(values.min()))
            last = max(str(values.max()), last or str(values.max()))
        if security:
            securities.update(frame.get_column(security).cast(pl.String).drop_nulls().unique())
    return (
        SnapshotTable(
            name=table.name,
            rows=sum(file.rows for file in files),
            columns=tuple(columns),
            date_column=date_column,
            date_from=first,
            date_to=last,
            securities=len(securities) if security else None,
            sha256=hash_of([[file.key, file.content_hash] for file in files]),
            files=tuple(files),
        ),
        simulated,
    )


def _describe_file(lake: Lake, table: Table, key: Key, path: Path) -> tuple[SnapshotFile, pl.DataFrame, bool]:
    found = read_version(path, table, key)
    if isinstance(found, Finding):
        raise SnapshotInvalid(found.message, where=str(path), action=found.action)
    record, frame = found
    file = SnapshotFile(
        key=shown_key(key),
        path=path.relative_to(lake.root).as_posix(),
        rows=record.rows,
        bytes=path.stat().st_size,
        sha256=_sha256(path),
        content_hash=record.content_hash,
    )
    return file, frame, record.provenance.simulated


def _date_column(table: Table) -> str | None:
    types = dict(table.schema.create_empty().schema)
    temporal = [name for name in (*table.primary_key, *types) if isinstance(types[name], (pl.Date, pl.Datetime))]
    return temporal[0] if temporal else None


def _security_column(table: Table) -> str | None:
    return next((name for name in SECURITY_COLUMNS if name in table.schema.column_names()), None)


def _source_hash(lake: Lake) -> str:
    raw = [name for name, table in lake.tables.items() if table.database_schema == "raw"]
    versions = [lake.current(name, key) for name in sorted(raw) for key in lake.partitions(name)]
    return hash_of([[each.table, shown_key(each.key), each.content_hash] for each in versions if each is not None])


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _names(store: Store, snapshots: Path) -> list[str]:
    """Names of the folders that hold a manifest."""
    listing = store.listing([snapshots])
    return [name for name in listing.names(snapshots) if MANIFEST in listing.names(snapshots / name)]


def _next_id(store: Store, snapshots: Path, region: str) -> str:
    stem = f"{partition_files.utc_now().date().isoformat()}-{region}"
    taken = [sort_key(name)[1] for name in _names(store, snapshots) if name.startswith(f"{stem}-v")]
    return f"{stem}-v{max(taken, default=0) + 1}"


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    flush_folder(target)
