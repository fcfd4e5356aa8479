"""Mean forward returns by signal quantile, and the spread of the top over the bottom quantile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.checks import Floats, Longs, as_mask, as_panel, require_at_least
from quant_platform.statistics.row_kernels import quantile_mean_rows


@dataclass(frozen=True)
class QuantileReturns:
    """Forward returns by quantile of the signal, quantile 0 lowest.

    Attributes
    ----------
    mean
        ``[T, Q]`` equal-weighted mean forward return, in the unit of the input; NaN where a quantile is empty.
    count
        ``[T, Q]`` names in each quantile.
    spread
        ``[T]`` top minus bottom, not halved: the return of a book that is 100 % long and 100 % short.
    """

    mean: Floats
    count: Longs
    spread: Floats


def quantile_returns(
    signal: npt.ArrayLike,
    forward: npt.ArrayLike,
    mask: npt.ArrayLike | None = None,
    *,
    quantiles: int = 5,
    min_names: int = 20,
) -> QuantileReturns:
    """Sort the names of each date into signal quantiles and average their forward returns.

    Parameters
    ----------
    signal
        ``[T, N]``, known at each date.
    forward
        ``[T, N]``, the return earned after each date, as a fraction (or any other additive unit).
    mask
        ``[T, N]`` boolean universe at each date; ``None`` is everything.
    quantiles
        How many groups, at least 2; 5 are quintiles.
    min_names
        Fewest valid pairs for a date to have a result.

    Raises
    ------
    StatisticError
        If shapes differ, or a forward return inside the mask is infinite.

    Notes
    -----
    **Edges.** The j-th edge is the linear quantile j/Q of the valid signals, groups are closed on the right, as in
    ``pandas.qcut``. A linear quantile lies between two neighbours in the sorted row, so "at most the edge" is "at most
    the name at place ``floor((n - 1) j / Q)``": no interpolation is needed and no rounding can misplace a name.

    **Ties.** Equal signals are never torn apart, and they never cost a date, unlike in tools that drop a date on
    which two edges coincide. Names equal to an edge belong to the group below it, so with heavy ties a group in the
    middle of ``mean`` may be empty (NaN). For ``spread``: the top is what lies above the highest edge, or, if nothing
    does because more than 1/Q of the names share the maximum, that tied block; the bottom is what is at most the
    lowest edge, or, if that includes the maximum, everything below the maximum. Only a constant signal has no
    spread (NaN).

    **Missing values.** A pair counts if the name is in the mask and neither value is NaN.
    """
    panel = as_panel(signal, "signal")
    returns = as_panel(forward, "forward", shape=panel.shape)
    universe = as_mask(mask, panel.shape)
    require_at_least(quantiles, 2, "quantiles")
    require_at_least(min_names, quantiles, "min_names")
    infinite = np.isinf(returns) & universe
    if infinite.any():
        raise StatisticError(
            "forward holds infinite returns",
            where="forward",
            how_many=f"{int(infinite.sum())} of {returns.size} values",
            rows=[{"date": int(t), "name": int(i)} for t, i in np.argwhere(infinite)[:5]],
            cause="a division by a zero price",
            action="mark the return as NaN and report the price",
        )
    dates = panel.shape[0]
    mean = np.empty((dates, quantiles))
    count = np.empty((dates, quantiles), dtype=np.int64)
    spread = np.empty(dates)
    quantile_mean_rows(panel, returns, universe, quantiles, min_names, mean, count, spread)
    return QuantileReturns(mean=mean, count=count, spread=spread)


def quantile_spread(
    signal: npt.ArrayLike,
    forward: npt.ArrayLike,
    mask: npt.ArrayLike | None = None,
    *,
    quantiles: int = 5,
    min_names: int = 20,
) -> Floats:
    """Top minus bottom quantile mean per date, ``[T]``: the ``spread`` of :func:`quantile_returns`."""
    return quantile_returns(signal, forward, mask, quantiles=quantiles, min_names=min_names).spread
