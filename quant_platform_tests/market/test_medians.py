"""Medians of few values against those of NumPy and Polars: the last bits count, for rules compare with thresholds."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from quant_platform.market.medians import median, medians_before


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 20, 119, 120])
def test_the_median_is_that_of_numpy(count: int) -> None:
    random = np.random.default_rng(count)
    for scale in (0.01, 1.0, 1e12):
        values = random.normal(0.0, scale, count)
        assert median(values) == float(np.median(values))


def test_medians_by_hand() -> None:
    values = np.array([4.0, np.nan, 2.0, 8.0])
    # Before row 0: nothing. Before row 3: 4 and 2. Before the row to come: 2 and 8, for 4 is four rows back.
    found = medians_before(values, np.array([0, 1, 2, 3, 4]), length=3, required=2)
    np.testing.assert_array_equal(found, [np.nan, np.nan, np.nan, 3.0, 5.0])
    assert len(medians_before(values, np.empty(0, np.intp), length=3, required=1)) == 0


@pytest.mark.parametrize(("length", "required"), [(2, 1), (5, 5), (20, 5), (21, 1)])
def test_the_medians_before_some_rows_are_the_rolling_ones_of_polars(length: int, required: int) -> None:
    random = np.random.default_rng(length)
    values = random.lognormal(0.0, 2.0, 2_000)
    values[random.random(2_000) < np.repeat([0.0, 0.3, 0.7, 1.0], 500)] = np.nan
    values[random.random(2_000) < 0.01] = np.inf
    rolling = pl.Series(values).fill_nan(None).rolling_median(length, min_samples=required)
    rows = np.sort(random.choice(np.arange(1, 2_001), 1_500, replace=False))
    found = medians_before(values, rows, length=length, required=required)
    np.testing.assert_array_equal(found, rolling.fill_null(np.nan).to_numpy()[rows - 1])
