"""``python -m quant_platform_tests.benchmarks.kernel_pass``: the event lab's pass over a symbol, by operation.

Every feature, state and event of a year of five-minute bars of one symbol, in this process and one thread; and how far
that is from the least that the memory allows: reading each column once and writing each result once, at the speed at
which this machine copies.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from quant_platform.expressions import evaluate
from quant_platform.labs.events.detection.compute import SymbolEvents, compute_symbol
from quant_platform.labs.events.detection.context import market_context
from quant_platform_tests.benchmarks.event_features import NAMES, market, peak_mib
from quant_platform_tests.benchmarks.machine import load_average, machine, versions
from quant_platform_tests.labs.events.detection.worlds import plan

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "python -m quant_platform_tests.benchmarks.kernel_pass"
FULL_ROWS, REDUCED_ROWS = 105_120, 3_000
REPETITIONS, SHOWN = 9, 12
GOAL = 350_000
_COPIED = 2**23  # numbers of the array that is copied, 64 MiB: more than any cache holds


def measure(rows: int, repetitions: int) -> dict[str, Any]:
    """Processor seconds of the whole, of each operation, and of moving what has to be moved."""
    lab, bars = plan(), market(2, rows)
    name = NAMES[1]
    context = market_context(bars, lab.lab.context, None)[name]

    def whole() -> SymbolEvents:
        return compute_symbol(bars[name], context, lab)

    found = whole()  # warm
    frames = (found.features, found.states, found.flags)
    moved = sum(frame.estimated_size() for frame in (bars[name], context, *frames))
    del found
    seconds = [_cpu(whole) for _ in range(repetitions)]
    shares: dict[str, float] = {}

    def timed(operation: str, *arguments: Any) -> Any:
        began = time.process_time()
        value = untimed(operation, *arguments)
        shares[operation] = shares.get(operation, 0.0) + time.process_time() - began
        return value

    untimed = evaluate.apply
    with mock.patch.object(evaluate, "apply", timed):
        observed = _cpu(whole)
    bandwidth = _bandwidth()
    best = min(seconds)
    return {
        "rows": rows,
        "features": len(lab.lab.features.features),
        "states": len(lab.lab.states),
        "events": len(lab.lab.active),
        "cpu_seconds": best,
        "cpu_median": statistics.median(seconds),
        "rows_per_cpu_second": rows / best,
        "moved_bytes": moved,
        "copied_bytes_per_second": bandwidth,
        "times_the_least": best * bandwidth / moved,
        "observed_seconds": observed,
        "operations": dict(sorted(shares.items(), key=lambda item: -item[1])),
        "peak_mib": peak_mib(),
    }


def _cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _bandwidth() -> float:
    """Bytes read and written per second by a copy, the best of some."""
    source, target = np.ones(_COPIED), np.empty(_COPIED)
    target[:] = source
    return 2 * source.nbytes / min(_cpu(lambda: np.copyto(target, source)) for _ in range(5))


def page(found: dict[str, Any]) -> str:
    """The page, in Markdown."""
    one = found["pass"]
    inside = sum(one["operations"].values())
    met = "met" if one["rows_per_cpu_second"] >= GOAL else "**not met**"
    lines = [
        "# What a pass over a symbol's bars costs",
        "",
        f"Made by `{found['command']}` on {found['machine']['processor']}, {found['machine']['cores']} cores; the load",
        f"of the machine was {found['load'][0]} at the end. {one['rows']:,} five-minute bars of a symbol, one thread,",
        f"{one['features']} features, {one['states']} states and {one['events']} events; best of some passes.",
        "",
        "| | |",
        "|---|--:|",
        f"| CPU seconds, best | {one['cpu_seconds']:.3f} |",
        f"| CPU seconds, median | {one['cpu_median']:.3f} |",
        f"| rows per CPU-second | {one['rows_per_cpu_second']:,.0f} |",
        f"| goal | {GOAL:,}, {met} |",
        f"| columns read and results written, MiB | {one['moved_bytes'] / 2**20:.1f} |",
        f"| a copy on this machine, GiB/s read and written | {one['copied_bytes_per_second'] / 2**30:.1f} |",
        f"| times the seconds of moving them once | {one['times_the_least']:.0f} |",
        f"| peak of the process, MiB | {one['peak_mib']:.0f} |",
        "",
        f"By operation, in a pass that was watched ({one['observed_seconds']:.3f} CPU seconds, {inside:.3f} of them in",
        "operations; the others make conditions into onsets and arrays into frames):",
        "",
        "| operation | CPU ms |",
        "|---|--:|",
    ]
    operations = list(one["operations"].items())
    lines += [f"| `{name}` | {1e3 * seconds:.1f} |" for name, seconds in operations[:SHOWN]]
    lines.append(f"| {len(operations[SHOWN:])} others | {1e3 * sum(s for _, s in operations[SHOWN:]):.1f} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write ``kernel_pass.json`` and ``kernel_pass.md``."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--reduced", action="store_true", help="few rows, to see that everything runs")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks")
    chosen = parser.parse_args(arguments)
    found = {
        "command": COMMAND + (" --reduced" if chosen.reduced else ""),
        "machine": machine(),
        "versions": versions(),
        "pass": measure(*((REDUCED_ROWS, 1) if chosen.reduced else (FULL_ROWS, REPETITIONS))),
        "load": load_average(),
    }
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "kernel_pass.json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
    (chosen.output / "kernel_pass.md").write_text(page(found))


if __name__ == "__main__":
    main()
