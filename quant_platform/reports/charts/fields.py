"""Reading a report: mappings of plain values, where what is not there is missing and says so on the page."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from quant_platform.contracts.errors import StatisticError
from quant_platform.reports.charts import formatting
from quant_platform.reports.charts.tables import Cell, text_cell

Fields = Mapping[str, Any]


def rows(report: Fields, key: str) -> list[Fields]:
    """Rows under a key; none where the key is absent or None.

    Raises
    ------
    StatisticError
        When the value is something other than a sequence of mappings.
    """
    value = report.get(key)
    if value is None:
        return []
    if not isinstance(value, Sequence) or not all(isinstance(row, Mapping) for row in value):
        raise StatisticError(
            f"rows were expected, was {type(value).__name__}",
            where=f"report[{key!r}]",
            action="pass a list of mappings",
        )
    return list(value)


def fields(report: Fields, key: str) -> Fields:
    """The mapping under a key; an empty one where the key is absent or None.

    Raises
    ------
    StatisticError
        When the value is something other than a mapping.
    """
    value = report.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise StatisticError(
            f"a mapping was expected, was {type(value).__name__}", where=f"report[{key!r}]", action="pass a mapping"
        )
    return value


def value_of(row: Fields, key: str) -> float | None:
    """A finite number of a row, or None."""
    return formatting.finite(row.get(key))


def plain_cell(key: str, value: Any) -> Cell:
    """A cell for a value of which only the name is known: shares as percent, counts whole, the rest as text."""
    if isinstance(value, bool):
        return text_cell("yes" if value else "no")
    if isinstance(value, int):
        return Cell(formatting.count(value), float(value))
    if isinstance(value, float):
        held = formatting.finite(value)
        if held is None:
            return text_cell(None)
        return Cell(formatting.percent(held) if key.endswith("share") else f"{held:g}", held)
    if isinstance(value, datetime.date):
        return text_cell(formatting.day(value))
    if isinstance(value, list | tuple):
        return text_cell(", ".join(str(item) for item in value))
    if isinstance(value, Mapping):
        return text_cell("; ".join(f"{name} {item}" for name, item in value.items()))
    return text_cell(value)


def words(key: str) -> str:
    """A key as a term: ``survivorship_share`` reads ``Survivorship share``."""
    return (key[:1].upper() + key[1:]).replace("_", " ")
