"""What this process knows of files that it wrote or opened: record, columns and rows, without opening them again.

A version never changes, so what was read of it once stays true. A file that is not what it was (cut off, restored,
replaced by hand) has another size or another time of change, and is opened again. Rows are kept of the newest written
files only (`FRAMES_BYTES`): a stage mostly reads what the stage before it has just written, and opening a small file
costs more than computing from it. What judges files (checks, `quant lake check`, snapshots) opens them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Generic, TypeVar

import polars as pl

from quant_platform.lake.provenance import FileRecord, read_footer, read_record

Types = Mapping[str, pl.DataType]
T = TypeVar("T")
_State = tuple[int, int]
"""Time of change and size: a file that has others is not the one that is known."""
Written = tuple[Path, _State]


class _Known(Generic[T]):
    """The last files asked for or written, each as it was then, while they weigh no more than ``most`` together."""

    def __init__(self, most: int, weigh: Callable[[T], int] = lambda _: 1) -> None:
        self._most, self._weigh = most, weigh
        self._lock = threading.Lock()
        self._of: OrderedDict[Path, tuple[_State, T]] = OrderedDict()
        self._weight = 0

    def find(self, path: Path) -> T | None:
        found = self._of.get(path)
        return found[1] if found is not None and found[0] == _state(path) else None

    def get(self, path: Path, read: Callable[[Path], T]) -> T:
        value = self.find(path)
        if value is None:
            state = _state(path)
            value = read(path)
            self._put(path, state, value)
        return value

    def note(self, path: Path, value: T) -> _State | None:
        try:
            state = _state(path)
        except OSError:
            # Gone again, or kept elsewhere: whoever wants it opens it.
            return None
        self._put(path, state, value)
        return state

    def note_as_it_was(self, path: Path, state: _State, value: T) -> None:
        self._put(path, state, value)

    def all(self) -> list[tuple[Path, _State, T]]:
        with self._lock:
            return [(path, state, value) for path, (state, value) in self._of.items()]

    def _put(self, path: Path, state: _State, value: T) -> None:
        with self._lock:
            before = self._of.pop(path, None)
            self._weight += self._weigh(value) - (0 if before is None else self._weigh(before[1]))
            self._of[path] = (state, value)
            while self._weight > self._most:
                _, (_, oldest) = self._of.popitem(last=False)
                self._weight -= self._weigh(oldest)


def _state(path: Path) -> _State:
    state = path.stat()
    return state.st_mtime_ns, state.st_size


def _types_in(path: Path) -> Types:
    read_footer(path)
    return MappingProxyType(dict(pl.scan_parquet(path, glob=False, hive_partitioning=False).collect_schema()))


FRAMES_BYTES = 256 * 2**20
_LARGE = FRAMES_BYTES // 8

_TYPES: _Known[Types] = _Known(65_536)
# A record names every input of its partition, which may be thousands.
_RECORDS: _Known[FileRecord] = _Known(8_192)
_ROWS: _Known[pl.DataFrame] = _Known(FRAMES_BYTES, lambda rows: int(rows.estimated_size()) + 1)


def types_of(path: Path) -> Types:
    """Columns of a Parquet file and their types, in file order; raises CorruptFile, or an error of Polars or the OS."""
    return _TYPES.get(path, _types_in)


def record_of(path: Path) -> FileRecord:
    """The record of a partition file; raises CorruptFile as `read_record` does."""
    try:
        return _RECORDS.get(path, read_record)
    except OSError:
        return read_record(path)


def rows_of(path: Path) -> pl.DataFrame | None:
    """The rows of a file that this process wrote and that is as it was then; None where it has to be opened."""
    try:
        return _ROWS.find(path)
    except OSError:
        return None


def note_written(path: Path, record: FileRecord, rows: pl.DataFrame) -> None:
    """Remember what was just written."""
    _RECORDS.note(path, record)
    types = rows.schema
    state = _TYPES.note(path, types)
    if state is not None and _TOLD is not None:
        _TOLD.setdefault(tuple(types.items()), []).append((path, state))
    if rows.estimated_size() <= _LARGE:
        _ROWS.note(path, rows)


Told = dict[tuple[tuple[str, pl.DataType], ...], list[Written]]
"""Files by their columns and types, which most of a table share."""
_TOLD: Told | None = None


@contextmanager
def telling() -> Iterator[Told]:
    """Collect what is written while the block runs, for another process: `note_told`."""
    global _TOLD
    told: Told = {}
    _TOLD = told
    try:
        yield told
    finally:
        _TOLD = None


def known() -> Told:
    """The files whose columns this process knows, for another process: `note_told`."""
    told: Told = {}
    for path, state, types in _TYPES.all():
        told.setdefault(tuple(types.items()), []).append((path, state))
    return told


def note_told(told: Told) -> None:
    """Remember the columns of files that another process has written, as they were then."""
    for columns, files in told.items():
        types = MappingProxyType(dict(columns))
        for path, state in files:
            _TYPES.note_as_it_was(path, state, types)
