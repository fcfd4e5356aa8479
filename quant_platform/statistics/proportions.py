"""Intervals for a rate: how often something happened of how many times it could have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.checks import Floats, require_open_unit


@dataclass(frozen=True)
class RateInterval:
    """A rate with its interval.

    Attributes
    ----------
    rate
        Successes over trials; NaN for no trial.
    low, high
        Limits within [0, 1]; 0 and 1 for no trial, where nothing is known.
    """

    rate: Floats
    low: Floats
    high: Floats


def wilson_interval(successes: npt.ArrayLike, trials: npt.ArrayLike, *, level: float = 0.95) -> RateInterval:
    """Wilson's score interval of a binomial rate, element by element.

    Parameters
    ----------
    successes, trials
        Counts of one common shape (or broadcastable), ``0 <= successes <= trials``.
    level
        Coverage, strictly between 0 and 1.

    Returns
    -------
    Arrays of the common shape (zero-dimensional for scalars).

    Raises
    ------
    StatisticError
        If a count is missing, negative, or exceeds its trials.

    Notes
    -----
    It assumes independent trials. Setups that overlap in time or react to one market are not: use
    :func:`quant_platform.statistics.bootstrap.cluster_bootstrap_mean` over weeks beside it.

    References
    ----------
    Wilson (1927), JASA 22:209-212. Newcombe (1998), Statistics in Medicine 17:857-872, method 3.
    """
    hits, n = np.broadcast_arrays(np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64))
    require_open_unit(level, "level")
    valid = (hits >= 0.0) & (hits <= n) & np.isfinite(n)
    if not valid.all():
        bad = np.argwhere(~valid)[:5]
        raise StatisticError(
            "counts do not form a rate",
            where="successes, trials",
            how_many=f"{int((~valid).sum())} of {valid.size} pairs",
            rows=[{"successes": float(hits[tuple(i)]), "trials": float(n[tuple(i)])} for i in bad],
            cause="successes must lie between 0 and trials",
        )
    z = float(ndtri(0.5 + level / 2.0))
    some = np.maximum(n, 1.0)
    rate = hits / some
    centre = (rate + z * z / (2.0 * some)) / (1.0 + z * z / some)
    half = z / (1.0 + z * z / some) * np.sqrt(rate * (1.0 - rate) / some + z * z / (4.0 * some * some))
    none = n == 0.0
    # The limits are exactly 0 and 1 at the borders; rounding must not push them past.
    low = np.where(none | (hits == 0.0), 0.0, np.maximum(centre - half, 0.0))
    high = np.where(none | (hits == n), 1.0, np.minimum(centre + half, 1.0))
    return RateInterval(rate=np.where(none, np.nan, rate), low=low, high=high)
