"""Expected holidays and half days are those NYSE published for the year in question."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pytest

from quant_platform.contracts.errors import CalendarError
from quant_platform.market.calendar import (
    iso_week,
    next_session,
    previous_session,
    session_array,
    session_closes,
    sessions,
    week_last_sessions,
)


def test_sessions_leave_out_weekends_and_the_holidays_of_2012() -> None:
    closed = {
        date(2012, 1, 2),
        date(2012, 1, 16),
        date(2012, 2, 20),
        date(2012, 4, 6),
        date(2012, 5, 28),
        date(2012, 7, 4),
        date(2012, 9, 3),
        date(2012, 10, 29),  # hurricane Sandy
        date(2012, 10, 30),
        date(2012, 11, 22),
        date(2012, 12, 25),
    }
    days = np.arange(np.datetime64("2012-01-01"), np.datetime64("2013-01-01")).tolist()
    assert sessions("XNYS", date(2012, 1, 1), date(2012, 12, 31)) == [
        day for day in days if day.weekday() < 5 and day not in closed
    ]


def test_the_four_sessions_after_september_11_2001_did_not_happen() -> None:
    assert sessions("XNYS", date(2001, 9, 10), date(2001, 9, 17)) == [date(2001, 9, 10), date(2001, 9, 17)]


def test_both_bounds_are_included_and_an_empty_range_is_empty() -> None:
    assert sessions("XNYS", date(2020, 1, 2), date(2020, 1, 3)) == [date(2020, 1, 2), date(2020, 1, 3)]
    assert sessions("XNYS", date(2020, 1, 4), date(2020, 1, 5)) == []


def test_neighbours_skip_the_weekend() -> None:
    assert next_session("XNYS", date(2020, 1, 3)) == date(2020, 1, 6)
    assert next_session("XNYS", date(2020, 1, 4)) == date(2020, 1, 6)
    assert previous_session("XNYS", date(2020, 1, 6)) == date(2020, 1, 3)


def test_the_week_of_good_friday_ends_on_thursday() -> None:
    ends = week_last_sessions("XNYS", date(2012, 3, 26), date(2012, 4, 13))
    assert ends.tolist() == [date(2012, 3, 30), date(2012, 4, 5), date(2012, 4, 13)]


def test_a_week_that_is_cut_has_no_last_session() -> None:
    assert week_last_sessions("XNYS", date(2020, 1, 6), date(2020, 1, 9)).tolist() == []


def test_iso_week_is_its_monday() -> None:
    days = np.arange(np.datetime64("1968-12-28"), np.datetime64("1971-01-10"))
    assert iso_week(days).tolist() == [date.fromisocalendar(*day.isocalendar()[:2], 1) for day in days.tolist()]


def test_closes_are_utc_and_know_half_days_and_summer_time() -> None:
    days = np.array(["2020-01-02", "2020-07-01", "2020-11-27"], dtype="datetime64[D]")
    assert session_closes("XNYS", days).tolist() == [
        datetime(2020, 1, 2, 21),
        datetime(2020, 7, 1, 20),
        datetime(2020, 11, 27, 18),
    ]


def test_a_close_of_a_sunday_is_an_error() -> None:
    with pytest.raises(CalendarError, match=r"do not trade[\s\S]*1 of 1 days[\s\S]*2020-01-05"):
        session_closes("XNYS", np.array(["2020-01-05"], dtype="datetime64[D]"))


@pytest.mark.parametrize(
    ("exchange", "start", "end", "message"),
    [
        ("XNYSE", date(2020, 1, 1), date(2020, 1, 2), "did you mean 'XNYS'"),
        ("XNYS", date(2020, 1, 2), date(2020, 1, 1), "after its end"),
        ("XNYS", date(1066, 1, 2), date(2020, 1, 1), "lies outside the calendar"),
        ("XNYS", date(2020, 1, 2), date(2090, 1, 1), "lies outside the calendar"),
    ],
)
def test_errors_say_what_to_do(exchange: str, start: date, end: date, message: str) -> None:
    with pytest.raises(CalendarError, match=message):
        session_array(exchange, start, end)


def test_a_calendar_with_a_shorter_documented_span_still_opens() -> None:
    assert sessions("XTKS", date(2020, 1, 1), date(2020, 1, 7)) == [date(2020, 1, 6), date(2020, 1, 7)]
