"""What a page reads out of a daily series: months, and the deepest falls with their table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import polars as pl

from quant_platform.reports.charts.tables import Cell, Column, Row, Table, number_cell, text_cell


@dataclass(frozen=True)
class Fall:
    """A drawdown from its peak to the session that is above the peak again.

    Attributes
    ----------
    peak
        Last session at the high; None where the start of the series is the high.
    trough
        Session of the deepest value.
    recovered
        First session at or above the high again; None while it is below.
    depth
        Loss from the peak at the trough, negative.
    sessions
        Sessions below the peak.
    """

    peak: date | None
    trough: date
    recovered: date | None
    depth: float
    sessions: int


def monthly(daily: pl.DataFrame) -> pl.DataFrame:
    """Compounded net return of every calendar month.

    Parameters
    ----------
    daily
        ``session`` and ``net`` of one variant.

    Returns
    -------
    polars.DataFrame
        ``month`` (its first day) and ``ret``, in order. The first and last month may be partial.
    """
    return (
        daily.sort("session")
        .group_by(pl.col("session").dt.truncate("1mo").alias("month"), maintain_order=True)
        .agg(((1.0 + pl.col("net")).product() - 1.0).alias("ret"))
    )


def falls(daily: pl.DataFrame, count: int) -> list[Fall]:
    """The deepest drawdowns that do not overlap, deepest first.

    Parameters
    ----------
    daily
        ``session`` and ``drawdown`` (at most 0, the start is the first peak) of one variant.
    count
        How many at most.
    """
    found: list[Fall] = []
    below: list[tuple[date, float]] = []
    peak: date | None = None
    for session, drawdown in daily.sort("session").select("session", "drawdown").iter_rows():
        if drawdown < 0.0:
            below.append((session, drawdown))
            continue
        if below:
            found.append(_fall(peak, below, session))
            below = []
        peak = session
    if below:
        found.append(_fall(peak, below, None))
    return sorted(found, key=lambda fall: fall.depth)[:count]


def _fall(peak: date | None, below: list[tuple[date, float]], recovered: date | None) -> Fall:
    trough, depth = min(below, key=lambda pair: pair[1])
    return Fall(peak, trough, recovered, depth, len(below))


def drawdown_table(daily: pl.DataFrame, count: int, unit: str = "session") -> Table:
    """The deepest drawdowns as the table of a page.

    Parameters
    ----------
    daily
        As :func:`falls` takes it.
    count
        How many at most.
    unit
        What a row of ``daily`` is called: "session", or "day" where markets do not close.
    """
    return Table(
        caption="Deepest drawdowns",
        columns=(
            Column("Peak", f"last {unit} at the high", numeric=False),
            Column("Trough", numeric=False),
            Column("Recovered", f"first {unit} at the high again", numeric=False),
            Column("Depth", "from the peak"),
            Column(f"{unit.capitalize()}s", "below the peak"),
        ),
        rows=tuple(
            Row(
                (
                    Cell(str(fall.peak) if fall.peak else "start"),
                    Cell(str(fall.trough)),
                    text_cell(fall.recovered, missing="still below the peak at the end"),
                    number_cell(fall.depth, 1, percent=True),
                    number_cell(fall.sessions, 0),
                )
            )
            for fall in falls(daily, count)
        ),
        empty="it never fell below its start or a high",
    )
