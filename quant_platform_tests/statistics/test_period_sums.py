"""Intervals from period sums: by hand, against published limits, and by simulation of trades that overlap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t as student

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.period_sums import (
    Periods,
    mean_over_periods,
    rate_over_periods,
    ratio_over_periods,
)
from quant_platform.statistics.proportions import wilson_interval


def test_one_cosine_by_hand():
    """Sums of weeks are -3, 1, 1, 1: L_1 = sqrt(2 / 4) (-3 cos 22.5 + cos 67.5 - cos 67.5 - cos 22.5) degrees."""
    found = mean_over_periods([0.0, 4.0, 3.0, 5.0, 4.0, 2.0], [0, 1, 2, 3, 2, 3], Periods(overlap=4, minimum=4))
    assert found.estimate == 3.0
    wave = math.sqrt(0.5) * -4.0 * math.cos(math.pi / 8)
    # Deviations: -3 | 1 | 0 + 1 | 2 - 1.
    error = math.sqrt(4.0 * wave**2) / 6.0
    assert found.standard_error == pytest.approx(error, rel=1e-12)
    assert (found.degrees_of_freedom, found.n, found.n_periods) == (1.0, 6, 4)
    # Student t with one degree of freedom is Cauchy's distribution: its quantile is tan(0.475 pi).
    half = math.tan(0.475 * math.pi) * error
    assert (found.low, found.high) == (pytest.approx(3.0 - half), pytest.approx(3.0 + half))
    assert found.p == pytest.approx(1.0 - 2.0 / math.pi * math.atan(3.0 / error))


def test_a_ratio_is_linearised():
    """The error of sum a / sum b is that of the mean of a - r b, times n / sum b."""
    rng = np.random.default_rng(1)
    weeks = rng.integers(0, 100, 400)
    b = rng.uniform(0.5, 2.0, 400)
    a = 0.3 * b + rng.standard_normal(400)
    counted = Periods(overlap=7, minimum=24)
    found = ratio_over_periods(a, b, weeks, counted)
    assert found.estimate == pytest.approx(a.sum() / b.sum())
    plain = mean_over_periods(a - found.estimate * b, weeks, counted)
    assert plain.estimate == pytest.approx(0.0, abs=1e-12)
    assert found.standard_error == pytest.approx(plain.standard_error * 400 / b.sum(), rel=1e-9)


def test_a_rate_has_wilsons_limits_for_the_trials_that_its_error_is_worth():
    """Newcombe's 81 of 263 is 0.2553 to 0.3662; here the effective trials and the t of the cosines take their place."""
    y = np.zeros(2000)
    y[np.random.default_rng(2).choice(2000, 616, replace=False)] = 1.0
    found = rate_over_periods(y, np.arange(2000), Periods(overlap=1, minimum=24))
    trials = 0.308 * 0.692 / found.standard_error**2
    assert trials == pytest.approx(2000, rel=0.35)
    quantile = student.ppf(0.975, found.degrees_of_freedom)
    for limit in (found.low, found.high):
        assert abs(limit - 0.308) == pytest.approx(quantile * math.sqrt(limit * (1 - limit) / trials))
    wilson = wilson_interval(616, 2000)
    assert found.high - found.low == pytest.approx(float(wilson.high - wilson.low), rel=0.3)


def test_p_and_interval_are_one_statement_and_limits_stay_inside():
    rng = np.random.default_rng(3)
    counted = Periods(overlap=7, minimum=24)
    verdicts = set()
    for _ in range(200):
        weeks = rng.integers(0, 60, 80)
        found = mean_over_periods(rng.standard_normal(80) + 0.25, weeks, counted)
        assert (found.p < 0.05) == (not found.low <= 0.0 <= found.high)
        verdicts.add(found.p < 0.05)
        rate = rate_over_periods(rng.random(80) < 0.03, weeks, counted)
        if not math.isnan(rate.low):
            assert 0.0 <= rate.low < rate.estimate < rate.high <= 1.0
    assert verdicts == {True, False}


def test_below_the_minimum_or_without_variation_there_is_no_interval():
    counted = Periods(overlap=7, minimum=24)
    few = mean_over_periods(np.arange(46.0), np.repeat(np.arange(23), 2), counted)
    assert (few.estimate, few.n_periods) == (22.5, 23)
    assert all(math.isnan(x) for x in (few.low, few.high, few.t, few.p, few.standard_error, few.degrees_of_freedom))
    equal = mean_over_periods(np.full(60, 0.1), np.arange(60), counted)
    assert math.isnan(equal.p)
    assert math.isnan(rate_over_periods(np.ones(60), np.arange(60), counted).low)
    nothing = mean_over_periods([], np.zeros(0, dtype=np.int64), counted)
    assert math.isnan(nothing.estimate)
    assert (nothing.n, nothing.n_periods) == (0, 0)
    assert math.isnan(ratio_over_periods([1.0], [0.0], [0], counted).estimate)


@pytest.mark.parametrize("memory", [1, 6])
def test_overlapping_results_keep_their_coverage_where_single_periods_do_not(memory):
    """Each week's results share a shock that lasts ``memory`` weeks; the mean is zero."""
    rng = np.random.default_rng(40 + memory)
    covered = single = 0
    for _ in range(600):
        shock = np.convolve(rng.standard_normal(260 + memory), np.ones(memory) / math.sqrt(memory), "valid")[:260]
        counts = rng.integers(0, 5, 260)
        weeks = np.repeat(np.arange(260), counts)
        values = shock[weeks] + rng.standard_normal(weeks.size)
        found = mean_over_periods(values, weeks, Periods(overlap=7, minimum=24))
        covered += found.low <= 0.0 <= found.high
        sums = np.bincount(weeks, weights=values - values.mean(), minlength=260)
        single += abs(values.mean()) <= 1.97 * math.sqrt((sums**2).sum()) / weeks.size
    # Three standard errors of 600 draws are 2.7 points.
    assert covered / 600 == pytest.approx(0.95, abs=0.027)
    if memory == 6:
        assert single / 600 < 0.80


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_over_periods([1.0, np.nan], [0, 1], Periods(1, 2)), "missing values"),
        (lambda: mean_over_periods([1.0, 2.0], [0], Periods(1, 2)), "periods has shape"),
        (lambda: mean_over_periods([1.0], ["2020-01-06"], Periods(1, 2)), "whole numbers are needed"),
        (lambda: ratio_over_periods([1.0], [-1.0], [0], Periods(1, 2)), "negative values"),
        (lambda: rate_over_periods([0.5], [0], Periods(1, 2)), "0 or 1"),
        (lambda: Periods(0, 24), "overlap was 0"),
        (lambda: Periods(7, 1), "minimum was 1"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(StatisticError, match=message):
        call()
