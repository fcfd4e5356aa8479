"""Bootstrap intervals for dependent data; every function takes its random generator explicitly.

* Observations that come in groups (setups of one week, events of one day): resample whole groups,
  :func:`cluster_bootstrap_mean`, :func:`cluster_bootstrap_ratio`.
* One value per date with memory: resample blocks of dates, :func:`block_bootstrap_mean` for means,
  :func:`stationary_bootstrap_indices` for any other statistic.

Means and ratios are computed from sums per group or block, so a draw costs a few multiplications per group and never
copies the data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtrit

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.checks import (
    Floats,
    Longs,
    as_complete_vector,
    as_vector,
    require_at_least,
    require_open_unit,
)

MULTIPLICITIES_AT_ONCE = 4_000_000  # bounds the memory of a cluster bootstrap at about 64 MB


@dataclass(frozen=True)
class BootstrapInterval:
    """An expanded percentile interval.

    With G groups the plain percentile interval is too short, as a normal interval would be: it divides by G instead of
    G - 1 and ignores that the variance is estimated. The limits are therefore taken at the percentile
    ``Phi(-sqrt(G / (G - 1)) t_(G-1))`` (Hesterberg 2015, section 4.3), 0.9 % instead of 2.5 % for ten groups.

    Attributes
    ----------
    estimate
        The statistic of the data themselves.
    low, high
        Expanded percentile limits; NaN when fewer than two groups or blocks exist.
    standard_error
        Standard deviation over the finite draws.
    n
        Observations used (not NaN).
    n_groups
        Independent pieces resampled: clusters, or non-overlapping blocks that fit into the series.
    draws
        Draws made.
    undefined_draws
        Draws without a value (0/0), left out of the limits.
    """

    estimate: float
    low: float
    high: float
    standard_error: float
    n: int
    n_groups: int
    draws: int
    undefined_draws: int


def cluster_bootstrap_mean(
    values: npt.ArrayLike,
    clusters: npt.ArrayLike,
    *,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> BootstrapInterval:
    """Interval of a mean when observations of one cluster move together.

    Parameters
    ----------
    values
        ``[n]``; NaN is left out.
    clusters
        ``[n]`` labels of any sortable type, for instance the ISO week of each setup.
    rng
        Random generator; the same state gives the same interval.
    draws
        Bootstrap draws.
    level
        Coverage, strictly between 0 and 1.

    Notes
    -----
    Whole clusters are drawn with replacement, so a draw may hold more or fewer observations than the data.

    References
    ----------
    Cameron, Gelbach and Miller (2008), REStat 90:414-427. Hesterberg (2015), The American Statistician 69:371-386.
    """
    series = as_vector(values, "values")
    present = ~np.isnan(series)
    return _clustered_ratio(
        np.where(present, series, 0.0), present.astype(np.float64), clusters, int(present.sum()), rng, draws, level
    )


def cluster_bootstrap_ratio(
    numerator: npt.ArrayLike,
    denominator: npt.ArrayLike,
    clusters: npt.ArrayLike,
    *,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> BootstrapInterval:
    """Interval of ``sum(numerator) / sum(denominator)``, for instance a profit factor (gains over losses).

    Parameters
    ----------
    numerator, denominator
        ``[n]``, no missing values, ``denominator`` not negative.
    clusters, rng, draws, level
        As in :func:`cluster_bootstrap_mean`.

    Notes
    -----
    A draw with a denominator of zero is infinite if its numerator is not zero, and undefined otherwise. Limits are
    order statistics (no interpolation), so that an infinite limit stays infinite.
    """
    top = as_complete_vector(numerator, "numerator")
    bottom = as_complete_vector(denominator, "denominator", length=top.size)
    if (bottom < 0.0).any():
        raise StatisticError(
            "denominator holds negative values",
            where="denominator",
            how_many=f"{int((bottom < 0.0).sum())} of {bottom.size} values",
            cause="losses passed with their sign",
            action="pass the size of each loss",
        )
    return _clustered_ratio(top, bottom, clusters, top.size, rng, draws, level)


def block_bootstrap_mean(
    values: npt.ArrayLike,
    block_length: int,
    *,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> BootstrapInterval:
    """Interval of the mean of a series with memory, by moving blocks.

    Parameters
    ----------
    values
        ``[T]`` on an even grid of dates; NaN keeps its place and is left out of the means.
    block_length
        Dates per block, at least the memory of the series; see :func:`overlap_block_length`.
    rng, draws, level
        As in :func:`cluster_bootstrap_mean`.

    Notes
    -----
    ``ceil(T / block_length)`` blocks are drawn among all ``T - block_length + 1`` overlapping ones. Moving blocks visit
    the ends of the series less often than its middle, so draws are centred on the estimate. Blocks of length b miss the
    covariance across their borders: for values that overlap in k dates the variance is short by about ``k / (3 b)``.
    Fewer than two blocks give NaN limits.

    References
    ----------
    Kuensch (1989), Annals of Statistics 17:1217-1241. Lahiri (2003), ch. 2.
    """
    series = as_vector(values, "values")
    _check_draws(draws, level)
    require_at_least(block_length, 1, "block_length")
    present = ~np.isnan(series)
    n = int(present.sum())
    length = series.size
    groups = length // block_length
    estimate = float(series[present].mean()) if n else math.nan
    if groups < 2 or n < 2:
        return BootstrapInterval(estimate, math.nan, math.nan, math.nan, n, groups, draws, 0)
    total = np.concatenate(([0.0], np.cumsum(np.where(present, series - estimate, 0.0))))
    count = np.concatenate(([0.0], np.cumsum(present.astype(np.float64))))
    starts = rng.integers(0, length - block_length + 1, size=(draws, math.ceil(length / block_length)))
    sums = (total[starts + block_length] - total[starts]).sum(axis=1)
    counts = (count[starts + block_length] - count[starts]).sum(axis=1)
    defined = counts > 0.0
    deviations = sums[defined] / counts[defined]
    deviations -= deviations.mean()
    return _interval(estimate, estimate + deviations, n, groups, draws, level)


def overlap_block_length(length: int, overlap: int) -> int:
    """Block length for a series whose values share windows over ``overlap`` dates.

    The larger of four overlaps (the variance is then short by 8 %) and ``length^(1/3)``, cut so that ten blocks fit,
    but not below two overlaps while four blocks fit, and never below one overlap. Measured coverage of the nominal
    95 % interval: 94.5 % (520 dates, overlap 6), 95 % (260, 6), 94 % (130, 3), 92 % (150, 13).
    """
    require_at_least(overlap, 1, "overlap")
    wanted = max(4 * overlap if overlap > 1 else 1, math.ceil(math.pow(length, 1.0 / 3.0)))
    return max(min(wanted, length // 10), min(2 * overlap, length // 4), overlap)


def stationary_bootstrap_indices(
    length: int, mean_block_length: float, *, rng: np.random.Generator, draws: int
) -> Longs:
    """Positions ``[draws, length]`` of stationary bootstrap samples: blocks of geometric length on a circle.

    References
    ----------
    Politis and Romano (1994), JASA 89:1303-1313.
    """
    require_at_least(length, 1, "length")
    require_at_least(mean_block_length, 1.0, "mean_block_length")
    require_at_least(draws, 1, "draws")
    fresh = rng.random((draws, length)) < 1.0 / mean_block_length
    fresh[:, 0] = True
    places = np.arange(length)
    last_start = np.maximum.accumulate(np.where(fresh, places, 0), axis=1)
    starts = rng.integers(0, length, size=(draws, length))
    positions: Longs = (np.take_along_axis(starts, last_start, axis=1) + places - last_start) % length
    return positions


def _clustered_ratio(
    numerator: Floats,
    denominator: Floats,
    clusters: npt.ArrayLike,
    n: int,
    rng: np.random.Generator,
    draws: int,
    level: float,
) -> BootstrapInterval:
    _check_draws(draws, level)
    labels = np.asarray(clusters)
    if labels.shape != numerator.shape:
        raise StatisticError(f"clusters has shape {labels.shape}, values have {numerator.shape}", where="clusters")
    _, place = np.unique(labels, return_inverse=True)
    top = np.bincount(place, weights=numerator)
    bottom = np.bincount(place, weights=denominator)
    observed = np.bincount(place, weights=(numerator != 0.0) | (denominator != 0.0)) > 0
    top, bottom = top[observed], bottom[observed]
    groups = top.size
    estimate = float(_ratio(np.array([top.sum()]), np.array([bottom.sum()]))[0])
    if groups < 2:
        return BootstrapInterval(estimate, math.nan, math.nan, math.nan, n, groups, draws, 0)
    statistics = np.empty(draws)
    at_once = max(1, MULTIPLICITIES_AT_ONCE // groups)
    for first in range(0, draws, at_once):
        share = min(at_once, draws - first)
        chosen = rng.multinomial(groups, np.full(groups, 1.0 / groups), size=share).astype(np.float64)
        statistics[first : first + share] = _ratio(chosen @ top, chosen @ bottom)
    return _interval(estimate, statistics, n, groups, draws, level)


def _ratio(top: Floats, bottom: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Floats = top / bottom
    return result


def _interval(estimate: float, statistics: Floats, n: int, groups: int, draws: int, level: float) -> BootstrapInterval:
    defined = statistics[~np.isnan(statistics)]
    if defined.size == 0:
        return BootstrapInterval(estimate, math.nan, math.nan, math.nan, n, groups, draws, draws)
    quantile_of_t = stdtrit(groups - 1.0, 0.5 + level / 2.0)
    tail = float(ndtr(-math.sqrt(groups / (groups - 1.0)) * quantile_of_t))
    finite = defined[np.isfinite(defined)]
    return BootstrapInterval(
        estimate=estimate,
        low=float(np.quantile(defined, tail, method="inverted_cdf")),
        high=float(np.quantile(defined, 1.0 - tail, method="inverted_cdf")),
        standard_error=float(finite.std(ddof=1)) if finite.size > 1 else math.nan,
        n=n,
        n_groups=groups,
        draws=draws,
        undefined_draws=draws - defined.size,
    )


def _check_draws(draws: int, level: float) -> None:
    require_at_least(draws, 100, "draws")
    require_open_unit(level, "level")
