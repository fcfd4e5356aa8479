"""Joining slower data to bars: backward on the time it became known, with a maximum age. Nothing else exists here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.market.calendar import session_closes


def join_as_of(
    left: pl.DataFrame,
    right: pl.DataFrame,
    *,
    at: str,
    known_at: str = "known_at",
    by: Sequence[str] = ("ticker",),
    max_age: timedelta,
) -> pl.DataFrame:
    """Attach to each row the newest row of ``right`` that was known at its time.

    Parameters
    ----------
    left
        Rows with the UTC time ``at`` from which they look back; every row is kept, in its order.
    right
        Rows with the UTC time ``known_at``, unique with ``by``.
    by
        Columns that must be equal.
    max_age
        A value known for longer is not attached.

    Returns
    -------
    pl.DataFrame
        ``left`` with the other columns of ``right``, and ``known_at`` of what was attached; null where nothing was.

    Raises
    ------
    SchemaViolation
        When a column is missing or not a UTC time, the age is not positive, or ``right`` holds two rows for one key
        and time.

    Notes
    -----
    **Timing.** A row known at exactly ``at`` counts: at the close, one knows what was published before or at it.

    **Missing values.** A newer null hides an older value: what was withdrawn is not known any more.
    """
    keys = list(by)
    if max_age <= timedelta(0):
        raise SchemaViolation(f"the maximum age was {max_age}, not positive", where="join_as_of")
    _require(left, [*keys, at], at, "left")
    _require(right, [*keys, known_at], known_at, "right")
    repeated = right.filter(pl.struct(*keys, known_at).is_duplicated())
    if repeated.height:
        raise SchemaViolation(
            "two rows of one key became known at the same time",
            where=f"right side, columns {', '.join([*keys, known_at])}",
            how_many=f"{repeated.height} of {right.height} rows",
            rows=repeated.select(*keys, known_at),
        )
    overlap = [name for name in right.columns if name in left.columns and name not in keys]
    if overlap:
        raise SchemaViolation(f"both sides have the columns {', '.join(overlap)}", where="join_as_of")
    return (
        left.with_row_index("__order")
        .sort(at)
        .join_asof(
            right.sort(known_at),
            left_on=at,
            right_on=known_at,
            by=keys,
            strategy="backward",
            tolerance=max_age,
            coalesce=False,
            check_sortedness=False,
        )
        .sort("__order")
        .drop("__order")
    )


def fundamentals_as_of(
    fundamentals: pl.DataFrame, bars: pl.DataFrame, *, exchange: str, metrics: Sequence[str], max_age: timedelta
) -> pl.DataFrame:
    """Fundamental values as they were known at the close of each bar.

    Returns
    -------
    pl.DataFrame
        ``ticker, session`` and one Float64 column per metric, null where none was known or it was too old.
    """
    days = bars["session"].unique().sort()
    closes = pl.DataFrame(
        {"session": days, "at": session_closes(exchange, days.to_numpy().astype("datetime64[D]"))}
    ).with_columns(pl.col("at").dt.replace_time_zone("UTC"))
    result = bars.select("ticker", "session").join(closes, on="session", how="left")
    for metric in metrics:
        one = fundamentals.filter(pl.col("metric") == metric).select(
            "ticker", "known_at", pl.col("value").alias(metric)
        )
        result = join_as_of(result, one, at="at", max_age=max_age).drop("known_at")
    return result.drop("at")


def _require(frame: pl.DataFrame, columns: Sequence[str], stamp: str, side: str) -> None:
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise SchemaViolation(f"the {side} side lacks the columns {', '.join(missing)}", where="join_as_of")
    if frame[stamp].dtype != pl.Datetime("us", "UTC"):
        raise SchemaViolation(
            f"the column {stamp!r} is {frame[stamp].dtype}, not a UTC time in microseconds",
            where=f"join_as_of, {side} side",
            cause="a date has no time of day: a value published in the evening is not known at the close",
        )
