"""Figures of distributions: histogram, quantiles against the normal, scatter."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
from scipy.special import ndtri

from quant_platform.reports.charts import theme
from quant_platform.reports.charts.builders import parts
from quant_platform.reports.charts.builders.intervals import points
from quant_platform.reports.charts.builders.parts import Field
from quant_platform.reports.charts.figures import Figure, Rows, Words

MOST_BINS = 80


@parts.unchecked
def histogram(
    rows: Rows,
    words: Words,
    *,
    value: Field,
    at: float | None = None,
    width: int = parts.WIDTH,
    height: int = parts.HEIGHT,
) -> Figure:
    """How often each size comes, in bins of equal width; the bins are the data of the figure.

    Parameters
    ----------
    rows
        A row per observation.
    words
        Title, description, note, query.
    value
        The column; a missing value is not counted.
    at
        Value where a dotted line stands, for example the mean.
    width, height
        In pixels.

    Notes
    -----
    The width of a bin is that of Freedman and Diaconis (1981), 2 IQR / n^(1/3), and there are at most 80 of them. A bin
    holds its lower end, the last one both.
    """
    values = np.array([row[value.name] for row in parts.rows_of(rows, value) if row[value.name] is not None], float)
    edges = np.histogram_bin_edges(values, bins="fd") if len(values) else np.array([0.0, 1.0])
    if len(edges) - 1 > MOST_BINS:
        edges = np.histogram_bin_edges(values, bins=MOST_BINS)
    counts, _ = np.histogram(values, edges)
    low, high = (
        Field("low", f"{value.label}, from", value.kind, digits=value.digits),
        Field("high", "to", value.kind, digits=value.digits),
    )
    count = Field("count", "observations", "count")
    held = [
        {"low": float(left), "high": float(right), "count": int(number)}
        for left, right, number in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    layers = [
        alt.Chart()
        .mark_bar(color=theme.LIGHT.first, opacity=0.75, binSpacing=1)
        .encode(
            x=alt.X(field="low", type="quantitative", bin="binned", axis=parts.axis(value), scale=parts.scale(value)),
            x2=alt.X2(field="high"),
            y=alt.Y(field="count", type="quantitative", axis=parts.axis(count)),
            tooltip=parts.tips(low, high, count),
        )
        .properties(name="bars")
    ]
    if at is not None:
        layers.append(parts.line_at(at, "x"))
    return parts.finished(words, layers, held, drawable=len(values) > 0, width=width, height=height)


@parts.unchecked
def quantiles(
    rows: Rows, words: Words, *, value: Field, width: int = parts.WIDTH, height: int = parts.HEIGHT
) -> Figure:
    """Quantiles against those of the normal: on the line the two agree, away from it the tails are heavier or lighter.

    Parameters
    ----------
    rows
        A row per observation.
    words
        Title, description, note, query.
    value
        The column; a missing value is left out.
    width, height
        In pixels.

    Notes
    -----
    The i-th of n values stands over the normal quantile of (i - 1/2) / n; the line goes through the normal with the
    mean and the standard deviation (n - 1) of the values.
    """
    found = sorted(row[value.name] for row in parts.rows_of(rows, value) if row[value.name] is not None)
    n = len(found)
    normal = ndtri((np.arange(n) + 0.5) / n) if n else np.empty(0)
    expected = np.mean(found) + np.std(found, ddof=1) * normal if n > 1 else np.array(found)
    held = [
        {"normal": float(place), "expected": float(line), value.name: number}
        for place, line, number in zip(normal, expected, found, strict=True)
    ]
    across = Field("normal", "quantile of the standard normal", digits=2)
    line = Field("expected", "normal with the same mean and sd", value.kind, digits=value.digits)
    base = alt.Chart().encode(x=parts.x_axis(across))
    layers = [
        base.mark_line(color=theme.LIGHT.faint, strokeDash=[5, 4], strokeWidth=1.2).encode(
            y=parts.y_axis(line, value.label)
        ),
        base.mark_circle(color=theme.LIGHT.first, size=18, opacity=0.7)
        .encode(y=parts.y_axis(value), tooltip=parts.tips(across, value, line))
        .properties(name="dots")
        .add_params(parts.zoom("x", "y")),
    ]
    return parts.finished(words, layers, held, drawable=n > 0, width=width, height=height)


@parts.unchecked
def scatter(
    rows: Rows,
    words: Words,
    *,
    x: Field,
    y: Field,
    series: Field | None = None,
    diagonal: bool = False,
    at: float | None = None,
    tips: Sequence[Field] = (),
    width: int = parts.WIDTH,
    height: int = parts.HEIGHT,
) -> Figure:
    """A dot per row, which zooms and moves: two measures of the same things against each other.

    Parameters
    ----------
    rows
        A row per dot.
    words
        Title, description, note, query.
    x, y
        The columns.
    series
        Column that names groups, a colour each.
    diagonal
        A dashed line where x equals y.
    at
        Value of y where a dotted line stands.
    tips
        Further columns that hovering shows, for example the name of the row.
    width, height
        In pixels.
    """
    return points(rows, words, x=x, y=y, series=series, diagonal=diagonal, at=at, tips=tips, width=width, height=height)
