"""The SQL behind the catalogue: a view per table over an exact list of files, with comments from the table registry."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import duckdb
import polars as pl
from polars.datatypes import DataTypeClass

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.contracts.tables import Table
from quant_platform.lake.inventory import INVENTORY_COLUMNS, InventoryRow, inventory_frame
from quant_platform.lake.sql_text import exact_path, identifier, quoted
from quant_platform.lake.validation import declared_types

PARTITIONS_COMMENT = "The partitions of every table: the current version, where it is and what produced it."
OPEN_COLUMN_COMMENT = "Declared by a spec file of the table."
# A macro, because DuckDB has no other place for a word of ours that no listing of tables shows.
_DECLARED = "lake.declared()"
_BELOW_HOME = "lake.below_home"
HOME_VARIABLE = "quant_home"
"""Variable of a connection that says where the home of a catalogue is by now."""

_SIMPLE_TYPES: Mapping[DataTypeClass, str] = {
    pl.String: "VARCHAR",
    pl.Enum: "VARCHAR",
    pl.Categorical: "VARCHAR",
    pl.Boolean: "BOOLEAN",
    pl.Date: "DATE",
    pl.Time: "TIME",
    pl.Float32: "FLOAT",
    pl.Float64: "DOUBLE",
    pl.Int8: "TINYINT",
    pl.Int16: "SMALLINT",
    pl.Int32: "INTEGER",
    pl.Int64: "BIGINT",
    pl.UInt8: "UTINYINT",
    pl.UInt16: "USMALLINT",
    pl.UInt32: "UINTEGER",
    pl.UInt64: "UBIGINT",
}


def create_catalogue(
    connection: duckdb.DuckDBPyConnection, tables: Iterable[Table], rows: Sequence[InventoryRow], home: Path
) -> None:
    """Fill a database: a schema and a view per table, comments, and the table ``lake.partitions``.

    Parameters
    ----------
    connection
        An empty database.
    tables
        Every table; one without partitions becomes an empty view with the declared types.
    rows
        The files, as they are to be seen.
    home
        The folder that holds them.

    Notes
    -----
    Views name files by their path below the home, which one macro puts before them: the home in which the database was
    built, or what the variable ``quant_home`` says. `open_catalogue` sets it, so a home can be moved; whoever opens the
    file by other means after a move sets it too (``SET VARIABLE quant_home = '/new/place'``) or builds the catalogue
    again.
    """
    declared = list(tables)
    connection.execute("CREATE SCHEMA IF NOT EXISTS lake")
    _create_home(connection, home)
    connection.register("inventory_rows", inventory_frame(rows).to_arrow())
    connection.execute("CREATE TABLE lake.partitions AS SELECT * FROM inventory_rows")
    connection.unregister("inventory_rows")
    comments = {name: text for name, (_, text) in INVENTORY_COLUMNS.items()}
    _comment(connection, "TABLE", "lake.partitions", PARTITIONS_COMMENT, comments)
    connection.execute(f"CREATE MACRO {_DECLARED} AS {quoted(_declaration(declared))}")
    files_of = _by_table(rows)
    for table in declared:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(table.database_schema)}")
        _create_view(connection, table, files_of[table.name])


def update_catalogue(
    connection: duckdb.DuckDBPyConnection,
    tables: Iterable[Table],
    rows: Sequence[InventoryRow],
    known: Iterable[InventoryRow],
    home: Path,
) -> bool:
    """Bring a database of `create_catalogue` up to date: only the views whose files have changed are made anew.

    Parameters
    ----------
    connection
        A database that shows ``known``.
    tables
        Every table.
    rows
        The files, as they are to be seen.
    known
        The files it shows.
    home
        The folder that holds them.

    Returns
    -------
    bool
        False where it was made for other tables, columns or descriptions than these, and has to be made from nothing.
    """
    declared = list(tables)
    try:
        made_for = connection.execute(f"SELECT {_DECLARED}").fetchall()
    except duckdb.CatalogException:
        return False
    if made_for != [(_declaration(declared),)]:
        return False
    files_of, before = _by_table(rows), _by_table(known)
    _create_home(connection, home)
    changed = [table for table in declared if files_of[table.name] != before[table.name]]
    connection.register("inventory_rows", inventory_frame(rows).to_arrow())
    connection.execute("DELETE FROM lake.partitions")
    connection.execute("INSERT INTO lake.partitions SELECT * FROM inventory_rows")
    connection.unregister("inventory_rows")
    for table in changed:
        connection.execute(f"DROP VIEW {_name(table)}")
        _create_view(connection, table, files_of[table.name])
    return True


def _create_home(connection: duckdb.DuckDBPyConnection, home: Path) -> None:
    said = f"coalesce(getvariable('{HOME_VARIABLE}'), {exact_path(str(home))})"
    connection.execute(
        f"CREATE OR REPLACE MACRO {_BELOW_HOME}(files) AS list_transform(files, lambda file: {said} || '/' || file)"
    )


def _create_view(connection: duckdb.DuckDBPyConnection, table: Table, files: Sequence[InventoryRow]) -> None:
    connection.execute(f"CREATE VIEW {_name(table)} AS {view_query(table, files)}")
    _comment(connection, "VIEW", _name(table), table_comment(table, files), column_comments(table, files))


def _name(table: Table) -> str:
    return f"{identifier(table.database_schema)}.{identifier(table.relation)}"


def _by_table(rows: Iterable[InventoryRow]) -> Mapping[str, list[InventoryRow]]:
    found: dict[str, list[InventoryRow]] = defaultdict(list)
    for row in rows:
        found[row.table_name].append(row)
    return found


def _declaration(tables: Iterable[Table]) -> str:
    """A hash of everything that views say apart from their files."""
    said = [
        (table.name, table.open_columns, table_comment(table, []), view_query(table, []), column_comments(table, []))
        for table in tables
    ]
    return hashlib.sha256(repr(said).encode()).hexdigest()


def copy_tables(
    connection: duckdb.DuckDBPyConnection, tables: Iterable[Table], rows: Sequence[InventoryRow], home: Path
) -> None:
    """Fill a database like `create_catalogue`, but with the rows themselves, so that it needs no other file."""
    create_catalogue(connection, tables, rows, home)
    for table in tables:
        files = [row for row in rows if row.table_name == table.name]
        connection.execute(f"DROP VIEW {_name(table)}")
        connection.execute(f"CREATE TABLE {_name(table)} AS {view_query(table, files)}")
        _comment(connection, "TABLE", _name(table), table_comment(table, files), column_comments(table, files))
    connection.execute(f"DROP MACRO {_BELOW_HOME}")


def view_query(table: Table, files: Sequence[InventoryRow]) -> str:
    """Return the SELECT over exactly these files, with the declared columns and types first.

    A column that some or all files lack is null there. Files are matched by column name only where they differ,
    because that makes DuckDB open all of them to plan a query.
    """
    types = {name: duckdb_type(dtype) for name, dtype in declared_types(table).items()}
    if not files:
        columns = ", ".join(f"CAST(NULL AS {kind}) AS {identifier(name)}" for name, kind in types.items())
        return f"SELECT {columns} WHERE false"
    present = {name for row in files for name in row.column_names}
    columns = ", ".join(
        f"CAST({identifier(name) if name in present else 'NULL'} AS {kind}) AS {identifier(name)}"
        for name, kind in {**types, **dict.fromkeys(_open_columns(table, files), "DOUBLE")}.items()
    )
    by_name = str(len({row.columns for row in files}) > 1).lower()
    paths = ", ".join(exact_path(row.path) for row in files)
    files_below = f"{_BELOW_HOME}([{paths}])"
    return f"SELECT {columns} FROM read_parquet({files_below}, union_by_name = {by_name}, hive_partitioning = false)"


def table_comment(table: Table, files: Sequence[InventoryRow]) -> str:
    """Return the description of a table; one that holds simulated data says so first."""
    text = " ".join(table.description.split())
    return f"SIMULATED. {text}" if any(row.simulated for row in files) else text


def column_comments(table: Table, files: Sequence[InventoryRow]) -> dict[str, str]:
    """Return the description of each column."""
    declared = {name: column.description or "" for name, column in table.schema.columns().items()}
    return {**declared, **dict.fromkeys(_open_columns(table, files), OPEN_COLUMN_COMMENT)}


def duckdb_type(dtype: pl.DataType | DataTypeClass) -> str:
    """Return the DuckDB type in which a Polars type of a Parquet file is read."""
    if isinstance(dtype, pl.List):
        return f"{duckdb_type(dtype.inner)}[]"
    if isinstance(dtype, pl.Struct):
        fields = (f"{identifier(field.name)} {duckdb_type(field.dtype)}" for field in dtype.fields)
        return f"STRUCT({', '.join(fields)})"
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone is not None:
            return "TIMESTAMP WITH TIME ZONE"
        return "TIMESTAMP_NS" if dtype.time_unit == "ns" else "TIMESTAMP"
    found = _SIMPLE_TYPES.get(dtype.base_type())
    if found is None:
        raise SchemaViolation(f"the type {dtype} has no counterpart in the catalogue", action="declare another type")
    return found


def _open_columns(table: Table, files: Sequence[InventoryRow]) -> list[str]:
    if not table.open_columns:
        return []
    declared = set(table.schema.column_names())
    return list(dict.fromkeys(name for row in files for name in row.column_names if name not in declared))


def _comment(
    connection: duckdb.DuckDBPyConnection, kind: str, name: str, text: str, columns: Mapping[str, str]
) -> None:
    connection.execute(f"COMMENT ON {kind} {name} IS {quoted(text)}")
    for column, description in columns.items():
        connection.execute(f"COMMENT ON COLUMN {name}.{identifier(column)} IS {quoted(description)}")
