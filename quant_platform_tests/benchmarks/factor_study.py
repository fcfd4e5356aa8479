"""Seven factors, weekly rebalances, 30-session forward returns: ours beside alphalens-reloaded on the same closes."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from quant_platform.factors.panel import Floats, forward_returns, week_last_rows
from quant_platform.statistics import quantile_spread, rank_ic
from quant_platform_tests.benchmarks import panels

HORIZON, LAG, REPETITIONS = 30, 1, 5
PEER_PYTHON = Path(".venv-peers/bin/python")


def factor_panels(close: Floats) -> dict[str, Floats]:
    """The seven factors as dense panels, made once; making them is timed on neither side."""
    logs = np.diff(np.log(close), axis=0, prepend=np.nan)

    def lag(k: int) -> Floats:
        return np.vstack([np.full((k, close.shape[1]), np.nan), close[:-k]])

    def windows(values: Floats, n: int, reduce: Any) -> Floats:
        out = np.full(values.shape, np.nan)
        out[n - 1 :] = reduce(np.lib.stride_tricks.sliding_window_view(values, n, axis=0), axis=-1)
        return out

    return {
        "momentum_12_1": lag(21) / lag(252) - 1,
        "momentum_6_1": lag(21) / lag(126) - 1,
        "momentum_3_1": lag(21) / lag(63) - 1,
        "reversal_1m": -(close / lag(21) - 1),
        "price_to_sma_200": close / windows(close, 200, np.mean) - 1,
        "high_52w_proximity": close / windows(close, 252, np.max),
        "low_volatility_126": -windows(logs, 126, lambda x, axis: np.std(x, axis=axis, ddof=1)),
    }


def ours(close: Floats, factors: dict[str, Floats], rows: Any) -> dict[str, Floats]:
    """Forward returns, then IC and quintile spread of every factor: what a study computes per horizon."""
    names = close.shape[1]
    forward = forward_returns(
        close,
        rows,
        horizon_sessions=HORIZON,
        entry_lag_sessions=LAG,
        ended=np.zeros(names, bool),
        delisting_return=np.full(names, np.nan),
    ).simple
    found = {}
    for name, values in factors.items():
        signal = values[rows]
        found[name] = rank_ic(signal, forward, min_names=20)
        quantile_spread(signal, forward, quantiles=5, min_names=20)
    return found


def run() -> dict[str, Any]:
    """Time both sides in turns and compare what they found."""
    close, days = panels.closes(), panels.weekdays(panels.SESSIONS)
    factors, rows = factor_panels(close), week_last_rows(days)
    ours(close, factors, rows)
    seconds = []
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        found = ours(close, factors, rows)
        seconds.append(time.perf_counter() - started)
    result: dict[str, Any] = {
        "names": panels.NAMES,
        "sessions": panels.SESSIONS,
        "factors": len(factors),
        "ours_seconds": statistics.median(seconds),
        "ours_spread": [min(seconds), max(seconds)],
    }
    if not PEER_PYTHON.is_file():
        result["alphalens"] = "not measured: the peers' environment is missing; `make bench` creates it"
        return result
    peer = _peer(close, [day.isoformat() for day in days])
    difference = max(abs(float(np.nanmean(found[name])) - mean) for name, mean in peer["mean_ic"].items())
    return result | {
        "alphalens_seconds": statistics.median(peer["seconds"]),
        "alphalens_spread": [min(peer["seconds"]), max(peer["seconds"])],
        "alphalens_version": peer["version"],
        "alphalens_pandas": peer["pandas"],
        "times_faster": statistics.median(peer["seconds"]) / statistics.median(seconds),
        "largest_difference_of_mean_ic": difference,
    }


def _peer(close: Floats, days: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "closes.npy", close)
        (Path(folder) / "days.txt").write_text("\n".join(days))
        script = Path(__file__).with_name("alphalens_peer.py")
        answer = subprocess.run(
            [str(PEER_PYTHON), str(script), f"{folder}/closes.npy", f"{folder}/days.txt", "3"],
            check=True,
            capture_output=True,
            text=True,
        )
    found: dict[str, Any] = json.loads(answer.stdout.strip().splitlines()[-1])
    return found
