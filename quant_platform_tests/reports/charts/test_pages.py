from __future__ import annotations

import pytest

from quant_platform.reports.charts.markup import Html, element, join
from quant_platform.reports.charts.pages import Tile, banner, definitions, page, section, tiles
from quant_platform.reports.charts.tables import (
    Cell,
    Column,
    Row,
    Table,
    interval_cell,
    number_cell,
    p_cell,
    table,
    text_cell,
)
from quant_platform_tests.reports.reading import body_rows, cells, read_html, shown, table_with


def test_text_is_escaped_and_markup_is_not() -> None:
    assert element("b", "a < b & c", Html("<i>d</i>"), None) == "<b>a &lt; b &amp; c<i>d</i></b>"
    assert join("<", Html("<br/>")) == "&lt;<br/>"


def test_attributes_are_quoted_and_left_out_when_empty() -> None:
    made = element("a", "x", href='"><script>', class_="one", hidden=True, title=None, aria_label="a b", lang=False)
    assert made == '<a href="&quot;&gt;&lt;script&gt;" class="one" hidden aria-label="a b">x</a>'
    assert element("line", x1=1, x2=2.5) == '<line x1="1" x2="2.5"/>'


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_cell_without_a_number_says_why(value: float | None) -> None:
    assert number_cell(value, missing="no trade") == Cell("", missing="no trade")
    assert interval_cell(0.1, value, missing="no trade") == Cell("", missing="no trade")
    assert p_cell(value, missing="no trade") == Cell("", missing="no trade")


def test_cells_are_written_in_their_precision() -> None:
    assert number_cell(0.03124, signed=True) == Cell("+0.031", 0.03124)
    assert number_cell(0.4444, 1, percent=True).text == "44.4%"
    assert interval_cell(-0.0151, 0.0973, signed=True).text == "[−0.015, +0.097]"
    assert text_cell("").missing


def small_table() -> Table:
    return Table(
        caption="Numbers & names",
        columns=(Column("Name", numeric=False), Column("IC", "Spearman"), Column("Factor of profit")),
        rows=(
            Row((Cell("<b>"), number_cell(0.0312), number_cell(None, missing="no losing trade"))),
            Row((Cell("two"), number_cell(None, missing="too short"), number_cell(1.5)), muted=True),
            Row((Cell("three"), number_cell(0.1), number_cell(None, missing="no losing trade")), marked=True),
            Row((Cell("four", remark="a remark"), number_cell(0.1), number_cell(1.0))),
        ),
        note="A note.",
    )


def test_reasons_are_lettered_once_and_listed_under_the_table() -> None:
    root = read_html(table(small_table()))
    rows = body_rows(table_with(root, "Numbers & names"))
    assert [node.text for row in rows for node in row.all("sup")] == ["a", "b", "a", "c"]
    note = root.all("p", "reasons")[0].text
    assert note == "a n/a: no losing trade. b n/a: too short. c a remark. "


def test_rows_keep_their_kind_and_full_precision() -> None:
    root = read_html(table(small_table()))
    rows = body_rows(table_with(root, "Numbers & names"))
    assert [row.classes for row in rows] == [set(), {"muted"}, {"marked"}, set()]
    first = cells(rows[0])
    assert [shown(cell) for cell in first[:2]] == ["<b>", "0.031"]
    assert first[1].all("data")[0].attributes["value"] == "0.0312"
    assert [cell.tag for cell in first] == ["th", "td", "td"]


def test_a_row_with_another_number_of_cells_is_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        table(Table("x", (Column("one"), Column("two")), (Row((Cell("a"),)),)))


def test_an_empty_table_says_why() -> None:
    root = read_html(table(Table("Sweeps", (Column("x"),), (), empty="no sweep was run")))
    assert root.text == "Sweeps: n/a (no sweep was run)"
    assert not root.all("table")


def test_the_banner_is_there_if_and_only_if_the_data_are_simulated() -> None:
    assert banner(False) is None
    assert "SIMULATED" in str(banner(True))
    for simulated in (True, False):
        text = page("A page", section("Part", "Why.", anchor="part", simulated=simulated), simulated=simulated)
        root = read_html(text)
        assert len(root.all("div", "banner")) == int(simulated)
        assert root.all("title")[0].text == ("SIMULATED A page" if simulated else "A page")
        assert root.all("h2")[0].text == ("PartSIMULATED" if simulated else "Part")
        assert ("SIMULATED" in text) == simulated


def test_tiles_and_definitions_write_missing_values_with_the_reason() -> None:
    root = read_html(tiles([Tile("Hit rate", number_cell(None, missing="no trade"), "95%")]))
    assert [node.text for node in root.all("dd")] == ["n/a (no trade)", "95%"]
    root = read_html(definitions({"Hash <x>": text_cell("ab&c"), "Cost": text_cell(None, missing="not stated")}))
    assert [node.text for node in root.all("dt")] == ["Hash <x>", "Cost"]
    assert [node.text for node in root.all("dd")] == ["ab&c", "n/a (not stated)"]
