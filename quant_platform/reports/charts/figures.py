"""What a figure shows, as frozen values: a figure is a plain spec, and `drawing.draw` is its one builder.

Marks are drawn in the order they are listed. Sequences of a mark have one length; a None (or NaN) in x or y is a gap in
a line and a point that is not drawn. Colours are roles, which the page's style sheet maps for light, dark and print.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from quant_platform.contracts.errors import StatisticError
from quant_platform.reports.charts.scales import ScaleKind

Role = Literal["first", "second", "faint", "rule"]
TickFormat = Literal["number", "percent", "count", "year"]
Values = Sequence[float | None]


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes
    ----------
    label
        What is measured and its unit; stands at the axis.
    kind
        linear, log (values above zero only) or date (values are day ordinals).
    ticks
        How tick labels are written; ``percent`` multiplies by 100.
    limits
        Fixed range; None fits the data. Points beyond it are not drawn, whiskers end at the edge without a cap.
    at
        Where ticks stand; empty for round values.
    names
        What stands at the ticks of ``at`` instead of numbers: an axis of categories.
    """

    label: str
    kind: ScaleKind = "linear"
    ticks: TickFormat = "number"
    limits: tuple[float, float] | None = None
    at: tuple[float, ...] = ()
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.names:
            _same_length(self.label or "axis", at=self.at, names=self.names)


@dataclass(frozen=True)
class Line:
    """A line through (x, y), broken at gaps."""

    x: Values
    y: Values
    name: str = ""
    role: Role = "first"
    dashed: bool = False

    def __post_init__(self) -> None:
        _same_length(self.name or "line", x=self.x, y=self.y)


@dataclass(frozen=True)
class Points:
    """Dots with optional whiskers from low to high.

    Attributes
    ----------
    low, high
        Ends of each whisker; empty for none, None where one point has none.
    labels
        Short text beside each point, left out where it would lie on another one.
    tips
        Text shown on hovering and read by screen readers.
    starred, hollow
        Points drawn as a star, and points drawn as an empty ring (not to be relied on).
    joined
        A thin line through the points, in their order.
    sideways
        Whiskers run along x instead of y.
    """

    x: Values
    y: Values
    low: Values = ()
    high: Values = ()
    labels: Sequence[str] = ()
    tips: Sequence[str] = ()
    starred: Sequence[bool] = ()
    hollow: Sequence[bool] = ()
    name: str = ""
    role: Role = "first"
    joined: bool = False
    sideways: bool = False

    def __post_init__(self) -> None:
        _same_length(self.name or "points", x=self.x, y=self.y)
        for field in ("low", "high", "labels", "tips", "starred", "hollow"):
            if getattr(self, field):
                _same_length(self.name or "points", **{"x": self.x, field: getattr(self, field)})


@dataclass(frozen=True)
class Rule:
    """A straight line across the plot at one value of an axis, for example y = 0."""

    axis: Literal["x", "y"]
    at: float
    label: str = ""


@dataclass(frozen=True)
class Bars:
    """Horizontal bars from zero to x at height y, for counts; the text stands behind the end of each bar."""

    x: Values
    y: Values
    texts: Sequence[str] = ()
    tips: Sequence[str] = ()
    role: Role = "first"

    def __post_init__(self) -> None:
        _same_length("bars", x=self.x, y=self.y)
        for field in ("texts", "tips"):
            if getattr(self, field):
                _same_length("bars", **{"x": self.x, field: getattr(self, field)})


@dataclass(frozen=True)
class Heat:
    """A square of side one around each (x, y), as strong as its shade, with a text inside.

    Attributes
    ----------
    shade
        From 0 (paper) to 1 (full colour); None for a square that has no value, which is drawn empty.
    texts
        Short text in each square.
    tips
        Text shown on hovering and read by screen readers.
    """

    x: Values
    y: Values
    shade: Values
    texts: Sequence[str] = ()
    tips: Sequence[str] = ()
    role: Role = "first"

    def __post_init__(self) -> None:
        _same_length("heat", x=self.x, y=self.y, shade=self.shade)
        for field in ("texts", "tips"):
            if getattr(self, field):
                _same_length("heat", **{"x": self.x, field: getattr(self, field)})


Mark = Line | Points | Rule | Bars | Heat


@dataclass(frozen=True)
class Figure:
    """A whole figure.

    Attributes
    ----------
    title
        Stands above the figure.
    description
        What the figure shows, in a sentence, for those who cannot see it.
    note
        Small print under the title, for example ``n = 520, 86 independent``.
    width, height
        In pixels of the drawing; the page scales it.
    watermark
        Written across the plot, for example ``SIMULATED``, so that a screenshot keeps it.
    """

    title: str
    description: str
    x: Axis
    y: Axis
    marks: tuple[Mark, ...]
    note: str = ""
    width: int = 360
    height: int = 240
    watermark: str = ""


def _same_length(name: str, **columns: Sequence[object]) -> None:
    lengths = {column: len(values) for column, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise StatisticError(
            "the sequences of a mark have different lengths",
            where=f"figure mark {name}",
            how_many=", ".join(f"{column} {length}" for column, length in lengths.items()),
        )
