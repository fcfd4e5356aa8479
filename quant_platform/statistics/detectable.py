"""What a test could have seen: a cell that could not have shown a plausible effect says nothing about it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from quant_platform.statistics.checks import Alternative, Floats, require_open_unit


def minimum_detectable_effect(
    standard_error: npt.ArrayLike, *, level: float, power: float = 0.8, alternative: Alternative = "two-sided"
) -> Floats:
    """Smallest true effect that a test finds with the stated power: ``(z_(1 - level/2) + z_power) SE`` if two-sided.

    Parameters
    ----------
    standard_error
        In the unit of the effect; NaN stays NaN.
    level
        Of the single test. Where false discoveries are controlled over m tests, few of which hold an effect, use
        ``q / m``; 0.05 over a few hundred tests means ``z`` of about 3.7.
    power
        Chance to find it.
    alternative
        ``greater`` for a test that asks for a positive effect only: all of the level is at its one end.

    References
    ----------
    Bloom (1995), Evaluation Review 19:547-556.
    """
    require_open_unit(level, "level")
    require_open_unit(power, "power")
    ends = 1.0 if alternative == "greater" else 2.0
    multiple = float(ndtri(1.0 - level / ends) + ndtri(power))
    result: Floats = multiple * np.asarray(standard_error, dtype=np.float64)
    return result


def events_needed(effect: float, standard_deviation: float, *, level: float, power: float = 0.8) -> int:
    """Independent events after which ``effect`` is the minimum detectable one.

    Examples
    --------
    >>> events_needed(5.0, 30.0, level=0.05)
    283
    """
    require_open_unit(level, "level")
    require_open_unit(power, "power")
    multiple = float(ndtri(1.0 - level / 2.0) + ndtri(power))
    return math.ceil((multiple * standard_deviation / effect) ** 2)
