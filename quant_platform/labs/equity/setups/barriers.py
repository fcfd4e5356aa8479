"""Two-barrier probabilities of a Brownian price: the odds a market without an edge gives a setup.

The replay's kernel holds the driftless finite-horizon solution; here is its typed door, and the closed form with drift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from quant_platform.contracts.errors import StatisticError
from quant_platform.labs.equity.setups import kernel


@dataclass(frozen=True)
class BarrierProbabilities:
    """Chances that the target comes first, the stop comes first, or neither within the horizon; they add up to one."""

    target: float
    stop: float
    timeout: float


def barrier_probabilities(
    stop_distance: float, target_distance: float, volatility: float, horizon: float
) -> BarrierProbabilities:
    """Exact first-passage probabilities of a driftless Brownian motion between two barriers.

    Parameters
    ----------
    stop_distance, target_distance
        Positive distances from the start, in one unit.
    volatility
        Standard deviation per unit of time, in the unit of the distances.
    horizon
        Time that is allowed, for example sessions.

    Notes
    -----
    With L = stop + target distance and s = sigma^2 T / L^2, the sine series in exp(-n^2 pi^2 s / 2) is used for
    s >= 0.25 and the series of images in erfc below it; both then need about six terms. For T to infinity the target
    has probability ``1 / (1 + rr)`` (optional stopping). The motion is arithmetic, not geometric, because that is the
    one without drift in R.

    References
    ----------
    Borodin and Salminen (2002), Handbook of Brownian Motion, 1.3.0.6 and 3.0.6.

    Examples
    --------
    >>> round(barrier_probabilities(1.0, 2.0, 1.0, 1e6).target, 6)
    0.333333
    """
    for name, value in (("stop_distance", stop_distance), ("target_distance", target_distance)):
        if not value > 0.0:
            raise StatisticError(f"{name} must be positive, was {value}", where="barrier_probabilities")
    for name, value in (("volatility", volatility), ("horizon", horizon)):
        if not value >= 0.0:
            raise StatisticError(f"{name} must not be negative, was {value}", where="barrier_probabilities")
    return BarrierProbabilities(
        *kernel.barrier_probabilities(stop_distance, target_distance, volatility, float(horizon))
    )


def target_probability_with_drift(
    stop_distance: float, target_distance: float, drift: float, volatility: float
) -> float:
    """Chance that a Brownian motion with drift meets the target before the stop, without a horizon.

    ``(1 - exp(-theta a)) / (1 - exp(-theta (a + b)))`` with theta = 2 drift / volatility^2, a the stop and b the target
    distance; ``a / (a + b)`` for no drift.

    Examples
    --------
    >>> round(target_probability_with_drift(1.0, 2.0, 0.1, 1.0), 6)
    0.40176
    """
    if not (stop_distance > 0.0 and target_distance > 0.0 and volatility > 0.0):
        raise StatisticError("distances and volatility must be positive", where="target_probability_with_drift")
    theta = 2.0 * drift / volatility**2
    if theta == 0.0:
        return stop_distance / (stop_distance + target_distance)
    return math.expm1(-theta * stop_distance) / math.expm1(-theta * (stop_distance + target_distance))
