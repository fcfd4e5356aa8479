"""When a signal can be acted on: the sessions of an exchange, half days and holidays included, or days in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_platform.contracts.errors import CalendarError
from quant_platform.market.calendar import calendar

Days = NDArray[np.datetime64]
Longs = NDArray[np.int64]

UTC_DAYS = "UTC"


class DayRows:
    """The row of each of some days, looked up in a table of the calendar between the first and the last of them.

    Parameters
    ----------
    days
        ``[S]`` sorted, at least one.
    """

    def __init__(self, days: Days) -> None:
        numbers = days.astype("datetime64[D]").astype(np.int64)
        # The place before the first day and the one after the last are no rows.
        self._first, self._table = int(numbers[0]) - 1, np.full(numbers[-1] - numbers[0] + 3, -1, dtype=np.int64)
        self._table[numbers - self._first] = np.arange(len(numbers))

    def rows(self, days: Days) -> Longs:
        """Position of each day; -1 for one that is not among them, or is missing."""
        wanted = days.astype("datetime64[D]").astype(np.int64)
        rows: Longs = self._table[np.clip(wanted, self._first, self._first + len(self._table) - 1) - self._first]
        return rows


@dataclass(frozen=True)
class SessionClock:
    """Sessions with their opening and closing times.

    Attributes
    ----------
    name
        ISO 10383 code of the exchange, or ``UTC`` for markets that never close.
    days
        ``[S]`` sorted ``datetime64[D]``.
    opens, closes
        ``[S]`` UTC ``datetime64[us]``; a half day closes early.
    time_zone
        In which ``avail_hour`` is meant.
    """

    name: str
    days: Days
    opens: Days
    closes: Days
    time_zone: str

    def rows(self, days: Days) -> Longs:
        """Position of each day among the sessions; -1 where it is none."""
        return self._of_day.rows(days)

    @cached_property
    def _of_day(self) -> DayRows:
        return DayRows(self.days)


def session_clock(name: str) -> SessionClock:
    """Return the clock of an exchange, or of UTC days for the name ``UTC``.

    Raises
    ------
    CalendarError
        When no calendar has this name.
    """
    if name == UTC_DAYS:
        days = np.arange(np.datetime64("2009-01-01"), np.datetime64("2050-01-01"))
        opens: Days = days.astype("datetime64[us]")
        closes: Days = (days + 1).astype("datetime64[us]")
        return SessionClock(name, days.astype("datetime64[D]"), opens, closes, "UTC")
    found = calendar(name)
    return SessionClock(name, found.days, found.opens, found.closes, found.time_zone)


def align_dates(signal: pl.DataFrame, clock: SessionClock, *, lag: int = 0) -> pl.DataFrame:
    """Say for each row when it is traded and which session's return it is the first to earn.

    Parameters
    ----------
    signal
        ``date_sig``, ``date_avail`` and, where it is known, ``avail_hour`` (hours after midnight in the time zone of
        the clock, null where unknown).
    clock
        The sessions.
    lag
        Sessions that entry waits beyond the earliest one, at least 0.

    Returns
    -------
    polars.DataFrame
        The rows with ``date_close`` (session at whose close it is traded), ``date_ret`` (the session after it, the
        first whose close-to-close return is earned) and ``date_openret`` (session at whose open it is traded, the first
        whose open-to-close return is earned); null beyond the calendar.

    Raises
    ------
    CalendarError
        When a ``date_sig`` is no session, or the lag is negative.

    Notes
    -----
    **Timing.** A row is known at the latest of two moments: the close of ``date_sig``, whose bar it has seen, and
    ``date_avail`` at ``avail_hour``, or at its first minute where no hour is stated. It is traded at the first open or
    close *after* that moment, never at it. There is no argument that moves a trade nearer: a signal that has seen the
    close of Monday is traded at Tuesday's open at the earliest, whatever its file says.

    An hour that a change of clocks skips or repeats counts as the later moment.
    """
    if lag < 0:
        raise CalendarError(f"the lag was {lag}, at least 0 is needed", where="align_dates", cause="look-ahead")
    opened, closed = entry_rows(signal, clock)
    last = len(clock.days) - 1
    close_row, open_row = closed + lag, opened + lag

    def day(rows: Longs) -> pl.Series:
        inside = (rows >= 0) & (rows <= last)
        return pl.Series(clock.days[np.clip(rows, 0, last)], dtype=pl.Date).zip_with(
            pl.Series(inside), pl.Series([None] * len(rows), dtype=pl.Date)
        )

    return signal.with_columns(
        day(close_row).alias("date_close"), day(close_row + 1).alias("date_ret"), day(open_row).alias("date_openret")
    )


def entry_rows(signal: pl.DataFrame, clock: SessionClock) -> tuple[Longs, Longs]:
    """Rows of the clock at whose open, and at whose close, each signal row can first be traded.

    The length of the clock where it lies beyond the calendar; see :func:`align_dates` for the rule and the errors.
    """
    if signal.height == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    hour = pl.col("avail_hour").cast(pl.Float64) if "avail_hour" in signal.columns else pl.lit(None, dtype=pl.Float64)
    keyed = signal.select("date_sig", "date_avail", hour.alias("avail_hour"))
    # Rows of one moment mostly follow each other: a moment is looked at once for all of them.
    begins = keyed.select(pl.any_horizontal(pl.all().ne_missing(pl.all().shift()))).to_series().to_numpy()
    heads = np.flatnonzero(np.concatenate([[True], begins[1:]]))
    opened, closed = _entries(keyed[heads], clock)
    lengths = np.diff(heads, append=keyed.height)
    return np.repeat(opened, lengths), np.repeat(closed, lengths)


def _entries(keyed: pl.DataFrame, clock: SessionClock) -> tuple[Longs, Longs]:
    """:func:`entry_rows` of ``date_sig, date_avail, avail_hour``."""
    moments = keyed.unique()
    seen = clock.rows(moments["date_sig"].to_numpy())
    if (seen < 0).any():
        wrong = moments.filter(pl.Series(seen < 0))
        raise CalendarError(
            "signal dates that are no session cannot be aligned",
            where=f"date_sig, sessions of {clock.name}",
            how_many=f"{wrong.height} of {moments.height} moments",
            rows=wrong.sort("date_sig"),
            action="validate the signal first; it keeps such rows out",
        )
    # The contract reads date_avail as "from when": without an hour that is its first minute, and what the signal has
    # seen, the close of date_sig, is a bound of its own below.
    hours = moments["avail_hour"].fill_null(0.0)
    local = (
        moments["date_avail"].cast(pl.Datetime("us"))
        + (hours * 3_600_000_000).round().cast(pl.Int64).cast(pl.Duration("us"))
    ).alias("local")
    frame = pl.DataFrame([local])
    zoned = frame.select(
        pl.coalesce(
            pl.col("local").dt.replace_time_zone(clock.time_zone, ambiguous="latest", non_existent="null"),
            (pl.col("local") + pl.duration(hours=1)).dt.replace_time_zone(
                clock.time_zone, ambiguous="latest", non_existent="null"
            ),
        ).dt.convert_time_zone("UTC")
    ).to_series()
    stamp = zoned.dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
    known = np.maximum(stamp, clock.closes[seen])
    aligned = moments.with_columns(
        pl.Series("opened", np.searchsorted(clock.opens, known, side="right").astype(np.int64)),
        pl.Series("closed", np.searchsorted(clock.closes, known, side="right").astype(np.int64)),
    )
    joined = keyed.join(
        aligned, on=["date_sig", "date_avail", "avail_hour"], how="left", nulls_equal=True, maintain_order="left"
    )
    return joined["opened"].to_numpy(), joined["closed"].to_numpy()
