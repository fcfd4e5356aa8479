"""The runs of a graph, and beside them, in a second process, those that do not wait for each other.

Most jobs after those over tickers compute on one core. Each begins as soon as what it reads is made, in whichever of
the two processes is free; who makes what decides nothing about the bits. Both record in the same history.
"""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.status import Status
from rich.text import Text

from quant_platform.cli.progress import apart, watching, worker_output_to
from quant_platform.contracts.collecting import collect_seldom
from quant_platform.contracts.companion import LOST, Companion, answer_questions
from quant_platform.contracts.errors import PlatformError
from quant_platform.lake import known_files
from quant_platform.pipeline.home import Home

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from quant_platform.defs.runs import Launch

GRACE_SECONDS = 20.0


@dataclass(frozen=True)
class How:
    """The options of `quant_platform.defs.runs.execute` that all runs of a graph share."""

    refresh: bool = False
    in_process: bool | None = None
    workers: int | None = None


def run_one(launch: Launch, how: How, home: Home, instance: DagsterInstance, console: Console) -> PlatformError | None:
    """Run a job with a progress line.

    Returns
    -------
    PlatformError or None
        What says which tickers were left out because they failed.
    """
    from quant_platform.defs import runs
    from quant_platform.defs.jobs import job_named

    tables = launch.tables or job_named(launch.job, home).tables
    with (
        watching(console, f"{launch.job:<22}", home.lake, tables, len(launch.keys) or 1),
        worker_output_to(log_of(home)),
    ):
        try:
            runs.execute(
                launch,
                instance,
                refresh=how.refresh,
                in_process=how.in_process,
                workers=how.workers,
                may_leave_out=home.schedules.left_out_max,
            )
        except runs.TickersLeftOut as error:
            return error
    return None


def run_each(
    launches: Sequence[Launch],
    waits: Sequence[frozenset[int]],
    how: How,
    home: Home,
    instance: DagsterInstance,
    console: Console,
    *,
    two: bool,
) -> PlatformError | None:
    """Run jobs, each with a progress line when it is done.

    Parameters
    ----------
    launches
        The runs.
    waits
        For each run the positions of those that it waits for.
    how, home, instance, console
        Their options, the market, its history, and where the lines go.
    two
        Whether a second process may take some; if not, they run in their order. It is started when there are two runs
        to begin with, and nothing is lost with it: what it was at is run again by this one.

    Returns
    -------
    PlatformError or None
        What says which tickers were left out because they failed; of two runs, the later one.

    Raises
    ------
    RunFailed
        When a run failed; the one beside it goes on to its end, and no further one is begun.
    KeyboardInterrupt
        When this process was interrupted; both runs were, and what they had written is whole.
    """
    order = _Order(waits if two else [frozenset(range(position)) for position in range(len(waits))])
    with apart(console) as own, _Second(order, launches, how, home, instance, own).ended() as second:

        def waiting(position: int) -> Status:
            return own.status(f"{launches[position].job}, in a second process")

        while (position := order.take(waiting=waiting)) is not None:
            if two and order.another_is_ready():
                second.start()
            order.finished(position, run_one(launches[position], how, home, instance, own))
    return order.left_out


class _Order:
    """Which runs are to do, under way and done, as both processes know it.

    Attributes
    ----------
    left_out
        What the last run said that left tickers out.
    failed
        What a run in the second process failed with.
    """

    def __init__(self, waits: Sequence[frozenset[int]]) -> None:
        self._waits = waits
        self._waiting_for = _waiting_for(waits)
        self._to_do = set(range(len(waits)))
        self._there: set[int] = set()
        self._done: set[int] = set()
        self._stopped = False
        self._changed = threading.Condition()
        self.left_out: PlatformError | None = None
        self.failed: Exception | None = None

    @property
    def at_work_there(self) -> bool:
        """Whether the second process has a run under way."""
        with self._changed:
            return bool(self._there)

    def take(
        self, *, there: bool = False, waiting: Callable[[int], AbstractContextManager[object]] | None = None
    ) -> int | None:
        """Wait for a run that may begin, and take it; None once all are done, or none is to begin any more.

        Of several, that for which most others wait.

        Parameters
        ----------
        there
            Whether it is for the second process.
        waiting
            What is shown while the run at this position is waited for.
        """
        with self._changed:
            while not self.over():
                if ready := self._ready():
                    chosen = max(ready, key=lambda position: (self._waiting_for[position], -position))
                    self._to_do.remove(chosen)
                    if there:
                        self._there.add(chosen)
                    return chosen
                with waiting(min(self._there)) if waiting and self._there else nullcontext():
                    self._changed.wait()
            return None

    def over(self) -> bool:
        """Whether all are done, or none is to begin any more."""
        with self._changed:
            return self._stopped or len(self._done) == len(self._waits)

    def another_is_ready(self) -> bool:
        with self._changed:
            return bool(self._ready())

    def finished(self, position: int, left_out: PlatformError | None) -> None:
        with self._changed:
            self._there.discard(position)
            self._done.add(position)
            self.left_out = left_out or self.left_out
            self._changed.notify_all()

    def give_back(self, position: int) -> None:
        """Let somebody else do a run that was taken."""
        with self._changed:
            self._there.discard(position)
            self._to_do.add(position)
            self._changed.notify_all()

    def stop(self, failed: Exception | None = None) -> None:
        """Let no further run begin."""
        with self._changed:
            self._stopped = True
            self.failed = failed or self.failed
            self._changed.notify_all()

    def _ready(self) -> list[int]:
        return [position for position in self._to_do if self._waits[position] <= self._done]


def _waiting_for(waits: Sequence[frozenset[int]]) -> list[int]:
    """How many runs wait for each, also through others."""
    through: list[set[int]] = [set() for _ in waits]
    for position in reversed(range(len(waits))):
        for earlier in waits[position]:
            through[earlier] |= {position} | through[position]
    return [len(later) for later in through]


@dataclass(frozen=True)
class _Told:
    """What came of a run: what it printed, and who was left out or what failed."""

    lines: str
    left_out: PlatformError | None = None
    failed: PlatformError | None = None


class _Second:
    """The second process, and a thread that hands it one run after the other."""

    def __init__(
        self,
        order: _Order,
        launches: Sequence[Launch],
        how: How,
        home: Home,
        instance: DagsterInstance,
        console: Console,
    ) -> None:
        self._order, self._launches, self._how = order, launches, how
        self._home, self._instance, self._console = home, instance, console
        self._ready = threading.Event()
        self._companion: Companion | None = None
        self._thread: threading.Thread | None = None
        self._refused = False

    def start(self) -> None:
        """Start it, where it was not started yet."""
        if self._companion is not None or self._refused:
            return
        try:
            with worker_output_to(log_of(self._home)):
                self._companion = Companion(__name__)
        except OSError as refused:
            # No memory or no process is left.
            self._refused = True
            self._say(f"no second process could be started ({refused}): the jobs run one after the other")
            return
        told = known_files.known()
        self._thread = threading.Thread(target=self._feed, args=(self._companion, told), daemon=True)
        self._thread.start()

    @contextmanager
    def ended(self) -> Iterator[_Second]:
        """End it with the block: after its run where that came to its end or failed, at once where it was stopped.

        Raises what a run in it failed with, where the block itself does not fail.
        """
        try:
            yield self
            self._wait()
        except Exception:
            # Whatever the run here failed with goes on below; it is no reason to interrupt the one there.
            self._order.stop()
            self._wait()
            if self._order.failed is not None:
                self._say(str(self._order.failed))
            raise
        finally:
            self._order.stop()
            if self._companion is not None:
                self._companion.end(grace_seconds=GRACE_SECONDS if self._order.at_work_there else 0.0)
            if self._thread is not None:
                self._thread.join()
        if self._order.failed is not None:
            raise self._order.failed

    def _wait(self) -> None:
        # No further run is begun now; one that still loads what it needs is not waited for.
        if self._thread is not None and self._ready.is_set():
            self._thread.join()

    def _feed(self, companion: Companion, told: known_files.Told) -> None:
        failed: object
        try:
            companion.ask(partial(_get_ready, told))
            failed = companion.answer()
        except LOST as lost:
            failed = lost
        if failed is not None:
            companion.end()
            if not self._order.over():
                self._say(f"the second process could not get ready ({failed!r}): the jobs run one after the other")
            return
        self._ready.set()
        while (position := self._order.take(there=True)) is not None:
            launch = self._launches[position]
            try:
                coloured = self._console.color_system is not None
                companion.ask(partial(_run_there, launch, self._how, self._console.width, coloured))
                came = companion.answer()
            except LOST as lost:
                came = lost
            if not isinstance(came, _Told):
                self._lose(companion, position, came)
                return
            self._console.print(Text.from_ansi(came.lines.rstrip("\n")), soft_wrap=True)
            if came.failed is not None:
                self._order.stop(came.failed)
            self._order.finished(position, came.left_out)

    def _lose(self, companion: Companion, position: int, came: object) -> None:
        """Let this process do it again, which raises what goes wrong as its own."""
        from quant_platform.defs.runs import end_lost_runs

        job = self._launches[position].job
        try:
            companion.end()
            if not self._order.over():
                self._say(f"the second process was lost at {job} ({came!r}): this one runs it again")
            end_lost_runs(self._instance, job, companion.process.pid)
        finally:
            self._order.give_back(position)

    def _say(self, text: str) -> None:
        self._console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


def log_of(home: Home) -> Path:
    """Where what runs write to standard error goes."""
    return home.settings.home / "dagster" / "workers.log"


def _get_ready(told: known_files.Told) -> None:
    from quant_platform.defs.runs import load_definitions

    known_files.note_told(told)
    load_definitions(Home.from_environment())


def _run_there(launch: Launch, how: How, width: int, coloured: bool) -> _Told:
    from quant_platform.defs import runs

    said = io.StringIO()
    console = Console(file=said, width=width, color_system="truecolor" if coloured else None)
    home = Home.from_environment()
    try:
        with _interruptible(), runs.instance_of(home) as instance:
            left_out = run_one(launch, how, home, instance, console)
    except PlatformError as failed:
        return _Told(said.getvalue(), failed=failed)
    except KeyboardInterrupt:
        # It was told to end, and the run is recorded as interrupted.
        os._exit(0)
    return _Told(said.getvalue(), left_out)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt where this process is told to end, by a person or by the other one.

    Dagster treats the two alike: with Ctrl-C ignored, as it is while nothing runs, it would ignore the other one too.
    """
    for told in (signal.SIGINT, signal.SIGTERM):
        signal.signal(told, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _answered(question: Callable[[], object]) -> object:
    # What is asked comes from this module as others import it, and so do the answers.
    return question()


if __name__ == "__main__":
    answer_questions(_answered, prepare=collect_seldom)
