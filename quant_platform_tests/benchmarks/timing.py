"""Timing with a warm-up, repetitions in turns, medians and ranges.

Processor seconds come first: on a machine that others use too they say what the work costs, wall seconds who else was
there.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Sample(NamedTuple):
    """Seconds of one repetition: of the processor over all threads of the process, and on the wall."""

    cpu: float
    wall: float


def clocked(work: Callable[[], object]) -> Callable[[], Sample]:
    """Make a piece of work time itself."""

    def run() -> Sample:
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        return Sample(time.process_time() - cpu, time.perf_counter() - wall)

    return run


def in_turns(pieces: Mapping[str, Callable[[], Sample]], repetitions: int) -> dict[str, list[Sample]]:
    """Run every piece once uncounted, then all of them in turn, so that a drift of the machine hits each alike."""
    for piece in pieces.values():
        piece()
    found: dict[str, list[Sample]] = {name: [] for name in pieces}
    for _ in range(repetitions):
        for name, piece in pieces.items():
            found[name].append(piece())
    return found


def summary(samples: list[Sample]) -> dict[str, Any]:
    """Median and range of both clocks."""
    result: dict[str, Any] = {"repetitions": len(samples)}
    for name in Sample._fields:
        seconds = [getattr(sample, name) for sample in samples]
        result[f"{name}_seconds"] = statistics.median(seconds)
        result[f"{name}_range"] = [min(seconds), max(seconds)]
    return result


def ratio(slow: list[Sample], fast: list[Sample]) -> dict[str, float]:
    """How many times more processor and wall time, medians of the ratios within a turn."""
    pairs = list(zip(slow, fast, strict=True))
    return {
        "cpu": statistics.median(a.cpu / b.cpu for a, b in pairs),
        "wall": statistics.median(a.wall / b.wall for a, b in pairs),
    }
