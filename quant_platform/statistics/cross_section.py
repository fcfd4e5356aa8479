"""Least squares within each date of a panel, many signals at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.checks import Bools, Floats

# Directions of the regressors whose share of the variance is smaller carry no information and are left out.
_RANK_TOLERANCE = 1e-10
# Numbers of a block of dates, 256 KiB: a dozen passes go over it, and find it in the processor's cache.
_BLOCK = 2**15


def cross_sectional_residuals(
    values: npt.ArrayLike, regressors: npt.ArrayLike, *, intercept: bool = True, min_names: int = 20
) -> Floats:
    """Residuals of each date's regression of every signal on the same regressors.

    ``e = y - X (X'X)^+ X'y`` over the names of the date, one solution of the normal equations for all signals.

    Parameters
    ----------
    values
        ``[K, T, N]`` signals.
    regressors
        ``[P, T, N]``.
    intercept
        Whether a constant is among the regressors.
    min_names
        Fewest complete names of a date; with fewer its residuals are NaN.

    Returns
    -------
    ``[K, T, N]``; NaN where the signal or any regressor is missing.

    Raises
    ------
    StatisticError
        If shapes do not agree.

    Notes
    -----
    **Missing values.** A name counts on a date if *all* regressors are there and the signal is: every signal is
    regressed over its own complete names.

    **Collinear regressors** cost nothing: the pseudo-inverse drops directions without variance, a constant one too.

    **Timing.** A row uses that row only.

    References
    ----------
    Frisch and Waugh (1933): the residual carries nothing that is linear in the regressors. Fama and MacBeth (1973) for
    regressions by date.
    """
    many = np.asarray(values, dtype=np.float64)
    known = np.asarray(regressors, dtype=np.float64)
    if many.ndim != 3 or known.ndim != 3 or many.shape[1:] != known.shape[1:]:
        raise StatisticError(
            f"values have shape {many.shape} and regressors {known.shape}",
            where="values, regressors",
            cause="both are [panel, date, name] over the same dates and names",
        )
    result = np.full(many.shape, np.nan)
    dates, names = many.shape[1:]
    step = max(1, _BLOCK // max(names, 1))
    for first in range(0, dates, step):
        rows = slice(first, first + step)
        complete: Bools = np.asarray(np.isfinite(known[:, rows]).all(axis=0))
        for panel in range(many.shape[0]):
            result[panel, rows] = _residuals(many[panel, rows], known[:, rows], complete, intercept, min_names)
    return result


def _residuals(values: Floats, regressors: Floats, complete: Bools, intercept: bool, min_names: int) -> Floats:
    use = complete & np.isfinite(values)
    count = use.sum(axis=1)
    size = np.maximum(count, 1)[:, np.newaxis]
    y = np.where(use, values, 0.0)
    x = np.where(use[np.newaxis], regressors, 0.0)
    if intercept:
        y = np.where(use, y - y.sum(axis=1, keepdims=True) / size, 0.0)
        x = np.where(use, x - x.sum(axis=2, keepdims=True) / size, 0.0)
    # One unit for all regressors, so that "no variance" means the same for each.
    scale = np.sqrt((x * x).sum(axis=2, keepdims=True) / size)
    x = np.divide(x, scale, out=np.zeros_like(x), where=scale > 0.0)
    by_date = np.ascontiguousarray(x.transpose(1, 0, 2))
    gram = by_date @ by_date.transpose(0, 2, 1) / size[:, :, np.newaxis]
    moment = (by_date @ y[:, :, np.newaxis])[:, :, 0] / size
    slopes = (np.linalg.pinv(gram, rcond=_RANK_TOLERANCE, hermitian=True) @ moment[:, :, np.newaxis])[:, :, 0]
    fitted = (slopes[:, np.newaxis, :] @ by_date)[:, 0, :]
    usable = use & (count >= min_names)[:, np.newaxis]
    residual: Floats = np.where(usable, y - fitted, np.nan)
    # What the regressors explain but for rounding is no signal: without this, noise of 1e-17 would be ranked.
    size_of_signal = np.sqrt((y * y).sum(axis=1, keepdims=True) / size)
    nothing = np.abs(residual) <= 1e-12 * np.maximum(size_of_signal, np.finfo(np.float64).tiny)
    return np.where(nothing, 0.0, residual)
