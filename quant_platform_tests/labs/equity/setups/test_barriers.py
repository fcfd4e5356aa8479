from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_platform.labs.equity.setups.barriers import barrier_probabilities, target_probability_with_drift
from quant_platform_tests.labs.equity.setups.twin import probabilities


@pytest.mark.parametrize(("rr", "expected"), [(1.2, 0.454545), (1.5, 0.4), (2.0, 0.333333), (3.0, 0.25)])
def test_without_a_horizon_the_target_has_one_over_one_plus_rr(rr: float, expected: float) -> None:
    found = barrier_probabilities(1.0, rr, 1.0, 1e5)
    assert found.target == pytest.approx(expected, abs=1e-6)
    assert found.timeout == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("drift", "expected"), [(0.0, 0.333333), (0.1, 0.401760), (-0.1, 0.269307)])
def test_the_closed_form_with_drift(drift: float, expected: float) -> None:
    assert target_probability_with_drift(1.0, 2.0, drift, 1.0) == pytest.approx(expected, abs=1e-6)


def test_a_symmetric_bet_has_the_known_exit_time_distribution() -> None:
    """Reflection: P(max |W| < 1 up to T = 1) = 0.370777 (Feller, vol. II, X.5)."""
    found = barrier_probabilities(1.0, 1.0, 1.0, 1.0)
    assert found.timeout == pytest.approx(0.370777, abs=1e-6)
    assert found.target == pytest.approx(found.stop, abs=1e-15)


@given(
    stop=st.floats(0.05, 20.0),
    target=st.floats(0.05, 20.0),
    volatility=st.floats(0.01, 5.0),
    horizon=st.integers(1, 60),
)
def test_both_series_are_the_twin_and_add_up_to_one(
    stop: float, target: float, volatility: float, horizon: int
) -> None:
    found = barrier_probabilities(stop, target, volatility, horizon)
    p_target, p_stop = probabilities(stop, target, volatility, horizon)
    assert found.target == pytest.approx(p_target, abs=1e-12)
    assert found.stop == pytest.approx(p_stop, abs=1e-12)
    assert found.target + found.stop + found.timeout == pytest.approx(1.0, abs=1e-15)
    assert min(found.target, found.stop, found.timeout) >= 0.0


@pytest.mark.parametrize("scaled", [0.25, 0.2499999])
def test_the_series_agree_where_they_meet(scaled: float) -> None:
    found = barrier_probabilities(1.0, 2.0, 3.0 * math.sqrt(scaled), 1.0)
    near = barrier_probabilities(1.0, 2.0, 3.0 * math.sqrt(0.25), 1.0)
    assert found.target == pytest.approx(near.target, abs=1e-7)


@pytest.mark.parametrize(("rr", "sessions"), [(1.2, 5), (2.0, 5), (0.6, 2)])
def test_a_seeded_random_walk_agrees(rr: float, sessions: int) -> None:
    """Barriers watched at 2,000 steps lie 0.5826 step sd further out (Broadie, Glasserman and Kou, 1997); corrected."""
    rng = np.random.default_rng(11)
    steps, paths, volatility = 2000, 6000, 0.5
    sd = volatility * math.sqrt(sessions / steps)
    level = np.zeros(paths)
    result = np.zeros(paths, dtype=int)
    for _ in range(steps):
        level += sd * rng.standard_normal(paths)
        running = result == 0
        result[running & (level >= rr - 0.5826 * sd)] = 1
        result[running & (level <= -1.0 + 0.5826 * sd)] = -1
    expected = barrier_probabilities(1.0, rr, volatility, sessions)
    for probability, observed in ((expected.target, (result == 1).mean()), (expected.stop, (result == -1).mean())):
        assert abs(observed - probability) < 3.5 * math.sqrt(probability * (1.0 - probability) / paths)


def test_no_time_no_exit_and_bad_arguments() -> None:
    assert barrier_probabilities(1.0, 2.0, 0.3, 0.0).timeout == 1.0
    assert barrier_probabilities(1.0, 2.0, 0.0, 30.0).timeout == 1.0
    for arguments in ((0.0, 1.0, 1.0, 1.0), (1.0, -1.0, 1.0, 1.0), (1.0, 1.0, -1.0, 1.0), (1.0, 1.0, 1.0, math.nan)):
        with pytest.raises(ValueError, match="statistic_invalid"):
            barrier_probabilities(*arguments)
    with pytest.raises(ValueError, match="must be positive"):
        target_probability_with_drift(1.0, 1.0, 0.0, 0.0)
