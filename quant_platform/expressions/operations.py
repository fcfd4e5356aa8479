"""What each core operation does with arrays; the trailing ones call :mod:`.kernels`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from quant_platform.expressions import kernels, order_kernels
from quant_platform.expressions.nodes import Literal
from quant_platform.expressions.primitives import required_count

Numbers = npt.NDArray[np.float64]
Conditions = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Ordering:
    """A column in order: each present value has a place of its own in ``ordered``; -1 is missing."""

    places: npt.NDArray[np.int32]
    ordered: Numbers


Value = Numbers | Conditions | Ordering


def fold(operation: str, values: Sequence[float]) -> float | None:
    """Value of elementwise arithmetic on constants; None when the operation is not arithmetic."""
    function = ARITHMETIC.get(operation)
    if function is None:
        return None
    return float(function(*(np.array([value]) for value in values))[0])


def _finite(values: Numbers) -> Numbers:
    """An infinite result means that the arithmetic has no answer here: it is missing."""
    infinite = np.isinf(values)
    if infinite.any():
        values[infinite] = np.nan
    return values


def _quiet(function: Callable[..., Numbers]) -> Callable[..., Numbers]:
    def apply(*arguments: Numbers) -> Numbers:
        with np.errstate(all="ignore"):
            return _finite(function(*arguments))

    return apply


ARITHMETIC: Mapping[str, Callable[..., Numbers]] = MappingProxyType(
    {
        "add": _quiet(np.add),
        "sub": _quiet(np.subtract),
        "mul": _quiet(np.multiply),
        "div": _quiet(np.divide),
        "neg": np.negative,
        "abs": np.abs,
        "log": _quiet(np.log),
        "sqrt": _quiet(np.sqrt),
        "sgn": _quiet(np.sign),
        "max2": np.maximum,
        "min2": np.minimum,
        "ncdf": _quiet(ndtr),
    }
)


def _not_equal(x: Numbers, y: Numbers) -> Conditions:
    # IEEE says NaN differs from everything; here a comparison with a missing value is false.
    return (x < y) | (x > y)


_CONDITIONS: Mapping[str, Callable[..., Conditions]] = {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": _not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
}


def _lag(x: Numbers | Conditions, k: int) -> Numbers | Conditions:
    if k == 0:
        return x
    shifted = np.empty_like(x)
    shifted[:k] = False if x.dtype == np.bool_ else np.nan
    shifted[k:] = x[:-k]
    return shifted


def _where(c: Conditions, x: Numbers, y: Numbers) -> Numbers:
    chosen = y.copy()
    np.copyto(chosen, x, where=c)
    return chosen


def _order(x: Numbers) -> Ordering:
    return Ordering(*order_kernels.sorted_places(x))


def _quantile(x: Ordering, p: float, n: int) -> Numbers:
    return order_kernels.window_quantile(x.places, x.ordered, p, n, required_count(n))


def _rank(x: Ordering, n: int) -> Numbers:
    return order_kernels.window_rank(x.places, x.ordered, n, required_count(n), 0.0)


def _nscore(x: Ordering, n: int) -> Numbers:
    return np.asarray(
        ndtri(order_kernels.window_rank(x.places, x.ordered, n, required_count(n), 0.5)), dtype=np.float64
    )


def _sd(x: Numbers, n: int, *, origin: int) -> Numbers:
    return kernels.window_moments(x, n, required_count(n), origin % n)[1]


def _sma(x: Numbers, n: int, *, origin: int) -> Numbers:
    return kernels.window_moments(x, n, required_count(n), origin % n)[0]


def _sumn(x: Numbers, n: int, *, origin: int) -> Numbers:
    return kernels.window_sum(x, n, required_count(n), origin % n)


def _corr(x: Numbers, y: Numbers, n: int, *, origin: int) -> Numbers:
    xx, yy, xy = kernels.window_products(x, y, n, required_count(n), origin % n)
    with np.errstate(all="ignore"):
        return np.clip(_finite(xy / (np.sqrt(xx) * np.sqrt(yy))), -1.0, 1.0)


def _beta(y: Numbers, x: Numbers, n: int, *, origin: int) -> Numbers:
    xx, _, xy = kernels.window_products(x, y, n, required_count(n), origin % n)
    with np.errstate(all="ignore"):
        return _finite(xy / xx)


def _count(c: Conditions, n: int) -> npt.NDArray[np.int64]:
    counted = np.cumsum(c, dtype=np.int64)
    counted[n:] -= counted[:-n].copy()
    return counted


def _cnt(c: Conditions, n: int) -> Numbers:
    counted = _count(c, n).astype(np.float64)
    counted[: required_count(n) - 1] = np.nan
    return counted


_OTHERS: Mapping[str, Callable[..., Value]] = {
    "where": _where,
    "known": lambda x: ~np.isnan(x),
    "lag": _lag,
    "order": _order,
    "hi": lambda x, n: kernels.window_maximum(x, n, required_count(n)),
    "lo": lambda x, n: -kernels.window_maximum(-x, n, required_count(n)),
    "quantile": _quantile,
    "rank": _rank,
    "nscore": _nscore,
    "lagmed": lambda x, count, step: kernels.lagged_median(x, count, step, required_count(count)),
    "run": lambda c, cap: kernels.streak(c, cap),
    "anyn": lambda c, n: _count(c, n) > 0,
    "cnt": _cnt,
    "past": kernels.past_value,
}
# Sums of floating-point numbers depend on their order, and the order on where the blocks of a window begin.
_ROUNDED: Mapping[str, Callable[..., Numbers]] = MappingProxyType(
    {"sma": _sma, "sd": _sd, "sumn": _sumn, "corr": _corr, "beta": _beta}
)

_OPERATIONS: Mapping[str, Callable[..., Value]] = MappingProxyType({**ARITHMETIC, **_CONDITIONS, **_OTHERS})


def apply(operation: str, inputs: Sequence[Value], literals: Sequence[Literal], origin: int = 0) -> Value:
    """Carry out one core operation on whole columns.

    Parameters
    ----------
    operation
        Name of the operation.
    inputs
        Columns of equal length, oldest bar first: float64 with NaN for missing, or bool.
    literals
        Windows, lags and probabilities.
    origin
        Number of the first row, counted from any fixed point.
    """
    if operation in _ROUNDED:
        return _ROUNDED[operation](*inputs, *literals, origin=origin)
    return _OPERATIONS[operation](*inputs, *literals)
