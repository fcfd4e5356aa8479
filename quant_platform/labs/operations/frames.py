"""Rows as frames of the operations tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import polars as pl

from quant_platform.contracts.tables import table


@lru_cache(maxsize=64)
def columns(name: str) -> pl.Schema:
    """Columns and types of a table, read from its schema once."""
    return table(name).schema.create_empty().schema


def rows_frame(name: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows as a frame of a table; NaN becomes null, as no column of these tables holds it."""
    return pl.DataFrame(rows, schema=columns(name)).with_columns(pl.selectors.float().fill_nan(None))


def empty(name: str) -> pl.DataFrame:
    """A table without rows."""
    return pl.DataFrame(schema=columns(name))


def session_of(fills: pl.DataFrame) -> pl.Series:
    """The day that each of some rows of ``ops.fills`` belongs to."""
    return fills.select(pl.coalesce("session", pl.col("executed_at").dt.date())).to_series()
