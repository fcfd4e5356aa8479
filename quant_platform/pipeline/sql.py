"""Stages of tables that are declared in SQL: which rows a partition may read, and that it reads no others.

The procedure for one partition:

1. every table that the query names is shown to it as a view over the rows it may read (:func:`_may_read`): of a
   partition in time those that belong to its period or an earlier one, of any other dimension those of the same key;
2. the query runs as it was written, and the rows of the partition are taken;
3. it runs again over all rows there are. Where that changes a row, the query looks ahead, or across, and is refused
   (:func:`_refuse_reach`): its rows of today would be others tomorrow, in silence.

A partition in time has nothing after it while it is the last one; there the partition before it is compared, with and
without the last. What a row itself says about later, such as the outcome of a setup, is not cut: select by
``resolved_at`` there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import duckdb
import polars as pl

from quant_platform.contracts.errors import LookAheadFound, SchemaViolation
from quant_platform.contracts.tables import SqlTable, Table
from quant_platform.lake.keys import Key, key_parts
from quant_platform.lake.opening import open_catalogue
from quant_platform.lake.sql_text import identifier, quoted
from quant_platform.lake.validation import declared_types
from quant_platform.pipeline.closure import code_hash
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import Frames, Stage

PERIODS = ("week", "as_of_week", "day", "month", "cutoff", "year")
"""Dimensions whose keys are periods of time."""


@dataclass(frozen=True)
class Opened:
    """The catalogue of one step, with what it holds: a query sees one state of the lake, and that is what is noted.

    Attributes
    ----------
    connection
        Open read-only, closed to everything but the lake.
    tables
        The registered tables and those in SQL.
    versions
        By table, the version of each partition, by its key as the lake shows it; ``""`` for one without partitions.
    without_cut
        By table in SQL, the rows of each partition when the query sees everything; asked once, then kept.
    """

    connection: duckdb.DuckDBPyConnection
    tables: Mapping[str, Table]
    versions: Mapping[str, Mapping[str, str]]
    without_cut: dict[str, dict[tuple[str, ...], pl.DataFrame]] = field(default_factory=dict)

    @classmethod
    def of(cls, connection: duckdb.DuckDBPyConnection, tables: Mapping[str, Table]) -> Opened:
        """Read from a catalogue what it holds."""
        versions: dict[str, dict[str, str]] = {}
        for name, key, version in connection.execute("SELECT table_name, key, version FROM lake.partitions").fetchall():
            versions.setdefault(name, {})[key or ""] = version
        return cls(connection, tables, versions)


@dataclass(frozen=True, kw_only=True)
class SqlStage(Stage):
    """The stage of one table in SQL.

    Attributes
    ----------
    sql
        The table, its query and what it reads.
    """

    sql: SqlTable

    def over(self, connection: duckdb.DuckDBPyConnection, home: Home) -> SqlStage:
        """The stage on a catalogue that is open, as one step uses it for all of its partitions."""
        opened = Opened.of(connection, home.tables)

        def rows(home: Home, key: Any, /, *, refresh: bool) -> Frames:
            del home, refresh
            return {self.sql.table.name: _rows_of(self.sql, opened, key)}

        return replace(self, compute=rows, versions_of=lambda _, key: _versions(self.sql, opened, key))

    @property
    def tables(self) -> tuple[Table, ...]:
        """The table it writes."""
        return (self.sql.table,)

    def code_version(self, home: Home) -> str:
        """Hash of the query, of what the header says of rows and columns, and of the code that runs it."""
        table = self.sql.table
        columns = {name: repr(dtype) for name, dtype in declared_types(table).items()}
        said = [self.sql.query, table.dimensions, table.primary_key, columns]
        content = code_hash(_rows_of) + repr(said) + "".join(map(repr, home.dates))
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def sql_stages(home: Home) -> tuple[SqlStage, ...]:
    """The stages of the SQL tables of a home, each after those it reads."""
    return tuple(_stage(found) for found in home.sql)


def _stage(sql: SqlTable) -> SqlStage:
    def rows(home: Home, key: Any, /, *, refresh: bool) -> Frames:
        del refresh
        with open_catalogue(home.settings.catalogue, threads=1) as connection:
            return {sql.table.name: _rows_of(sql, Opened.of(connection, home.tables), key)}

    return SqlStage(
        outputs=(sql.table.name,),
        compute=rows,
        specs=(f"sql/{sql.path.name}",),
        kinds=("duckdb", "sql"),
        upstream=sql.reads,
        lineage=sql.lineage,
        sql=sql,
    )


def _versions(sql: SqlTable, opened: Opened, key: Key) -> dict[str, str]:
    """For each table, how many partitions may be read and a digest of their versions."""
    found = {}
    for name in sql.reads:
        table = opened.tables[name]
        seen = sorted(
            (partition, version)
            for partition, version in opened.versions.get(name, {}).items()
            if _may_hold(table, partition, sql.table, key)
        )
        digest = hashlib.sha256(repr(seen).encode()).hexdigest()[:16]
        found[name] = f"{len(seen)} partitions, {digest}" if table.dimensions else dict(seen).get("", "")
    return found


def _rows_of(sql: SqlTable, opened: Opened, key: Key) -> pl.DataFrame:
    """The rows of one partition.

    Raises
    ------
    LookAheadFound
        When rows that the partition may not read change them.
    SchemaViolation
        When the query fails, or a value is none of its column's.
    """
    made = _asked(sql, opened, key)
    if sql.table.dimensions:
        _refuse_reach(sql, key, made, _without_cut(sql, opened, key))
        before = _partition_before(sql, opened, key)
        if before is not None:
            _refuse_reach(sql, before, _asked(sql, opened, before), _without_cut(sql, opened, before))
    return made


def _without_cut(sql: SqlTable, opened: Opened, key: Key) -> pl.DataFrame:
    """Rows of a partition when the query sees all there is."""
    found = opened.without_cut.get(sql.table.name)
    if found is None:
        everything = _asked(sql, opened, None)
        columns = [pl.col(sql.table.key_column(name)).cast(pl.String) for name in sql.table.dimensions]
        named = [f"__{name}" for name in sql.table.dimensions]
        marked = everything.with_columns(column.alias(name) for column, name in zip(columns, named, strict=True))
        parts = marked.partition_by(named, as_dict=True, include_key=False)
        found = {tuple(map(str, part)): rows for part, rows in parts.items()}
        found[()] = everything.clear()
        opened.without_cut[sql.table.name] = found
    return found.get(tuple(_parts(sql.table, key).values()), found[()])


def _asked(sql: SqlTable, opened: Opened, key: Key) -> pl.DataFrame:
    """Rows of a partition by the query over what that may read; of all partitions, over everything, for no key."""
    connection = opened.connection
    for name in sql.reads:
        table = opened.tables[name]
        schema, relation = identifier(table.database_schema), identifier(table.relation)
        allowed = "true" if key is None else _may_read(table, sql.table, key)
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS memory.{schema}")
        connection.execute(
            f"CREATE OR REPLACE VIEW memory.{schema}.{relation} AS "
            f"SELECT * FROM quant.{schema}.{relation} WHERE {allowed}"
        )
    parts = {} if key is None else _parts(sql.table, key)
    own = " AND ".join(_is(sql.table, name, part) for name, part in parts.items()) or "true"
    try:
        connection.execute("USE memory")
        found: pl.DataFrame = connection.sql(f"SELECT * FROM ({sql.query}\n) WHERE {own}").pl()
    except duckdb.Error as error:
        raise SchemaViolation(
            f"the query failed: {' '.join(str(error).split())}",
            where=str(sql.path),
            action="try it with quant sql on the rows of this partition",
        ) from error
    finally:
        connection.execute("USE quant")
    types = declared_types(sql.table)
    return found.select(pl.col(name).cast(dtype) for name, dtype in types.items()).sort(*sql.table.primary_key)


def _refuse_reach(sql: SqlTable, key: Key, allowed: pl.DataFrame, everything: pl.DataFrame) -> None:
    if allowed.equals(everything):
        return
    changed = pl.concat(
        [
            allowed.join(everything, on=allowed.columns, how="anti", nulls_equal=True),
            everything.join(allowed, on=allowed.columns, how="anti", nulls_equal=True),
        ]
    )
    in_time = any(name in PERIODS for name in sql.table.dimensions)
    raise LookAheadFound(
        "rows change with what comes after them" if in_time else "rows change with what other partitions hold",
        where=f"{sql.path}, partition {'/'.join(_parts(sql.table, key).values())}",
        how_many=f"{changed.height} rows differ between what this partition may read and all there is",
        rows=changed,
        cause="lead(), a frame that goes on following rows, or an aggregate over the whole table"
        if in_time
        else "a rank, a mean or a join over other keys of the dimension it is partitioned by",
        action="select only what was there by then: join on earlier rows, or order by time and look back"
        if in_time
        else "partition it by time, or not at all",
    )


def _partition_before(sql: SqlTable, opened: Opened, key: Key) -> Key:
    """The partition before the last period that there are data of; None where others come after `key`."""
    parts = _parts(sql.table, key)
    dimension = next((name for name in parts if name in PERIODS), None)
    if dimension is None or any(_newest(opened, name) > _last_day(dimension, parts[dimension]) for name in sql.reads):
        return None
    found = tuple((parts | {dimension: _period_before(dimension, parts[dimension])}).values())
    return found if len(found) > 1 else found[0]


def _newest(opened: Opened, name: str) -> date:
    """The last day that rows of a table are of; the first of all days where they have none."""
    table = opened.tables[name]
    column = _time_column(table)
    if column is None:
        return date.min
    relation = f"quant.{identifier(table.database_schema)}.{identifier(table.relation)}"
    row = opened.connection.execute(f"SELECT CAST(max({identifier(column)}) AS DATE) FROM {relation}").fetchone()
    return date.min if row is None or row[0] is None else row[0]


def _may_read(table: Table, own: Table, key: Key) -> str:
    """The condition on the rows of a table that a partition of another may read."""
    conditions = []
    for name, part in _parts(own, key).items():
        if name in PERIODS:
            conditions.append(_not_after(table, _last_day(name, part)))
        elif name in table.dimensions:
            conditions.append(_is(table, name, part))
    return " AND ".join(conditions) or "true"


def _not_after(table: Table, last: date) -> str:
    column = _time_column(table)
    if column is not None:
        next_day = quoted((last + timedelta(days=1)).isoformat())
        dtype = declared_types(table)[column]
        kind = (
            "DATE" if dtype == pl.Date else "TIMESTAMP" if getattr(dtype, "time_zone", None) is None else "TIMESTAMPTZ"
        )
        return f"({identifier(column)} < CAST({next_day} AS {kind}) OR {identifier(column)} IS NULL)"
    for name in table.dimensions:
        if name in ("month", "cutoff"):
            return f"{identifier(table.key_column(name))} <= {quoted(_whole_month(last))}"
    return "true"


def _may_hold(table: Table, partition: str, own: Table, key: Key) -> bool:
    """Whether a partition of a table may hold rows that a partition of another may read."""
    held = dict(zip(table.dimensions, partition.split("/"), strict=True)) if table.dimensions else {}
    for name, part in _parts(own, key).items():
        if name in PERIODS:
            last = _last_day(name, part)
            if any(dimension in PERIODS and _first_day(dimension, held[dimension]) > last for dimension in held):
                return False
        elif name in held and held[name] != part:
            return False
    return True


def _time_column(table: Table) -> str | None:
    """The column that says when a row was there to be known: when it was published, else the time in its key."""
    types = declared_types(table)
    temporal = [name for name, dtype in types.items() if dtype in (pl.Date, pl.Datetime)]
    ranked: Iterable[str] = ("known_at", *table.primary_key, "session", "date_sig", "open_time")
    return next((name for name in ranked if name in temporal), None)


def _first_day(dimension: str, key: str) -> date:
    """The first day of a period; a cutoff is known at its end and not before."""
    if dimension == "cutoff":
        return _last_day(dimension, key)
    return date.fromisoformat({"year": f"{key}-01-01", "month": f"{key}-01"}.get(dimension, key))


def _last_day(dimension: str, key: str) -> date:
    if dimension in ("month", "cutoff"):
        year, month = map(int, key.split("-"))
        return date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
    if dimension == "year":
        return date(int(key), 12, 31)
    return date.fromisoformat(key) + timedelta(days=0 if dimension == "day" else 6)


def _period_before(dimension: str, key: str) -> str:
    """Key of the period before."""
    if dimension == "year":
        return f"{int(key) - 1:04d}"
    if dimension in ("month", "cutoff"):
        return f"{date.fromisoformat(f'{key}-01') - timedelta(days=1):%Y-%m}"
    return (date.fromisoformat(key) - timedelta(days=1 if dimension == "day" else 7)).isoformat()


def _whole_month(last: date) -> str:
    """The last month that is over by the end of a day."""
    return f"{last + timedelta(days=1) - timedelta(days=(last + timedelta(days=1)).day):%Y-%m}"


def _parts(table: Table, key: Key) -> dict[str, str]:
    return dict(zip(table.dimensions, key_parts(table, key), strict=True))


def _is(table: Table, dimension: str, part: str) -> str:
    return f"CAST({identifier(table.key_column(dimension))} AS VARCHAR) = {quoted(part)}"
