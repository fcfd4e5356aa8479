"""How one partition becomes a new immutable file, and how the newest one is found.

1. The content is encoded in memory (`encode`).
2. It goes to a temporary name that no glob for Parquet matches, in the partition's own folder (`write_flushed`).
3. The file is flushed to the disk (fsync).
4. It is renamed to ``<stamp>-<unique>.parquet``, where the stamp is later than every stamp already there, whatever the
   clock says (`next_version`). From this moment it is the current version.
5. The folder is flushed to the disk, and its parents where the folder is new.

Nothing that exists is touched, so a partition is its old version or its new one, whatever dies when. Writers never
wait for each other: of two that write the same partition at once the later stamp wins, as if they had come one after
the other. A process that is killed leaves at most a temporary file, which `vacuum` removes.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import StorageFailed
from quant_platform.lake.provenance import FileRecord, metadata_of

SUFFIX = ".parquet"
TEMPORARY_PREFIX = ".writing-"

_STAMP = "%Y%m%dT%H%M%S%fZ"
_VERSION = re.compile(r"(\d{8}T\d{12}Z)-[0-9a-f]{8}")


def utc_now() -> datetime:
    """Return the time of the clock, in UTC."""
    return datetime.now(UTC)


def is_version_name(file_name: str) -> bool:
    """Say whether a file name is one this module gives to versions."""
    return file_name.endswith(SUFFIX) and _VERSION.fullmatch(file_name.removesuffix(SUFFIX)) is not None


def stamp_time(path: Path) -> datetime:
    """Return the UTC time in the name of a version; versions of a partition are strictly ordered by it."""
    stamp = path.name.split("-")[0]
    return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)


def stamp_of(moment: datetime) -> str:
    """Return what the name of a version written at a moment begins with; names sort as their stamps do."""
    return moment.astimezone(UTC).strftime(_STAMP)


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, in any order; none where it does not exist."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []


def versions_among(names: Iterable[str]) -> list[str]:
    """Return the versions among the names in a partition folder, oldest first."""
    return sorted(filter(is_version_name, names))


def newest_among(names: Iterable[str]) -> str | None:
    """Return the current version among the names in a partition folder, or None where there is none."""
    return max(filter(is_version_name, names), default=None)


def next_version(newest: str | None) -> str:
    """Return a name for the version after this one: later than it, whatever the clock says, and unlike any other."""
    stamp = utc_now()
    if newest is not None:
        stamp = max(stamp, stamp_time(Path(newest)) + timedelta(microseconds=1))
    return f"{stamp_of(stamp)}-{secrets.token_hex(4)}{SUFFIX}"


def encode(frame: pl.DataFrame, record: FileRecord) -> memoryview:
    """Return the frame as the bytes of a zstd Parquet file that carries the record in its footer."""
    buffer = io.BytesIO()
    # The same bytes as `DataFrame.write_parquet`, whose streaming engine takes half as long again to get ready.
    frame.lazy().sink_parquet(
        buffer, compression="zstd", statistics=True, metadata=metadata_of(record), engine="in-memory"
    )
    return buffer.getbuffer()


def write_version(folder: Path, content: memoryview) -> tuple[Path, bool]:
    """Put content in place as the new current version of a partition folder.

    Parameters
    ----------
    folder
        Folder of the partition; made where it does not exist.
    content
        Bytes of the whole file.

    Returns
    -------
    tuple
        The new file, and whether it is the first version: then the caller has to `flush_parents` of the folder, once
        for all the folders it has made.

    Raises
    ------
    StorageFailed
        When the file system refuses; the temporary file is removed and the version of before is still current.
    """
    with storage_failures(folder):
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        try:
            write_flushed(temporary, content)
            newest = newest_among(names_in(folder))
            path = folder / next_version(newest)
            temporary.rename(path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        try:
            flush_folder(folder)
        except OSError:
            path.unlink(missing_ok=True)
            raise
    return path, newest is None


def flush_parents(folders: Iterable[Path], root: Path) -> None:
    """Flush every folder above new partition folders, up to the one that holds the lake, so that they survive a crash.

    Raises
    ------
    StorageFailed
        When the file system refuses.
    """
    above = {parent for folder in folders for parent in folder.parents if parent.is_relative_to(root.parent)}
    with storage_failures(root):
        for parent in sorted(above, reverse=True):
            flush_folder(parent)


@contextlib.contextmanager
def storage_failures(place: Path) -> Iterator[None]:
    """Turn what the file system refuses into `StorageFailed`, with its reason and what can be done."""
    try:
        yield
    except StorageFailed:
        raise
    except OSError as error:
        raise StorageFailed(
            "the file system refused a write; nothing that existed was changed",
            where=str(place),
            cause=f"{error.strerror or error} (errno {error.errno})",
            action="free space or correct the permissions, then run again: what is current is not recomputed",
        ) from error


def write_flushed(path: Path, content: memoryview) -> None:
    """Write a new file and flush it to the disk."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        written = 0
        while written < len(content):
            written += os.write(handle, content[written:])
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_folder(folder: Path) -> None:
    """Flush a folder to the disk, so that the names in it survive a crash."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
