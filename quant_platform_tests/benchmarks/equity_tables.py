"""Cleaning and features: rows per second of one core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from quant_platform.labs.equity.features.equity import compute_equity_features, feature_plan
from quant_platform.market.cleaning import clean_bars
from quant_platform.specification.cleaning import CleaningSpec
from quant_platform.specification.features import load_equity_features
from quant_platform.specification.loading import load_spec
from quant_platform_tests.benchmarks import panels
from quant_platform_tests.benchmarks.panels import Shape
from quant_platform_tests.benchmarks.timing import clocked, in_turns, summary

SPECS = Path(__file__).resolve().parents[2] / "specs"


def measure(shape: Shape) -> dict[str, Any]:
    """Time both over all tickers, one call per ticker as the assets do."""
    bars = list(panels.clean_bars(shape))
    raw = [(panels.raw_bars(frame), panels.dividends(frame)) for frame in bars]
    days = np.array(panels.weekdays(shape.sessions), dtype="datetime64[D]")
    rules = load_spec(SPECS / "cleaning/equity.yaml", CleaningSpec)
    specs = load_equity_features(SPECS)
    plan = feature_plan(specs)
    timed = in_turns(
        {
            "cleaning": clocked(lambda: [clean_bars(rows, actions, rules, days) for rows, actions in raw]),
            "features": clocked(lambda: [compute_equity_features(frame, specs, plan) for frame in bars]),
        },
        shape.repetitions,
    )
    rows = sum(frame.height for frame in bars)
    found: dict[str, Any] = {"rows": rows, "feature_count": len(specs.features)}
    for name, samples in timed.items():
        found[name] = summary(samples)
        found[f"{name}_rows_per_cpu_second"] = rows / found[name]["cpu_seconds"]
    return found
