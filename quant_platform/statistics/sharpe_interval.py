"""Sharpe ratio of a series with its interval, skewness and kurtosis taken into account."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from quant_platform.statistics.checks import as_vector, require_at_least, require_open_unit


@dataclass(frozen=True)
class SharpeEstimate:
    """A Sharpe ratio per period and what surrounds it.

    Attributes
    ----------
    ratio
        Mean over standard deviation (divisor ``n - 1``), per period; NaN without variation.
    low, high
        Interval, per period.
    skewness, kurtosis
        Of the returns; kurtosis is raw, 3 for the normal.
    n
        Returns that are not NaN.
    """

    ratio: float
    low: float
    high: float
    skewness: float
    kurtosis: float
    n: int

    def annual(self, periods_per_year: float) -> tuple[float, float, float]:
        """Ratio and bounds per year: times the root of the periods per year, which serial correlation bends."""
        root = math.sqrt(periods_per_year)
        return self.ratio * root, self.low * root, self.high * root


def sharpe_estimate(returns: npt.ArrayLike, *, level: float = 0.95) -> SharpeEstimate:
    """Estimate a Sharpe ratio with its interval.

    ``se^2 = (1 - g3 SR + (g4 - 1)/4 SR^2) / (n - 1)``

    Parameters
    ----------
    returns
        ``[T]`` per period; NaN is left out.
    level
        Coverage of the interval.

    Notes
    -----
    Holds for independent returns with fat tails and skewness. Positive serial correlation makes the interval too
    narrow.

    References
    ----------
    Mertens (2002); Bailey and Lopez de Prado (2012), Journal of Risk 15(2):3-44.
    """
    require_open_unit(level, "level")
    series = as_vector(returns, "returns")
    series = series[~np.isnan(series)]
    n = series.size
    if n < 3:
        return SharpeEstimate(math.nan, math.nan, math.nan, math.nan, math.nan, n)
    mean = float(series.mean())
    deviations = series - mean
    sd = float(np.sqrt((deviations @ deviations) / (n - 1)))
    if not sd > 8.0 * np.finfo(np.float64).eps * abs(mean):
        return SharpeEstimate(math.nan, math.nan, math.nan, math.nan, math.nan, n)
    population = sd * math.sqrt((n - 1) / n)
    # Products instead of powers: numpy's power of an array is ten times as slow.
    squares = deviations * deviations
    skewness = float(squares @ deviations) / n / population**3
    kurtosis = float(squares @ squares) / n / population**4
    ratio = mean / sd
    variance = max(0.0, 1.0 - skewness * ratio + (kurtosis - 1.0) / 4.0 * ratio * ratio)
    half = float(ndtri(0.5 + level / 2.0)) * math.sqrt(variance / (n - 1))
    return SharpeEstimate(ratio, ratio - half, ratio + half, skewness, kurtosis, n)


def drawdowns(returns: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Loss of the compounded value from its highest so far, start included, as a fraction at most 0, ``[T]``.

    NaN counts as no return. A loss on the first day is a drawdown: the start is a peak.
    """
    series = np.asarray(returns, dtype=np.float64)
    value = np.cumprod(1.0 + np.where(np.isnan(series), 0.0, series))
    peak = np.maximum(np.maximum.accumulate(value), 1.0)
    result: npt.NDArray[np.float64] = value / peak - 1.0
    return result


def half_life(values: npt.ArrayLike, lags: npt.ArrayLike) -> float:
    """Half-life of an exponential decay through ``values`` at ``lags``, in units of the lags.

    The decay ``a 2^(-lag / h)`` with the smallest squared error over half-lives from a tenth of the first lag step to
    ten times the longest lag. NaN where it explains less than half of the sum of squares, or for fewer than three
    values; infinite where the slowest decay fits best.
    """
    y = as_vector(values, "values")
    x = as_vector(lags, "lags", length=y.size)
    keep = ~np.isnan(y)
    y, x = y[keep], x[keep] - (x[keep].min() if keep.any() else 0.0)
    if y.size < 3:
        return math.nan
    require_at_least(float(x.max()), 1e-12, "range of lags")
    grid = np.geomspace(0.1 * float(np.diff(np.unique(x)).min()), 10.0 * float(x.max()), 400)
    basis = 2.0 ** (-x[np.newaxis, :] / grid[:, np.newaxis])
    scale = basis @ y / (basis * basis).sum(axis=1)
    error = ((y - scale[:, np.newaxis] * basis) ** 2).sum(axis=1)
    best = int(error.argmin())
    total = float((y * y).sum())
    if total == 0.0 or error[best] > 0.5 * total:
        return math.nan
    return math.inf if best == grid.size - 1 else float(grid[best])
