"""Asking the catalogue and showing the answer: only questions are let through, and nothing shown is cut."""

from __future__ import annotations

import json
import re
from pathlib import Path

import duckdb
import polars as pl
from dagster_duckdb import DuckDBResource
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from quant_platform.contracts.errors import PlatformError

# PIVOT is a statement of several; a catalogue that is open read-only refuses the ones that would change it.
_QUESTIONS = ("SELECT", "MULTI")
_EXPLAIN = re.compile(r"\s*explain\s+(analyze\s+)?(\([^)]*\)\s*)?", re.IGNORECASE)


class QueryFailed(PlatformError, ValueError):
    """DuckDB refused a query."""

    code = "query_failed"


class QueryWrites(PlatformError, ValueError):
    """A statement would write something, or is none."""

    code = "query_writes"


def ask(catalogue: Path, text: str) -> pl.DataFrame:
    """Answer one question on the catalogue.

    Parameters
    ----------
    catalogue
        The DuckDB file, opened read-only.
    text
        One ``select``, ``from``, ``describe``, ``show``, ``summarize``, ``pivot`` or ``explain`` statement.

    Raises
    ------
    QueryWrites
        When it is another kind of statement: read-only DuckDB still writes files for ``copy`` and ``export``.
    QueryFailed
        When DuckDB cannot answer it.
    """
    resource = DuckDBResource(database=str(catalogue), connection_config={"access_mode": "READ_ONLY"})
    try:
        with resource.get_connection() as connection:
            _only_one_question(connection, text)
            answer = connection.sql(text)
            return answer.pl() if answer is not None else pl.DataFrame()
    except duckdb.Error as error:
        raise QueryFailed(
            str(error).split("\n\n")[0],
            where=str(catalogue),
            action="`quant sql 'from lake.partitions'` lists what there is; docs/reference/tables.md has every column",
        ) from None


def _only_one_question(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    kinds = [statement.type.name for statement in connection.extract_statements(text)]
    if kinds == ["EXPLAIN"]:
        _only_one_question(connection, _EXPLAIN.sub("", text, count=1))
        return
    if len(kinds) == 1 and kinds[0] in _QUESTIONS:
        return
    raise QueryWrites(
        f"was {', '.join(kinds) or 'empty'}, must be one question",
        cause="quant sql only reads; select, from, describe, show, summarize, pivot and explain are questions",
        action="write files with --output csv; for anything else open the catalogue in a DuckDB of your own",
    )


def csv(rows: pl.DataFrame) -> str:
    """The answer as CSV; a list or a struct, for which CSV has no form, is written as JSON in its cell."""
    nested = [name for name, dtype in rows.schema.items() if dtype.is_nested()]
    return rows.with_columns(
        pl.Series(name, [None if value is None else json.dumps(value, default=str) for value in rows[name].to_list()])
        for name in nested
    ).write_csv()


def show(rows: pl.DataFrame, console: Console, limit: int) -> None:
    """Print rows as a table, or one column per line where the table is wider than the terminal."""
    shown = rows.head(limit)
    cells = [[_text(value) for value in row] for row in shown.iter_rows()]
    widths = [
        max(map(len, [name, *(line for row in cells for line in row[k].splitlines())]))
        for k, name in enumerate(rows.columns)
    ]
    if not console.is_terminal:
        console = Console(file=console.file, width=max(80, sum(widths) + 3 * len(widths) + 1))
    if sum(widths) + 3 * len(widths) + 1 <= console.width:
        console.print(_grid(shown, cells))
    else:
        longest = max(len(name) for name in rows.columns)
        for position, row in enumerate(cells, start=1):
            console.rule(f"row {position}", align="left", style="dim")
            for name, value in zip(rows.columns, row, strict=True):
                console.print(Text(f"{name:<{longest}}  {value}"), soft_wrap=True)
    if rows.height > limit:
        console.print(f"{rows.height - limit:,} more rows; --limit or --output csv shows them", highlight=False)


def _grid(rows: pl.DataFrame, cells: list[list[str]]) -> Grid:
    grid = Grid()
    for name in rows.columns:
        grid.add_column(Text(name), justify="right" if rows[name].dtype.is_numeric() else "left", no_wrap=True)
    for row in cells:
        grid.add_row(*(Text(value) for value in row))
    return grid


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
