"""Every builder: the rows it draws, what Vega makes of them, and that Altair's schema accepts the chart."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable
from typing import Any

import altair as alt
import polars as pl
import pytest
import vl_convert

from quant_platform.contracts.errors import StatisticError
from quant_platform.reports.charts import builders, figures, theme
from quant_platform.reports.charts.builders import Field, parts
from quant_platform.reports.charts.figures import Figure, Words

WORDS = Words("A figure", "What it shows.", note="n = 3", sql="select 1")
DAY = Field("day", "day", "date")
SIZE = Field("size", "size", limits=(0.0, 10.0))
LOW, HIGH = Field("low", "low"), Field("high", "high")
NAME = Field("name", "name", "category")
DATED: list[dict[str, Any]] = [
    {"day": datetime.date(2024, 1, day), "size": float(day), "name": "a"} for day in (1, 2, 3)
]
SPANS: list[dict[str, Any]] = [
    {"name": name, "at": at, "size": size, "low": size - 1, "high": size + 1, "flag": name == "b"}
    for name, at, size in (("a", 1.0, 2.0), ("b", 10.0, 5.0), ("c", 100.0, 8.0))
]
AT = Field("at", "at", log=True)
FLAG = Field("flag", "flag", "flag")

MAKERS: dict[str, Callable[[Any, Words], Figure]] = {
    "lines": lambda rows, words: builders.lines(rows, words, x=DAY, y=SIZE, series=NAME, at=1.0),
    "underwater": lambda rows, words: builders.underwater(rows, words, x=DAY, y=SIZE),
    "months": lambda rows, words: builders.months(rows, words, month=DAY, value=SIZE),
    "points": lambda rows, words: builders.points(
        rows, words, x=AT, y=SIZE, low=LOW, high=HIGH, starred=FLAG, label=NAME, joined=True, at=0.0
    ),
    "decay": lambda rows, words: builders.decay(rows, words, horizon=AT, y=SIZE, low=LOW, high=HIGH, hollow=FLAG),
    "dots_by_row": lambda rows, words: builders.dots_by_row(
        rows, words, row=NAME, value=SIZE, low=LOW, high=HIGH, series=NAME, starred=FLAG, span=(LOW, HIGH), at=0.0
    ),
    "bars": lambda rows, words: builders.bars(rows, words, row=NAME, value=SIZE, low=LOW, high=HIGH, written=NAME),
    "histogram": lambda rows, words: builders.histogram(rows, words, value=SIZE, at=1.0),
    "quantiles": lambda rows, words: builders.quantiles(rows, words, value=SIZE),
    "scatter": lambda rows, words: builders.scatter(rows, words, x=AT, y=SIZE, series=NAME, diagonal=True),
    "heat": lambda rows, words: builders.heat(rows, words, x=NAME, y=NAME, value=SIZE, written=str),
    "by_hour": lambda rows, words: builders.by_hour(rows, words, hour=Field("at", "hour"), row=NAME, value=SIZE),
}
OVER_TIME = ("lines", "underwater", "months")


def rows_for(kind: str) -> list[dict[str, Any]]:
    if kind == "months":
        return [{"day": f"2024-{month:02d}-01", "size": float(month)} for month in (1, 2, 3)]
    if kind == "by_hour":
        return [{**row, "at": hour} for row, hour in zip(SPANS, (0, 9, 23), strict=True)]
    return DATED if kind in OVER_TIME else SPANS


def marks(figure: Figure, kind: str) -> list[dict[str, Any]]:
    """Items of one kind of mark in Vega's own scene, outermost first, with what it placed where."""
    scene = vl_convert.vegalite_to_scenegraph(figures.spec_of(figure))["scenegraph"]
    found: list[dict[str, Any]] = []

    def visit(node: dict[str, Any]) -> None:
        if node.get("marktype") == kind and node.get("role") == "mark":
            found.extend(node["items"])
        for child in node.get("items", []):
            visit(child)

    visit(scene)
    return found


def test_every_builder_is_tried() -> None:
    assert set(MAKERS) == {name for name in builders.__all__ if name not in ("Field", "limits_of")}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("simulated", [True, False])
def test_a_chart_fits_the_schema_and_keeps_the_mark_of_a_simulated_market(kind: str, simulated: bool) -> None:
    figure = MAKERS[kind](rows_for(kind), Words("A figure", "Shows.", simulated=simulated))
    spec = figure.chart.to_dict(validate=True)
    assert spec["description"] == "A figure. Shows."
    assert ("SIMULATED" in json.dumps(spec)) == simulated
    assert ("SIMULATED" in figures.svg(figure)) == simulated
    assert len(figure.data) == (len(spec["data"]["values"]))


@pytest.mark.parametrize("kind", MAKERS)
def test_without_a_row_a_figure_says_so(kind: str) -> None:
    figure = MAKERS[kind]([], WORDS)
    assert "n/a: no data to draw" in figures.svg(figure)
    assert figure.chart.to_dict(validate=True)["description"] == "A figure. What it shows."


@pytest.mark.parametrize("kind", MAKERS)
def test_a_frame_and_its_rows_make_the_same_chart(kind: str) -> None:
    rows = rows_for(kind)
    assert figures.spec_of(MAKERS[kind](pl.DataFrame(rows), WORDS)) == figures.spec_of(MAKERS[kind](rows, WORDS))


@pytest.mark.parametrize("rows", [rows_for, lambda _: []], ids=["rows", "none"])
@pytest.mark.parametrize("kind", MAKERS)
def test_the_spec_of_a_figure_is_what_altair_makes_of_its_chart(
    kind: str, rows: Callable[[str], list[dict[str, Any]]]
) -> None:
    figure = MAKERS[kind](rows(kind), WORDS)
    made = figure.chart.to_dict(validate=True)
    del made["$schema"]
    assert figures.spec_of(figure) == made
    assert figure.chart.to_dict(validate=True) | {"$schema": ""} == made | {"$schema": ""}


def test_what_is_no_number_or_no_day_is_missing_in_a_frame_as_in_rows() -> None:
    day = datetime.date(2024, 2, 29)
    frame = pl.DataFrame(
        {
            "size": [1.5, math.nan, math.inf, None],
            "count": pl.Series([3, None, -2, 0], dtype=pl.Int32),
            "day": [day, None, day, day],
            "at": [datetime.datetime(2024, 2, 29, 12), None, None, None],
            "none": [None, None, None, None],
        }
    )
    fields = (
        Field("size", "size"), Field("count", "count", "count"), DAY, Field("at", "at", "date"), Field("none", "none"),
    )  # fmt: skip
    stated = [
        {"size": 1.5, "count": 3.0, "day": "2024-02-29", "at": "2024-02-29", "none": None},
        {"size": None, "count": None, "day": None, "at": None, "none": None},
        {"size": None, "count": -2.0, "day": "2024-02-29", "at": None, "none": None},
        {"size": None, "count": 0.0, "day": "2024-02-29", "at": None, "none": None},
    ]
    for rows in (frame, frame.to_dicts()):
        found = parts.rows_of(rows, *fields)
        assert found == stated
        assert [type(row["count"]) for row in found if row["count"] is not None] == [float] * 3
    with pytest.raises(StatisticError, match="a number was expected, was True"):
        parts.rows_of(pl.DataFrame({"size": [True]}), Field("size", "size"))


def test_a_copy_of_a_chart_has_data_of_its_own() -> None:
    chart = MAKERS["lines"](DATED, WORDS).chart
    twin = chart.copy(deep=False)
    twin.data = None
    assert type(twin) is type(chart)
    assert chart.data is not None
    deep = chart.copy()
    assert deep.layer[0] is not chart.layer[0]
    assert deep.to_dict() == chart.to_dict()


@pytest.mark.parametrize("simulated", [True, False])
@pytest.mark.parametrize("kind", MAKERS)
def test_layers_are_put_together_as_altair_puts_them(
    kind: str, simulated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = Words("A figure", "Shows.", simulated=simulated)
    made = json.dumps(figures.spec_of(MAKERS[kind](rows_for(kind), words)))
    monkeypatch.setattr(parts, "Layers", alt.LayerChart)
    assert made == json.dumps(figures.spec_of(MAKERS[kind](rows_for(kind), words)))
    if kind in ("lines", "underwater", "scatter"):
        assert '"views"' in made


@pytest.mark.parametrize("kind", MAKERS)
def test_a_column_that_is_not_there_is_named(kind: str) -> None:
    with pytest.raises(StatisticError, match="have no column"):
        MAKERS[kind]([{"other": 1.0}], WORDS)


def test_a_line_is_broken_where_a_value_is_missing() -> None:
    rows = [{"day": f"2024-01-0{day}", "size": size} for day, size in enumerate((1.0, 2.0, None, math.nan, 5.0), 1)]
    figure = builders.lines(rows, WORDS, x=DAY, y=SIZE)
    assert [row["size"] for row in figure.data] == [1.0, 2.0, None, None, 5.0]
    assert [item.get("defined", True) for item in marks(figure, "line")] == [True, True, False, False, True]


def test_points_and_whiskers_stand_where_the_numbers_say() -> None:
    figure = builders.points(SPANS, WORDS, x=AT, y=SIZE, low=LOW, high=HIGH)
    dots = marks(figure, "symbol")
    # 2, 5 and 8 on an axis from 0 to 10, and 1, 10, 100 on a log axis: even steps both.
    assert dots[0]["y"] - dots[1]["y"] == pytest.approx(dots[1]["y"] - dots[2]["y"])
    assert dots[1]["x"] - dots[0]["x"] == pytest.approx(dots[2]["x"] - dots[1]["x"])
    unit = (dots[0]["y"] - dots[2]["y"]) / 6.0
    for dot, whisker in zip(dots, marks(figure, "rule"), strict=True):
        assert sorted((whisker["y"], whisker["y2"])) == pytest.approx([dot["y"] - unit, dot["y"] + unit])


def test_a_missing_end_leaves_the_dot_without_a_whisker_and_a_missing_value_leaves_nothing() -> None:
    rows = [{**SPANS[0], "low": None}, SPANS[1], {**SPANS[2], "size": None}]
    figure = builders.points(rows, WORDS, x=AT, y=SIZE, low=LOW, high=HIGH)
    assert len(marks(figure, "symbol")) == 2
    assert figure.data[0]["low"] is None


def test_stars_and_rings_are_those_that_were_asked_for() -> None:
    starred = builders.points(SPANS, WORDS, x=AT, y=SIZE, starred=FLAG)
    assert [item["fill"] for item in marks(starred, "symbol")] == [theme.LIGHT.star, *[theme.LIGHT.first] * 2]
    rings = builders.decay(SPANS, WORDS, horizon=AT, y=SIZE, low=LOW, high=HIGH, hollow=FLAG)
    assert [item["fill"] for item in marks(rings, "symbol")] == [
        theme.LIGHT.first, theme.LIGHT.card, theme.LIGHT.first
    ]  # fmt: skip


def test_labels_do_not_lie_on_each_other_and_the_starred_one_is_kept() -> None:
    rows = [
        {"at": 5.0 + 0.01 * place, "size": 5.0, "name": f"label {place}", "flag": place == 17} for place in range(30)
    ]
    rows.append({"at": 500.0, "size": 9.0, "name": "far", "flag": False})
    figure = builders.points(rows, WORDS, x=AT, y=SIZE, starred=FLAG, label=NAME)
    assert [item["text"] for item in marks(figure, "text") if item.get("text")] == ["label 17", "far"]


def test_bars_begin_at_zero_and_end_at_their_number() -> None:
    figure = builders.bars(SPANS, WORDS, row=NAME, value=Field("size", "size"))
    widths = [item["width"] for item in marks(figure, "rect")]
    assert [width / widths[0] for width in widths] == pytest.approx([1.0, 2.5, 4.0])


def test_squares_are_as_strong_as_their_number_and_change_colour_below_zero() -> None:
    rows = [{"name": name, "size": size} for name, size in (("a", 4.0), ("b", -2.0), ("c", None))]
    figure = builders.heat(rows, WORDS, x=NAME, y=NAME, value=Field("size", "size"))
    full, below, empty = marks(figure, "rect")
    assert (full["fill"], full["fillOpacity"]) == (theme.LIGHT.first, 0.55)
    assert (below["fill"], below["fillOpacity"]) == (theme.LIGHT.second, 0.275)
    assert empty["fillOpacity"] == 0.0


def test_months_stand_in_their_year_and_a_month_that_comes_twice_is_refused() -> None:
    rows = [{"day": "2023-12-29", "size": -0.031}, {"day": "2024-02-29", "size": 0.012}]
    figure = builders.months(rows, WORDS, month=DAY, value=Field("size", "return", "percent"))
    assert [dict(row) for row in figure.data] == [
        {"month": "Dec", "year": "2023", "size": -0.031}, {"month": "Feb", "year": "2024", "size": 0.012}
    ]  # fmt: skip
    assert {"−3.1%", "+1.2%"} <= {item.get("text") for item in marks(figure, "text")}
    with pytest.raises(StatisticError, match=r"a month came twice[\s\S]*2024-02"):
        builders.months([*rows, {"day": "2024-02-01", "size": 0.0}], WORDS, month=DAY, value=SIZE)


def test_a_histogram_counts_every_value_once() -> None:
    # IQR 4 and n 8: the width is 2 x 4 / 8^(1/3) = 4, so two bins of width 4 over 0 to 8.
    values = [0.0, 1.0, 2.0, 3.0, 5.0, 6.0, 7.0, 8.0]
    rows = [{"size": value} for value in [*values, None]]
    figure = builders.histogram(rows, WORDS, value=Field("size", "size"))
    found = [(row["low"], row["high"], row["count"]) for row in figure.data]
    assert sum(count for *_, count in found) == 8
    assert (found[0][0], found[-1][1]) == (0.0, 8.0)
    for low, high, count in found:
        assert count == sum(low <= value < high or value == high == 8.0 for value in values)


def test_quantiles_stand_over_those_of_the_normal() -> None:
    figure = builders.quantiles([{"size": value} for value in (3.0, 1.0, 2.0)], WORDS, value=Field("size", "size"))
    # Normal quantiles of 1/6, 1/2 and 5/6 (tables: 0.967421566); mean 2 and sd 1.
    assert [row["size"] for row in figure.data] == [1.0, 2.0, 3.0]
    assert [row["normal"] for row in figure.data] == pytest.approx([-0.967421566, 0.0, 0.967421566])
    assert [row["expected"] for row in figure.data] == pytest.approx([1.032578434, 2.0, 2.967421566])


def test_the_data_of_a_figure_are_saved_with_what_is_missing_as_nothing() -> None:
    figure = builders.lines(
        [{"day": datetime.date(2024, 1, 1), "size": None}, {"day": "2024-01-02", "size": 0.1}], WORDS, x=DAY, y=SIZE
    )
    assert figures.csv_text(figure) == "day,size\n2024-01-01,\n2024-01-02,0.1\n"
    assert figure.name == "a-figure"


def test_the_dark_is_the_same_chart_in_other_colours() -> None:
    rows = [{**SPANS[0], "name": theme.LIGHT.first}]
    figure = builders.points(rows, WORDS, x=AT, y=SIZE, tips=[NAME])
    told = json.dumps(figures.dark(figure))
    assert theme.DARK.first in told
    # A name that reads like a colour is a name.
    assert figures.dark(figure)["data"]["values"][0]["name"] == theme.LIGHT.first


def test_a_picture_is_made_without_a_browser() -> None:
    figure = builders.bars(SPANS, WORDS, row=NAME, value=SIZE)
    assert figures.png(figure).startswith(b"\x89PNG")


def test_a_column_must_have_a_plain_name() -> None:
    with pytest.raises(StatisticError, match=r"a\.b"):
        Field("a.b", "label")


@pytest.mark.parametrize("value", ["text", True])
def test_a_number_must_be_one(value: object) -> None:
    with pytest.raises(StatisticError, match="a number was expected"):
        builders.bars([{"name": "a", "size": value}], WORDS, row=NAME, value=SIZE)


def test_one_range_holds_all_values_and_zero() -> None:
    assert builders.limits_of([1.0, None, 3.0]) == pytest.approx((-0.18, 3.18))
    assert builders.limits_of([1.0, 3.0], zero=False, room=0.1) == pytest.approx((0.8, 3.2))
    assert builders.limits_of([None]) is None


def test_no_name_of_a_long_legend_is_cut_off() -> None:
    # 51 letters take about 330 pixels: in a figure of 360 the second name would lie beyond its edge.
    names = [f"{kind}-continuation-12-SIM01USDT-ALL-36fc55b068" for kind in ("BAND_BREAK", "GAP_PRINT", "VACUUM")]
    rows = [{**row, "name": name} for name in names for row in DATED]
    for width, columns in ((360, 1), (1200, 3)):
        spec = figures.spec_of(builders.lines(rows, WORDS, x=DAY, y=SIZE, series=NAME, width=width))
        assert {legend["columns"] for legend in _legends(spec)} == {columns}


def _legends(spec: Any) -> list[dict[str, Any]]:
    if isinstance(spec, list):
        return [found for item in spec for found in _legends(item)]
    if not isinstance(spec, dict):
        return []
    own = [spec["legend"]] if isinstance(spec.get("legend"), dict) and "columns" in spec["legend"] else []
    return own + [found for value in spec.values() for found in _legends(value)]
