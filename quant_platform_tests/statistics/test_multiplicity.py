from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, norm

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics import multiplicity

KNOWN = json.loads((Path(__file__).parents[1] / "known_answers" / "statistics.json").read_text())
BH = KNOWN["bh1995"]
METHODS = [
    multiplicity.benjamini_hochberg,
    multiplicity.benjamini_yekutieli,
    multiplicity.holm,
    multiplicity.bonferroni,
]


def test_example_of_benjamini_and_hochberg():
    shuffled = np.random.default_rng(1).permutation(15)
    p = np.array(BH["p"])[shuffled]
    at05 = multiplicity.benjamini_hochberg(p, level=0.05)
    np.testing.assert_allclose(at05.adjusted_p, np.array(BH["q"])[shuffled], atol=5.1e-7)
    assert at05.n_rejected == BH["rej05"]
    assert sorted(p[at05.rejected]) == BH["p"][:4]
    assert multiplicity.benjamini_hochberg(p, level=0.10).n_rejected == BH["rej10"]
    assert multiplicity.bonferroni(p, level=0.05).n_rejected == BH["bonf"]
    by = multiplicity.benjamini_yekutieli(p, level=0.05)
    np.testing.assert_allclose(by.adjusted_p, np.array(BH["by_q"])[shuffled], atol=5.1e-7)
    assert by.n_rejected == BH["by_rej05"]


def test_the_number_of_tests_matters():
    first_ten = BH["p"][:10]
    assert multiplicity.benjamini_hochberg(first_ten, level=0.05).n_rejected == BH["first_ten_rejected"]
    told = multiplicity.benjamini_hochberg(first_ten, level=0.05, n_tests=15)
    assert (told.n_rejected, told.n_tests) == (4, 15)
    unknown = multiplicity.benjamini_hochberg(first_ten + [np.nan] * 5, level=0.05)
    assert (unknown.n_rejected, unknown.n_tests) == (4, 15)


def test_harvey_liu_zhu_example():
    known = KNOWN["harvey_liu_zhu"]
    p = np.array(known["p"]) / 100
    assert multiplicity.bonferroni(p, level=0.05).n_rejected == known["bonf"]
    assert multiplicity.holm(p, level=0.05).n_rejected == known["holm"]
    assert multiplicity.benjamini_yekutieli(p, level=0.05).n_rejected == known["bhy"]
    assert multiplicity.benjamini_hochberg(p, level=0.05).n_rejected == known["bh"]
    at_bar = 2 * norm.sf(known["bonferroni_316_t"])
    assert multiplicity.bonferroni([at_bar], level=0.05, n_tests=316).adjusted_p[0] == pytest.approx(0.05, rel=1e-6)


def test_holm_by_hand():
    result = multiplicity.holm([0.04, 0.01, np.nan, 0.03], level=0.05)
    np.testing.assert_allclose(result.adjusted_p, [0.09, 0.04, np.nan, 0.09], atol=1e-15)
    assert result.rejected.tolist() == [False, True, False, False]


P_VALUES = st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), min_size=1, max_size=30)


@given(P_VALUES)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_equals_scipy_with_nan_as_one(p):
    array = np.array(p)
    missing = np.isnan(array)
    for method, name in ((METHODS[0], "bh"), (METHODS[1], "by")):
        expected = false_discovery_control(np.where(missing, 1.0, array), method=name)
        result = method(array, level=0.1)
        np.testing.assert_allclose(result.adjusted_p[~missing], expected[~missing], atol=1e-12)
        assert np.isnan(result.adjusted_p[missing]).all()


@given(P_VALUES)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_methods_are_ordered_and_never_reject_nan(p):
    bh, by, step, plain = (method(p, level=0.1) for method in METHODS)
    assert not (np.isnan(p) & (bh.rejected | by.rejected | step.rejected | plain.rejected)).any()
    assert (plain.rejected <= step.rejected).all()
    assert (step.rejected <= bh.rejected).all()
    assert (by.rejected <= bh.rejected).all()


@pytest.mark.parametrize(("method", "limit"), [(METHODS[0], 0.10), (METHODS[2], 0.10)])
def test_under_the_global_null_any_rejection_is_as_rare_as_stated(method, limit):
    rng = np.random.default_rng(12)
    wrong = np.mean([method(rng.random(50), level=limit).n_rejected > 0 for _ in range(3000)])
    assert wrong == pytest.approx(limit, abs=3 * np.sqrt(limit * (1 - limit) / 3000))


@pytest.mark.parametrize("method", METHODS)
def test_wrong_arguments_are_named(method):
    with pytest.raises(StatisticError, match=r"p_values lie outside[\s\S]*1 of 2 values[\s\S]*row=1, p=1.5"):
        method([0.1, 1.5], level=0.05)
    with pytest.raises(StatisticError, match="n_tests was 1, at least 2"):
        method([0.1, 0.5], level=0.05, n_tests=1)
    with pytest.raises(StatisticError, match=r"level was 0\.0"):
        method([0.1], level=0.0)
    assert method([], level=0.05).n_rejected == 0
