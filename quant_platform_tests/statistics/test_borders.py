"""The smallest samples, ties and borders: where a comparison decides whether there is a number at all."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quant_platform.statistics import ewc_test, index_cells, shrink_tree
from quant_platform.statistics.bootstrap import (
    block_bootstrap_mean,
    cluster_bootstrap_mean,
    cluster_bootstrap_ratio,
    overlap_block_length,
)
from quant_platform.statistics.calibration import calibration_report
from quant_platform.statistics.clustered import wild_cluster_p
from quant_platform.statistics.monotonicity import monotonicity_test
from quant_platform.statistics.overlap import newey_west_test
from quant_platform.statistics.placebo import placebo_tests
from quant_platform.statistics.proportions import wilson_interval
from quant_platform.statistics.ranks import percentile_rank
from quant_platform.statistics.sharpe_interval import sharpe_estimate


def test_a_tie_does_not_reach_into_what_another_date_left_behind():
    # The second date has three of four names, all equal; the first left an equal value in the fourth place.
    found = percentile_rank([[5.0, 5.0, 5.0, 5.0], [5.0, 5.0, 5.0, np.nan]])
    assert found[1, :3].tolist() == [0.5, 0.5, 0.5]


def test_a_shift_that_gives_the_same_t_counts_as_large():
    # The market repeats itself every two periods, so every shift by two finds what was observed.
    day = np.array([1.0, -0.5, 3.0, -2.5])
    series = np.array([np.tile(day, 5)])
    positions = np.array([0, 2, 4, 6])
    mean, spread = 2.0, np.sqrt(4.0 / 3.0 * 4.0)  # of 1, 3, 1, 3 in four clusters
    for alternative in ("two-sided", "greater"):
        found = placebo_tests(
            series,
            np.zeros(4, dtype=np.int64),
            positions,
            np.arange(4),
            index_cells(np.zeros(4, dtype=np.int64), np.arange(4), np.arange(4), 1),
            [mean * 4.0 / spread],
            [3.0],
            offsets=np.array([4, 8, 12, 16]),
            alternative=alternative,
        )
        assert found.as_large.tolist() == [4]
        assert found.p.tolist() == [1.0]


def test_when_every_draw_is_as_large_p_is_one():
    # The two clusters cancel: the observed t is zero, and none is smaller.
    assert wild_cluster_p([1.0, -1.0], [0, 1], rng=np.random.default_rng(1), draws=99) == 1.0


def test_three_returns_have_an_error_and_two_have_none():
    found = sharpe_estimate([0.01, 0.02, 0.06])
    assert found.ratio == pytest.approx(0.03 / np.std([0.01, 0.02, 0.06], ddof=1), rel=1e-12)
    assert math.isfinite(found.low)
    assert math.isnan(sharpe_estimate([0.01, 0.02]).ratio)


def test_two_values_are_tested_and_one_is_not():
    # Mean 1, deviations -1 and 1. The only cosine is cos(pi/4), cos(3 pi/4): its square weighs (-sqrt 2)^2 / 2 = 1 of
    # the variance of the mean; without a cosine it is 1 / 2.
    cosine, plain = ewc_test([0.0, 2.0], terms=1), newey_west_test([0.0, 2.0], 0)
    assert cosine.standard_error == pytest.approx(1.0, rel=1e-12)
    assert plain.standard_error == pytest.approx(math.sqrt(0.5), rel=1e-12)
    assert math.isnan(newey_west_test([2.0], 0).standard_error)


def test_two_groups_have_an_interval_and_one_has_none():
    rng = np.random.default_rng(2)
    assert math.isfinite(cluster_bootstrap_mean([1.0, 2.0], ["a", "b"], rng=rng, draws=200).low)
    assert math.isfinite(cluster_bootstrap_ratio([1.0, 2.0], [1.0, 1.0], ["a", "b"], rng=rng, draws=200).low)
    assert math.isfinite(block_bootstrap_mean([1.0, 2.0, 3.0, 4.0], block_length=2, rng=rng, draws=200).low)
    assert math.isnan(cluster_bootstrap_mean([1.0, 2.0], ["a", "a"], rng=rng, draws=200).low)
    assert math.isnan(block_bootstrap_mean([1.0, 2.0, 3.0], block_length=2, rng=rng, draws=200).low)


@pytest.mark.parametrize(
    ("length", "overlap", "block"),
    [
        (1000, 6, 24),  # four overlaps fit ten times
        (100, 6, 12),  # ten blocks of 10 would be below two overlaps, and four blocks of 12 fit
        (40, 6, 10),  # four blocks
        (12, 6, 6),  # never below one overlap
        (1000, 1, 10),  # the cube root
    ],
)
def test_the_length_of_a_block(length, overlap, block):
    assert overlap_block_length(length, overlap) == block


def test_a_small_variance_is_a_variance():
    # sum (y - p)(1 - 2p) = (0.6 - 0.4) 0.2, variance 2 (0.2)^2 0.24
    found = calibration_report([0.4, 0.4], [1.0, 0.0], bins=1)
    assert found.spiegelhalter_z == pytest.approx(0.04 / math.sqrt(0.0192), rel=1e-12)


def test_the_only_family_is_no_further_from_the_root_than_its_error():
    # One family at 1 with an error of 2: nothing says that families differ from the root.
    found = shrink_tree([1.0, 1.0], [2.0 * math.sqrt(2.0)] * 2, [["a", "a"]])
    assert found.tau2[0] == 0.0
    # At 5 with an error of 2 there are 25 - 4.
    assert shrink_tree([5.0, 5.0], [2.0 * math.sqrt(2.0)] * 2, [["a", "a"]]).tau2[0] == pytest.approx(21.0)


def test_the_limits_of_a_rate_are_exact_at_the_borders():
    n = np.arange(1, 2_000)
    assert (wilson_interval(np.zeros(n.size), n).low == 0.0).all()
    assert (wilson_interval(n, n).high == 1.0).all()
    assert (wilson_interval([1.0], [2.0]).low > 0.0).all()
    nothing = wilson_interval([0.0], [0.0])
    assert (nothing.low.item(), nothing.high.item()) == (0.0, 1.0)


def test_the_p_of_a_broken_order_is_that_of_its_weakest_step_on_one_side():
    rng = np.random.default_rng(3)
    panel = rng.standard_normal((200, 3)) + np.array([0.0, 0.1, 0.4])
    alone = [ewc_test(panel[:, j + 1] - panel[:, j]) for j in range(2)]
    expected = max(each.p / 2.0 if each.t > 0.0 else 1.0 - each.p / 2.0 for each in alone)
    assert all(each.t > 0.0 for each in alone)
    assert monotonicity_test(panel, rng=rng).p_broken == pytest.approx(expected, rel=1e-9)
    falling = monotonicity_test(panel[:, ::-1], rng=rng).p_broken
    assert falling == pytest.approx(max(1.0 - each.p / 2.0 for each in alone), rel=1e-9)
