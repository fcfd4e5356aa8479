"""The EWC test of many series on one grid of dates, with the cosines computed once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.checks import Floats, Longs, kernel_array
from quant_platform.statistics.overlap import cosines, ewc_terms, two_sided_p


@dataclass(frozen=True)
class MeanTests:
    """One entry per series, as in :class:`~quant_platform.statistics.overlap.MeanTest`."""

    mean: Floats
    t: Floats
    p: Floats
    n: Longs


def ewc_tests(series: npt.ArrayLike, *, overlap: int = 1) -> MeanTests:
    """Test the mean of every column: :func:`~quant_platform.statistics.overlap.ewc_test`, column by column.

    Parameters
    ----------
    series
        ``[T, Q]`` on an even grid of dates; NaN where a date has no value.
    overlap
        Dates over which values are known to share windows.

    Notes
    -----
    **Missing values** keep their place, as there. Columns may have different numbers of values; the number of terms
    follows each one's own.

    References
    ----------
    Lazarus, Lewis, Stock and Watson (2018), JBES 36(4):541-559.
    """
    panel = kernel_array(series)
    if panel.ndim != 2 or np.isinf(panel).any():
        raise StatisticError(f"series has shape {panel.shape}, finite [date, series] is needed", where="series")
    length = panel.shape[0]
    present = ~np.isnan(panel)
    n = present.sum(axis=0)
    mean = np.where(n > 0, np.where(present, panel, 0.0).sum(axis=0) / np.maximum(n, 1), math.nan)
    deviations = np.where(present, panel - mean, 0.0)
    terms = np.array([min(ewc_terms(int(k), overlap=overlap), max(int(k) - 1, 1)) for k in n], dtype=np.int64)
    most = int(terms.max(initial=1))
    weights = np.sqrt(2.0 / max(length, 1)) * (cosines(most, length) @ deviations)
    inside = np.arange(1, most + 1)[:, np.newaxis] <= terms[np.newaxis, :]
    long_run = np.where(inside, weights**2, 0.0).sum(axis=0) / terms
    noise = (8.0 * np.finfo(np.float64).eps * np.abs(mean)) ** 2
    testable = (n >= 2) & (long_run > noise)
    error = np.sqrt(np.where(testable, long_run, 1.0) * length) / np.maximum(n, 1)
    t = np.where(testable, mean / error, math.nan)
    return MeanTests(mean, t, two_sided_p(t, terms.astype(np.float64)), n.astype(np.int64))
