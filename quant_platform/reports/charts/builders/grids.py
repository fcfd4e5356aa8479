"""Figures of squares: two categories and a number, by hour too."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import altair as alt

from quant_platform.reports.charts import theme
from quant_platform.reports.charts.builders import parts
from quant_platform.reports.charts.builders.parts import Field
from quant_platform.reports.charts.figures import Figure, Rows, Words

SHADE = 0.55
"""Opacity of the strongest square: the text on it stays readable, in light and in dark."""
ROW = 28
HOURS = tuple(f"{hour:02d}" for hour in range(24))


@parts.unchecked
def heat(
    rows: Rows,
    words: Words,
    *,
    x: Field,
    y: Field,
    value: Field,
    limit: float | None = None,
    shade: Callable[[float], float] | None = None,
    written: Callable[[float], str] | None = None,
    tips: Sequence[Field] = (),
    width: int = 560,
) -> Figure:
    """A square for each pair of categories, as strong as its number; below zero it has the second colour.

    Parameters
    ----------
    rows
        A row per square; a square without a row stays empty, one without a number is dashed.
    words
        Title, description, note, query.
    x, y
        Columns of categories.
    value
        The number.
    limit
        Size of the number at which the colour is full; None takes the largest of the figure.
    shade
        From the number to a strength between 0 and 1, where size is not what counts (a p-value); None scales by size.
    written
        Text in the square; None writes nothing.
    tips
        Further columns that hovering shows.
    width
        In pixels; the height follows from the number of rows.
    """
    held = parts.rows_of(rows, x, y, value, *tips)
    sizes = [abs(row[value.name]) for row in held if row[value.name] is not None]
    full = limit or max(sizes, default=1.0) or 1.0
    strength = shade or (lambda number: abs(number) / full)
    drawn = [
        row
        | {
            "strength": None if number is None else round(SHADE * min(max(strength(number), 0.0), 1.0), 4),
            "below": number is not None and number < 0.0,
            "written": "" if number is None or written is None else written(number),
        }
        for row in held
        for number in (row[value.name],)
    ]
    base = alt.Chart().encode(
        x=parts.columns_axis(x, held, width=width),
        y=parts.rows_axis(y, held, grid=False, width=width),
    )
    said = parts.tips(y, x, value, *tips)
    layers = [
        base.transform_filter("datum.strength !== null")
        .mark_rect(stroke=theme.LIGHT.card, strokeWidth=2, tooltip=True)
        .encode(
            fill=parts.either(alt.FillValue, "datum.below", theme.LIGHT.second, theme.LIGHT.first),
            fillOpacity=alt.FillOpacity(field="strength", type="quantitative", scale=None, legend=None),
            tooltip=said,
        )
        .properties(name="squares"),
        base.transform_filter("datum.strength === null")
        .mark_rect(fillOpacity=0.0, stroke=theme.LIGHT.hair, strokeDash=[2, 3])
        .encode(tooltip=said),
    ]
    if written is not None:
        layers.append(
            base.mark_text(fontSize=theme.SIZE).encode(text=alt.Text(field="written", type="nominal"), tooltip=said)
        )
    return parts.finished(
        words,
        layers,
        held,
        drawable=bool(held),
        drawn=drawn,
        width=width,
        height=ROW * max(1, len(parts.order_of(y, held))),
    )


@parts.unchecked
def by_hour(
    rows: Rows, words: Words, *, hour: Field, row: Field, value: Field, limit: float | None = None, width: int = 560
) -> Figure:
    """A square per hour of the day, for example spread or volatility by weekday or by symbol.

    Parameters
    ----------
    rows
        A row per square.
    words
        Title, description, note, query; say the time zone of the hours.
    hour
        Column of hours, 0 to 23.
    row
        Column of categories, one line of squares each.
    value
        The number.
    limit
        Size of the number at which the colour is full; None takes the largest of the figure.
    width
        In pixels.
    """
    held = parts.rows_of(rows, hour, row, value)
    placed = [line | {hour.name: HOURS[int(line[hour.name])]} for line in held if line[hour.name] is not None]
    return heat(
        placed,
        words,
        x=Field(hour.name, hour.label, "category", order=HOURS),
        y=row,
        value=value,
        limit=limit,
        width=width,
    )
