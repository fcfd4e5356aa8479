"""When a feature's distribution has moved enough to be said aloud."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant_platform.statistics.drift import StabilityIndex, stability_index

MODERATE = 0.10


@dataclass(frozen=True)
class DriftAlarm:
    """A stability index, and whether it is both larger than sampling explains and large enough to matter."""

    index: StabilityIndex
    raised: bool


def drift_alarm(
    reference: npt.ArrayLike,
    current: npt.ArrayLike,
    *,
    every: int = 1,
    bins: int = 10,
    confidence: float = 0.95,
    smallest: float = MODERATE,
) -> DriftAlarm:
    """Compare a feature with its reference.

    Parameters
    ----------
    reference, current
        Values in order of time; NaN is left out.
    every
        Takes one value in so many of both, because neighbouring bars repeat each other: 288 takes one a day from
        5-minute bars, and the number of values that the bound counts is then that of days.
    bins, confidence
        As in :func:`~quant_platform.statistics.drift.stability_index`.
    smallest
        The index that counts as moderate by the common reading.

    References
    ----------
    Yurdakul and Naranjo (2020), Journal of Risk Model Validation 14(4).
    """
    first, second = np.asarray(reference, dtype=np.float64)[::every], np.asarray(current, dtype=np.float64)[::every]
    index = stability_index(first, second, bins=bins, confidence=confidence)
    return DriftAlarm(index, index.value > index.bound and index.value > smallest)
