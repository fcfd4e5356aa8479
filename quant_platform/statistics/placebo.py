"""A second opinion on an event study that assumes nothing about how errors depend on each other.

All events of a panel are moved by the same whole number of days, round the end of the sample and back to its start.
That keeps the clock time of each event, the spacing of events and how symbols coincide, and breaks only their link to
the returns they stand on. A t that is large among its shifted copies is large for another reason than dependence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.cell_kernels import shifted_cells
from quant_platform.statistics.checks import Alternative, Floats, Longs, as_vector, kernel_array, require_at_least
from quant_platform.statistics.clustered import CellIndex
from quant_platform.statistics.overlap import one_sided_p, two_sided_p


@dataclass(frozen=True)
class PlaceboTests:
    """One placebo test per cell.

    Attributes
    ----------
    p
        ``[C]``; NaN where the observed t is, or no shift has a t.
    as_large, n_shifts
        ``[C]`` shifts whose t, or its size, reaches the observed one, and shifts that have a t.
    scale
        ``[C]`` root mean square of the shifted t over that of Student t; above 1, errors are understated. Of a
        one-sided test those above zero count, so that a long tail on the other side does not matter.
    """

    p: Floats
    as_large: Longs
    n_shifts: Longs
    scale: Floats


def circular_offsets(periods: int, cycle: int, *, rng: np.random.Generator, draws: int) -> Longs:
    """Distinct shifts by whole cycles, never zero: all of them if there are at most ``draws``, else a random choice."""
    require_at_least(cycle, 1, "cycle")
    require_at_least(draws, 1, "draws")
    if periods % cycle:
        raise StatisticError(f"{periods} periods are no whole number of cycles of {cycle}", where="series, cycle")
    shifts = np.arange(1, periods // cycle, dtype=np.int64)
    if shifts.size > draws:
        shifts = np.sort(rng.choice(shifts, size=draws, replace=False))
    return shifts * cycle


def placebo_tests(
    series: npt.ArrayLike,
    tracks: npt.ArrayLike,
    positions: npt.ArrayLike,
    clusters: npt.ArrayLike,
    cells: CellIndex,
    observed_t: npt.ArrayLike,
    degrees_of_freedom: npt.ArrayLike,
    *,
    offsets: Longs,
    alternative: Alternative = "two-sided",
) -> PlaceboTests:
    """Compare the clustered t of each cell with those of its circularly shifted events.

    Parameters
    ----------
    series
        ``[K, T]`` outcome of an event at each period of each track (a symbol and direction); NaN where there is none.
        ``T`` is a whole number of days; pad with NaN.
    tracks, positions
        ``[n]`` track and period of each event. A shift keeps the track.
    clusters, cells
        As in ``clustered.clustered_means``.
    observed_t, degrees_of_freedom
        ``[C]`` of the unshifted events.
    offsets
        From :func:`circular_offsets`, in periods.
    alternative
        ``greater`` asks how many shifts have a t as large; ``two-sided`` asks for its size.

    Notes
    -----
    ``p = (1 + k) / (B + 1)`` with k of B shifts as large. Months of data have few hundred days, so that this p cannot
    go below 0.01 to 0.003, too coarse to stand among hundreds of tests. With k = 0 the tail is therefore extended: the
    p of Student t after division by ``scale`` (floored at 1), never above ``1 / (B + 1)``. The larger of this p and
    the clustered one is valid whenever the clustered one is.

    Events that follow the clock and outcomes without direction: shifted events stand on each other, nothing is broken,
    and p is near one.

    References
    ----------
    Politis and Romano (1992) for the circle; Efron (2004), JASA 99:96-104, for scaling by an empirical null.
    """
    table = kernel_array(series)
    if table.ndim != 2:
        raise StatisticError(f"series has {table.ndim} dimensions, [track, period] is needed", where="series")
    track = np.require(np.asarray(tracks), np.int64, ["C", "W"])
    place = np.require(np.asarray(positions), np.int64, ["C", "W"])
    label = np.require(np.asarray(clusters), np.int64, ["C", "W"])
    for array, end, name in ((track, table.shape[0], "tracks"), (place, table.shape[1], "positions")):
        if array.size and (array.min() < 0 or array.max() >= end):
            raise StatisticError(f"{name} must lie in 0 .. {end - 1}", where=name)
    t = as_vector(observed_t, "observed_t", length=cells.n_cells)
    freedom = as_vector(degrees_of_freedom, "degrees_of_freedom", length=cells.n_cells)
    as_large, defined, scaled = (np.zeros(t.size, np.int64) for _ in range(3))
    squares = np.zeros(t.size)
    moved = np.require(offsets, np.int64, ["C", "W"])
    above = alternative == "greater"
    shifted_cells(
        table, track, place, moved, label, cells.starts, cells.rows, t, above, as_large, defined, scaled, squares
    )
    tail = one_sided_p if above else two_sided_p
    with np.errstate(divide="ignore", invalid="ignore"):
        # The variance of Student t with few degrees of freedom does not exist; five is where it settles.
        scale = np.sqrt(squares / scaled * (1.0 - 2.0 / np.maximum(freedom, 5.0)))
        counted = (1.0 + as_large) / (defined + 1.0)
        extended = np.minimum(tail(t / np.fmax(scale, 1.0), freedom), 1.0 / (defined + 1.0))
    p = np.where(as_large > 0, counted, extended)
    p[np.isnan(t) | (defined == 0)] = np.nan
    return PlaceboTests(p, as_large, defined, np.where(scaled > 0, scale, np.nan))
