"""Exchange sessions: which days trade, when they close, and which of them ends its ISO week.

The calendars are those of ``exchange_calendars``, named by ISO 10383 codes (``XNYS``), with the sessions that
``specs/calendars`` adds or strikes. What the library says is kept in the user's cache folder under its version, because
importing it and building one take seconds; importing this module starts nothing. A calendar whose holidays are recorded
for fewer years (Shanghai and Bombay: to the end of the running year) covers those; asking beyond is an error that names
exchange and span.
"""

from __future__ import annotations

import hashlib
import io
import warnings
import zipfile
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from difflib import get_close_matches
from functools import cached_property, lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from quant_platform.contracts.errors import CalendarError
from quant_platform.contracts.kept import keep, read_kept
from quant_platform.market.weeks import monday_of, week_number
from quant_platform.specification.calendars import CalendarSpec, calendar_changes, calendar_file

# The span every calendar is built for, where the library documents that much.
FIRST_YEAR = 1960
LAST_YEAR = 2049

# Earlier first days that are documented. The library does not know the Saturdays on which New York traded until 1952.
DOCUMENTED_FROM = {"XNYS": date(1952, 9, 29)}

# pandas' holiday calendars begin in this year where nobody says another.
_RULES_ASKED_FROM = 1970

Days = NDArray[np.datetime64]


@dataclass(frozen=True)
class ExchangeCalendar:
    """All sessions of one exchange and their closing times.

    ``days`` is sorted ``datetime64[D]``; ``opens`` and ``closes`` are ``datetime64[us]`` in UTC, aligned to it;
    ``start`` and ``end`` are the first and the last day the calendar speaks about, whether they trade or not;
    ``time_zone`` is IANA's name of where the exchange's clocks hang.
    """

    exchange: str
    days: Days
    opens: Days
    closes: Days
    start: date
    end: date
    time_zone: str

    @cached_property
    def ends_a_week(self) -> NDArray[np.bool_]:
        """Whether each session is the last one of its ISO week."""
        week = iso_week(self.days)
        return np.append(week[1:] != week[:-1], True)


def calendar(exchange: str) -> ExchangeCalendar:
    """Build the calendar of an exchange once, with the changes of ``specs/calendars/<exchange>.yaml``.

    Raises
    ------
    CalendarError
        When no calendar has this name, when the library fails to build it, or when a changed session is one already,
        is none, or lies outside.
    """
    path = calendar_file(exchange)
    stamp = path.stat().st_mtime_ns if path.is_file() else None
    return _calendar(exchange, str(path), stamp)


@lru_cache(maxsize=16)
def _calendar(exchange: str, path: str, stamp: int | None) -> ExchangeCalendar:
    """One calendar; path and stamp are there so that edited changes are read again."""
    del stamp
    changes = calendar_changes(exchange)
    built = _by_library(exchange, None if changes is None else changes.start)
    if changes is not None:
        built = _changed(built, changes, path)
    for array in (built.days, built.opens, built.closes):
        array.setflags(write=False)
    return built


def _by_library(exchange: str, wanted: date | None) -> ExchangeCalendar:
    """What the library says, from the cache where it said it before."""
    # pandas makes the days, and its rules have changed before.
    versions = [f"{name}=={metadata.version(name)}" for name in ("exchange_calendars", "pandas")]
    said = repr((exchange, wanted, FIRST_YEAR, LAST_YEAR, versions, Path(__file__).read_bytes()))
    name = f"calendar-{hashlib.sha256(said.encode()).hexdigest()[:32]}.npz"
    found = _unpacked(exchange, read_kept(name))
    if found is None:
        found = _asked(exchange, wanted)
        keep(name, _packed(found))
    return found


def _packed(built: ExchangeCalendar) -> bytes:
    told = np.array([built.start.isoformat(), built.end.isoformat(), built.time_zone])
    file = io.BytesIO()
    np.savez_compressed(file, days=built.days, opens=built.opens, closes=built.closes, told=told)
    return file.getvalue()


def _unpacked(exchange: str, content: bytes | None) -> ExchangeCalendar | None:
    if content is None:
        return None
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as kept:
            start, end, zone = kept["told"].tolist()
            bounds = date.fromisoformat(start), date.fromisoformat(end)
            return ExchangeCalendar(exchange, kept["days"], kept["opens"], kept["closes"], *bounds, zone)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # a damaged file is as good as none


def _asked(exchange: str, wanted: date | None) -> ExchangeCalendar:
    """Ask the library; raises CalendarError for a name it does not know, or a calendar it cannot build."""
    import exchange_calendars

    known = exchange_calendars.get_calendar_names(include_aliases=True)
    if exchange not in known:
        close = get_close_matches(exchange.upper(), known, n=1)
        raise CalendarError(
            f"there is no exchange calendar {exchange!r}",
            where="the names of exchange_calendars",
            action=f"did you mean {close[0]!r}?" if close else "use an ISO 10383 code such as XNYS",
        )
    start = wanted or DOCUMENTED_FROM.get(exchange_calendars.resolve_alias(exchange), date(FIRST_YEAR, 1, 1))
    found, first, last = _build(exchange_calendars, exchange, start)
    days = found.sessions.to_numpy().astype("datetime64[D]")
    opens = found.opens.dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    closes = found.closes.dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    kept = ~np.isin(days, _holidays_before_1970(found, first))
    return ExchangeCalendar(exchange, days[kept], opens[kept], closes[kept], first, last, str(found.tz))


def _build(exchange_calendars: Any, exchange: str, start: date) -> tuple[Any, date, date]:
    """The library's calendar over as much of the span as it documents, and the first and last day it speaks about."""
    end = date(LAST_YEAR, 12, 31)
    with warnings.catch_warnings():
        # The library's own use of pandas, of which pandas announces changes; nothing a caller could act on.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        try:
            try:
                return exchange_calendars.get_calendar(exchange, start=str(start), end=str(end)), start, end
            except ValueError:
                # Documented for a shorter span; the class then names its own first and last day.
                own = exchange_calendars.get_calendar(exchange)
                first, last = own.bound_min(), own.bound_max()
                begin = start if first is None else max(start, first.date())
                end = end if last is None else min(end, last.date())
                return exchange_calendars.get_calendar(exchange, start=str(begin), end=str(end)), begin, end
        # The library promises no errors of its own. Of this release five calendars fail, with NotImplementedError and
        # ValueError; the other three are what a change of pandas under its rules looks like.
        except (ValueError, NotImplementedError, TypeError, KeyError, IndexError) as error:
            raise CalendarError(
                f"the calendar library cannot build the calendar of {exchange}: "
                f"{type(error).__name__}: {str(error).splitlines()[0][:200]}",
                where=f"exchange_calendars {exchange_calendars.__version__}",
                cause="a defect of this version of the library, not of your data",
                action="use an exchange with the same sessions and state the differences in "
                f"specs/calendars/<that exchange>.yaml, or install a version that builds {exchange}",
            ) from error


def _holidays_before_1970(found: Any, first: date) -> Days:
    """Holidays by rule that the library leaves trading: its rules say when they hold, but pandas asks from 1970 on."""
    if found.regular_holidays is None or first.year >= _RULES_ASKED_FROM:
        return np.array([], dtype="datetime64[D]")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        holidays = found.regular_holidays.holidays(start=str(first), end=f"{_RULES_ASKED_FROM - 1}-12-31")
    observed: Days = holidays.to_numpy().astype("datetime64[D]")
    return observed


def _changed(built: ExchangeCalendar, changes: CalendarSpec, path: str) -> ExchangeCalendar:
    """The calendar with sessions added and struck."""
    if changes.exchange != built.exchange:
        raise CalendarError(
            f"the file is about {changes.exchange!r}, its name says {built.exchange!r}", where=path, action="rename it"
        )
    there = set(built.days.tolist())
    wrong = [f"added {one.session} is a session already" for one in changes.added if one.session in there]
    wrong += [f"struck {one.session} is no session" for one in changes.struck if one.session not in there]
    if wrong:
        raise CalendarError(
            f"a changed session changes nothing: {wrong[0]}",
            where=path,
            how_many=f"{len(wrong)} of {len(changes.added) + len(changes.struck)} changes",
            action="remove it: the library knows it by now",
        )
    struck = np.array([one.session for one in changes.struck], dtype="datetime64[D]")
    kept = ~np.isin(built.days, struck)
    days, opens, closes = built.days[kept], built.opens[kept], built.closes[kept]
    if changes.added:
        extra = np.array([one.session for one in changes.added], dtype="datetime64[D]")
        before = np.clip(np.searchsorted(days, extra) - 1, 0, len(days) - 1)
        zone = ZoneInfo(built.time_zone)
        new_opens = [_at(one.session, opens[at], None, zone) for one, at in zip(changes.added, before, strict=True)]
        new_closes = [
            _at(one.session, closes[at], one.close, zone) for one, at in zip(changes.added, before, strict=True)
        ]
        order = np.argsort(np.concatenate([days, extra]), kind="stable")
        days = np.concatenate([days, extra])[order]
        opens = np.concatenate([opens, np.array(new_opens)])[order]
        closes = np.concatenate([closes, np.array(new_closes)])[order]
    return replace(
        built,
        days=days,
        opens=opens,
        closes=closes,
        start=min(built.start, days[0].item()),
        end=max(built.end, days[-1].item()),
    )


def _at(session: date, usual: Any, stated: time | None, zone: ZoneInfo) -> np.datetime64:
    """A time of day of a session in UTC: the one stated at the exchange, or that of the session before."""
    local = stated or usual.item().replace(tzinfo=UTC).astimezone(zone).time()
    moment = datetime.combine(session, local, tzinfo=zone)
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")


def session_array(exchange: str, start: date, end: date) -> Days:
    """Sessions from ``start`` to ``end``, both included, as sorted ``datetime64[D]``.

    Raises
    ------
    CalendarError
        When the exchange is unknown, ``start`` lies after ``end``, or a bound lies outside the calendar.
    """
    found = calendar(exchange)
    return found.days[_places(found, start, end)]


def _places(found: ExchangeCalendar, start: date, end: date) -> slice:
    exchange = found.exchange
    if start > end:
        raise CalendarError(f"the range starts on {start}, after its end {end}", where=f"calendar {exchange}")
    if start < found.start or end > found.end:
        raise CalendarError(
            f"the range {start} to {end} lies outside the calendar",
            where=f"calendar {exchange}, which covers {found.start} to {found.end}",
            cause="the holidays of other years are not recorded; or a date was read with the wrong format",
            action=f"leave those rows out, or state the sessions in specs/calendars/{exchange}.yaml",
        )
    first, last = np.searchsorted(found.days, [np.datetime64(start), np.datetime64(end) + 1])
    return slice(first, last)


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
    wanted = _places(found, start, end)
    return found.days[wanted][found.ends_a_week[wanted]]


def iso_week(days: Days) -> Days:
    """Monday of the ISO week of each day, ``datetime64[D]``: the key of a week partition."""
    monday: Days = monday_of(week_number(days.astype("datetime64[D]")))
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
