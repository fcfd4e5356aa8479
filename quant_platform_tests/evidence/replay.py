"""``python -m quant_platform_tests.evidence.replay``: do the intervals of the replay cover what they should?

Worlds without an edge, with and without an industry factor, through the platform's own ``hit_rate``, ``calibration``
and ``activation_sweeps`` with the shipped specs; writes ``docs/evidence/replay.json`` and ``replay.md``.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.special import stdtrit

from quant_platform.labs.equity.replay.calibration import calibration
from quant_platform.labs.equity.replay.hit_rate import hit_rate
from quant_platform.labs.equity.replay.sweep import activation_sweeps
from quant_platform.specification.activation import ActivationSpec
from quant_platform.specification.loading import load_spec
from quant_platform.specification.replay import ReplaySpec, load_sweeps
from quant_platform.statistics import wilson_interval
from quant_platform_tests.evidence.replay_worlds import DESIGNS, Design, after_everything, replay_world
from quant_platform_tests.evidence.run import rounded_to, versions

ROOT = Path(__file__).resolve().parents[2]
SPECS = ROOT / "specs"
FIRST_SEED, WORLDS = 1001, 200
GROUPS = ("all", "all:long", "all:short", "qualified", "qualified:long", "qualified:short")
NUMBERS = ("expectancy", "hit_rate")
DIGITS = 4
LOWEST, MEAN_FROM, MEAN_TO = 0.90, 0.93, 0.96
World = dict[str, Any]


def study(task: tuple[Design, int]) -> World:
    """Everything that is judged in one world; an interval is [estimate, low, high], a number without one null."""
    design, seed = task
    activation = load_spec(SPECS / "activation.yaml", ActivationSpec)
    spec = load_spec(SPECS / "replay" / "equity.yaml", ReplaySpec)
    rows = replay_world(design, seed, activation)
    at = after_everything(rows)
    told = {row["value"]: row for row in hit_rate(at, rows, spec).to_dicts()}
    summary = calibration(at, rows, spec).filter(pl.col("bin") == -1, pl.col("model") == "recalibrated").to_dicts()[0]
    sweeps = load_sweeps(SPECS / "sweeps")
    cells = activation_sweeps(list(sweeps), sweeps, rows, activation, spec)
    years = [_interval(row, "expectancy_r", "expectancy") for value, row in told.items() if value.startswith("all:2")]
    judged = [each for each in years if each[1] is not None]
    return {
        "design": design,
        "seed": seed,
        "n": rows.height,
        "weekly_autocorrelation": weekly_autocorrelation(rows),
        "expectancy": {value: _interval(told[value], "expectancy_r", "expectancy") for value in GROUPS},
        "hit_rate": {value: _interval(told[value], "hit_rate", "hit_rate") for value in GROUPS},
        # Of the years with an interval, those whose interval holds the truth.
        "years": [sum(low <= 0.0 <= high for _, low, high in judged), len(judged)],
        "brier_change": _interval(summary, "brier_change", "brier_change"),
        "single_weeks": {
            number: {value: single_weeks(_trades(rows, value), number) for value in GROUPS} for number in NUMBERS
        },
        "wilson": {value: _wilson(_trades(rows, value)) for value in GROUPS},
        "cells_below_5_percent": "".join("1" if below else "0" for below in (cells["p_value"] < 0.05).fill_null(False)),
        "smallest_adjusted_p": cells["p_adjusted"].min(),
    }


def single_weeks(trades: pl.DataFrame, number: str) -> list[float]:
    """The interval that takes weeks for independent: what the replay showed before, in closed form."""
    value = pl.col("realised_r") if number == "expectancy" else (pl.col("outcome") == "target").cast(pl.Float64)
    series = trades.select("week", value.alias("v"))
    mean = float(series["v"].mean())  # type: ignore[arg-type]  # a mean of floats is a float
    sums = series.group_by("week").agg((pl.col("v") - mean).sum())["v"].to_numpy()
    error = math.sqrt(sums.size / (sums.size - 1) * float(sums @ sums)) / trades.height
    half = float(stdtrit(sums.size - 1, 0.975)) * error
    return [mean, mean - half, mean + half]


def weekly_autocorrelation(rows: pl.DataFrame) -> list[float]:
    """Of the mean R of the weeks' trades, at lags of 1 to 3 weeks."""
    means = rows.group_by("week").agg(pl.col("realised_r").mean()).sort("week")["realised_r"].to_numpy()
    away = means - means.mean()
    return [float(np.mean(away[lag:] * away[:-lag]) / np.mean(away * away)) for lag in (1, 2, 3)]


def summary(worlds: list[World]) -> dict[str, Any]:
    """Coverage per group and design, the size of sweep cells, and the verdict."""
    result: dict[str, Any] = {"designs": {}}
    coverages: list[float] = []
    for design in DESIGNS:
        own = [world for world in worlds if world["design"] == design]
        lines = list(_lines(own))
        coverages += [line["coverage"] for line in lines]
        rejected = np.array([[mark == "1" for mark in world["cells_below_5_percent"]] for world in own])
        per_cell = rejected.mean(axis=0)
        change = [world["brier_change"] for world in own]
        truth = float(np.mean([each[0] for each in change]))
        covered, years = (sum(world["years"][place] for world in own) for place in (0, 1))
        result["designs"][design] = {
            "worlds": len(own),
            "mean_trades": float(np.mean([world["n"] for world in own])),
            "weekly_autocorrelation": np.mean([world["weekly_autocorrelation"] for world in own], axis=0).tolist(),
            "groups": lines,
            "one_year_coverage": covered / years,
            "one_year_groups": years,
            "brier_change": truth,
            "brier_change_coverage": share_covering(change, truth),
            "cells": per_cell.size,
            "cell_size": float(rejected.mean()),
            "cell_size_range": [float(per_cell.min()), float(per_cell.max())],
            "worlds_with_an_adjusted_p_below_5_percent": float(
                np.mean([(world["smallest_adjusted_p"] or 1.0) < 0.05 for world in own])
            ),
        }
    result["lowest"], result["mean"] = min(coverages), float(np.mean(coverages))
    result["holds"] = result["lowest"] >= LOWEST and MEAN_FROM <= result["mean"] <= MEAN_TO
    return result


def _lines(own: list[World]) -> Iterator[dict[str, Any]]:
    for number in NUMBERS:
        for group in GROUPS:
            found = [world[number][group] for world in own]
            single = [world["single_weeks"][number][group] for world in own]
            truth = 0.0 if number == "expectancy" else float(np.mean([each[0] for each in found]))
            line = {
                "number": number,
                "group": group,
                "truth": truth,
                "mean": float(np.mean([each[0] for each in found])),
                "coverage": share_covering(found, truth),
                "single_weeks": share_covering(single, truth),
                "width": float(np.mean([_width(a) / _width(b) for a, b in zip(found, single, strict=True)])),
            }
            if number == "hit_rate":
                line["wilson"] = share_covering([world["wilson"][group] for world in own], truth)
            yield line


def share_covering(intervals: list[list[float]], truth: float) -> float:
    """Share of [estimate, low, high] that hold the truth."""
    return float(np.mean([low <= truth <= high for _, low, high in intervals]))


def page(document: dict[str, Any]) -> str:
    """Markdown of the document."""
    found, made = document["summary"], document["made"]
    n = made["worlds"]
    parts = [
        "# Do the intervals of the replay cover what they should?",
        f"SIMULATED. {n} worlds of each of two designs, seeds {made['first_seed']} to {made['first_seed'] + n - 1}, "
        "all of them. Prices are martingales and nothing is charged, so the expectancy of every group is zero; the "
        "true hit rate is the share over all worlds of the design. The trades of each world go through the platform's "
        "own `hit_rate`, `calibration` and `activation_sweeps` with the shipped specs.",
        f"Made by `{made['command']}`. The intervals of every world stand in `replay.json`; a test makes some of them "
        "again and compares.",
        f"Bar: no group below {LOWEST:.2f}, the mean of all {2 * len(GROUPS) * len(DESIGNS)} between {MEAN_FROM:.2f} "
        f"and {MEAN_TO:.2f}. Measured: lowest {found['lowest']:.3f}, mean {found['mean']:.3f}: "
        f"{'holds' if found['holds'] else '**does not hold**'}. With {n} worlds a coverage of .95 has a standard error "
        f"of {math.sqrt(0.95 * 0.05 / n):.3f}.",
    ]
    for design in DESIGNS:
        own = found["designs"][design]
        lags = ", ".join(f"{value:.2f}" for value in own["weekly_autocorrelation"])
        title = "Worlds with an industry factor" if design == "industry" else "Worlds without one"
        parts += [
            f"## {title}",
            f"{own['mean_trades']:,.0f} trades a world. Autocorrelation of the weekly mean R at 1, 2 and 3 weeks: "
            f"{lags}. Beside the coverage of the nominal 95 % that is in force stands that of intervals that take "
            "single weeks, or single trades (Wilson), for independent. Width is that of single weeks times this.",
            _table(
                ["number", "group", "coverage", "single weeks", "Wilson", "width"],
                [
                    [
                        "expectancy" if line["number"] == "expectancy" else "hit rate",
                        line["group"],
                        f"{line['coverage']:.3f}",
                        f"{line['single_weeks']:.3f}",
                        f"{line['wilson']:.3f}" if "wilson" in line else "",
                        f"{line['width']:.2f}",
                    ]
                    for line in own["groups"]
                ],
            ),
            f"- Expectancy of one year alone: {own['one_year_coverage']:.3f} of {own['one_year_groups']:,} groups.\n"
            f"- Change of the Brier score by the proposed correction: {own['brier_change_coverage']:.3f}.\n"
            f"- {own['cells']} sweep cells, each a true null: the 5 % test rejects in {own['cell_size']:.3f} of them "
            f"({own['cell_size_range'][0]:.3f} to {own['cell_size_range'][1]:.3f} by cell). Some p, adjusted over all "
            f"five sweeps together, is below 5 % in {own['worlds_with_an_adjusted_p_below_5_percent']:.3f} of the "
            "worlds.",
        ]
    parts += [
        "## How to read it",
        "The groups of a world share its trades, so the rows are not independent. A market of our own design: trades "
        "that depend on each other over much longer than the horizon are not in it, and would not be covered.",
    ]
    return "\n\n".join(parts) + "\n"


def run(worlds: int, *, first_seed: int, command: str, processes: int = 1) -> dict[str, Any]:
    """Simulate and summarise."""
    tasks = [(design, seed) for design in DESIGNS for seed in range(first_seed, first_seed + worlds)]
    if processes == 1:
        found = [study(task) for task in tasks]
    else:
        # Started afresh: a fork of a process whose Polars threads run may hang.
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            found = pool.map(study, tasks, chunksize=10)
    found = rounded_to(found, DIGITS)
    made = {"command": command, "first_seed": first_seed, "worlds": worlds, "versions": versions()}
    return rounded_to({"made": made, "summary": summary(found), "worlds": found}, DIGITS)  # type: ignore[no-any-return]


def main(arguments: list[str] | None = None) -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(prog=f"python -m {__name__}", description=__doc__)
    parser.add_argument("--worlds", type=int, default=WORLDS, help=f"seeds of each design (default {WORLDS})")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help=f"the first (default {FIRST_SEED})")
    parser.add_argument("--processes", type=int, default=1, help="processes that simulate (default 1)")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "evidence", help="folder")
    options = parser.parse_args(arguments)
    command = "python -m quant_platform_tests.evidence.replay"
    command += "" if options.worlds == WORLDS else f" --worlds {options.worlds}"
    command += "" if options.first_seed == FIRST_SEED else f" --first-seed {options.first_seed}"
    document = run(options.worlds, first_seed=options.first_seed, command=command, processes=options.processes)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "replay.json").write_text(json.dumps(document, separators=(",", ":")) + "\n")
    (options.output / "replay.md").write_text(page(document))


def _trades(rows: pl.DataFrame, value: str) -> pl.DataFrame:
    selection, _, direction = value.partition(":")
    found = rows.filter("qualified") if selection == "qualified" else rows
    return found.filter(pl.col("direction").cast(pl.String) == direction) if direction else found


def _wilson(trades: pl.DataFrame) -> list[float]:
    interval = wilson_interval(int((trades["outcome"] == "target").sum()), trades.height)
    return [float(interval.rate), float(interval.low), float(interval.high)]


def _interval(row: dict[str, Any], estimate: str, prefix: str) -> list[float]:
    return [row[estimate], row[f"{prefix}_low"], row[f"{prefix}_high"]]


def _width(interval: list[float]) -> float:
    return interval[2] - interval[1]


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


if __name__ == "__main__":
    main()
