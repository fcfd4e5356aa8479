"""Blocks of every page: banner, tiles, section, figure grid, table, definitions, and the page around them.

A cell that has no number says "n/a" and why: reasons are lettered and listed under the table, so that they survive a
printer and a screen reader. A number keeps its full precision in the ``value`` of its ``<data>`` element.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from quant_platform.reports.charts import formatting
from quant_platform.reports.charts.drawing import draw
from quant_platform.reports.charts.figures import Figure
from quant_platform.reports.charts.markup import Html, element, join

SIMULATED = "SIMULATED"
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Column:
    """Heading of a table column, its unit beneath it, and whether its cells are numbers (set to the right)."""

    heading: str
    unit: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Cell:
    """What one cell shows.

    Attributes
    ----------
    text
        As written, for example ``+0.012``; empty where there is nothing, which needs ``missing``.
    value
        The number behind it in full precision; None for texts.
    detail
        A smaller second line, for example the p-value.
    missing
        Why there is no value.
    remark
        A note on the value; like a reason, it is lettered and listed under the table.
    """

    text: str
    value: float | None = None
    detail: str = ""
    missing: str = ""
    remark: str = ""

    @property
    def footnote(self) -> str:
        """What the table says under its letter: the remark, or why there is nothing."""
        if self.text:
            return self.remark
        return f"n/a: {self.missing}" if self.missing else ""


@dataclass(frozen=True)
class Row:
    """Cells of one row; a muted row is greyed (not to be relied on), a marked one stands out."""

    cells: tuple[Cell, ...]
    muted: bool = False
    marked: bool = False


@dataclass(frozen=True)
class Table:
    """A table with its caption; ``empty`` says why it has no rows."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""
    empty: str = "there are no rows"


@dataclass(frozen=True)
class Tile:
    """One number of the headline: label, value, and a line on its uncertainty."""

    label: str
    cell: Cell
    note: str = ""


def number_cell(
    value: Any,
    decimals: int = 3,
    *,
    signed: bool = False,
    percent: bool = False,
    detail: str = "",
    missing: str = "not stated in the report",
) -> Cell:
    """A cell of a number; None and NaN become "n/a" with the reason ``missing``."""
    held = formatting.finite(value)
    if held is None:
        return Cell("", missing=missing)
    write = formatting.percent if percent else formatting.number
    return Cell(write(held, decimals, signed=signed), held, detail)


def p_cell(value: Any, *, missing: str = "not tested") -> Cell:
    """A cell of a p-value; None and NaN become "n/a" with the reason ``missing``."""
    held = formatting.finite(value)
    return Cell("", missing=missing) if held is None else Cell(formatting.p_value(held), held)


def interval_cell(
    low: Any,
    high: Any,
    decimals: int = 3,
    *,
    signed: bool = False,
    percent: bool = False,
    missing: str = "no interval in the report",
) -> Cell:
    """A cell ``[low, high]``; without both ends it is "n/a" with the reason ``missing``."""
    written = interval_text(low, high, decimals, signed=signed, percent=percent)
    return Cell(written) if written else Cell("", missing=missing)


def interval_text(low: Any, high: Any, decimals: int = 3, *, signed: bool = False, percent: bool = False) -> str:
    """``[low, high]``, or "no interval" is said by the empty text where an end is missing."""
    ends = formatting.finite(low), formatting.finite(high)
    if ends[0] is None or ends[1] is None:
        return ""
    write = formatting.percent if percent else formatting.number
    return f"[{write(ends[0], decimals, signed=signed)}, {write(ends[1], decimals, signed=signed)}]"


def text_cell(value: Any, *, detail: str = "", missing: str = "not stated in the report") -> Cell:
    """A cell of a text; None and the empty text become "n/a" with the reason ``missing``."""
    if value is None or value == "":
        return Cell("", missing=missing)
    return Cell(str(value), detail=detail)


def banner(simulated: bool) -> Html | None:
    """The band over a page of simulated data; nothing for real data."""
    if not simulated:
        return None
    words = (
        f"{SIMULATED} {formatting.DASH} the market on this page is computer-made. It says nothing about any real one."
    )
    return element("div", words, class_="banner", role="note")


def section(title: str, explanation: str, *blocks: Html | None, anchor: str, simulated: bool = False) -> Html:
    """A section: heading, a sentence on how to read it, its blocks; a simulated one carries the word."""
    tag = element("span", SIMULATED, class_="tag") if simulated else None
    return element(
        "section",
        element("h2", title, tag, id=f"{anchor}-heading"),
        element("p", explanation, class_="explanation"),
        *blocks,
        id=anchor,
        aria_labelledby=f"{anchor}-heading",
    )


def paragraph(text: str, *, kind: str = "note") -> Html:
    """A paragraph of a kind: note, or warning."""
    return element("p", text, class_=kind)


def tiles(items: Sequence[Tile]) -> Html:
    """The headline numbers side by side."""
    return element(
        "dl",
        *(
            element(
                "div",
                element("dt", tile.label),
                element("dd", _content(tile.cell, tile.cell.missing)),
                element("dd", tile.note, class_="tile-note") if tile.note else None,
                class_="tile",
            )
            for tile in items
        ),
        class_="tiles",
    )


def figures(items: Sequence[Figure], *, wide: bool = False, empty: str = "there is no figure") -> Html:
    """Figures in a grid that folds on narrow screens; ``wide`` gives two to a row, ``empty`` says why there is none."""
    if not items:
        return element("p", _missing(empty), class_="note")
    return element("div", *(_figure(item) for item in items), class_="figures wide" if wide else "figures")


def table(spec: Table) -> Html:
    """A table that scrolls sideways where it is wider than the screen, its first column staying in place."""
    if not spec.rows:
        return join(
            element("p", element("strong", spec.caption), ": ", _missing(spec.empty), class_="note"),
        )
    reasons: dict[str, str] = {}
    for row in spec.rows:
        for cell in row.cells:
            if cell.footnote and cell.footnote not in reasons:
                reasons[cell.footnote] = _letter(len(reasons))
    head = element("tr", *(_heading(column) for column in spec.columns))
    body = [_row(row, spec.columns, reasons) for row in spec.rows]
    grid = element("table", element("caption", spec.caption), element("thead", head), element("tbody", *body))
    return join(
        element("div", grid, class_="scroll", tabindex=0, role="region", aria_label=spec.caption),
        element("p", spec.note, class_="note") if spec.note else None,
        _reasons(reasons),
    )


def definitions(items: Mapping[str, Cell]) -> Html:
    """Terms and their values, one to a line."""
    return element(
        "dl",
        *(
            element("div", element("dt", term), element("dd", _content(cell, cell.missing)))
            for term, cell in items.items()
        ),
        class_="definitions",
    )


def cards(items: Mapping[str, Mapping[str, Cell]], *, empty: str) -> Html:
    """Terms and values under a heading each, side by side; ``empty`` says why there is none."""
    if not items:
        return element("p", _missing(empty), class_="note")
    return element(
        "div",
        *(
            element("article", element("h3", heading), definitions(terms), class_="card")
            for heading, terms in items.items()
        ),
        class_="cards",
    )


def sentences(items: Sequence[str]) -> Html:
    """Sentences one below the other, each a point of its own."""
    return element("ul", *(element("li", item) for item in items), class_="verdict")


def contents(anchors: Mapping[str, str]) -> Html:
    """Links to the sections of the page, by anchor."""
    return element(
        "nav",
        *(element("a", title, href=f"#{anchor}") for anchor, title in anchors.items()),
        class_="contents",
        aria_label="Contents",
    )


def page(title: str, *blocks: Html | None, simulated: bool = False) -> str:
    """A whole document with its style sheet inside; it loads nothing."""
    style = Html(resources.files("quant_platform.reports").joinpath("page.css").read_text(encoding="utf-8"))
    document = element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("title", f"{SIMULATED} {title}" if simulated else title),
            element("style", style),
        ),
        element("body", banner(simulated), element("div", *blocks, class_="sheet")),
        lang="en",
    )
    return "<!DOCTYPE html>\n" + document + "\n"


def _figure(item: Figure) -> Html:
    return element(
        "figure",
        element(
            "figcaption",
            element("strong", item.title),
            element("span", item.note, class_="figure-note") if item.note else None,
        ),
        draw(item),
    )


def _heading(column: Column) -> Html:
    unit = element("span", column.unit, class_="unit") if column.unit else None
    return element("th", column.heading, unit, scope="col", class_=None if column.numeric else "text")


def _row(row: Row, columns: Sequence[Column], reasons: Mapping[str, str]) -> Html:
    cells = []
    for index, (cell, column) in enumerate(zip(row.cells, columns, strict=True)):
        inner = _content(cell, reasons.get(cell.footnote, ""), as_mark=True)
        classes = None if column.numeric else "text"
        if index == 0:
            cells.append(element("th", inner, scope="row", class_=classes))
        else:
            cells.append(element("td", inner, class_=classes))
    kinds = " ".join(kind for kind, holds in (("muted", row.muted), ("marked", row.marked)) if holds)
    return element("tr", *cells, class_=kinds or None)


def _content(cell: Cell, reason: str, *, as_mark: bool = False) -> Html:
    if not cell.text:
        if as_mark:
            return element("span", "n/a", element("sup", reason), class_="missing", title=cell.missing)
        return _missing(reason)
    shown = (
        element("data", cell.text, value=repr(cell.value).removesuffix(".0"))
        if cell.value is not None
        else join(cell.text)
    )
    mark = element("sup", reason) if as_mark and reason else None
    return join(shown, mark, element("span", cell.detail, class_="detail") if cell.detail else None)


def _missing(reason: str) -> Html:
    return element("span", f"n/a ({reason})", class_="missing")


def _reasons(reasons: Mapping[str, str]) -> Html | None:
    if not reasons:
        return None
    parts = [join(element("sup", letter), f" {reason}. ") for reason, letter in reasons.items()]
    return element("p", *parts, class_="note reasons")


def _letter(index: int) -> str:
    return LETTERS[index] if index < len(LETTERS) else str(index + 1)
