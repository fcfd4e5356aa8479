"""Decisions over many tests at once.

Missing values: a NaN p is a test that was made and could not be computed. It counts in the number of tests, is never
rejected and has a NaN adjusted p. Leaving it out instead would make every other test look better.

| function | controls | under |
|---|---|---|
| :func:`benjamini_hochberg` | false discovery rate | independence or positive dependence |
| :func:`benjamini_yekutieli` | false discovery rate | any dependence |
| :func:`holm` | chance of any false rejection | any dependence |
| :func:`bonferroni` | chance of any false rejection | any dependence; Holm rejects at least as much |
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.checks import Bools, Floats, as_vector, require_at_least, require_open_unit


@dataclass(frozen=True)
class Multiplicity:
    """Adjusted p-values and decisions, in the order of the input.

    Attributes
    ----------
    adjusted_p
        ``[n]`` the smallest level at which the test would be rejected; NaN where the p is.
    rejected
        ``[n]`` ``adjusted_p <= level``; never where the p is NaN.
    n_tests
        Tests accounted for, NaN and unlisted ones included.
    n_rejected
        Number of rejections.
    level
        The level asked for.
    """

    adjusted_p: Floats
    rejected: Bools
    n_tests: int
    n_rejected: int
    level: float


def benjamini_hochberg(p_values: npt.ArrayLike, *, level: float, n_tests: int | None = None) -> Multiplicity:
    """Benjamini-Hochberg step-up: ``q_(i) = min_(j >= i) m p_(j) / j``.

    Parameters
    ----------
    p_values
        ``[n]`` in [0, 1] or NaN.
    level
        False discovery rate to control.
    n_tests
        ``m``, if more tests were made than are listed (a trial ledger counts them); by default ``n``.

    References
    ----------
    Benjamini and Hochberg (1995), JRSS B 57:289-300.
    """
    p, m = _checked(p_values, level, n_tests)
    return _step_up(p, m, float(m), level)


def benjamini_yekutieli(p_values: npt.ArrayLike, *, level: float, n_tests: int | None = None) -> Multiplicity:
    """Benjamini-Hochberg with p multiplied by ``c(m) = sum_(i <= m) 1/i``: valid under any dependence.

    Parameters as in :func:`benjamini_hochberg`.

    References
    ----------
    Benjamini and Yekutieli (2001), Annals of Statistics 29:1165-1188, theorem 1.3.
    """
    p, m = _checked(p_values, level, n_tests)
    return _step_up(p, m, float(m * np.sum(1.0 / np.arange(1, m + 1))), level)


def holm(p_values: npt.ArrayLike, *, level: float, n_tests: int | None = None) -> Multiplicity:
    """Holm step-down: ``max_(j <= i) (m - j + 1) p_(j)``.

    Parameters as in :func:`benjamini_hochberg`; ``level`` is the family-wise error rate.

    References
    ----------
    Holm (1979), Scandinavian Journal of Statistics 6:65-70.
    """
    p, m = _checked(p_values, level, n_tests)
    order = _ascending(p)
    stepped = np.maximum.accumulate((m - np.arange(order.size)) * p[order])
    return _decided(p, order, stepped, m, level)


def bonferroni(p_values: npt.ArrayLike, *, level: float, n_tests: int | None = None) -> Multiplicity:
    """Bonferroni: ``m p``.

    Parameters as in :func:`benjamini_hochberg`; ``level`` is the family-wise error rate.
    """
    p, m = _checked(p_values, level, n_tests)
    order = _ascending(p)
    return _decided(p, order, m * p[order], m, level)


def _checked(p_values: npt.ArrayLike, level: float, n_tests: int | None) -> tuple[Floats, int]:
    p = as_vector(p_values, "p_values")
    outside = (p < 0.0) | (p > 1.0)
    if outside.any():
        raise StatisticError(
            "p_values lie outside [0, 1]",
            where="p_values",
            how_many=f"{int(outside.sum())} of {p.size} values",
            rows=[{"row": int(i), "p": float(p[i])} for i in np.flatnonzero(outside)[:5]],
        )
    require_open_unit(level, "level")
    if n_tests is not None:
        require_at_least(n_tests, p.size, "n_tests")
    return p, p.size if n_tests is None else n_tests


def _ascending(p: Floats) -> npt.NDArray[np.intp]:
    """Positions of the p-values that are not NaN, smallest first."""
    order = np.argsort(p, kind="stable")
    return order[: int(np.count_nonzero(~np.isnan(p)))]


def _step_up(p: Floats, m: int, factor: float, level: float) -> Multiplicity:
    order = _ascending(p)
    stepped = factor * p[order] / np.arange(1, order.size + 1)
    return _decided(p, order, np.minimum.accumulate(stepped[::-1])[::-1], m, level)


def _decided(p: Floats, order: npt.NDArray[np.intp], stepped: Floats, m: int, level: float) -> Multiplicity:
    adjusted = np.full(p.size, np.nan)
    adjusted[order] = np.minimum(stepped, 1.0)
    rejected = adjusted <= level
    return Multiplicity(adjusted, rejected, m, int(rejected.sum()), level)
