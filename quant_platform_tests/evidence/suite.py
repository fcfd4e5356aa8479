"""``python -m quant_platform_tests.evidence.suite``: what the traffic light says in worlds whose truth is known."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from quant_platform.labs.suite.audit import audit_signal
from quant_platform.labs.suite.panel import dense_signal
from quant_platform.labs.suite.suite import SuiteResult
from quant_platform_tests.labs.suite.truth import (
    FULL,
    REDUCED,
    SPECS,
    Size,
    clone_world,
    null_world,
    planted_world,
)
from quant_platform_tests.labs.suite.worlds import make_panel

ROOT = Path(__file__).resolve().parents[2]
WORLDS = 20
# Seeds below were used while the rules were made.
FIRST_SEED = 1001
KINDS: dict[str, Callable[[int, Size], SuiteResult]] = {
    "null, half-life 20 sessions": null_world,
    "null, half-life 250 sessions": lambda seed, size: null_world(seed, size, half_life=250.0),
    "planted": planted_world,
    "clone of momentum": clone_world,
}


def study(size: Size, worlds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Judge every kind of world under seeds 1001, 1002, ..., and count the peeking signals that the audit stops."""
    found: dict[str, Any] = {"size": vars(size), "worlds": worlds, "kinds": {}}
    for kind, make in KINDS.items():
        rows = []
        for seed in range(FIRST_SEED, FIRST_SEED + worlds):
            result = make(seed, size)
            reference = result.results[result.reference]
            rows.append(
                {
                    "seed": seed,
                    "colour": result.verdict.colour,
                    "sharpe_net": round(reference.overall("sharpe_net"), 4),
                    "deflated_probability": round(result.selection.deflated.probability, 4),
                    "red_rules": [r.code for r in result.verdict.reasons if r.colour == "red" and r.met],
                    "cautions": [r.code for r in result.verdict.reasons if r.colour == "caution" and r.met],
                }
            )
        found["kinds"][kind] = rows
        say(f"{kind}: {dict(Counter(row['colour'] for row in rows))}")
    stopped = [stopped_peeks(seed, size) for seed in range(FIRST_SEED, FIRST_SEED + worlds)]
    found["peeking signals stopped"] = {name: sum(one[name] for one in stopped) for name in stopped[0]}
    say(f"peeking signals stopped: {found['peeking signals stopped']}")
    return found


def stopped_peeks(seed: int, size: Size) -> dict[str, bool]:
    """Whether the audit stops each of the negative controls in one world."""
    panel = make_panel(seed, names=size.names, sessions=size.sessions)
    price = np.cumprod(1.0 + panel.returns, axis=0)
    ahead = np.full(panel.shape, np.nan)
    ahead[:-1] = panel.returns[1:]
    tomorrow = np.full(panel.shape, np.nan)
    tomorrow[60:-1] = price[61:] / price[:-61] - 1.0
    noise = np.random.default_rng([seed, 5]).standard_normal(panel.shape)
    earlier = noise.copy()
    earlier[: size.sessions // 2] += (
        0.1 * np.random.default_rng([seed, 6]).standard_normal(panel.shape)[: size.sessions // 2]
    )
    controls = {
        "peeks one bar": (ahead / 0.02 + noise, None),
        "tomorrow's adjusted close": (tomorrow, None),
        "full-sample z-score": ((price - price.mean(axis=0)) / price.std(axis=0), None),
        "restated": (noise, earlier),
    }
    return {
        name: not audit_signal(
            dense_signal(name, values),
            panel,
            SPECS.audit,
            min_names=SPECS.suite.min_names,
            earlier=None if before is None else dense_signal(name, before),
        ).passed
        for name, (values, before) in controls.items()
    }


def page(found: dict[str, Any], command: str) -> str:
    """The tables of the page."""
    size = found["size"]
    lines = [
        "# The traffic light in worlds whose truth is known",
        "",
        f"Made by `{command}`. {found['worlds']} simulated worlds of each kind, {size['names']} names over "
        f"{size['sessions']} sessions, preset STANDARD, rules of `specs/suite/verdict.yaml`, which were fixed before. "
        f"The planted score earns {1e4 * size['strength']:g} bps per session and standard deviation.",
        "Seeds 1001 and on were not used while the rules were made. A slow worthless score trades little, costs "
        "little, and its Sharpe ratio of six years has a standard error of 0.41: some are above 0.5 by luck alone, "
        "which is yellow.",
        "",
        "| world | red | yellow | green | median net Sharpe ratio |",
        "|---|--:|--:|--:|--:|",
    ]
    for kind, rows in found["kinds"].items():
        colours = Counter(row["colour"] for row in rows)
        median = float(np.median([row["sharpe_net"] for row in rows]))
        lines.append(f"| {kind} | {colours['red']} | {colours['yellow']} | {colours['green']} | {median:.2f} |")
    as_clone = sum("baseline_clone" in row["red_rules"] for row in found["kinds"]["clone of momentum"])
    lines += [
        "",
        f"Clones that are red *as clones*: {as_clone} of {found['worlds']}.",
        "",
        "| signal that looks ahead | stopped by the audit |",
        "|---|--:|",
    ]
    lines += [f"| {name} | {count} of {found['worlds']} |" for name, count in found["peeking signals stopped"].items()]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(prog="python -m quant_platform_tests.evidence.suite", description=__doc__)
    parser.add_argument("--reduced", action="store_true", help="two small worlds of each kind, to see that it runs")
    parser.add_argument("--output", type=Path, help="folder (default docs/evidence, or data/evidence if reduced)")
    options = parser.parse_args(arguments)
    command = "python -m quant_platform_tests.evidence.suite" + (" --reduced" if options.reduced else "")
    output = options.output or ROOT / ("data" if options.reduced else "docs") / "evidence"
    output.mkdir(parents=True, exist_ok=True)
    found = study(REDUCED if options.reduced else FULL, 2 if options.reduced else WORLDS, print)
    (output / "suite.json").write_text(json.dumps({"command": command, **found}, indent=1) + "\n", encoding="utf-8")
    (output / "suite.md").write_text(page(found, command), encoding="utf-8")


if __name__ == "__main__":
    main()
