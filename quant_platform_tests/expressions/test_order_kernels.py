"""Places and quantiles of moving windows against numpy, on values that agree in many bits, with gaps and ties."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from quant_platform.expressions import order_kernels
from quant_platform.expressions.kernels import lagged_median
from quant_platform.expressions.order_kernels import window_quantile, window_rank

ROWS = 160
RNG = np.random.default_rng(20261125)
WALK = np.cumsum(RNG.normal(size=ROWS))
GAPS = np.where(RNG.random(ROWS) < 0.3, np.nan, WALK)
COLUMNS = {
    "a walk": WALK,
    "gaps": GAPS,
    "ties": RNG.integers(-2, 3, ROWS).astype(np.float64),
    "both zeros": np.where(RNG.random(ROWS) < 0.5, -0.0, 0.0),
    "agreeing in twelve digits": 1e6 + 1e-6 * RNG.permutation(ROWS),
    "falling by the smallest step": np.array([1.0 - k * 2.0**-53 for k in range(ROWS)]),
    "from the smallest to the largest": RNG.permutation(np.geomspace(1e-308, 1e308, ROWS)) * RNG.choice([-1, 1], ROWS),
    "a long gap first": np.concatenate([np.full(90, np.nan), WALK[:70]]),
    "one far from many that agree in ten digits": np.concatenate([[-1e300], 1e9 + RNG.permutation(ROWS - 1)]),
    "nothing": np.full(ROWS, np.nan),
    "one row": np.array([3.0]),
    "no rows": np.array([]),
}


def anything(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What was in an array before must not be seen in a result."""
    return np.full(x.size, 7.5)


def sorted_places(x: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    keys, spare = anything(x).view(np.int64), anything(x).view(np.int64)
    return order_kernels.sorted_places(x, np.full(x.size, 7, dtype=np.int32), anything(x), keys, spare)


@pytest.mark.parametrize("x", COLUMNS.values(), ids=COLUMNS)
def test_places_are_those_of_a_sorted_column(x: npt.NDArray[np.float64]) -> None:
    before = x.copy()
    places, ordered = sorted_places(x)
    assert np.array_equal(x, before, equal_nan=True)
    present = ~np.isnan(x)
    assert ordered.tobytes() == (np.sort(x[present]) + 0.0).tobytes()
    assert np.array_equal(places >= 0, present)
    assert np.array_equal(np.sort(places[present]), np.arange(present.sum()))
    assert np.array_equal(ordered[places[present]], x[present])


@pytest.mark.parametrize("n", [1, 7, 64])
@pytest.mark.parametrize("shift", [0.0, 0.5])
@pytest.mark.parametrize("x", COLUMNS.values(), ids=COLUMNS)
def test_ranks_in_windows_are_counts(x: npt.NDArray[np.float64], shift: float, n: int) -> None:
    required = max(1, n // 2)
    found = window_rank(*sorted_places(x), n, required, shift, anything(x))
    for i in range(x.size):
        window = x[max(0, i - n + 1) : i + 1]
        window = window[~np.isnan(window)]
        if np.isnan(x[i]) or window.size < required:
            assert np.isnan(found[i])
            continue
        below, ties = (window < x[i]).sum(), (window == x[i]).sum()
        assert found[i] == (below + 0.5 * (ties + 1) - shift) / window.size


def test_ranks_over_many_words_are_counts() -> None:
    x = np.round(np.random.default_rng(7).normal(size=9000), 3)
    found = window_rank(*sorted_places(x), 6000, 1, 0.0, anything(x))
    for i in range(0, x.size, 371):
        window = x[max(0, i - 5999) : i + 1]
        assert found[i] == ((window < x[i]).sum() + 0.5 * ((window == x[i]).sum() + 1)) / window.size


@pytest.mark.parametrize(("count", "step"), [(1, 1), (3, 4), (10, 2), (2, 300)])
@pytest.mark.parametrize("x", COLUMNS.values(), ids=COLUMNS)
def test_medians_over_lags_keep_the_signs_of_zeros(x: npt.NDArray[np.float64], count: int, step: int) -> None:
    """Of equal values the one with the smallest lag comes first, as in a stable sort from the newest on."""
    found = lagged_median(x, count, step, 1, anything(x))
    for i in range(x.size):
        past = np.array([x[i - k * step] for k in range(1, count + 1) if i >= k * step])
        past = np.sort(past[~np.isnan(past)], kind="stable")
        if past.size == 0:
            assert np.isnan(found[i])
            continue
        low, high = past[(past.size - 1) // 2], past[past.size // 2]
        expected = high if past.size % 2 else low + (high - low) * 0.5
        assert found[i] == expected
        assert np.signbit(found[i]) == np.signbit(expected)


@pytest.mark.parametrize("n", [1, 7, 64])
@pytest.mark.parametrize("p", [0.0, 0.03, 0.5, 1.0])
@pytest.mark.parametrize("x", COLUMNS.values(), ids=COLUMNS)
def test_quantiles_of_windows_are_those_of_numpy(x: npt.NDArray[np.float64], p: float, n: int) -> None:
    required = max(1, n // 2)
    found = window_quantile(*sorted_places(x), p, n, required, anything(x))
    for i in range(x.size):
        window = x[max(0, i - n + 1) : i + 1]
        window = window[~np.isnan(window)]
        if window.size < required:
            assert np.isnan(found[i])
            continue
        # numpy rounds another way where it goes from the upper value downwards.
        assert found[i] == pytest.approx(np.quantile(window, p), rel=1e-12, abs=1e-300)
