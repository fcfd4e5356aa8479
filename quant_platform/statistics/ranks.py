"""Ranks within a cross-section and the rank information coefficient (IC)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.checks import (
    Floats,
    Longs,
    as_mask,
    as_panel,
    as_vector,
    kernel_array,
    require_at_least,
)
from quant_platform.statistics.row_kernels import average_rank_rows, rank_ic_rows


def average_rank(values: npt.ArrayLike) -> Floats:
    """Rank a vector from 1 upwards; ties share the mean of their places.

    Parameters
    ----------
    values
        ``[N]``. NaN is not ranked and stays NaN.

    Returns
    -------
    Ranks ``[N]``.

    Examples
    --------
    >>> average_rank([30.0, 10.0, float("nan"), 10.0]).tolist()
    [3.0, 1.5, nan, 1.5]
    """
    vector = as_vector(values, "values")
    ranks, _ = _ranked(vector[np.newaxis, :], None)
    return ranks.ravel()


def percentile_rank(values: npt.ArrayLike, mask: npt.ArrayLike | None = None) -> Floats:
    """Place every name within its date's cross-section: ``(average rank - 0.5) / n``.

    Parameters
    ----------
    values
        ``[T, N]``. Infinite values are ranked like any other number.
    mask
        ``[T, N]`` boolean, the point-in-time universe; ``None`` is everything.

    Returns
    -------
    ``[T, N]`` strictly between 0 and 1, mean 0.5 on every date that has a name.

    Notes
    -----
    **Timing.** A row uses that row only.

    **Missing values.** NaN and names outside the mask are not counted in ``n`` and stay NaN.
    """
    ranks, counts = _ranked(as_panel(values, "values"), mask)
    result: Floats = (ranks - 0.5) / np.maximum(counts, 1)[:, np.newaxis]
    return result


def spearman(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Spearman's rank correlation of two vectors, average ranks for ties.

    Pairs with a NaN on either side are left out *before* ranking. NaN if fewer than two pairs are left or one side
    is constant.

    References
    ----------
    Spearman (1904); Kendall (1948), ch. 3 for ties.
    """
    left = as_vector(first, "first")
    right = as_vector(second, "second", length=left.size)
    return float(rank_ic(left[np.newaxis, :], right[np.newaxis, :], min_names=2)[0])


def rank_ic(
    signal: npt.ArrayLike, forward: npt.ArrayLike, mask: npt.ArrayLike | None = None, *, min_names: int = 20
) -> Floats:
    """Rank IC per date: Spearman's correlation of signal and forward return over the names of that date.

    Parameters
    ----------
    signal
        ``[T, N]``, known at each date.
    forward
        ``[T, N]``, the return earned after each date. Any unit: only the order counts.
    mask
        ``[T, N]`` boolean universe at each date; ``None`` is everything.
    min_names
        Fewest valid pairs for a date to have an IC; at least 2.

    Returns
    -------
    ``[T]``. NaN where fewer than ``min_names`` pairs are valid, or signal or forward return is constant.

    Notes
    -----
    **Missing values.** A pair counts if the name is in the mask and neither value is NaN; ranks are taken within the
    pairs that count. Infinite values are ranked like any other number.

    **Ties** share their average rank and never cost a date.

    The order of the mean return is not the order of ranks: show :func:`quantile_returns` beside an IC.
    """
    panel = as_panel(signal, "signal")
    grid = rank_ic_grid(panel[np.newaxis], as_panel(forward, "forward")[np.newaxis], mask, min_names=min_names)
    return grid.ravel()


def rank_ic_grid(
    signals: npt.ArrayLike, forwards: npt.ArrayLike, mask: npt.ArrayLike | None = None, *, min_names: int = 20
) -> Floats:
    """Rank ICs of many signals with many forward returns; each panel is sorted once.

    Parameters
    ----------
    signals
        ``[K, T, N]``.
    forwards
        ``[H, T, N]``, for instance one panel per horizon.
    mask
        ``[T, N]`` boolean, shared by all.
    min_names
        As in :func:`rank_ic`, applied to every pair of panels on its own.

    Returns
    -------
    ``[K, H, T]``; every entry equals :func:`rank_ic` of its pair.
    """
    many_signals = kernel_array(signals)
    many_forwards = kernel_array(forwards)
    if many_signals.ndim != 3 or many_forwards.ndim != 3 or many_signals.shape[1:] != many_forwards.shape[1:]:
        raise StatisticError(
            f"signals have shape {many_signals.shape} and forwards {many_forwards.shape}",
            where="signals, forwards",
            cause="both are [panel, date, name] over the same dates and names",
        )
    require_at_least(min_names, 2, "min_names")
    n_signals, dates, names = many_signals.shape
    ic = np.empty((n_signals, many_forwards.shape[0], dates))
    rank_ic_rows(many_signals, many_forwards, as_mask(mask, (dates, names)), min_names, ic)
    return ic


def _ranked(panel: Floats, mask: npt.ArrayLike | None) -> tuple[Floats, Longs]:
    ranks = np.empty(panel.shape)
    counts = np.empty(panel.shape[0], dtype=np.int64)
    average_rank_rows(panel, as_mask(mask, panel.shape), ranks, counts)
    return ranks, counts
