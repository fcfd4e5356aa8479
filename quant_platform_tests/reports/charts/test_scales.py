from __future__ import annotations

import datetime
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from quant_platform.reports.charts.scales import Scale, date_ticks, domain, linear_ticks, log_ticks


def day(text: str) -> float:
    return float(datetime.date.fromisoformat(text).toordinal())


@pytest.mark.parametrize(
    ("low", "high", "ticks", "decimals"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], 1),
        (-0.013, 0.042, [-0.01, 0.0, 0.01, 0.02, 0.03, 0.04], 2),
        (0.0, 14.0, [0.0, 2.5, 5.0, 7.5, 10.0, 12.5], 1),
        (980.0, 5400.0, [1000.0, 2000.0, 3000.0, 4000.0, 5000.0], 0),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float], decimals: int) -> None:
    assert linear_ticks(low, high) == (ticks, decimals)


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-4, 1e6))
def test_ticks_lie_inside_are_even_and_not_too_many(low: float, width: float) -> None:
    high = low + width
    assume(width > 1e-9 * abs(low))
    ticks, _ = linear_ticks(low, high)
    assert 2 <= len(ticks) <= 7
    slack = 1e-6 * width + 1e-11
    assert low - slack <= ticks[0]
    assert ticks[-1] <= high + slack
    steps = [after - before for before, after in pairwise(ticks)]
    assert max(steps) - min(steps) <= 1e-6 * max(steps) + 2e-11


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (900.0, 60_000.0, [1000.0, 2000.0, 5000.0, 10_000.0, 20_000.0, 50_000.0]),
        (1.0, 1e6, [1.0, 10.0, 100.0, 1000.0, 10_000.0, 100_000.0, 1_000_000.0]),
        (115.0, 260.0, [125.0, 150.0, 175.0, 200.0, 225.0, 250.0]),
        (2.5, 7.5, [3.0, 4.0, 5.0, 6.0, 7.0]),
    ],
)
def test_log_ticks_thin_out_with_the_range(low: float, high: float, ticks: list[float]) -> None:
    assert log_ticks(low, high) == ticks


def test_date_ticks_are_starts_of_years_or_months() -> None:
    decade = date_ticks(day("2004-06-01"), day("2015-06-30"))
    assert [tick.label for tick in decade] == ["2006", "2008", "2010", "2012", "2014"]
    assert decade[0].position == day("2006-01-01")
    months = date_ticks(day("2020-01-15"), day("2020-06-20"))
    assert [tick.label for tick in months] == ["2020-02", "2020-03", "2020-04", "2020-05", "2020-06"]
    fortnight = date_ticks(day("2020-01-02"), day("2020-01-12"))
    assert [tick.label for tick in fortnight] == ["2020-01-04", "2020-01-10"]


def test_a_scale_maps_ends_and_middle() -> None:
    linear = Scale(-1.0, 3.0, 200.0, 0.0)
    assert [linear(value) for value in (-1.0, 1.0, 3.0)] == [200.0, 100.0, 0.0]
    decades = Scale(1.0, 100.0, 0.0, 100.0, "log")
    assert decades(10.0) == pytest.approx(50.0)


def test_a_domain_holds_all_values_and_is_never_empty() -> None:
    assert domain([0.0, 10.0], "linear", margin=0.1) == pytest.approx((-1.0, 11.0))
    assert domain([4.0], "linear") == (2.0, 6.0)
    assert domain([0.0], "linear") == (-1.0, 1.0)
    assert domain([], "linear") == (0.0, 1.0)
    low, high = domain([0.0, 10.0, 1000.0], "log")
    assert 0.0 < low < 10.0
    assert high > 1000.0
