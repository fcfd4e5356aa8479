"""Dates of the exchange out of whatever a vendor writes: text, numbers, dates, stamps with and without a zone.

A daily bar belongs to a *local date of its exchange*. What a stamp says about it, in this order:

1. a date is that date;
2. stamps that are all midnight where they were written (in their own zone, or without one) are dates with a label:
   that date counts, whatever the zone, unless those dates are no sessions and the ones of 3 are;
3. stamps with a zone that are all midnight at the exchange, or lie at any time of day, count with their local date at
   the exchange: 2020-01-01 23:00 UTC is 2020-01-02 in Frankfurt;
4. stamps with a time of day and no zone are times at the exchange, or of the zone that the spec states.

In cases 3 and 4 the dates must be sessions: where more than a few are not, the zone is another than it seems, every
date may be off by one, and the column is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, time

import polars as pl

from quant_platform.contracts.errors import SourceMalformed
from quant_platform.market.calendar import calendar
from quant_platform.sources.files.text import PLAIN, plain_text, refuse_rows
from quant_platform.specification.sources import TextTable

# No exchange has published daily prices before, and a year of two digits read as one of four lies far below.
EARLIEST = date(1800, 1, 1)
# Beyond it lies what was counted in another unit: milliseconds read as seconds are of the year 50,000. Nanoseconds that
# fit into 64 bits end in 2262.
LATEST = date(2199, 12, 31)

# So many dates may be no sessions (a stray row, a day the calendar does not know) before the zone is in doubt.
_MOST_STRAYS = 0.02

_DEFAULT = "%Y-%m-%d"
_EPOCH = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1, "epoch_ns": None, "epoch_days": None}
_PER_DAY = {"epoch_s": 86_400, "epoch_ms": 86_400_000, "epoch_us": 86_400_000_000, "epoch_ns": 86_400_000_000_000}
_UNITS = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
_TIME_OF_DAY = ("%H", "%I", "%T", "%R", "%X", "%M", "%S", "%c", "%r", "%k", "%l", "%D %", "%s")
_OFFSET = r"\s*(Z|z|UTC|GMT|[+-]\d{2}:?\d{2})$"
# PostgreSQL writes whole hours without their minutes; a date alone ends in the same way, so the time is asked for.
_SHORT_OFFSET = r"(:\d{2}(?:\.\d+)?\s*[+-]\d{2})$"
_ISO = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?(\s*(Z|[+-]\d{2}:?\d{2}))?$"
_EXCEL_DAY_0 = date(1899, 12, 30)


@dataclass(frozen=True)
class Stamps:
    """What was read: ``wall`` as it was written, ``instant`` in UTC where the vendor said so; naive ``Datetime``."""

    wall: pl.Series
    instant: pl.Series | None = None


def to_dates(
    frame: pl.DataFrame,
    column: str,
    where: str,
    style: TextTable = PLAIN,
    *,
    exchange: str | None = None,
    nullable: bool = False,
    must_be_sessions: bool = False,
) -> pl.DataFrame:
    """Turn a column into local dates of the exchange.

    Parameters
    ----------
    style
        ``date_format``, ``time_zone`` and ``missing`` of the file.
    exchange
        ISO 10383 code; without one (a file that is not about an exchange) stamps count as they are written.
    nullable
        Whether an empty field is an answer.
    must_be_sessions
        Whether dates out of stamps with a time of day are compared with the sessions of the exchange.

    Raises
    ------
    SourceMalformed
        When a field does not have the format, is empty and may not be, lies before 1800 or after 2199, or when stamps
        cannot be mapped to sessions.
    """
    raw = frame[column]
    stamps = _stamps(frame, column, where, style)
    dates = (
        stamps if isinstance(stamps, pl.Series) else _local(stamps, where, column, style, exchange, must_be_sessions)
    )
    if dates is raw and not dates.null_count() and _between(dates, EARLIEST, LATEST):
        return frame
    missing = dates.is_null()
    if nullable:
        missing = missing & (raw if raw.dtype != pl.String else plain_text(raw, style)).is_not_null()
    if missing.any():
        # What no calendar has can only be shown as the number it is.
        written = raw.to_physical().alias(column) if isinstance(raw.dtype, pl.Datetime) else raw
        refuse_rows(
            frame.with_columns(written),
            missing,
            column,
            f"the column {column!r} holds dates that are not {style.date_format!r}",
            where,
            action="correct `date_format` in the source spec, or the file",
        )
    early = (dates < EARLIEST).fill_null(False)
    late = (dates > LATEST).fill_null(False)
    if late.any():
        refuse_rows(
            frame,
            late,
            column,
            f"the column {column!r} holds dates after {LATEST.year}",
            where,
            action="correct `date_format` in the source spec, or the file",
        )
    if early.any():
        refuse_rows(
            frame.with_columns(dates.alias(column)),
            early,
            column,
            f"the column {column!r} holds dates before {EARLIEST.year}",
            where,
            action="correct `date_format` in the source spec: %y is a year of two digits, %Y one of four",
        )
    return frame.with_columns(dates.alias(column))


def _between(dates: pl.Series, first: date, last: date) -> bool:
    low, high = dates.min(), dates.max()
    return not isinstance(low, date) or not isinstance(high, date) or first <= low <= high <= last


def _stamps(frame: pl.DataFrame, column: str, where: str, style: TextTable) -> pl.Series | Stamps:
    """Dates, where the column holds nothing else; stamps otherwise."""
    raw = frame[column]
    dtype = raw.dtype
    if dtype == pl.Date:
        return raw
    if isinstance(dtype, pl.Datetime):
        counted = raw.to_physical()
        raw = _counted(counted, _UNITS[dtype.time_unit]).cast(dtype)
        if dtype.time_zone is None:
            return Stamps(raw.cast(pl.Datetime("us")))
        return Stamps(
            raw.dt.replace_time_zone(None).cast(pl.Datetime("us")),
            raw.dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(pl.Datetime("us")),
        )
    if dtype.is_numeric():
        if style.date_format not in _EPOCH and style.date_format != "excel_days" and style.date_format == _DEFAULT:
            raise SourceMalformed(
                f"the column {column!r} holds numbers, and the date format is {_DEFAULT!r}",
                where=where,
                rows=[{"column": column, "value": value} for value in raw.drop_nulls().head(3)],
                action=f"set `date_format` in the source spec: {_guess_of_number(raw)}",
            )
        whole = raw.cast(pl.Int64, strict=False)
        if ((whole.cast(pl.Float64) != raw.cast(pl.Float64)) & raw.is_not_null()).any():
            return _days(raw.cast(pl.Float64)) if style.date_format == "excel_days" else raw.clear().cast(pl.Date)
        found = _numbers(whole, style.date_format)
        return _texts(whole.cast(pl.String), style) if found is None else found
    if dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        text = plain_text(raw.cast(pl.String), style)
        if style.date_format in _EPOCH or style.date_format == "excel_days":
            found = _numbers(text.cast(pl.Float64, strict=False).cast(pl.Int64, strict=False), style.date_format)
            return raw.clear().cast(pl.Date) if found is None else found
        return _texts(text, style)
    raise SourceMalformed(
        f"the column {column!r} holds {dtype}, not dates", where=where, action="correct the source spec"
    )


def _days(numbers: pl.Series) -> pl.Series:
    day = numbers.floor().cast(pl.Int64) + (_EXCEL_DAY_0 - date(1970, 1, 1)).days
    return _counted(day, 1).cast(pl.Int32).cast(pl.Date)


def _numbers(numbers: pl.Series, date_format: str) -> pl.Series | Stamps | None:
    if date_format == "excel_days":
        return _days(numbers.cast(pl.Float64))
    if date_format == "epoch_days":
        return _counted(numbers, 1).cast(pl.Int32).cast(pl.Date)
    if date_format not in _EPOCH:
        return None
    per_day = _PER_DAY[date_format]
    counted = _counted(numbers, per_day)
    stamps = (counted // 1_000 if date_format == "epoch_ns" else counted * (_EPOCH[date_format] or 1)).cast(
        pl.Datetime("us")
    )
    return Stamps(stamps, stamps)


def _counted(numbers: pl.Series, per_day: int) -> pl.Series:
    """Counts since 1970 of which so many make a day, null where none of `EARLIEST` to `LATEST` is meant.

    What was counted in another unit lies far outside, where no library has dates.
    """
    first, last = ((day - date(1970, 1, 1)).days * per_day for day in (EARLIEST, LATEST))
    return numbers.set(~numbers.is_between(first, last).fill_null(True), None)


def _guess_of_number(raw: pl.Series) -> str:
    digits = len(str(abs(int(raw.drop_nulls()[0])))) if raw.drop_nulls().len() else 0
    known = {
        5: "excel_days or epoch_days",
        8: '"%Y%m%d"',
        10: "epoch_s",
        13: "epoch_ms",
        16: "epoch_us",
        19: "epoch_ns",
    }
    return known.get(digits, 'for example "%Y%m%d" or epoch_s')


def _texts(text: pl.Series, style: TextTable) -> pl.Series | Stamps:
    pattern = style.date_format
    if pattern == _DEFAULT:
        text = text.str.replace(_SHORT_OFFSET, "${1}00")
        plain = text.str.to_date(pattern, strict=False)
        if not (plain.is_null() & text.is_not_null()).any():
            return plain
        if not text.drop_nulls().str.contains(_ISO).all():
            return plain
        offset = text.str.extract(_OFFSET, 1)
        bare = text.str.replace(_OFFSET, "").str.replace("T", " ", literal=True)
        minutes = bare.str.len_chars() == len("2020-01-02 00:00")
        days = bare.str.len_chars() == len("2020-01-02")
        bare = pl.select(
            pl.when(days).then(bare + " 00:00:00").when(minutes).then(bare + ":00").otherwise(bare)
        ).to_series()
        wall = bare.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us")
        return _with_offsets(wall, offset)
    if "%z" in pattern or "%:z" in pattern or "%#z" in pattern:
        offset = text.str.extract(_OFFSET, 1)
        bare_pattern = pattern.replace("%:z", "").replace("%#z", "").replace("%z", "").rstrip()
        wall = text.str.replace(_OFFSET, "").str.to_datetime(bare_pattern, strict=False, time_unit="us")
        return _with_offsets(wall, offset)
    if any(part in pattern for part in _TIME_OF_DAY):
        return Stamps(text.str.to_datetime(pattern, strict=False, time_unit="us"))
    return text.str.to_date(pattern, strict=False)


def _with_offsets(wall: pl.Series, offset: pl.Series) -> Stamps:
    """The instants, where every stamp has an offset; stamps of which only some have one are read as written."""
    if (offset.is_null() & wall.is_not_null()).any():
        return Stamps(wall)
    digits = offset.str.replace(":", "", literal=True)
    signed = digits.str.contains(r"^[+-]\d{4}$")
    minutes = digits.str.slice(1, 2).cast(pl.Int64, strict=False) * 60 + digits.str.slice(3, 2).cast(
        pl.Int64, strict=False
    )
    east = pl.select(
        pl.when(~signed).then(0).when(digits.str.starts_with("-")).then(-minutes).otherwise(minutes)
    ).to_series()
    return Stamps(wall, wall - (east * 60_000_000).cast(pl.Duration("us")))


def _local(
    stamps: Stamps, where: str, column: str, style: TextTable, exchange: str | None, must_be_sessions: bool
) -> pl.Series:
    if exchange is None:
        return stamps.wall.dt.date()
    if _all_midnight(stamps.wall):
        own = stamps.wall.dt.date()
        if stamps.instant is None or not must_be_sessions or not _too_many(_strays(own, exchange)):
            return own
        there = _at_exchange(stamps.instant, exchange).dt.date()
        return own if _too_many(_strays(there, exchange)) else there
    instant = stamps.instant
    if instant is None and style.time_zone is not None:
        zoned = stamps.wall.dt.replace_time_zone(style.time_zone, ambiguous="earliest", non_existent="null")
        instant = zoned.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    local = stamps.wall if instant is None else _at_exchange(instant, exchange)
    dates = local.dt.date()
    if must_be_sessions:
        _refuse_strays(stamps, dates, where, column, style, exchange)
    return dates


def _all_midnight(stamps: pl.Series) -> bool:
    return bool((stamps.drop_nulls().dt.time() == time(0)).all())


def _at_exchange(instant: pl.Series, exchange: str) -> pl.Series:
    zone = calendar(exchange).time_zone
    return instant.dt.replace_time_zone("UTC").dt.convert_time_zone(zone).dt.replace_time_zone(None)


def _strays(dates: pl.Series, exchange: str) -> pl.Series:
    """Which dates within the calendar are no sessions."""
    found = calendar(exchange)
    return dates.is_between(found.start, found.end) & ~dates.is_in(pl.Series(found.days).cast(pl.Date).implode())


def _too_many(strays: pl.Series) -> bool:
    count = int(strays.sum())
    return count >= 2 and count > _MOST_STRAYS * strays.len()


def _refuse_strays(stamps: Stamps, dates: pl.Series, where: str, column: str, style: TextTable, exchange: str) -> None:
    """Refuse dates of which more than a few are no sessions of the exchange."""
    found = calendar(exchange)
    strays = _strays(dates, exchange)
    if not _too_many(strays):
        return
    count, total = int(strays.sum()), dates.len()
    read_as = (
        f"times at {exchange} ({found.time_zone})"
        if stamps.instant is None and style.time_zone is None
        else f"instants, as local dates of {exchange} ({found.time_zone})"
    )
    shown = pl.DataFrame({"stamp": stamps.wall, "date": dates}).filter(strays)
    raise SourceMalformed(
        f"the stamps of {column!r} cannot be mapped to sessions: read as {read_as}, too many are no sessions",
        where=where,
        how_many=f"{count} of {total} rows",
        rows=shown,
        cause="the stamps are in another zone than they say, and every date would be off by one; or another exchange",
        action="state the zone of the stamps as `time_zone` in the source spec (UTC, or an IANA name), correct "
        "`exchange`, or write plain dates",
    )
