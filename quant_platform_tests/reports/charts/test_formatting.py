from __future__ import annotations

import datetime
import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_platform.contracts.errors import StatisticError
from quant_platform.reports.charts import formatting


@pytest.mark.parametrize(
    ("value", "decimals", "signed", "written"),
    [
        (0.0312, 3, False, "0.031"),
        (-0.0312, 3, False, "−0.031"),
        (-0.0004, 3, False, "0.000"),
        (0.0004, 3, True, "0.000"),
        (0.0, 2, True, "0.00"),
        (2.836, 2, True, "+2.84"),
        (61234.0, 0, False, "61,234"),
        (-1234567.5, 1, False, "−1,234,567.5"),
    ],
)
def test_a_number_has_its_decimals_and_a_true_minus(value: float, decimals: int, signed: bool, written: str) -> None:
    assert formatting.number(value, decimals, signed=signed) == written


def test_a_share_is_written_as_a_percentage() -> None:
    assert formatting.percent(0.44444) == "44.4%"
    assert formatting.percent(-0.0042, signed=True) == "−0.4%"
    assert formatting.percent(1.0) == "100.0%"


@pytest.mark.parametrize(
    ("p", "written"), [(0.0, "<0.001"), (0.00049, "<0.001"), (0.0006, "0.001"), (0.0399, "0.040"), (1.0, "1.000")]
)
def test_a_p_value_is_never_written_as_zero(p: float, written: str) -> None:
    assert formatting.p_value(p) == written


@settings(deadline=None)
@given(st.floats(-1e9, 1e9), st.integers(0, 6))
def test_what_is_written_is_within_half_a_last_place(value: float, decimals: int) -> None:
    written = formatting.number(value, decimals, signed=True)
    exact = Decimal(written.replace("−", "-").replace(",", "")) - Decimal(value)
    assert abs(exact) <= Decimal(5).scaleb(-decimals - 1)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_not_a_finite_number_is_missing(value: float | None) -> None:
    assert formatting.finite(value) is None


@pytest.mark.parametrize("value", ["0.5", True, [0.5]])
def test_a_value_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(StatisticError, match="a number was expected, was"):
        formatting.finite(value)


def test_dates_and_their_iso_texts_are_the_same_day() -> None:
    # 2000-01-01 is day 730120 of the proleptic Gregorian calendar.
    assert formatting.ordinal("2000-01-01") == formatting.ordinal(datetime.date(2000, 1, 1)) == 730120.0
    assert formatting.day(datetime.date(2015, 6, 22)) == "2015-06-22"
    assert formatting.ordinal(None) is None
    with pytest.raises(StatisticError, match="a date was expected, was 'June'"):
        formatting.ordinal("June")
