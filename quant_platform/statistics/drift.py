"""Has a distribution moved? The population stability index, with the bound that sampling alone would reach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.checks import Floats, as_vector, require_at_least, require_open_unit

SMALLEST_SHARE = 1e-4


@dataclass(frozen=True)
class StabilityIndex:
    """A population stability index and what it means.

    Attributes
    ----------
    value
        The index, 0 for equal shares.
    bound
        What it stays below with the stated confidence when nothing has moved.
    n_reference, n_current
        Values compared, NaN left out.
    """

    value: float
    bound: float
    n_reference: int
    n_current: int


def stability_index_of_shares(expected: npt.ArrayLike, actual: npt.ArrayLike) -> float:
    """Population stability index ``sum (a - e) ln(a / e)`` of two sets of shares, each floored at 1e-4.

    Common reading: below 0.10 small, to 0.25 moderate, above significant. That ignores the number of values; see
    :func:`stability_bound`.
    """
    e = np.maximum(as_vector(expected, "expected"), SMALLEST_SHARE)
    a = np.maximum(as_vector(actual, "actual", length=e.size), SMALLEST_SHARE)
    return float(np.sum((a - e) * np.log(a / e)))


def stability_bound(n_reference: int, n_current: int, *, bins: int = 10, confidence: float = 0.95) -> float:
    """Quantile of the index when nothing has moved: ``(1/n + 1/m) chi2_(bins - 1)``.

    Holds for independent values; of 5-minute bars take one a day, or count days.

    References
    ----------
    Yurdakul and Naranjo (2020), Journal of Risk Model Validation 14(4).
    """
    require_at_least(n_reference, 1, "n_reference")
    require_at_least(n_current, 1, "n_current")
    require_at_least(bins, 2, "bins")
    require_open_unit(confidence, "confidence")
    return (1.0 / n_reference + 1.0 / n_current) * float(chdtri(bins - 1.0, 1.0 - confidence))


def stability_index(
    reference: npt.ArrayLike, current: npt.ArrayLike, *, bins: int = 10, confidence: float = 0.95
) -> StabilityIndex:
    """Compare two samples over bins of equal counts of the reference; NaN is left out.

    Raises
    ------
    StatisticError
        If a sample is empty, or the reference takes so few values that its quantiles do not make two bins.
    """
    require_at_least(bins, 2, "bins")
    first, second = _seen(reference, "reference"), _seen(current, "current")
    edges: Floats = np.unique(np.quantile(first, np.arange(1, bins) / bins))
    expected = np.bincount(np.searchsorted(edges, first, side="left"), minlength=edges.size + 1) / first.size
    actual = np.bincount(np.searchsorted(edges, second, side="left"), minlength=edges.size + 1) / second.size
    return StabilityIndex(
        value=stability_index_of_shares(expected, actual),
        bound=stability_bound(first.size, second.size, bins=edges.size + 1, confidence=confidence),
        n_reference=first.size,
        n_current=second.size,
    )


def _seen(values: npt.ArrayLike, name: str) -> Floats:
    array = as_vector(values, name)
    array = array[~np.isnan(array)]
    if array.size == 0:
        raise StatisticError(f"{name} holds no values", where=name)
    return array
