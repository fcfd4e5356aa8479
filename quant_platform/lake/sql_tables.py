"""Tables that are declared in SQL: what a query reads, where its columns come from, and which types they have.

1. the statement is parsed (sqlglot, the dialect of DuckDB): one query, over tables of the lake by their full names,
   that asks neither the clock nor chance nor a file (:func:`_parsed`);
2. files are brought into an order in which each reads what stands before it (:func:`sql_tables`);
3. DuckDB binds the query over empty tables, which gives names and types of the columns (:func:`_columns`);
4. each column is followed through the query to the columns it is made of (:func:`_lineage`).

The schema that comes of it is like those written in Python: key, types and descriptions are checked, shown and stored
in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dataframely as dy
import duckdb

from quant_platform.contracts.errors import SpecError
from quant_platform.contracts.tables import TABLES, SqlTable, Table
from quant_platform.lake.validation import declared_types
from quant_platform.lake.views import create_catalogue, duckdb_type
from quant_platform.specification.open_columns import open_columns
from quant_platform.specification.sql_files import SqlFile, read_sql_file, sql_paths

if TYPE_CHECKING:
    from sqlglot import exp

Source = tuple[str, str]

# What gives another answer when it is asked again.
_UNSTABLE = re.compile(
    r"now|today|get_current_time(stamp)?|current_(date|time|timestamp|user|setting|schema|database)|transaction_timestamp|"
    r"rand|random|uuid|gen_random_uuid|uuidv\d|setseed|nextval|currval|getenv|getvariable|txid_current|localtime(stamp)?"
)
_TYPES: Mapping[str, Callable[..., Any]] = {
    "VARCHAR": dy.String,
    "BOOLEAN": dy.Bool,
    "DATE": dy.Date,
    "TIME": dy.Time,
    "FLOAT": dy.Float32,
    "DOUBLE": dy.Float64,
    "TINYINT": dy.Int8,
    "SMALLINT": dy.Int16,
    "INTEGER": dy.Int32,
    "BIGINT": dy.Int64,
    "UTINYINT": dy.UInt8,
    "USMALLINT": dy.UInt16,
    "UINTEGER": dy.UInt32,
    "UBIGINT": dy.UInt64,
    "TIMESTAMP": lambda **keys: dy.Datetime(time_unit="us", **keys),
    "TIMESTAMP WITH TIME ZONE": lambda **keys: dy.Datetime(time_unit="us", time_zone="UTC", **keys),
}


def sql_tables(specs: Path) -> tuple[SqlTable, ...]:
    """The tables that the files below ``specs/sql`` declare, each after those it reads.

    Raises
    ------
    SpecError
        For the first file that does not declare a table: with file, line where there is one, and the next action.
    """
    paths = sql_paths(specs)
    if not paths:
        return ()
    decided_by = (*paths, *sorted((specs / "features").glob("*.yaml")), *sorted((specs / "events").glob("*.yaml")))
    states = tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in decided_by)
    return _declared(specs, paths, states)


@lru_cache(maxsize=8)
def _declared(specs: Path, paths: tuple[Path, ...], states: tuple[tuple[Path, int, int], ...]) -> tuple[SqlTable, ...]:
    """The tables of some files; their states are there so that an edited file is read again."""
    del states
    files = {file.name: file for file in map(read_sql_file, paths)}
    for name in sorted(files.keys() & TABLES.keys()):
        raise SpecError(
            f"there is a table {name} already",
            where=str(files[name].path),
            action="give the file, and so the table, another name",
        )
    trees = {name: _parsed(file) for name, file in files.items()}
    reads = {name: _reads(files[name], trees[name], {*TABLES, *files}) for name in files}
    known = {**TABLES, **{name: _with_open(TABLES[name], extra) for name, extra in open_columns(specs).items()}}
    found: dict[str, SqlTable] = {}
    for name in _in_order(files, reads):
        found[name] = _table(files[name], trees[name], {source: known[source] for source in reads[name]})
        known[name] = found[name].table
    return tuple(found.values())


def _parsed(file: SqlFile) -> exp.Query:
    import sqlglot
    from sqlglot import exp

    try:
        statements = [tree for tree in sqlglot.parse(file.query, dialect="duckdb") if tree is not None]
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        message = re.sub(r"\x1b\[\d*m", "", str(error).splitlines()[0] if str(error) else "it nests too deeply")
        raise _wrong(file, f"the query is not SQL: {message}", "try it with quant sql first") from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise _wrong(file, "the file is not one query", "write a single select; the platform stores what it gives")
    for function in statements[0].find_all(exp.Func):
        name = (function.name if isinstance(function, exp.Anonymous) else function.sql_name()).lower()
        if _UNSTABLE.fullmatch(name):
            raise _wrong(
                file,
                f"{name} gives another answer each time",
                "the same inputs must give the same rows: name a column instead",
            )
    return statements[0]


def _reads(file: SqlFile, tree: exp.Query, known: set[str]) -> tuple[str, ...]:
    """Names of the tables a query reads, common table expressions looked through."""
    from sqlglot import exp

    local = {common.alias for common in tree.find_all(exp.CTE)}
    found = set()
    for node in tree.find_all(exp.Table):
        name = ".".join(part.name for part in node.parts) if isinstance(node.this, exp.Identifier) else node.sql()
        if name in local:
            continue
        if name not in known or name == file.name:
            close = get_close_matches(name, known - {file.name}, n=1)
            raise _wrong(
                file,
                f"the query reads itself, {name}" if name == file.name else f"there is no table {name!r}",
                f"did you mean {close[0]}?" if close else "read tables of the lake, by schema.table",
            )
        found.add(name)
    if not found:
        raise _wrong(file, "the query reads no table", "read tables of the lake, by schema.table")
    return tuple(sorted(found))


def _in_order(files: Mapping[str, SqlFile], reads: Mapping[str, Sequence[str]]) -> Iterator[str]:
    waiting, done = sorted(files), set[str]()
    while waiting:
        ready = [name for name in waiting if not (set(reads[name]) & files.keys()) - done]
        if not ready:
            raise _wrong(
                files[waiting[0]],
                f"the queries read one another in a circle: {', '.join(waiting)}",
                "take one of the arrows out",
            )
        yield from ready
        done.update(ready)
        waiting = [name for name in waiting if name not in done]


def _with_open(table: Table, extra: Mapping[str, str]) -> Table:
    """An open table with the columns of the specs among its own."""
    own = table.schema.columns()
    added = {name: dy.Float64(nullable=True, description=text) for name, text in extra.items() if name not in own}
    return replace(table, schema=type(table.schema.__name__, (table.schema,), added))


def _table(file: SqlFile, tree: exp.Query, sources: Mapping[str, Table]) -> SqlTable:
    types = _columns(file, tuple(sources.values()))
    _require_named(file, types)
    lineage = _lineage(file, tree, sources, tuple(types))
    said = {name: _description(file, name, lineage[name], sources) for name in types}
    columns = {name: _column(file, name, kind, said[name]) for name, kind in types.items()}
    schema = type(_class_name(file.name), (dy.Schema,), {"__doc__": file.header.description, **columns})
    return SqlTable(Table(file.name, schema, file.header.dimensions), file.path, file.query, tuple(sources), lineage)


def _columns(file: SqlFile, sources: Sequence[Table]) -> dict[str, str]:
    """Names and DuckDB types of the columns, from binding the query over empty tables."""
    with duckdb.connect(config={"enable_external_access": False}) as connection:
        create_catalogue(connection, sources, [], file.path.parent)
        try:
            rows = connection.execute(f"DESCRIBE {file.query}").fetchall()
        except duckdb.Error as error:
            message = " ".join(str(error).split("\n\nLINE")[0].split())
            raise _wrong(
                file, f"DuckDB does not understand the query: {message}", "try it with quant sql first"
            ) from error
    return {str(name): str(kind) for name, kind, *_ in rows}


def _require_named(file: SqlFile, types: Mapping[str, str]) -> None:
    header = file.header
    if header.dimensions not in {table.dimensions for table in TABLES.values()}:
        known = sorted({", ".join(table.dimensions) for table in TABLES.values() if table.dimensions})
        raise _wrong(
            file,
            f"nothing is partitioned by {', '.join(header.dimensions)}",
            f"choose one of: {'; '.join(known)}; or leave partition out",
        )
    named = {"key": header.key, "partition": header.dimensions, "columns": tuple(header.columns)}
    for where, names in named.items():
        for name in names:
            if name not in types:
                close = get_close_matches(name, types, n=1)
                raise _wrong(
                    file,
                    f"{where} names {name!r}, and the query has no such column",
                    f"did you mean {close[0]}?" if close else f"its columns are {', '.join(types)}",
                )


def _column(file: SqlFile, name: str, kind: str, description: str) -> Any:
    plain = kind.removesuffix("[]")
    make = _TYPES.get(plain)
    if make is None:
        raise _wrong(
            file,
            f"the column {name!r} is of the type {kind}, which no table of the lake has",
            f"cast it, for example cast({name} as bigint) or cast({name} as double)",
        )
    if kind.endswith("[]"):
        return dy.List(make(nullable=True), nullable=True, description=description)
    is_key = name in file.header.key
    return make(primary_key=is_key, nullable=not is_key, description=description)


def _description(file: SqlFile, name: str, made_of: Sequence[Source], sources: Mapping[str, Table]) -> str:
    said = file.header.columns.get(name)
    if said is not None:
        return said
    if len(made_of) == 1 and made_of[0][1] == name:
        column = sources[made_of[0][0]].schema.columns().get(name)
        if column is not None and column.description:
            return column.description
    shown = ", ".join(f"{table}.{column}" for table, column in made_of)
    return f"Made of {shown}." if shown else "Counted or stated by the query."


def _lineage(
    file: SqlFile, tree: exp.Query, sources: Mapping[str, Table], columns: Sequence[str]
) -> dict[str, tuple[Source, ...]]:
    from sqlglot import errors, exp
    from sqlglot.lineage import lineage

    schema: dict[str, dict[str, dict[str, str]]] = {}
    for table in sources.values():
        types = {name: duckdb_type(dtype) for name, dtype in declared_types(table).items()}
        schema.setdefault(table.database_schema, {})[table.relation] = types
    found: dict[str, tuple[Source, ...]] = {}
    for column in columns:
        try:
            root = lineage(column, tree.copy(), schema=schema, dialect="duckdb")
        except errors.SqlglotError as error:
            raise _wrong(
                file,
                f"where the column {column!r} comes from cannot be read: {str(error).splitlines()[0]}",
                "name the columns of each step of the query",
            ) from error
        leaves = {
            (f"{node.source.db}.{node.source.name}", node.name.rsplit(".", 1)[-1])
            for node in root.walk()
            if isinstance(node.source, exp.Table) and node.source.db
        }
        found[column] = tuple(sorted(leaves))
    return found


def _class_name(name: str) -> str:
    return "".join(part.capitalize() for part in re.split(r"[._]", name))


def _wrong(file: SqlFile, what: str, action: str) -> SpecError:
    return SpecError(what, where=str(file.path), action=action)
