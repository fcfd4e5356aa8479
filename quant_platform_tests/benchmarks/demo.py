"""``python -m quant_platform_tests.benchmarks.demo``: what a newcomer waits for, run after run.

Each run is ``quant demo`` into a folder of its own. Writes ``docs/benchmarks/demo.json`` and ``demo.md``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from quant_platform_tests.benchmarks.machine import machine
from quant_platform_tests.benchmarks.waiting import OWN, judged, table, timed
from quant_platform_tests.commits import commit_of

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "python -m quant_platform_tests.benchmarks.demo"
RUNS = 8
GOAL_SECONDS, GOAL_GIB = 75.0, 2.0


def one_run(cores: int) -> dict[str, Any]:
    """What one demo took."""
    with tempfile.TemporaryDirectory(prefix="quant-demo-") as folder:
        home = str(Path(folder) / "home")
        return timed(["demo", "--home", home], {"QUANT_HOME": home}, cores)


def page(found: dict[str, Any]) -> str:
    """The page of the runs, in Markdown."""
    runs = judged(found["runs"])
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
        *table(
            found["runs"],
            {
                "wall s": [f"{run['wall_seconds']:.1f}" for run, _ in runs],
                "CPU s": [f"{run['cpu_seconds']:.1f}" for run, _ in runs],
                "largest process, GiB": [f"{run['largest_process_gib']:.2f}" for run, _ in runs],
            },
        ),
    ]
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
