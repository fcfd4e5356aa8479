"""A figure: one Altair chart with its words, its data and its query, for whoever shows it.

A page shows it with `pages.figures`, a web app with ``st.altair_chart(figure.chart)``, a notebook by naming
``figure.chart``, and a picture is :func:`png` or :func:`svg`, which need no browser.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import altair as alt
import polars as pl

from quant_platform.reports.charts import drawing, theme

SIMULATED = "SIMULATED"
Row = Mapping[str, Any]
Rows = pl.DataFrame | Sequence[Row]


@dataclass(frozen=True)
class Words:
    """What is written around a figure.

    Attributes
    ----------
    title
        Stands above it, and names its downloads.
    description
        What it shows, in a sentence or with its numbers, for those who cannot see it.
    note
        Small print under the title, for example ``n = 520, 86 independent``.
    sql
        The query over the house's tables that gives its data.
    simulated
        Writes SIMULATED across it, so that a copy of the figure keeps the word.
    """

    title: str
    description: str
    note: str = ""
    sql: str = ""
    simulated: bool = False


class Layers(alt.LayerChart):
    """A chart of layers that is copied as it is.

    Altair makes a shallow copy by putting the layers together anew, three times for one spec, which takes most of the
    time of a page; what a copy is given in place of its data touches no layer.
    """

    def copy(self, deep: bool | Iterable[Any] = True, ignore: list[str] | None = None) -> Self:
        """A copy; a shallow one shares everything but the names of what it holds."""
        if deep is not False:
            copied: Self = super().copy(deep, ignore)
            return copied
        twin: Self = object.__new__(type(self))
        vars(twin).update(vars(self), _kwds=dict(self._kwds))
        return twin


@dataclass(frozen=True)
class Figure:
    """A finished figure.

    Attributes
    ----------
    words
        Title, description, note, query.
    chart
        The chart, complete with its data and in the light colours of the theme.
    data
        The rows it shows, with the columns they are drawn from.
    width
        Of the still picture, in pixels; a page gives it the width that it has.
    """

    words: Words
    chart: Layers
    data: tuple[Row, ...]
    width: int

    @property
    def name(self) -> str:
        """The title as a file name: ``IC by horizon`` is ``ic-by-horizon``."""
        return re.sub(r"[^a-z0-9]+", "-", self.words.title.lower()).strip("-") or "figure"


def spec_of(figure: Figure) -> dict[str, Any]:
    """The Vega-Lite spec of a figure as plain values.

    The address of the schema is left out: nothing needs it, and a page should name no host. The chart is not held
    against Altair's schema again, which takes most of the time of a page; the tests do that for every builder.
    """
    chart = figure.chart.copy(deep=False)
    # Altair asks every value of every row what it is: the rows, which are plain values, are put in afterwards.
    rows: Any = chart.data
    if rows is not alt.Undefined:
        # Altair leaves this constructor without types.
        chart.data = cast("Any", alt.NamedData)("rows")
    spec: dict[str, Any] = chart.to_dict(validate=False)
    spec.pop("$schema", None)
    if rows is not alt.Undefined:
        form = rows["format"]
        spec["data"] = {"values": rows["values"]} | ({} if form is alt.Undefined else {"format": form.to_dict()})
    return spec


def dark(figure: Figure) -> dict[str, Any]:
    """The spec of a figure in the dark colours, for an application that has a dark theme of its own."""
    spec: dict[str, Any] = theme.recoloured(spec_of(figure), theme.as_dark())
    return spec


def svg(figure: Figure) -> str:
    """The figure as a still SVG."""
    text = drawing.svg(theme.measured(spec_of(figure)))
    return text.replace(f'font-family="{theme.MEASURED}"', f'font-family="{theme.AS_MEASURED}"')


def png(figure: Figure, *, scale: float = 2.0) -> bytes:
    """The figure as a PNG on the colour of the page; ``scale`` is pixels of the picture per pixel of the figure."""
    return drawing.png(spec_of(figure) | {"background": theme.LIGHT.card}, scale=scale)


def csv_text(figure: Figure) -> str:
    """The data of a figure as CSV: a header, a row each, a missing value as nothing."""
    names = list(dict.fromkeys(name for row in figure.data for name in row))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([row.get(name) for name in names] for row in figure.data)
    return buffer.getvalue()
