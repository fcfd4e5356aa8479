"""Worlds in which the right verdict is known, judged by the whole suite."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from quant_platform.labs.suite.backtest import Workbench
from quant_platform.labs.suite.panel import Panel, SignalPanel, dense_signal
from quant_platform.labs.suite.suite import SuiteResult, run_suite
from quant_platform.specification.suite import load_preset, load_suite
from quant_platform_tests.labs.suite.worlds import make_panel, planted_edge, slow_signal

SPECS_FOLDER = Path(__file__).resolve().parents[3] / "specs"
SPECS = load_suite(SPECS_FOLDER)
STANDARD = load_preset(SPECS_FOLDER, "STANDARD")
NOW = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Size:
    """Names and sessions of a world, and the return per session of one standard deviation of a planted score."""

    names: int
    sessions: int
    strength: float


FULL = Size(names=120, sessions=1512, strength=4.0e-4)
REDUCED = Size(names=100, sessions=600, strength=6.0e-4)


def price(panel: Panel) -> np.ndarray:
    """Compounded prices."""
    return np.cumprod(1.0 + np.nan_to_num(panel.returns), axis=0)


def back(values: np.ndarray, rows: int) -> np.ndarray:
    """Values some rows before."""
    out = np.full(values.shape, np.nan)
    out[rows:] = values[:-rows]
    return out


def baselines(panel: Panel) -> list[SignalPanel]:
    """Plain baselines of the panel's own prices."""
    p = price(panel)
    slow = -np.log(panel.market_cap)
    return [
        dense_signal("reversal_5d", -(p / back(p, 5) - 1.0)),
        dense_signal("momentum_12_1", back(p, 21) / back(p, 252) - 1.0),
        dense_signal("size", slow),
    ]


def judge(panel: Panel, signal: SignalPanel, **options: object) -> SuiteResult:
    """The STANDARD suite of one signal."""
    bench = Workbench(panel, SPECS.suite, SPECS.costs)
    return run_suite(
        signal, baselines(panel), bench, STANDARD, SPECS, signal_hash=signal.name, evaluated_at=NOW, **options
    )


def null_world(seed: int, size: Size, half_life: float = 20.0) -> SuiteResult:
    """A score that says nothing about returns."""
    panel = make_panel(seed, names=size.names, sessions=size.sessions)
    score = slow_signal(seed, names=size.names, sessions=size.sessions, half_life=half_life)
    return judge(panel, dense_signal("noise", score))


def planted_world(seed: int, size: Size, **options: object) -> SuiteResult:
    """A score that earns its edge from two sessions after it on."""
    score = slow_signal(seed, names=size.names, sessions=size.sessions, half_life=60.0)
    panel = make_panel(seed, names=size.names, sessions=size.sessions, edge=planted_edge(score, size.strength))
    return judge(panel, dense_signal("planted", score), **options)


def clone_world(seed: int, size: Size) -> SuiteResult:
    """Momentum that works, submitted under another name with a little noise on it."""
    rng = np.random.default_rng([seed, 9])
    drift = rng.normal(0.0, 6e-4, size.names)
    panel = make_panel(
        seed, names=size.names, sessions=size.sessions, edge=np.broadcast_to(drift, (size.sessions, size.names))
    )
    p = price(panel)
    momentum = back(p, 21) / back(p, 252) - 1.0
    noise = 0.02 * slow_signal(seed, names=size.names, sessions=size.sessions, half_life=120.0)
    return judge(panel, dense_signal("winners", momentum + noise * np.nanstd(momentum)))
