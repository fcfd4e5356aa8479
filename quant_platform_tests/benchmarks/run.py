"""All benchmarks, each in a process of its own, and the files they leave."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from quant_platform_tests.benchmarks import equity_tables, event_features, factor_study, lake, replay
from quant_platform_tests.benchmarks.machine import load_average, machine, versions
from quant_platform_tests.benchmarks.page import page
from quant_platform_tests.benchmarks.panels import FULL, REDUCED, Shape

ROOT = Path(__file__).resolve().parents[2]
SHAPES = {"full": FULL, "reduced": REDUCED}
DIGITS = 6
ONE_CORE = dict.fromkeys(
    ("POLARS_MAX_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1"
)


def measure(part: str, shape: Shape, work: Path) -> dict[str, Any]:
    """Run one part in this process."""
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "replay": lambda: replay.measure(shape),
        "factor_study": lambda: factor_study.measure(shape),
        "alphalens": lambda: factor_study.compare(shape),
        "equity_tables": lambda: equity_tables.measure(shape),
        "event_features": lambda: event_features.measure(shape),
        "lake": lambda: lake.measure(shape, work),
    }
    return parts[part]()


def run(size: str, output: Path, say: Callable[[str], None]) -> None:
    """Measure everything and write ``results.json`` and ``README.md``."""
    work = ROOT / "data"
    work.mkdir(exist_ok=True)
    found: dict[str, Any] = {
        "command": "python -m quant_platform_tests.benchmarks" + (" --reduced" if size == "reduced" else ""),
        "shape": asdict(SHAPES[size]),
        "machine": machine(),
        "versions": versions(),
        "load_average": {"start": load_average()},
    }
    with tempfile.TemporaryDirectory(dir=work) as compiled:
        # Twice: without compiled kernels on the disk, and with them.
        caches = {"NUMBA_CACHE_DIR": compiled}
        say("replay, kernels not compiled yet")
        cold = in_process_of_its_own("replay", size, ONE_CORE | caches)
        say("replay")
        found["replay"] = in_process_of_its_own("replay", size, ONE_CORE | caches)
        found["replay"]["first_ticker_compiling"] = cold["first_ticker"]
    for part, environment in (
        ("factor_study", ONE_CORE),
        ("alphalens", ONE_CORE),
        ("equity_tables", ONE_CORE),
        ("event_features", ONE_CORE),
        ("lake", {}),
    ):
        say(part)
        found[part] = in_process_of_its_own(part, size, environment)
    found["load_average"]["end"] = load_average()
    write(found, output)


def in_process_of_its_own(part: str, size: str, environment: dict[str, str]) -> dict[str, Any]:
    """Run one part in a fresh interpreter, so that what it loads and starts is its own."""
    answer = subprocess.run(
        [sys.executable, "-m", __package__, "--part", part, *(["--reduced"] if size == "reduced" else [])],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | environment,
    )
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def write(found: dict[str, Any], output: Path) -> None:
    """Write the results and the page made from them."""
    rounded = significant(found)
    output.mkdir(parents=True, exist_ok=True)
    (output / "results.json").write_text(json.dumps(rounded, indent=1, allow_nan=False) + "\n")
    (output / "README.md").write_text(page(rounded))


def significant(value: Any) -> Any:
    """Seconds and counts to six significant digits; mean ICs, which are compared, as they are."""
    if isinstance(value, dict):
        return {key: each if key.startswith("mean_ic") else significant(each) for key, each in value.items()}
    if isinstance(value, list):
        return [significant(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
