"""``python -m quant_platform_tests.evidence.placebo``: what the placebo inside ``p_raw`` costs, and what it prevents.

Null worlds of the simulated perpetuals, where every discovery is false: how many there are with the larger of the
clustered and the placebo p, and with the clustered p alone. What each finds where there is something to find stands in
``survivors.md``. Writes ``docs/evidence/placebo.json`` and ``placebo.md``.
"""

from __future__ import annotations

import multiprocessing
from functools import partial
from typing import Any

import polars as pl

from quant_platform.labs.events.discovery.candidates import evaluate
from quant_platform.labs.events.discovery.hypotheses import judge
from quant_platform.labs.events.discovery.labels import LabelStore
from quant_platform.statistics import wilson_interval
from quant_platform_tests.evidence.event_worlds import load_lab, study
from quant_platform_tests.evidence.run import rounded_to
from quant_platform_tests.evidence.survivors import variants, write_worlds

# Seeds below were looked at while the procedure was made.
FIRST_SEED, WORLDS = 501, 40
RULES = {"placebo_in_p": "the larger of clustered and placebo p", "cluster_p_alone": "the clustered p alone"}


def null_world(seed: int, *, months: int = 6, symbols: int = 4) -> dict[str, Any]:
    """Discoveries of one world under either rule, and cells that pass every gate."""
    specs = load_lab().discovery
    found = study("null", seed, months=months, symbols=symbols)
    candidates = evaluate(found.events, LabelStore(found.panel, specs.discovery), specs, cutoff=found.cutoff)
    rules = variants(candidates, specs)
    return {"seed": seed, **{name: counts(judge(*rules[name])) for name in RULES}}


def counts(rows: pl.DataFrame) -> dict[str, int]:
    """Tests on direction, those that are discoveries, and cells that pass every gate."""
    tests = rows.filter("counted", "tested", pl.col("question").cast(pl.String) == "direction")
    standard = rows.filter(pl.col("track").cast(pl.String) == "standard")
    return {
        "tests": tests.height,
        "discoveries": tests.filter("selected").height,
        "below_level": tests.filter(pl.col("p_raw") <= 0.05).height,
        "standard": standard["alias_group"].n_unique(),
    }


def page(document: dict[str, Any]) -> str:
    """Markdown of the document."""
    made, worlds = document["made"], document["worlds"]
    head = ["p_raw", "worlds with a discovery", "95 %", "discoveries", "p at most 0.05", "pass every gate"]
    rows = []
    for name, words in RULES.items():
        told = [world[name] for world in worlds]
        loud = sum(one["discoveries"] > 0 for one in told)
        interval = wilson_interval(loud, len(told))
        below, tests = sum(one["below_level"] for one in told), sum(one["tests"] for one in told)
        rows.append(
            [
                words,
                f"{loud} of {len(told)}",
                f"{interval.low:.3f} to {interval.high:.3f}",
                str(sum(one["discoveries"] for one in told)),
                f"{100 * below / tests:.1f} % of {tests:,}",
                str(sum(one["standard"] for one in told)),
            ]
        )
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))
    return (
        "\n\n".join(
            [
                "# What the placebo inside p_raw costs, and what it prevents",
                f"SIMULATED. {made['worlds']} worlds in which nothing is true, seeds {made['first_seed']} to "
                f"{made['first_seed'] + made['worlds'] - 1}, all of them; {made['symbols']} perpetuals, "
                f"{made['months']} months. Every discovery in them is false. What each rule finds where there is "
                "something to find is in [survivors](survivors.md).",
                f"Made by `{made['command']}`.",
                table,
            ]
        )
        + "\n"
    )


def run(
    worlds: int, *, first_seed: int, command: str, months: int = 6, symbols: int = 4, processes: int = 1
) -> dict[str, Any]:
    """Simulate and count."""
    found = []
    # Started afresh: a fork of a process whose Polars threads run may hang.
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        tasks = partial(null_world, months=months, symbols=symbols)
        for told in pool.imap(tasks, range(first_seed, first_seed + worlds)):
            found.append(told)
            print(told, flush=True)
    made = {"command": command, "first_seed": first_seed, "worlds": worlds, "months": months, "symbols": symbols}
    return rounded_to({"made": made, "worlds": found}, 6)  # type: ignore[no-any-return]  # a document of the same shape


def main(arguments: list[str] | None = None) -> None:
    """Read the options and run."""
    write_worlds("placebo", __doc__ or "", run, page, (FIRST_SEED, WORLDS), arguments)


if __name__ == "__main__":
    main()
