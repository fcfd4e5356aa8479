"""Commands that a person waits for, timed beside a loop that says whether the cores were this machine's own.

Before and after a command a fixed loop in Python runs in one process per core at the same time; no load average inside
a virtual machine tells what others on its host do.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quant_platform_tests.benchmarks.machine import load_average

OWN = 1.25
"""A run had its cores to itself where the loop took at most this many times its fastest, before and after."""
_LOOP = """
import time
began = time.perf_counter()
total = 0
for number in range(5_000_000):
    total += number * number
print(time.perf_counter() - began)
"""


def loop_seconds(processes: int) -> float:
    """Seconds of the slowest of some processes that run the loop at the same time."""
    started = [
        subprocess.Popen([sys.executable, "-c", _LOOP], stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    return round(max(float(process.communicate(timeout=120)[0]) for process in started), 3)


def timed(arguments: Sequence[str], environment: Mapping[str, str], cores: int) -> dict[str, Any]:
    """Wall and processor seconds of one ``quant`` command, what its largest process held, and the loop around it.

    Raises RuntimeError where the command does not end with 0.
    """
    command = [str(Path(sys.executable).with_name("quant")), *arguments]
    around = [loop_seconds(cores)]
    load = load_average()
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode != 0:
        raise RuntimeError(f"quant {arguments[0]} ended with code {ended.returncode}: {ended.stderr[-2000:]}")
    around.append(loop_seconds(cores))
    return {
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        # Of all processes that have ended, the largest at its largest.
        "largest_process_gib": round(after.ru_maxrss / 2**20, 2),
        "loop_seconds": around,
        "load": load,
    }


def judged(runs: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], bool]]:
    """Each run, and whether the cores were its own."""
    fastest = min(seconds for run in runs for seconds in run["loop_seconds"])
    return [(run, max(run["loop_seconds"]) <= OWN * fastest) for run in runs]


def table(runs: Sequence[dict[str, Any]], columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Lines of a Markdown table with a row per run.

    Parameters
    ----------
    runs
        As `timed` measured them.
    columns
        By title what is shown of each run between its number and the loop.
    """
    titles = ["run", *columns, "loop before, s", "loop after, s", "load before", "own cores"]
    lines = [f"| {' | '.join(titles)} |", f"|{'--:|' * (len(titles) - 1)}---|"]
    for number, (run, alone) in enumerate(judged(runs)):
        before, after = run["loop_seconds"]
        shown = [str(number + 1), *(column[number] for column in columns.values())]
        shown += [f"{before:.2f}", f"{after:.2f}", f"{run['load'][0]:.2f}", "yes" if alone else "no"]
        lines.append(f"| {' | '.join(shown)} |")
    return lines
