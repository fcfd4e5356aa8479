from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.period_sums import Periods
from quant_platform.statistics.recalibration import (
    NotFitted,
    Recalibration,
    fit_recalibration,
    out_of_sample_recalibration,
)


def test_two_stated_probabilities_have_a_solution_by_hand():
    # 20 of 100 came true at a stated 1/4, 60 of 100 at a stated 3/4: the fit passes through both rates.
    p = np.repeat([0.25, 0.75], 100)
    y = np.concatenate((np.arange(100) < 20, np.arange(100) < 60)).astype(float)
    fit = fit_recalibration(p, y)
    assert isinstance(fit, Recalibration)
    low, high = math.log(20 / 80), math.log(60 / 40)
    assert fit.slope == pytest.approx((high - low) / (2 * math.log(3)), rel=1e-10)
    assert fit.intercept == pytest.approx((high + low) / 2, rel=1e-10)
    # Variance of an observed log odds is 1 / (n r (1 - r)).
    variances = 1 / (100 * 0.2 * 0.8) + 1 / (100 * 0.6 * 0.4)
    assert fit.slope_error == pytest.approx(math.sqrt(variances) / (2 * math.log(3)), rel=1e-8)
    assert fit.intercept_error == pytest.approx(math.sqrt(variances) / 2, rel=1e-8)
    np.testing.assert_allclose(fit.apply([0.25, 0.75]), [0.2, 0.6], atol=1e-10)


@pytest.mark.parametrize("spread", [1.0, 1e-3])
def test_equals_a_general_optimiser(spread):
    rng = np.random.default_rng(51)
    odds = -0.7 + spread * rng.standard_normal(800)
    y = (rng.random(800) < expit(0.3 + 0.6 * odds)).astype(float)

    def loss(beta):
        linear = beta[0] + beta[1] * (odds + 0.7) / spread
        return np.sum(np.logaddexp(0, linear) - y * linear)

    # Optimised in centred coordinates, where a general optimiser is accurate.
    best = minimize(loss, [0.0, 0.0], method="BFGS", options={"gtol": 1e-8}).x
    fit = fit_recalibration(expit(odds), y)
    assert isinstance(fit, Recalibration)
    assert fit.slope == pytest.approx(best[1] / spread, rel=1e-4)
    assert fit.intercept == pytest.approx(best[0] + 0.7 * best[1] / spread, rel=1e-4)


@pytest.mark.parametrize(
    ("p", "y", "reason"),
    [
        ([], [], "no outcome"),
        ([0.2, 0.3], [1, 1], "all 2 outcomes are 1"),
        ([0.3, 0.3, 0.3], [0, 1, 0], "all 3 stated probabilities are equal"),
        ([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], "a threshold on the stated probability separates the 4 outcomes"),
        ([0.1, 0.2, 0.2, 0.4], [0, 0, 1, 1], "a threshold on the stated probability separates the 4 outcomes"),
        ([0.1, 0.2, 0.3, 0.4], [1, 1, 0, 0], "a threshold on the stated probability separates the 4 outcomes"),
    ],
)
def test_no_maximum_is_said_not_hidden(p, y, reason):
    assert fit_recalibration(p, y) == NotFitted(reason, len(p))


def test_extreme_data_still_converge():
    # One success among the low, one failure among the high: the likelihood has a maximum, far out.
    p = np.concatenate((np.full(5000, 1e-6), np.full(5000, 1 - 1e-6)))
    y = np.concatenate((np.arange(5000) < 1, np.arange(5000) >= 1)).astype(float)
    fit = fit_recalibration(p, y)
    assert isinstance(fit, Recalibration)
    assert fit.slope == pytest.approx(logit(4999 / 5000) / logit(1 - 1e-6), rel=1e-8)
    assert fit.intercept == pytest.approx(0.0, abs=1e-8)


def simulated(rng, n=4000):
    """Forecasts twice as bold as they should be; each resolves 1 to 30 sessions after its decision."""
    decided = np.sort(rng.integers(0, 1000, n)).astype(float)
    resolved = decided + rng.integers(1, 31, n)
    true = expit(-0.4 + 0.5 * rng.standard_normal(n))
    y = (rng.random(n) < true).astype(float)
    stated = expit(2.0 * logit(true))
    return {"probability": stated, "outcome": y, "decided_at": decided, "resolved_at": resolved}


def judge(data, **changes):
    arguments = {
        "fold_starts": np.arange(200.0, 1000.0, 100.0),
        "periods": data["decided_at"].astype(np.int64) // 5,
        "counted": Periods(overlap=7, minimum=24),
        "embargo": 5.0,
    } | changes
    return out_of_sample_recalibration(**data, **arguments)


def test_bold_forecasts_get_better_out_of_sample():
    data = simulated(np.random.default_rng(52))
    result = judge(data)
    assert np.isnan(result.probability[data["decided_at"] < 200]).all()
    scored = data["decided_at"] >= 200
    assert result.n_scored == scored.sum()
    assert result.brier_change is not None
    assert result.log_loss_change is not None
    assert result.brier_change.high < 0
    assert result.log_loss_change.high < 0
    p, q, y = data["probability"][scored], result.probability[scored], data["outcome"][scored]
    assert result.brier_before == pytest.approx(np.mean((p - y) ** 2), rel=1e-12)
    assert result.brier_after == pytest.approx(np.mean((q - y) ** 2), rel=1e-12)
    assert result.brier_change.estimate == pytest.approx(result.brier_after - result.brier_before, abs=1e-12)
    likelihood = -np.mean(np.log(np.where(y == 1, q, 1 - q)))
    assert result.log_loss_after == pytest.approx(likelihood, rel=1e-12)
    slopes = [fold.fit.slope for fold in result.folds if isinstance(fold.fit, Recalibration)]
    assert len(slopes) == 8
    assert slopes[-1] == pytest.approx(0.5, abs=0.15)


def test_each_fold_is_the_fit_on_what_was_resolved_before_it():
    data = simulated(np.random.default_rng(53), 1500)
    result = judge(data)
    for fold in result.folds:
        known = data["resolved_at"] < fold.start - 5
        assert fold.n_train == known.sum()
        assert fold.fit == fit_recalibration(data["probability"][known], data["outcome"][known])
        inside = (data["decided_at"] >= fold.start) & (data["decided_at"] < fold.start + 100)
        assert fold.n_test == inside.sum()


def test_nothing_unresolved_at_the_start_of_a_fold_can_move_it():
    data = simulated(np.random.default_rng(54), 1500)
    before = judge(data)
    late = data["resolved_at"] >= 495.0
    changed = data | {"outcome": np.where(late, 1.0 - data["outcome"], data["outcome"])}
    after = judge(changed)
    until = data["decided_at"] < 600
    np.testing.assert_array_equal(before.probability[until], after.probability[until])
    assert not np.array_equal(before.probability[~until], after.probability[~until])
    # The last outcomes that may count do count.
    exact = (data["resolved_at"] < 495.0) & (data["resolved_at"] >= 490.0)
    assert exact.any()
    moved = judge(data | {"outcome": np.where(exact, 1.0 - data["outcome"], data["outcome"])})
    fold = (data["decided_at"] >= 500) & until
    assert not np.array_equal(before.probability[fold], moved.probability[fold])


def test_exact_forecasts_are_not_said_to_get_better():
    better = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        data = simulated(rng, 1000)
        true = expit(logit(data["probability"]) / 2.0)
        change = judge(data | {"probability": true}).brier_change
        assert change is not None
        better += change.high < 0
    assert better <= 3


def test_too_little_history_is_reported_and_not_scored():
    data = simulated(np.random.default_rng(55), 300)
    result = judge(data, min_train=10_000)
    assert result.n_scored == 0
    assert result.brier_change is None
    assert math.isnan(result.brier_after)
    assert np.isnan(result.probability).all()
    first = result.folds[0].fit
    assert isinstance(first, NotFitted)
    assert first.reason == f"{first.n} resolved outcomes, 10000 are needed"


def test_wrong_arguments_are_named():
    data = simulated(np.random.default_rng(56), 300)
    with pytest.raises(StatisticError, match=r"outcomes resolve before[\s\S]*300 of 300 rows[\s\S]*swapped"):
        judge(data | {"decided_at": data["resolved_at"], "resolved_at": data["decided_at"]}, periods=np.zeros(300))
    with pytest.raises(StatisticError, match="strictly ascending"):
        judge(data, fold_starts=[300.0, 200.0])
    with pytest.raises(StatisticError, match=r"certainties[\s\S]*1 of 300 values"):
        judge(data | {"probability": np.where(np.arange(300) == 2, 1.0, data["probability"])})
    with pytest.raises(StatisticError, match="periods has shape"):
        judge(data, periods=np.zeros(7))
    with pytest.raises(StatisticError, match=r"embargo was -1\.0"):
        judge(data, embargo=-1.0)
