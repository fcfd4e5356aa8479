"""In a market without an edge no setup has one, and the stated probabilities come true."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from quant_platform.labs.equity.replay.candidates import replay_ticker
from quant_platform.statistics.bootstrap import cluster_bootstrap_mean
from quant_platform_tests.labs.equity.setups.twin import random_bars, replay_spec, setup_spec, week_ends


@pytest.fixture(scope="module")
def trades() -> pl.DataFrame:
    spec = setup_spec(
        pivot_bars=5, lookback_bars=120, minimum_history_bars=80, volatility_window_bars=63, minimum_stop_atr=0.5,
        minimum_rr=0.5,
    )  # fmt: skip
    frames = []
    for seed in range(150):
        bars = random_bars(5000 + seed, 500, steps=100, ticker=f"T{seed}")
        sessions = bars["session"].to_list()
        frames.append(
            replay_ticker(bars, spec, replay_spec(cost_bps=0.0), signal_sessions=week_ends(sessions), sessions=sessions)
        )
    return pl.concat(frames).filter(pl.col("realised_r").is_not_null())


@pytest.mark.parametrize("part", ["all", "long", "short", "high rr", "high confidence"])
def test_the_mean_result_is_zero_within_three_standard_errors(trades: pl.DataFrame, part: str) -> None:
    chosen = trades.filter(
        {
            "all": pl.lit(True),
            "long": pl.col("direction") == "long",
            "short": pl.col("direction") == "short",
            "high rr": pl.col("rr") >= 1.2,
            "high confidence": pl.col("confidence") >= 55.0,
        }[part]
    )
    weeks = chosen["date_sig"].to_numpy()
    rng = np.random.default_rng(1)
    found = cluster_bootstrap_mean(chosen["gross_r"].to_numpy(), weeks, rng=rng, draws=400)
    assert chosen.height > 1000
    assert abs(found.estimate) < 3.0 * found.standard_error


def test_the_stated_probabilities_come_true(trades: pl.DataFrame) -> None:
    """Ten bins of equal count; each observed rate within 3.5 standard errors and the barriers' discreteness."""
    ordered = trades.sort("target_probability").with_row_index()
    for k in range(10):
        part = ordered.filter(pl.col("index") * 10 // ordered.height == k)
        stated, observed = part["target_probability"].mean(), (part["outcome"] == "target").mean()
        assert isinstance(stated, float)
        assert isinstance(observed, float)
        error = np.sqrt(stated * (1 - stated) / part.height)
        assert abs(observed - stated) < 3.5 * error + 0.01
    timeouts = (trades["outcome"] == "timeout").mean()
    assert timeouts == pytest.approx(trades["timeout_probability"].mean(), abs=0.01)
