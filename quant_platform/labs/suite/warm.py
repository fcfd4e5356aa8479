"""Compile the suite's kernels ahead of their first use, so that nobody waits for a compiler in front of a result."""

from __future__ import annotations

import numpy as np

from quant_platform.labs.suite import kernels
from quant_platform.labs.suite.ranking import rank_panel, shifted_ic


def compile_kernels() -> int:
    """Run every kernel once on a handful of numbers; the machine code goes to numba's cache on disk.

    Returns
    -------
    int
        Kernels that are compiled, by this call or before it.
    """
    values = np.arange(12.0).reshape(3, 4)
    flags = np.ones((3, 4), dtype=np.bool_)
    days = np.ones(3, dtype=np.bool_)
    codes = np.zeros((3, 4), dtype=np.int16)
    last = np.full(4, 3, dtype=np.int64)
    ranked = rank_panel(values)
    shifted_ic(ranked, ranked, 0, min_names=2)
    ranked.among(flags).centred()
    kernels.median_distance_rows(values, ranked.doubled, ranked.counts, np.zeros((3, 4)))
    groups = ranked.groups((50.0, 75.0))
    weights = np.zeros((3, 4))
    kernels.leg_weight_rows(groups, 2, values, False, 1, weights, days)
    sums, counts = np.zeros((3, 2, 3)), np.zeros((3, 5), dtype=np.int64)
    kernels.book_rows(
        weights,
        days,
        0,
        1,
        values,
        flags,
        last,
        values,
        values,
        codes,
        codes,
        np.zeros((3, 6)),
        sums,
        sums,
        counts,
        np.zeros((3, 4)),
        False,
        0.0,
    )
    kernels.group_mean_rows(groups, values, 3, 1, np.zeros((3, 3)), np.zeros((3, 3), dtype=np.int64))
    kernels.forward_return_rows(values, flags, last, np.ones(1, dtype=np.int64), 0, np.zeros((1, 3, 4)))
    kernels.demean_rows(values[np.newaxis], codes, 1, np.zeros((1, 3, 4)))
    compiled = [found for found in vars(kernels).values() if getattr(found, "signatures", None)]
    return len(compiled)
