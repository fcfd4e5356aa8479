"""Compiled sums over cells of events; the typed, checked functions are in ``clustered`` and ``placebo``.

Members of a cell stand in the order of their clusters, so that a change of the number closes a cluster.
"""

from __future__ import annotations

import numpy as np

from quant_platform.contracts.compiled import compiled
from quant_platform.statistics.checks import Floats, Longs

N, TOTAL, SQUARES, WEIGHTED, WEIGHTS, N_CLUSTERS = 0, 1, 2, 3, 4, 5
COLUMNS = 6


@compiled
def sum_cells(values: Floats, clusters: Longs, blocks: Longs, starts: Longs, rows: Longs, moments: Floats) -> None:
    """Add the sums of ``clustered.cluster_moments`` into ``moments[C, B, 6]``.

    Values enter as deviations from the cell's mean, which is put back at the end: squares of large totals would lose
    the small differences.
    """
    n_blocks = moments.shape[1]
    for cell in range(starts.shape[0] - 1):
        n = 0.0
        total = 0.0
        for j in range(starts[cell], starts[cell + 1]):
            value = values[rows[j]]
            if value == value:
                n += 1.0
                total += value
        if n == 0.0:
            continue
        centre = total / n
        own = moments[cell]
        cluster = np.int64(0)
        block = np.int64(-1)
        size = 0.0
        running = 0.0
        for j in range(starts[cell], starts[cell + 1]):
            row = rows[j]
            value = values[row]
            if value != value:
                continue
            if block >= 0 and (clusters[row] != cluster or blocks[row] != block):
                own[block, 0] += size
                own[block, 1] += running
                own[block, 2] += running * running
                own[block, 3] += running * size
                own[block, 4] += size * size
                own[block, 5] += 1.0
                size = 0.0
                running = 0.0
            cluster = clusters[row]
            block = blocks[row]
            size += 1.0
            running += value - centre
        own[block, 0] += size
        own[block, 1] += running
        own[block, 2] += running * running
        own[block, 3] += running * size
        own[block, 4] += size * size
        own[block, 5] += 1.0
        for b in range(n_blocks):
            own[b, 2] += centre * (2.0 * own[b, 3] + centre * own[b, 4])
            own[b, 3] += centre * own[b, 4]
            own[b, 1] += centre * own[b, 0]


@compiled
def shifted_cells(
    series: Floats,
    tracks: Longs,
    positions: Longs,
    offsets: Longs,
    clusters: Longs,
    starts: Longs,
    rows: Longs,
    observed: Floats,
    above: bool,
    as_large: Longs,
    defined: Longs,
    scaled: Longs,
    squares: Floats,
) -> None:
    """Count per cell the shifted t that reach the observed one; add their number and their squares.

    With ``above`` a t reaches another from above only, and only those above zero are squared and counted in ``scaled``.
    """
    periods = series.shape[1]
    events = tracks.shape[0]
    values = np.empty(events)
    for shift in range(offsets.shape[0]):
        offset = offsets[shift]
        for i in range(events):
            place = positions[i] + offset
            if place >= periods:
                place -= periods
            values[i] = series[tracks[i], place]
        for cell in range(starts.shape[0] - 1):
            if np.isnan(observed[cell]):
                continue
            n = 0.0
            total = 0.0
            sum_squares = 0.0
            sum_weighted = 0.0
            sum_weights = 0.0
            groups = 0.0
            cluster = np.int64(0)
            size = 0.0
            running = 0.0
            for j in range(starts[cell], starts[cell + 1]):
                row = rows[j]
                value = values[row]
                if value != value:
                    continue
                if size > 0.0 and clusters[row] != cluster:
                    total += running
                    n += size
                    sum_squares += running * running
                    sum_weighted += running * size
                    sum_weights += size * size
                    groups += 1.0
                    size = 0.0
                    running = 0.0
                cluster = clusters[row]
                size += 1.0
                running += value
            if size > 0.0:
                total += running
                n += size
                sum_squares += running * running
                sum_weighted += running * size
                sum_weights += size * size
                groups += 1.0
            if groups < 2.0:
                continue
            mean = total / n
            spread = sum_squares - 2.0 * mean * sum_weighted + mean * mean * sum_weights
            if spread <= 0.0:
                continue
            t = mean * n / np.sqrt(groups / (groups - 1.0) * spread)
            defined[cell] += 1
            if t > 0.0 or not above:
                scaled[cell] += 1
                squares[cell] += t * t
            if t >= observed[cell] if above else abs(t) >= abs(observed[cell]):
                as_large[cell] += 1
