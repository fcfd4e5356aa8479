"""What runs and steps print, kept in files and shown where it would have gone, without a process more.

Dagster follows the two files of a run with two processes of ``tail`` and two of Python that watch over them, which
takes 40 ms of every run and of every step in a process of its own, and ends them before the last lines are through.
Here a thread follows each file to its end. The files are the same, so the web server shows them as it does.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, BinaryIO

from dagster import Field, StringSource
from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.local_compute_log_manager import IO_TYPE_EXTENSION, LocalComputeLogManager
from dagster._serdes import ConfigurableClassData
from dagster._utils import ensure_file, touch_file

from quant_platform.specification.settings import settings

LOOKS_EVERY_SECONDS = 0.1
_AT_ONCE = 1 << 16


class PrintedLogs(LocalComputeLogManager):
    """Files under ``base_dir``, by default ``$DAGSTER_HOME/storage``, as Dagster keeps them."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """``base_dir``, the folder of the files."""
        return {"base_dir": Field(StringSource, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> PrintedLogs:
        """Build what a ``dagster.yaml`` asks for."""
        own = Path(os.environ.get("DAGSTER_HOME") or settings().home / "dagster") / "storage"
        return cls(config_value.get("base_dir") or str(own), inst_data=inst_data)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """Keep and show what is printed while the block runs, programs in C included."""
        paths = [
            Path(self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[kind]))
            for kind in (ComputeIOType.STDOUT, ComputeIOType.STDERR)
        ]
        with mirrored(sys.stdout, paths[0]), mirrored(sys.stderr, paths[1]):
            yield CapturedLogContext(log_key)
        # Tells the page that nothing more will come.
        touch_file(self.get_captured_local_path(log_key, "complete"))


def printed_logs_in(folder: Path) -> dict[str, Any]:
    """Instance settings that keep what is printed in the Dagster folder given, whatever the environment."""
    config = {"base_dir": str(folder / "storage")}
    return {"compute_logs": {"module": __name__, "class": PrintedLogs.__name__, "config": config}}


@contextmanager
def mirrored(stream: Any, path: Path) -> Iterator[None]:
    """Append what goes to a stream to a file, and show it on the stream as before.

    Parameters
    ----------
    stream
        ``sys.stdout`` or ``sys.stderr``. One without a file descriptor, as a test may put there, stays as it is.
    path
        The file, made where it does not exist. It holds everything when the block ends, however it ends, and what was
        printed until then when the process is killed.
    """
    ensure_file(str(path))
    descriptor = _descriptor(stream)
    if descriptor is None:
        yield
        return
    with path.open("rb") as kept, os.fdopen(os.dup(descriptor), "wb", buffering=0) as shown:
        kept.seek(0, os.SEEK_END)
        ended = Event()
        follower = Thread(target=_follow, args=(kept, shown, ended), name="printed-logs", daemon=True)
        follower.start()
        try:
            with redirect_to_file(stream, str(path)):
                yield
        finally:
            ended.set()
            follower.join()


def _follow(kept: BinaryIO, shown: io.RawIOBase, ended: Event) -> None:
    while True:
        # Asked before the file is read, so that what came in between is read in the next round.
        last = ended.is_set()
        while text := kept.read(_AT_ONCE):
            try:
                _write_all(shown, text)
            except OSError:
                # Nobody looks any more: the terminal is closed, or the other end of a pipe.
                return
        if last:
            return
        ended.wait(LOOKS_EVERY_SECONDS)


def _write_all(shown: io.RawIOBase, text: bytes) -> None:
    rest = memoryview(text)
    while rest:
        rest = rest[shown.write(rest) or 0 :]


def _descriptor(stream: Any) -> int | None:
    try:
        found = stream.fileno()
    except (AttributeError, io.UnsupportedOperation):
        return None
    return found if isinstance(found, int) else None
