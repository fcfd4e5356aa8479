"""Exchange sessions: which days trade, when they close, and which of them ends its ISO week.

The calendars are those of ``exchange_calendars``, named by ISO 10383 codes (``XNYS``). They are built once per
process and exchange; the library is imported on first use, so that importing this module starts nothing.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant_platform.contracts.errors import CalendarError

# The span every calendar is built for. Beyond it, holidays are either undocumented or not yet decided.
FIRST_YEAR = 1960
LAST_YEAR = 2049

Days = NDArray[np.datetime64]


@dataclass(frozen=True)
class ExchangeCalendar:
    """All sessions of one exchange and their closing times.

    ``days`` is sorted ``datetime64[D]``; ``opens`` and ``closes`` are ``datetime64[us]`` in UTC, aligned to it; ``end``
    is the last day the calendar speaks about, whether it trades or not; ``time_zone`` is where the exchange's clocks
    hang.
    """

    exchange: str
    days: Days
    opens: Days
    closes: Days
    start: date
    end: date
    time_zone: str


@lru_cache(maxsize=8)
def calendar(exchange: str) -> ExchangeCalendar:
    """Build the calendar of an exchange once.

    Raises
    ------
    CalendarError
        When no calendar has this name.
    """
    import exchange_calendars

    known = exchange_calendars.get_calendar_names(include_aliases=True)
    if exchange not in known:
        close = get_close_matches(exchange.upper(), known, n=1)
        raise CalendarError(
            f"there is no exchange calendar {exchange!r}",
            where="the names of exchange_calendars",
            action=f"did you mean {close[0]!r}?" if close else "use an ISO 10383 code such as XNYS",
        )
    found = _build(exchange_calendars, exchange)
    days = found.sessions.to_numpy().astype("datetime64[D]")
    opens = found.opens.dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    closes = found.closes.dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    for array in (days, opens, closes):
        array.setflags(write=False)
    return ExchangeCalendar(exchange, days, opens, closes, days[0].item(), date(LAST_YEAR, 12, 31), str(found.tz))


def _build(exchange_calendars: Any, exchange: str) -> Any:
    start = f"{FIRST_YEAR}-01-01"
    end = f"{LAST_YEAR}-12-31"
    with warnings.catch_warnings():
        # The library's own use of pandas, which pandas 3.1 announces to change; nothing a caller could act on.
        warnings.filterwarnings("ignore", message="Series.values returning", category=DeprecationWarning)
        try:
            return exchange_calendars.get_calendar(exchange, start=start, end=end)
        except ValueError:
            # A few calendars are documented for a shorter span; the class then names its own first day.
            earliest = exchange_calendars.get_calendar(exchange).bound_min()
            return exchange_calendars.get_calendar(exchange, start=earliest or start, end=end)


def session_array(exchange: str, start: date, end: date) -> Days:
    """Sessions from ``start`` to ``end``, both included, as sorted ``datetime64[D]``.

    Raises
    ------
    CalendarError
        When the exchange is unknown, ``start`` lies after ``end``, or a bound lies outside the calendar.
    """
    found = calendar(exchange)
    if start > end:
        raise CalendarError(f"the range starts on {start}, after its end {end}", where=f"calendar {exchange}")
    if start < found.start.replace(month=1, day=1) or end > found.end:
        raise CalendarError(
            f"the range {start} to {end} lies outside the calendar",
            where=f"calendar {exchange}, which covers {found.start} to {found.end}",
            cause="a date in the source may have been read with the wrong format",
        )
    first, last = np.searchsorted(found.days, [np.datetime64(start), np.datetime64(end) + 1])
    return found.days[first:last]


def sessions(exchange: str, start: date, end: date) -> list[date]:
    """Sessions from ``start`` to ``end``, both included, as dates; see `session_array` for the errors."""
    return [day for day in session_array(exchange, start, end).tolist() if isinstance(day, date)]


def next_session(exchange: str, day: date) -> date:
    """The first session after ``day``, whether ``day`` trades or not."""
    return _neighbour(exchange, day, "after")


def previous_session(exchange: str, day: date) -> date:
    """The last session before ``day``, whether ``day`` trades or not."""
    return _neighbour(exchange, day, "before")


def _neighbour(exchange: str, day: date, side: str) -> date:
    found = calendar(exchange)
    stamp = np.datetime64(day)
    position = (
        int(np.searchsorted(found.days, stamp, side="right"))
        if side == "after"
        else int(np.searchsorted(found.days, stamp, side="left")) - 1
    )
    if not 0 <= position < len(found.days):
        raise CalendarError(
            f"there is no session {side} {day}",
            where=f"calendar {exchange}, which covers {found.start} to {found.end}",
        )
    return date.fromisoformat(str(found.days[position]))


def week_last_sessions(exchange: str, start: date, end: date) -> Days:
    """Last session of every ISO week whose last session lies in the range, as sorted ``datetime64[D]``.

    Notes
    -----
    **Timing.** A week that is still running at ``end`` is left out: its last session is decided by the calendar, not
    by the end of the data, so a cut through a week cannot invent a weekly signal on a Wednesday.
    """
    found = calendar(exchange)
    week = iso_week(found.days)
    last_of_week = np.append(week[1:] != week[:-1], True)
    bounded = session_array(exchange, start, end)
    return bounded[np.isin(bounded, found.days[last_of_week])]


def iso_week(days: Days) -> Days:
    """Monday of the ISO week of each day, ``datetime64[D]``: the key of a week partition."""
    numbers = days.astype("datetime64[D]").astype(np.int64)
    # Day 0 of the epoch was a Thursday, three days after its Monday.
    monday: Days = ((numbers + 3) // 7 * 7 - 3).astype("datetime64[D]")
    return monday


def session_closes(exchange: str, days: Days) -> Days:
    """Closing time of each session in UTC, ``datetime64[us]``; half days close early.

    Raises
    ------
    CalendarError
        When a day is not a session.
    """
    found = calendar(exchange)
    wanted = days.astype("datetime64[D]")
    position = np.minimum(np.searchsorted(found.days, wanted), len(found.days) - 1)
    wrong = found.days[position] != wanted
    if wrong.any():
        raise CalendarError(
            "closing times were asked for days that do not trade",
            where=f"calendar {exchange}",
            how_many=f"{int(wrong.sum())} of {len(wanted)} days",
            rows=[{"day": str(day)} for day in wanted[wrong][:5]],
        )
    return found.closes[position]
