"""A page in a real browser: nothing is fetched, values show, legends switch, tables sort, figures save themselves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quant_platform.reports.charts import builders, pages
from quant_platform.reports.charts.builders import Field
from quant_platform.reports.charts.figures import Words
from quant_platform.reports.charts.tables import Cell, Column, Row, Table, number_cell, table

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: the page was not opened in a browser"),
    pytest.mark.slow,
    pytest.mark.xdist_group("browser"),
]


def made() -> str:
    rows = [{"name": name, "size": size, "low": size - 1.0, "high": size + 1.0} for name, size in sizes()]
    lines = [{"day": f"2024-01-{day:02d}", "line": line, "at": float(day)} for day in (1, 2, 3) for line in ("a", EVIL)]
    return pages.page(
        "In a browser",
        pages.section(
            "Part",
            "How to read it.",
            pages.figures(
                [
                    builders.dots_by_row(
                        rows,
                        Words("Dots", EVIL, sql=f"select {EVIL}", simulated=True),
                        row=Field("name", EVIL, "category"),
                        value=Field("size", "the size", digits=2),
                        low=Field("low", "low"),
                        high=Field("high", "high"),
                    ),
                    builders.lines(
                        lines,
                        Words("Lines", "Two lines."),
                        x=Field("day", "day", "date"),
                        y=Field("at", "height"),
                        series=Field("line", "line", "category"),
                    ),
                ],
                wide=True,
            ),
            table(
                Table(
                    "Numbers",
                    (Column("Name", numeric=False), Column("Size")),
                    tuple(Row((Cell(name), number_cell(size, missing="not known"))) for name, size in TABLE),
                )
            ),
            anchor="part",
            simulated=True,
        ),
        simulated=True,
    )


TABLE = (("b", 10.0), ("a", -2.0), ("d", None), ("c", 9.5))


def sizes() -> list[tuple[str, float]]:
    return [("one", 1.5), (EVIL, 3.25)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no browser was driven")
    with api.sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(made(), encoding="utf-8")
    return path


@pytest.fixture
def sheet(browser: Any, file: Path) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1200, "height": 1400})
    opened.asked, opened.wrong = [], []
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
    opened.on("console", lambda message: opened.wrong.append(message.text) if message.type == "error" else None)
    opened.goto(file.as_uri())
    opened.locator("figure.drawn .live svg").nth(1).wait_for()
    yield opened
    assert [url for url in opened.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert opened.wrong == []
    assert opened.evaluate("window.hacked") is None
    opened.close()


def names(sheet: Any) -> list[str]:
    return [row.inner_text().split("\t")[0] for row in sheet.locator("tbody tr").all()]


def test_a_value_shows_on_hovering_and_names_stay_text(sheet: Any) -> None:
    sheet.locator("figure").first.locator(".live .mark-symbol path").nth(1).hover()
    tip = sheet.locator("#vg-tooltip-element.visible")
    tip.wait_for()
    # Mark, stroke and axis have no say in it: the tip has the row's own numbers.
    assert "3.25" in tip.inner_text()
    assert "window.hacked" in tip.inner_text()
    assert sheet.locator("#vg-tooltip-element img, #vg-tooltip-element script").count() == 0


def test_an_entry_of_the_legend_hides_its_series_and_shows_it_again(sheet: Any) -> None:
    figure = sheet.locator("figure").nth(1)

    def opacities() -> list[str]:
        return [line.get_attribute("opacity") or "1" for line in figure.locator(".live .mark-line path").all()]

    assert opacities() == ["1", "1"]
    figure.locator(".live .role-legend-symbol path").first.click()
    sheet.wait_for_timeout(200)
    assert sorted(opacities()) == ["0.06", "1"]
    figure.locator(".live .role-legend-symbol path").first.click()
    sheet.wait_for_timeout(200)
    assert opacities() == ["1", "1"]


def test_dragging_moves_what_is_seen_and_a_double_click_goes_back(sheet: Any) -> None:
    figure = sheet.locator("figure").nth(1)

    def path() -> str:
        return figure.locator(".live .mark-line path").first.get_attribute("d") or ""

    before = path()
    box = figure.locator(".live svg").bounding_box()
    middle, height = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    sheet.mouse.move(middle, height)
    sheet.mouse.down()
    sheet.mouse.move(middle + 80, height, steps=4)
    sheet.mouse.up()
    sheet.wait_for_timeout(200)
    assert path() != before
    sheet.mouse.dblclick(middle, height)
    sheet.wait_for_timeout(200)
    assert path() == before


def test_a_table_sorts_by_number_with_what_is_missing_last_and_says_so(sheet: Any) -> None:
    heading = sheet.locator("th[scope=col]").nth(1)
    assert names(sheet) == ["b", "a", "d", "c"]
    heading.locator("button").click()
    assert (names(sheet), heading.get_attribute("aria-sort")) == (["b", "c", "a", "d"], "descending")
    heading.locator("button").click()
    assert (names(sheet), heading.get_attribute("aria-sort")) == (["a", "c", "b", "d"], "ascending")
    heading.locator("button").click()
    assert (names(sheet), heading.get_attribute("aria-sort")) == (["b", "a", "d", "c"], None)


def test_the_keyboard_sorts_too(sheet: Any) -> None:
    heading = sheet.locator("th[scope=col]").first
    heading.locator("button").focus()
    sheet.keyboard.press("Enter")
    assert (names(sheet), heading.get_attribute("aria-sort")) == (["a", "b", "c", "d"], "ascending")


@pytest.mark.parametrize("kind", ["svg", "png", "csv"])
def test_a_figure_saves_itself_and_its_data(sheet: Any, kind: str, tmp_path: Path) -> None:
    with sheet.expect_download() as waiting:
        sheet.locator("figure").first.locator(".tools").get_by_text(kind.upper(), exact=True).click()
    saved = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(saved)
    assert saved.name == f"dots.{kind}"
    held = saved.read_bytes()
    if kind == "svg":
        # The colours of the page are written out: a file of its own has no style sheet.
        assert held.startswith(b"<svg")
        assert b"var(" not in held
        assert b"#1f5f99" in held
    elif kind == "png":
        assert held.startswith(b"\x89PNG")
        assert len(held) > 5_000
    else:
        assert held.decode().splitlines()[:2] == ["name,size,low,high", "one,1.5,0.5,2.5"]


def test_the_colours_follow_the_dark(browser: Any, file: Path) -> None:
    opened = browser.new_page(color_scheme="dark")
    opened.goto(file.as_uri())
    dot = opened.locator("figure").first.locator(".live .mark-symbol path").first
    dot.wait_for()
    # #6fb1ea, the first colour of the dark palette.
    assert dot.evaluate("node => getComputedStyle(node).fill") == "rgb(111, 177, 234)"
    opened.close()


def test_without_script_the_still_picture_is_there(browser: Any, file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(file.as_uri())
    assert opened.locator("figure .still svg").first.is_visible()
    assert opened.locator("figure .live").first.is_hidden()
    assert opened.locator(".how-to").is_hidden()
    context.close()


@pytest.mark.parametrize("width", [360, 800])
def test_nothing_is_cut_on_a_narrow_screen(browser: Any, file: Path, width: int) -> None:
    opened = browser.new_page(viewport={"width": width, "height": 900})
    opened.goto(file.as_uri())
    opened.locator("figure.drawn .live svg").first.wait_for()
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    opened.close()


def test_print_shows_the_still_pictures(sheet: Any) -> None:
    sheet.emulate_media(media="print")
    assert sheet.locator("figure .still svg").first.is_visible()
    assert sheet.locator("figure .live").first.is_hidden()
    assert sheet.locator(".tools").first.is_hidden()
    sheet.emulate_media(media="screen")
