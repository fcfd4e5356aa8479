"""Means of many overlapping cells of events at once, with errors that allow for events that move together.

Events of one day share the market's move, in one symbol and across symbols. Taking them for independent rejects a true
null in up to four runs of ten at a nominal 5 %; taking each UTC day over all symbols as one observation rejects in 4
to 5 %.

1. :func:`index_cells` sorts the membership of events in cells once; an event may lie in any number of cells.
2. :func:`cluster_moments` sums each cell once per time block (compiled); every statistic below follows from the sums.
3. :func:`clustered_means` gives mean, standard error, t and p per cell.
4. :func:`wild_cluster_p` replaces the p where there are fewer than about thirty clusters.

Missing values: a NaN event is left out of its cells. A cell with fewer than two clusters has NaN error, t and p.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.cell_kernels import COLUMNS, N_CLUSTERS, SQUARES, TOTAL, WEIGHTED, WEIGHTS, N, sum_cells
from quant_platform.statistics.checks import Alternative, Floats, Longs, as_vector, kernel_array, require_at_least
from quant_platform.statistics.overlap import MeanTest, two_sided_p

WEBB_BELOW = 12
WEBB_POINTS = np.array([-math.sqrt(1.5), -1.0, -math.sqrt(0.5), math.sqrt(0.5), 1.0, math.sqrt(1.5)])


@dataclass(frozen=True)
class CellIndex:
    """Which events belong to which cell.

    Attributes
    ----------
    starts
        ``[C + 1]`` the members of cell c are ``rows[starts[c]:starts[c + 1]]``.
    rows
        ``[M]`` event numbers, within a cell in the order of their clusters.
    """

    starts: Longs
    rows: Longs

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.starts.size - 1


@dataclass(frozen=True)
class ClusteredMeans:
    """One two-sided test per cell that its mean is zero.

    Attributes
    ----------
    mean, standard_error
        ``[C]`` in the unit of the values.
    t, p
        ``[C]`` ratio, and its p under Student t with ``n_clusters - 1`` degrees of freedom.
    n, n_clusters
        ``[C]`` events that are not NaN, and the clusters they fill.
    """

    mean: Floats
    standard_error: Floats
    t: Floats
    p: Floats
    n: Longs
    n_clusters: Longs


def index_cells(cells: npt.ArrayLike, rows: npt.ArrayLike, clusters: npt.ArrayLike, n_cells: int) -> CellIndex:
    """Sort pairs (cell, event) by cell and cluster.

    Parameters
    ----------
    cells, rows
        ``[M]`` pairs: the event ``rows[j]`` belongs to the cell ``cells[j]``.
    clusters
        ``[n]`` whole number of the cluster of each event.
    n_cells
        ``C``; cells without events are kept.

    Raises
    ------
    StatisticError
        If the pairs differ in length or name a cell or event that does not exist.
    """
    cell, row = np.asarray(cells, dtype=np.int64), np.asarray(rows, dtype=np.int64)
    label = np.asarray(clusters, dtype=np.int64)
    if cell.shape != row.shape or cell.ndim != 1:
        raise StatisticError(f"cells has shape {cell.shape}, rows have {row.shape}", where="cells, rows")
    for array, end, name in ((cell, n_cells, "cells"), (row, label.size, "rows")):
        if array.size and (array.min() < 0 or array.max() >= end):
            raise StatisticError(f"{name} must lie in 0 .. {end - 1}", where=name)
    order = np.lexsort((row, label[row], cell))
    starts = np.searchsorted(cell[order], np.arange(n_cells + 1)).astype(np.int64)
    return CellIndex(starts, np.require(row[order], np.int64, ["C", "W"]))


def one_cell(clusters: npt.ArrayLike) -> CellIndex:
    """Return the index of a single cell that holds every event."""
    n = np.asarray(clusters).size
    return index_cells(np.zeros(n, dtype=np.int64), np.arange(n), clusters, 1)


def cluster_moments(
    values: npt.ArrayLike,
    clusters: npt.ArrayLike,
    cells: CellIndex,
    *,
    blocks: npt.ArrayLike | None = None,
    n_blocks: int = 1,
) -> Floats:
    """Sums over clusters, ``[C, B, 6]``: events, total, and four sums over clusters g of the total S_g and size n_g.

    Columns: ``n, sum S, sum S^2, sum S n, sum n^2, number of clusters``.

    Parameters
    ----------
    values
        ``[n]``, NaN is left out.
    clusters
        ``[n]`` whole numbers.
    cells
        Membership, made with the same clusters.
    blocks, n_blocks
        ``[n]`` time block of each event; a cluster must not straddle two blocks. Default: one block.
    """
    series = kernel_array(as_vector(values, "values"))
    label = np.require(np.asarray(clusters), np.int64, ["C", "W"])
    block = np.zeros(series.size, np.int64) if blocks is None else np.require(np.asarray(blocks), np.int64, ["C", "W"])
    for array, name in ((label, "clusters"), (block, "blocks")):
        if array.shape != series.shape:
            raise StatisticError(f"{name} has shape {array.shape}, values have {series.shape}", where=name)
    if block.size and (block.min() < 0 or block.max() >= n_blocks):
        raise StatisticError(f"blocks must lie in 0 .. {n_blocks - 1}", where="blocks")
    moments = np.zeros((cells.n_cells, n_blocks, COLUMNS))
    sum_cells(series, label, block, cells.starts, cells.rows, moments)
    return moments


def means_from_moments(moments: Floats) -> ClusteredMeans:
    """Test the mean of cells from their sums ``[C, 6]`` (see :func:`cluster_moments`)."""
    n, total, groups = moments[..., N], moments[..., TOTAL], moments[..., N_CLUSTERS]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / n
        squares = moments[..., SQUARES] - 2.0 * mean * moments[..., WEIGHTED] + mean * mean * moments[..., WEIGHTS]
        variance = np.where(groups >= 2, groups / (groups - 1.0) * np.maximum(squares, 0.0) / (n * n), np.nan)
        error = np.sqrt(variance)
        # Sums of rounding errors are no variation.
        error = np.where(error <= 1e-14 * np.abs(mean), 0.0, error)
        t = np.where(error > 0.0, mean / error, np.nan)
    p = two_sided_p(t, np.where(groups >= 2, groups - 1.0, np.nan))
    return ClusteredMeans(mean, error, t, p, n.astype(np.int64), groups.astype(np.int64))


def clustered_means(values: npt.ArrayLike, clusters: npt.ArrayLike, cells: CellIndex) -> ClusteredMeans:
    """Test that the mean of each cell is zero, clusters being the independent pieces.

    ``SE^2 = G / (G - 1) sum_g (sum_(i in g) (y_i - ybar))^2 / n^2``, ``t = ybar / SE`` against Student t with ``G - 1``
    degrees of freedom. Parameters as in :func:`cluster_moments`.

    References
    ----------
    Liang and Zeger (1986), Biometrika 73:13-22. Cameron and Miller (2015), Journal of Human Resources 50:317-372.
    """
    return means_from_moments(cluster_moments(values, clusters, cells)[:, 0, :])


def clustered_mean(values: npt.ArrayLike, clusters: npt.ArrayLike) -> MeanTest:
    """:func:`clustered_means` of one cell.

    Examples
    --------
    >>> found = clustered_mean([1.0, 3.0, 5.0, 7.0], [1, 1, 2, 2])
    >>> found.mean, found.standard_error, found.t
    (4.0, 2.0, 2.0)
    """
    found = clustered_means(values, clusters, one_cell(clusters))
    return MeanTest(
        mean=float(found.mean[0]),
        standard_error=float(found.standard_error[0]),
        t=float(found.t[0]),
        degrees_of_freedom=float(found.n_clusters[0] - 1),
        p=float(found.p[0]),
        n=int(found.n[0]),
    )


def wild_cluster_p(
    values: npt.ArrayLike,
    clusters: npt.ArrayLike,
    *,
    rng: np.random.Generator,
    draws: int = 9999,
    alternative: Alternative = "two-sided",
) -> float:
    """P of the clustered t by a wild bootstrap that keeps clusters whole, for few clusters.

    Each draw multiplies all values of a cluster by one random sign (with fewer than twelve clusters, by one of the six
    points of Webb, as signs alone would give too few different draws) and compares the t.

    Parameters
    ----------
    values, clusters
        As in :func:`clustered_mean`.
    rng, draws
        Generator and number of draws; the smallest p is ``1 / (draws + 1)``.
    alternative
        What the mean would be if it is not zero: ``two-sided``, or ``greater``.

    References
    ----------
    Cameron, Gelbach and Miller (2008), REStat 90:414-427, with the null imposed. Webb (2023), Canadian Journal of
    Economics 56:839-858.
    """
    require_at_least(draws, 99, "draws")
    series = as_vector(values, "values")
    label = np.asarray(clusters)
    if label.shape != series.shape:
        raise StatisticError(f"clusters has shape {label.shape}, values have {series.shape}", where="clusters")
    seen = ~np.isnan(series)
    _, place = np.unique(label[seen], return_inverse=True)
    sums: Floats = np.bincount(place, weights=series[seen]).astype(np.float64)
    sizes: Floats = np.bincount(place).astype(np.float64)
    groups = sums.size
    if groups < 2:
        return math.nan
    points = WEBB_POINTS if groups < WEBB_BELOW else np.array([-1.0, 1.0])
    drawn = points[rng.integers(0, points.size, size=(draws, groups))]
    observed = float(_t_of_sums(sums[None, :], sizes)[0])
    if math.isnan(observed):
        return math.nan
    shuffled = _t_of_sums(drawn * sums, sizes)
    with np.errstate(invalid="ignore"):
        if alternative == "greater":
            as_large = shuffled >= observed - 1e-12 * abs(observed)
        else:
            as_large = np.abs(shuffled) >= abs(observed) * (1.0 - 1e-12)
    return float((1 + int(as_large.sum())) / (draws + 1))


def _t_of_sums(sums: Floats, sizes: Floats) -> Floats:
    """Clustered t of cluster totals ``[draws, G]``."""
    n, groups = sizes.sum(), sizes.size
    mean = sums.sum(axis=1) / n
    squares = ((sums - mean[:, None] * sizes) ** 2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Floats = mean / np.sqrt(groups / (groups - 1.0) * squares / (n * n))
    return result
