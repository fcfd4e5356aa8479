"""The one builder of figures: a `Figure` becomes inline SVG without script, font file or network.

1. Collect the finite values of all marks per axis (`_values`) and fit a domain (`scales.domain`).
2. Lay out the frame: a margin on the left as wide as the longest tick label, a legend row where marks have names.
3. Draw grid and ticks (`_axes`), the watermark, then each mark in order (`_line`, `_points`, `_rule`, `_bars`,
   `_heat`).
4. Place point labels last (`labels.place`), each where nothing lies yet, or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from quant_platform.reports.charts import formatting, scales
from quant_platform.reports.charts.figures import Axis, Bars, Figure, Heat, Line, Mark, Points, Rule, Values
from quant_platform.reports.charts.labels import Box, place, text_width
from quant_platform.reports.charts.markup import Html, element, join
from quant_platform.reports.charts.scales import Scale, Tick

TICK_SIZE = 11
TOP, RIGHT, BOTTOM = 10, 14, 40
LEGEND_HEIGHT = 20
RADIUS = 3.2
CAP = 3.0
BAR_HALF = 0.34
SHADE = 0.55
"""Opacity of the strongest square: the text on it stays readable, in light and in dark."""


@dataclass(frozen=True)
class _Frame:
    x: Scale
    y: Scale

    @property
    def left(self) -> float:
        return self.x.start

    @property
    def right(self) -> float:
        return self.x.end

    @property
    def top(self) -> float:
        return self.y.end

    @property
    def bottom(self) -> float:
        return self.y.start

    def pixel(self, x: float | None, y: float | None) -> tuple[float, float] | None:
        """Where a point stands, or None for a gap or a point outside the axes."""
        if not _drawable(x, self.x) or not _drawable(y, self.y) or x is None or y is None:
            return None
        return self.x(x), self.y(y)


def draw(figure: Figure) -> Html:
    """Draw a figure.

    Parameters
    ----------
    figure
        The spec. Without a single finite point the drawing says so instead of showing empty axes.

    Returns
    -------
    Html
        One ``<svg>`` with ``viewBox``, role ``img`` and the description as its label. Colours come from the classes
        of ``page.css``.
    """
    drawn = [mark for mark in figure.marks if not isinstance(mark, Rule)]
    body = _plot(figure) if any(_finite_pairs(mark) for mark in drawn) else _nothing(figure)
    return element(
        "svg",
        body,
        viewBox=f"0 0 {figure.width} {figure.height}",
        role="img",
        aria_label=f"{figure.title}. {figure.description}",
        class_="figure",
    )


def _nothing(figure: Figure) -> Html:
    middle, half = figure.width / 2, figure.height / 2
    return join(
        _watermark(figure.watermark, middle, half),
        element("text", "n/a: no data to draw", x=_px(middle), y=_px(half), class_="tick", text_anchor="middle"),
    )


def _plot(figure: Figure) -> Html:
    names = [mark for mark in figure.marks if isinstance(mark, Line | Points) and mark.name]
    top = TOP + (LEGEND_HEIGHT if names else 0)
    y_low, y_high = figure.y.limits or scales.domain(_values(figure.marks, "y"), figure.y.kind)
    x_low, x_high = figure.x.limits or scales.domain(_values(figure.marks, "x"), figure.x.kind, margin=0.04)
    y = Scale(y_low, y_high, figure.height - BOTTOM, top, figure.y.kind)
    y_ticks = _ticks(figure.y, y, most=6)
    left = (26 if figure.y.label else 12) + max((text_width(tick.label, TICK_SIZE) for tick in y_ticks), default=0.0)
    x = Scale(x_low, x_high, left, figure.width - RIGHT, figure.x.kind)
    frame = _Frame(x, y)
    boxes: list[Box] = []
    marks = [_mark(mark, frame, boxes) for mark in figure.marks]
    labels = [place(mark, frame.pixel, boxes, _area(frame)) for mark in figure.marks if isinstance(mark, Points)]
    return join(
        _legend(names, left),
        _axes(figure, frame, y_ticks),
        _watermark(figure.watermark, (frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2),
        *marks,
        *labels,
    )


def _area(frame: _Frame) -> Box:
    return Box(frame.left, frame.top, frame.right, frame.bottom)


def _mark(mark: Mark, frame: _Frame, boxes: list[Box]) -> Html:
    if isinstance(mark, Line):
        return _line(mark, frame)
    if isinstance(mark, Points):
        return _points(mark, frame, boxes)
    if isinstance(mark, Bars):
        return _bars(mark, frame)
    return _heat(mark, frame) if isinstance(mark, Heat) else _rule(mark, frame)


def _line(mark: Line, frame: _Frame) -> Html:
    classes = f"line {mark.role}" + (" dashed" if mark.dashed else "")
    return element("path", d=_path(mark.x, mark.y, frame), class_=classes)


def _path(x: Values, y: Values, frame: _Frame) -> str:
    """Moves and lines; a gap lifts the pen."""
    commands, down = [], False
    for pair in zip(x, y, strict=True):
        pixel = frame.pixel(*pair)
        if pixel is not None:
            commands.append(f"{'L' if down else 'M'}{_px(pixel[0])} {_px(pixel[1])}")
        down = pixel is not None
    return "".join(commands)


def _points(mark: Points, frame: _Frame, boxes: list[Box]) -> Html:
    drawn: list[Html] = []
    if mark.joined:
        drawn.append(element("path", d=_path(mark.x, mark.y, frame), class_=f"join {mark.role}"))
    for index, pair in enumerate(zip(mark.x, mark.y, strict=True)):
        pixel = frame.pixel(*pair)
        if pixel is None:
            continue
        low, high = _at(mark.low, index), _at(mark.high, index)
        whisker = None if low is None or high is None else _whisker(pixel, low, high, frame, sideways=mark.sideways)
        hollow = bool(mark.hollow) and mark.hollow[index]
        starred = bool(mark.starred) and mark.starred[index]
        tip = mark.tips[index] if mark.tips else None
        drawn.append(
            element(
                "g",
                element("title", tip) if tip else None,
                whisker,
                _star(*pixel) if starred else _dot(*pixel),
                class_=f"point {mark.role}" + (" hollow" if hollow else "") + (" starred" if starred else ""),
            )
        )
        boxes.append(Box(pixel[0] - 5, pixel[1] - 5, pixel[0] + 5, pixel[1] + 5))
    return join(*drawn)


def _whisker(pixel: tuple[float, float], low: float, high: float, frame: _Frame, *, sideways: bool) -> Html:
    """From low to high; an end beyond the axis stops at the edge and has no cap."""
    scale = frame.x if sideways else frame.y
    at = pixel[1] if sideways else pixel[0]
    ends = [(scale(min(max(value, scale.low), scale.high)), scale.holds(value)) for value in (low, high)]
    along, across = ("H", "V") if sideways else ("V", "H")

    def place(end: float, beside: float) -> str:
        return f"M{_px(end)} {_px(beside)}" if sideways else f"M{_px(beside)} {_px(end)}"

    path = place(ends[0][0], at) + f"{along}{_px(ends[1][0])}"
    for end, whole in ends:
        if whole:
            path += place(end, at - CAP) + f"{across}{_px(at + CAP)}"
    return element("path", d=path, class_="whisker")


def _bars(mark: Bars, frame: _Frame) -> Html:
    drawn: list[Html] = []
    for index, pair in enumerate(zip(mark.x, mark.y, strict=True)):
        pixel = frame.pixel(*pair)
        if pixel is None or pair[1] is None:
            continue
        top, bottom = sorted((frame.y(pair[1] - BAR_HALF), frame.y(pair[1] + BAR_HALF)))
        start = frame.x(min(max(0.0, frame.x.low), frame.x.high))
        left, right = sorted((start, pixel[0]))
        text = mark.texts[index] if mark.texts else ""
        drawn.append(
            element(
                "g",
                element("title", mark.tips[index]) if mark.tips else None,
                element("rect", x=_px(left), y=_px(top), width=_px(right - left), height=_px(bottom - top)),
                element("text", text, x=_px(right + 6), y=_px(pixel[1]), dy="0.35em", class_="tick") if text else None,
                class_=f"bar {mark.role}",
            )
        )
    return join(*drawn)


def _heat(mark: Heat, frame: _Frame) -> Html:
    drawn: list[Html] = []
    for index, (x, y) in enumerate(zip(mark.x, mark.y, strict=True)):
        pixel = frame.pixel(x, y)
        if pixel is None or x is None or y is None:
            continue
        left, right = frame.x(x - 0.5), frame.x(x + 0.5)
        top, bottom = sorted((frame.y(y - 0.5), frame.y(y + 0.5)))
        shade = formatting.finite(mark.shade[index])
        opacity = None if shade is None else f"{SHADE * min(max(shade, 0.0), 1.0):.2f}"
        box = element(
            "rect",
            x=_px(left + 1),
            y=_px(top + 1),
            width=_px(right - left - 2),
            height=_px(bottom - top - 2),
            fill_opacity=opacity,
            class_="empty" if opacity is None else None,
        )
        text = mark.texts[index] if mark.texts else ""
        drawn.append(
            element(
                "g",
                element("title", mark.tips[index]) if mark.tips else None,
                box,
                element("text", text, x=_px(pixel[0]), y=_px(pixel[1]), dy="0.35em", text_anchor="middle")
                if text
                else None,
                class_=f"heat {mark.role}",
            )
        )
    return join(*drawn)


def _dot(x: float, y: float) -> Html:
    return element("circle", cx=_px(x), cy=_px(y), r=RADIUS)


def _star(x: float, y: float) -> Html:
    corners = []
    for corner in range(10):
        radius = 8.0 if corner % 2 == 0 else 3.4
        angle = math.pi * (corner / 5.0 - 0.5)
        corners.append(f"{_px(x + radius * math.cos(angle))},{_px(y + radius * math.sin(angle))}")
    return element("polygon", points=" ".join(corners))


def _rule(mark: Rule, frame: _Frame) -> Html:
    scale = frame.x if mark.axis == "x" else frame.y
    if not _drawable(mark.at, scale):
        return Html("")
    at = _px(scale(mark.at))
    if mark.axis == "x":
        line = element("line", x1=at, x2=at, y1=_px(frame.top), y2=_px(frame.bottom), class_="line rule")
        text = element("text", mark.label, x=at, y=_px(frame.top + 10), dx=4, class_="tick") if mark.label else None
    else:
        line = element("line", x1=_px(frame.left), x2=_px(frame.right), y1=at, y2=at, class_="line rule")
        text = (
            element("text", mark.label, x=_px(frame.right), y=at, dy=-4, class_="tick", text_anchor="end")
            if mark.label
            else None
        )
    return join(line, text)


def _axes(figure: Figure, frame: _Frame, y_ticks: Sequence[Tick]) -> Html:
    parts: list[Html] = []
    for tick in y_ticks:
        at = _px(frame.y(tick.position))
        parts.append(element("line", x1=_px(frame.left), x2=_px(frame.right), y1=at, y2=at, class_="grid"))
        parts.append(
            element("text", tick.label, x=_px(frame.left - 6), y=at, dy="0.35em", class_="tick", text_anchor="end")
        )
    for tick in _ticks(figure.x, frame.x, most=6):
        at, base = _px(frame.x(tick.position)), _px(frame.bottom)
        parts.append(element("line", x1=at, x2=at, y1=base, y2=_px(frame.bottom + 4), class_="axis"))
        parts.append(element("text", tick.label, x=at, y=_px(frame.bottom + 16), class_="tick", text_anchor="middle"))
    base = _px(frame.bottom)
    parts.append(element("line", x1=_px(frame.left), x2=_px(frame.right), y1=base, y2=base, class_="axis"))
    middle = (frame.left + frame.right) / 2
    parts.append(
        element("text", figure.x.label, x=_px(middle), y=_px(frame.bottom + 33), class_="label", text_anchor="middle")
    )
    if figure.y.label:
        height = _px((frame.top + frame.bottom) / 2)
        turned = f"translate(11 {height}) rotate(-90)"
        parts.append(element("text", figure.y.label, transform=turned, class_="label", text_anchor="middle"))
    return join(*parts)


def _legend(marks: Sequence[Line | Points], left: float) -> Html:
    parts, at = [], left
    for mark in marks:
        if isinstance(mark, Line):
            dashes = " dashed" if mark.dashed else ""
            sign = element("line", x1=_px(at), x2=_px(at + 14), y1=10, y2=10, class_=f"line {mark.role}{dashes}")
        else:
            sign = element("g", _dot(at + 7, 10.0), class_=f"point {mark.role}")
        parts += [sign, element("text", mark.name, x=_px(at + 19), y=14, class_="tick")]
        at += 19 + text_width(mark.name, TICK_SIZE) + 16
    return join(*parts)


def _watermark(text: str, x: float, y: float) -> Html | None:
    if not text:
        return None
    return element("text", text, x=_px(x), y=_px(y), dy="0.35em", class_="watermark", text_anchor="middle")


def _ticks(axis: Axis, scale: Scale, most: int) -> list[Tick]:
    if axis.at:
        labels = axis.names or [_plain(at) for at in axis.at]
        return [Tick(at, label) for at, label in zip(axis.at, labels, strict=True) if _drawable(at, scale)]
    if scale.kind == "date":
        return scales.date_ticks(scale.low, scale.high, most)
    if scale.kind == "log":
        return [Tick(at, _plain(at)) for at in scales.log_ticks(scale.low, scale.high, most)]
    if axis.ticks == "percent":
        positions, decimals = scales.linear_ticks(100.0 * scale.low, 100.0 * scale.high, most)
        return [Tick(at / 100.0, formatting.number(at, decimals) + "%") for at in positions]
    positions, decimals = scales.linear_ticks(scale.low, scale.high, most)
    if axis.ticks == "number":
        return [Tick(at, formatting.number(at, decimals)) for at in positions]
    whole = [at for at in positions if at == round(at)]
    return [Tick(at, f"{at:.0f}" if axis.ticks == "year" else formatting.count(at)) for at in whole]


def _plain(value: float) -> str:
    return formatting.count(value) if value >= 1 else f"{value:g}"


def _values(marks: Sequence[Mark], axis: str) -> list[float]:
    found: list[float] = []
    for mark in marks:
        if isinstance(mark, Rule):
            found += [mark.at] if mark.axis == axis else []
            continue
        columns: list[Values] = [getattr(mark, axis)]
        if isinstance(mark, Points) and axis == ("x" if mark.sideways else "y"):
            columns += [mark.low, mark.high]
        if isinstance(mark, Bars) and axis == "x":
            columns.append([0.0])
        found += [value for column in columns for value in map(formatting.finite, column) if value is not None]
    return found


def _finite_pairs(mark: Line | Points | Bars | Heat) -> int:
    pairs = zip(mark.x, mark.y, strict=True)
    return sum(formatting.finite(x) is not None and formatting.finite(y) is not None for x, y in pairs)


def _drawable(value: float | None, scale: Scale) -> bool:
    held = formatting.finite(value)
    return held is not None and (scale.kind != "log" or held > 0) and scale.holds(held)


def _at(values: Values, index: int) -> float | None:
    return formatting.finite(values[index]) if values else None


def _px(value: float) -> str:
    """One decimal of a pixel is as fine as a screen shows; trailing zeros only make the page larger."""
    return f"{value:.1f}".removesuffix(".0")
