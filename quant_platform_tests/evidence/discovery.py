"""``python -m quant_platform_tests.evidence.discovery``: does the event lab's discovery tell the truth?

Null and planted worlds of the simulated perpetuals go through the platform's own path (source, cleaning, join,
features, events, candidates, hypotheses). The oracle knows the true effect of every cell; writes
``docs/evidence/discovery.json`` and ``discovery.md`` after every pair of worlds, so a run may end at any time.
With ``--resume`` it goes on with the worlds that are there, if the same code and specs made them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import kstest

from quant_platform.pipeline.closure import closure, hash_of
from quant_platform.specification.discovery import ONE_SIDED
from quant_platform.specification.settings import settings
from quant_platform.statistics import benjamini_bogomolov, wilson_interval
from quant_platform_tests.evidence.event_worlds import PATH, World, judged_world
from quant_platform_tests.evidence.run import rounded_to

ROOT = Path(__file__).resolve().parents[2]
NULL_BPS = 1.0
STRONG = 5.0
MAX_FDP, MIN_POWER, MIN_SILENT, MIN_KS_P = 0.15, 0.8, 0.9, 0.01
PLANTED: World = "planted_strong"
# Seeds below were looked at while the procedure was made.
FIRST_SEED, WORLDS = 201, 100
LEVEL, BLOCK = 0.05, 20
PROCEDURES = {
    "two_level": "two levels (decides)",
    "two_level_veto": "two levels, shrinkage may veto",
    "two_level_placebo": "two levels, the larger of clustered and placebo p",
    "global": "one global q",
    "per_group": "q inside each group",
}

_BEFORE = (
    "**Judged under the rule before this one**: while `p_raw` was the larger of the clustered and the placebo p, and "
    "before the gate on what surely pays. Today the clustered p decides, which finds more and let one false discovery "
    "through in [forty null worlds](placebo.md). The command above makes the table under it."
)


def directional(rows: pl.DataFrame) -> pl.DataFrame:
    """Directional tests whose true effect is known, alias groups once."""
    return rows.filter(
        pl.col("counted")
        & pl.col("tested")
        & (pl.col("question").cast(pl.String) == "direction")
        & pl.col("oracle_bps").is_not_null()
    )


def looked_for() -> pl.Expr:
    """Size of the true effect as a test looks for it: a trade that has one side is tested for gains, not for losses."""
    gains = pl.col("test").str.contains(f"^({'|'.join(ONE_SIDED)})")
    return pl.when(gains).then(pl.col("oracle_bps")).otherwise(pl.col("oracle_bps").abs())


def with_veto(rows: pl.DataFrame) -> pl.DataFrame:
    """What the two levels select on a larger p: where shrinkage may veto, and with the placebo inside p_raw."""
    tests = rows.filter("counted", "tested", pl.col("question").cast(pl.String) == "direction")
    groups = tests["fdr_group"].to_numpy()
    found = {
        name: benjamini_bogomolov(
            tests.select(pl.max_horizontal("p_raw", other)).to_series().to_numpy(), groups, level=LEVEL
        ).rejected
        for name, other in (("selected_with_veto", "p_shrunk"), ("selected_with_placebo", "p_placebo"))
    }
    return tests.select("alias_group").with_columns(pl.Series(name, each) for name, each in found.items())


def uniformity_p(worlds: list[list[float]], *, draws: int = 9_999) -> float:
    """P that the p-values of all worlds are uniform, worlds being the independent pieces.

    The largest distance of their distribution from the diagonal is compared with those after every world's distance
    has kept or changed its sign as a whole (a wild bootstrap by world). The p of Kolmogorov and Smirnov takes the p of
    one world for independent, which share its returns.
    """
    at = np.linspace(0.0, 1.0, 401)[1:-1]
    away = np.array([[np.sum(np.array(own) <= x) - len(own) * x for x in at] for own in worlds])
    rng = np.random.default_rng(20261121)
    largest = np.abs(away.sum(axis=0)).max()
    signs = rng.choice([-1.0, 1.0], size=(draws, len(worlds)))
    as_large = int((np.abs(signs @ away).max(axis=1) >= largest).sum())
    return (1 + as_large) / (draws + 1)


def independent_p(rows: pl.DataFrame) -> list[float]:
    """One clustered p per event, over all symbols and states at its shortest horizon: little overlaps among these."""
    return (
        directional(rows)
        .filter((pl.col("test") == "forward_return") & (pl.col("symbol") == "ALL") & (pl.col("dimension") == "ALL"))
        .sort("horizon_bars")
        .group_by("event_id", maintain_order=True)
        .first()["p_cluster"]
        .to_list()
    )


def world_summary(rows: pl.DataFrame) -> dict[str, Any]:
    """Count what each procedure reports in one world, and how much of it is false."""
    tests = directional(rows.join(with_veto(rows), on="alias_group", how="left"))
    false = (pl.col("oracle_bps").abs() < NULL_BPS) | (pl.col("oracle_bps").sign() != pl.col("t").sign())
    strong = tests.filter(looked_for() > STRONG * pl.col("standard_error_bps"))
    procedures = {
        "two_level": pl.col("selected"),
        "two_level_veto": pl.col("selected_with_veto"),
        "two_level_placebo": pl.col("selected_with_placebo"),
        "global": (pl.col("q_global") <= 0.05).fill_null(value=False),
        "per_group": (pl.col("q_group") <= 0.05).fill_null(value=False),
    }
    found: dict[str, Any] = {}
    for name, chosen in procedures.items():
        reported = tests.filter(chosen.fill_null(value=False))
        wrong = reported.filter(false).height
        found[name] = {
            "discoveries": reported.height,
            "false": wrong,
            "fdp": wrong / max(1, reported.height),
            "strong_found": strong.filter(chosen).height,
        }
    return {
        "tests": tests.height,
        "groups": tests["fdr_group"].n_unique(),
        "not_null": tests.filter(pl.col("oracle_bps").abs() >= NULL_BPS).height,
        "strong": strong.height,
        "share_below_5_percent": float((tests["p_cluster"] < 0.05).mean() or 0.0),
        **found,
    }


def summary(null: list[dict[str, Any]], planted: list[dict[str, Any]]) -> dict[str, Any]:
    """Summarise over worlds, with the verdicts."""
    own = [world["p"] for world in null]
    p = [value for values in own for value in values]
    blocks = [
        kstest([value for values in own[first : first + BLOCK] for value in values], "uniform").pvalue
        for first in range(0, len(own) - BLOCK + 1, BLOCK)
    ]
    powers = [(world["two_level"]["strong_found"], world["strong"]) for world in planted]
    silent = sum(world["two_level"]["discoveries"] == 0 for world in null)
    share = wilson_interval(silent, len(null))
    strong = sum(world["strong"] for world in planted)
    result: dict[str, Any] = {
        "null_worlds": len(null),
        "null_silent": silent,
        "null_silent_interval": [float(share.low), float(share.high)],
        "null_silent_holds": silent >= MIN_SILENT * len(null),
        "null_share_below_5_percent": float(np.mean([world["share_below_5_percent"] for world in null])),
        "null_p_values": len(p),
        "null_ks_p": float(kstest(p, "uniform").pvalue),
        "null_ks_p_by_twenty": [float(value) for value in blocks],
        "null_uniformity_p": uniformity_p(own),
        "planted_worlds": len(planted),
        "planted_strong_cells": strong,
    }
    result["null_uniform_holds"] = result["null_uniformity_p"] > MIN_KS_P
    result["power_interval"] = power_interval(powers)
    for name in (name for name in PROCEDURES if name in planted[0]):
        result[name] = {
            "null_mean_false": float(np.mean([world[name]["discoveries"] for world in null])),
            "null_silent": sum(world[name]["discoveries"] == 0 for world in null),
            "planted_mean_discoveries": float(np.mean([world[name]["discoveries"] for world in planted])),
            "planted_mean_fdp": float(np.mean([world[name]["fdp"] for world in planted])),
            "power_strong": sum(world[name]["strong_found"] for world in planted) / max(1, strong),
        }
    result["planted_fdp_holds"] = result["two_level"]["planted_mean_fdp"] <= MAX_FDP
    result["planted_power_holds"] = strong > 0 and result["two_level"]["power_strong"] >= MIN_POWER
    return result


def power_interval(found_of: list[tuple[int, int]], *, draws: int = 9_999) -> list[float]:
    """95 % interval of the power, from resampled worlds: the cells of one world share its returns."""
    table = np.array(found_of, dtype=np.float64)
    rng = np.random.default_rng(20261121)
    sums = table[rng.integers(0, len(table), size=(draws, len(table)))].sum(axis=1)
    shares = sums[:, 0] / np.maximum(sums[:, 1], 1.0)
    return [float(np.quantile(shares, 0.025)), float(np.quantile(shares, 0.975))]


def page(document: dict[str, Any]) -> str:
    """Markdown of the document."""
    found, made = document["summary"], document["made"]

    def verdict(name: str) -> str:
        return "holds" if found[name] else "**does not hold**"

    lines = [
        "# Does the event lab's discovery tell the truth?",
        "",
        f"SIMULATED. {made['symbols']} perpetuals, {made['months']} months, seeds {made['first_seed']} to "
        f"{made['first_seed'] + made['worlds'] - 1} of each world, all of them; none was looked at while the procedure "
        "was made. Every world runs through the platform's own path from the source to judged hypotheses, with the "
        "shipped specs. The simulator keeps the expected return of every bar, so the true effect of every cell is "
        f"known. A cell is null where it is below {NULL_BPS:g} bps; a discovery of the wrong sign counts as false. "
        "Counted are the tests on direction; in planted worlds without those on hedged residual returns, whose true "
        "effect is not recorded.",
        "",
        f"Made by `{made['command']}`.",
        "",
        *([] if "two_level_placebo" in found else [_BEFORE, ""]),
        "| claim | measured | verdict |",
        "|---|---|---|",
        f"| no discovery in at least 90 % of null worlds | {found['null_silent']} of {found['null_worlds']} "
        f"(95 %: {100 * found['null_silent_interval'][0]:.0f} to {100 * found['null_silent_interval'][1]:.0f} %) | "
        f"{verdict('null_silent_holds')} |",
        f"| clustered p uniform in null worlds, p of uniformity > 0.01 | {found['null_uniformity_p']:.3f} on "
        f"{found['null_p_values']} p, worlds as the independent pieces | {verdict('null_uniform_holds')} |",
        f"| planted: mean false discovery proportion at most 0.15 | {found['two_level']['planted_mean_fdp']:.3f} | "
        f"{verdict('planted_fdp_holds')} |",
        f"| planted: power at least 0.8 where the true effect exceeds 5 standard errors | "
        f"{found['two_level']['power_strong']:.3f} of {found['planted_strong_cells']} cells (95 %: "
        f"{found['power_interval'][0]:.2f} to {found['power_interval'][1]:.2f}, worlds resampled) | "
        f"{verdict('planted_power_holds')} |",
        "",
        "| procedure | null: mean false discoveries | null: silent worlds | planted: discoveries | planted: false "
        "proportion | planted: power |",
        "|---|---|---|---|---|---|",
    ]
    for name, words in PROCEDURES.items():
        if name not in found:
            continue
        row = found[name]
        lines.append(
            f"| {words} | {row['null_mean_false']:.2f} | {row['null_silent']} | "
            f"{row['planted_mean_discoveries']:.2f} | {row['planted_mean_fdp']:.3f} | {row['power_strong']:.3f} |"
        )
    shares = 100 * found["null_share_below_5_percent"]
    by_twenty = ", ".join(f"{value:.3f}" for value in found["null_ks_p_by_twenty"])
    by_twenty = by_twenty and f", and {by_twenty} on each twenty worlds in turn"
    lines += [
        "",
        f"Of all tests in null worlds {shares:.1f} % have a clustered p below 5 %. Uniformity is judged on one cell "
        "per event and world (all symbols, all states, shortest horizon). Events of one world share its returns, so "
        "the largest distance from the diagonal is compared with those under random signs of whole worlds. The test of "
        f"Kolmogorov and Smirnov, which takes all p for independent, gives {found['null_ks_p']:.3f} on all of them"
        f"{by_twenty}. The false discovery proportion of one world is noisy: read the mean.",
    ]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Task:
    """One world to be judged."""

    world: World
    seed: int
    months: int
    symbols: int


def judged(task: Task) -> tuple[Task, dict[str, Any]]:
    """The summary of a world; of a null one also the p values that overlap little."""
    rows = judged_world(task.world, task.seed, months=task.months, symbols=task.symbols)
    told = {"seed": task.seed, **world_summary(rows)}
    return task, told | ({"p": independent_p(rows)} if task.world == "null" else {})


@cache
def inputs() -> str:
    """Hash of the code that makes and judges a world, and of the specs."""
    digest = hashlib.sha256(hash_of({name for function in PATH for name in closure(function)}).encode())
    specs = settings().specs
    for path in sorted(specs.rglob("*.yaml")):
        digest.update(path.relative_to(specs).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def kept_worlds(document: Mapping[str, Any], made: Mapping[str, Any]) -> dict[tuple[World, int], dict[str, Any]]:
    """The worlds of an earlier document that count for this one.

    Raises
    ------
    SystemExit
        If other code, other specs or markets of another size made them.
    """
    other = [name for name in ("inputs", "months", "symbols") if document["made"].get(name) != made[name]]
    if other:
        raise SystemExit(
            f"the worlds that are there were made with other {' and '.join(other)}: go on in a checkout of the commit "
            "that made them, or start anew without --resume"
        )
    kinds: tuple[tuple[World, str], ...] = (("null", "null"), (PLANTED, "planted"))
    return {(kind, world["seed"]): world for kind, name in kinds for world in document[name]}


def documents(
    worlds: int,
    *,
    first_seed: int,
    made: Mapping[str, Any],
    kept: Mapping[tuple[World, int], dict[str, Any]],
    processes: int = 1,
) -> Iterator[dict[str, Any]]:
    """Simulate what is not kept, and yield the document after every seed that has both of its worlds.

    Parameters
    ----------
    worlds, first_seed
        How many seeds of each world, and the first.
    made
        What stands in the document about its making; the number of worlds is that of the worlds in it.
    kept
        Worlds that need no simulation.
    processes
        How many worlds at a time.
    """
    kinds: tuple[World, ...] = ("null", PLANTED)
    seeds = range(first_seed, first_seed + worlds)
    tasks = [
        Task(kind, seed, made["months"], made["symbols"])
        for seed in seeds
        for kind in kinds
        if (kind, seed) not in kept
    ]
    found = dict(kept)
    for task, told in _judged_all(tasks, processes):
        found[task.world, task.seed] = rounded_to(told, 6)
        print(f"{task.world} {task.seed}: {told['two_level']}", flush=True)
        if task.world == PLANTED:
            yield _document(found, range(first_seed, task.seed + 1), made)
    yield _document(found, seeds, made)


def _judged_all(tasks: list[Task], processes: int) -> Iterator[tuple[Task, dict[str, Any]]]:
    if processes == 1:
        yield from map(judged, tasks)
        return
    # Started afresh: a fork of a process whose Polars threads run may hang.
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(judged, tasks)


def _document(
    found: Mapping[tuple[World, int], dict[str, Any]], seeds: range, made: Mapping[str, Any]
) -> dict[str, Any]:
    null, planted = ([found[kind, seed] for seed in seeds] for kind in ("null", PLANTED))
    command = f"python -m {__spec__.name if __spec__ else __name__}"
    command += "" if len(seeds) == WORLDS else f" --worlds {len(seeds)}"
    command += "" if seeds[0] == FIRST_SEED else f" --first-seed {seeds[0]}"
    document = {
        "made": {"command": command, "first_seed": seeds[0], "worlds": len(seeds), **made},
        "summary": summary(null, planted),
        "null": null,
        "planted": planted,
    }
    return rounded_to(document, 6)  # type: ignore[no-any-return]  # a document of the same shape


def main(arguments: list[str] | None = None) -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(prog="python -m quant_platform_tests.evidence.discovery", description=__doc__)
    parser.add_argument("--worlds", type=int, default=WORLDS, help=f"seeds of each world (default {WORLDS})")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help=f"the first (default {FIRST_SEED})")
    parser.add_argument("--processes", type=int, default=2, help="worlds at a time, 1 GB each (default 2)")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "evidence", help="folder")
    parser.add_argument("--resume", action="store_true", help="keep the worlds that the folder's document holds")
    options = parser.parse_args(arguments)
    made = {"months": 6, "symbols": 4, "inputs": inputs()}
    path = options.output / "discovery.json"
    kept = kept_worlds(json.loads(path.read_text()), made) if options.resume and path.exists() else {}
    options.output.mkdir(parents=True, exist_ok=True)
    for document in documents(
        options.worlds, first_seed=options.first_seed, made=made, kept=kept, processes=options.processes
    ):
        path.write_text(json.dumps(document, indent=1) + "\n")
        path.with_suffix(".md").write_text(page(document))


if __name__ == "__main__":
    main()
