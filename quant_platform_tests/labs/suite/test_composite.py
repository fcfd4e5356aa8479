"""A composite sees the past of each fold alone, and finds what was planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quant_platform.contracts.errors import NotAvailable
from quant_platform.labs.suite.composite import (
    carried,
    composite,
    date_moments,
    fit_fold,
    member_scores,
    orthogonalised,
    ridge,
)
from quant_platform.labs.suite.panel import dense_signal
from quant_platform.specification.suite import CompositeMember, CompositeSpec
from quant_platform_tests.labs.suite.truth import SPECS
from quant_platform_tests.labs.suite.worlds import make_panel, planted_edge, slow_signal

NAMES, SESSIONS = 60, 420
SPEC = CompositeSpec(
    name="bundle",
    description="of a test",
    author="tester",
    members=(CompositeMember(signal="good"), CompositeMember(signal="noise"), CompositeMember(signal="copy")),
    horizon_sessions=5,
    first_train_sessions=120,
    fold_sessions=60,
    purge_sessions=2,
    inner_folds=3,
    penalties=(0.1, 1.0, 10.0),
)


def world(seed: int, strength: float = 1.5e-3):
    good = slow_signal(seed, names=NAMES, sessions=SESSIONS, half_life=40.0)
    noise = slow_signal(seed + 500, names=NAMES, sessions=SESSIONS, half_life=40.0)
    panel = make_panel(seed, names=NAMES, sessions=SESSIONS, edge=planted_edge(good, strength))
    signals = {"good": good, "noise": noise, "copy": 2.0 * good + 1.0}
    return panel, {name: dense_signal(name, values) for name, values in signals.items()}


def test_what_was_planted_has_the_weight_and_a_copy_has_nothing_left():
    panel, members = world(3)
    found = composite(SPEC, members, panel, SPECS.suite)
    assert [fold.first for fold in found.folds] == [120, 180, 240, 300, 360]
    assert found.folds[-1].stop == SESSIONS
    late = found.folds[-1]
    assert late.weights[0] > 5.0 * abs(late.weights[1])
    assert [fold.weights[2] for fold in found.folds] == pytest.approx([0.0] * 5, abs=1e-12)
    # Values are expected returns: realised ones rise by about one for one, on rows that nothing was fitted on.
    expected, realised = found.signal.at_open[240:-6], panel.forward(5)[240:-6]
    both = np.isfinite(expected) & np.isfinite(realised)
    x, y = np.where(both, expected, 0.0), np.where(both, realised, 0.0)
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    assert 0.5 < (x * y).sum() / (x * x).sum() < 1.6


@pytest.mark.parametrize("cut", [179, 180, 181, 250])
def test_changing_the_future_leaves_past_scores_unchanged(cut):
    """Values that can be traded on row ``cut`` have seen rows before it and nothing else."""
    panel, members = world(4)
    rng = np.random.default_rng(9)
    returns = panel.returns.copy()
    returns[cut:] = 0.1 * rng.standard_normal(returns[cut:].shape)
    universe = panel.universe.copy()
    universe[cut:] &= rng.random(universe[cut:].shape) < 0.7
    other = {}
    for name, member in members.items():
        values = member.by_date.copy()
        values[cut:] = rng.standard_normal(values[cut:].shape)
        other[name] = dense_signal(name, values)
    before = composite(SPEC, members, panel, SPECS.suite).signal.at_open
    after = composite(SPEC, other, replace(panel, returns=returns, universe=universe), SPECS.suite).signal.at_open
    np.testing.assert_array_equal(before[: cut + 1], after[: cut + 1])
    assert not np.array_equal(before[cut + 1 :], after[cut + 1 :], equal_nan=True)


def test_a_fold_reads_no_return_that_was_not_known_before_it():
    """The last row it trains on is the last whose return, and the purge after it, end before the fold begins."""
    panel, members = world(5)
    scores, present = member_scores(SPEC, list(members.values()), panel, SPECS.suite)
    moments = date_moments(scores, present.any(axis=2), panel.forward(5), 10)
    fold = fit_fold(SPEC, moments, 180, 240)
    assert fold.train_stop == 180 - 5 - 2
    for row, changes in ((fold.train_stop - 1, True), (fold.train_stop, False)):
        touched = moments.returns.copy()
        touched[row] += 1.0
        again = fit_fold(SPEC, replace(moments, returns=touched), 180, 240)
        assert (not np.array_equal(again.weights, fold.weights)) == changes


def test_the_ridge_is_that_of_the_stacked_rows():
    """By the textbook: all names of all dates below each other, each date with equal weight."""
    rng = np.random.default_rng(2)
    scores, returns = rng.standard_normal((30, 20, 3)), rng.standard_normal((30, 20))
    moments = date_moments(scores, np.ones((30, 20), dtype=bool), returns, 10)
    x = (scores - scores.mean(axis=1, keepdims=True))[5:25].reshape(-1, 3)
    y = (returns - returns.mean(axis=1, keepdims=True))[5:25].reshape(-1)
    expected = np.linalg.solve(x.T @ x / len(y) + 0.7 * np.eye(3), x.T @ y / len(y))
    np.testing.assert_allclose(ridge(moments, 5, 25, 0.7), expected, rtol=1e-10)


def test_sequential_residuals_are_those_of_a_regression_on_each_date():
    rng = np.random.default_rng(7)
    scores = rng.standard_normal((4, 30, 3))
    scores -= scores.mean(axis=1, keepdims=True)
    made = orthogonalised(scores, np.ones(scores.shape, dtype=bool))
    for t in range(4):
        left = scores[t, :, 2] - scores[t, :, :2] @ np.linalg.lstsq(scores[t, :, :2], scores[t, :, 2], rcond=None)[0]
        np.testing.assert_allclose(made[t, :, 2], left / np.sqrt(np.mean(left**2)), atol=1e-10)
        np.testing.assert_allclose(made[t].T @ made[t] / 30, np.eye(3), atol=1e-10)


def test_a_member_counts_in_its_regimes_alone():
    panel, members = world(3)
    calm = SPEC.model_copy(
        update={"members": (CompositeMember(signal="good", regimes=("low_volatility",)), *SPEC.members[1:])}
    )
    scores, present = member_scores(calm, list(members.values()), panel, SPECS.suite)
    # The windows of the regimes, 21 and 252 sessions, are not full before: the regime is unknown.
    assert present[200, :, 0].any()
    assert not scores[:270, :, 0].any()
    assert scores[272:, :, 0].any(axis=1).any()
    assert not scores[272:, :, 0].any(axis=1).all()


def test_a_composite_that_says_nothing_out_of_sample_abstains():
    panel, members = world(6, strength=-1.5e-3)
    spec = SPEC.model_copy(update={"members": SPEC.members[:2]})
    # Returns turn round in the middle of the training rows: what was learned is wrong on the inner folds.
    returns = panel.returns.copy()
    returns[60:] = world(6, strength=1.5e-3)[0].returns[60:]
    found = composite(spec, members, replace(panel, returns=returns), SPECS.suite)
    first = found.folds[0]
    assert first.abstains
    assert not np.isfinite(found.signal.at_open[first.first : first.stop]).any()
    assert found.models.filter(found.models["fold"] == 0)["abstains"].all()


def test_the_last_values_are_carried_until_they_are_too_old():
    values = np.full((6, 2), np.nan)
    values[1] = (3.0, np.nan)
    made = carried(values, 2)
    np.testing.assert_array_equal(np.isfinite(made[:, 0]), [False, True, True, True, False, False])
    assert not np.isfinite(made[:, 1]).any()


def test_a_member_without_values_and_a_short_sample_are_said():
    panel, members = world(3)
    with pytest.raises(NotAvailable, match="members noise have no values"):
        composite(SPEC, {k: v for k, v in members.items() if k != "noise"}, panel, SPECS.suite)
    late = SPEC.model_copy(update={"first_train_sessions": 500})
    with pytest.raises(NotAvailable, match="420 sessions, the first fold begins after 500"):
        composite(late, members, panel, SPECS.suite)
