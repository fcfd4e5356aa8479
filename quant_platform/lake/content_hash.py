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
from typing import Any

import numpy as np
import polars as pl

from quant_platform.contracts.errors import SchemaViolation

_TEXT_SLICE_ROWS = 1_000_000


def content_hash(frame: pl.DataFrame) -> str:
    """Return the hexadecimal SHA-256 of a frame's content; see the module for what counts.

    Raises
    ------
    SchemaViolation
        For a column type that has no canonical form (objects, binary).
    """
    digest = hashlib.sha256()
    for name in sorted(frame.columns):
        _add(digest, name, frame.get_column(name))
    return digest.hexdigest()


def _add(digest: Any, name: str, series: pl.Series) -> None:
    kind = _kind(series.dtype)
    digest.update(f"{name}\0{kind}\0{len(series)}\0".encode())
    # Most columns have no null, and each Polars call costs more than hashing a small partition.
    has_nulls = series.null_count() > 0
    digest.update(np.packbits(series.is_null().to_numpy()).tobytes() if has_nulls else bytes((len(series) + 7) // 8))
    if kind == "text":
        _add_text(digest, _as(series, pl.String()), has_nulls=has_nulls)
    elif kind == "float":
        values = _filled(_as(series, pl.Float64()), 0.0)
        digest.update(np.where(np.isnan(values), np.nan, values).astype("<f8").tobytes())
    elif kind == "unsigned":
        digest.update(_filled(_as(series, pl.UInt64()), 0).astype("<u8").tobytes())
    elif kind == "boolean":
        digest.update(_filled(series, False).astype("u1").tobytes())
    elif kind == "list":
        values_per_row = series.list.len().fill_null(0)
        digest.update(values_per_row.to_numpy().astype("<i8").tobytes())
        _add(digest, "item", series.filter(values_per_row > 0).explode())
    elif kind == "struct":
        for field in sorted(series.struct.fields):
            _add(digest, field, series.struct.field(field))
    elif kind == "null":
        return
    else:
        digest.update(_filled(_as(series.to_physical(), pl.Int64()), 0).astype("<i8").tobytes())


def _filled(series: pl.Series, value: float) -> np.ndarray[Any, np.dtype[Any]]:
    return (series.fill_null(value) if series.null_count() else series).to_numpy()


def _as(series: pl.Series, dtype: pl.DataType) -> pl.Series:
    return series if series.dtype == dtype else series.cast(dtype)


def _add_text(digest: Any, series: pl.Series, *, has_nulls: bool) -> None:
    if not has_nulls and len(series):
        # The layout of Arrow is that of the hash, and one step instead of two expressions; a null may hide a text.
        array = series.to_arrow(compat_level=pl.CompatLevel.oldest())
        _, offsets, texts = array.buffers()
        ends = np.frombuffer(offsets, dtype="<i8")[array.offset : array.offset + len(series) + 1]
        digest.update(np.diff(ends).tobytes())
        if ends[-1] > ends[0]:
            digest.update(memoryview(texts)[ends[0] : ends[-1]])
        return
    digest.update(_filled(series.str.len_bytes(), 0).astype("<i8").tobytes())
    for start in range(0, len(series), _TEXT_SLICE_ROWS):
        joined = series.slice(start, _TEXT_SLICE_ROWS).str.join("", ignore_nulls=True).item()
        digest.update((joined or "").encode())


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
