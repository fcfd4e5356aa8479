from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics import ranks
from quant_platform.statistics.row_kernels import rank_ic_rows

KNOWN = json.loads((Path(__file__).parents[1] / "known_answers" / "statistics.json").read_text())


def plain_rank_ic(signal, forward, mask, min_names):
    """The slow twin: scipy, one date at a time."""
    result = np.full(len(signal), np.nan)
    for date in range(len(signal)):
        valid = mask[date] & ~np.isnan(signal[date]) & ~np.isnan(forward[date])
        x, y = signal[date][valid], forward[date][valid]
        if valid.sum() >= min_names and len(set(x)) > 1 and len(set(y)) > 1:
            result[date] = spearmanr(x, y).statistic
    return result


def plain_average_rank(values):
    """The slow twin: count what is below and what is equal."""
    return [float("nan") if np.isnan(v) else 1 + np.sum(values < v) + (np.sum(values == v) - 1) / 2 for v in values]


@pytest.mark.parametrize("rounding", [1, 3, 12])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_rank_ic_equals_scipy_on_ties_holes_and_masks(rounding, missing):
    rng = np.random.default_rng(7)
    signal = rng.standard_normal((40, 61)).round(rounding)
    forward = (0.3 * signal + rng.standard_t(3, (40, 61))).round(rounding)
    signal[rng.random(signal.shape) < missing] = np.nan
    forward[rng.random(signal.shape) < missing] = np.nan
    mask = rng.random(signal.shape) < 0.8
    expected = plain_rank_ic(signal, forward, mask, 20)
    np.testing.assert_allclose(ranks.rank_ic(signal, forward, mask), expected, rtol=0, atol=1e-13)
    assert np.isfinite(expected).any()


# Rows on which 24 leading bits say little, or nothing: the kernel must fall back to the full sort.
HARD_ROWS = {
    "huge and tiny": lambda rng, n: rng.choice([1e-300, 1.0, 1e300], n) * (1 + 1e-13 * rng.standard_normal(n)),
    "two clusters": lambda rng, n: rng.choice([-1.0, 1.0], n) * (1 + 1e-12 * rng.random(n)),
    "neighbouring doubles": lambda rng, n: 1.0 + rng.integers(0, 9999, n) * 2.0**-52,
    "outlier": lambda rng, n: np.where(np.arange(n) == 0, -1e200, 1 + 1e-11 * rng.random(n)),
    "signed zeros": lambda rng, n: rng.choice([-0.0, 0.0, 1e-310, -1e-310], n),
    "infinite": lambda rng, n: rng.choice([-np.inf, np.inf, 0.5, 2.0], n),
    "descending": lambda rng, n: np.arange(n, 0, -1.0) + 0.0 * rng.random(n),
}


@pytest.mark.parametrize("n", [20, 3000])
@pytest.mark.parametrize("name", HARD_ROWS)
def test_rank_ic_survives_rows_that_are_hard_to_sort(name, n):
    rng = np.random.default_rng(11)
    signal = HARD_ROWS[name](rng, n)[np.newaxis]
    forward = rng.standard_normal((1, n))
    expected = spearmanr(rankdata(signal[0]), forward[0]).statistic
    assert ranks.rank_ic(signal, forward)[0] == pytest.approx(expected, abs=1e-13)
    assert ranks.rank_ic(forward, signal)[0] == pytest.approx(expected, abs=1e-13)


@given(
    st.lists(
        st.one_of(st.floats(allow_nan=True, width=32, allow_infinity=False), st.sampled_from([0.0, -0.0, 1.0])),
        min_size=1,
        max_size=40,
    )
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_average_rank_equals_counting(values):
    array = np.array(values)
    np.testing.assert_array_equal(ranks.average_rank(array), plain_average_rank(array))


def test_percentile_rank_by_hand():
    values = np.array([[3.0, 1.0, np.nan, 1.0, 9.0], [5.0, 5.0, 5.0, 5.0, 5.0], [np.nan] * 5])
    mask = np.array([[True, True, True, True, False], [True] * 5, [True] * 5])
    expected = [[2.5 / 3, 1 / 3, np.nan, 1 / 3, np.nan], [0.5] * 5, [np.nan] * 5]
    np.testing.assert_allclose(ranks.percentile_rank(values, mask), expected, atol=1e-15)


def test_spearman_known_answer_and_scipy():
    known = KNOWN["spearman"]
    assert ranks.spearman(known["first"], known["second"]) == pytest.approx(known["rho"], abs=1e-15)
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 5, 50).astype(float), rng.integers(0, 4, 50).astype(float)
    assert ranks.spearman(x, y) == pytest.approx(spearmanr(x, y).statistic, abs=1e-14)


def test_extremes_are_exact():
    row = np.arange(100.0)[np.newaxis] ** 3
    assert ranks.rank_ic(row, np.exp(row / 1e6))[0] == 1.0
    assert ranks.rank_ic(row, -row)[0] == -1.0


def test_no_ic_with_too_few_names_or_without_variation():
    rng = np.random.default_rng(5)
    signal, forward = rng.standard_normal((3, 20)), rng.standard_normal((3, 20))
    signal[0, 0] = np.nan
    signal[1] = 4.0
    result = ranks.rank_ic(signal, forward, min_names=20)
    assert np.isnan(result).tolist() == [True, True, False]
    assert np.isfinite(ranks.rank_ic(signal, forward, min_names=19)).tolist() == [True, False, True]


def test_grid_equals_pair_by_pair():
    rng = np.random.default_rng(9)
    signals = rng.standard_normal((3, 15, 40))
    forwards = rng.standard_normal((2, 15, 40)).round(1)
    signals[rng.random(signals.shape) < 0.1] = np.nan
    forwards[rng.random(forwards.shape) < 0.1] = np.nan
    mask = rng.random((15, 40)) < 0.9
    grid = ranks.rank_ic_grid(signals, forwards, mask)
    for k in range(3):
        for h in range(2):
            np.testing.assert_allclose(grid[k, h], plain_rank_ic(signals[k], forwards[h], mask, 20), rtol=0, atol=1e-13)


def test_a_date_depends_on_its_own_row_only():
    rng = np.random.default_rng(13)
    signal, forward = rng.standard_normal((12, 30)), rng.standard_normal((12, 30))
    before = ranks.rank_ic(signal, forward)
    signal[6:], forward[6:] = np.nan, 1e9
    after = ranks.rank_ic(signal, forward)
    np.testing.assert_array_equal(before[:6], after[:6])
    assert np.isnan(after[6:]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"signal": np.zeros(3), "forward": np.zeros(3)}, "signal has 1 dimensions"),
        ({"signal": np.zeros((2, 3)), "forward": np.zeros((2, 4))}, "signals have shape"),
        ({"signal": np.zeros((2, 3)), "forward": np.zeros((2, 3)), "mask": np.ones((2, 3))}, "mask is float64"),
        ({"signal": np.zeros((2, 3)), "forward": np.zeros((2, 3)), "min_names": 1}, "min_names was 1"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(StatisticError, match=message):
        ranks.rank_ic(**arguments)


def test_any_layout_and_read_only_arrays_use_the_same_compiled_kernel():
    rng = np.random.default_rng(17)
    signal, forward, mask = rng.standard_normal((8, 30)), rng.standard_normal((8, 30)), rng.random((8, 30)) < 0.9
    expected = ranks.rank_ic(signal, forward, mask)
    compiled_before = len(rank_ic_rows.signatures)
    frozen = signal.copy(), forward.copy(), mask.copy()
    for array in frozen:
        array.flags.writeable = False
    np.testing.assert_array_equal(ranks.rank_ic(*frozen), expected)
    columns = np.asfortranarray(signal), np.asfortranarray(forward), np.asfortranarray(mask)
    np.testing.assert_array_equal(ranks.rank_ic(*columns), expected)
    assert len(rank_ic_rows.signatures) == compiled_before


def test_no_dates_and_no_names():
    assert ranks.rank_ic(np.zeros((0, 5)), np.zeros((0, 5))).shape == (0,)
    assert np.isnan(ranks.rank_ic(np.zeros((3, 0)), np.zeros((3, 0)))).all()
    assert ranks.percentile_rank(np.zeros((3, 0))).shape == (3, 0)
