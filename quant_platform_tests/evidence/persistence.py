"""``python -m quant_platform_tests.evidence.persistence``: what the tests of a mean IC say of a premium that wanders.

Weekly ICs of six-week windows plus a premium that is zero on average and comes and goes over years; writes
``docs/evidence/persistence.json`` and ``persistence.md``.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import lfilter

from quant_platform.statistics import ewc_test, group_means_test, nonoverlapping_test
from quant_platform.statistics.checks import Floats
from quant_platform_tests.evidence.run import rounded_to

ROOT = Path(__file__).resolve().parents[2]
WEEKS, WINDOW, OVERLAP, IC_SD = 520, 6, 7, 0.1
HALF_LIVES, PREMIUM_SD = (0, 13, 26, 52, 104), (0.03, 0.05)
SEED, SERIES, LEVEL = 20261125, 1000, 0.05
TESTS: dict[str, Callable[[Floats], float]] = {
    "primary": lambda x: nonoverlapping_test(x, OVERLAP).p,
    "ewc": lambda x: ewc_test(x, overlap=OVERLAP).p,
    "four_blocks": lambda x: group_means_test(x, shortest=3 * OVERLAP).p,
}


def series(rng: np.random.Generator, half_life: int, premium_sd: float, mean: float = 0.0) -> Floats:
    """Weekly ICs that share their windows, around a premium with a half-life in weeks; 0 stands for no premium."""
    noise = np.convolve(rng.standard_normal(WEEKS + WINDOW - 1), np.ones(WINDOW), "valid") * IC_SD / math.sqrt(WINDOW)
    if not half_life:
        return np.asarray(noise + mean)
    kept = 0.5 ** (1.0 / half_life)
    start = premium_sd * rng.standard_normal()
    steps = premium_sd * math.sqrt(1.0 - kept**2) * rng.standard_normal(WEEKS)
    premium, _ = lfilter([1.0], [1.0, -kept], steps, zi=[kept * start])
    return np.asarray(noise + premium + mean)


def run(count: int, command: str) -> dict[str, Any]:
    """Share of series in which each test calls the mean different from zero."""
    lines = []
    cases = [(0, 0.0, 0.0), (0, 0.0, 0.015), (0, 0.0, 0.03)]
    cases += [(half_life, sd, 0.0) for sd in PREMIUM_SD for half_life in HALF_LIVES if half_life]
    for place, (half_life, sd, mean) in enumerate(cases):
        rng = np.random.default_rng([SEED, place])
        found = [series(rng, half_life, sd, mean) for _ in range(count)]
        rates = {name: float(np.mean([test(x) < LEVEL for x in found])) for name, test in TESTS.items()}
        lines.append({"half_life_weeks": half_life, "premium_sd": sd, "mean": mean, **rates})
    document = {"made": {"command": command, "series": count, "seed": SEED}, "lines": lines}
    return rounded_to(document, 4)  # type: ignore[no-any-return]  # a document of the same shape


def page(document: dict[str, Any]) -> str:
    """Markdown of the document."""
    count = document["made"]["series"]
    table = [
        "| premium | half-life, weeks | primary | EWC | four blocks |",
        "| --- | --- | --- | --- | --- |",
    ]
    for line in document["lines"]:
        premium = f"wanders around 0, sd {line['premium_sd']:.2f}" if line["half_life_weeks"] else "none"
        if line["mean"]:
            premium = f"{line['mean']:.3f} throughout"
        rates = " | ".join(f"{100 * line[name]:.1f} %" for name in TESTS)
        table.append(f"| {premium} | {line['half_life_weeks'] or ''} | {rates} |")
    return (
        "# What the tests of a mean IC say of a premium that wanders\n\n"
        f"SIMULATED. {count:,} series of {WEEKS} weekly ICs for each line, six-week windows, standard deviation of an "
        f"IC {IC_SD}. Made by `{document['made']['command']}`.\n\n"
        "Share of series in which the nominal 5 % test calls the mean different from zero. Where the premium is "
        "there throughout, this is power. Where it wanders around zero, it is an error if the mean of all time is "
        "asked for, and true of the ten years that were seen.\n\n" + "\n".join(table) + "\n\n"
        "So EWC covers dependence somewhat beyond the overlap, not over years. `p_blocks`, the t of the means of four "
        "long blocks, stands up longest, and pays for it in power.\n"
    )


def main(arguments: list[str] | None = None) -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(prog=f"python -m {__name__}", description=__doc__)
    parser.add_argument("--series", type=int, default=SERIES, help=f"of each line (default {SERIES})")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "evidence", help="folder")
    options = parser.parse_args(arguments)
    command = "python -m quant_platform_tests.evidence.persistence"
    command += "" if options.series == SERIES else f" --series {options.series}"
    document = run(options.series, command)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "persistence.json").write_text(json.dumps(document, indent=1) + "\n")
    (options.output / "persistence.md").write_text(page(document))


if __name__ == "__main__":
    main()
