"""Columns as arrays and back: the same as Polars' own expressions say, missing values included."""

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.columns import dates_series, distinct, floats_of, is_constant


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1.5, None, float("nan")], pl.Float64, [1.5, np.nan, np.nan]),
        ([1.5, 2.5], pl.Float32, [1.5, 2.5]),
        ([2**40, None], pl.Int64, [float(2**40), np.nan]),
        ([7, 8], pl.UInt8, [7.0, 8.0]),
        ([None, None], pl.Null, [np.nan, np.nan]),
        ([], pl.Float64, []),
    ],
)
def test_numbers(values: list[Any], dtype: type[pl.DataType], expected: list[float]) -> None:
    found = floats_of(pl.Series(values, dtype=dtype))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, expected)


def test_days() -> None:
    days = np.array(["2000-01-03", "NaT", "1969-12-31"], dtype="datetime64[D]")
    assert dates_series(days).to_list() == [date(2000, 1, 3), None, date(1969, 12, 31)]
    assert dates_series(days[:0]).dtype == pl.Date


@pytest.mark.parametrize(
    ("values", "constant", "found"),
    [
        (["A", "A"], True, ["A"]),
        (["B", "A", "B"], False, ["A", "B"]),
        (["A", None], False, [None, "A"]),
        ([None, None], False, [None]),
        ([], False, []),
    ],
)
def test_values_that_occur(values: list[Any], *, constant: bool, found: list[Any]) -> None:
    series = pl.Series(values, dtype=pl.String)
    assert is_constant(series) is constant
    assert distinct(series) == found
