from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics import (
    cluster_moments,
    events_needed,
    minimum_detectable_effect,
    one_cell,
    stability_bound,
    stability_index,
    stability_index_of_shares,
    time_block_stability,
)

KNOWN = json.loads((Path(__file__).parents[1] / "known_answers" / "discovery.json").read_text())


def judged(y, clusters, blocks, n_blocks):
    cells = one_cell(clusters)
    return time_block_stability(cluster_moments(y, clusters, cells, blocks=blocks, n_blocks=n_blocks))


def test_blocks_by_hand():
    y = np.array([1.0, 3.0, -1.0, -3.0, 5.0, 9.0])
    found = judged(y, np.arange(6), np.array([0, 0, 1, 1, 3, 3]), 4)
    assert found.signs.tolist() == [[1, -1, 0, 1]]
    assert found.agreeing.tolist() == [2]
    assert found.largest_share[0] == pytest.approx(14 / 14)
    left_out = [stats.ttest_1samp(np.delete(y, drop), 0.0).statistic for drop in ([0, 1], [2, 3], [4, 5])]
    assert found.leave_one_out_t[0] == pytest.approx(min(left_out), rel=1e-12)
    means, variances = np.array([2.0, -2.0, 7.0]), np.array([1.0, 1.0, 4.0])
    w = 1 / variances
    q = (w * (means - (w * means).sum() / w.sum()) ** 2).sum()
    assert found.heterogeneity_p[0] == pytest.approx(stats.chi2.sf(q, 2), rel=1e-9)


def test_the_last_blocks_are_judged_by_themselves_in_the_direction_of_the_whole():
    y = np.array([-9.0, -5.0, -7.0, -4.0, 1.0, 3.0, -1.0, 2.0])
    found = judged(y, np.arange(8), np.repeat(np.arange(4), 2), 4)
    # The whole is negative: a positive t of the last two blocks counts against it.
    assert found.recent_t[0] == pytest.approx(-stats.ttest_1samp(y[4:], 0.0).statistic, rel=1e-12)
    with pytest.raises(StatisticError, match="recent was 0"):
        time_block_stability(np.zeros((1, 4, 6)), recent=0)


def test_a_negative_effect_is_judged_like_its_mirror():
    rng = np.random.default_rng(5)
    y, blocks = rng.normal(0.4, 1, 50), np.repeat(np.arange(5), 10)
    up, down = judged(y, np.arange(50), blocks, 5), judged(-y, np.arange(50), blocks, 5)
    assert up.agreeing.tolist() == down.agreeing.tolist()
    assert up.leave_one_out_t == pytest.approx(down.leave_one_out_t, rel=1e-12)
    assert up.largest_share == pytest.approx(down.largest_share)


def test_heterogeneity_keeps_its_size():
    rng = np.random.default_rng(6)
    blocks = np.repeat(np.arange(5), 60)
    p = np.array([judged(rng.normal(0.1, 1, 300), np.arange(300), blocks, 5).heterogeneity_p[0] for _ in range(800)])
    assert (p < 0.05).mean() == pytest.approx(0.055, abs=0.025)
    moved = judged(np.r_[np.full(60, 1.0) + rng.normal(size=60), rng.normal(size=240)], np.arange(300), blocks, 5)
    assert moved.heterogeneity_p[0] < 0.001
    assert moved.largest_share[0] > 0.6


def test_one_block_alone_has_nothing_left_without_it():
    found = judged(np.array([1.0, 2.0]), np.arange(2), np.array([2, 2]), 5)
    assert np.isnan(found.leave_one_out_t[0])
    assert np.isnan(found.heterogeneity_p[0])
    assert found.largest_share[0] == 1.0


def test_minimum_detectable_effect_of_the_methods_reference():
    known = KNOWN["mde_table"]
    level = 2 * stats.norm.sf(3.7)
    for n, row in known["rows"].items():
        found = minimum_detectable_effect(np.array(known["sd"]) / np.sqrt(int(n)), level=level)
        np.testing.assert_allclose(found, row, atol=0.051)
    for (effect, sd), name in {(5, 30): "delta5bp_sd30", (5, 60): "delta5bp_sd60", (3, 30): "delta3bp_sd30"}.items():
        assert events_needed(effect, sd, level=0.05) == KNOWN["power"][name]
    assert np.isnan(minimum_detectable_effect(np.nan, level=0.05))
    # All of the level at one end: z of 0.95 and of 0.8.
    one_sided = minimum_detectable_effect(2.0, level=0.05, alternative="greater")
    assert float(one_sided) == pytest.approx(2.0 * (1.6448536 + 0.8416212), rel=1e-6)


def test_minimum_detectable_effect_is_found_as_often_as_stated():
    rng = np.random.default_rng(13)
    effect = float(minimum_detectable_effect(1.0, level=0.01, power=0.8))
    found = np.abs(rng.normal(effect, 1.0, 20_000)) > stats.norm.isf(0.005)
    assert found.mean() == pytest.approx(0.8, abs=0.01)


def test_stability_index_of_the_methods_reference():
    known = KNOWN["psi"]
    assert stability_index_of_shares(known["expected"], known["actual"]) == pytest.approx(known["value"], abs=1e-12)
    for n, m, bound in known["bounds"]:
        assert stability_bound(n, m) == pytest.approx(bound, abs=1e-9)


def test_stability_index_exceeds_its_bound_as_rarely_as_stated():
    rng = np.random.default_rng(14)
    found = [stability_index(rng.normal(size=2000), rng.normal(size=500)) for _ in range(600)]
    assert np.mean([each.value > each.bound for each in found]) == pytest.approx(0.05, abs=0.03)
    moved = stability_index(rng.normal(size=2000), rng.normal(1.0, 1.0, 500))
    assert moved.value > 0.25 > moved.bound
    same = stability_index([1.0, 2.0, 3.0, np.nan], [1.0, 2.0, 3.0], bins=3)
    assert (same.value, same.n_reference, same.n_current) == (0.0, 3, 3)


def test_wrong_arguments_are_named():
    with pytest.raises(StatisticError, match="current holds no values"):
        stability_index([1.0, 2.0], [np.nan])
    with pytest.raises(StatisticError, match=r"level was 1\.0"):
        minimum_detectable_effect(1.0, level=1.0)
