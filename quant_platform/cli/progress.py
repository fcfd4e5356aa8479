"""A progress line for a run: what is being made, how much of it, for how long."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from quant_platform.lake import Lake

SECONDS = 0.5
DRAWN_PER_SECOND = 4
SHARE = 0.02
"""Of a core that looking may cost, and the seconds between two looks that cost less."""


class _Apart(Console):
    """Writes to a stream of its own."""


@contextmanager
def apart(console: Console) -> Iterator[Console]:
    """A console that goes on to write where one writes now, whatever takes the place of standard output meanwhile.

    While a step runs, Dagster has the file there that keeps what the step prints: a progress line would stand still,
    and lines of a command would be in the log of the step. One without a file descriptor stays as it is.
    """
    descriptor = None if isinstance(console, _Apart) else _descriptor_of(console)
    if descriptor is None:
        yield console
        return
    console.file.flush()
    with os.fdopen(os.dup(descriptor), "w", encoding=console.encoding) as stream:
        yield _Apart(file=stream, quiet=console.quiet)


def _descriptor_of(console: Console) -> int | None:
    try:
        return console.file.fileno()
    except (AttributeError, OSError, ValueError):
        return None


@contextmanager
def watching(console: Console, title: str, lake: Lake, tables: Sequence[str], partitions: int) -> Iterator[None]:
    """Show how many partition files of some tables a run has written, until the block ends.

    The count is read off the names of the versions, so it is right whichever process writes; what was current and is
    skipped does not count. Listing thousands of folders costs as much as making them, so the next look waits until the
    last one was at most `SHARE` of the time; where nobody sees the line move there is none.
    """
    started = time.time()
    total = max(1, partitions) * len(tables)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("partition files"),
        TimeElapsedColumn(),
    )
    with (
        apart(console) as own,
        # What a step prints is for its log.
        Progress(
            *columns, console=own, redirect_stdout=False, redirect_stderr=False, refresh_per_second=DRAWN_PER_SECOND
        ) as progress,
    ):
        task = progress.add_task(title, total=total)
        stop = threading.Event()

        def poll() -> None:
            waited = SECONDS
            while not stop.wait(waited):
                began = time.thread_time()
                progress.update(task, completed=min(total, _written(lake, tables, started)))
                waited = max(SECONDS, (time.thread_time() - began) / SHARE)

        watcher = threading.Thread(target=poll, daemon=True)
        if own.is_terminal:
            watcher.start()
        try:
            yield
            progress.update(task, completed=total, description=f"{title} [green]done")
        finally:
            stop.set()
            if watcher.is_alive():
                watcher.join()


def _written(lake: Lake, tables: Sequence[str], since: float) -> int:
    moment = datetime.fromtimestamp(since, UTC)
    return sum(lake.written_since(name, moment) for name in tables)


@contextmanager
def worker_output_to(path: Path) -> Iterator[None]:
    """Send what a run writes to standard error into a file, so that it does not break the progress line.

    Worker processes inherit the descriptor, this process has Python's ``sys.stderr``; errors reach the caller as
    exceptions.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    kept = os.dup(2)
    with path.open("a", encoding="utf-8") as log:
        os.dup2(log.fileno(), 2)
        try:
            with redirect_stderr(log):
                yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
