"""Figures over time: lines, areas below a high, months of years."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from typing import Any

import altair as alt

from quant_platform.contracts.errors import StatisticError
from quant_platform.reports.charts import formatting, theme
from quant_platform.reports.charts.builders import parts
from quant_platform.reports.charts.builders.grids import heat
from quant_platform.reports.charts.builders.parts import Field
from quant_platform.reports.charts.figures import Figure, Row, Rows, Words

MONTHS = tuple(calendar.month_abbr[1:])


@parts.unchecked
def lines(
    rows: Rows,
    words: Words,
    *,
    x: Field,
    y: Field,
    series: Field | None = None,
    low: Field | None = None,
    high: Field | None = None,
    at: float | None = None,
    tips: Sequence[Field] = (),
    colour: str = theme.LIGHT.first,
    colours: Sequence[str] = (),
    width: int = parts.WIDTH,
    height: int = parts.HEIGHT,
) -> Figure:
    """Lines through (x, y), for example equity over time; hovering names the nearest point.

    Parameters
    ----------
    rows
        A row per point, in the order of x within a series.
    words
        Title, description, note, query.
    x, y
        The columns; a missing y is a gap in the line.
    series
        Column that names the lines, which get a colour and an entry of the legend each; None for one line.
    low, high
        Ends of a band around the line.
    at
        Where a dotted line marks nothing gained, for example 0 or 1.
    tips
        Further columns that hovering shows.
    colour, colours
        Of the one line; of the series in their order.
    width, height
        In pixels.
    """
    held = parts.rows_of(rows, x, y, series, low, high, *tips)
    base = alt.Chart()
    switch = parts.toggle(series) if series is not None else None
    painted: Any = parts.colours(series, held, colours, width=width) if series is not None else alt.ColorValue(colour)
    layers = [parts.line_at(at, "y")] if at is not None else []
    if low is not None and high is not None:
        layers.append(
            base.mark_area(clip=True, opacity=0.18).encode(
                x=parts.x_axis(x), y=parts.y_axis(low, y.label), y2=alt.Y2(field=high.name), color=painted
            )
        )
    layers.append(
        base.mark_line(clip=True, strokeWidth=1.6, strokeJoin="round")
        .encode(x=parts.x_axis(x), y=parts.y_axis(y), color=painted, opacity=parts.shown(switch))
        .properties(name="line")
    )
    layers.append(_hover(base, x, y, painted, parts.tips(x, series, y, low, high, *tips)))
    layers[-2] = layers[-2].add_params(parts.zoom("x"), *([switch] if switch is not None else []))
    return parts.finished(words, layers, held, drawable=parts.holds(held, x, y), dates=[x], width=width, height=height)


@parts.unchecked
def underwater(
    rows: Rows,
    words: Words,
    *,
    x: Field,
    y: Field,
    tips: Sequence[Field] = (),
    width: int = parts.WIDTH,
    height: int = 140,
) -> Figure:
    """How far below its last high something stands, as an area under zero.

    Parameters
    ----------
    rows
        A row per point, in the order of x.
    words
        Title, description, note, query.
    x, y
        The columns; y is zero at a high and negative below it.
    tips
        Further columns that hovering shows.
    width, height
        In pixels.
    """
    held = parts.rows_of(rows, x, y, *tips)
    base = alt.Chart()
    area = (
        base.mark_area(clip=True, color=theme.LIGHT.second, opacity=0.35, line={"color": theme.LIGHT.second})
        .encode(x=parts.x_axis(x), y=parts.y_axis(y))
        .properties(name="line")
        .add_params(parts.zoom("x"))
    )
    layers = [area, _hover(base, x, y, alt.ColorValue(theme.LIGHT.second), parts.tips(x, y, *tips))]
    return parts.finished(words, layers, held, drawable=parts.holds(held, x, y), dates=[x], width=width, height=height)


@parts.unchecked
def months(
    rows: Rows, words: Words, *, month: Field, value: Field, limit: float | None = None, width: int = 560
) -> Figure:
    """A square per month, years down and months across: gains in one colour, losses in the other.

    Parameters
    ----------
    rows
        A row per month.
    words
        Title, description, note, query.
    month
        A date column; any day of the month.
    value
        What is shown, for example a return.
    limit
        Size at which the colour is full; None takes the largest of the figure.
    width
        In pixels.

    Raises
    ------
    StatisticError
        When a month comes twice.
    """
    held = parts.rows_of(rows, month, value)
    dated = [row for row in held if row[month.name] is not None]
    keys = [row[month.name][:7] for row in dated]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise StatisticError("a month came twice", where=f"figure {words.title}, {', '.join(twice[:5])}")
    placed: list[Row] = [
        {"year": key[:4], "month": MONTHS[int(key[5:]) - 1], value.name: row[value.name]}
        for key, row in zip(keys, dated, strict=True)
    ]
    years = tuple(sorted({str(row["year"]) for row in placed}))
    return heat(
        placed,
        words,
        x=Field("month", "", "category", order=MONTHS),
        y=Field("year", "", "category", order=years),
        value=value,
        limit=limit,
        written=lambda held: formatting.percent(held, signed=True) if value.kind == "percent" else f"{held:+.2g}",
        width=width,
    )


def _hover(base: alt.Chart, x: Field, y: Field, painted: Any, tips: list[alt.Tooltip]) -> alt.Chart:
    """A dot on the point that is nearest to the pointer, with its tip; it is left out of the still picture."""
    near = alt.selection_point(
        name="near", on="pointerover", clear="pointerout", nearest=True, empty=False, fields=[x.name]
    )
    dot: alt.Chart = (
        base.mark_circle(size=44, clip=True)
        .encode(
            x=parts.x_axis(x),
            y=parts.y_axis(y),
            color=painted,
            opacity=parts.either(alt.OpacityValue, near, 1.0, 0.0),
            tooltip=tips,
        )
        .properties(name="hover")
        .add_params(near)
    )
    return dot
