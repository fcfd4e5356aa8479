"""The lake: partitions of tables as immutable Parquet files, the newest of which is current."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import BoundedSemaphore
from typing import Literal

import polars as pl

from quant_platform.contracts.errors import CorruptFile, PartitionMissing
from quant_platform.contracts.tables import TABLES, Table
from quant_platform.contracts.tables import table as registered_table
from quant_platform.lake import known_files, partition_files
from quant_platform.lake.content_hash import content_hash
from quant_platform.lake.keys import Key, folder_names, key_of_parts, part_of_folder, shown_key, wanted_keys
from quant_platform.lake.partition_files import newest_among, stamp_of, versions_among
from quant_platform.lake.places import store_of
from quant_platform.lake.provenance import FileRecord, Provenance
from quant_platform.lake.reading import TypesOfFiles, collect_files, remembered, scan_files
from quant_platform.lake.store import Listing, Store
from quant_platform.lake.validation import all_keep_rules, validated

WRITES_UNDER_WAY = 16
"""Frames that wait in `Lake.overlapping` before who hands in another one waits."""

FILES_PREPARED = 64
"""Files that `Lake.write_many` prepares one after the other, before it hands them to those who wait for the disk.

Hashing and encoding a small frame takes half as long again where each is followed by a wait.
"""


@dataclass(frozen=True)
class Version:
    """One immutable file of a partition, and what it says about itself.

    On object storage ``path`` is this machine's copy.
    """

    table: str
    key: Key
    name: str
    path: Path
    rows: int
    content_hash: str
    created_at: datetime
    provenance: Provenance


@dataclass(frozen=True)
class _File:
    """A version that only has to be put in its place."""

    key: Key
    rows: pl.DataFrame
    record: FileRecord
    content: memoryview


class Lake:
    """Read and write partitions of the registered tables.

    Parameters
    ----------
    root
        Folder of the lake, ``<home>/lake``; made on the first write.
    tables
        The tables it knows, by name.
    store
        Where its files are; by default as the home says (`quant_platform.lake.places`).

    Notes
    -----
    Safe to use from many processes and threads at once, without locks: see `quant_platform.lake.partition_files`.
    """

    def __init__(self, root: Path, tables: Mapping[str, Table] = TABLES, store: Store | None = None) -> None:
        self.root = Path(root).resolve()
        self.tables = tables
        self.store = store_of(self.root.parent) if store is None else store
        self._listing: Listing = self.store
        self._types_of = TypesOfFiles()

    @contextmanager
    def listed(self, table_names: Iterable[str]) -> Iterator[None]:
        """See some tables as they are now, and what this object writes to them, until the block ends.

        Object storage then lists each of them once and not once a partition, and of a file system each folder is looked
        at once, when it is first asked for. Inside such a block another one changes nothing.
        """
        if self._listing is not self.store:
            yield
            return
        self._listing = self.store.listing([self.table_folder(name) for name in table_names])
        try:
            yield
        finally:
            self._listing = self.store

    def table(self, table_name: str) -> Table:
        """Look a table up; raises UnknownTable with the closest name."""
        return self.tables[table_name] if table_name in self.tables else registered_table(table_name)

    def table_folder(self, table_name: str) -> Path:
        """Return the folder of a table."""
        table = self.table(table_name)
        return self.root / table.database_schema / table.relation

    def partition_folder(self, table_name: str, key: Key) -> Path:
        """Return the folder of a partition; raises PartitionKeyInvalid for a key that cannot name one."""
        return self.table_folder(table_name).joinpath(*folder_names(self.table(table_name), key))

    def write(self, table_name: str, key: Key, frame: pl.DataFrame, provenance: Provenance) -> Version:
        """Write a new version of a partition and make it current.

        Parameters
        ----------
        table_name
            Stable name, for example ``clean.equity_bars``.
        key
            String for one dimension, tuple for several, None for an unpartitioned table.
        frame
            All rows of the partition. An empty frame is an empty version that replaces the rows of before.
        provenance
            What produced it; stored in the file.

        Raises
        ------
        SchemaViolation
            Before anything is written.
        PartitionKeyInvalid
            For a key that cannot name a folder.
        StorageFailed
            When the file system refuses; the version of before is still current.
        """
        folder = self.partition_folder(table_name, key)
        ready = validated(self.table(table_name), key, frame)
        version, is_first = self._put(table_name, key, folder, ready, provenance)
        if is_first:
            self.store.settle([folder], self.root)
        return version

    def write_many(
        self, table_name: str, frames: Mapping[Key, pl.DataFrame] | Mapping[str, pl.DataFrame], provenance: Provenance
    ) -> list[Version]:
        """Write new versions of many partitions of one table; faster than `write`, because their flushes overlap.

        Every frame is validated before the first one is written. Each partition is replaced atomically; the set of
        them is not, so after a failure some are new and the others old, and a repeated run completes it.

        Raises
        ------
        SchemaViolation, PartitionKeyInvalid
            Before anything is written.
        StorageFailed
            When the file system refuses one of them.
        """
        table = self.table(table_name)
        items: list[tuple[Key, pl.DataFrame]] = [(key, frame) for key, frame in frames.items()]
        folders = [self.partition_folder(table_name, key) for key, _ in items]
        keeps_rules = all_keep_rules(table, frames.values())
        items = [(key, validated(table, key, frame, keeps_rules=keeps_rules)) for key, frame in items]
        written: list[tuple[Version, bool]] = []
        with ThreadPoolExecutor(self.store.writers) as pool:
            under_way: list[tuple[_File, Future[tuple[Path, bool]]]] = []
            for first in range(0, len(items), FILES_PREPARED):
                last = min(first + FILES_PREPARED, len(items))
                files = [self._prepared(table_name, *items[place], provenance) for place in range(first, last)]
                # No more than two such groups are in memory.
                written += [self._noted(file, *put.result()) for file, put in under_way]
                places = zip(files, folders[first:last], strict=True)
                under_way = [(file, pool.submit(self.store.append, folder, file.content)) for file, folder in places]
            written += [self._noted(file, *put.result()) for file, put in under_way]
        new = [folder for folder, (_, is_first) in zip(folders, written, strict=True) if is_first]
        self.store.settle(new, self.root)
        return [version for version, _ in written]

    @contextmanager
    def overlapping(self) -> Iterator[Writes]:
        """Write partitions of several tables whose flushes overlap, while the caller goes on computing.

        Yields
        ------
        Writes
            Takes frames; each write is atomic by itself, as with `write`. When the block ends, everything handed in has
            reached the disk or failed.
        """
        with ThreadPoolExecutor(self.store.writers) as pool:
            writes = Writes(self, pool)
            yield writes
        self.store.settle(writes.new_folders, self.root)

    def prefetch(self, partitions: Iterable[tuple[str, Key]]) -> None:
        """Fetch the current versions of some partitions at once, where fetching one after the other costs more.

        Parameters
        ----------
        partitions
            Table and key of each; one that does not exist is passed over. Not looked at on a file system.
        """
        found = (self._newest(self.partition_folder(name, key)) for name, key in partitions)
        self.store.fetch(path for path in found if path is not None)

    def version_name(self, table_name: str, key: Key) -> str:
        """Name of the current version of a partition, empty where there is none; its file is not opened."""
        path = self._newest(self.partition_folder(table_name, key))
        return "" if path is None else path.stem

    def scan(
        self,
        table_name: str,
        keys: Sequence[Key] | Sequence[str] | str | None = None,
        columns: Sequence[str] | None = None,
        *,
        missing: Literal["raise", "ignore"] = "raise",
    ) -> pl.LazyFrame:
        """Scan the current versions of the partitions asked for, and nothing else.

        Parameters
        ----------
        table_name
            Stable name of the table.
        keys
            Partitions; None for all there are. A table without any reads as an empty frame.
        columns
            Columns wanted, in this order; None for all.
        missing
            ``"ignore"`` leaves out keys that do not exist instead of raising.

        Returns
        -------
        polars.LazyFrame
            Rows by partition in key order, within one by primary key. A column that an older file lacks is null there.

        Raises
        ------
        PartitionMissing
            For keys that do not exist.
        SchemaViolation
            For a column that does not exist.
        CorruptFile
            For a torn file.
        """
        files = self.current_files(table_name, keys, missing=missing)
        table = self.table(table_name)
        rows = remembered(table, files, columns)
        if rows is not None:
            return rows.lazy()
        self.store.fetch(files)
        return scan_files(table, files, self._types_of, columns)

    def read(
        self,
        table_name: str,
        keys: Sequence[Key] | Sequence[str] | str | None = None,
        columns: Sequence[str] | None = None,
        *,
        missing: Literal["raise", "ignore"] = "raise",
        opened: bool = False,
    ) -> pl.DataFrame:
        """Read what `scan` scans.

        ``opened`` opens the files even where this process wrote them and still has their rows: for whoever judges
        what is on the disk.
        """
        files = self.current_files(table_name, keys, missing=missing)
        table = self.table(table_name)
        rows = None if opened else remembered(table, files, columns)
        if rows is not None:
            return rows
        self.store.fetch(files)
        return collect_files(scan_files(table, files, self._types_of, columns), files)

    def current_files(
        self,
        table_name: str,
        keys: Sequence[Key] | Sequence[str] | str | None = None,
        *,
        missing: Literal["raise", "ignore"] = "raise",
    ) -> list[Path]:
        """Return the current file of each partition asked for, in key order; raises PartitionMissing.

        To be read, files have to be fetched from the store; `scan` and `read` do.
        """
        if keys is None:
            return list(self.current_by_key(table_name).values())
        wanted = wanted_keys(self.table(table_name), keys)
        # One request of object storage for the table, or one for each partition.
        listing = self._listing.listing([self.table_folder(table_name)]) if len(wanted) > 1 else self._listing
        found = {key: self._newest(self.partition_folder(table_name, key), listing) for key in wanted}
        absent = [key for key, path in found.items() if path is None]
        if absent and missing == "raise":
            raise PartitionMissing(
                f"partitions do not exist: {', '.join(repr(shown_key(key)) for key in absent[:5])}",
                where=table_name,
                how_many=f"{len(absent)} of {len(wanted)} partitions",
                cause="they were never materialised",
                action="materialise them, or read with missing='ignore'",
            )
        return [path for path in found.values() if path is not None]

    def current_by_key(self, table_name: str) -> dict[Key, Path]:
        """Return the current file of every partition, by key, in key order; see `current_files`."""
        listing = self._listing.listing([self.table_folder(table_name)])
        folders = self._partition_folders(table_name, listing)
        current = ((key, self._newest(folder, listing)) for key, folder in folders)
        return {key: path for key, path in current if path is not None}

    def versions_by_key(self, table_name: str) -> dict[Key, list[Path]]:
        """Return the versions of every partition, oldest first, by key, in key order."""
        listing = self._listing.listing([self.table_folder(table_name)])
        folders = self._partition_folders(table_name, listing)
        found = ((key, folder, versions_among(listing.names(folder))) for key, folder in folders)
        return {key: [folder / name for name in names] for key, folder, names in found if names}

    def partition_folders(self, table_name: str) -> list[tuple[Key, Path]]:
        """Return every partition folder of a table with its key, sorted; one may hold no version."""
        return self._partition_folders(table_name, self._listing)

    def version_paths(self, folder: Path) -> list[Path]:
        """Return the versions in a partition folder, oldest first."""
        return [folder / name for name in versions_among(self._listing.names(folder))]

    def written_since(self, table_name: str, moment: datetime) -> int:
        """Count the versions of a table that were written at a moment or after it."""
        first = stamp_of(moment)
        return sum(path.name >= first for paths in self.versions_by_key(table_name).values() for path in paths)

    def partitions(self, table_name: str) -> list[Key]:
        """Return the keys of the partitions that have a version, sorted; ``[None]`` for an unpartitioned table."""
        return list(self.current_by_key(table_name))

    def current(self, table_name: str, key: Key) -> Version | None:
        """Return the current version of a partition, or None where there is none."""
        path = self._newest(self.partition_folder(table_name, key))
        if path is None:
            return None
        self.store.fetch([path])
        return self._version(table_name, key, path)

    def versions(self, table_name: str, key: Key) -> list[Version]:
        """Return every version of a partition that is still there, oldest first; the last one is current."""
        paths = self.version_paths(self.partition_folder(table_name, key))
        self.store.fetch(paths)
        return [self._version(table_name, key, path) for path in paths]

    def provenance(self, version: Version) -> Provenance:
        """Read from its file what produced a version."""
        return known_files.record_of(version.path).provenance

    def is_current(
        self, table_name: str, key: Key, code_version: str, ontology_hash: str, inputs: Mapping[str, str]
    ) -> bool:
        """Say whether the current version was made by this code, under these specs, from these inputs.

        A partition that does not exist, or whose file is torn, is not current. Used to skip what is done and to resume
        a broken run.
        """
        try:
            version = self.current(table_name, key)
        except CorruptFile:
            return False
        if version is None:
            return False
        made = version.provenance
        return (made.code_version, made.ontology_hash, dict(made.inputs)) == (code_version, ontology_hash, dict(inputs))

    def _prepared(self, table_name: str, key: Key, ready: pl.DataFrame, provenance: Provenance) -> _File:
        record = FileRecord(
            table=table_name,
            partition=shown_key(key),
            rows=ready.height,
            content_hash=content_hash(ready),
            created_at=partition_files.utc_now(),
            provenance=provenance,
        )
        return _File(key, ready, record, partition_files.encode(ready, record))

    def _noted(self, file: _File, path: Path, is_first: bool) -> tuple[Version, bool]:
        self._listing.note(path)
        known_files.note_written(path, file.record, file.rows)
        return _version_of(file.record.table, file.key, path, file.record), is_first

    def _put(
        self, table_name: str, key: Key, folder: Path, ready: pl.DataFrame, provenance: Provenance
    ) -> tuple[Version, bool]:
        file = self._prepared(table_name, key, ready, provenance)
        return self._noted(file, *self.store.append(folder, file.content))

    def _partition_folders(self, table_name: str, listing: Listing) -> list[tuple[Key, Path]]:
        folders: list[tuple[tuple[str, ...], Path]] = [((), self.table_folder(table_name))]
        for dimension in self.table(table_name).dimensions:
            folders = [
                ((*parts, part), folder / name)
                for parts, folder in folders
                for name in listing.names(folder)
                if (part := part_of_folder(dimension, name)) is not None
            ]
        return [(key_of_parts(parts), folder) for parts, folder in sorted(folders)]

    def _newest(self, folder: Path, listing: Listing | None = None) -> Path | None:
        name = newest_among((listing or self._listing).names(folder))
        return None if name is None else folder / name

    def _version(self, table_name: str, key: Key, path: Path) -> Version:
        return _version_of(table_name, key, path, known_files.record_of(path))


class Writes:
    """Writes under way; see `Lake.overlapping`."""

    def __init__(self, lake: Lake, pool: ThreadPoolExecutor) -> None:
        self._lake, self._pool = lake, pool
        self._places = BoundedSemaphore(WRITES_UNDER_WAY)
        self.new_folders: list[Path] = []

    def put(self, table_name: str, key: Key, frame: pl.DataFrame, provenance: Provenance) -> Future[Version]:
        """Hand in a frame; waits while many are under way, so that memory stays bounded.

        Returns
        -------
        Future
            Its result is the version, or raises what `Lake.write` raises.
        """
        self._places.acquire()
        under_way = self._pool.submit(self._write, table_name, key, frame, provenance)
        under_way.add_done_callback(lambda _: self._places.release())
        return under_way

    def _write(self, table_name: str, key: Key, frame: pl.DataFrame, provenance: Provenance) -> Version:
        folder = self._lake.partition_folder(table_name, key)
        ready = validated(self._lake.table(table_name), key, frame)
        version, is_first = self._lake._put(table_name, key, folder, ready, provenance)
        if is_first:
            self.new_folders.append(folder)
        return version


def _version_of(table_name: str, key: Key, path: Path, record: FileRecord) -> Version:
    return Version(
        table=table_name,
        key=key,
        name=path.stem,
        path=path,
        rows=record.rows,
        content_hash=record.content_hash,
        created_at=record.created_at,
        provenance=record.provenance,
    )
