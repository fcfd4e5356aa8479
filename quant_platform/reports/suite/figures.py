"""The figures of a suite that more than one page shows: the tear sheet, the web app, MLflow, a notebook."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from quant_platform.reports.charts import builders
from quant_platform.reports.charts.builders import Field
from quant_platform.reports.charts.figures import Figure, Words
from quant_platform.reports.queries import literal

_SESSION = Field("session", "session", "date")


def daily_query(signal: str, snapshot_id: str, variants: Sequence[str], columns: str) -> str:
    """SQL that gives the daily rows of some variants of a suite."""
    wanted = ", ".join(literal(name) for name in variants)
    return (
        f"select {columns}\nfrom suite.daily\nwhere signal = {literal(signal)} and snapshot_id = {literal(snapshot_id)}"
        f"\n  and variant in ({wanted})\norder by variant, session"
    )


def cumulative_return(daily: pl.DataFrame, words: Words, *, by: str | None = None, width: int = 620) -> Figure:
    """Compounded net return since the first trade.

    Parameters
    ----------
    daily
        ``session`` and ``cumret``, and the column ``by``.
    words
        What the figure says of itself.
    by
        Column whose values are a line each, for example ``variant``.
    width
        In pixels.
    """
    return builders.lines(
        daily.select("session", "cumret", *([by] if by else [])),
        words,
        x=_SESSION,
        y=Field("cumret", "net, compounded", "percent"),
        series=Field(by, by, "category") if by else None,
        at=0.0,
        width=width,
    )


def below_the_high(daily: pl.DataFrame, words: Words, *, width: int = 620) -> Figure:
    """Loss from the last high of the compounded value; the start is the first high.

    Parameters
    ----------
    daily
        ``session`` and ``drawdown`` of one variant.
    words
        What the figure says of itself.
    width
        In pixels.
    """
    return builders.underwater(
        daily.select("session", "drawdown"),
        words,
        x=_SESSION,
        y=Field("drawdown", "below the last high", "percent"),
        width=width,
    )
