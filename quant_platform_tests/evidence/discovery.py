"""``python -m quant_platform_tests.evidence.discovery``: does the event lab's discovery tell the truth?

Null and planted worlds of the simulated perpetuals go through the platform's own path (source, cleaning, join,
features, events, candidates, hypotheses). The oracle knows the true effect of every cell; writes
``docs/evidence/discovery.json`` and ``discovery.md``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import kstest

from quant_platform.statistics import wilson_interval
from quant_platform_tests.evidence.event_worlds import World, judged_world

ROOT = Path(__file__).resolve().parents[2]
NULL_BPS = 1.0
STRONG = 5.0
MAX_FDP, MIN_POWER, MIN_SILENT, MIN_KS_P = 0.15, 0.8, 0.9, 0.01
PLANTED: World = "planted_strong"


def directional(rows: pl.DataFrame) -> pl.DataFrame:
    """Directional tests whose true effect is known, alias groups once."""
    return rows.filter(
        pl.col("counted")
        & pl.col("tested")
        & (pl.col("question").cast(pl.String) == "direction")
        & pl.col("oracle_bps").is_not_null()
    )


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
    tests = directional(rows)
    false = (pl.col("oracle_bps").abs() < NULL_BPS) | (pl.col("oracle_bps").sign() != pl.col("t").sign())
    strong = tests.filter(pl.col("oracle_bps").abs() > STRONG * pl.col("standard_error_bps"))
    procedures = {
        "two_level": pl.col("selected"),
        "global": (pl.col("q_global") <= 0.05).fill_null(value=False),
        "per_group": (pl.col("q_group") <= 0.05).fill_null(value=False),
    }
    found: dict[str, Any] = {}
    for name, chosen in procedures.items():
        reported = tests.filter(chosen)
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
        "standard_tracks": rows.filter(pl.col("track").cast(pl.String) == "standard").height,
        **found,
    }


def summary(null: list[dict[str, Any]], planted: list[dict[str, Any]], p: list[float]) -> dict[str, Any]:
    """Summarise over worlds, with the verdicts."""
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
        "planted_worlds": len(planted),
        "planted_strong_cells": strong,
    }
    result["null_uniform_holds"] = result["null_ks_p"] > MIN_KS_P
    for name in ("two_level", "global", "per_group"):
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


def page(document: dict[str, Any]) -> str:
    """Markdown of the document."""
    found, made = document["summary"], document["made"]

    def verdict(name: str) -> str:
        return "holds" if found[name] else "**does not hold**"

    lines = [
        "# Does the event lab's discovery tell the truth?",
        "",
        f"SIMULATED. {made['symbols']} perpetuals, {made['months']} months, seeds 1 to {made['worlds']} of each world, "
        "none chosen. Every world runs through the platform's own path from the source to judged hypotheses, with the "
        "shipped specs. The simulator keeps the expected return of every bar, so the true effect of every cell is "
        f"known. A cell is null where it is below {NULL_BPS:g} bps; a discovery of the wrong sign counts as false. "
        "Counted are the tests on direction; in planted worlds without those on hedged residual returns, whose true "
        "effect is not recorded.",
        "",
        f"Made by `{made['command']}`.",
        "",
        "| claim | measured | verdict |",
        "|---|---|---|",
        f"| no discovery in at least 90 % of null worlds | {found['null_silent']} of {found['null_worlds']} "
        f"(95 %: {100 * found['null_silent_interval'][0]:.0f} to {100 * found['null_silent_interval'][1]:.0f} %) | "
        f"{verdict('null_silent_holds')} |",
        f"| clustered p uniform in null worlds, KS p > 0.01 | {found['null_ks_p']:.3f} on {found['null_p_values']} p "
        f"| {verdict('null_uniform_holds')} |",
        f"| planted: mean false discovery proportion at most 0.15 | {found['two_level']['planted_mean_fdp']:.3f} | "
        f"{verdict('planted_fdp_holds')} |",
        f"| planted: power at least 0.8 where the true effect exceeds 5 standard errors | "
        f"{found['two_level']['power_strong']:.3f} of {found['planted_strong_cells']} cells | "
        f"{verdict('planted_power_holds')} |",
        "",
        "| procedure | null: mean false discoveries | null: silent worlds | planted: discoveries | planted: false "
        "proportion | planted: power |",
        "|---|---|---|---|---|---|",
    ]
    for name, words in (
        ("two_level", "two levels (decides)"),
        ("global", "one global q"),
        ("per_group", "q inside each group"),
    ):
        row = found[name]
        lines.append(
            f"| {words} | {row['null_mean_false']:.2f} | {row['null_silent']} | "
            f"{row['planted_mean_discoveries']:.2f} | {row['planted_mean_fdp']:.3f} | {row['power_strong']:.3f} |"
        )
    shares = 100 * found["null_share_below_5_percent"]
    lines += [
        "",
        f"Of all tests in null worlds {shares:.1f} % have a clustered p below 5 %. The p of the KS test are those of "
        "one cell per event and world (all symbols, all states, shortest horizon), because cells that share events are "
        "not independent of each other. The false discovery proportion of one world is noisy: read the mean.",
    ]
    return "\n".join(lines) + "\n"


def run(worlds: int, *, months: int, symbols: int, command: str) -> dict[str, Any]:
    """Simulate and summarise."""
    found: dict[str, list[dict[str, Any]]] = {"null": [], PLANTED: []}
    p: list[float] = []
    for seed in range(1, worlds + 1):
        for world in ("null", PLANTED):
            begun = time.monotonic()
            rows = judged_world("null" if world == "null" else PLANTED, seed, months=months, symbols=symbols)
            found[world].append({"seed": seed, **world_summary(rows)})
            if world == "null":
                p += independent_p(rows)
            chosen = found[world][-1]["two_level"]
            print(f"{world} {seed}: {chosen}, {time.monotonic() - begun:.0f} s", flush=True)
    return {
        "made": {"command": command, "worlds": worlds, "months": months, "symbols": symbols},
        "summary": summary(found["null"], found[PLANTED], p),
        "null": found["null"],
        "planted": found[PLANTED],
    }


def main(arguments: list[str] | None = None) -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(prog=f"python -m {__name__}", description=__doc__)
    parser.add_argument("--worlds", type=int, default=20, help="seeds 1 to this of each world (default 20)")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "evidence", help="folder")
    options = parser.parse_args(arguments)
    command = "python -m quant_platform_tests.evidence.discovery"
    command += "" if options.worlds == 20 else f" --worlds {options.worlds}"
    document = run(options.worlds, months=6, symbols=4, command=command)
    options.output.mkdir(parents=True, exist_ok=True)
    rounded = json.loads(json.dumps(document), parse_float=lambda text: round(float(text), 6))
    (options.output / "discovery.json").write_text(json.dumps(rounded, indent=1) + "\n")
    (options.output / "discovery.md").write_text(page(rounded))


if __name__ == "__main__":
    main()
