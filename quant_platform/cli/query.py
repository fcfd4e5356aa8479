"""Asking the catalogue and showing the answer: only questions are let through, and nothing shown is cut.

What a query may touch is decided by DuckDB's own settings (`quant_platform.lake.open_catalogue`): the views, the files
of the lake, nothing else. Those settings let a statement write into the folder it may read, so the second guard is the
kind of the statement, as DuckDB's own parser names it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from quant_platform.contracts.errors import PlatformError
from quant_platform.lake.opening import open_catalogue

# PIVOT is a statement of several; a catalogue that is open read-only refuses the ones that would change it.
_QUESTIONS = ("SELECT", "MULTI")

NARROWEST_FOLD = 24
"""Characters below which a column of text is not folded; the table is then shown one column per line."""


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
        When it is another kind of statement.
    QueryFailed
        When DuckDB cannot answer it, or it asks for a file that is not of the lake.
    CatalogueUnavailable
        When the catalogue cannot be opened, at once.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise QueryFailed(
            "the query is not valid Unicode text", where="the query", action="remove the lone surrogate"
        ) from None
    with open_catalogue(catalogue) as connection:
        try:
            _only_one_question(connection, text)
            answer = connection.sql(text)
            return pl.DataFrame() if answer is None else pl.DataFrame(answer.pl())
        except duckdb.PermissionException as error:
            raise QueryFailed(
                str(error).split("\n\n")[0],
                where=str(catalogue),
                cause="a query reads the tables of this home and no other file; or the home was moved since the "
                "catalogue was built",
                action="`quant lake refresh` builds it again; read other files in a DuckDB of your own",
            ) from None
        except duckdb.Error as error:
            raise QueryFailed(
                str(error).split("\n\n")[0],
                where=str(catalogue),
                action="`quant sql 'from lake.partitions'` lists what there is; docs/reference/tables.md has every "
                "column",
            ) from None


def _only_one_question(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    kinds = _kinds(connection, text)
    explained = kinds == ["EXPLAIN"]
    if explained:
        # The statement inside decides: `explain analyze` carries it out. DuckDB's own lexer says where it begins.
        inner = [_kinds(connection, rest) for rest in _explained(text)]
        if any(len(found) == 1 and found[0] in _QUESTIONS for found in inner):
            return
        kinds = next((found for found in inner if found), kinds)
    elif len(kinds) == 1 and kinds[0] in _QUESTIONS:
        return
    raise QueryWrites(
        f"was {'explain ' if explained else ''}{', '.join(kinds) or 'empty'}, must be one question",
        where="the query",
        cause="quant sql only reads; select, from, describe, show, summarize, pivot and explain are questions",
        action="write files with --output csv; for anything else open the catalogue in a DuckDB of your own",
    )


def _kinds(connection: duckdb.DuckDBPyConnection, text: str) -> list[str]:
    return [statement.type.name for statement in connection.extract_statements(text)]


def _explained(text: str) -> Iterator[str]:
    """What may be the statement inside an EXPLAIN: after the word, its ``analyze``, its options in parentheses.

    A reading that is none is left out: DuckDB reads ``explain (select 1)`` as a statement in parentheses.
    """
    encoded = text.encode()
    found = duckdb.tokenize(text)
    ends = [*(at for at, _ in found[1:]), len(encoded)]
    read = [(at, end) for (at, kind), end in zip(found, ends, strict=True) if kind != duckdb.token_type.comment]
    tokens = [at for at, _ in read]
    words = [encoded[at:end].decode(errors="replace").strip().lower() for at, end in read]
    position = 1
    if words[position : position + 1] == ["analyze"]:
        position += 1
    starts = [position]
    if words[position : position + 1] == ["("]:
        depth = 0
        for step, word in enumerate(words[position:], start=position):
            depth += (word == "(") - (word == ")")
            if depth == 0:
                starts.append(step + 1)
                break
    for start in reversed(starts):
        if start < len(tokens):
            rest = encoded[tokens[start] :].decode(errors="replace")
            try:
                duckdb.extract_statements(rest)
            except duckdb.Error:
                continue
            yield rest
            return


def csv(rows: pl.DataFrame) -> str:
    """The answer as CSV; a list or a struct, for which CSV has no form, is written as JSON in its cell."""
    nested = [name for name, dtype in rows.schema.items() if dtype.is_nested()]
    return rows.with_columns(
        pl.Series(name, [None if value is None else json.dumps(value, default=str) for value in rows[name].to_list()])
        for name in nested
    ).write_csv()


def show(rows: pl.DataFrame, console: Console, limit: int) -> None:
    """Print rows as a table whose wide columns of text fold, or one column per line where even that is too wide.

    What is piped is not folded: a line stays a row.
    """
    shown = rows.head(limit)
    cells = [[shown_value(value) for value in row] for row in shown.iter_rows()]
    widths = [
        max(map(len, [name, *(line for row in cells for line in row[k].splitlines())]))
        for k, name in enumerate(rows.columns)
    ]
    if not console.is_terminal:
        console = Console(file=console.file, width=max(80, sum(widths) + 3 * len(widths) + 1))
    folded = _folded(widths, [dtype.is_numeric() for dtype in rows.dtypes], console.width - 3 * len(widths) - 1)
    if folded is not None:
        console.print(_grid(shown, cells, folded))
    else:
        _records(rows.columns, cells, console)
    if rows.height > limit:
        console.print(f"{rows.height - limit:,} more rows; a larger --limit shows them", highlight=False)


def _folded(widths: list[int], numeric: list[bool], room: int) -> list[int] | None:
    """Widths that fit into the room, taken from the widest columns of text; None where they would be too narrow."""
    found = list(widths)
    while sum(found) > room:
        foldable = [k for k, number in enumerate(numeric) if not number and found[k] > NARROWEST_FOLD]
        if not foldable:
            return None
        widest = max(foldable, key=lambda k: found[k])
        found[widest] = (
            max(NARROWEST_FOLD, found[widest] - (sum(found) - room)) if len(foldable) == 1 else (found[widest] - 1)
        )
    return found


def _grid(rows: pl.DataFrame, cells: list[list[str]], widths: list[int]) -> Grid:
    grid = Grid()
    for name, width in zip(rows.columns, widths, strict=True):
        grid.add_column(
            Text(name), justify="right" if rows[name].dtype.is_numeric() else "left", width=width, overflow="fold"
        )
    for row in cells:
        grid.add_row(*(Text(value) for value in row))
    return grid


def _records(names: list[str], cells: list[list[str]], console: Console) -> None:
    longest = max(len(name) for name in names)
    for position, row in enumerate(cells, start=1):
        console.rule(f"row {position}", align="left", style="dim")
        grid = Grid.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=min(longest, console.width // 2), overflow="fold")
        grid.add_column(overflow="fold")
        for name, value in zip(names, row, strict=True):
            grid.add_row(Text(name), Text(value))
        console.print(grid)


def shown_value(value: object) -> str:
    """A cell as a person reads it.

    A number is shown with four decimals; one below a tenth with three digits that say something, so that nothing which
    is not zero reads as zero.
    """
    match value:
        case None:
            return ""
        case float() if value == 0 or not math.isfinite(value):
            return f"{value:g}"
        case float() if 0.1 <= abs(value) < 1e15:
            return f"{value:.4f}"
        case float() if abs(value) >= 1e15:
            return f"{value:.6g}"
        case float():
            return f"{value:.3g}"
        case list():
            return f"[{', '.join(map(shown_value, value))}]"
        case dict():
            return f"{{{', '.join(f'{name}: {shown_value(inner)}' for name, inner in value.items())}}}"
        case _:
            return str(value)
