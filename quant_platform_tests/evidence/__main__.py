"""``python -m quant_platform_tests.evidence``: make the tables of ``docs/evidence`` again."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from quant_platform_tests.evidence.run import FULL, REDUCED, write_evidence

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: list[str] | None = None) -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(prog="python -m quant_platform_tests.evidence", description=__doc__)
    parser.add_argument("--reduced", action="store_true", help="three small worlds of each kind, to see that it runs")
    parser.add_argument("--worlds", type=int, help=f"seeds 1 to this of each kind (default {FULL.null_worlds})")
    parser.add_argument("--processes", type=int, default=1, help="processes that simulate (default 1)")
    parser.add_argument("--output", type=Path, help="folder (default docs/evidence, or data/evidence if reduced)")
    options = parser.parse_args(arguments)
    plan = replace(REDUCED if options.reduced else FULL, processes=options.processes)
    command = f"python -m {__package__}" + (" --reduced" if options.reduced else "")
    if options.worlds:
        plan = replace(plan, null_worlds=options.worlds, planted_worlds=options.worlds)
        command += f" --worlds {options.worlds}"
    output = options.output or ROOT / ("data" if options.reduced else "docs") / "evidence"
    write_evidence(plan, output, command, print)


if __name__ == "__main__":
    main()
