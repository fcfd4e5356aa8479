"""A figure: one Altair chart with its words, its data and its query, for whoever shows it.

A page shows it with `pages.figures`, a web app with ``st.altair_chart(figure.chart)``, a notebook by naming
``figure.chart``, and a picture is :func:`png` or :func:`svg`, which need no browser.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

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
    """A chart of layers that are put together already, and that are left so.

    Altair looks through the layers, copies each of them several times and holds their parameters against its schema,
    at first and again for every shallow copy, of which one spec takes two: that was most of the time of a page.

    Parameters
    ----------
    layer
        From back to front, of charts with marks of their own. One with a parameter has a name, no parameter is on two
        of them, and they do not all have the same data.
    options
        As of `altair.LayerChart`.
    """

    def __init__(self, *, layer: Sequence[alt.Chart], **options: Any) -> None:
        if "params" not in options:
            # A parameter stands once, above the layers, and says in which of them it listens.
            lifted = [_lifted(found, one) for one in layer for found in _parameters(one)]
            layer = [_without_parameters(one) if _parameters(one) else one for one in layer]
            options["params"] = lifted or alt.Undefined
        alt.TopLevelLayerSpec.__init__(self, layer=list(layer), **options)


def _parameters(layer: alt.Chart) -> list[alt.SelectionParameter]:
    return [] if layer.params is alt.Undefined else list(layer.params)


def _lifted(parameter: alt.SelectionParameter, layer: alt.Chart) -> alt.TopLevelSelectionParameter:
    return alt.TopLevelSelectionParameter(**parameter.to_dict(validate=False), views=[layer.name])


def _without_parameters(layer: alt.Chart) -> alt.Chart:
    bare: alt.Chart = layer.copy(deep=False)
    bare.params = alt.Undefined
    return bare


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
    chart: alt.LayerChart
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
