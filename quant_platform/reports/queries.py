"""The SQL under a figure: a query over the house's tables that gives the figure's data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quant_platform.reports.charts import formatting


def literal(value: Any) -> str:
    """A text or a number as SQL: quotes are doubled, so that a name stays a name.

    Examples
    --------
    >>> literal("O'Neil"), literal(30)
    ("'O''Neil'", '30')
    """
    if isinstance(value, int | float):
        return repr(value)
    return "'" + formatting.day(value).replace("'", "''") + "'"


def from_report(table: str, key: str, value: Any, part: str, columns: Mapping[str, str], *, where: str = "") -> str:
    """Rows that a report holds in its JSON, for numbers that no table has as they are shown.

    Parameters
    ----------
    table
        Table of reports, with a column ``json``.
    key, value
        Column that names the report, and which one it is.
    part
        Where the rows stand in the JSON.
    columns
        Column to its DuckDB type.
    where
        A condition on the columns.
    """
    named = ",\n  ".join(f"(r->>'{name}')::{kind} as {name}" for name, kind in columns.items())
    inner = f"select unnest(json_extract(json, '$.{part}[*]')) as r\n  from {table} where {key} = {literal(value)}"
    return f"select\n  {named}\nfrom (\n  {inner}\n)" + (f"\nwhere {where}" if where else "")


def as_of(report: Mapping[str, Any]) -> str:
    """A comment for tables that hold their newest run only: a page of an earlier date saw less of it."""
    day = formatting.day(report.get("date_sig")) or "n/a"
    return f"-- the table holds its newest run; this page has seen data up to {day}\n"
