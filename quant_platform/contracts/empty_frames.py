"""The frame without rows of a schema, made once: building it costs more than judging a small partition."""

from __future__ import annotations

from functools import cache

import dataframely as dy
import polars as pl


@cache
def empty_frame(schema: type[dy.Schema]) -> pl.DataFrame:
    """Columns and types of a schema, no rows; ``.schema`` of it is what `polars.DataFrame` takes as types.

    Parameters
    ----------
    schema
        A class, which never changes; nor does a frame.
    """
    return schema.create_empty()


@cache
def column_types(schema: type[dy.Schema]) -> pl.Schema:
    """Columns and types of a schema, for `polars.DataFrame`; asking an empty frame for them costs more than a column.

    Parameters
    ----------
    schema
        A class, which never changes; nor may what is returned.
    """
    return empty_frame(schema).schema
