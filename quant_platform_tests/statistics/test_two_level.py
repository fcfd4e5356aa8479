from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, norm

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics import benjamini_bogomolov, benjamini_hochberg, grouped_benjamini_hochberg, simes_p

KNOWN = json.loads((Path(__file__).parents[1] / "known_answers" / "discovery.json").read_text())
TOY = KNOWN["bb_toy"]
P = np.array([p for own in TOY["p"].values() for p in own])
GROUPS = np.repeat(list(TOY["p"]), 3)


def test_toy_of_benjamini_and_bogomolov():
    shuffled = np.random.default_rng(2).permutation(12)
    p, groups = P[shuffled], GROUPS[shuffled]
    found = benjamini_bogomolov(p, groups, level=0.05)
    for name, q in zip("ABCD", TOY["simes_q"], strict=True):
        assert found.simes_p[groups == name] == pytest.approx(TOY["simes"][name])
        assert found.q_level1[groups == name] == pytest.approx(q)
        assert simes_p(TOY["p"][name]) == pytest.approx(TOY["simes"][name])
    assert sorted(set(groups[found.selected_level1])) == TOY["selected"]
    assert found.level_within == TOY["level"]
    assert sorted(p[found.rejected]) == [0.001, 0.004]
    assert (found.n_groups, found.n_selected) == (4, 2)
    naive = grouped_benjamini_hochberg(p, groups) <= 0.05
    assert sorted(p[naive]) == sorted(x for own in TOY["naive_within"].values() for x in own)


def test_a_missing_p_counts_in_its_group_and_is_never_rejected():
    with_missing = benjamini_bogomolov([0.02, np.nan, np.nan, np.nan], [1, 1, 1, 2], level=0.05)
    assert with_missing.simes_p.tolist()[:3] == pytest.approx([0.06] * 3)
    assert np.isnan(with_missing.simes_p[3])
    assert (with_missing.n_groups, with_missing.n_selected) == (2, 0)
    alone = benjamini_bogomolov([0.02], [1], level=0.05)
    assert alone.rejected.tolist() == [True]
    found = benjamini_bogomolov([1e-9, np.nan], [1, 1], level=0.05)
    assert found.rejected.tolist() == [True, False]


CASES = st.lists(
    st.tuples(st.integers(0, 4), st.one_of(st.floats(0, 1), st.just(float("nan")))), min_size=1, max_size=40
)


@given(CASES)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_equals_scipy_group_by_group(case):
    groups, p = np.array([g for g, _ in case]), np.array([x for _, x in case])
    found = grouped_benjamini_hochberg(p, groups)
    for group in np.unique(groups):
        own = p[groups == group]
        expected = false_discovery_control(np.where(np.isnan(own), 1.0, own))
        missing = np.isnan(own)
        np.testing.assert_allclose(found[groups == group][~missing], expected[~missing], rtol=1e-12, atol=1e-300)
        assert np.isnan(found[groups == group][missing]).all()


def test_one_group_is_plain_benjamini_hochberg():
    p = np.random.default_rng(3).random(50) ** 3
    found = benjamini_bogomolov(p, np.zeros(50), level=0.1)
    plain = benjamini_hochberg(p, level=0.1)
    assert found.rejected.tolist() == plain.rejected.tolist()
    assert found.q_level2 == pytest.approx(plain.adjusted_p)


def simulate(rng: np.random.Generator, runs: int, active: float) -> dict[str, np.ndarray]:
    """Per run: false discoveries, false discovery proportion and power of three procedures on 600 groups of 4."""
    out: dict[str, list[tuple[float, float, float]]] = {"per_group": [], "two_level": [], "global": []}
    groups = np.repeat(np.arange(600), 4)
    for _ in range(runs):
        true = np.repeat(rng.random(600) < active, 4)
        p = 2 * norm.sf(np.abs(rng.normal(size=2400) + 3.5 * true))
        decisions = {
            "per_group": grouped_benjamini_hochberg(p, groups) <= 0.05,
            "two_level": benjamini_bogomolov(p, groups, level=0.05).rejected,
            "global": benjamini_hochberg(p, level=0.05).rejected,
        }
        for name, rejected in decisions.items():
            false = (rejected & ~true).sum()
            out[name].append((false, false / max(1, rejected.sum()), (rejected & true).sum() / max(1, true.sum())))
    return {name: np.array(rows) for name, rows in out.items()}


def test_over_all_nulls_two_levels_report_nothing_and_group_by_group_reports_many():
    found = simulate(np.random.default_rng(11), 300, 0.0)
    recorded = KNOWN["groups_of_tests"]["S1_null"]
    assert found["per_group"][:, 0].mean() == pytest.approx(recorded["per_group"]["meanFalse"], rel=0.05)
    assert (found["two_level"][:, 0] > 0).mean() < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


def test_with_effects_in_few_groups_the_false_discovery_proportion_is_kept():
    found = simulate(np.random.default_rng(12), 100, 0.05)
    assert found["two_level"][:, 1].mean() < 0.05
    assert found["per_group"][:, 1].mean() > 0.15
    assert found["two_level"][:, 2].mean() > 0.5


def test_wrong_arguments_are_named():
    with pytest.raises(StatisticError, match="groups has shape"):
        benjamini_bogomolov([0.1, 0.2], [1], level=0.05)
    with pytest.raises(StatisticError, match=r"level was 0\.0"):
        benjamini_bogomolov([0.1], [1], level=0.0)
    with pytest.raises(StatisticError, match="p_values lie outside"):
        benjamini_bogomolov([1.5], [1], level=0.05)
    assert benjamini_bogomolov([], [], level=0.05).n_groups == 0
