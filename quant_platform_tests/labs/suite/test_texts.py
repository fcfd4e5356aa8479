"""Texts that are read at the first attempt are what the slow way makes of them."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_platform.labs.suite.sessions import session_clock
from quant_platform.labs.suite.texts import _dates_of_texts, _numbers_of_texts, dates_of, numbers_of, stripped

DAYS = [
    *("2024-01-31", " 2024-01-31 ", "20240131", "2024/01/31", "31.01.2024", "2024-01-31T00:00:00"),
    *("2024-01-31 00:00:00", "31/01/2024", "", "NaN", "-", None, "x", "2024-02-30", "1899-12-31", "2024-1-5"),
]
NUMBERS = [
    *("1", " 1.5 ", "-2e-3", "+4", "1_000", "1,5", "nan", "NaN"),
    *("inf", "-inf", "", "n/a", "-", None, "abc", "0x"),
]


@pytest.mark.parametrize(
    ("texts", "fast", "slow"), [(DAYS, dates_of, _dates_of_texts), (NUMBERS, numbers_of, _numbers_of_texts)]
)
def test_the_fast_way_is_the_slow_way(texts, fast, slow) -> None:
    for some in (texts, texts[:1], texts[::2], [None, None], texts[-3:] * 5):
        series = pl.Series("x", some, dtype=pl.String)
        for one, other in zip(fast(series), slow(series), strict=True):
            assert one.to_list() == other.to_list()


def test_days_and_numbers_by_hand() -> None:
    days, bad = dates_of(pl.Series(DAYS, dtype=pl.String))
    assert days.to_list()[:7] == [date(2024, 1, 31)] * 7
    assert days.to_list()[7:12] == [None] * 5
    assert bad.to_list() == [False] * 7 + [True] + [False] * 4 + [True, True, False, days[-1] is None]
    numbers, wrong = numbers_of(pl.Series(NUMBERS, dtype=pl.String))
    assert numbers.to_list()[:4] == [1.0, 1.5, -0.002, 4.0]
    assert numbers.to_list()[6:8] == [None, None]
    assert numbers.to_list()[8:10] == [np.inf, -np.inf]
    assert wrong.to_list() == [False] * 4 + [True, True] + [False] * 8 + [True, True]


def test_white_space_is_cut_where_there_is_some() -> None:
    assert stripped(pl.Series(["a", " b", None])).to_list() == ["a", "b", None]
    whole = pl.Series(["a", "b", None])
    assert stripped(whole) is whole


def test_rows_of_days_are_those_of_a_search() -> None:
    clock = session_clock("XNYS")
    first, last = clock.days[0], clock.days[-1]
    days = np.concatenate([np.arange(first - 40, first + 400), np.arange(last - 300, last + 40)])
    days = np.concatenate([days, np.array(["1700-01-01", "2199-01-01", "NaT"], dtype="datetime64[D]")])
    known = {day: row for row, day in enumerate(clock.days.tolist())}
    assert clock.rows(days).tolist() == [known.get(day, -1) for day in days.tolist()]
