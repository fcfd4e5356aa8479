"""Tables whose columns sort, and cells that say why they are empty.

A cell that has no number says "n/a" and why: reasons are lettered and listed under the table, so that they survive a
printer and a screen reader. A number keeps its full precision in the ``value`` of its ``<data>`` element.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quant_platform.reports.charts import formatting
from quant_platform.reports.charts.markup import Html, element, join

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Column:
    """Heading of a table column and its unit beneath it.

    Attributes
    ----------
    numeric
        Whether its cells are numbers, set to the right.
    wrap
        Whether its cells may be several lines long: for sentences.
    """

    heading: str
    unit: str = ""
    numeric: bool = True
    wrap: bool = False

    @property
    def classes(self) -> str | None:
        """Of its cells."""
        return " ".join(name for name, holds in (("text", not self.numeric), ("wrap", self.wrap)) if holds) or None


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


def table(spec: Table) -> Html:
    """A table that scrolls sideways where it is wider than the screen, its first column staying in place."""
    if not spec.rows:
        return join(
            element("p", element("strong", spec.caption), ": ", missing_text(spec.empty), class_="note"),
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


def _heading(column: Column) -> Html:
    unit = element("span", column.unit, class_="unit") if column.unit else None
    return element("th", column.heading, unit, scope="col", class_=column.classes)


def _row(row: Row, columns: Sequence[Column], reasons: Mapping[str, str]) -> Html:
    cells = []
    for index, (cell, column) in enumerate(zip(row.cells, columns, strict=True)):
        inner = content(cell, reasons.get(cell.footnote, ""), as_mark=True)
        classes = column.classes
        if index == 0:
            cells.append(element("th", inner, scope="row", class_=classes))
        else:
            cells.append(element("td", inner, class_=classes))
    kinds = " ".join(kind for kind, holds in (("muted", row.muted), ("marked", row.marked)) if holds)
    return element("tr", *cells, class_=kinds or None)


def content(cell: Cell, reason: str, *, as_mark: bool = False) -> Html:
    """What stands in a cell: text, number or why there is none; ``as_mark`` writes the reason as a letter."""
    if not cell.text:
        if as_mark:
            return element("span", "n/a", element("sup", reason), class_="missing", title=cell.missing)
        return missing_text(reason)
    shown = (
        element("data", cell.text, value=repr(cell.value).removesuffix(".0"))
        if cell.value is not None
        else join(cell.text)
    )
    mark = element("sup", reason) if as_mark and reason else None
    return join(shown, mark, element("span", cell.detail, class_="detail") if cell.detail else None)


def missing_text(reason: str) -> Html:
    """``n/a (reason)``."""
    return element("span", f"n/a ({reason})", class_="missing")


def _reasons(reasons: Mapping[str, str]) -> Html | None:
    if not reasons:
        return None
    parts = [join(element("sup", letter), f" {reason}. ") for reason, letter in reasons.items()]
    return element("p", *parts, class_="note reasons")


def _letter(index: int) -> str:
    return LETTERS[index] if index < len(LETTERS) else str(index + 1)
