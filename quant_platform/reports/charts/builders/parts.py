"""What every builder uses: columns and their meaning, rows fit for a chart, axes, tips, and the finished figure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar, cast

import altair as alt
import polars as pl
from altair.utils.schemapi import debug_mode

from quant_platform.contracts.errors import StatisticError
from quant_platform.reports.charts import formatting, theme
from quant_platform.reports.charts.figures import SIMULATED, Figure, Layers, Row, Rows, Words

Kind = Literal["number", "money", "percent", "count", "year", "date", "category", "flag"]
P = ParamSpec("P")
Channel = TypeVar("Channel", alt.OpacityValue, alt.FillValue)
WIDTH, HEIGHT = 360, 240
LETTER, LEGEND_SYMBOL, AXIS_ROOM = 0.58, 28.0, 60
"""Mean width of a letter in font sizes; what a legend puts beside a name, and what the axis takes, in pixels."""
STAR = "M0,-1L.22,-.31L.95,-.31L.36,.12L.59,.81L0,.38L-.59,.81L-.36,.12L-.95,-.31L-.22,-.31Z"
"""A five-pointed star as an SVG path of half-width one."""
NO_DATA = "n/a: no data to draw"
_AXIS_FORMATS = {"number": "~r", "percent": ".1~%", "count": ",d", "year": "d", "date": "%Y-%m-%d"}


@dataclass(frozen=True)
class Field:
    """A column of the table and what it means.

    Attributes
    ----------
    name
        Of the column; a plain identifier.
    label
        What is measured and its unit: stands at the axis and in the tip.
    kind
        ``number``, ``money`` (ticks in thousands, millions and billions), ``percent`` (a share of one), ``count``,
        ``year``, ``date`` (a date or ISO text), ``category`` (text) or ``flag`` (true or false).
    log
        A logarithmic axis; values at or below zero are not drawn.
    limits
        Fixed range of the axis; None fits the data. What lies beyond is cut at the edge.
    ticks
        Where ticks stand; empty for round values.
    order
        Order of the categories from the first (top, left); empty for the order of the rows.
    digits
        Decimals in the tip.
    signed
        Whether the tip writes a plus.
    """

    name: str
    label: str
    kind: Kind = "number"
    log: bool = False
    limits: tuple[float, float] | None = None
    ticks: tuple[float, ...] = ()
    order: tuple[str, ...] = ()
    digits: int = 3
    signed: bool = False

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise StatisticError(
                f"a column was called {self.name!r}", where="figure", action="use plain names of letters, digits and _"
            )

    @property
    def measured(self) -> bool:
        """Whether its values are numbers."""
        return self.kind in ("number", "money", "percent", "count", "year")

    @property
    def type(self) -> Literal["quantitative", "temporal", "nominal"]:
        """Its type in Vega-Lite."""
        if self.measured:
            return "quantitative"
        return "temporal" if self.kind == "date" else "nominal"


def unchecked(builder: Callable[P, Figure]) -> Callable[P, Figure]:
    """Build without holding every part against Altair's schema, which takes longer than all the rest.

    The tests hold the whole chart of every builder against it.
    """

    @wraps(builder)
    def built(*args: P.args, **options: P.kwargs) -> Figure:
        with debug_mode(False):
            return builder(*args, **options)

    return built


def rows_of(rows: Rows, *fields: Field | None) -> list[dict[str, Any]]:
    """Plain rows that hold the columns of a figure and nothing else.

    Numbers that are not finite are None, dates are ISO text, categories are text.

    Raises
    ------
    StatisticError
        When no row has one of the columns, or a number was expected and was something else.
    """
    wanted = list({field.name: field for field in fields if field is not None}.values())
    framed = isinstance(rows, pl.DataFrame)
    present = set(rows.columns) if isinstance(rows, pl.DataFrame) else {name for row in rows for name in row}
    absent = [field.name for field in wanted if field.name not in present]
    if absent and (framed or rows):
        raise StatisticError(
            f"the rows of a figure have no column {', '.join(absent)}",
            where=f"figure, columns {', '.join(sorted(present))}",
            action="name a column of the table, or add it to the rows",
        )
    if isinstance(rows, pl.DataFrame):
        names = [field.name for field in wanted]
        columns = [_plain_column(rows[field.name], field) for field in wanted]
        return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    return [{field.name: _plain(row.get(field.name), field) for field in wanted} for row in rows]


def _plain_column(values: pl.Series, field: Field) -> list[Any]:
    """:func:`_plain` of every value, in one step where the type of the column says what they are."""
    if field.measured and values.dtype.is_numeric() and not values.dtype.is_decimal():
        numbers = values.cast(pl.Float64)
        return numbers.set(~numbers.is_finite(), None).to_list()
    if field.kind == "date" and values.dtype == pl.Date:
        return values.cast(pl.String).to_list()
    return [_plain(value, field) for value in values.to_list()]


def _plain(value: Any, field: Field) -> Any:
    if field.measured:
        return formatting.finite(value)
    if field.kind == "flag":
        return value is True
    if field.kind == "date":
        return formatting.day(value)[:10] or None
    return None if value is None else str(value)


def inline(rows: Sequence[Row], dates: Sequence[Field] = ()) -> Any:
    """Rows as the data of a chart; a date is read in the reader's own time zone, so that no one sees the day before."""
    # Altair leaves these two constructors without types.
    data, form = cast("Any", alt.Data), cast("Any", alt.DataFormat)
    parse = {field.name: "date:'%Y-%m-%d'" for field in dates if field.kind == "date"}
    return data(values=[dict(row) for row in rows], format=form(parse=parse) if parse else alt.Undefined)


def scale(field: Field) -> alt.Scale:
    """How a column is laid along an axis."""
    options: dict[str, Any] = {"zero": False} if field.measured and not field.log else {}
    if field.order:
        # A domain, not a sort: Vega writes the values of a sort into an expression, where not every text may stand.
        options["domain"] = list(field.order)
    if field.log:
        options |= {"type": "log", "nice": False}
    if field.limits is not None:
        options |= {"domain": list(field.limits), "nice": False}
    elif field.measured:
        options["padding"] = 12
    return alt.Scale(**options)


def axis(field: Field, title: str = "", *, grid: bool = False) -> alt.Axis:
    """Title (the column's label where none is given), ticks and their format."""
    options: dict[str, Any] = {"title": title or field.label or None, "grid": grid}
    if field.kind in _AXIS_FORMATS:
        options["format"] = _AXIS_FORMATS[field.kind]
    if field.kind == "count":
        options["tickMinStep"] = 1  # ticks between whole numbers would read 0, 1, 1, 2, 2
    if field.kind == "money":
        options["labelExpr"] = "replace(format(datum.value, '~s'), 'G', 'B')"
    if field.kind == "date":
        options["format"] = alt.Undefined
    if field.ticks:
        options["values"] = list(field.ticks)
    elif field.measured or field.kind == "date":
        options["tickCount"] = 5
    return alt.Axis(**options)


def x_axis(field: Field, title: str = "") -> alt.X:
    """A column along x, under another title where one is given."""
    return alt.X(field=field.name, type=field.type, scale=scale(field), axis=axis(field, title))


def y_axis(field: Field, title: str = "") -> alt.Y:
    """A column along y, under another title where one is given; areas are not piled on one another."""
    return alt.Y(field=field.name, type=field.type, scale=scale(field), axis=axis(field, title, grid=True), stack=None)


def rows_axis(field: Field, rows: Sequence[Row], *, grid: bool = True, width: int = WIDTH) -> alt.Y:
    """Categories from top to bottom in their order, with a line through each; a wide figure leaves names more room."""
    limit = max(theme.LABEL_LIMIT, int(0.4 * width))
    return alt.Y(
        field=field.name,
        type="nominal",
        scale=alt.Scale(domain=order_of(field, rows)),
        axis=alt.Axis(title=field.label or None, grid=grid, labelLimit=limit, maxExtent=limit + 20, labelOverlap=False),
    )


def columns_axis(field: Field, rows: Sequence[Row], *, width: int) -> alt.X:
    """Categories from left to right in their order, their names aslant where they would lie on each other."""
    names = order_of(field, rows)
    each = (width - theme.LABEL_LIMIT) / max(1, len(names))
    aslant = max(map(written_width, names), default=0.0) > each
    axis = alt.Axis(
        title=field.label or None,
        labelAngle=-30 if aslant else 0,
        labelAlign="right" if aslant else "center",
        labelOverlap=False,
    )
    return alt.X(field=field.name, type="nominal", scale=alt.Scale(domain=names), axis=axis)


def written_width(text: str) -> float:
    """About how wide a text is, in pixels."""
    return len(text) * theme.SIZE * LETTER


def order_of(field: Field, rows: Iterable[Row]) -> list[str]:
    """The categories of a column: in the order that is stated, otherwise in that of the rows."""
    return list(field.order) or list(dict.fromkeys(row[field.name] for row in rows if row[field.name] is not None))


def tips(*fields: Field | None) -> list[alt.Tooltip]:
    """What is said on hovering: each column once, in its own format."""
    held = {field.name: field for field in fields if field is not None and field.kind != "flag"}
    found = []
    for field in held.values():
        sign = "+" if field.signed else ""
        written = {
            "number": f"{sign},.{field.digits}f",
            "money": f"{sign},.{field.digits}f",
            "percent": f"{sign}.1%",
            "count": ",d",
            "year": "d",
            "date": "%Y-%m-%d",
        }.get(field.kind, alt.Undefined)
        # Vega reads the title as part of an expression, where a line separator ends the line.
        title = " ".join((field.label or field.name).split())
        found.append(alt.Tooltip(field=field.name, type=field.type, title=title, format=written))
    return found


def colours(field: Field, rows: Sequence[Row], given: Sequence[str] = (), *, width: int = WIDTH) -> alt.Color:
    """A colour per series with its legend; ``given`` names them, otherwise the theme's in their order.

    A legend in one row is cut where the figure ends, without a word: long names get as many columns as fit.
    """
    names = order_of(field, rows)
    palette = [*given, *(colour for colour in theme.SERIES if colour not in given)]
    chosen = [palette[place % len(palette)] for place in range(len(names))]
    return alt.Color(
        field=field.name,
        type="nominal",
        scale=alt.Scale(domain=names, range=chosen),
        legend=_legend(names, width) if len(names) > 1 else None,
    )


def _legend(names: Sequence[str], width: int) -> alt.Legend:
    room = width - AXIS_ROOM
    widest = max(map(written_width, names)) + LEGEND_SYMBOL
    columns = max(1, min(len(names), int(room // widest)))
    return alt.Legend(title=None, columns=columns, labelLimit=int(room / columns - LEGEND_SYMBOL))


def toggle(field: Field) -> alt.Parameter:
    """A legend whose entries switch their series off and on."""
    return alt.selection_point(name="shown", fields=[field.name], bind="legend", toggle="true")


def shown(parameter: alt.Parameter | None, opacity: float = 1.0) -> Any:
    """Opacity of a mark whose series a legend may have switched off."""
    if parameter is None:
        return alt.OpacityValue(opacity)
    return either(alt.OpacityValue, parameter, opacity, 0.06)


def either(channel: type[Channel], condition: str | alt.Parameter, one: Any, other: Any) -> Channel:
    """One value of a channel where a condition holds, and the other elsewhere.

    Altair looks through its schema for the class of a bare condition, which takes longer than the rest of a layer; in
    one it finds, ``empty`` comes last.
    """
    stated: dict[str, Any] = dict(alt.condition(condition, alt.value(one), alt.value(other)))
    last = sorted(stated["condition"].items(), key=lambda item: item[0] == "empty")
    return channel(**stated | {"condition": dict(last)})


def zoom(*channels: Literal["x", "y"]) -> alt.Parameter:
    """Shift and wheel zoom, dragging moves, a double click goes back; the wheel alone scrolls the page."""
    return alt.selection_interval(name="zoom", encodings=list(channels), bind="scales", zoom="wheel![event.shiftKey]")


def line_at(value: float, channel: Literal["x", "y"]) -> alt.Chart:
    """A dotted line across the plot, for example where nothing is gained."""
    line = alt.Chart(inline([{}])).mark_rule(color=theme.LIGHT.soft, strokeDash=[2, 3])
    placed: alt.Chart = line.encode(x=alt.XDatum(value)) if channel == "x" else line.encode(y=alt.YDatum(value))
    return placed


def holds(rows: Iterable[Row], *fields: Field) -> bool:
    """Whether some row can be drawn: it has a value in every one of these columns, above zero where that is needed."""
    return any(
        all(row[field.name] is not None and not (field.log and row[field.name] <= 0) for field in fields)
        for row in rows
    )


def finished(
    words: Words,
    layers: Sequence[alt.Chart],
    rows: Sequence[Row],
    *,
    drawable: bool,
    drawn: Sequence[Row] | None = None,
    dates: Sequence[Field] = (),
    width: int = WIDTH,
    height: int = HEIGHT,
) -> Figure:
    """Put layers together under the theme, the mark of a simulated market behind them.

    Parameters
    ----------
    words
        Title, description, note, query.
    layers
        From back to front; those without data of their own read the rows.
    rows
        The data of the figure.
    drawable
        Whether there is a point to draw; a figure without one says so instead of showing empty axes.
    drawn
        The rows with what only drawing needs; None for the rows themselves.
    dates
        Columns among which those of dates are.
    width, height
        In pixels.
    """
    behind = [_watermark()] if words.simulated else []
    shown_layers = [*layers] if drawable else [_nothing()]
    # Altair gives the data of a lone layer to the whole chart.
    put_together = Layers if drawable else alt.LayerChart
    chart = put_together(
        layer=[*behind, *shown_layers],
        width=width,
        height=height,
        description=f"{words.title}. {words.description}",
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
        config=alt.Config(**theme.config()),
    )
    if drawable:
        # Last, and by name: every other way of putting the data in copies each row several times.
        chart.data = inline(rows if drawn is None else drawn, dates)
    return Figure(words, chart, tuple(rows), width)


def _watermark() -> alt.Chart:
    return _middle(SIMULATED, fontSize=32, fontWeight="bold", color=theme.LIGHT.alarm, opacity=0.15)


def _nothing() -> alt.Chart:
    return _middle(NO_DATA, color=theme.LIGHT.soft)


def _middle(text: str, **mark: Any) -> alt.Chart:
    # Altair leaves these two constructors without types.
    along, down = cast("Any", alt.XValue), cast("Any", alt.YValue)
    words: alt.Chart = (
        alt.Chart(inline([{}]))
        .mark_text(text=text, baseline="middle", align="center", **mark)
        .encode(x=along(alt.expr("width / 2")), y=down(alt.expr("height / 2")))
    )
    return words


def limits_of(values: Iterable[float | None], *, room: float = 0.06, zero: bool = True) -> tuple[float, float] | None:
    """One range for several figures, with a margin on both sides; None without any value.

    Parameters
    ----------
    values
        What must be seen.
    room
        Share of the range that is added on each side.
    zero
        Whether zero must be seen too.
    """
    held = [value for value in values if value is not None and math.isfinite(value)]
    if not held:
        return None
    if zero:
        held.append(0.0)
    low, high = min(held), max(held)
    margin = room * (high - low) or abs(high) * 0.5 or 0.1
    return low - margin, high + margin
