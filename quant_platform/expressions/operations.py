"""What each core operation does with arrays; the trailing ones call :mod:`.kernels`.

A result is written into an array that was taken from :class:`.arrays.Arrays`, unless it is a condition, which is an
eighth of the size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from quant_platform.expressions import kernels, order_kernels
from quant_platform.expressions.arrays import Arrays
from quant_platform.expressions.nodes import Literal
from quant_platform.expressions.primitives import required_count

Numbers = npt.NDArray[np.float64]
Conditions = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Ordering:
    """A column in order: each present value has a place of its own in ``ordered``; -1 is missing.

    Both are parts of the arrays that were ``taken`` for them.
    """

    places: npt.NDArray[np.int32]
    ordered: Numbers
    taken: tuple[Numbers, ...]


Value = Numbers | Conditions | Ordering


def fold(operation: str, values: Sequence[float]) -> float | None:
    """Value of elementwise arithmetic on constants; None when the operation is not arithmetic."""
    if operation not in _ARITHMETIC:
        return None
    # Without a kernel: who only checks an expression need not wait for the compiler to be loaded.
    out = np.empty(1)
    with np.errstate(all="ignore"):
        _ARITHMETIC[operation](*(np.array([value]) for value in values), out=out)
    return math.nan if math.isinf(out[0]) and operation not in _STAYS_FINITE else float(out[0])


# Each takes ``out``. An infinite result means that the arithmetic has no answer: it is missing.
_ARITHMETIC: Mapping[str, Callable[..., object]] = MappingProxyType(
    {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "div": np.divide,
        "neg": np.negative,
        "abs": np.abs,
        "log": np.log,
        "sqrt": np.sqrt,
        "sgn": np.sign,
        "max2": np.maximum,
        "min2": np.minimum,
        "ncdf": ndtr,
    }
)
_STAYS_FINITE = frozenset({"neg", "abs", "sqrt", "sgn", "max2", "min2", "ncdf"})


def _arithmetic(operation: str, inputs: Sequence[Numbers], arrays: Arrays) -> Numbers:
    out = arrays.take()
    with np.errstate(all="ignore"):
        _ARITHMETIC[operation](*inputs, out=out)
    return out if operation in _STAYS_FINITE else kernels.drop_infinite(out)


def _not_equal(x: Numbers, y: Numbers) -> Conditions:
    # IEEE says NaN differs from everything; here a comparison with a missing value is false.
    return (x < y) | (x > y)


_CONDITIONS: Mapping[str, Callable[..., Conditions]] = MappingProxyType(
    {
        "lt": np.less,
        "le": np.less_equal,
        "gt": np.greater,
        "ge": np.greater_equal,
        "eq": np.equal,
        "ne": _not_equal,
        "and": np.logical_and,
        "or": np.logical_or,
        "not": np.logical_not,
        "known": lambda x: ~np.isnan(x),
        "anyn": kernels.any_of_last,
    }
)


def _lag(x: Numbers | Conditions, k: int, arrays: Arrays) -> Numbers | Conditions:
    view = arrays.lagged(x, k)
    if view is not None:
        return view
    shifted = np.empty_like(x) if x.dtype == np.bool_ else arrays.take()
    shifted[:k] = False if x.dtype == np.bool_ else np.nan
    shifted[k:] = x[: max(0, x.size - k)]
    return shifted


def _where(c: Conditions, x: Numbers, y: Numbers, arrays: Arrays) -> Numbers:
    chosen = arrays.take()
    np.copyto(chosen, y)
    np.copyto(chosen, x, where=c)
    return chosen


_ANY_NUMBERS: Mapping[str, Callable[..., Numbers | Conditions]] = MappingProxyType({"lag": _lag, "where": _where})


def _order(x: Numbers, arrays: Arrays) -> Ordering:
    keys, spare, places, ordered = (arrays.take() for _ in range(4))
    whole = places.view(np.int32)[: x.size]
    order = order_kernels.sorted_places(x, whole, ordered, keys.view(np.int64), spare.view(np.int64))
    arrays.give(keys)
    arrays.give(spare)
    return Ordering(*order, (places, ordered))


def _quantile(x: Ordering, p: float, n: int, arrays: Arrays) -> Numbers:
    return order_kernels.window_quantile(x.places, x.ordered, p, n, required_count(n), arrays.take())


def _rank(x: Ordering, n: int, arrays: Arrays) -> Numbers:
    return order_kernels.window_rank(x.places, x.ordered, n, required_count(n), 0.0, arrays.take())


def _nscore(x: Ordering, n: int, arrays: Arrays) -> Numbers:
    ranks = order_kernels.window_rank(x.places, x.ordered, n, required_count(n), 0.5, arrays.take())
    return np.asarray(ndtri(ranks, out=ranks))


def _corr(x: Numbers, y: Numbers, n: int, origin: int, arrays: Arrays) -> Numbers:
    xx, yy, xy = arrays.take(), arrays.take(), arrays.take()
    kernels.window_products(x, y, n, required_count(n), origin % n, xx, yy, xy)
    with np.errstate(all="ignore"):
        np.multiply(np.sqrt(xx, out=xx), np.sqrt(yy, out=yy), out=xx)
        kernels.drop_infinite(np.divide(xy, xx, out=xy))
    arrays.give(xx)
    arrays.give(yy)
    return np.clip(xy, -1.0, 1.0, out=xy)


def _beta(y: Numbers, x: Numbers, n: int, origin: int, arrays: Arrays) -> Numbers:
    xx, yy, xy = arrays.take(), arrays.take(), arrays.take()
    kernels.window_products(x, y, n, required_count(n), origin % n, xx, yy, xy)
    with np.errstate(all="ignore"):
        kernels.drop_infinite(np.divide(xy, xx, out=xy))
    arrays.give(xx)
    arrays.give(yy)
    return xy


_TRAILING: Mapping[str, Callable[..., Value]] = MappingProxyType(
    {
        "order": _order,
        "quantile": _quantile,
        "rank": _rank,
        "nscore": _nscore,
        "hi": lambda x, n, arrays: kernels.window_extreme(x, n, required_count(n), 1.0, arrays.take()),
        "lo": lambda x, n, arrays: kernels.window_extreme(x, n, required_count(n), -1.0, arrays.take()),
        "lagmed": lambda x, count, step, arrays: kernels.lagged_median(
            x, count, step, required_count(count), arrays.take()
        ),
        "run": lambda c, cap, arrays: kernels.streak(c, cap, arrays.take()),
        "cnt": lambda c, n, arrays: kernels.count_of_last(c, n, required_count(n), arrays.take()),
        "past": lambda x, c, k, n, arrays: kernels.past_value(x, c, k, n, arrays.take()),
    }
)


def _from_blocks(kernel: Callable[..., Numbers]) -> Callable[..., Numbers]:
    def apply(x: Numbers, n: int, origin: int, arrays: Arrays) -> Numbers:
        return kernel(x, n, required_count(n), origin % n, arrays.take())

    return apply


# Sums of floating-point numbers depend on their order, and the order on where the blocks of a window begin.
_ROUNDED: Mapping[str, Callable[..., Numbers]] = MappingProxyType(
    {
        "sma": _from_blocks(kernels.window_mean),
        "sd": _from_blocks(kernels.window_deviation),
        "sumn": _from_blocks(kernels.window_sum),
        "corr": _corr,
        "beta": _beta,
    }
)


def apply(operation: str, inputs: Sequence[Value], literals: Sequence[Literal], origin: int, arrays: Arrays) -> Value:
    """Carry out one core operation on whole columns.

    Parameters
    ----------
    operation
        Name of the operation.
    inputs
        Columns of equal length, oldest bar first: float64 with NaN for missing, or bool. A number that is the same on
        every bar may be one that is repeated (a stride of 0).
    literals
        Windows, lags and probabilities.
    origin
        Number of the first row, counted from any fixed point.
    arrays
        Where the result is taken from. Of the inputs it has a part only where it cannot be written into.
    """
    if operation in _ARITHMETIC:
        # A plan is compiled only where every operation has inputs of its kind.
        return _arithmetic(operation, cast(Sequence[Numbers], inputs), arrays)
    if operation in _ANY_NUMBERS:
        return _ANY_NUMBERS[operation](*inputs, *literals, arrays)
    if operation in _CONDITIONS:
        return _CONDITIONS[operation](*inputs, *literals)
    # Compiled loops read whole arrays: a number that is repeated is written out.
    whole = [x if isinstance(x, Ordering) or x.flags.writeable else x.copy() for x in inputs]
    if operation in _ROUNDED:
        return _ROUNDED[operation](*whole, *literals, origin, arrays)
    return _TRAILING[operation](*whole, *literals, arrays)
