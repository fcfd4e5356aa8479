"""Figures of estimates with their intervals: dots with whiskers, decay by horizon, dots per row, bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from quant_platform.reports.charts import theme
from quant_platform.reports.charts.builders import parts
from quant_platform.reports.charts.builders.parts import Field
from quant_platform.reports.charts.figures import Figure, Row, Rows, Words

DOT, STAR_SIZE = 42, 260
ROW = 20


@parts.unchecked
def points(
    rows: Rows,
    words: Words,
    *,
    x: Field,
    y: Field,
    low: Field | None = None,
    high: Field | None = None,
    series: Field | None = None,
    starred: Field | None = None,
    hollow: Field | None = None,
    label: Field | None = None,
    joined: bool = False,
    diagonal: bool = False,
    at: float | None = None,
    tips: Sequence[Field] = (),
    colour: str = theme.LIGHT.first,
    colours: Sequence[str] = (),
    width: int = parts.WIDTH,
    height: int = parts.HEIGHT,
) -> Figure:
    """Dots with whiskers, for example expectancy by year or by threshold.

    Parameters
    ----------
    rows
        A row per dot.
    words
        Title, description, note, query.
    x, y
        The columns; a row without one of them is not drawn.
    low, high
        Ends of the whisker; a row without one of them has none. What lies beyond the axis is cut at its edge.
    series
        Column that names groups: a colour, an entry of the legend, and, where x is a category, a place beside the
        others for each.
    starred, hollow
        Flag columns: dots drawn as a star, and dots drawn as an empty ring (not to be relied on).
    label
        Text beside each dot; left out where it would lie on another one, a starred dot's last.
    joined
        A thin line through the dots, in the order of x.
    diagonal
        A dashed line where x equals y.
    at
        Value of y where a dotted line marks nothing gained.
    tips
        Further columns that hovering shows.
    colour, colours
        Of the dots; of the series in their order.
    width, height
        In pixels.
    """
    held = parts.rows_of(rows, x, y, low, high, series, starred, hollow, label, *tips)
    drawn: list[Row] = list(held)
    if label is not None:
        kept = _uncrowded(held, x, y, starred)
        drawn = [row | {"shown_label": row[label.name] if place in kept else ""} for place, row in enumerate(held)]
    switch = parts.toggle(series) if series is not None else None
    base = alt.Chart().encode(x=parts.x_axis(x))
    if series is not None and x.kind == "category":
        base = base.encode(
            xOffset=alt.XOffset(field=series.name, type="nominal", scale=alt.Scale(domain=parts.order_of(series, held)))
        )
    painted: Any = parts.colours(series, held, colours, width=width) if series is not None else alt.ColorValue(colour)
    faint = parts.shown(switch)
    said = parts.tips(x, series, y, low, high, *tips)
    layers = [parts.line_at(at, "y")] if at is not None else []
    if diagonal:
        layers.append(_diagonal(x, held, y))
    if joined:
        layers.append(base.mark_line(clip=True, strokeWidth=1, opacity=0.45).encode(y=parts.y_axis(y), color=painted))
    if low is not None and high is not None:
        layers.append(
            base.mark_rule(clip=True, strokeWidth=1.4, tooltip=True)
            .encode(y=parts.y_axis(low, y.label), y2=alt.Y2(field=high.name), color=painted, opacity=faint)
            .encode(tooltip=said)
            .properties(name="whiskers")
        )
    dots = base.encode(y=parts.y_axis(y), color=painted, opacity=faint, tooltip=said)
    layers += _dots(dots, starred, hollow)
    if switch is not None:
        layers[-1] = layers[-1].add_params(switch)
    if label is not None:
        layers.append(
            base.mark_text(dy=-9, fontSize=10, clip=True).encode(
                y=parts.y_axis(y), text=alt.Text(field="shown_label", type="nominal")
            )
        )
    return parts.finished(
        words, layers, held, drawable=parts.holds(held, x, y), drawn=drawn, dates=[x], width=width, height=height
    )


@parts.unchecked
def decay(
    rows: Rows,
    words: Words,
    *,
    horizon: Field,
    y: Field,
    low: Field,
    high: Field,
    hollow: Field | None = None,
    tips: Sequence[Field] = (),
    width: int = parts.WIDTH,
    height: int = parts.HEIGHT,
) -> Figure:
    """An estimate with its whisker at each horizon, horizons on a log axis: how an edge decays.

    Parameters
    ----------
    rows
        A row per horizon.
    words
        Title, description, note, query.
    horizon
        Column of horizons; each of them is a tick.
    y, low, high
        The estimate and the ends of its whisker.
    hollow
        Flag column: drawn as an empty ring, not to be relied on.
    tips
        Further columns that hovering shows.
    width, height
        In pixels.
    """
    held = parts.rows_of(rows, horizon, y, low, high, hollow, *tips)
    held.sort(key=lambda row: row[horizon.name] or 0.0)
    ticks = tuple(row[horizon.name] for row in held if row[horizon.name] is not None)
    across = Field(horizon.name, horizon.label, horizon.kind, log=True, ticks=ticks)
    return points(
        held, words, x=across, y=y, low=low, high=high, hollow=hollow, joined=True, at=0.0, tips=tips,
        width=width, height=height,
    )  # fmt: skip


@parts.unchecked
def dots_by_row(
    rows: Rows,
    words: Words,
    *,
    row: Field,
    value: Field,
    low: Field,
    high: Field,
    series: Field | None = None,
    starred: Field | None = None,
    span: tuple[Field, Field] | None = None,
    at: float | None = None,
    tips: Sequence[Field] = (),
    width: int = 560,
) -> Figure:
    """A dot with its interval in each row, for example the effect of every event, or a rate beside its bounds.

    Parameters
    ----------
    rows
        A row per dot; with ``series`` several for one line of the figure.
    words
        Title, description, note, query.
    row
        Column of names, one line of the figure each, in the order of the rows.
    value, low, high
        The estimate and the ends of its interval; what lies beyond the axis is cut at its edge.
    series
        Column that names kinds of estimates of one row, drawn one below the other.
    starred
        Flag column: drawn as a star.
    span
        Columns of a pale span behind the dot, for example bounds.
    at
        Value where a dotted line stands.
    tips
        Further columns that hovering shows.
    width
        In pixels; the height follows from the number of lines.
    """
    ends = span or ()
    held = parts.rows_of(rows, row, value, low, high, series, starred, *ends, *tips)
    base = alt.Chart().encode(y=parts.rows_axis(row, held))
    switch = parts.toggle(series) if series is not None else None
    painted: Any = parts.colours(series, held, width=width) if series is not None else alt.ColorValue(theme.LIGHT.first)
    faint = parts.shown(switch)
    said = parts.tips(row, series, value, low, high, *ends, *tips)
    layers = [parts.line_at(at, "x")] if at is not None else []
    if span is not None:
        layers.append(
            base.mark_rule(clip=True, strokeWidth=9, color=theme.LIGHT.grid)
            .encode(x=parts.x_axis(span[0], value.label), x2=alt.X2(field=span[1].name), tooltip=said)
            .properties(name="span")
        )
    if series is not None:
        base = base.encode(
            yOffset=alt.YOffset(field=series.name, type="nominal", scale=alt.Scale(domain=parts.order_of(series, held)))
        )
    layers.append(
        base.mark_rule(clip=True, strokeWidth=1.4)
        .encode(x=parts.x_axis(low, value.label), x2=alt.X2(field=high.name), color=painted, opacity=faint)
        .encode(tooltip=said)
        .properties(name="whiskers")
    )
    layers += _dots(base.encode(x=parts.x_axis(value), color=painted, opacity=faint, tooltip=said), starred, None)
    if switch is not None:
        layers[-1] = layers[-1].add_params(switch)
    lines = len(parts.order_of(row, held))
    return parts.finished(
        words, layers, held, drawable=parts.holds(held, value), width=width, height=ROW * max(2, lines)
    )


@parts.unchecked
def bars(
    rows: Rows,
    words: Words,
    *,
    row: Field,
    value: Field,
    low: Field | None = None,
    high: Field | None = None,
    written: Field | None = None,
    tips: Sequence[Field] = (),
    colour: str = theme.LIGHT.first,
    width: int = 560,
) -> Figure:
    """Bars from zero, one to a row, with an interval where there is one and the number behind the end.

    Parameters
    ----------
    rows
        A row per bar.
    words
        Title, description, note, query.
    row
        Column of names, from top to bottom in the order of the rows.
    value
        Length of the bar.
    low, high
        Ends of an interval over the end of the bar.
    written
        Text column that stands behind the end of the bar.
    tips
        Further columns that hovering shows.
    colour
        Of the bars.
    width
        In pixels; the height follows from the number of bars.
    """
    held = parts.rows_of(rows, row, value, low, high, written, *tips)
    base = alt.Chart().encode(y=parts.rows_axis(row, held))
    said = parts.tips(row, value, low, high, *tips)
    along = alt.X(field=value.name, type="quantitative", axis=parts.axis(value), scale=alt.Scale(zero=True))
    layers = [
        base.mark_bar(color=colour, opacity=0.75, clip=True).encode(x=along, tooltip=said).properties(name="bars")
    ]
    if low is not None and high is not None:
        layers.append(
            base.mark_rule(clip=True, strokeWidth=1.4, color=theme.LIGHT.ink)
            .encode(x=parts.x_axis(low, value.label), x2=alt.X2(field=high.name), tooltip=said)
            .properties(name="whiskers")
        )
    if written is not None:
        layers.append(
            base.mark_text(align="left", dx=6).encode(x=along, text=alt.Text(field=written.name, type="nominal"))
        )
    height = 26 * max(1, len(parts.order_of(row, held)))
    return parts.finished(words, layers, held, drawable=parts.holds(held, value), width=width, height=height)


def _dots(base: alt.Chart, starred: Field | None, hollow: Field | None) -> list[alt.Chart]:
    """Dots, rings and stars as layers of one base."""
    layers = []
    if starred is not None:
        layers.append(
            base.transform_filter(f"datum.{starred.name}")
            .mark_point(shape=parts.STAR, size=STAR_SIZE, filled=True, opacity=1.0, clip=True)
            .encode(color=alt.ColorValue(theme.LIGHT.star))
            .properties(name="stars")
        )
    plain = base if starred is None else base.transform_filter(f"!datum.{starred.name}")
    if hollow is None:
        dots = plain.mark_circle(size=DOT, opacity=1.0, clip=True)
    else:
        dots = plain.mark_point(size=DOT, strokeWidth=1.4, opacity=1.0, clip=True, filled=False).encode(
            fill=parts.either(alt.FillValue, f"datum.{hollow.name}", theme.LIGHT.card, theme.LIGHT.first)
        )
    # The dots come last: what a legend switches belongs to the layer that is always there.
    return [*layers, dots.properties(name="dots")]


def _diagonal(x: Field, rows: Sequence[Row], y: Field) -> alt.Chart:
    ends = x.limits or _range(rows, x, y)
    line: alt.Chart = (
        alt.Chart(parts.inline([{"at": end} for end in ends]))
        .mark_line(color=theme.LIGHT.faint, strokeDash=[5, 4], strokeWidth=1.2)
        .encode(x=alt.X(field="at", type="quantitative"), y=alt.Y(field="at", type="quantitative"))
    )
    return line


def _range(rows: Sequence[Row], *fields: Field) -> tuple[float, float]:
    values = [row[field.name] for row in rows for field in fields if row[field.name] is not None]
    return (min(values), max(values)) if values else (0.0, 1.0)


def _uncrowded(rows: Sequence[Row], x: Field, y: Field, starred: Field | None) -> set[int]:
    """Places of rows whose label has room: no label nearer than a tenth of the width and of the height."""

    def along(value: float, field: Field) -> float:
        return math.log(value) if field.log else value

    drawable = [place for place, row in enumerate(rows) if parts.holds([row], x, y)]
    if not drawable:
        return set()
    spots = {place: (along(rows[place][x.name], x), along(rows[place][y.name], y)) for place in drawable}
    sizes = [
        (max(spot[axis] for spot in spots.values()) - min(spot[axis] for spot in spots.values())) or 1.0
        for axis in (0, 1)
    ]
    first = sorted(drawable, key=lambda place: not (starred is not None and rows[place][starred.name]))
    kept: set[int] = set()
    for place in first:
        near = any(
            all(abs(spots[place][axis] - spots[other][axis]) / sizes[axis] < 0.1 for axis in (0, 1)) for other in kept
        )
        if not near:
            kept.add(place)
    return kept
