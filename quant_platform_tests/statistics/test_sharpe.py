from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics import sharpe

KNOWN = json.loads((Path(__file__).parents[1] / "known_answers" / "statistics.json").read_text())
CASES = [("N100_s-3_k10", 100, -3.0, 10.0), ("N46_s-3_k10", 46, -3.0, 10.0), ("N88_s0_k3", 88, 0.0, 3.0)]


@pytest.mark.parametrize(("name", "trials", "skewness", "kurtosis"), CASES)
def test_paper_example_of_the_deflated_ratio(name, trials, skewness, kurtosis):
    result = sharpe.deflated_sharpe(
        2.5 / math.sqrt(250),
        1250,
        n_trials=trials,
        trial_variance=0.5 / 250,
        skewness=skewness,
        kurtosis=kurtosis,
    )
    known = KNOWN["deflated_sharpe"][name]
    assert result.benchmark == pytest.approx(known["sr0_daily"], rel=1e-9)
    assert result.probability == pytest.approx(known["dsr"], abs=1e-9)
    # The well-known mistakes land close by; the test must tell them apart.
    for wrong in KNOWN["deflated_sharpe"]["wrong"].values():
        assert abs(result.probability - wrong) > 1e-3


@pytest.mark.parametrize("trials", [2, 5, 10, 46, 88, 100, 1000])
def test_expected_maximum(trials):
    known = KNOWN["expected_maximum"][str(trials)]
    assert sharpe.expected_maximum_sharpe(trials, 1.0) == pytest.approx(known["approx"], rel=1e-12)
    assert sharpe.expected_maximum_sharpe(trials, 1.0) == pytest.approx(known["exact"], rel=0.08)


def test_one_trial_has_nothing_to_deflate():
    assert sharpe.expected_maximum_sharpe(1, 0.3) == 0.0
    assert sharpe.expected_maximum_sharpe(1.05, 0.3) == 0.0
    plain = sharpe.probabilistic_sharpe(0.1, 250, skewness=-0.5, kurtosis=5.0)
    deflated = sharpe.deflated_sharpe(0.1, 250, n_trials=1, trial_variance=0.2, skewness=-0.5, kurtosis=5.0)
    assert deflated.probability == plain


def test_hedge_fund_example():
    known = KNOWN["probabilistic_sharpe"]
    ratio = 0.036 / 0.079
    assert sharpe.probabilistic_sharpe(ratio, 24) == pytest.approx(known["normal"], abs=1e-12)
    skewed = sharpe.probabilistic_sharpe(ratio, 24, skewness=-2.448, kurtosis=10.164)
    assert skewed == pytest.approx(known["nonnormal"], abs=1e-12)


@pytest.mark.parametrize(
    ("name", "per_year", "moments"),
    [
        ("daily_normal", 252, {}),
        ("weekly_normal", 52, {}),
        ("monthly_normal", 12, {}),
        ("monthly_hf", 12, {"skewness": -0.72, "kurtosis": 5.78}),
    ],
)
def test_minimum_track_record(name, per_year, moments):
    root = math.sqrt(per_year)
    periods = sharpe.minimum_track_record(2 / root, benchmark=1 / root, **moments)
    assert periods == pytest.approx(KNOWN["minimum_track_record"][name]["obs"], rel=1e-9)
    # At that length the probabilistic ratio is the level itself.
    whole = sharpe.probabilistic_sharpe(2 / root, math.ceil(periods), benchmark=1 / root, **moments)
    assert whole == pytest.approx(0.95, abs=0.003)


def test_impossible_arguments_are_named():
    assert sharpe.minimum_track_record(0.1, benchmark=0.1) == math.inf
    with pytest.raises(StatisticError, match=r"raw kurtosis \(3 for the normal\)"):
        sharpe.probabilistic_sharpe(0.1, 100, kurtosis=0.0)
    with pytest.raises(StatisticError, match="Sharpe ratio nan"):
        sharpe.minimum_track_record(math.nan)
    with pytest.raises(StatisticError, match=r"n_trials was 0\.5"):
        sharpe.expected_maximum_sharpe(0.5, 1.0)
    with pytest.raises(StatisticError, match="n_periods was 1"):
        sharpe.probabilistic_sharpe(0.1, 1)
