"""A stage over many partitions, shared with processes that live as long as the run that shares it.

Each process has a stretch of the keys, the same in every stage of a run, so that it finds what the stage before has
written in its own memory. Whoever is done with its own stretch goes on with those of the others: nobody waits for the
slowest. Who takes what decides nothing about the bits of a partition.

The stretches are pipes: a number in one is a block of keys nobody has taken, and reading it out takes it.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from quant_platform.contracts.collecting import collect_seldom
from quant_platform.contracts.companion import LOST, Companion, answer_questions
from quant_platform.lake import known_files
from quant_platform.lake.keys import Key
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import Done, Stage, run_stage, run_taken
from quant_platform.specification.settings import Settings

_NUMBER = 4  # bytes
# An empty pipe takes so many at once, without a reader; 512 bytes are the least that POSIX allows.
_MOST_BLOCKS = getattr(select, "PIPE_BUF", 512) // _NUMBER
_SECONDS_TO_DIE = 5.0


class RunStage(Protocol):
    """Runs a stage over keys; see `quant_platform.pipeline.stage.run_stage`."""

    def __call__(
        self,
        stage: Stage,
        home: Home,
        keys: Sequence[Key],
        /,
        *,
        run_id: str,
        refresh: bool,
        warn: Callable[[str], None],
    ) -> list[Done]:
        """Return one `Done` per key, in the order of ``keys``; ``warn`` is told of processes that were lost."""
        ...


@contextmanager
def shared_with(count: int) -> Iterator[RunStage]:
    """Share stages with further processes until the block ends.

    Parameters
    ----------
    count
        How many further ones. They end with the block or with this process, whichever comes first. What one of them had
        taken when it was lost is made by this process, which says so; a stage that cannot be sent to another
        process is run by this one alone.
    """
    if not count or sys.platform == "win32":
        yield _alone
    elif _AHEAD:
        with closing(_AHEAD.pop()) as shared:
            yield shared
    else:
        with closing(_Shared(count)) as shared:
            yield shared


@contextmanager
def starting_ahead(count: int) -> Iterator[None]:
    """Start the processes now that the first `shared_with` of this block will ask for: they load meanwhile."""
    if count and sys.platform != "win32":
        _AHEAD.append(_Shared(count))
    try:
        yield
    finally:
        while _AHEAD:
            _AHEAD.pop().close()


def _alone(
    stage: Stage, home: Home, keys: Sequence[Key], /, *, run_id: str, refresh: bool, warn: Callable[[str], None]
) -> list[Done]:
    del warn
    return run_stage(stage, home, keys, run_id=run_id, refresh=refresh)


@dataclass(frozen=True)
class _Queue:
    """Numbers of blocks that nobody has taken."""

    reads: int
    writes: int

    @classmethod
    def opened(cls, stack: ExitStack) -> _Queue:
        reads, writes = os.pipe()
        for descriptor in (reads, writes):
            stack.callback(os.close, descriptor)
        os.set_blocking(reads, False)
        return cls(reads, writes)

    def fill(self, numbers: range) -> None:
        os.write(self.writes, b"".join(number.to_bytes(_NUMBER) for number in numbers))


def _take(queue: int) -> int | None:
    """Take the next number out of the reading end of a queue, None where it is empty."""
    with suppress(BlockingIOError):
        # Empty too: who filled it is gone, and this process about to be ended.
        return int.from_bytes(found) if (found := os.read(queue, _NUMBER)) else None
    return None


@dataclass(frozen=True)
class _Share:
    """One stage as its processes share it.

    Attributes
    ----------
    keys
        All keys of the stage.
    block
        Keys that are taken at a time.
    stretches
        For each process that takes part, the reading end of its queue and its positions among ``keys``.
    """

    stage: Stage
    where: Settings
    keys: Sequence[Key]
    block: int
    stretches: tuple[tuple[int, range], ...]
    run_id: str
    refresh: bool

    def run(self, own: int, home: Home) -> list[tuple[int, Done]]:
        """Make what nobody else takes, one's own stretch first; what was made, with its positions."""
        positions: list[int] = []

        def taken() -> Iterator[Key]:
            for position in self._taken(own):
                positions.append(position)
                yield self.keys[position]

        ahead = [self.keys[position] for position in self.stretches[own][1]]
        done = run_taken(self.stage, home, taken(), ahead=ahead, run_id=self.run_id, refresh=self.refresh)
        return list(zip(positions, done, strict=True))

    def _taken(self, own: int) -> Iterator[int]:
        for queue, positions in (*self.stretches[own:], *self.stretches[:own]):
            while (number := _take(queue)) is not None:
                yield from positions[number * self.block : (number + 1) * self.block]


class _Shared:
    """Runs stages together with other processes; the first of the queues is this one's."""

    def __init__(self, count: int) -> None:
        self._open = ExitStack()
        self._queues = [_Queue.opened(self._open) for _ in range(count + 1)]
        self._others: list[Companion] = []
        self._refused = ""
        descriptors = [queue.reads for queue in self._queues]
        try:
            for _ in range(count):
                self._others.append(Companion(__name__, descriptors=descriptors))
        except OSError as refused:
            # No memory or no process is left: the run goes on with those there are.
            self._refused = str(refused)

    def close(self) -> None:
        self._end()
        self._open.close()

    def _end(self) -> None:
        for other in self._others:
            other.end()
        self._others = []

    def __call__(
        self,
        stage: Stage,
        home: Home,
        keys: Sequence[Key],
        /,
        *,
        run_id: str,
        refresh: bool,
        warn: Callable[[str], None],
    ) -> list[Done]:
        if self._refused:
            warn(f"a process that was to share the partitions could not be started: {self._refused}")
            self._refused = ""
        share = self._share(stage, home, keys, run_id, refresh)
        asked = self._asked(share, warn)
        if not asked:
            return run_stage(stage, home, keys, run_id=run_id, refresh=refresh)
        try:
            done = dict(share.run(0, home))
        except BaseException:
            # They still take keys of this stage, and nobody waits for what they say of it.
            self._end()
            raise
        for other in asked:
            done |= self._answer_of(other, warn)
        left = [position for position in range(len(keys)) if position not in done]
        again = run_stage(stage, home, [keys[position] for position in left], run_id=run_id, refresh=refresh)
        done |= zip(left, again, strict=True)
        return [done[position] for position in range(len(keys))]

    def _share(self, stage: Stage, home: Home, keys: Sequence[Key], run_id: str, refresh: bool) -> _Share:
        count = max(1, min(len(self._others) + 1, len(keys)))
        cuts = [len(keys) * place // count for place in range(count + 1)]
        stretches = tuple(
            (queue.reads, range(first, last))
            for queue, first, last in zip(self._queues, cuts[:-1], cuts[1:], strict=False)
        )
        block = max(1, -(-len(keys) // (count * (_MOST_BLOCKS - 1))))
        return _Share(stage, home.settings, keys, block, stretches, run_id, refresh)

    def _asked(self, share: _Share, warn: Callable[[str], None]) -> list[Companion]:
        """The others that have begun with it; none where it is not worth it, or cannot be sent."""
        others = self._others[: len(share.stretches) - 1]
        try:
            questions = [pickle.dumps((share, place + 1)) for place in range(len(others))]
        except (pickle.PicklingError, AttributeError, TypeError) as unsendable:
            warn(f"{share.stage.table.name} is made by one process: it cannot be sent to another one ({unsendable})")
            return []
        if not others:
            return []
        for queue, (_, positions) in zip(self._queues, share.stretches, strict=False):
            queue.fill(range(-(-len(positions) // share.block)))
        asked = []
        for other, question in zip(others, questions, strict=True):
            try:
                other.ask(question)
                asked.append(other)
            except LOST as lost:
                self._lose(other, lost, warn)
        return asked

    def _answer_of(self, other: Companion, warn: Callable[[str], None]) -> dict[int, Done]:
        try:
            found = other.answer()
        except LOST as lost:
            self._lose(other, lost, warn)
            return {}
        if isinstance(found, Exception):
            warn(f"a process that shared the partitions failed ({found}): what it had taken is made again")
            return {}
        done, told = found
        # This process need not open them to know their columns.
        known_files.note_told(told)
        return dict(done)

    def _lose(self, other: Companion, lost: BaseException, warn: Callable[[str], None]) -> None:
        how = repr(lost)
        with suppress(subprocess.TimeoutExpired):
            how = _ending(other.process.wait(timeout=_SECONDS_TO_DIE))
        other.end()
        self._others.remove(other)
        warn(f"a process that shared the partitions ended ({how}): what it had taken is made by the others")


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return f"signal {-code}{', as when memory is short' if -code == signal.SIGKILL else ''}"


_AHEAD: list[_Shared] = []
"""What was started ahead, and nobody has asked for yet."""


def _answered(question: bytes) -> tuple[list[tuple[int, Done]], known_files.Told]:
    share: _Share
    share, own = pickle.loads(question)
    with known_files.telling() as told:
        return share.run(own, Home(share.where)), told


if __name__ == "__main__":
    answer_questions(_answered, prepare=collect_seldom)
