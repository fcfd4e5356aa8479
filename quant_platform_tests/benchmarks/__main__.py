"""``python -m quant_platform_tests.benchmarks``: measure, and write ``docs/benchmarks`` anew."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from quant_platform_tests.benchmarks.run import ROOT, SHAPES, measure, run


def main(arguments: list[str] | None = None) -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}", description=__doc__)
    parser.add_argument("--reduced", action="store_true", help="a small market, to see that everything runs")
    parser.add_argument("--part", help="measure one part in this process and print it as JSON")
    parser.add_argument("--output", type=Path, help="folder (default docs/benchmarks, or data/benchmarks if reduced)")
    options = parser.parse_args(arguments)
    size = "reduced" if options.reduced else "full"
    if options.part:
        json.dump(measure(options.part, SHAPES[size], ROOT / "data"), sys.stdout)
        return
    run(size, options.output or ROOT / ("data" if options.reduced else "docs") / "benchmarks", print)


if __name__ == "__main__":
    main()
