"""A lock between processes that a killed process releases."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from quant_platform.lake.partition_files import storage_failures


@contextlib.contextmanager
def exclusive(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock file at `path`; yields whether it is held, which with `wait` it always is.

    Raises
    ------
    StorageFailed
        When the lock file cannot be made.
    """
    lock = FileLock(path, timeout=-1 if wait else 0, thread_local=False)
    with storage_failures(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(poll_interval=0.02)
        except Timeout:
            held = False
        else:
            held = True
    try:
        yield held
    finally:
        lock.release()
