"""Which part of the platform the processor works for: a thread that looks at the others, many times a second.

At each look, what every thread of the process has used since the last one (Linux says so in nanoseconds) goes to the
part that its innermost known frame belongs to. Threads without Python frames, such as those of Polars, work for the
threads that wait for them: what they used goes where the others' went at that look. So the parts add up to the
processor seconds of the process, and no part is instrumented.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

SECONDS_BETWEEN_LOOKS = 0.02
COMPUTING, WRITING, BOOKKEEPING, STARTING = "computing", "lake", "bookkeeping", "starting"
PARTS = (COMPUTING, WRITING, BOOKKEEPING, STARTING)
OTHER = "other"
_TASKS = Path("/proc/self/task")
# By a piece of the path of a source file; the first that fits counts.
_PLACES = (
    ("importlib._bootstrap", STARTING),
    ("/quant_platform/lake/", WRITING),
    ("/quant_platform/defs/", BOOKKEEPING),
    ("/quant_platform/cli/", BOOKKEEPING),
    ("/quant_platform/pipeline/closure.py", BOOKKEEPING),
    ("/quant_platform/specification/", BOOKKEEPING),
    ("/quant_platform/", COMPUTING),
    ("/dagster", BOOKKEEPING),
    ("/sqlalchemy/", BOOKKEEPING),
    ("/alembic/", BOOKKEEPING),
)


def part_of(files: Iterable[str]) -> str:
    """The part that a stack of source files works for.

    Parameters
    ----------
    files
        Paths of the frames, the innermost first. Frames of libraries that serve every part (Polars, numpy) are passed
        over: they work for whoever called them. An import on the way makes all of it part of starting.
    """
    stack = list(files)
    if any("importlib._bootstrap" in path for path in stack):
        return STARTING
    for path in stack:
        found = next((part for piece, part in _PLACES if piece in path), None)
        if found is not None:
            return found
    return OTHER


class Attribution:
    """Processor seconds by part, gathered while the block of `watched` runs."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._before = _used()

    def look(self, own: int) -> None:
        """Add what every thread but the looking one has used since the last look."""
        used, frames = _used(), sys._current_frames()
        named = {thread.native_id: thread.ident for thread in threading.enumerate()}
        spent = {task: seconds - self._before.get(task, 0.0) for task, seconds in used.items() if task != own}
        parts: Counter[str] = Counter()
        without_frames = 0.0
        for task, seconds in spent.items():
            frame = frames.get(named.get(task) or -1)
            if frame is None:
                without_frames += seconds
            elif seconds > 0.0:
                parts[part_of(_files(frame))] += seconds
        total = sum(parts.values())
        waiting = parts if total > 0.0 else Counter({part_of(_files(frames[threading.main_thread().ident or 0])): 1.0})
        for part, seconds in waiting.items():
            parts[part] += without_frames * seconds / sum(waiting.values()) if total > 0.0 else without_frames
        self.seconds.update(parts)
        self._before = used


@contextmanager
def watched() -> Iterator[Attribution]:
    """Attribute the processor seconds of the block; what the looking itself costs is left out."""
    found, stop = Attribution(), threading.Event()

    def look_on() -> None:
        own = threading.get_native_id()
        while not stop.wait(SECONDS_BETWEEN_LOOKS):
            found.look(own)
        found.look(own)

    watcher = threading.Thread(target=look_on, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        stop.set()
        watcher.join()


def _used() -> dict[int, float]:
    """Processor seconds of each thread of this process so far."""
    found = {}
    for task in _TASKS.iterdir():
        try:
            found[int(task.name)] = int((task / "schedstat").read_text().split()[0]) / 1e9
        except (FileNotFoundError, ProcessLookupError):
            # It has ended since the folder was listed, or since its file was opened.
            continue
    return found


def _files(frame: FrameType | None) -> Iterator[str]:
    # A frame of another thread may end while it is read, and what was its caller then is anything: the look ends there.
    while isinstance(frame, FrameType):
        yield frame.f_code.co_filename
        frame = frame.f_back
