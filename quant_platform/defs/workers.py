"""How a run over many partitions is shared out over worker processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from quant_platform.specification.deployment import ExecutorSpec

SMALLEST_CHUNK = 8
WORTH_A_PROCESS = 24
"""Partitions that take about as long as a process takes to start."""


def worker_count() -> int:
    """Worker processes of a run: one core is left to the machine, and there is always one worker."""
    return max(1, (os.cpu_count() or 1) - 1)


def processes_beside(run_config: Mapping[str, Any]) -> int:
    """Processes that a run in its own process asks for to share its partitions with it."""
    asked = run_config.get("execution", {}).get("config", {})
    return int(asked.get("beside", 0)) if asked.get("in_process") else 0


def worth_beside(partitions: int, workers: int | None, executor: ExecutorSpec) -> int:
    """Processes that share so many partitions with that of their run, where no step has a process of its own.

    Parameters
    ----------
    partitions
        Of the run.
    workers
        How many it asks for; None for those of the deployment, or for as many as there are other cores.
    executor
        What executes its steps.
    """
    if executor.distributed or stays_in_process(executor) or sys.platform == "win32":
        return 0
    count = workers or executor.workers or (os.cpu_count() or 1) - 1
    return max(0, min(count, partitions // (SMALLEST_CHUNK if workers else WORTH_A_PROCESS) - 1))


def can_fork() -> bool:
    """Whether worker processes can come from a fork server here."""
    return sys.platform != "win32" and hasattr(os, "fork")


def steps_at_a_time(executor: ExecutorSpec) -> int:
    """Steps of one run that are executed at the same time, where the run asks for no other number."""
    return 1 if stays_in_process(executor) else executor.workers or worker_count()


def stays_in_process(executor: ExecutorSpec) -> bool:
    """Whether every run stays in its own process, whatever it asks for."""
    return executor.name == "in_process" or (executor.name == "fork_server" and not can_fork())


def workers_of_run(run_config: Mapping[str, Any], executor: ExecutorSpec) -> int:
    """Workers that a run asks for, or the deployment's number; one where a run stays in its own process."""
    asked = run_config.get("execution", {}).get("config", {})
    if asked.get("in_process") or stays_in_process(executor):
        return 1
    return int(asked.get("max_concurrent") or steps_at_a_time(executor))


def chunks(keys: Sequence[str], workers: int) -> list[list[str]]:
    """Cut keys into at most ``workers`` contiguous chunks of even size, none smaller than needs its own process."""
    count = max(1, min(workers, len(keys) // SMALLEST_CHUNK))
    size, rest = divmod(len(keys), count)
    cut, start = [], 0
    for position in range(count):
        stop = start + size + (1 if position < rest else 0)
        cut.append(list(keys[start:stop]))
        start = stop
    return cut
