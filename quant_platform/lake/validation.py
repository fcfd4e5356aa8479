"""Judge a frame against the declared schema of its table, before a byte is written."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any

import dataframely as dy
import numpy as np
import polars as pl

from quant_platform.contracts.columns import is_constant
from quant_platform.contracts.empty_frames import empty_frame
from quant_platform.contracts.errors import SHOWN_ROWS, SchemaViolation
from quant_platform.contracts.ordering import sorted_by, surely_ascending
from quant_platform.contracts.tables import Table
from quant_platform.lake.keys import Key, key_parts, shown_key

_WORTH_JOINING = 8
_PLAN_TAIL = re.compile(r"\n*Resolved plan until failure:.*", re.DOTALL)


def validated(table: Table, key: Key, frame: pl.DataFrame, *, keeps_rules: bool = False) -> pl.DataFrame:
    """Return the frame in file order: declared columns first, rows sorted by the primary key.

    Parameters
    ----------
    table
        The table whose schema, primary key and partition columns count.
    key
        The partition the frame is meant for.
    frame
        Exactly the declared columns in any order; a table with open columns may carry further Float64 columns.
    keeps_rules
        Whether its rows are known to keep the rules of the schema (`all_keep_rules`).

    Raises
    ------
    SchemaViolation
        Naming column or rule, the count, and the first five rows.

    Notes
    -----
    A dimension without a column of its own (``month`` over a stamp, say) is not compared with the rows. Values are
    never cast, filled or dropped.
    """
    where = _where(table, key)
    _refuse_columns(table, frame, where)
    if not keeps_rules:
        _refuse_broken_rules(table, frame, where)
    _refuse_other_partition(table, key, frame, where)
    declared = table.schema.column_names()
    ordered = _in_order(frame, [*declared, *(name for name in frame.columns if name not in set(declared))])
    return sorted_by(ordered, table.primary_key) if table.primary_key else ordered


def all_keep_rules(table: Table, frames: Collection[pl.DataFrame]) -> bool:
    """Whether many partitions keep every rule of the schema, told of all their rows at once.

    A rule is about a row, or about a primary key that is there once: what holds for all rows holds for those of each
    partition. False also where each of them has to be looked at, to say which one is at fault.
    """
    declared = table.schema.column_names()
    if len(frames) < _WORTH_JOINING or any(not set(declared) <= set(frame.columns) for frame in frames):
        return False
    parts = [frame.select(declared) for frame in frames]
    if any(part.schema != declared_types(table) for part in parts):
        return False
    return keeps_all_rules(table.schema, pl.concat(parts))


def _in_order(frame: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    return frame if frame.columns == columns else frame.select(columns)


def declared_types(table: Table) -> Mapping[str, pl.DataType]:
    """Return the declared columns and their Polars types, in order."""
    return _types_of_schema(table.schema)


@lru_cache(maxsize=1024)
def _types_of_schema(schema: type[dy.Schema]) -> Mapping[str, pl.DataType]:
    # A schema is a class and never changes; every read and write of a partition asks for its types.
    return MappingProxyType(dict(empty_frame(schema).schema))


_Rules = Mapping[str, tuple[tuple[str, pl.Expr], ...]]


@lru_cache(maxsize=1024)
def _rules_of(schema: type[dy.Schema]) -> _Rules:
    """What `schema.is_valid` asks of rows whose types are right: by column, with '' for rules over several columns."""
    found: dict[str, list[tuple[str, pl.Expr]]] = {}
    for name, rule in schema._validation_rules(with_cast=False).items():
        column, bar, kind = name.rpartition("|")
        found.setdefault(column if bar else "", []).append((kind, rule.expr.fill_null(value=True).all()))
    return {column: tuple(rules) for column, rules in found.items()}


def keeps_all_rules(schema: type[dy.Schema], frame: pl.DataFrame) -> bool:
    """Whether `schema.is_valid`, told in a fraction of the time for a small partition.

    An expression costs Polars 0.1 ms whatever the rows, and a schema has dozens: only what the buffers of a column do
    not already show to be kept is asked of it.
    """
    if not frame.height:
        # A rule is about rows.
        return True
    doubtful: list[pl.Expr] = []
    columns = schema.columns()
    for name, rules in _rules_of(schema).items():
        if name in columns:
            values = _Values(columns[name], frame.get_column(name))
            doubtful += [rule for kind, rule in rules if not values.keep(kind)]
        else:
            doubtful += [rule for kind, rule in rules if kind != "primary_key" or not _surely_unique(schema, frame)]
    return not doubtful or frame.select(pl.all_horizontal(doubtful)).item() is True


def _surely_unique(schema: type[dy.Schema], frame: pl.DataFrame) -> bool:
    """Whether no primary key occurs twice for certain: the rows come in its order, each after the one before.

    Or one column of it, mostly the last, never repeats.
    """
    keys = schema.primary_key()
    return surely_ascending(frame, keys) or any(
        frame.get_column(name).n_unique() == frame.height for name in reversed(keys)
    )


class _Values:
    """A column, and what can be said of it without an expression."""

    def __init__(self, column: dy.Column, series: pl.Series) -> None:
        self._column, self._series, self._nulls = column, series, series.null_count()

    def keep(self, kind: str) -> bool:
        """Whether a rule is kept for certain; False for every rule that is not known here."""
        if kind == "nullability":
            return self._nulls == 0
        if self._nulls == len(self._series):
            return kind in _LIMITS or kind in ("inf", "nan")
        if kind == "inf":
            return not bool(np.isinf(self._numbers).any())
        if kind == "nan":
            return not self._has_nan
        if kind not in _LIMITS or self._series.dtype.is_nested() or self._has_nan:
            return False
        extreme = self._series.min() if kind in ("min", "min_exclusive") else self._series.max()
        return bool(_LIMITS[kind](extreme, getattr(self._column, kind)))

    @cached_property
    def _numbers(self) -> np.ndarray[Any, np.dtype[Any]]:
        return self._series.to_numpy()

    @cached_property
    def _has_nan(self) -> bool:
        # Nulls are NaN in the array.
        return self._series.dtype.is_float() and int(np.isnan(self._numbers).sum()) > self._nulls


_LIMITS: Mapping[str, Callable[[Any, Any], Any]] = {
    "min": operator.ge,
    "min_exclusive": operator.gt,
    "max": operator.le,
    "max_exclusive": operator.lt,
}


def _where(table: Table, key: Key) -> str:
    return table.name if key is None else f"{table.name}, partition {shown_key(key)!r}"


def _refuse_columns(table: Table, frame: pl.DataFrame, where: str) -> None:
    if dict(frame.schema) == declared_types(table):
        return
    declared = table.schema.columns()
    missing = [name for name in declared if name not in frame.columns]
    if missing:
        raise SchemaViolation(
            f"columns are missing: {', '.join(missing)}",
            where=where,
            how_many=f"{len(missing)} of {len(declared)} columns",
            action=f"add them as {table.schema.__name__} declares",
        )
    unexpected = [name for name in frame.columns if name not in declared]
    if unexpected and not table.open_columns:
        raise SchemaViolation(
            f"columns are not declared: {', '.join(unexpected)}",
            where=where,
            how_many=f"{len(unexpected)} of {frame.width} columns",
            action=f"declare them in {table.schema.__name__} or leave them out",
        )
    types = frame.schema
    wrong = [
        f"{name} was {types[name]}, declared {column.dtype}"
        for name, column in declared.items()
        if not column.validate_dtype(types[name])
    ]
    wrong += [f"{name} was {types[name]}, open columns are Float64" for name in unexpected if types[name] != pl.Float64]
    if wrong:
        raise SchemaViolation(
            f"columns have another type than declared: {'; '.join(wrong)}",
            where=where,
            how_many=f"{len(wrong)} of {frame.width} columns",
            action="cast where the values are made; the lake does not guess",
        )


def _refuse_broken_rules(table: Table, frame: pl.DataFrame, where: str) -> None:
    declared = _in_order(frame, table.schema.column_names())
    if keeps_all_rules(table.schema, declared):
        return
    try:
        table.schema.validate(declared)
        return
    except dy.exc.SchemaError as error:
        raise SchemaViolation(_PLAN_TAIL.sub("", str(error)).strip(), where=where) from error
    except dy.exc.ValidationError as error:
        cause = error
    failures = table.schema.filter(declared)[1]
    counts = failures.counts()
    rules = [f"rule {_rule_name(rule)} for {count} of {frame.height} rows" for rule, count in sorted(counts.items())]
    shown = [name for name in declared.columns if name in table.primary_key or _breaks(counts, name)]
    raise SchemaViolation(
        f"rows broke {'; '.join(rules)}",
        where=where,
        how_many=f"{len(failures)} of {frame.height} rows",
        rows=failures.invalid().select(shown or declared.columns),
        cause=_likely_cause(table, counts),
        action=f"correct the computation that made them, or the rule in {table.schema.__name__}",
    ) from cause


def _breaks(counts: Mapping[str, int], column: str) -> bool:
    return any(rule.startswith(f"{column}|") for rule in counts)


def _rule_name(rule: str) -> str:
    column, bar, name = rule.partition("|")
    return f"{name!r} of column {column!r}" if bar else repr(rule)


def _likely_cause(table: Table, counts: Mapping[str, int]) -> str:
    if "primary_key" in counts:
        return f"rows repeat the primary key ({', '.join(table.primary_key)})"
    return ""


def _says_only(series: pl.Series, part: str) -> bool:
    """Whether every value is the part of a key for certain; False where an expression has to tell."""
    return len(series) == 0 or (str(series[0]) == part and is_constant(series))


def _refuse_other_partition(table: Table, key: Key, frame: pl.DataFrame, where: str) -> None:
    for dimension, part in zip(table.dimensions, key_parts(table, key), strict=True):
        column = table.key_column(dimension)
        if column not in frame.columns or _says_only(frame.get_column(column), part):
            continue
        other = frame.filter(pl.col(column).cast(pl.String).ne_missing(pl.lit(part)))
        if other.height:
            raise SchemaViolation(
                f"column {column!r} holds other values than the partition key {part!r}",
                where=where,
                how_many=f"{other.height} of {frame.height} rows",
                rows=other.select(table.primary_key or frame.columns).head(SHOWN_ROWS),
                cause="rows of several partitions were written as one",
                action=f"split the frame by {column!r}; Lake.write_many takes one frame per key",
            )
