"""How a run over many partitions is shared out over worker processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

SMALLEST_CHUNK = 8


def worker_count() -> int:
    """Worker processes of a run: one core is left to the machine, and there is always one worker."""
    return max(1, (os.cpu_count() or 1) - 1)


def can_fork() -> bool:
    """Whether worker processes can come from a fork server here."""
    return sys.platform != "win32" and hasattr(os, "fork")


def workers_of_run(run_config: Mapping[str, Any]) -> int:
    """Worker processes that a run asks for, or the machine's number; one where a run stays in its own process."""
    asked = run_config.get("execution", {}).get("config", {})
    if asked.get("in_process") or not can_fork():
        return 1
    return int(asked.get("max_concurrent") or worker_count())


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
