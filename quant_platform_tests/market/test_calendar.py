"""Expected holidays and half days are those NYSE published for the year in question."""

from __future__ import annotations

import contextlib
import re
from datetime import date, datetime
from pathlib import Path

import exchange_calendars
import numpy as np
import pytest

from quant_platform.contracts.errors import CalendarError
from quant_platform.market import calendar as market_calendar
from quant_platform.market.calendar import (
    calendar,
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


@pytest.mark.parametrize("exchange", sorted(exchange_calendars.get_calendar_names(include_aliases=False)))
def test_every_calendar_of_the_library_opens_or_is_refused_by_name(exchange: str) -> None:
    found = None
    with contextlib.suppress(CalendarError):
        found = calendar(exchange)
    if found is None:
        with pytest.raises(CalendarError, match=rf"cannot build the calendar of {re.escape(exchange)}: \w+: .+"):
            calendar(exchange)
        return
    assert found.start <= found.days[0].item() < found.days[-1].item() <= found.end
    # Ten years that every exchange of the library was open in, or what there is of them.
    first, last = max(found.start, date(2016, 1, 1)), min(found.end, date(2025, 12, 31))
    share = len(session_array(exchange, first, last)) / ((last - first).days + 1)
    assert 0.6 < share <= 1.0
    # In Wellington the exchange closes when it is still the day before in Greenwich.
    assert (found.closes > found.days - np.timedelta64(14, "h")).all()
    assert (found.closes <= found.days + np.timedelta64(48, "h")).all()


@pytest.mark.parametrize("exchange", ["XSHG", "XBOM", "XSES", "XSAU"])
def test_a_calendar_with_few_recorded_years_runs_to_its_own_end(exchange: str) -> None:
    found = calendar(exchange)
    assert date(2026, 12, 31) <= found.end < date(2049, 12, 31)
    assert len(session_array(exchange, date(2023, 1, 1), date(2023, 12, 31))) > 230
    beyond = date(found.end.year + 1, 1, 5)
    with pytest.raises(CalendarError, match=rf"outside the calendar[\s\S]*{exchange}[\s\S]*{found.end}"):
        session_array(exchange, date(2023, 1, 1), beyond)


# Sessions a year, as the daily history of the S&P 500 and the Dow Jones average has them.
NEW_YORK = {1954: 252, 1955: 252, 1960: 252, 1961: 250, 1962: 252, 1963: 251, 1968: 226, 1969: 250, 1970: 254}


@pytest.mark.parametrize("year", NEW_YORK)
def test_new_york_before_1970_has_its_holidays(year: int) -> None:
    assert len(session_array("XNYS", date(year, 1, 1), date(year, 12, 31))) == NEW_YORK[year]


def test_shanghai_was_closed_for_the_new_year_of_2024() -> None:
    # The exchange's notice: closed 9 to 17 February 2024.
    assert sessions("XSHG", date(2024, 2, 8), date(2024, 2, 19)) == [date(2024, 2, 8), date(2024, 2, 19)]


def test_new_york_is_known_from_the_end_of_its_saturdays() -> None:
    # The last Saturday session was 1952-05-24; from 1952-09-29 on the exchange announced five days a week.
    assert sessions("XNYS", date(1955, 12, 23), date(1955, 12, 28)) == [
        date(1955, 12, 23),
        date(1955, 12, 27),
        date(1955, 12, 28),
    ]
    with pytest.raises(CalendarError, match=r"1952-09-29[\s\S]*specs/calendars/XNYS.yaml"):
        sessions("XNYS", date(1929, 10, 24), date(1955, 1, 3))


CHANGES = """\
exchange: XNYS
added:
  - {session: 2024-07-06, close: "13:00", reason: a test}
  - {session: 2024-07-07, reason: a test}
struck:
  - {session: 2024-07-03, reason: a test}
"""


@pytest.fixture
def changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "calendars" / "XNYS.yaml"
    path.parent.mkdir()
    monkeypatch.setenv("QUANT_SPECS", str(tmp_path))
    return path


def test_a_spec_adds_and_strikes_sessions(changes: Path) -> None:
    usual = sessions("XNYS", date(2024, 7, 1), date(2024, 7, 9))
    changes.write_text(CHANGES, encoding="utf-8")
    found = sessions("XNYS", date(2024, 7, 1), date(2024, 7, 9))
    assert set(found) - set(usual) == {date(2024, 7, 6), date(2024, 7, 7)}
    assert set(usual) - set(found) == {date(2024, 7, 3)}
    closes = session_closes("XNYS", np.array(["2024-07-06", "2024-07-07"], dtype="datetime64[D]"))
    # 13:00, and 16:00 as on the session of the library before it, in New York's summer.
    assert closes.tolist() == [datetime(2024, 7, 6, 17), datetime(2024, 7, 7, 20)]
    changes.unlink()
    assert sessions("XNYS", date(2024, 7, 1), date(2024, 7, 9)) == usual


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("2024-07-06", "2024-07-08", "added 2024-07-08 is a session already"),
        ("2024-07-03", "2024-07-04", "struck 2024-07-04 is no session"),
        ("exchange: XNYS", "exchange: XLON", "about 'XLON'"),
    ],
)
def test_a_change_that_changes_nothing_is_refused(changes: Path, old: str, new: str, message: str) -> None:
    changes.write_text(CHANGES.replace(old, new), encoding="utf-8")
    with pytest.raises(CalendarError, match=message):
        calendar("XNYS")


def test_a_spec_opens_earlier_years(changes: Path) -> None:
    changes.write_text("exchange: XNYS\nstart: 1929-01-01\nadded: [{session: 1929-10-26, reason: a Saturday}]\n")
    assert sessions("XNYS", date(1929, 10, 24), date(1929, 10, 28)) == [
        date(1929, 10, 24),
        date(1929, 10, 25),
        date(1929, 10, 26),
        date(1929, 10, 28),
    ]


def test_a_calendar_from_the_cache_is_that_of_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = market_calendar._by_library("XHKG", None)
    (kept,) = (tmp_path / "quant_platform").glob("calendar-*.npz")
    with monkeypatch.context() as patch:
        patch.setattr(market_calendar, "_asked", lambda *_: pytest.fail("the library was asked again"))
        found = market_calendar._by_library("XHKG", None)
    for name in ("days", "opens", "closes"):
        assert getattr(found, name).dtype == getattr(asked, name).dtype
        assert np.array_equal(getattr(found, name), getattr(asked, name))
    assert (found.start, found.end, found.time_zone) == (asked.start, asked.end, asked.time_zone)
    # A torn file is as good as none.
    kept.write_bytes(kept.read_bytes()[:500])
    assert np.array_equal(market_calendar._by_library("XHKG", None).days, asked.days)
