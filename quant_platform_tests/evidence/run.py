"""Simulate the worlds, summarise them, write the tables."""

from __future__ import annotations

import json
import math
import multiprocessing
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from quant_platform_tests.evidence.summaries import damage_summary, null_summary, planted_summary
from quant_platform_tests.evidence.tables import page
from quant_platform_tests.evidence.worlds import COLUMNS, ORACLE, Design, World, load_design, study_world

DIGITS = 6
LIBRARIES = ("numpy", "numba", "polars", "scipy")
Task = tuple[World, int, bool, int | None, int | None]


@dataclass(frozen=True)
class Plan:
    """Which worlds: seeds ``1..worlds`` of each kind, on a market of the spec's size unless stated."""

    null_worlds: int
    planted_worlds: int
    names: int | None = None
    years: int | None = None
    processes: int = 1

    def tasks(self) -> Iterator[Task]:
        """Every world once; the planted ones also without the corporate actions."""
        for seed in range(1, self.null_worlds + 1):
            yield "null", seed, True, self.names, self.years
        for adjusted in (True, False):
            for seed in range(1, self.planted_worlds + 1):
                yield "planted", seed, adjusted, self.names, self.years


FULL = Plan(null_worlds=200, planted_worlds=200)
REDUCED = Plan(null_worlds=3, planted_worlds=3, names=30, years=2)


def write_evidence(plan: Plan, output: Path, command: str, say: Callable[[str], None]) -> None:
    """Run the plan and write ``factor_null.json``, ``factor_planted.json`` and ``factor_tests.md``."""
    tasks = list(plan.tasks())
    found: dict[tuple[str, bool], list[pl.DataFrame]] = {}
    for done, (task, rows) in enumerate(_study_all(tasks, plan.processes), start=1):
        found.setdefault((task[0], task[2]), []).append(rows)
        if done % 20 == 0 or done == len(tasks):
            say(f"{done} of {len(tasks)} worlds")
    null, planted, unadjusted = (
        pl.concat(found[key]) for key in (("null", True), ("planted", True), ("planted", False))
    )
    design = load_design(names=plan.names, years=plan.years)
    signs = {name: design.features.features[name].expected_sign or 0 for name in design.names} | {ORACLE: 1}
    head = {"command": command, "versions": versions(), "market": market(design)}
    documents: dict[str, dict[str, Any]] = {
        "factor_null.json": {
            **head,
            "seeds": [1, plan.null_worlds],
            "summary": null_summary(null),
            "worlds": columns(null),
        },
        "factor_planted.json": {
            **head,
            "seeds": [1, plan.planted_worlds],
            "summary": planted_summary(planted, signs),
            "damage": damage_summary(planted, unadjusted),
            "worlds": columns(planted),
            "worlds_unadjusted": columns(unadjusted),
        },
    }
    output.mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        rounded = rounded_to(document, DIGITS)
        (output / name).write_text(json.dumps(rounded, separators=(",", ":"), allow_nan=False) + "\n")
        documents[name] = rounded
    (output / "factor_tests.md").write_text(page(documents["factor_null.json"], documents["factor_planted.json"]))


def _study_all(tasks: list[Task], processes: int) -> Iterable[tuple[Task, pl.DataFrame]]:
    if processes == 1:
        yield from map(_study, tasks)
        return
    # Started afresh: a fork of a process whose Polars threads run may hang.
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(_study, tasks, chunksize=4)


def _study(task: Task) -> tuple[Task, pl.DataFrame]:
    world, seed, adjusted, names, years = task
    return task, study_world(_design(names, years), world, seed, adjusted=adjusted)


@cache
def _design(names: int | None, years: int | None) -> Design:
    return load_design(names=names, years=years)


def columns(rows: pl.DataFrame) -> dict[str, dict[str, list[Any]]]:
    """Per factor, the columns of its worlds in the order of their seeds."""
    return {
        str(name): rows.filter(pl.col("factor") == name).sort("seed").drop("factor").to_dict(as_series=False)
        for name in rows["factor"].unique(maintain_order=True)
    }


def market(design: Design) -> dict[str, Any]:
    """The numbers a reader needs to judge the tables by."""
    return {
        "names": design.market.names,
        "years": design.market.years,
        "start": str(design.market.start),
        "horizon_sessions": design.factors.horizon_sessions,
        "entry_lag_sessions": design.factors.entry_lag_sessions,
        "quantiles": design.factors.quantiles,
        "columns": list(COLUMNS),
    }


def versions() -> dict[str, str]:
    """Of Python and of the libraries that touch the numbers."""
    found = {"python": ".".join(map(str, sys.version_info[:3])), "architecture": platform.machine()}
    return found | {name: version(name) for name in LIBRARIES}


def rounded_to(value: Any, digits: int) -> Any:
    """Round every number of a nested document; what is not a number becomes null."""
    if isinstance(value, dict):
        return {key: rounded_to(each, digits) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded_to(each, digits) for each in value]
    if isinstance(value, float):
        return round(value, digits) if math.isfinite(value) else None
    return value
