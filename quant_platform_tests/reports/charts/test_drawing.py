from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from quant_platform.contracts.errors import StatisticError
from quant_platform.reports.charts.drawing import draw
from quant_platform.reports.charts.figures import Axis, Bars, Figure, Heat, Line, Mark, Points, Rule


def figure(*marks: Mark, x: Axis | None = None, y: Axis | None = None, watermark: str = "") -> Figure:
    return Figure(
        title="A <title>",
        description="What & why.",
        x=x or Axis("x", limits=(0.0, 10.0)),
        y=y or Axis("y", limits=(0.0, 1.0)),
        marks=marks,
        watermark=watermark,
    )


def drawn(*marks: Mark, x: Axis | None = None, y: Axis | None = None, watermark: str = "") -> ElementTree.Element:
    return ElementTree.fromstring(draw(figure(*marks, x=x, y=y, watermark=watermark)))


def classed(root: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [node for node in root.iter() if kind in (node.get("class") or "").split()]


def numbers(path: str) -> list[float]:
    return [float(found) for found in re.findall(r"-?\d+(?:\.\d+)?", path)]


def frame(root: ElementTree.Element) -> tuple[float, float, float, float]:
    """Left, right, top and bottom of the plot, read from its grid: limits 0 and 1 have a grid line each."""
    grid = classed(root, "grid")
    heights = [float(line.get("y1") or "nan") for line in grid]
    return float(grid[0].get("x1") or "nan"), float(grid[0].get("x2") or "nan"), min(heights), max(heights)


def test_points_and_whiskers_stand_where_the_numbers_say() -> None:
    root = drawn(Points([0.0, 5.0, 10.0], [0.0, 0.25, 1.0], low=[0.0, 0.2, 0.9], high=[0.1, 0.3, 1.0]))
    left, right, top, bottom = frame(root)
    dots = [(float(dot.get("cx") or "nan"), float(dot.get("cy") or "nan")) for dot in root.iter("circle")]
    assert dots == [
        pytest.approx(want, abs=0.06)
        for want in [(left, bottom), ((left + right) / 2, bottom + 0.25 * (top - bottom)), (right, top)]
    ]
    _, start, end, *_ = numbers(classed(root, "whisker")[1].get("d") or "")
    assert start == pytest.approx(bottom + 0.2 * (top - bottom), abs=0.06)
    assert end == pytest.approx(bottom + 0.3 * (top - bottom), abs=0.06)


def test_a_whisker_beyond_the_axis_ends_at_the_edge_without_a_cap() -> None:
    root = drawn(Points([5.0], [0.5], low=[-3.0], high=[0.75]))
    _, _, top, bottom = frame(root)
    path = classed(root, "whisker")[0].get("d") or ""
    assert path.count("H") == 1
    assert numbers(path)[1] == pytest.approx(bottom, abs=0.06)
    assert numbers(path)[2] == pytest.approx(bottom + 0.75 * (top - bottom), abs=0.06)


def test_gaps_lift_the_pen_and_missing_points_are_not_drawn() -> None:
    root = drawn(
        Line([1.0, 2.0, 3.0, 4.0, 5.0], [0.1, 0.2, None, float("nan"), 0.5]),
        Points([1.0, None, 3.0], [0.5, 0.5, float("nan")]),
    )
    path = classed(root, "line")[0].get("d") or ""
    assert (path.count("M"), path.count("L")) == (2, 1)
    assert len(list(root.iter("circle"))) == 1


def test_what_lies_outside_fixed_limits_is_not_drawn() -> None:
    root = drawn(Points([1.0, 11.0, 5.0], [0.5, 0.5, 1.5]))
    assert len(list(root.iter("circle"))) == 1


def test_stars_and_hollow_points_are_those_that_were_asked_for() -> None:
    root = drawn(Points([1.0, 2.0, 3.0], [0.1, 0.2, 0.3], starred=[False, True, False], hollow=[True, False, False]))
    assert [len(list(point.iter("polygon"))) for point in classed(root, "point")] == [0, 1, 0]
    assert ["hollow" in (point.get("class") or "") for point in classed(root, "point")] == [True, False, False]


def test_a_figure_without_data_says_so() -> None:
    root = drawn(Rule("y", 0.0), Points([], []), Line([1.0], [None]), watermark="SIMULATED")
    texts = [node.text for node in root.iter("text")]
    assert texts == ["SIMULATED", "n/a: no data to draw"]


def test_the_label_of_a_figure_is_for_those_who_cannot_see_it() -> None:
    root = drawn(Line([0.0, 1.0], [0.0, 1.0]))
    assert root.get("role") == "img"
    assert root.get("aria-label") == "A <title>. What & why."


def test_texts_are_escaped_in_labels_tips_and_names() -> None:
    evil = "<script>alert(1)</script>"
    root = drawn(
        Points([5.0], [0.5], labels=[evil], tips=[evil], name=evil), Rule("x", 5.0, evil), x=Axis(evil), watermark=evil
    )
    assert list(root.iter("script")) == []
    assert [node.text for node in root.iter("title")] == [evil]


def test_labels_do_not_lie_on_each_other_and_the_starred_one_is_kept() -> None:
    x = [5.0 + 0.01 * index for index in range(30)]
    root = drawn(
        Points(
            x,
            [0.5] * 30,
            labels=[f"label {index}" for index in range(30)],
            starred=[index == 17 for index in range(30)],
        )
    )
    labels = classed(root, "mark-label")
    assert 1 <= len(labels) < 30
    assert "label 17" in {node.text for node in labels}
    # A character of 10 px is at least 3 px wide and 7 px high: no two anchors may be nearer than one label.
    anchors = [
        (float(node.get("x") or "nan"), float(node.get("y") or "nan"), node.get("text-anchor")) for node in labels
    ]
    for index, (x_one, y_one, side_one) in enumerate(anchors):
        for x_other, y_other, side_other in anchors[index + 1 :]:
            assert side_one != side_other or abs(y_one - y_other) > 7 or abs(x_one - x_other) > 21


def test_a_percent_axis_and_a_year_axis_are_labelled_as_such() -> None:
    root = drawn(Points([2004.0, 2015.0], [0.1, 0.9]), x=Axis("year", ticks="year"), y=Axis("rate", ticks="percent"))
    ticks = {node.text for node in classed(root, "tick")}
    assert {"20%", "40%", "60%", "80%"} <= ticks
    assert {"2004", "2006", "2014"} <= ticks
    assert "2,004" not in ticks


def test_ticks_may_be_given() -> None:
    root = drawn(Points([1.0, 63.0], [0.1, 0.2]), x=Axis("horizon", kind="log", at=(1.0, 5.0, 21.0, 63.0)))
    assert {"1", "5", "21", "63"} <= {node.text for node in classed(root, "tick")}


def test_sequences_of_different_length_are_refused() -> None:
    with pytest.raises(StatisticError, match=r"different lengths[\s\S]*figure mark IC[\s\S]*x 2, y 1"):
        Line([1.0, 2.0], [1.0], name="IC")
    with pytest.raises(StatisticError, match=r"x 1, tips 2"):
        Points([1.0], [1.0], tips=["a", "b"])


def boxes(root: ElementTree.Element) -> list[tuple[float, ...]]:
    """Left, top, right and bottom of every rectangle."""
    found = []
    for node in root.iter("rect"):
        x, y, width, height = (float(node.get(name) or "nan") for name in ("x", "y", "width", "height"))
        found.append((x, y, x + width, y + height))
    return found


def test_bars_begin_at_zero_and_end_at_their_number() -> None:
    names = Axis("", limits=(-0.5, 1.5), at=(0.0, 1.0), names=("lower", "upper"))
    root = drawn(Bars([4.0, 10.0, None], [1.0, 0.0, 0.5], ["four", "ten", "none"]), y=names)
    left, right, *_ = frame(root)
    upper, lower = boxes(root)
    assert (upper[0], upper[2]) == pytest.approx((left, left + 0.4 * (right - left)), abs=0.11)
    assert (lower[0], lower[2]) == pytest.approx((left, right), abs=0.11)
    assert upper[3] < lower[1]
    words = {node.text for node in root.iter("text")}
    assert {"lower", "upper", "four", "ten"} <= words
    assert "none" not in words


def test_squares_have_side_one_and_the_strength_of_their_shade() -> None:
    grid = Axis("x", limits=(-0.5, 2.5), at=(0.0, 1.0, 2.0), names=("a", "b", "c"))
    root = drawn(Heat([0.0, 1.0, 2.0], [0.0, 0.0, 0.0], [1.0, 0.0, None]), x=grid, y=Axis("y", limits=(-0.5, 0.5)))
    first, second, third = root.iter("rect")
    widths = [float(node.get("width") or "nan") for node in (first, second, third)]
    assert widths == pytest.approx([widths[0]] * 3, abs=0.11)
    assert [node.get("fill-opacity") for node in (first, second, third)] == ["0.55", "0.00", None]
    assert third.get("class") == "empty"


def test_sideways_whiskers_run_along_x() -> None:
    root = drawn(Points([5.0], [0.5], low=[2.5], high=[20.0], sideways=True))
    left, right, top, bottom = frame(root)
    path = classed(root, "whisker")[0].get("d") or ""
    start, height, end, *_ = numbers(path)
    assert (start, end) == pytest.approx((left + 0.25 * (right - left), right), abs=0.06)
    assert height == pytest.approx((top + bottom) / 2, abs=0.06)
    # The high end lies beyond the axis and has no cap.
    assert path.count("V") == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: Bars([1.0], [1.0, 2.0]),
        lambda: Bars([1.0], [1.0], texts=["a", "b"]),
        lambda: Heat([1.0], [1.0], [0.1, 0.2]),
        lambda: Heat([1.0], [1.0], [0.1], tips=["a", "b"]),
        lambda: Axis("x", at=(1.0,), names=("a", "b")),
    ],
)
def test_parts_of_different_lengths_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(StatisticError, match="different lengths"):
        make()
