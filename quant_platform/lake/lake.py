"""The lake: partitions of tables as immutable Parquet files, the newest of which is current."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import BoundedSemaphore
from typing import Literal

import polars as pl

from quant_platform.contracts.errors import CorruptFile, PartitionMissing
from quant_platform.contracts.tables import TABLES, Table
from quant_platform.contracts.tables import table as registered_table
from quant_platform.lake import partition_files
from quant_platform.lake.content_hash import content_hash
from quant_platform.lake.keys import Key, folder_names, key_of_parts, part_of_folder, shown_key, wanted_keys
from quant_platform.lake.partition_files import newest_file, version_files, write_version
from quant_platform.lake.provenance import FileRecord, Provenance, read_record
from quant_platform.lake.reading import TypesOfFiles, collect_files, scan_files
from quant_platform.lake.validation import validated

WRITER_THREADS = 4
"""Threads that encode and flush in `Lake.write_many`; flushes to one disk overlap, so this exceeds the cores."""
WRITES_UNDER_WAY = 16
"""Frames that wait in `Lake.overlapping` before who hands in another one waits."""


@dataclass(frozen=True)
class Version:
    """One immutable file of a partition, and what it says about itself."""

    table: str
    key: Key
    name: str
    path: Path
    rows: int
    content_hash: str
    created_at: datetime
    provenance: Provenance


class Lake:
    """Read and write partitions of the registered tables.

    Parameters
    ----------
    root
        Folder of the lake, ``<home>/lake``; made on the first write.
    tables
        The tables it knows, by name.

    Notes
    -----
    Safe to use from many processes and threads at once, without locks: see `quant_platform.lake.partition_files`.
    """

    def __init__(self, root: Path, tables: Mapping[str, Table] = TABLES) -> None:
        self.root = Path(root).resolve()
        self.tables = tables
        self._types_of = TypesOfFiles()

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
            partition_files.flush_parents([folder], self.root)
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
        with ThreadPoolExecutor(WRITER_THREADS) as pool:
            ready = list(pool.map(lambda item: validated(table, *item), items))
            put = partial(self._put, table_name, provenance=provenance)
            written = list(pool.map(put, [key for key, _ in items], folders, ready))
        new = [folder for folder, (_, is_first) in zip(folders, written, strict=True) if is_first]
        partition_files.flush_parents(new, self.root)
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
        with ThreadPoolExecutor(WRITER_THREADS) as pool:
            writes = Writes(self, pool)
            yield writes
        partition_files.flush_parents(writes.new_folders, self.root)

    def version_name(self, table_name: str, key: Key) -> str:
        """Name of the current version of a partition, empty where there is none; its file is not opened."""
        path = newest_file(self.partition_folder(table_name, key))
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
        return scan_files(self.table(table_name), files, self._types_of, columns)

    def read(
        self,
        table_name: str,
        keys: Sequence[Key] | Sequence[str] | str | None = None,
        columns: Sequence[str] | None = None,
        *,
        missing: Literal["raise", "ignore"] = "raise",
    ) -> pl.DataFrame:
        """Read what `scan` scans."""
        files = self.current_files(table_name, keys, missing=missing)
        return collect_files(scan_files(self.table(table_name), files, self._types_of, columns), files)

    def current_files(
        self,
        table_name: str,
        keys: Sequence[Key] | Sequence[str] | str | None = None,
        *,
        missing: Literal["raise", "ignore"] = "raise",
    ) -> list[Path]:
        """Return the current file of each partition asked for, in key order; raises PartitionMissing."""
        if keys is None:
            return list(self.current_by_key(table_name).values())
        wanted = wanted_keys(self.table(table_name), keys)
        found = {key: newest_file(self.partition_folder(table_name, key)) for key in wanted}
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
        """Return the current file of every partition, by key, in key order."""
        current = ((key, newest_file(folder)) for key, folder in self.partition_folders(table_name))
        return {key: path for key, path in current if path is not None}

    def partition_folders(self, table_name: str) -> list[tuple[Key, Path]]:
        """Return every partition folder of a table with its key, sorted; one may hold no version."""
        folders: list[tuple[tuple[str, ...], Path]] = [((), self.table_folder(table_name))]
        for dimension in self.table(table_name).dimensions:
            folders = [
                ((*parts, part), child)
                for parts, folder in folders
                for part, child in _partition_folders(folder, dimension)
            ]
        return [(key_of_parts(parts), folder) for parts, folder in sorted(folders)]

    def partitions(self, table_name: str) -> list[Key]:
        """Return the keys of the partitions that have a version, sorted; ``[None]`` for an unpartitioned table."""
        return list(self.current_by_key(table_name))

    def current(self, table_name: str, key: Key) -> Version | None:
        """Return the current version of a partition, or None where there is none."""
        path = newest_file(self.partition_folder(table_name, key))
        return None if path is None else self._version(table_name, key, path)

    def versions(self, table_name: str, key: Key) -> list[Version]:
        """Return every version of a partition that is still there, oldest first; the last one is current."""
        folder = self.partition_folder(table_name, key)
        return [self._version(table_name, key, path) for path in version_files(folder)]

    def provenance(self, version: Version) -> Provenance:
        """Read from its file what produced a version."""
        return read_record(version.path).provenance

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

    def _put(
        self, table_name: str, key: Key, folder: Path, ready: pl.DataFrame, provenance: Provenance
    ) -> tuple[Version, bool]:
        record = FileRecord(
            table=table_name,
            partition=shown_key(key),
            rows=ready.height,
            content_hash=content_hash(ready),
            created_at=partition_files.utc_now(),
            provenance=provenance,
        )
        path, is_first = write_version(folder, partition_files.encode(ready, record))
        return _version_of(table_name, key, path, record), is_first

    def _version(self, table_name: str, key: Key, path: Path) -> Version:
        return _version_of(table_name, key, path, read_record(path))


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


def _partition_folders(folder: Path, dimension: str) -> list[tuple[str, Path]]:
    try:
        children = list(folder.iterdir())
    except FileNotFoundError:
        return []
    return [(part, child) for child in children if (part := part_of_folder(dimension, child.name)) is not None]


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
