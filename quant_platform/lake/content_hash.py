"""A SHA-256 of what a table says, whatever the file looks like.

The hash reads the data, not the bytes of the file: compression, row groups, the order of columns and the version of
the writer do not count. What counts, column by column in the order of their names:

1. the name, the kind of type, and the number of rows;
2. one bit per row that says whether the value is null;
3. the values: numbers, dates and stamps as little-endian 64-bit words (smaller numbers widened, nulls as 0, every NaN
   as the same NaN), booleans as bytes, text as its UTF-8 lengths and then its bytes, lists as their lengths and then
   their values, structs field by field.

Rows are hashed in the order they come, and files are sorted by the primary key, so equal content has an equal hash.
An Enum counts as text, so adding a category to a schema changes no hash.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from quant_platform.contracts.errors import SchemaViolation

# Rows that are brought into their canonical form at a time.
_PIECE = 2**14


def content_hash(frame: pl.DataFrame) -> str:
    """Return the hexadecimal SHA-256 of a frame's content; see the module for what counts.

    Raises
    ------
    SchemaViolation
        For a column type that has no canonical form (objects, binary).
    """
    return _digest(frame) if frame.height else _of_no_rows(tuple(frame.schema.items()))


def _digest(frame: pl.DataFrame) -> str:
    digest = hashlib.sha256()
    for name in sorted(frame.columns):
        _add(digest, name, frame.get_column(name))
    return digest.hexdigest()


@lru_cache(maxsize=256)
def _of_no_rows(columns: tuple[tuple[str, pl.DataType], ...]) -> str:
    """The hash of a table without rows: most partitions of what is put aside have none."""
    return _digest(pl.DataFrame(schema=dict(columns)))


def _add(digest: Any, name: str, series: pl.Series) -> None:
    kind = _kind(series.dtype)
    rows = len(series)
    digest.update(f"{name}\0{kind}\0{rows}\0".encode())
    # Most columns have no null. A call of Polars costs more than hashing a small partition: buffers are read instead.
    nulls = _nulls(series) if series.null_count() else None
    digest.update(bytes((rows + 7) // 8) if nulls is None else np.packbits(nulls))
    if kind == "text":
        _add_text(digest, _as(series, pl.String()), nulls)
    elif kind in ("float", "unsigned", "boolean"):
        _add_numbers(digest, _values(series), nulls, {"float": "<f8", "unsigned": "<u8", "boolean": "u1"}[kind])
    elif kind == "list":
        lengths, items = _listed(series, nulls)
        _add_numbers(digest, lengths, None, "<i8")
        _add(digest, "item", items)
    elif kind == "struct":
        for field in sorted(series.struct.fields):
            _add(digest, field, series.struct.field(field))
    elif kind == "null":
        return
    else:
        _add_numbers(digest, _values(series), nulls, "<i8")


def _add_numbers(
    digest: Any, values: np.ndarray[Any, np.dtype[Any]], nulls: np.ndarray[Any, np.dtype[np.bool_]] | None, form: str
) -> None:
    """Numbers in their canonical form, piece by piece: what fits a cache is widened and hashed before it leaves it."""
    for first in range(0, len(values), _PIECE):
        piece = values[first : first + _PIECE].astype(form)
        if nulls is not None:
            # What a null hides is no part of the content.
            piece[nulls[first : first + _PIECE]] = 0
        if form == "<f8":
            piece[np.isnan(piece)] = np.nan
        digest.update(piece)


def _nulls(series: pl.Series) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if series.dtype == pl.Null:
        return np.ones(len(series), dtype=np.bool_)
    array = _arrow(series)
    bits = np.unpackbits(np.frombuffer(array.buffers()[0], dtype="u1"), bitorder="little")
    found: np.ndarray[Any, np.dtype[np.bool_]] = bits[array.offset : array.offset + len(series)] == 0
    return found


def _values(series: pl.Series) -> np.ndarray[Any, np.dtype[Any]]:
    """The numbers of a column as they are stored, days and stamps as theirs, anything where it is null."""
    temporal = series.dtype.is_temporal()
    if not temporal and not series.null_count():
        return series.to_numpy()
    array = _arrow(series)
    buffer = array.buffers()[1]
    if series.dtype == pl.Boolean:
        values = np.unpackbits(np.frombuffer(buffer, dtype="u1"), bitorder="little")
    elif temporal:
        # Days have 32 bits, stamps, times and spans 64; `Series.to_physical` costs more than hashing a small partition.
        values = np.frombuffer(buffer, dtype="<i4" if series.dtype == pl.Date else "<i8")
    else:
        values = np.frombuffer(buffer, dtype=series[:0].to_numpy().dtype)
    return values[array.offset : array.offset + len(series)]


def _arrow(series: pl.Series) -> Any:
    return series.to_arrow(compat_level=pl.CompatLevel.oldest())


def _as(series: pl.Series, dtype: pl.DataType) -> pl.Series:
    return series if series.dtype == dtype else series.cast(dtype)


def _add_text(digest: Any, series: pl.Series, nulls: np.ndarray[Any, np.dtype[np.bool_]] | None) -> None:
    if not len(series):
        return
    # The layout of Arrow is that of the hash, and one step instead of two expressions.
    ends, texts = _laid_out(series)
    if nulls is not None:
        lengths = np.diff(ends)
        if lengths[nulls].any():
            # What a null hides is no part of the content.
            lengths[nulls] = 0
            ends, texts = _laid_out(series.drop_nulls()) if lengths.any() else (ends[:1], texts)
        digest.update(lengths)
    else:
        for first in range(0, len(series), _PIECE):
            digest.update(np.diff(ends[first : first + _PIECE + 1]))
    if ends[-1] > ends[0]:
        digest.update(memoryview(texts)[ends[0] : ends[-1]])


def _listed(
    series: pl.Series, nulls: np.ndarray[Any, np.dtype[np.bool_]] | None
) -> tuple[np.ndarray[Any, np.dtype[Any]], pl.Series]:
    """How many values the lists of a column have, none where a list is null, and the values one after the other."""
    inner = getattr(series.dtype, "inner", None)
    if isinstance(series.dtype, pl.List) and (inner == pl.String or (inner is not None and inner.is_numeric())):
        # Four expressions less; of other types Arrow has not the name that Polars has.
        array = _arrow(series)
        offsets = np.frombuffer(array.buffers()[1], dtype="<i8")[array.offset : array.offset + len(series) + 1]
        lengths = np.diff(offsets)
        if nulls is not None:
            lengths[nulls] = 0
        # Without what a null hides.
        return lengths, pl.Series(values=array.flatten(), dtype=inner)
    values_per_row = series.list.len().fill_null(0)
    return values_per_row.to_numpy(), series.filter(values_per_row > 0).explode()


def _laid_out(series: pl.Series) -> tuple[np.ndarray[Any, np.dtype[np.int64]], Any]:
    """Where the texts of a column begin and end, one more than there are rows, and the texts."""
    array = _arrow(series)
    _, offsets, texts = array.buffers()
    return np.frombuffer(offsets, dtype="<i8")[array.offset : array.offset + len(series) + 1], texts


def _kind(dtype: pl.DataType) -> str:
    if isinstance(dtype, (pl.String, pl.Enum, pl.Categorical)):
        return "text"
    if dtype.is_float():
        return "float"
    if dtype.is_unsigned_integer():
        return "unsigned"
    if dtype.is_signed_integer():
        return "integer"
    if isinstance(dtype, pl.Boolean):
        return "boolean"
    if isinstance(dtype, pl.List):
        return "list"
    if isinstance(dtype, pl.Struct):
        return "struct"
    if isinstance(dtype, pl.Null):
        return "null"
    if isinstance(dtype, (pl.Datetime, pl.Duration, pl.Date, pl.Time)):
        return str(dtype)
    raise SchemaViolation(
        f"a column of type {dtype} has no canonical form to hash", action="use numbers, text, dates, lists or structs"
    )
