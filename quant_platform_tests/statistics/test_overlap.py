from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics import overlap

KNOWN = json.loads((Path(__file__).parents[1] / "known_answers" / "statistics.json").read_text())


def overlapping(rng, length, window):
    """A null series of ``window``-period sums: neighbours share ``window - 1`` of their periods."""
    return np.convolve(rng.standard_normal(length + window - 1), np.ones(window), "valid")


@pytest.mark.parametrize("lags", ["0", "1", "2"])
def test_newey_west_known_answers(lags):
    known = KNOWN["newey_west"]
    result = overlap.newey_west_test(known["series"], int(lags))
    assert result.t == pytest.approx(known["by_lags"][lags]["t"], rel=1e-12)
    assert result.standard_error == pytest.approx(known["by_lags"][lags]["se"], rel=1e-12)
    assert result.p == pytest.approx(2 * stats.norm.sf(known["by_lags"][lags]["t"]), rel=1e-10)


def test_ewc_known_answer():
    known = KNOWN["ewc"]
    result = overlap.ewc_test(known["series"], terms=known["terms"])
    assert result.t == pytest.approx(known["t"], rel=1e-12)
    assert result.p == pytest.approx(2 * stats.t.sf(known["t"], 2), rel=1e-12)
    assert result.degrees_of_freedom == 2


@pytest.mark.parametrize(("length", "terms"), KNOWN["ewc"]["terms_by_length"].items())
def test_ewc_number_of_terms(length, terms):
    assert overlap.ewc_terms(int(length)) == terms


def test_a_long_overlap_limits_the_number_of_terms():
    assert overlap.ewc_terms(260, overlap=13) == 6  # 260 / 39 = 6.67
    assert overlap.ewc_terms(520, overlap=6) == overlap.ewc_terms(520) == 25
    assert overlap.ewc_terms(10, overlap=13) == 1
    series = overlapping(np.random.default_rng(3), 260, 13)
    assert overlap.ewc_test(series, overlap=13) == overlap.ewc_test(series, terms=6)


def plain_ewc(series, terms):
    """The slow twin: sums written out, missing values in their place."""
    length = len(series)
    seen = [x for x in series if not math.isnan(x)]
    mean = sum(seen) / len(seen)
    variance = 0.0
    for j in range(1, terms + 1):
        total = 0.0
        for t in range(1, length + 1):
            if not math.isnan(series[t - 1]):
                total += (series[t - 1] - mean) * math.cos(math.pi * j * (t - 0.5) / length)
        variance += (2.0 / length) * total**2 / terms
    return mean / math.sqrt(variance * length / len(seen) ** 2)


def test_ewc_with_gaps_equals_the_plain_twin():
    series = overlapping(np.random.default_rng(2), 90, 4)
    series[[3, 4, 5, 40, 77]] = np.nan
    result = overlap.ewc_test(series)
    assert result.n == 85
    assert result.degrees_of_freedom == overlap.ewc_terms(85)
    assert result.t == pytest.approx(plain_ewc(series.tolist(), overlap.ewc_terms(85)), rel=1e-12)


def test_phases_are_scipy_t_tests_and_n_counts_values():
    series = np.random.default_rng(4).standard_normal(47) + 0.3
    series[[0, 9, 10, 11]] = np.nan
    result = overlap.nonoverlapping_test(series, 4)
    expected = [stats.ttest_1samp(series[phase::4], 0.0, nan_policy="omit") for phase in range(4)]
    np.testing.assert_allclose(result.t_by_phase, [e.statistic for e in expected], rtol=1e-12)
    np.testing.assert_allclose(result.p_by_phase, [e.pvalue for e in expected], rtol=1e-10)
    assert result.t == pytest.approx(np.mean([e.statistic for e in expected]), rel=1e-12)
    assert result.mean == pytest.approx(np.nanmean(series), rel=1e-14)
    assert (result.n, result.n_independent) == (43, 10)
    cauchy = np.mean([math.tan((0.5 - e.pvalue) * math.pi) for e in expected])
    assert result.p == pytest.approx(0.5 - math.atan(cauchy) / math.pi, rel=1e-10)


def test_step_one_is_the_ordinary_t_test():
    series = np.random.default_rng(6).standard_normal(30)
    expected = stats.ttest_1samp(series, 0.0)
    result = overlap.nonoverlapping_test(series, 1)
    assert result.t == pytest.approx(expected.statistic, rel=1e-12)
    assert result.p == pytest.approx(expected.pvalue, rel=1e-10)


def test_combining_equal_p_values_changes_nothing():
    assert overlap.cauchy_combination([1e-200] * 6) == pytest.approx(1e-200, rel=1e-12)
    assert overlap.cauchy_combination([0.03, 0.03, math.nan]) == pytest.approx(0.03, rel=1e-12)
    assert overlap.cauchy_combination([0.0, 0.5]) == 0.0
    # One mean that is exactly zero must not outvote five strong ones.
    assert overlap.cauchy_combination([0.001] * 5 + [1.0]) < 0.002
    assert math.isnan(overlap.cauchy_combination([]))


@pytest.mark.parametrize("series", [[], [0.3], [math.nan] * 9, [0.1] * 24, [0.0] * 24])
def test_no_variation_or_no_data_has_no_p(series):
    for result in (
        overlap.nonoverlapping_test(series, 3),
        overlap.ewc_test(series),
        overlap.newey_west_test(series, 3),
    ):
        assert math.isnan(result.t)
        assert math.isnan(result.p)


def test_wrong_arguments_are_named():
    with pytest.raises(StatisticError, match="step was 0"):
        overlap.nonoverlapping_test([1.0, 2.0], 0)
    with pytest.raises(StatisticError, match="between 1 and 2 are possible for 3 values"):
        overlap.ewc_test([1.0, 2.0, 3.0], terms=3)
    with pytest.raises(StatisticError, match="values holds infinite values"):
        overlap.ewc_test([1.0, np.inf])
    with pytest.raises(StatisticError, match="lags was -1"):
        overlap.newey_west_test([1.0, 2.0], -1)


DRAWS = 2500
THREE_STANDARD_ERRORS = 3 * math.sqrt(0.05 * 0.95 / DRAWS)


@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "with gaps"])
def test_five_percent_tests_reject_five_percent_of_null_overlapping_series(gaps):
    rng = np.random.default_rng(520 + gaps)
    rejected = dict.fromkeys(("nonoverlapping", "first phase", "ewc", "newey_west", "naive"), 0)
    for _ in range(DRAWS):
        series = overlapping(rng, 520, 6)
        if gaps:
            series[rng.random(520) < 0.08] = np.nan
            series[200:230] = np.nan
        thinned = overlap.nonoverlapping_test(series, 6)
        rejected["nonoverlapping"] += thinned.p < 0.05
        rejected["first phase"] += thinned.p_by_phase[0] < 0.05
        rejected["ewc"] += overlap.ewc_test(series, overlap=6).p < 0.05
        rejected["newey_west"] += overlap.newey_west_test(series, 6).p < 0.05
        seen = series[~np.isnan(series)]
        rejected["naive"] += overlap.two_sided_p(seen.mean() / seen.std(ddof=1) * seen.size**0.5, seen.size - 1) < 0.05
    share = {name: count / DRAWS for name, count in rejected.items()}
    for name in ("nonoverlapping", "first phase", "ewc"):
        assert share[name] == pytest.approx(0.05, abs=THREE_STANDARD_ERRORS), share
    # The reason for this module: what the naive t and Newey-West do on the same series.
    known = KNOWN["overlap_rejections"]
    assert share["naive"] == pytest.approx(known["naive"], abs=0.04)
    assert share["newey_west"] == pytest.approx(known["NW_k"], abs=0.03)


def test_a_long_overlap_keeps_its_size_only_because_the_terms_are_limited():
    rng = np.random.default_rng(79)
    rejected = np.zeros(3)
    for _ in range(DRAWS):
        series = overlapping(rng, 260, 13)
        rejected += (
            overlap.nonoverlapping_test(series, 13).p < 0.05,
            overlap.ewc_test(series, overlap=13).p < 0.05,
            overlap.ewc_test(series).p < 0.05,
        )
    np.testing.assert_allclose(rejected[:2] / DRAWS, 0.05, atol=THREE_STANDARD_ERRORS)
    assert rejected[2] / DRAWS > 0.065


def test_the_test_keeps_its_size_when_the_overlap_is_only_nominal():
    rng = np.random.default_rng(77)
    rejected = np.zeros(2)
    for _ in range(DRAWS):
        series = rng.standard_normal(520)
        rejected += (overlap.nonoverlapping_test(series, 6).p < 0.05, overlap.ewc_test(series, overlap=6).p < 0.05)
    np.testing.assert_allclose(rejected / DRAWS, 0.05, atol=THREE_STANDARD_ERRORS)


def test_power_uses_all_phases():
    rng = np.random.default_rng(78)
    found = np.zeros(2)
    for _ in range(400):
        result = overlap.nonoverlapping_test(rng.standard_normal(520) + 0.15, 6)
        found += (result.p < 0.05, result.p_by_phase[0] < 0.05)
    assert found[0] > 1.3 * found[1]


def test_block_means_by_hand():
    """Blocks (1, 3), (2, 4), (6, 8), (7, 9) have means 2, 3, 7, 8: t = 5 / (sqrt(26 / 3) / 2)."""
    found = overlap.group_means_test([1.0, 3.0, 2.0, 4.0, 6.0, 8.0, 7.0, 9.0])
    assert (found.mean, found.degrees_of_freedom, found.n) == (5.0, 3.0, 8)
    assert found.t == pytest.approx(5.0 / (math.sqrt(26.0 / 3.0) / 2.0))
    assert found.p == pytest.approx(2 * stats.t.sf(found.t, 3))
    gap = overlap.group_means_test([1.0, 3.0, 2.0, math.nan, 6.0, 8.0, 7.0, 9.0], shortest=2)
    assert (gap.n, math.isnan(gap.t)) == (7, True)
    assert math.isnan(overlap.group_means_test(np.full(40, 0.1)).t)
    with pytest.raises(StatisticError, match="groups was 1"):
        overlap.group_means_test([1.0, 2.0], groups=1)
