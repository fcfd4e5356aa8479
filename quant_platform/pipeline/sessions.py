"""Which sessions the stages of a market see: those that are over, by the calendar and the one clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from quant_platform.contracts.errors import CalendarError
from quant_platform.market.calendar import Days, calendar, iso_week, session_array, session_closes, week_last_sessions
from quant_platform.pipeline.home import Home
from quant_platform.specification import clock

# No exchange of equities trades longer without a close.
_LONGEST_SESSION = timedelta(hours=12)


def last_final(home: Home, at: datetime | None = None) -> date:
    """Last session of the market whose bars are final: the exchange's close has passed, half days included.

    Parameters
    ----------
    home
        A home of equities.
    at
        A time with a zone; the clock's, when not given.

    Returns
    -------
    date
        For a market that has ended its declared last one, whatever the time.

    Raises
    ------
    CalendarError
        When the first session of the market has not closed yet.
    """
    found = calendar(home.universe.exchange)
    moment = np.datetime64((at or clock.now()).astimezone(UTC).replace(tzinfo=None), "us")
    if home.spec.last_session is not None:
        closed = int(np.searchsorted(found.days, np.datetime64(home.spec.last_session), side="right"))
    else:
        closed = int(np.searchsorted(found.closes, moment, side="right"))
    last = date.fromisoformat(str(found.days[closed - 1])) if closed else None
    if last is None or last < home.spec.first_session:
        raise CalendarError(
            f"no session of the market is over: it starts with {home.spec.first_session}",
            where=f"calendar {home.universe.exchange} at {moment} UTC",
            action="correct first_session of the home, or wait for the first close",
        )
    return last


def running_session(home: Home, at: datetime | None = None) -> date | None:
    """The session that closes next, where that is within twelve hours and the market goes on; else None."""
    if home.spec.last_session is not None:
        return None
    found = calendar(home.universe.exchange)
    moment = (at or clock.now()).astimezone(UTC).replace(tzinfo=None)
    position = int(np.searchsorted(found.closes, np.datetime64(moment, "us"), side="right"))
    if position == len(found.days) or found.closes[position] - np.datetime64(moment, "us") > _LONGEST_SESSION:
        return None
    return date.fromisoformat(str(found.days[position]))


def closing_time(home: Home, session: date) -> datetime:
    """When a session closes, in UTC."""
    stamp = session_closes(home.universe.exchange, np.array([session], dtype="datetime64[D]"))[0]
    return datetime.fromisoformat(str(stamp)).replace(tzinfo=UTC)


def market_sessions(home: Home) -> Days:
    """Sessions of the market up to the last one that is over."""
    return session_array(home.universe.exchange, home.spec.first_session, last_final(home))


def finished_weeks(home: Home, at: datetime | None = None) -> list[str]:
    """Monday of every week of the market whose last session is over, in order."""
    ends = week_last_sessions(home.universe.exchange, home.spec.first_session, last_final(home, at))
    return [str(day) for day in iso_week(ends)]


def signal_sessions(home: Home, mondays: Sequence[str]) -> Days:
    """The last session of each finished week among some weeks, which are named by their Monday."""
    ends = week_last_sessions(home.universe.exchange, home.spec.first_session, last_final(home))
    return ends[np.isin(iso_week(ends), np.array(mondays, dtype="datetime64[D]"))]


def on_sessions(column: str, days: Days) -> pl.Expr:
    """Whether a date is one of some sessions."""
    return pl.col(column).is_in(pl.Series(days, dtype=pl.Date).implode())
