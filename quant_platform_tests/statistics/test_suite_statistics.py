from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics import ewc_test
from quant_platform.statistics.cross_section import cross_sectional_residuals
from quant_platform.statistics.ewc_columns import ewc_tests
from quant_platform.statistics.monotonicity import monotonicity_test
from quant_platform.statistics.sharpe_interval import drawdowns, half_life, sharpe_estimate


def test_columns_are_tested_as_they_would_be_alone():
    rng = np.random.default_rng(1)
    panel = rng.standard_normal((300, 6))
    panel[:100, 1] = np.nan
    panel[rng.random(300) < 0.3, 2] = np.nan
    panel[:, 3] = 0.5
    panel[:, 4] = np.nan
    panel[5:, 5] = np.nan
    for overlap in (1, 6):
        found = ewc_tests(panel, overlap=overlap)
        for k in range(6):
            alone = ewc_test(panel[:, k], overlap=overlap)
            assert found.n[k] == alone.n
            for mine, theirs in ((found.mean[k], alone.mean), (found.t[k], alone.t), (found.p[k], alone.p)):
                assert mine == pytest.approx(theirs, rel=1e-9, nan_ok=True)


def test_residuals_by_date_are_those_of_lstsq():
    rng = np.random.default_rng(2)
    values, known = rng.standard_normal((3, 8, 30)), rng.standard_normal((2, 8, 30))
    values[rng.random(values.shape) < 0.1] = np.nan
    known[rng.random(known.shape) < 0.05] = np.nan
    found = cross_sectional_residuals(values, known, min_names=5)
    for k, t in np.ndindex(3, 8):
        keep = np.isfinite(values[k, t]) & np.isfinite(known[:, t]).all(axis=0)
        design = np.column_stack([np.ones(keep.sum()), known[0, t, keep], known[1, t, keep]])
        slope, *_ = np.linalg.lstsq(design, values[k, t, keep], rcond=None)
        np.testing.assert_allclose(found[k, t, keep], values[k, t, keep] - design @ slope, atol=1e-12)
        assert np.isnan(found[k, t, ~keep]).all()


def test_collinear_and_constant_regressors_change_nothing():
    rng = np.random.default_rng(3)
    values, known = rng.standard_normal((1, 5, 40)), rng.standard_normal((1, 5, 40))
    plain = cross_sectional_residuals(values, known)
    more = np.concatenate([known, 2.0 * known + 1.0, np.ones((1, 5, 40))])
    np.testing.assert_allclose(cross_sectional_residuals(values, more), plain, atol=1e-10)


def test_what_is_explained_leaves_exactly_nothing():
    known = np.random.default_rng(4).standard_normal((2, 5, 40))
    made = (3.0 * known[0] - 0.1 * known[1] + 7.0)[np.newaxis]
    assert (cross_sectional_residuals(made, known) == 0.0).all()
    with pytest.raises(StatisticError, match="both are"):
        cross_sectional_residuals(made[0], known)


def test_size_and_power_of_the_monotonicity_tests():
    """Size at the least favourable point of each null: one broken step among large ones, and a flat relation."""
    broken, flat, found = 0, 0, 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((400, 5))
        broken += monotonicity_test(noise + np.array([0.0, 0.0, 2.0, 4.0, 6.0]), rng=rng, draws=199).p_broken <= 0.05
        flat += monotonicity_test(noise, rng=rng, draws=199).p_flat <= 0.05
        rising = monotonicity_test(noise + 0.4 * np.arange(5), rng=rng, draws=199)
        found += rising.p_broken <= 0.05 and rising.p_flat <= 0.05
    assert stats.binomtest(broken, 300, 0.05).pvalue > 0.001
    assert stats.binomtest(flat, 300, 0.05).pvalue > 0.001
    assert found > 285


def test_monotonicity_says_what_it_saw():
    rng = np.random.default_rng(5)
    panel = np.tile([1.0, 3.0, 2.0, 5.0], (50, 1))
    found = monotonicity_test(panel, rng=rng)
    assert (found.smallest_step, found.rising_steps, found.n) == (-1.0, pytest.approx(2 / 3), 50)
    panel[3, 2] = np.nan
    assert monotonicity_test(panel, rng=rng).n == 49
    assert math.isnan(monotonicity_test(panel[:1], rng=rng).p_flat)
    with pytest.raises(StatisticError, match="two groups"):
        monotonicity_test(panel[:, :1], rng=rng)


def test_sharpe_ratio_and_moments_by_scipy():
    returns = np.random.default_rng(6).standard_t(5, 800) * 0.01 + 0.0005
    found = sharpe_estimate(returns)
    assert found.ratio == pytest.approx(returns.mean() / returns.std(ddof=1), rel=1e-12)
    assert found.skewness == pytest.approx(stats.skew(returns), rel=1e-10)
    assert found.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False), rel=1e-10)
    # Lo (2002): 0.136931 for a ratio of .5 over 60 normal periods; here with 61, since n - 1 is in the divisor.
    normal = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    wide = sharpe_estimate(normal / normal.std(ddof=1) + 0.5)
    per_root = (wide.high - wide.low) / 2 / 1.959964 * math.sqrt(100_000 - 1)
    assert per_root / math.sqrt(60) == pytest.approx(0.136931, abs=2e-4)
    assert math.isnan(sharpe_estimate([0.01] * 50).ratio)
    assert math.isnan(sharpe_estimate([0.01, np.nan]).ratio)


def test_a_loss_on_the_first_day_is_a_drawdown():
    np.testing.assert_allclose(drawdowns([-0.1, 0.5, np.nan, -0.5]), [-0.1, 0.0, 0.0, -0.5])


@pytest.mark.parametrize("true", [1.0, 5.0, 20.0])
def test_half_life_of_an_exponential(true):
    lags = np.arange(21)
    values = 0.04 * 0.5 ** (lags / true)
    assert half_life(values, lags) == pytest.approx(true, rel=0.02)
    noisy = values + 0.002 * np.random.default_rng(7).standard_normal(21)
    assert half_life(noisy, lags) == pytest.approx(true, rel=0.4)


def test_half_life_that_cannot_be_told():
    lags = np.arange(21)
    assert half_life(np.full(21, 0.03), lags) == math.inf
    assert math.isnan(half_life(np.random.default_rng(8).standard_normal(21), lags))
    assert math.isnan(half_life([1.0, 0.5], [0, 1]))
