from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.ic_summary import summarise_ic
from quant_platform.statistics.ranks import rank_ic


def weekly(rng, length=520, window=6, mean=0.02, sd=0.1):
    return mean + sd * np.convolve(rng.standard_normal(length + window - 1), np.ones(window), "valid") / window**0.5


def test_a_null_market_of_prices_gives_no_evidence():
    """The whole chain: martingale returns, a slow signal, six-week forward windows, IC, tests."""
    rng = np.random.default_rng(33)
    rejected = np.zeros(2)
    runs = 400
    for _ in range(runs):
        returns = rng.standard_t(4, (206, 40))
        signal = np.empty((200, 40))
        signal[0] = rng.standard_normal(40)
        for week in range(1, 200):
            signal[week] = 0.9 * signal[week - 1] + math.sqrt(0.19) * rng.standard_normal(40)
        level = np.cumsum(returns, axis=0)
        ic = rank_ic(signal, level[6:] - level[:-6])
        result = summarise_ic(ic, ic, 6, rng=rng, draws=100)
        rejected += (result.p_nonoverlapping < 0.05, result.p_ewc < 0.05)
    np.testing.assert_allclose(rejected / runs, 0.05, atol=3 * math.sqrt(0.05 * 0.95 / runs))


def test_numbers_equal_numpy_and_scipy():
    rng = np.random.default_rng(31)
    ic, spread = weekly(rng), weekly(rng, mean=0.004)
    ic[[5, 100]] = np.nan
    spread[7] = np.nan
    result = summarise_ic(ic, spread, 6, rng=np.random.default_rng(1))
    phases = [stats.ttest_1samp(ic[p::6], 0.0, nan_policy="omit").statistic for p in range(6)]
    assert (result.n, result.n_independent, result.n_spread) == (518, 86, 519)
    assert result.mean == pytest.approx(np.nanmean(ic), rel=1e-13)
    assert result.sd == pytest.approx(np.nanstd(ic, ddof=1), rel=1e-13)
    assert result.icir == pytest.approx(np.nanmean(ic) / np.nanstd(ic, ddof=1), rel=1e-13)
    assert result.t_nonoverlapping == pytest.approx(np.mean(phases), rel=1e-12)
    assert result.spread_mean == pytest.approx(np.nanmean(spread), rel=1e-13)
    assert result.spread_low < result.spread_mean < result.spread_high
    # The interval must be that of overlapping windows: well over twice the naive one.
    naive = 2 * 1.96 * np.nanstd(spread) / np.sqrt(519)
    assert result.spread_high - result.spread_low > 1.8 * naive


def test_reliable_is_about_windows_and_precise_about_the_error():
    rng = np.random.default_rng(32)
    ic = weekly(rng)
    few = summarise_ic(ic[:71], ic[:71], 6, rng=rng)
    assert (few.reliable, few.why_thin) == (False, "11 independent windows, 12 are needed")
    enough = summarise_ic(ic[:72], ic[:72], 6, rng=rng)
    assert (enough.reliable, enough.why_thin) == (True, "")
    # EWC by the definition: 72 weeks of an overlap of six have four cosines.
    x = ic[:72] - ic[:72].mean()
    waves = [math.sqrt(2 / 72) * np.sum(x * np.cos(math.pi * j * (np.arange(72) + 0.5) / 72)) for j in (1, 2, 3, 4)]
    half_width = 2 * math.sqrt(np.mean(np.square(waves)) / 72)
    assert enough.half_width == pytest.approx(half_width, rel=1e-12)
    assert not enough.precise
    assert enough.why_imprecise == (
        f"the mean IC is known to +-{half_width:.3f} only, +-0.030 is needed: "
        f"about {math.ceil(12 * (half_width / 0.03) ** 2)} independent windows instead of 12"
    )
    wide = summarise_ic(ic[:72], ic[:72], 6, rng=rng, max_half_width=half_width * 1.001)
    assert (wide.precise, wide.why_imprecise) == (True, "")


def test_with_fewer_than_four_windows_there_is_no_error_at_all():
    rng = np.random.default_rng(34)
    ic = weekly(rng)
    for length, there in ((23, False), (24, True)):
        found = summarise_ic(ic[:length], ic[:length], 6, rng=rng)
        numbers = (
            found.t_nonoverlapping, found.p_nonoverlapping, found.t_ewc, found.p_ewc,
            found.spread_low, found.spread_high, found.half_width,
        )  # fmt: skip
        assert [math.isfinite(number) for number in numbers] == [there] * len(numbers)
        assert math.isfinite(found.mean)


@pytest.mark.parametrize("ic", [np.full(200, np.nan), np.full(200, 0.1), np.array([])])
def test_nothing_to_say_is_said(ic):
    result = summarise_ic(ic, np.full(ic.size, np.nan), 1, rng=np.random.default_rng(0))
    assert not result.precise
    assert result.why_imprecise
    assert math.isnan(result.icir)
    assert math.isnan(result.p_nonoverlapping)
    assert math.isnan(result.p_ewc)
    assert math.isnan(result.spread_low)


def test_wrong_arguments_are_named():
    rng = np.random.default_rng(0)
    with pytest.raises(StatisticError, match="spread has 2 values, its companions have 3"):
        summarise_ic([0.1] * 3, [0.1] * 2, 1, rng=rng)
    with pytest.raises(StatisticError, match="horizon_in_rebalances was 0"):
        summarise_ic([0.1] * 3, [0.1] * 3, 0, rng=rng)
    with pytest.raises(StatisticError, match="max_half_width was 0"):
        summarise_ic([0.1] * 3, [0.1] * 3, 1, rng=rng, max_half_width=0)
