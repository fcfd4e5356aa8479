from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics import (
    circular_offsets,
    clustered_mean,
    clustered_means,
    index_cells,
    one_cell,
    one_sided_p,
    placebo_tests,
    wild_cluster_p,
)


def twin(values: np.ndarray, clusters: np.ndarray) -> tuple[float, float]:
    """Mean and error as the formula stands, cluster by cluster."""
    seen = ~np.isnan(values)
    y, labels = values[seen], clusters[seen]
    mean = sum(y) / len(y)
    groups = sorted(set(labels))
    total = sum(sum(v - mean for v, g in zip(y, labels, strict=True) if g == group) ** 2 for group in groups)
    return mean, math.sqrt(len(groups) / (len(groups) - 1) * total / len(y) ** 2)


def test_by_hand():
    # Deviations -3, -1, 1, 3: cluster totals -4 and 4; 2 / 1 * 32 / 16 = 4.
    found = clustered_mean([1.0, 3.0, 5.0, 7.0], [1, 1, 2, 2])
    assert (found.mean, found.standard_error, found.t, found.n) == (4.0, 2.0, 2.0, 4)
    assert found.p == pytest.approx(2 * stats.t.sf(2.0, 1), rel=1e-12)


def test_clusters_of_one_are_the_plain_t_test():
    y = np.random.default_rng(1).normal(0.2, 1.0, 40)
    expected = stats.ttest_1samp(y, 0.0)
    found = clustered_mean(y, np.arange(40))
    assert found.t == pytest.approx(expected.statistic, rel=1e-12)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-10)


@given(st.integers(0, 10_000), st.floats(-1e3, 1e3))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_many_cells_equal_the_plain_twin(seed, level):
    rng = np.random.default_rng(seed)
    y = rng.normal(level, 1.0, 60)
    y[rng.random(60) < 0.1] = np.nan
    clusters = rng.integers(-3, 9, 60)
    belongs = rng.random((4, 60)) < 0.6
    cells, rows = np.nonzero(belongs)
    found = clustered_means(y, clusters, index_cells(cells, rows, clusters, 4))
    for cell in range(4):
        mean, error = twin(y[belongs[cell]], clusters[belongs[cell]])
        assert found.mean[cell] == pytest.approx(mean, rel=1e-12)
        assert found.standard_error[cell] == pytest.approx(error, rel=1e-6)
        assert found.n[cell] == np.count_nonzero(~np.isnan(y[belongs[cell]]))


def test_cells_that_cannot_be_judged_have_no_p():
    clusters = np.array([1, 1, 2, 3])
    cells = index_cells([0, 0, 2, 2, 3], [0, 1, 2, 3, 2], clusters, 4)
    found = clustered_means([1.0, 2.0, 5.0, 5.0], clusters, cells)
    assert found.n.tolist() == [2, 0, 2, 1]
    assert np.isnan(found.p).all(), "one cluster, no event, no variation, one event"
    assert found.standard_error[2] == 0.0


def test_wrong_arguments_are_named():
    with pytest.raises(StatisticError, match="clusters has shape"):
        clustered_mean([1.0, 2.0], [1])
    with pytest.raises(StatisticError, match=r"rows must lie in 0 \.\. 1"):
        index_cells([0], [2], [1, 1], 1)
    with pytest.raises(StatisticError, match="no whole number of cycles"):
        circular_offsets(289, 288, rng=np.random.default_rng(1), draws=9)


def days_of_events(rng: np.random.Generator, common: float) -> tuple[np.ndarray, np.ndarray]:
    """Sixty days with one to five events each that share the day's shock."""
    clusters = np.repeat(np.arange(60), rng.integers(1, 6, 60))
    return clusters, common * rng.normal(size=60)[clusters] + rng.normal(size=clusters.size)


def test_size_where_events_of_a_day_move_together():
    rng = np.random.default_rng(7)
    runs = 2000
    clustered = naive = 0
    for _ in range(runs):
        clusters, y = days_of_events(rng, 1.5)
        clustered += clustered_mean(y, clusters).p < 0.05
        naive += stats.ttest_1samp(y, 0.0).pvalue < 0.05
    assert clustered / runs == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / runs))
    assert naive / runs > 0.12, "the comparison that the clusters are there for"


def test_wild_bootstrap_holds_its_size_with_few_clusters():
    rng = np.random.default_rng(8)
    runs = 600
    wrong = 0
    for _ in range(runs):
        sizes = rng.integers(1, 9, 10)
        clusters = np.repeat(np.arange(10), sizes)
        y = rng.normal(size=10)[clusters] + 0.5 * rng.normal(size=clusters.size)
        wrong += wild_cluster_p(y, clusters, rng=rng, draws=299) <= 0.05
    assert wrong / runs == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / runs))


def test_wild_bootstrap_finds_what_is_there_and_refuses_what_cannot_be_tested():
    rng = np.random.default_rng(9)
    clusters = np.repeat(np.arange(14), 3)
    assert wild_cluster_p(2.0 + 0.1 * rng.normal(size=42), clusters, rng=rng, draws=999) < 0.005
    assert math.isnan(wild_cluster_p([1.0, np.nan], [1, 2], rng=rng))


def test_wild_bootstrap_against_gains_equals_scipy_where_every_sign_is_tried():
    # One value per cluster: the draws are the sign flips that SciPy lists one by one.
    y = np.array([1.2, -0.4, 0.9, 2.1, -0.2, 1.7, 0.3, -1.1, 0.8, 1.5, 0.6, -0.7])

    def t(flipped, axis):
        return stats.ttest_1samp(flipped, 0.0, axis=axis).statistic

    exact = stats.permutation_test(
        (y,), t, permutation_type="samples", alternative="greater", n_resamples=np.inf, vectorized=True
    ).pvalue
    draws = 20_000
    for values, expected in ((y, exact), (-y, 1.0 - exact)):
        found = wild_cluster_p(values, np.arange(12), rng=np.random.default_rng(6), draws=draws, alternative="greater")
        assert found == pytest.approx(expected, abs=4 * math.sqrt(exact * (1 - exact) / draws) + 2 / 2**12)


def test_many_small_losses_without_the_rare_gain_are_no_evidence_of_a_gain():
    # A stop: losses of 0.5 to 1.5, and one time in twenty-one a gain of 20. The mean is zero.
    rng = np.random.default_rng(10)
    runs, far, gains = 3_000, 0, 0
    for _ in range(runs):
        y = np.where(rng.random(50) < 1 / 21, 20.0, -rng.uniform(0.5, 1.5, 50))
        found = clustered_mean(y, np.arange(50))
        far += found.p < 1e-6
        gains += float(one_sided_p(found.t, found.degrees_of_freedom)) <= 0.05
    assert far / runs > 0.05, "what the two-sided test makes of the samples in which no gain came"
    assert gains / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


CYCLE = 8


def placebo_by_hand(series, tracks, positions, clusters, offsets):
    t = []
    for offset in offsets:
        y = np.array([series[k, (p + offset) % series.shape[1]] for k, p in zip(tracks, positions, strict=True)])
        mean, error = twin(y, clusters)
        t.append(mean / error)
    return np.array(t)


def test_placebo_counts_what_the_plain_twin_counts():
    rng = np.random.default_rng(3)
    series = rng.normal(size=(4, 40 * CYCLE))
    series[0, 5] = np.nan
    tracks, positions = rng.integers(0, 4, 30), rng.integers(0, series.shape[1], 30)
    clusters = positions // CYCLE
    cells = one_cell(clusters)
    y = series[tracks, positions]
    found = clustered_means(y, clusters, cells)
    offsets = circular_offsets(series.shape[1], CYCLE, rng=rng, draws=999)
    assert offsets.tolist() == [CYCLE * k for k in range(1, 40)]
    result = placebo_tests(series, tracks, positions, clusters, cells, found.t, found.n_clusters - 1, offsets=offsets)
    shifted = placebo_by_hand(series, tracks, positions, clusters, offsets)
    count = int((np.abs(shifted) >= abs(found.t[0])).sum())
    assert count > 0
    assert result.as_large[0] == count
    assert result.n_shifts[0] == 39
    assert result.p[0] == pytest.approx((1 + count) / 40)
    freedom = found.n_clusters[0] - 1.0
    assert result.scale[0] == pytest.approx(math.sqrt((shifted**2).mean() * (1 - 2 / freedom)), rel=1e-9)


def test_placebo_against_gains_counts_and_scales_from_above():
    rng = np.random.default_rng(3)
    series = rng.normal(size=(4, 40 * CYCLE))
    tracks, positions = rng.integers(0, 4, 30), rng.integers(0, series.shape[1], 30)
    clusters = positions // CYCLE
    cells = one_cell(clusters)
    offsets = circular_offsets(series.shape[1], CYCLE, rng=rng, draws=999)
    for sign in (1.0, -1.0):
        found = clustered_means(sign * series[tracks, positions], clusters, cells)
        freedom = found.n_clusters - 1.0
        result = placebo_tests(
            sign * series, tracks, positions, clusters, cells, found.t, freedom, offsets=offsets, alternative="greater"
        )
        shifted = placebo_by_hand(sign * series, tracks, positions, clusters, offsets)
        count = int((shifted >= found.t[0]).sum())
        assert 0 < count < 39
        assert result.as_large[0] == count
        assert result.p[0] == pytest.approx((1 + count) / 40)
        above = shifted[shifted > 0]
        assert result.scale[0] == pytest.approx(math.sqrt((above**2).mean() * (1 - 2 / freedom[0])), rel=1e-9)


def test_placebo_extends_the_tail_only_where_no_shift_is_as_large():
    rng = np.random.default_rng(4)
    series = rng.normal(size=(1, 60 * CYCLE))
    positions = np.arange(3, 60 * CYCLE, 2 * CYCLE)
    series[0, positions] += 5.0
    series[0, positions + 1] = np.nan
    clusters = positions // CYCLE
    cells = one_cell(clusters)
    found = clustered_means(series[0, positions], clusters, cells)
    odd = circular_offsets(series.shape[1], CYCLE, rng=rng, draws=999)[::2]
    zeros = np.zeros(positions.size, dtype=np.int64)
    result = placebo_tests(series, zeros, positions, clusters, cells, found.t, found.n_clusters - 1, offsets=odd)
    assert result.as_large[0] == 0
    assert 0.0 < result.p[0] < 1e-6
    assert result.p[0] >= found.p[0] * (1 - 1e-12)


def test_placebo_size_where_symbols_share_the_shock():
    rng = np.random.default_rng(5)
    runs, wrong = 400, 0
    for _ in range(runs):
        market = np.repeat(rng.normal(size=80), CYCLE)
        series = market + 0.5 * rng.normal(size=(3, 80 * CYCLE))
        positions = np.repeat(rng.choice(80 * CYCLE, 20, replace=False), 3)
        tracks = np.tile(np.arange(3), 20)
        clusters = positions // CYCLE
        cells = one_cell(clusters)
        found = clustered_means(series[tracks, positions], clusters, cells)
        offsets = circular_offsets(series.shape[1], CYCLE, rng=rng, draws=39)
        result = placebo_tests(
            series, tracks, positions, clusters, cells, found.t, found.n_clusters - 1, offsets=offsets
        )
        wrong += max(result.p[0], found.p[0]) <= 0.05
    assert wrong / runs < 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert wrong > 0
