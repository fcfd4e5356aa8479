"""Do stated probabilities come true? Scores, their parts, and the reliability table."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import xlog1py, xlogy

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.checks import Floats, Longs, as_outcomes, as_probabilities, require_at_least
from quant_platform.statistics.overlap import two_sided_p
from quant_platform.statistics.period_sums import PeriodInterval, Periods, mean_over_periods, rate_over_periods
from quant_platform.statistics.proportions import wilson_interval
from quant_platform.statistics.ranks import percentile_rank


@dataclass(frozen=True)
class BrierParts:
    """The Brier score and its partition; ``brier = reliability - resolution + uncertainty + within_bins`` exactly.

    Attributes
    ----------
    brier
        Mean of ``(p - y)^2``; 0 is perfect.
    reliability
        Weighted squared distance of stated from observed rates; 0 is perfectly calibrated.
    resolution
        Weighted squared distance of observed rates from the base rate; larger is better.
    uncertainty
        ``base (1 - base)``, the score of always stating the base rate.
    within_bins
        What grouping different probabilities into one bin hides; 0 if each bin holds one probability.
    skill
        ``1 - brier / uncertainty``; NaN if all outcomes are equal.
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float
    skill: float


@dataclass(frozen=True)
class ReliabilityBins:
    """Reliability table, one entry per occupied bin, lowest probabilities first.

    Attributes
    ----------
    count
        ``[B]`` forecasts.
    mean_p, observed
        ``[B]`` mean stated probability and share that came true.
    wilson_low, wilson_high
        ``[B]`` 95 % limits of ``observed`` if outcomes are independent.
    low, high
        ``[B]`` limits that allow for forecasts that overlap in time; NaN without periods, or with too few in the bin.
    """

    count: Longs
    mean_p: Floats
    observed: Floats
    wilson_low: Floats
    wilson_high: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class CalibrationReport:
    """How well probabilities match outcomes.

    Attributes
    ----------
    n
        Forecasts.
    mean_p, base_rate
        Mean stated probability and share that came true.
    parts
        Brier score and its partition over ``bins``.
    log_loss
        Mean negative log-likelihood in nats; infinite if something called impossible happened.
    ece
        Expected calibration error: ``sum (count/n) |observed - mean_p|`` over the bins.
    spiegelhalter_z, spiegelhalter_p
        Test that the probabilities are exact, assuming independent outcomes; NaN where undefined.
    rate, bias
        ``base_rate``, and the mean of ``y - p``, with intervals over periods; None without periods.
    bins
        Reliability table.
    """

    n: int
    mean_p: float
    base_rate: float
    parts: BrierParts
    log_loss: float
    ece: float
    spiegelhalter_z: float
    spiegelhalter_p: float
    rate: PeriodInterval | None
    bias: PeriodInterval | None
    bins: ReliabilityBins


def brier_score(probability: npt.ArrayLike, outcome: npt.ArrayLike) -> float:
    """Mean of ``(p - y)^2``.

    References
    ----------
    Brier (1950), Monthly Weather Review 78:1-3.
    """
    p, y = _pairs(probability, outcome)
    return float(np.mean((p - y) ** 2))


def log_loss(probability: npt.ArrayLike, outcome: npt.ArrayLike) -> float:
    """Mean of ``-y log p - (1 - y) log(1 - p)``, in nats. No clipping: a wrong certainty costs infinity."""
    p, y = _pairs(probability, outcome)
    return float(np.mean(log_losses(p, y)))


def log_losses(p: Floats, y: Floats) -> Floats:
    """Log loss of each forecast."""
    losses: Floats = -(xlogy(y, p) + xlog1py(1.0 - y, -p))
    return losses


def calibration_report(
    probability: npt.ArrayLike,
    outcome: npt.ArrayLike,
    *,
    bins: int = 10,
    periods: npt.ArrayLike | None = None,
    counted: Periods | None = None,
) -> CalibrationReport:
    """Judge probabilities by what happened.

    Parameters
    ----------
    probability
        ``[n]`` in [0, 1], stated before the outcome was known.
    outcome
        ``[n]`` of 0 and 1.
    bins
        Bins of equal count. Equal probabilities share a bin, so counts differ and bins may stay empty (and unlisted)
        when many are equal.
    periods, counted
        ``[n]`` number of the period of each forecast, for instance the week, and how periods count (see
        :func:`quant_platform.statistics.period_sums.mean_over_periods`). Setups that overlap in time need them: Wilson
        limits and Spiegelhalter's z are then too sure.

    Raises
    ------
    StatisticError
        If there is no forecast, a value is missing or out of range, or only one of periods and counted is passed.

    References
    ----------
    Murphy (1973), Journal of Applied Meteorology 12:595-600. Stephenson, Coelho and Jolliffe (2008), Weather and
    Forecasting 23:752-757, for the terms within bins. Spiegelhalter (1986), Statistics in Medicine 5:421-433.
    """
    p, y = _pairs(probability, outcome)
    require_at_least(bins, 1, "bins")
    if (periods is None) != (counted is None):
        raise StatisticError("periods and counted belong together, one was passed", where="periods, counted")
    place = _equal_count_bins(p, bins)
    count = np.bincount(place)
    mean_p = np.bincount(place, weights=p) / count
    observed = np.bincount(place, weights=y) / count
    weight = count / p.size
    z = _spiegelhalter(p, y)
    rate: PeriodInterval | None = None
    bias: PeriodInterval | None = None
    limits = np.full((2, count.size), np.nan)
    if periods is not None and counted is not None:
        label = np.asarray(periods)
        rate = rate_over_periods(y, label, counted)
        bias = mean_over_periods(y - p, label, counted)
        for k in range(count.size):
            interval = rate_over_periods(y[place == k], label[place == k], counted)
            limits[:, k] = interval.low, interval.high
    wilson = wilson_interval(np.bincount(place, weights=y), count)
    return CalibrationReport(
        n=p.size,
        mean_p=float(p.mean()),
        base_rate=float(y.mean()),
        parts=_parts(p, y, weight, mean_p, observed),
        log_loss=float(np.mean(log_losses(p, y))),
        ece=float(np.sum(weight * np.abs(observed - mean_p))),
        spiegelhalter_z=z,
        spiegelhalter_p=float(two_sided_p(z, np.inf)),
        rate=rate,
        bias=bias,
        bins=ReliabilityBins(count, mean_p, observed, wilson.low, wilson.high, limits[0].copy(), limits[1].copy()),
    )


def _pairs(probability: npt.ArrayLike, outcome: npt.ArrayLike) -> tuple[Floats, Floats]:
    p = as_probabilities(probability, "probability")
    y = as_outcomes(outcome, "outcome", length=p.size)
    if p.size == 0:
        raise StatisticError("there is no forecast to judge", where="probability")
    return p, y


def _equal_count_bins(p: Floats, bins: int) -> Longs:
    """Bin of each forecast, numbered without gaps; equal probabilities go together by their average rank."""
    share = percentile_rank(p[np.newaxis])[0]
    wide = np.minimum((share * bins).astype(np.int64), bins - 1)
    _, place = np.unique(wide, return_inverse=True)
    return np.asarray(place, dtype=np.int64)


def _parts(p: Floats, y: Floats, weight: Floats, mean_p: Floats, observed: Floats) -> BrierParts:
    base = float(y.mean())
    brier = float(np.mean((p - y) ** 2))
    reliability = float(np.sum(weight * (mean_p - observed) ** 2))
    resolution = float(np.sum(weight * (observed - base) ** 2))
    uncertainty = base * (1.0 - base)
    return BrierParts(
        brier=brier,
        reliability=reliability,
        resolution=resolution,
        uncertainty=uncertainty,
        within_bins=brier - (reliability - resolution + uncertainty),
        skill=1.0 - brier / uncertainty if uncertainty > 0.0 else math.nan,
    )


def _spiegelhalter(p: Floats, y: Floats) -> float:
    """``sum (y - p)(1 - 2p) / sqrt(sum (1 - 2p)^2 p (1 - p))``; standard normal if the probabilities are exact."""
    variance = float(np.sum((1.0 - 2.0 * p) ** 2 * p * (1.0 - p)))
    if variance <= 0.0:
        return math.nan
    return float(np.sum((y - p) * (1.0 - 2.0 * p)) / math.sqrt(variance))
