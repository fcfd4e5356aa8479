from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics import bootstrap


def expanded_tail(groups, level=0.95):
    """Hesterberg (2015), section 4.3, from scipy's distributions."""
    return stats.norm.cdf(-math.sqrt(groups / (groups - 1)) * stats.t.ppf(0.5 + level / 2, groups - 1))


def test_cluster_draws_equal_a_plain_loop_over_clusters():
    rng = np.random.default_rng(1)
    clusters = rng.integers(0, 15, 200)
    values = rng.standard_normal(200) + clusters
    values[::17] = np.nan
    result = bootstrap.cluster_bootstrap_mean(values, clusters, rng=np.random.default_rng(8), draws=300)
    # The slow twin draws the same multiplicities and concatenates the observations themselves.
    twin_rng = np.random.default_rng(8)
    names = np.unique(clusters)
    means = []
    for times in twin_rng.multinomial(15, np.full(15, 1 / 15), size=300):
        sample = np.concatenate([np.tile(values[clusters == c], k) for c, k in zip(names, times, strict=True)])
        means.append(np.nanmean(sample))
    tail = expanded_tail(15)
    assert result.estimate == pytest.approx(np.nanmean(values), rel=1e-14)
    assert result.low == pytest.approx(np.sort(means)[math.ceil(tail * 300) - 1], rel=1e-12)
    assert result.high == pytest.approx(np.sort(means)[math.ceil((1 - tail) * 300) - 1], rel=1e-12)
    assert result.standard_error == pytest.approx(np.std(means, ddof=1), rel=1e-12)
    assert (result.n, result.n_groups, result.draws) == (np.isfinite(values).sum(), 15, 300)


def test_drawing_in_pieces_changes_nothing(monkeypatch):
    values = np.random.default_rng(1).standard_normal(60)
    whole = bootstrap.cluster_bootstrap_mean(values, np.arange(60) // 3, rng=np.random.default_rng(2), draws=300)
    monkeypatch.setattr(bootstrap, "MULTIPLICITIES_AT_ONCE", 7 * 20)
    pieces = bootstrap.cluster_bootstrap_mean(values, np.arange(60) // 3, rng=np.random.default_rng(2), draws=300)
    assert (pieces.low, pieces.high) == pytest.approx((whole.low, whole.high), abs=1e-14)


def test_block_draws_equal_a_plain_loop_over_blocks():
    values = np.random.default_rng(2).standard_normal(50) + 3.0
    values[[4, 5, 30]] = np.nan
    result = bootstrap.block_bootstrap_mean(values, 7, rng=np.random.default_rng(8), draws=250)
    starts = np.random.default_rng(8).integers(0, 44, size=(250, 8))
    means = np.array([np.nanmean(np.concatenate([values[s : s + 7] for s in row])) for row in starts])
    means += np.nanmean(values) - means.mean()
    tail = expanded_tail(7)
    assert result.low == pytest.approx(np.sort(means)[math.ceil(tail * 250) - 1], rel=1e-12)
    assert result.high == pytest.approx(np.sort(means)[math.ceil((1 - tail) * 250) - 1], rel=1e-12)
    assert (result.n, result.n_groups) == (47, 7)


def test_profit_factor_and_its_infinite_limit():
    gains, losses = np.array([3.0, 0, 0, 2.0]), np.array([0.0, 1.0, 0, 0])
    result = bootstrap.cluster_bootstrap_ratio(
        gains, losses, ["a", "a", "b", "c"], rng=np.random.default_rng(3), draws=500
    )
    assert result.estimate == 5.0
    assert result.high == math.inf
    assert result.n_groups == 2  # cluster b holds neither gain nor loss
    only_gains = bootstrap.cluster_bootstrap_ratio(gains, losses * 0, [1, 1, 2, 3], rng=np.random.default_rng(3))
    assert only_gains.estimate == math.inf
    nothing = bootstrap.cluster_bootstrap_ratio([0.0, 0.0], [0.0, 0.0], [1, 2], rng=np.random.default_rng(3))
    assert math.isnan(nothing.estimate)
    assert math.isnan(nothing.low)


@pytest.mark.parametrize("groups", [8, 40])
def test_cluster_interval_covers(groups):
    rng = np.random.default_rng(groups)
    labels = np.repeat(np.arange(groups), 10)
    covered = 0
    for _ in range(500):
        values = np.repeat(rng.standard_normal(groups), 10) + rng.standard_normal(groups * 10)
        interval = bootstrap.cluster_bootstrap_mean(values, labels, rng=rng, draws=600)
        covered += interval.low <= 0.0 <= interval.high
    assert covered / 500 == pytest.approx(0.95, abs=3 * math.sqrt(0.05 * 0.95 / 500))


@pytest.mark.parametrize(("length", "overlap"), [(520, 6), (260, 6), (130, 3), (300, 1)])
def test_block_interval_covers_overlapping_series(length, overlap):
    rng = np.random.default_rng(length + overlap)
    block_length = bootstrap.overlap_block_length(length, overlap)
    covered = 0
    for _ in range(500):
        series = np.convolve(rng.standard_normal(length + overlap - 1), np.ones(overlap), "valid")
        interval = bootstrap.block_bootstrap_mean(series, block_length, rng=rng, draws=500)
        covered += interval.low <= 0.0 <= interval.high
    assert covered / 500 == pytest.approx(0.95, abs=3 * math.sqrt(0.05 * 0.95 / 500))


def test_stationary_indices_are_blocks_of_the_stated_mean_length_on_a_circle():
    rows = bootstrap.stationary_bootstrap_indices(200, 8.0, rng=np.random.default_rng(5), draws=400)
    assert rows.shape == (400, 200)
    assert rows.min() == 0
    assert rows.max() == 199
    continues = (np.diff(rows, axis=1) % 200) == 1
    # A new block starts with probability 1/8 and lands on the next place by chance in 1 of 200 cases.
    assert continues.mean() == pytest.approx(7 / 8 + 1 / 8 / 200, abs=0.004)
    # Every place is visited about equally often, the ends included: 400 times, give or take five standard deviations.
    visits = np.bincount(rows.ravel(), minlength=200)
    assert np.abs(visits - 400).max() < 5 * math.sqrt(400 * 15)
    no_memory = bootstrap.stationary_bootstrap_indices(50, 1.0, rng=np.random.default_rng(6), draws=200)
    assert ((np.diff(no_memory, axis=1) % 50) == 1).mean() == pytest.approx(1 / 50, abs=0.006)


def test_same_generator_state_same_interval():
    values, weeks = np.arange(30.0), np.arange(30) // 3
    first = bootstrap.cluster_bootstrap_mean(values, weeks, rng=np.random.default_rng(4))
    second = bootstrap.cluster_bootstrap_mean(values, weeks, rng=np.random.default_rng(4))
    assert first == second


def test_too_little_data_has_no_limits():
    rng = np.random.default_rng(1)
    one = bootstrap.cluster_bootstrap_mean([1.0, 2.0], [7, 7], rng=rng)
    assert one.estimate == 1.5
    assert math.isnan(one.low)
    short = bootstrap.block_bootstrap_mean([1.0, 2.0, 3.0], 2, rng=rng)
    assert short.estimate == 2.0
    assert math.isnan(short.high)
    empty = bootstrap.block_bootstrap_mean([], 2, rng=rng)
    assert math.isnan(empty.estimate)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rng: bootstrap.cluster_bootstrap_mean([1.0, 2.0], [1], rng=rng), "clusters has shape"),
        (lambda rng: bootstrap.cluster_bootstrap_ratio([1.0], [-1.0], [1], rng=rng), "negative values"),
        (lambda rng: bootstrap.cluster_bootstrap_ratio([np.nan], [1.0], [1], rng=rng), "missing values"),
        (lambda rng: bootstrap.block_bootstrap_mean([1.0], 0, rng=rng), "block_length was 0"),
        (lambda rng: bootstrap.block_bootstrap_mean([1.0], 1, rng=rng, draws=10), "draws was 10"),
        (lambda rng: bootstrap.block_bootstrap_mean([1.0], 1, rng=rng, level=1.0), "level was 1.0"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(StatisticError, match=message):
        call(np.random.default_rng(0))
