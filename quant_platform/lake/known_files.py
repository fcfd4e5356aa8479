"""What this process knows of files that it wrote or opened: their record and their columns, without opening them again.

A version never changes, so what was read of it once stays true. A file that is not what it was (cut off, restored,
replaced by hand) has another size or another time of change, and is opened again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Generic, TypeVar

import polars as pl

from quant_platform.lake.provenance import FileRecord, read_footer, read_record

Types = Mapping[str, pl.DataType]
T = TypeVar("T")


class _Known(Generic[T]):
    """The last files asked for or written, each as it was then."""

    def __init__(self, read: Callable[[Path], T], most: int) -> None:
        self._read, self._most = read, most
        self._lock = threading.Lock()
        self._of: OrderedDict[Path, tuple[tuple[int, int], T]] = OrderedDict()

    def get(self, path: Path) -> T:
        state = _state(path)
        found = self._of.get(path)
        if found is not None and found[0] == state:
            return found[1]
        value = self._read(path)
        self._put(path, state, value)
        return value

    def note(self, path: Path, value: T) -> None:
        try:
            self._put(path, _state(path), value)
        except OSError:
            # Gone again, or kept elsewhere: whoever wants it opens it.
            return

    def _put(self, path: Path, state: tuple[int, int], value: T) -> None:
        with self._lock:
            self._of[path] = (state, value)
            if len(self._of) > self._most:
                self._of.popitem(last=False)


def _state(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_mtime_ns, state.st_size


def _types_in(path: Path) -> Types:
    read_footer(path)
    return MappingProxyType(dict(pl.scan_parquet(path, glob=False, hive_partitioning=False).collect_schema()))


_TYPES: _Known[Types] = _Known(_types_in, 65_536)
# A record names every input of its partition, which may be thousands.
_RECORDS: _Known[FileRecord] = _Known(read_record, 8_192)


def types_of(path: Path) -> Types:
    """Columns of a Parquet file and their types, in file order; raises CorruptFile, or an error of Polars or the OS."""
    return _TYPES.get(path)


def record_of(path: Path) -> FileRecord:
    """The record of a partition file; raises CorruptFile as `read_record` does."""
    try:
        return _RECORDS.get(path)
    except OSError:
        return read_record(path)


def note_written(path: Path, record: FileRecord, types: Types) -> None:
    """Remember what was just written."""
    _RECORDS.note(path, record)
    _TYPES.note(path, types)
