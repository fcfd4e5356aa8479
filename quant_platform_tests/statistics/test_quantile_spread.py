from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.quantile_spread import quantile_returns, quantile_spread


def plain_quantile_means(signal, forward, mask, quantiles, min_names):
    """The slow twin: numpy's linear quantiles, one date at a time."""
    means = np.full((len(signal), quantiles), np.nan)
    for date in range(len(signal)):
        valid = mask[date] & ~np.isnan(signal[date]) & ~np.isnan(forward[date])
        x, y = signal[date][valid], forward[date][valid]
        if len(x) < min_names:
            continue
        edges = np.quantile(x, np.arange(1, quantiles) / quantiles)
        group = (x[:, np.newaxis] > edges).sum(axis=1)
        for q in range(quantiles):
            if (group == q).any():
                means[date, q] = np.mean(y[group == q])
    return means


@pytest.mark.parametrize("quantiles", [2, 3, 5, 10])
@pytest.mark.parametrize("rounding", [1, 12])
def test_means_equal_the_plain_twin(quantiles, rounding):
    rng = np.random.default_rng(21)
    signal = rng.standard_normal((50, 57)).round(rounding)
    forward = rng.standard_t(4, (50, 57))
    signal[rng.random(signal.shape) < 0.1] = np.nan
    forward[rng.random(signal.shape) < 0.1] = np.nan
    mask = rng.random(signal.shape) < 0.9
    result = quantile_returns(signal, forward, mask, quantiles=quantiles)
    np.testing.assert_allclose(result.mean, plain_quantile_means(signal, forward, mask, quantiles, 20), atol=1e-13)
    valid = mask & ~np.isnan(signal) & ~np.isnan(forward)
    np.testing.assert_array_equal(result.count.sum(axis=1), valid.sum(axis=1))


@pytest.mark.parametrize("names", [20, 21, 24, 26, 61])
def test_groups_are_those_of_pandas_qcut(names):
    rng = np.random.default_rng(names)
    signal, forward = rng.standard_normal((30, names)), rng.standard_normal((30, names))
    result = quantile_returns(signal, forward)
    for date in range(30):
        group = pd.qcut(pd.Series(signal[date]), 5, labels=False)
        expected = pd.Series(forward[date]).groupby(group).mean().to_numpy()
        np.testing.assert_allclose(result.mean[date], expected, atol=1e-14)
        assert result.spread[date] == pytest.approx(expected[4] - expected[0], abs=1e-14)


def spread_of(signal, forward):
    return quantile_spread([signal], [forward], quantiles=5, min_names=5)[0]


def test_spread_by_hand_is_not_halved():
    assert spread_of([1, 2, 3, 4, 5], [0.01, 0, 0, 0, 0.05]) == pytest.approx(0.04)


def test_ties_at_the_edges_never_cost_a_date():
    # Three of ten at the 52-week high (ratio 1.0): the tied block is the top.
    signal = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0, 1.0, 1.0]
    assert spread_of(signal, [-1, -3, 0, 0, 0, 0, 0, 3, 6, 9]) == pytest.approx(6 - -2)
    # Nine of ten share the maximum: the bottom is the one name below it.
    assert spread_of([0.0] + [1.0] * 9, [5.0] + [2.0] * 9) == pytest.approx(-3.0)
    # Nine of ten share the minimum: the bottom is the tied block.
    assert spread_of([0.0] * 9 + [1.0], [2.0] * 9 + [5.0]) == pytest.approx(3.0)
    # A tied block in the middle over both edges belongs to the bottom, by right-closed edges.
    assert spread_of([0.0] + [1.0] * 8 + [2.0], [9.0] + [0.0] * 8 + [4.0]) == pytest.approx(4.0 - 1.0)
    # Only without any variation is there no spread.
    assert np.isnan(spread_of([1.0] * 10, list(range(10))))


def test_too_few_names_give_nan_and_no_counts():
    result = quantile_returns(np.arange(19.0)[np.newaxis], np.ones((1, 19)))
    assert np.isnan(result.spread[0])
    assert np.isnan(result.mean).all()
    assert result.count.sum() == 0


def test_infinite_forward_returns_are_refused_where_they_would_count():
    signal, forward = np.arange(20.0)[np.newaxis], np.zeros((1, 20))
    forward[0, 3] = np.inf
    mask = np.ones((1, 20), dtype=bool)
    with pytest.raises(StatisticError, match=r"forward holds infinite returns[\s\S]*date=0, name=3"):
        quantile_spread(signal, forward, mask)
    mask[0, 3] = False
    assert quantile_spread(signal, forward, mask, min_names=19)[0] == 0.0
