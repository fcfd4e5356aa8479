"""ISO weeks over exchange sessions. A week is named by its Monday, and it signals at its last session."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

Sessions = NDArray[np.datetime64]

_FIRST_MONDAY = np.datetime64("1970-01-05", "D")
_FRIDAY = 4


def as_sessions(sessions: Sequence[date] | Sessions) -> Sessions:
    """Dates as an ascending ``datetime64[D]`` array."""
    return np.asarray(sessions, dtype="datetime64[D]")


def mondays(sessions: Sessions) -> Sessions:
    """Monday of the ISO week of each date."""
    days = (sessions - _FIRST_MONDAY).astype(np.int64)
    return np.asarray(_FIRST_MONDAY + (days - days % 7), dtype="datetime64[D]")


def week_ends(calendar: Sequence[date] | Sessions, last_session: date) -> Sessions:
    """Last session of every complete ISO week up to ``last_session``.

    Parameters
    ----------
    calendar
        Exchange sessions, ascending. Where it goes on after ``last_session``, it decides whether that week is complete;
        where it does not, a week that has reached its Friday is.
    last_session
        The last session that has happened.

    Notes
    -----
    A running week signals nothing yet: its last session would change from day to day.
    """
    known = as_sessions(calendar)
    happened = np.datetime64(last_session, "D")
    if known.size == 0:
        return known
    week = mondays(known)
    is_last = np.append(week[1:] != week[:-1], True)
    ends = known[is_last]
    weekday = (ends[-1] - week[-1]).astype(np.int64)
    if weekday < _FRIDAY:
        ends = ends[:-1]
    return as_sessions(ends[ends <= happened])
