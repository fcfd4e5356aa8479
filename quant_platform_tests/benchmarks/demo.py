"""``python -m quant_platform_tests.benchmarks.demo``: what a newcomer waits for, run after run.

Each run is ``quant demo`` into a folder of its own. Before and after it a fixed loop in Python runs in one process per
core at the same time: how long it takes says whether the cores were this machine's own, which no load average inside a
virtual machine tells. Writes ``docs/benchmarks/demo.json`` and ``demo.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from quant_platform_tests.benchmarks.machine import load_average, machine
from quant_platform_tests.commits import commit_of

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "python -m quant_platform_tests.benchmarks.demo"
RUNS = 8
GOAL_SECONDS, GOAL_GIB = 75.0, 2.0
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


def one_run(cores: int) -> dict[str, Any]:
    """Wall and processor seconds of one demo, what its largest process held, and the loop around it."""
    with tempfile.TemporaryDirectory(prefix="quant-demo-") as folder:
        home = Path(folder) / "home"
        command = [str(Path(sys.executable).with_name("quant")), "demo", "--home", str(home)]
        around = [loop_seconds(cores)]
        load = load_average()
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        ended = subprocess.run(command, env=os.environ | {"QUANT_HOME": str(home)}, capture_output=True, text=True)
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        if ended.returncode != 0:
            raise RuntimeError(f"quant demo ended with code {ended.returncode}: {ended.stderr[-2000:]}")
        around.append(loop_seconds(cores))
        return {
            "wall_seconds": round(wall, 1),
            "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
            # Of all processes that have ended, the largest at its largest.
            "largest_process_gib": round(after.ru_maxrss / 2**20, 2),
            "loop_seconds": around,
            "load": load,
        }


def judged(found: dict[str, Any]) -> list[tuple[dict[str, Any], bool]]:
    """Each run, and whether the cores were its own."""
    fastest = min(seconds for run in found["runs"] for seconds in run["loop_seconds"])
    return [(run, max(run["loop_seconds"]) <= OWN * fastest) for run in found["runs"]]


def page(found: dict[str, Any]) -> str:
    """The page of the runs, in Markdown."""
    runs = judged(found)
    own = [run["wall_seconds"] for run, alone in runs if alone]
    every = [run["wall_seconds"] for run, _ in runs]
    below = sum(seconds < GOAL_SECONDS for seconds in every)
    largest = max(run["largest_process_gib"] for run, _ in runs)
    met = f"Time: {'met' if max(every) < GOAL_SECONDS else '**not met by all**'}"
    own_ones = f" Of the {len(own)} whose cores were their own the slowest took {max(own):.1f} s." if own else ""
    lines = [
        "# How long the demo takes",
        "",
        f"Made by `{found['command']}` at {found['commit']} on {found['machine']['processor']},",
        f"{found['machine']['cores']} cores. `quant demo` makes all five labs and judges two signals; the goal is",
        f"{GOAL_SECONDS:g} s on idle cores, and {GOAL_GIB:g} GiB a process. The loop is the same work in Python on",
        f"every core at once, before and after: where it takes more than {OWN:g} times its fastest of these runs,",
        "something else on the host had a part of the cores; of an hour that is slow throughout it says nothing.",
        "",
        "| run | wall s | CPU s | largest process, GiB | loop before, s | loop after, s | load before | own cores |",
        "|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for number, (run, alone) in enumerate(runs, start=1):
        before, after = run["loop_seconds"]
        lines.append(
            f"| {number} | {run['wall_seconds']:.1f} | {run['cpu_seconds']:.1f} | {run['largest_process_gib']:.2f} "
            f"| {before:.2f} | {after:.2f} | {run['load'][0]:.2f} | {'yes' if alone else 'no'} |"
        )
    lines += [
        "",
        f"{below} of {len(every)} runs were below {GOAL_SECONDS:g} s; median {statistics.median(every):.1f} s, slowest",
        f"{max(every):.1f} s.{own_ones} {met}; memory: {'met' if largest < GOAL_GIB else '**not met**'}.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Run the demo some times, and write ``demo.json`` and ``demo.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks")
    chosen = parser.parse_args(arguments)
    measured = machine()
    found = {
        "command": COMMAND,
        "commit": commit_of(ROOT),
        "machine": measured,
        "runs": [one_run(int(measured["cores"])) for _ in range(chosen.runs)],
    }
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "demo.json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
    (chosen.output / "demo.md").write_text(page(found))
    print(page(found))


if __name__ == "__main__":
    main()
