"""Local clocks, calendars and schedules as flags and labels on the UTC grid.

Everything here is public before it happens, so nothing waits for the bar. Instants are microseconds since 1970 in UTC;
local times are converted day by day with their time zone, so summer time needs no table.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from quant_platform.labs.events.detection.grid import Stamps
from quant_platform.market.calendar import session_array
from quant_platform.specification.market_context import ContextSpec
from quant_platform.specification.states import ClockState

HOUR_US = 3_600_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Flags = npt.NDArray[np.bool_]


def session_times(instants: Stamps, spec: ContextSpec, side: Literal["opens", "closes"]) -> Flags:
    """Whether each instant is the opening (closing) of a cash session on a day on which its exchange trades."""
    found: list[int] = []
    first, last = _days(instants)
    for session in spec.sessions:
        since = max(first, session.since or first)
        until = min(last, session.until or last)
        if since <= until:
            days = session_array(session.exchange, since, until).tolist()
            found += [_instant(day, getattr(session, side), session.timezone) for day in days]
    return _are_among(instants, found)


def funding_times(instants: Stamps, interval_hours: npt.NDArray[np.float64]) -> Flags:
    """Whether each instant is a multiple of the funding interval after midnight in UTC."""
    interval = np.maximum((interval_hours * HOUR_US).astype(np.int64), 1)
    return np.asarray((instants % (24 * HOUR_US)) % interval == 0)


def releases_at(instants: Stamps, spec: ContextSpec) -> Flags:
    """Whether each instant is the time of a scheduled release that was public long enough before."""
    notice = timedelta(hours=spec.news.min_notice_hours)
    found = [
        instant
        for kind in spec.news.releases
        for day in kind.days
        if (instant := _instant(day, kind.clock, kind.timezone)) >= _micros(kind.published + notice)
    ]
    return _are_among(instants, found)


def fees_at(instants: Stamps, spec: ContextSpec) -> npt.NDArray[np.float64]:
    """Taker fee in force at each instant in basis points, NaN before the first of the schedule."""
    since = np.array([_micros(fee.since) for fee in spec.fees], dtype=np.int64)
    rates = np.array([np.nan, *(fee.taker_bps for fee in spec.fees)])
    return rates[np.searchsorted(since, instants, side="right")]


def clock_labels(instants: Stamps, state: ClockState) -> npt.NDArray[np.int64]:
    """Number of the span each instant lies in, and the number of spans at the weekend of UTC."""
    starts, codes = _span_starts(state, *_days(instants))
    # The instants rise too, and there are far more of them than of spans.
    rows = np.searchsorted(instants, starts)
    held = np.diff(rows, append=instants.size)
    return np.repeat(codes, held)


@lru_cache(maxsize=16)
def _span_starts(state: ClockState, first: date, last: date) -> tuple[Stamps, npt.NDArray[np.int64]]:
    """When each span of these days begins, and its number; one conversion for all instruments of a month."""
    begins: list[tuple[int, int]] = []
    for day in _each(first - timedelta(days=1), last):
        if day.weekday() >= 5:
            begins.append((_instant(day, time(0), "UTC"), len(state.spans)))
        else:
            begins += [(_instant(day, span.begins, span.timezone), code) for code, span in enumerate(state.spans)]
    begins.sort()
    starts = np.array([instant for instant, _ in begins], dtype=np.int64)
    codes = np.array([code for _, code in begins], dtype=np.int64)
    return starts, codes


def _are_among(instants: Stamps, found: list[int]) -> Flags:
    return np.asarray(np.isin(instants, np.array(found, dtype=np.int64)))


def _days(instants: Stamps) -> tuple[date, date]:
    """First and last day in UTC, widened by one for clocks far from it."""
    first, last = (_EPOCH + timedelta(microseconds=int(instants[i])) for i in (0, -1))
    return first.date() - timedelta(days=1), last.date() + timedelta(days=1)


def _each(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _instant(day: date, clock: time, zone: str) -> int:
    return _micros(datetime.combine(day, clock, tzinfo=ZoneInfo(zone)))


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
