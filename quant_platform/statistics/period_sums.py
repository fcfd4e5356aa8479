"""Intervals of means, ratios and rates of trades that last longer than the period that they are counted in.

A trade held for weeks shares its market with those of the weeks around it, so weekly results are dependent: intervals
that take trades, or single weeks, for independent cover the truth in 50 to 90 % of cases instead of 95 %. Here

1. the deviations of a period's trades are summed, ``u_w = sum (a - r b)`` with ``r = sum a / sum b`` (the linearisation
   of a ratio; a mean has ``b = 1``); a period without a trade has ``u = 0`` and keeps its place;
2. the long-run variance of ``u`` is the equal-weighted cosine one (:mod:`quant_platform.statistics.overlap`), with the
   number of cosines that ICs over the same overlap have;
3. ``SE = sqrt(T S) / sum b``, and estimate and error are compared with Student t of as many degrees of freedom as there
   are cosines. The p and the limits are one statement: p is below 5 % exactly where zero lies outside the limits.

Nothing is drawn at random: equal trades have equal intervals, whatever table they stand in. Below a stated number of
periods that hold a trade there is no interval and no p. Measured coverage: ``docs/evidence/replay.md``.

What it does not cover: dependence over much more than ``span / cosines`` periods.

References
----------
Lazarus, Lewis, Stock and Watson (2018), JBES 36:541-559. Cochran (1977), Sampling Techniques, ch. 6, for the
linearisation. Wilson (1927), JASA 22:209-212, and Dean and Pagano (2015), Statistical Methods in Medical Research
24:817-844, for Wilson's limits with an effective number of trials.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.checks import (
    Floats,
    as_complete_vector,
    as_outcomes,
    require_at_least,
    require_open_unit,
)
from quant_platform.statistics.overlap import ewc_terms, ewc_test, two_sided_p


@dataclass(frozen=True)
class Periods:
    """How results are counted in time.

    Attributes
    ----------
    overlap
        Periods over which two results may share their market: 7 weeks for 30 sessions.
    minimum
        Fewest periods that hold a result; with fewer there is no interval and no p. At least 2.
    """

    overlap: int
    minimum: int

    def __post_init__(self) -> None:
        """Check both numbers."""
        require_at_least(self.overlap, 1, "overlap")
        require_at_least(self.minimum, 2, "minimum")


@dataclass(frozen=True)
class PeriodInterval:
    """An estimate with what is known about its error.

    Attributes
    ----------
    estimate
        NaN without a result, or where the denominator is zero.
    standard_error, t, p
        Of the estimate against zero, two-sided; NaN where there is no interval.
    degrees_of_freedom
        The number of cosines.
    low, high
        Limits; NaN where there is no interval.
    n
        Results.
    n_periods
        Periods that hold one.
    """

    estimate: float
    standard_error: float
    degrees_of_freedom: float
    t: float
    p: float
    low: float
    high: float
    n: int
    n_periods: int


def mean_over_periods(
    values: npt.ArrayLike, periods: npt.ArrayLike, counted: Periods, *, level: float = 0.95
) -> PeriodInterval:
    """Interval of the mean of results, for instance R per trade by the week of the signal.

    Parameters
    ----------
    values
        ``[n]`` results without a missing one.
    periods
        ``[n]`` whole number of the period of each, consecutive periods differing by one.
    counted
        Overlap and minimum.
    level
        Coverage.

    Examples
    --------
    Twelve periods of one trade each, and one cosine:

    >>> found = mean_over_periods([0, 1] * 6, range(12), Periods(overlap=4, minimum=12))
    >>> round(found.estimate, 3), found.degrees_of_freedom
    (0.5, 1.0)
    """
    series = as_complete_vector(values, "values")
    return ratio_over_periods(series, np.ones(series.size), periods, counted, level=level)


def ratio_over_periods(
    numerator: npt.ArrayLike,
    denominator: npt.ArrayLike,
    periods: npt.ArrayLike,
    counted: Periods,
    *,
    level: float = 0.95,
) -> PeriodInterval:
    """Interval of ``sum(numerator) / sum(denominator)``.

    Parameters
    ----------
    numerator, denominator
        ``[n]`` without missing values; the denominator is not negative.
    periods, counted, level
        As in :func:`mean_over_periods`.

    Raises
    ------
    StatisticError
        If lengths differ, a value is missing, or a denominator is negative.
    """
    top = as_complete_vector(numerator, "numerator")
    bottom = as_complete_vector(denominator, "denominator", length=top.size)
    place = _places(periods, top.size)
    require_open_unit(level, "level")
    if (bottom < 0.0).any():
        raise StatisticError(
            "denominator holds negative values",
            where="denominator",
            how_many=f"{int((bottom < 0.0).sum())} of {bottom.size} values",
        )
    total, occupied = float(bottom.sum()), int(np.unique(place).size)
    if total == 0.0:
        return _without_interval(math.nan, top.size, occupied)
    estimate = float(top.sum()) / total
    if occupied < counted.minimum:
        return _without_interval(estimate, top.size, occupied)
    sums: Floats = np.bincount(place, weights=top - estimate * bottom).astype(np.float64)
    # The sums have mean zero: what ewc_test calls the error of their mean, times their number, is that of their total.
    terms = min(ewc_terms(sums.size, overlap=counted.overlap), sums.size - 1)
    error = ewc_test(sums, terms=terms).standard_error * sums.size / total
    # Sums of rounding errors are no variation.
    if not error > 1e-13 * float(np.abs(top).sum() + abs(estimate) * total) / total:
        return _without_interval(estimate, top.size, occupied)
    half = float(stdtrit(terms, 0.5 + level / 2.0)) * error
    return PeriodInterval(
        estimate=estimate,
        standard_error=error,
        degrees_of_freedom=float(terms),
        t=estimate / error,
        p=float(two_sided_p(estimate / error, terms)),
        low=estimate - half,
        high=estimate + half,
        n=top.size,
        n_periods=occupied,
    )


def rate_over_periods(
    happened: npt.ArrayLike, periods: npt.ArrayLike, counted: Periods, *, level: float = 0.95
) -> PeriodInterval:
    """Interval of a rate within [0, 1]: Wilson's limits with the trials that the error is worth.

    ``n_effective = rate (1 - rate) / SE^2``, and Student t of the cosines in place of the normal quantile. For
    independent trials and many periods these are Wilson's own limits.

    Parameters
    ----------
    happened
        ``[n]`` of 0 and 1.
    periods, counted, level
        As in :func:`mean_over_periods`.

    Returns
    -------
    PeriodInterval
        Without t and p, as no rate is tested against zero. A rate of exactly 0 or 1 shows no variation to estimate an
        error from, and has no interval.
    """
    outcome = as_outcomes(happened, "happened")
    linear = mean_over_periods(outcome, periods, counted, level=level)
    rate, error, terms = linear.estimate, linear.standard_error, linear.degrees_of_freedom
    if math.isnan(error):
        return linear
    effective = rate * (1.0 - rate) / error**2
    quantile = float(stdtrit(terms, 0.5 + level / 2.0))
    share = quantile**2 / effective
    centre = (rate + share / 2.0) / (1.0 + share)
    half = math.sqrt(rate * (1.0 - rate) * share + share**2 / 4.0) / (1.0 + share)
    return PeriodInterval(
        estimate=rate,
        standard_error=error,
        degrees_of_freedom=terms,
        t=math.nan,
        p=math.nan,
        low=max(0.0, centre - half),
        high=min(1.0, centre + half),
        n=linear.n,
        n_periods=linear.n_periods,
    )


def _places(periods: npt.ArrayLike, length: int) -> npt.NDArray[np.int64]:
    """Periods counted from the first."""
    label = np.asarray(periods)
    if label.shape != (length,):
        raise StatisticError(f"periods has shape {label.shape}, values have {(length,)}", where="periods")
    if length and not np.issubdtype(label.dtype, np.integer):
        raise StatisticError(
            f"periods are {label.dtype}, whole numbers are needed",
            where="periods",
            action="number the periods, so that empty ones keep their place",
        )
    whole = label.astype(np.int64)
    first: npt.NDArray[np.int64] = whole - whole.min() if length else whole
    return first


def _without_interval(estimate: float, n: int, n_periods: int) -> PeriodInterval:
    nothing = math.nan
    return PeriodInterval(estimate, nothing, nothing, nothing, nothing, nothing, nothing, n, n_periods)
