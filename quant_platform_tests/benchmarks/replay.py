"""The weekly replay of many tickers, both directions, on one core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from quant_platform.labs.equity.replay.candidates import replay_ticker
from quant_platform.specification.loading import load_spec
from quant_platform.specification.replay import ReplaySpec
from quant_platform.specification.setups import SetupSpec
from quant_platform_tests.benchmarks import panels
from quant_platform_tests.benchmarks.panels import Shape
from quant_platform_tests.benchmarks.timing import clocked, in_turns, summary

SPECS = Path(__file__).resolve().parents[2] / "specs"


def measure(shape: Shape) -> dict[str, Any]:
    """Time the first ticker of the process, which compiles or loads the kernels, and then all tickers."""
    bars = list(panels.clean_bars(shape))
    days = panels.weekdays(shape.sessions)
    sessions, weeks = (np.array(dates, dtype="datetime64[D]") for dates in (days, panels.week_ends(days)))
    setup, rules = (
        load_spec(SPECS / "setups/equity.yaml", SetupSpec),
        load_spec(SPECS / "replay/equity.yaml", ReplaySpec),
    )

    def one(frame: pl.DataFrame) -> pl.DataFrame:
        return replay_ticker(frame, setup, rules, signal_sessions=weeks, sessions=sessions)

    first = clocked(lambda: one(bars[0]))()
    samples = in_turns({"all": clocked(lambda: [one(frame) for frame in bars])}, shape.repetitions)["all"]
    return {
        "names": shape.names,
        "sessions": shape.sessions,
        "signal_sessions": len(weeks),
        "candidates": sum(one(frame).height for frame in bars),
        "first_ticker": summary([first]),
        "all_tickers": summary(samples),
    }
