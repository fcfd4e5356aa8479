"""How sure a Sharpe ratio is, and what the best of many would show by luck alone.

All Sharpe ratios are **per period** (mean over standard deviation of the returns as sampled, not annualised), and
kurtosis is **raw** (3 for the normal). An annual ratio is ``sqrt(periods per year)`` times the ratio per period.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.checks import require_at_least, require_open_unit


@dataclass(frozen=True)
class DeflatedSharpe:
    """A Sharpe ratio judged against the best of its trials.

    Attributes
    ----------
    probability
        That the true ratio exceeds zero, once selection among the trials is paid for; 0.95 is the usual bar.
    benchmark
        Expected best ratio per period of as many worthless trials.
    n_trials
        Trials accounted for.
    """

    probability: float
    benchmark: float
    n_trials: float


def probabilistic_sharpe(
    sharpe: float, n_periods: int, *, skewness: float = 0.0, kurtosis: float = 3.0, benchmark: float = 0.0
) -> float:
    """Probability that the true Sharpe ratio exceeds ``benchmark``.

    ``Phi((SR - SR*) sqrt(T - 1) / sqrt(1 - g3 SR + (g4 - 1)/4 SR^2))``

    Parameters
    ----------
    sharpe, benchmark
        Per period.
    n_periods
        ``T``, at least 2.
    skewness, kurtosis
        ``g3`` and raw ``g4`` of the returns per period.

    Raises
    ------
    StatisticError
        If no distribution has these moments (``kurtosis < 1 + skewness^2``) or a number is not finite.

    References
    ----------
    Bailey and Lopez de Prado (2012), Journal of Risk 15(2):3-44.
    """
    require_at_least(n_periods, 2, "n_periods")
    spread = math.sqrt(_variance_factor(sharpe, skewness, kurtosis))
    return float(ndtr((sharpe - benchmark) * math.sqrt(n_periods - 1.0) / spread))


def expected_maximum_sharpe(n_trials: float, trial_variance: float) -> float:
    """Best Sharpe ratio to expect from ``n_trials`` worthless trials, per period.

    ``sqrt(V) ((1 - g) z(1 - 1/N) + g z(1 - 1/(N e)))`` with Euler's ``g``; zero for a single trial.

    Parameters
    ----------
    n_trials
        Effective number of independent trials, at least 1; need not be whole.
    trial_variance
        Variance of the ratios per period across trials.

    Notes
    -----
    The approximation is 8 % low for two trials and 1 % high for a hundred. Near one trial it would turn negative and is
    floored at zero: no selection can make a benchmark easier than zero.

    References
    ----------
    Bailey and Lopez de Prado (2014), Journal of Portfolio Management 40(5):94-107.
    """
    require_at_least(n_trials, 1.0, "n_trials")
    require_at_least(trial_variance, 0.0, "trial_variance")
    if n_trials == 1.0:
        return 0.0
    first = float(ndtri(1.0 - 1.0 / n_trials))
    second = float(ndtri(1.0 - 1.0 / (n_trials * math.e)))
    return max(0.0, math.sqrt(trial_variance) * ((1.0 - np.euler_gamma) * first + np.euler_gamma * second))


def deflated_sharpe(
    sharpe: float,
    n_periods: int,
    *,
    n_trials: float,
    trial_variance: float,
    skewness: float = 0.0,
    kurtosis: float = 3.0,
) -> DeflatedSharpe:
    """Probabilistic Sharpe ratio against the expected best of the trials.

    Parameters as in :func:`probabilistic_sharpe` and :func:`expected_maximum_sharpe`. Take ``n_trials`` from the trial
    ledger, not from the variants that happen to be in the report.

    References
    ----------
    Bailey and Lopez de Prado (2014).
    """
    benchmark = expected_maximum_sharpe(n_trials, trial_variance)
    probability = probabilistic_sharpe(sharpe, n_periods, skewness=skewness, kurtosis=kurtosis, benchmark=benchmark)
    return DeflatedSharpe(probability=probability, benchmark=benchmark, n_trials=n_trials)


def minimum_track_record(
    sharpe: float, *, benchmark: float = 0.0, level: float = 0.95, skewness: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Periods needed before ``sharpe`` exceeds ``benchmark`` with confidence ``level``; infinite if it does not.

    References
    ----------
    Bailey and Lopez de Prado (2012).
    """
    require_open_unit(level, "level")
    factor = _variance_factor(sharpe, skewness, kurtosis)
    if sharpe <= benchmark:
        return math.inf
    return 1.0 + factor * (float(ndtri(level)) / (sharpe - benchmark)) ** 2


def _variance_factor(sharpe: float, skewness: float, kurtosis: float) -> float:
    if not (math.isfinite(sharpe) and kurtosis >= 1.0 + skewness * skewness):
        raise StatisticError(
            f"no return distribution has Sharpe ratio {sharpe}, skewness {skewness} and kurtosis {kurtosis}",
            where="sharpe, skewness, kurtosis",
            cause="excess kurtosis passed where raw kurtosis (3 for the normal) is needed",
        )
    return 1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe
