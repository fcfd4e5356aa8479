"""Columns of Polars as arrays and back, by their buffers: an expression costs more than a partition of a ticker."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl


def floats_of(series: pl.Series) -> npt.NDArray[np.float64]:
    """Numbers of a column as float64, NaN where one is missing; the array may belong to Polars, so do not write to it.

    Raises
    ------
    polars.exceptions.PolarsError
        Where the column holds no numbers.
    """
    kind = series.dtype
    numbers = series if kind.is_float() or kind.is_integer() else series.cast(pl.Float64)
    # Polars itself puts NaN where a number is missing.
    return np.asarray(numbers.to_numpy(), dtype=np.float64)


def dates_series(days: npt.NDArray[np.datetime64]) -> pl.Series:
    """Days, ``datetime64[D]``, as a column; NaT is missing."""
    import pyarrow as pa  # it starts threads, and most processes never ask

    return pl.Series(pa.array(days, type=pa.date32()))


def is_constant(series: pl.Series) -> bool:
    """Whether the rows of a column, one at least, all hold the same value and none is missing."""
    if not len(series) or series.null_count() or series[0] != series[-1]:
        return False
    return bool((series == series[0]).all())


def distinct(series: pl.Series) -> list[Any]:
    """The values that occur in a column, sorted; most columns that are asked hold one."""
    return [series[0]] if is_constant(series) else series.unique().sort().to_list()
