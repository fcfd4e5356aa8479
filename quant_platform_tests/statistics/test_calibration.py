from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics import calibration
from quant_platform.statistics.period_sums import Periods

KNOWN = json.loads((Path(__file__).parents[1] / "known_answers" / "statistics.json").read_text())


def test_murphy_partition_known_answer():
    known = KNOWN["brier"]
    report = calibration.calibration_report(known["p"], known["y"])
    parts = report.parts
    for name in ("brier", "reliability", "resolution", "uncertainty"):
        assert getattr(parts, name) == pytest.approx(known[name], abs=1e-12), name
    assert parts.within_bins == pytest.approx(0.0, abs=1e-15)
    assert parts.skill == pytest.approx(1 - 0.17 / 0.25, abs=1e-12)
    assert report.ece == pytest.approx(known["ece"], abs=1e-12)
    assert report.bins.count.tolist() == [2, 3, 2, 3]
    np.testing.assert_allclose(report.bins.observed, [0, 1 / 3, 1, 2 / 3])
    assert calibration.brier_score(known["p"], known["y"]) == pytest.approx(known["brier"], abs=1e-12)


def test_spiegelhalter_and_log_loss_by_hand():
    p, y = [0.2, 0.6, 0.9], [0, 1, 0]
    top = (0 - 0.2) * 0.6 + (1 - 0.6) * -0.2 + (0 - 0.9) * -0.8
    bottom = 0.36 * 0.16 + 0.04 * 0.24 + 0.64 * 0.09
    report = calibration.calibration_report(p, y)
    assert report.spiegelhalter_z == pytest.approx(top / math.sqrt(bottom), rel=1e-12)
    assert report.spiegelhalter_p == pytest.approx(2 * norm.sf(top / math.sqrt(bottom)), rel=1e-10)
    assert report.log_loss == pytest.approx(-(math.log(0.8) + math.log(0.6) + math.log(0.1)) / 3, rel=1e-12)


def test_terms_within_bins_equal_stephenson_coelho_jolliffe():
    rng = np.random.default_rng(41)
    p = rng.random(1003)
    y = (rng.random(1003) < p**1.4).astype(float)
    report = calibration.calibration_report(p, y, bins=10)
    # The twin: bins by order, variance and covariance terms summed bin by bin.
    variance, covariance, start = 0.0, 0.0, 0
    order = np.argsort(p)
    for size in report.bins.count:
        here = order[start : start + size]
        start += size
        variance += np.sum((p[here] - p[here].mean()) ** 2) / p.size
        covariance += 2 * np.sum((y[here] - y[here].mean()) * (p[here] - p[here].mean())) / p.size
    assert report.parts.within_bins == pytest.approx(variance - covariance, abs=1e-14)
    assert set(report.bins.count) <= {100, 101}
    assert report.bins.count.sum() == 1003


def test_equal_probabilities_share_a_bin_and_nothing_is_dropped():
    p = np.repeat([1 / 3, 0.4, 1 / 2.2], [400, 100, 7])
    y = np.resize([0.0, 1.0, 0.0], 507)
    bins = calibration.calibration_report(p, y).bins
    assert bins.count.tolist() == [400, 100, 7]
    np.testing.assert_allclose(bins.mean_p, [1 / 3, 0.4, 1 / 2.2])


def test_weeks_widen_the_limits_that_independence_makes_too_narrow():
    rng = np.random.default_rng(42)
    weeks = np.repeat(np.arange(60), 20)
    shock = np.repeat(rng.standard_normal(60), 20)
    y = (shock + 0.3 * rng.standard_normal(1200) > 0).astype(float)
    report = calibration.calibration_report(
        np.full(1200, 0.5), y, periods=weeks, counted=Periods(overlap=1, minimum=24)
    )
    wilson = report.bins.wilson_high[0] - report.bins.wilson_low[0]
    assert report.bins.high[0] - report.bins.low[0] > 3 * wilson
    assert report.rate is not None
    assert (report.rate.low, report.rate.high) == (report.bins.low[0], report.bins.high[0])
    assert report.bias is not None
    assert report.bias.n_periods == 60
    assert report.bias.estimate == pytest.approx(y.mean() - 0.5)
    assert report.bias.low < 0 < report.bias.high


@pytest.mark.parametrize("exact", [True, False])
def test_spiegelhalter_keeps_its_size_and_finds_miscalibration(exact):
    rng = np.random.default_rng(43 + exact)
    rejected = 0
    for _ in range(600):
        p = rng.uniform(0.05, 0.65, 800)
        true = p if exact else 0.35 + 0.6 * (p - 0.35)  # stated too boldly
        y = (rng.random(800) < true).astype(float)
        rejected += calibration.calibration_report(p, y).spiegelhalter_p < 0.05
    if exact:
        assert rejected / 600 == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 600))
    else:
        assert rejected / 600 > 0.5


def test_borders_are_defined():
    certain = calibration.calibration_report([0.0, 1.0], [0, 1])
    assert math.isnan(certain.spiegelhalter_z)
    assert math.isnan(certain.spiegelhalter_p)
    assert certain.log_loss == 0.0
    assert calibration.log_loss([1.0], [0]) == math.inf
    one_sided = calibration.calibration_report([0.3, 0.4], [0, 0])
    assert math.isnan(one_sided.parts.skill)


@pytest.mark.parametrize(
    ("p", "y", "arguments", "message"),
    [
        ([0.5, 1.2], [0, 1], {}, r"probability holds values outside its range[\s\S]*row=1, probability=1.2"),
        ([0.5, 0.2], [0, 2], {}, r"outcome holds values outside its range"),
        ([0.5, np.nan], [0, 1], {}, r"probability holds missing values[\s\S]*1 of 2"),
        ([0.5], [0, 1], {}, "outcome has 2 values, its companions have 1"),
        ([], [], {}, "no forecast to judge"),
        ([0.5], [1], {"bins": 0}, "bins was 0"),
        ([0.5], [1], {"periods": [1]}, "belong together"),
    ],
)
def test_wrong_arguments_are_named(p, y, arguments, message):
    with pytest.raises(StatisticError, match=message):
        calibration.calibration_report(p, y, **arguments)
