"""``python -m quant_platform_tests.benchmarks.suite``: what a suite costs, from its core to a stored tear sheet.

Three pieces: the core of STANDARD with its baselines on arrays (warm, in this process); the whole way in a process of
its own, from a signal file to the stored tables and the page; and alphalens with pyfolio at the nearest same work,
where its environment is named.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from quant_platform.labs.suite.backtest import Workbench
from quant_platform.labs.suite.build import contract_rows
from quant_platform.labs.suite.frames import dates_frame, exposures_frame, returns_frame
from quant_platform.labs.suite.panel import Panel, SignalPanel, dense_signal
from quant_platform.labs.suite.suite import prepare_baselines, run_suite
from quant_platform.lake.provenance import Provenance
from quant_platform.pipeline import suite
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.submissions import submit, validate_file
from quant_platform.pipeline.suite_snapshots import make_snapshot
from quant_platform.specification.settings import Settings
from quant_platform.specification.suite import load_preset, load_suite
from quant_platform.statistics.overlap import forget_cosines
from quant_platform_tests.benchmarks.machine import load_average, machine, resident_gib, versions
from quant_platform_tests.labs.suite.worlds import make_panel

ROOT = Path(__file__).resolve().parents[2]
SPECS = ROOT / "specs"
SCRIPT = Path(__file__).with_name("suite_alphalens.py")
COMMAND = "python -m quant_platform_tests.benchmarks.suite"
FULL, REDUCED = ((500, 2_520), (2_000, 2_520)), ((120, 300),)
# The goals: warm processor seconds of the core by names, seconds on the wall of the whole way, and how many times
# faster than alphalens with pyfolio; a signal and returns of 5 million rows within so many seconds and GiB.
CORE_CPU = {500: 1.5, 2_000: 5.0}
WHOLE_WALL, TIMES_FASTER = 10.0, 40.0
# Steps of the peers that are no numbers, as their script names them.
READING, STORING, DRAWING = "reading the file", "storing", "drawing"
LARGE_ROWS, LARGE_WALL, LARGE_GIB = 5_000_000, 30.0, 3.0
REPETITIONS, WHOLE_REPETITIONS = 5, 4
LOOK_SECONDS = 0.25
Signals = dict[str, SignalPanel]


def market(names: int, sessions: int) -> tuple[Panel, SignalPanel, Signals]:
    """A complete panel, a signal that lasts, and three baselines of its returns."""
    panel = make_panel(7, names=names, sessions=sessions)
    noise = np.random.default_rng(8).standard_normal((sessions, names))
    for row in range(1, sessions):
        noise[row] += 0.93 * noise[row - 1]
    level = np.cumprod(1.0 + panel.returns, axis=0)

    def ahead(past: int, skip: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        out = np.full(level.shape, np.nan)
        out[past:] = level[past - skip : len(level) - skip] / level[: len(level) - past] - 1.0
        return out

    volatility = pl.DataFrame(panel.returns).select(pl.all().rolling_std(126)).fill_null(np.nan).to_numpy()
    known = {"momentum": ahead(252, 21), "reversal": -ahead(5, 0), "low_volatility": -volatility}
    return panel, dense_signal("mine", noise), {name: dense_signal(name, values) for name, values in known.items()}


def core(names: int, sessions: int, repetitions: int = REPETITIONS) -> dict[str, Any]:
    """Seconds of STANDARD and its baselines on arrays; nothing computed is kept from one repetition to the next."""
    panel, signal, known = market(names, sessions)
    numbers, preset = load_suite(SPECS), load_preset(SPECS, "STANDARD")
    cpu, wall = [], []
    for _ in range(repetitions + 1):
        fresh = replace(panel)
        forget_cosines()
        began = time.process_time(), time.perf_counter()
        bench = Workbench(fresh, numbers.suite, numbers.costs)
        prepared = prepare_baselines(list(known.values()), bench, preset)
        run_suite(
            signal, prepared, bench, preset, numbers, signal_hash="0", evaluated_at=datetime(2026, 1, 1, tzinfo=UTC)
        )
        cpu.append(time.process_time() - began[0])
        wall.append(time.perf_counter() - began[1])
    return {
        "names": names,
        "sessions": sessions,
        "variants": len(preset.configs()),
        "baselines": len(known),
        "cpu_seconds": statistics.median(cpu[1:]),
        "cpu_range": [min(cpu[1:]), max(cpu[1:])],
        "wall_seconds": statistics.median(wall[1:]),
        "first_cpu_seconds": cpu[0],
    }


def stored_market(folder: Path, names: int, sessions: int) -> tuple[Home, str, Path]:
    """A home of returns with a snapshot, and a file of a signal; none of it is timed."""
    panel, signal, _ = market(names, sessions)
    (folder / "home").mkdir(parents=True)
    declared = {
        "source": "panel_files",
        "universe": "panel_files",
        "locations": {"data": str(folder)},
        "first_session": panel.sessions[0].item(),
        "last_session": panel.sessions[-1].item(),
    }
    (folder / "home" / "home.yaml").write_text(yaml.safe_dump(declared))
    home = Home(Settings(home=folder / "home", specs=SPECS))
    stamp = Provenance("benchmark", "1", "", {}, "benchmark", {}, simulated=True)
    for name, frame in (("suite.returns", returns_frame(panel)), ("suite.exposures", exposures_frame(panel))):
        for (year,), part in frame.partition_by("year", as_dict=True).items():
            home.lake.write(name, str(year), part, stamp)
    home.lake.write("suite.dates", None, dates_frame(panel), stamp)
    path = folder / "mine.csv"
    _signal_file(signal, panel, path)
    return home, make_snapshot(home, "US"), path


def _signal_file(signal: SignalPanel, panel: Panel, path: Path) -> None:
    contract_rows(signal, panel).drop("avail_hour").write_csv(path)


def whole(folder: Path, snapshot: str, path: Path) -> dict[str, Any]:
    """From the file of a signal to the stored tables and the page, in this process, whose imports are done.

    The process that draws the page starts and imports within the time, and its processor seconds count.
    """
    imports = time.process_time()
    home = Home(Settings(home=folder / "home", specs=SPECS))
    steps: dict[str, float] = {}
    began = time.process_time(), time.perf_counter()

    def step(name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        found = work()
        steps[name] = time.perf_counter() - start
        return found

    checked = step("read and check the file", lambda: validate_file(home, path))
    step("register it", lambda: submit(home, path, checked, name="mine", author="benchmark"))
    step("write its rows", lambda: suite.run_signals(home, ["mine"], run_id="run", refresh=False, workers=1))
    suite.ask_for(home, ("mine", snapshot), "STANDARD")
    step(
        "read the snapshot, compute, write, draw",
        lambda: suite.run_suites(home, [("mine", snapshot)], run_id="run", refresh=False, workers=1),
    )
    wall, cpu = time.perf_counter() - began[1], time.process_time() - began[0]
    page = suite.tear_sheet_path(home, ("mine", snapshot))
    drew = resource.getrusage(resource.RUSAGE_CHILDREN)
    drawing = drew.ru_utime + drew.ru_stime
    return {
        "cpu_seconds": cpu + drawing,
        "drawing_cpu_seconds": drawing,
        "wall_seconds": wall,
        "steps_wall": steps,
        "import_cpu_seconds": imports,
        "page_mib": page.stat().st_size / 2**20,
        "file_rows": checked.rows,
    }


def ways(names: int, sessions: int, repetitions: int = WHOLE_REPETITIONS) -> list[dict[str, Any]]:
    """The whole way some times, each in processes of its own, so that its memory is its own.

    Each begins with a copy of a home that has judged nothing; its kernels come from the cache.
    """
    answers: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="quant-suite-bench-") as where:
        _, snapshot, path = stored_market(Path(where) / "market", names, sessions)
        for number in range(repetitions):
            folder = Path(where) / str(number)
            shutil.copytree(path.parent, folder)
            asked = [*(sys.executable, "-m", "quant_platform_tests.benchmarks.suite", "--whole")]
            asked += [str(folder), snapshot, str(folder / path.name)]
            answers.append({"names": names, "sessions": sessions, **_asked(asked)})
            shutil.rmtree(folder)
    return answers


def middle(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The way of median seconds on the wall, with how many there were and their range."""
    wall = [answer["wall_seconds"] for answer in answers]
    one = answers[wall.index(statistics.median_low(wall))]
    return {**one, "ways": len(wall), "wall_range": [min(wall), max(wall)]}


def _asked(command: list[str]) -> dict[str, Any]:
    """What a command answers, with the most that it and the processes it starts held at a time."""
    peak = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        while process.poll() is None:
            peak = max(peak, resident_gib(process.pid))
            time.sleep(LOOK_SECONDS)
        assert process.stdout is not None
        said = process.stdout.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return {**json.loads(said.splitlines()[-1]), "peak_gib": peak}


def alphalens(python: Path, names: int, sessions: int) -> dict[str, Any]:
    """alphalens and pyfolio on the same market: the signal from its file, five variants of it and three baselines."""
    panel, signal, known = market(names, sessions)
    rng = np.random.default_rng(9)
    variants = {f"factor_{k}": signal.by_date + 1e-3 * k * rng.standard_normal(panel.shape) for k in range(1, 6)}
    arrays = {
        "days": panel.sessions.astype("datetime64[ns]"),
        "names": np.array(panel.tickers),
        "prices": 100.0 * np.cumprod(1.0 + panel.returns, axis=0),
        **variants,
        **{f"factor_{name}": one.by_date for name, one in known.items()},
    }
    with tempfile.TemporaryDirectory() as folder:
        data, path = Path(folder) / "data.npz", Path(folder) / "mine.csv"
        np.savez(data, **arrays)
        _signal_file(signal, panel, path)
        asked = [str(python), str(SCRIPT), str(data), str(path), folder]
        found = subprocess.run(asked, capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(found.stdout)
    return answer


def page(found: dict[str, Any]) -> str:
    """The page, in Markdown."""
    lines = [
        "# What a suite costs",
        "",
        f"Made by `{found['command']}` on {found['machine']['processor']}, {found['machine']['cores']} cores; the load",
        f"of the machine was {found['load'][0]} at the end. STANDARD: six variants, three baselines, every slice,",
        "test, deflation and capacity. Medians of warm repetitions; nothing that was computed is kept between them.",
        "",
        "| names x sessions | core, CPU s | range | wall s | goal, CPU s | |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for row in found["core"]:
        goal = CORE_CPU.get(row["names"])
        lines.append(
            f"| {row['names']:,} x {row['sessions']:,} | {row['cpu_seconds']:.2f} | {row['cpu_range'][0]:.2f} to "
            f"{row['cpu_range'][1]:.2f} | {row['wall_seconds']:.2f} | {'' if goal is None else goal} | "
            f"{_met(row['cpu_seconds'], goal)} |"
        )
    lines += [
        "",
        "From a CSV file to the stored tables and the tear sheet, in a process whose imports are done and that has",
        "computed and drawn nothing yet; of several such processes the one of median seconds on the wall. Where peers",
        "were asked, half of the first line's ran before them and half after. A second process draws the page: it",
        "starts and imports within that time, and its processor seconds and the memory it holds at the same time",
        "are added:",
        "",
        "| names x sessions | rows of the file | processes | wall s | range | CPU s | peak GiB | page MiB | goal | |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|---|",
    ]
    for row in found["whole"]:
        large = row["file_rows"] >= LARGE_ROWS
        goal = LARGE_WALL if large else WHOLE_WALL
        within = row["wall_seconds"] <= goal and (not large or row["peak_gib"] <= LARGE_GIB)
        stated = f"{goal:g} s" + (f", {LARGE_GIB:g} GiB" if large else "")
        lines.append(
            f"| {row['names']:,} x {row['sessions']:,} | {row['file_rows']:,} | {row['ways']} | "
            f"{row['wall_seconds']:.1f} | {row['wall_range'][0]:.1f} to {row['wall_range'][1]:.1f} | "
            f"{row['cpu_seconds']:.1f} | {row['peak_gib']:.2f} | {row['page_mib']:.2f} | {stated} | "
            f"{'met' if within else '**not met**'} |"
        )
    lines += ["", *_peer_lines(found)]
    return "\n".join(lines) + "\n"


def _met(value: float, goal: float | None) -> str:
    return "" if goal is None else "met" if value <= goal else "**not met**"


def _peer_lines(found: dict[str, Any]) -> list[str]:
    peer = found["alphalens"]
    if peer is None:
        return ["alphalens and pyfolio were not asked: no environment was named (`--alphalens PYTHON`)."]
    core, whole_way = found["core"][0], found["whole"][0]
    beside = (READING, STORING, DRAWING)
    numbers = [step for step in peer["wall"] if step not in beside]
    rows: dict[str, Sequence[str]] = {
        f"the numbers of {peer['factors']} factors": numbers,
        **{f"&nbsp;&nbsp;{step}": [step] for step in numbers},
        "reading the CSV file of the submitted signal": [READING],
        "storing its rows and all numbers as Parquet": [STORING],
        f"drawing both tear sheets of the submitted signal, {peer['pictures']} PNG": [DRAWING],
        "**all of it**": list(peer["wall"]),
    }

    def sums(steps: Sequence[str]) -> tuple[float, float]:
        return sum(peer["wall"][step] for step in steps), sum(peer["cpu"][step] for step in steps)

    only, total = sums(numbers), sums(list(peer["wall"]))
    times = total[0] / whole_way["wall_seconds"]
    named = ", ".join(f"{name} {number}" for name, number in peer["versions"].items())
    return [
        f"alphalens and pyfolio at the nearest same work, on {whole_way['names']:,} x {whole_way['sessions']:,} in the "
        "same run",
        f"({named}):",
        "",
        "| | wall s | CPU s |",
        "|---|--:|--:|",
        *(f"| {step} | {sums(steps)[0]:.1f} | {sums(steps)[1]:.1f} |" for step, steps in rows.items()),
        "",
        "How many times faster ours is, on the wall, and how many times fewer processor seconds it takes:",
        "",
        "| theirs | ours | wall | CPU | goal | |",
        "|---|---|--:|--:|---|---|",
        f"| the numbers only | the core | {only[0] / core['wall_seconds']:.0f} | "
        f"{only[1] / core['cpu_seconds']:.0f} | | |",
        f"| the numbers only | the whole way | {only[0] / whole_way['wall_seconds']:.1f} | "
        f"{only[1] / whole_way['cpu_seconds']:.1f} | | |",
        f"| all of it | the whole way | {times:.1f} | {total[1] / whole_way['cpu_seconds']:.1f} | "
        f"{TIMES_FASTER:g} times faster | {_reached(times)} |",
        "",
        "Theirs are the submitted signal, five more factors in place of its variants and three more in place of the",
        "baselines: forward returns over three horizons, information coefficients, ten quantiles and their spread, the",
        "turnover of all ten, `perf_stats`; then `alphalens.tears.create_full_tear_sheet`, which computes the numbers",
        "of its signal again, and `pyfolio.tears.create_returns_tear_sheet` without a benchmark. Theirs has no check",
        "of the file, no costs, no residuals, no slices, no deflation, no capacity, and its variants and baselines are",
        "given to it; it has the turnover of every quantile, which ours has not. Ours is a page of HTML whose figures",
        "answer the pointer, theirs are pictures. Both have two cores; theirs uses one. Imports are left out where",
        f"they are done before either begins: {peer['import_cpu']:.1f} CPU s there and "
        f"{whole_way['import_cpu_seconds']:.1f} here. The process that draws ours starts",
        f"and imports within the time; it takes {whole_way['drawing_cpu_seconds']:.1f} of our "
        f"{whole_way['cpu_seconds']:.1f} CPU s.",
    ]


def _reached(times: float) -> str:
    return "met" if times >= TIMES_FASTER else "**not met**"


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write ``suite.json`` and ``suite.md``."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--reduced", action="store_true", help="one small size, to see that everything runs")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks")
    parser.add_argument("--alphalens", type=Path, help="interpreter of an environment with alphalens and pyfolio")
    parser.add_argument("--whole", nargs=3, metavar=("FOLDER", "SNAPSHOT", "FILE"), help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.whole:
        folder, snapshot, path = chosen.whole
        print(json.dumps(whole(Path(folder), snapshot, Path(path))))
        return
    sizes = REDUCED if chosen.reduced else FULL
    several = (1,) if chosen.reduced else ()
    cores = [core(*size, *several) for size in sizes]
    taken = [ways(*size, *several) for size in sizes]
    peer = alphalens(chosen.alphalens, *sizes[0]) if chosen.alphalens else None
    if peer is not None:
        # Theirs takes minutes, in which the machine may become another: ours stands before it and after it.
        taken[0] += ways(*sizes[0], *several)
    found: dict[str, Any] = {
        "command": COMMAND
        + (" --reduced" if chosen.reduced else "")
        + (" --alphalens PYTHON" if chosen.alphalens else ""),
        "machine": machine(),
        "versions": versions(),
        "core": cores,
        "whole": [middle(answers) for answers in taken],
        "alphalens": peer,
        "load": load_average(),
    }
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "suite.json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (chosen.output / "suite.md").write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
