from __future__ import annotations

import math

import numpy as np
import pytest

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.overfitting import backtest_overfitting

# METHODS 3.8: three variants, four blocks of two periods.
SMALL = [(1, 0, 2), (0, 1.3, 1), (2, 1, 0), (1, 1.7, 0.2), (0, 1, 3), (1, 0.1, 2), (2, 3.1, 0), (3, 2, 1)]


def test_small_known_answer():
    found = backtest_overfitting(SMALL, blocks=4, metric="mean")
    assert found.probability == pytest.approx(5 / 6)
    assert sorted(found.logits) == pytest.approx(
        sorted([0.0, -1.0986123, -1.0986123, -1.0986123, -1.0986123, 1.0986123])
    )


@pytest.mark.parametrize(("mean", "expected"), [(0.0, 0.49), (0.05, 0.50), (0.10, 0.30), (0.20, 0.09)])
def test_published_properties(mean, expected):
    """Mean over worlds of 600 periods and 40 variants, one of which has an edge."""
    found = []
    for seed in range(40):
        panel = np.random.default_rng(seed).standard_normal((600, 40))
        panel[:, 7] += mean
        found.append(backtest_overfitting(panel, blocks=10).probability)
    assert np.mean(found) == pytest.approx(expected, abs=0.06 + 3 * np.std(found) / math.sqrt(40))


def test_sharpe_and_mean_are_told_apart():
    rng = np.random.default_rng(1)
    calm, wild = rng.normal(0.05, 0.1, 400), rng.normal(0.1, 3.0, 400)
    panel = np.column_stack([calm, wild])
    assert backtest_overfitting(panel, blocks=8, metric="sharpe").probability == 0.0
    assert backtest_overfitting(panel, blocks=8, metric="mean").probability > 0.2


def test_arguments():
    assert math.isnan(backtest_overfitting(np.ones((100, 1)), blocks=4).probability)
    with pytest.raises(StatisticError, match="even"):
        backtest_overfitting(np.ones((100, 2)), blocks=5)
    with pytest.raises(StatisticError, match="missing values"):
        backtest_overfitting(np.full((100, 2), np.nan), blocks=4)
    with pytest.raises(StatisticError, match="3 periods do not make 4 blocks"):
        backtest_overfitting(np.ones((3, 2)), blocks=4)
