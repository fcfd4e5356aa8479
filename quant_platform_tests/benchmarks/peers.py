"""``python -m quant_platform_tests.benchmarks.peers``: the engine beside Backtrader, VectorBT and Zipline in one run.

Every framework gets the same decisions, made before, and is asked for its own simulation alone: neither imports nor the
exchange of files count. Each does the job twice in one process and the second counts, so that what is compiled once is
not counted; the engine does it several times and the median counts. Seconds are those of the processor: they hold on a
machine that others use too. A size is only reported where all trades agree.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quant_platform.engine.bars import NANOSECONDS_PER_DAY, Bars
from quant_platform.engine.config import Costs
from quant_platform.engine.sweep import sweep
from quant_platform.engine.trailing import trailing_mean
from quant_platform.labs.parity.adapters import OURS
from quant_platform.labs.parity.cases import Case, at_scale
from quant_platform.labs.parity.environments import FRAMEWORKS
from quant_platform.labs.parity.study import prepare, study_many, trade
from quant_platform_tests.benchmarks.machine import load_average, machine, versions

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "make bench-peers"
SIZES: dict[str, list[Case]] = {
    "full": [at_scale(1, 500_000, minutes=True), at_scale(100, 1_512), at_scale(500, 1_260)],
    "reduced": [at_scale(1, 3_000, minutes=True), at_scale(5, 250)],
}
REPETITIONS = 7


def measure(case: Case, frameworks: Sequence[str], say: Callable[[str], None]) -> dict[str, Any]:
    """Processor seconds of each framework for one size; None with a reason where there are none."""
    prepared = prepare(case)
    runs = [trade(prepared) for _ in range(REPETITIONS + 1)][1:]
    ours = statistics.median(run.seconds for run in runs)
    found: dict[str, Any] = {
        "bars": prepared.bars.shape[0],
        "assets": prepared.bars.shape[1],
        "decisions": prepared.decisions.frame.height,
        "trades": runs[0].trades.height,
        "seconds": {OURS: ours},
        "reasons": {},
        "peak_mb": {},
    }
    say(f"{case.name:<24}{OURS:<16}{ours:.5f} s")
    for framework in frameworks:
        *_, last = study_many([(prepared, runs[0])] * 2, framework, timeout_seconds=1_800.0)
        agrees = last.execution is not None and last.comparison is not None and last.comparison.agrees
        found["seconds"][framework] = last.execution.seconds if agrees and last.execution is not None else None
        found["peak_mb"][framework] = round(last.execution.peak_mb) if last.execution is not None else None
        if not agrees:
            found["reasons"][framework] = last.verdict
        say(f"{case.name:<24}{framework:<16}{found['seconds'][framework]} s {found['reasons'].get(framework, '')}")
    return found


def measure_sweep(assets: int, sessions: int) -> dict[str, Any]:
    """Processor seconds of nine variants of a reversal on every asset, an account per column."""
    rng = np.random.default_rng(1)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, (sessions, assets)), axis=0))
    opens = close * np.exp(rng.normal(0.0, 0.004, (sessions, assets)))
    prices = opens, np.maximum(opens, close) * 1.01, np.minimum(opens, close) * 0.99, close
    bars = Bars(tuple(f"A{a}" for a in range(assets)), NANOSECONDS_PER_DAY * np.arange(sessions), *prices)
    mean, spread = trailing_mean(close, 20), np.full(close.shape, np.nan)
    spread[1:] = np.sqrt(np.maximum(trailing_mean(close * close, 20)[1:] - mean[1:] ** 2, 1e-12))
    distance = (close - mean) / spread
    entries = np.asfortranarray(np.concatenate([distance < -low for low in (1.0, 1.5, 2.0) for _ in range(3)], axis=1))
    exits = np.asfortranarray(np.concatenate([distance > high for _ in range(3) for high in (0.0, 0.5, 1.0)], axis=1))
    places, costs = np.tile(np.arange(assets), 9), Costs(commission_rate=0.001, half_spread=0.0005)
    seconds = []
    for _ in range(REPETITIONS + 1):
        began = time.process_time()
        found = sweep(bars, entries, exits, costs=costs, assets=places)
        seconds.append(time.process_time() - began)
    return {
        "columns": entries.shape[1],
        "bars": entries.size,
        "trades": int(found.to_frame()["trades"].sum()),
        "seconds": statistics.median(seconds[1:]),
    }


def page(found: dict[str, Any]) -> str:
    """The page of the times, in Markdown."""
    lines = [
        "# The engine beside other frameworks",
        "",
        f"Made by `{found['command']}` on {found['machine']['processor']}, {found['machine']['cores']} cores; the load",
        f"of the machine was {found['load'][0]} at the end. Processor seconds of the simulation alone, second run of a",
        "process; in brackets how many times more than the engine. All trades of every size agree.",
        "",
        f"| bars x assets | decisions | trades | engine | {' | '.join(FRAMEWORKS)} |",
        f"|---|--:|--:|--:|{'--:|' * len(FRAMEWORKS)}",
    ]
    for row in found["sizes"]:
        ours = row["seconds"][OURS]
        cells = [
            row["reasons"].get(name, "not run") if (seconds := row["seconds"].get(name)) is None
            else f"{seconds:.3f} ({seconds / ours:,.0f})"
            for name in FRAMEWORKS
        ]  # fmt: skip
        lines.append(
            f"| {row['bars']:,} x {row['assets']} | {row['decisions']:,} | {row['trades']:,} | {ours:.5f} "
            f"| {' | '.join(cells)} |"
        )
    grid = found["sweep"]
    lines += [
        "",
        f"A grid of {grid['columns']:,} columns over {grid['bars']:,} bars (`engine.sweep`, {grid['trades']:,} trades)",
        f"took {1e3 * grid['seconds']:.0f} ms.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write ``peers.json`` and ``peers.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reduced", action="store_true", help="small sizes, to see that everything runs")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks")
    parser.add_argument("--framework", action="append", choices=FRAMEWORKS)
    chosen = parser.parse_args(arguments)
    sizes = SIZES["reduced" if chosen.reduced else "full"]
    found = {
        "command": COMMAND,
        "machine": machine(),
        "versions": versions(),
        "sizes": [measure(case, chosen.framework or FRAMEWORKS, print) for case in sizes],
        "sweep": measure_sweep(*((5, 250) if chosen.reduced else (500, 1_260))),
        "load": load_average(),
    }
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "peers.json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
    (chosen.output / "peers.md").write_text(page(found))


if __name__ == "__main__":
    main()
