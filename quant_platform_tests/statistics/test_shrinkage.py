from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics import conservative_p, dersimonian_laird, shrink_tree, shrunken_p, two_sided_p

KNOWN = json.loads((Path(__file__).parents[1] / "known_answers" / "discovery.json").read_text())


def test_the_tree_of_the_methods_reference():
    known = KNOWN["shrinkage_tree"]
    families, events, _, x, se = zip(*known["leaves"], strict=True)
    found = shrink_tree(x, se, [families, events])
    tau2 = known["tau2"]
    np.testing.assert_allclose(found.tau2, [tau2["family"], tau2["event"], tau2["state"]], atol=5.1e-7)
    np.testing.assert_allclose(found.prior_mean, known["prior"], atol=5.1e-5)
    np.testing.assert_allclose(found.own_weight, known["own_weight"], atol=5.1e-5)
    np.testing.assert_allclose(found.mean, known["shrunk"], atol=5.1e-5)
    np.testing.assert_allclose(found.standard_deviation, known["posterior_sd"], atol=5.1e-5)


def dense(x, se, levels, tau2, root):
    """The joint Gaussian, all at once."""
    n = len(x)
    k = np.zeros((n, n))
    for level, variance in zip([*levels, np.arange(n)], tau2, strict=True):
        label = np.asarray(level)
        k += variance * (label[:, None] == label[None, :])
    gain = k @ np.linalg.inv(k + np.diag(np.square(se)))
    return root + gain @ (np.asarray(x) - root), np.sqrt(np.diag(k - gain @ k))


@given(
    st.integers(0, 10_000),
    st.lists(st.floats(0.01, 50.0), min_size=3, max_size=3),
    st.sampled_from([None, 0, 1, 2]),
    st.floats(-5, 5),
)
@settings(max_examples=80, deadline=None, derandomize=True)
def test_two_passes_equal_the_dense_formula(seed, tau2, zeroed, root):
    rng = np.random.default_rng(seed)
    variances = [0.0 if i == zeroed else v for i, v in enumerate(tau2)]
    events = np.sort(rng.integers(0, 6, 25))
    families = events // 3
    x, se = rng.normal(0, 10, 25), rng.uniform(0.5, 8, 25)
    found = shrink_tree(x, se, [families, events], root=root, tau2=variances)
    mean, sd = dense(x, se, [families, events], variances, root)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found.standard_deviation, sd, rtol=1e-6, atol=1e-8)


def test_the_prior_of_a_leaf_does_not_see_the_leaf():
    x, se = np.array([3.0, -2.0, 8.0, 1.0]), np.array([1.0, 2.0, 1.0, 3.0])
    levels = [[0, 0, 0, 1]]
    before = shrink_tree(x, se, levels, tau2=[4.0, 2.0])
    after = shrink_tree(x + np.array([50.0, 0, 0, 0]), se, levels, tau2=[4.0, 2.0])
    assert after.prior_mean[0] == pytest.approx(before.prior_mean[0], rel=1e-12)
    assert after.prior_mean[1] > before.prior_mean[1] + 5


def test_a_leaf_without_estimate_receives_its_prior_and_sends_nothing():
    with_gap = shrink_tree([4.0, np.nan, 6.0, 5.0], [1.0, 1.0, 1.0, 0.0], [[0, 0, 0, 0]], tau2=[9.0, 1.0])
    without = shrink_tree([4.0, 6.0], [1.0, 1.0], [[0, 0]], tau2=[9.0, 1.0])
    np.testing.assert_allclose(with_gap.mean[[0, 2]], without.mean, rtol=1e-12)
    assert with_gap.own_weight[[1, 3]].tolist() == [0.0, 0.0]
    assert with_gap.mean[1] == with_gap.prior_mean[1] == pytest.approx(with_gap.mean[3])
    assert with_gap.mean[1] > 0


def test_the_p_of_a_posterior_against_gains_is_that_of_its_upper_tail():
    found = shrunken_p([2.0, -2.0, 0.0], [1.0, 1.0, 0.0], [9.0, 9.0, 9.0], alternative="greater")
    assert found.tolist() == pytest.approx([stats.t.sf(2.0, 9), stats.t.cdf(2.0, 9), 1.0], rel=1e-12)


def test_without_differences_everything_is_pooled_onto_the_root():
    found = shrink_tree([0.1, -0.1, 0.05, 0.0], [1.0, 1.0, 1.0, 1.0], [[0, 0, 1, 1]])
    assert found.tau2.tolist() == [0.0, 0.0]
    assert found.mean.tolist() == [0.0] * 4
    assert shrunken_p(found.mean, found.standard_deviation, [10.0] * 4).tolist() == [1.0] * 4


def test_efron_and_morris_baseball():
    known = KNOWN["efron_morris"]
    y = np.array(known["hits"]) / known["at_bats"]
    truth = np.array(known["rest_of_season"])
    grand = y.mean()
    assert grand == pytest.approx(known["grand"], abs=1e-12)
    noise = grand * (1 - grand) / known["at_bats"]
    assert noise == pytest.approx(known["sigma2"], abs=1e-9)
    # Their estimator: tau^2 such that the shrink factor is 1 - (k - 3) sigma^2 / S.
    factor = 1 - 15 * noise / np.square(y - grand).sum()
    assert factor == pytest.approx(known["shrink"], abs=1e-9)
    found = shrink_tree(y, np.full(18, math.sqrt(noise)), [], root=grand, tau2=[noise * factor / (1 - factor)])
    assert found.own_weight == pytest.approx(np.full(18, known["shrink"]))
    assert found.mean[0] == pytest.approx(known["clemente"], abs=1e-9)
    assert found.mean[-1] == pytest.approx(known["last"], abs=1e-9)
    assert np.square(y - truth).sum() == pytest.approx(known["sse_mle"], abs=1e-9)
    assert np.square(found.mean - truth).sum() == pytest.approx(known["sse_js"], abs=1e-9)


def test_eight_schools():
    known = KNOWN["eight_schools"]
    found = dersimonian_laird(known["effects"], np.square(known["standard_errors"]), np.zeros(8))
    assert found.heterogeneity == pytest.approx(known["Q"], abs=1e-9)
    assert (found.degrees_of_freedom, found.tau2) == (7, 0.0)
    assert found.mean[0] == pytest.approx(known["mu"], abs=1e-9)
    assert found.standard_error[0] == pytest.approx(known["se"], abs=1e-9)


def test_bcg_vaccine_trials():
    known = KNOWN["bcg"]
    a, n1, c, n2 = np.array(known["trials"], dtype=float).T
    effect = np.log(a / n1) - np.log(c / n2)
    found = dersimonian_laird(effect, 1 / a - 1 / n1 + 1 / c - 1 / n2, np.zeros(13))
    assert found.heterogeneity == pytest.approx(known["Q"], abs=1e-6)
    assert found.tau2 == pytest.approx(known["tau2"], abs=1e-9)
    assert found.mean[0] == pytest.approx(known["mu"], abs=1e-9)
    assert found.standard_error[0] == pytest.approx(known["se"], abs=1e-9)


def test_pooling_over_groups_by_hand():
    # Q 2 and 8 on one degree of freedom each, C = 2 - 2/2 = 1 each: (10 - 2) / 2.
    found = dersimonian_laird([1.0, 3.0, 0.0, 4.0, 7.0, np.nan], np.ones(6), [0, 0, 1, 1, 2, 2])
    assert (found.tau2, found.heterogeneity, found.degrees_of_freedom) == (4.0, 10.0, 2)
    np.testing.assert_allclose(found.mean, [2.0, 2.0, 7.0])


@pytest.mark.parametrize(("family_mean", "tau"), [(0.0, 0.0), (0.15, 0.0), (0.3, 0.0), (0.3, 0.15), (0.0, 0.15)])
def test_the_larger_of_both_p_keeps_the_size_of_a_null_cell_in_an_active_family(family_mean, tau):
    rng = np.random.default_rng(21)
    runs, events = 1500, 60
    se = 1 / math.sqrt(events)
    raw = shrunk = both = 0
    for _ in range(runs):
        truth = np.r_[0.0, rng.normal(family_mean, tau, 11)]
        x = truth + se * rng.normal(size=12)
        errors = se * np.sqrt(rng.chisquare(events - 1, 12) / (events - 1))
        tree = shrink_tree(x, errors, [np.zeros(12), np.arange(12) // 4])
        p_raw = float(two_sided_p(x[0] / errors[0], events - 1))
        p_shrunk = float(shrunken_p(tree.mean[0], tree.standard_deviation[0], events - 1))
        raw += p_raw < 0.05
        shrunk += p_shrunk < 0.05
        both += float(conservative_p(p_raw, p_shrunk)) < 0.05
    assert both / runs < 0.05
    assert raw / runs == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / runs))
    if family_mean == 0.15 and tau == 0.0:
        assert shrunk / runs > 0.2, "the posterior alone is no test of the cell's own null"


def test_wrong_arguments_are_named():
    with pytest.raises(StatisticError, match="lies in two groups"):
        shrink_tree([1.0, 2.0], [1.0, 1.0], [["A", "B"], ["e", "e"]])
    with pytest.raises(StatisticError, match="standard_errors holds negative"):
        shrink_tree([1.0], [-1.0], [])
    with pytest.raises(StatisticError, match="tau2 must be 2 numbers"):
        shrink_tree([1.0], [1.0], [["A"]], tau2=[1.0])
    with pytest.raises(StatisticError, match="a level has shape"):
        shrink_tree([1.0], [1.0], [["A", "B"]])
