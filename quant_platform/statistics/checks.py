"""Argument checks that every statistic of this room shares; a failed one raises ``StatisticError``."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.errors import StatisticError

Alternative = Literal["two-sided", "greater"]
"""What a mean would be if it is not zero."""
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Longs = npt.NDArray[np.int64]


def as_vector(values: npt.ArrayLike, name: str, *, length: int | None = None) -> Floats:
    """Return ``values`` as a one-dimensional float array; NaN is allowed, infinity is not."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise StatisticError(f"{name} has {array.ndim} dimensions, one is needed", where=name)
    if length is not None and array.size != length:
        raise StatisticError(f"{name} has {array.size} values, its companions have {length}", where=name)
    infinite = np.isinf(array)
    if infinite.any():
        raise StatisticError(
            f"{name} holds infinite values",
            where=name,
            how_many=f"{int(infinite.sum())} of {array.size} values",
            cause="a division by zero before the statistic",
            action="mark missing values as NaN",
        )
    return array


def as_complete_vector(values: npt.ArrayLike, name: str, *, length: int | None = None) -> Floats:
    """Return ``values`` as a one-dimensional float array without any missing value."""
    array = as_vector(values, name, length=length)
    missing = np.isnan(array)
    if missing.any():
        raise StatisticError(
            f"{name} holds missing values",
            where=name,
            how_many=f"{int(missing.sum())} of {array.size} values",
            action="keep the incomplete rows out and count them in the report",
        )
    return array


def as_probabilities(values: npt.ArrayLike, name: str, *, length: int | None = None) -> Floats:
    """Return ``values`` as a complete vector within [0, 1]."""
    array = as_complete_vector(values, name, length=length)
    outside = (array < 0.0) | (array > 1.0)
    if outside.any():
        _raise_outside(name, array, outside, "a probability lies between 0 and 1")
    return array


def as_outcomes(values: npt.ArrayLike, name: str, *, length: int | None = None) -> Floats:
    """Return ``values`` as a complete vector of zeros and ones."""
    array = as_complete_vector(values, name, length=length)
    outside = (array != 0.0) & (array != 1.0)
    if outside.any():
        _raise_outside(name, array, outside, "an outcome is 0 or 1")
    return array


def as_panel(values: npt.ArrayLike, name: str, *, shape: tuple[int, ...] | None = None) -> Floats:
    """Return ``values`` as a ``[date, name]`` float array of the given shape, ready for a kernel."""
    array = kernel_array(values)
    if array.ndim != 2:
        raise StatisticError(f"{name} has {array.ndim} dimensions, [date, name] is needed", where=name)
    if shape is not None and array.shape != shape:
        raise StatisticError(f"{name} has shape {array.shape}, its companions have {shape}", where=name)
    return array


def as_mask(values: npt.ArrayLike | None, shape: tuple[int, ...]) -> Bools:
    """Return a contiguous boolean mask; ``None`` means everything."""
    if values is None:
        return np.ones(shape, dtype=np.bool_)
    array = np.asarray(values)
    if array.dtype != np.bool_ or array.shape != shape:
        raise StatisticError(
            f"mask is {array.dtype} of shape {array.shape}, boolean of shape {shape} is needed", where="mask"
        )
    return np.require(array, np.bool_, ["C", "W"])


def kernel_array(values: npt.ArrayLike) -> Floats:
    """Return ``values`` as a contiguous, writable float array.

    Kernels do not write to their inputs, but numba compiles once more for read-only arrays, such as those polars hands
    out; a copy costs milliseconds, a compilation seconds.
    """
    return np.require(np.asarray(values, dtype=np.float64), np.float64, ["C", "W"])


def require_at_least(value: float, smallest: float, name: str) -> None:
    """Raise unless ``value >= smallest``; NaN fails."""
    if not value >= smallest:
        raise StatisticError(f"{name} was {value}, at least {smallest} is needed", where=name)


def require_open_unit(value: float, name: str) -> None:
    """Raise unless ``0 < value < 1``."""
    if not 0.0 < value < 1.0 or math.isnan(value):
        raise StatisticError(f"{name} was {value}, a number strictly between 0 and 1 is needed", where=name)


def _raise_outside(name: str, array: Floats, outside: Bools, cause: str) -> None:
    rows: list[dict[str, Any]] = [{"row": int(i), name: float(array[i])} for i in np.flatnonzero(outside)[:5]]
    raise StatisticError(
        f"{name} holds values outside its range",
        where=name,
        how_many=f"{int(outside.sum())} of {array.size} values",
        rows=rows,
        cause=cause,
    )
