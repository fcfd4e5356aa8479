"""Whether an effect holds over time, or one stretch of the sample made it.

First half against second half agrees in sign for every second true null and is a sanity check at best. Here the sample
is cut into blocks of equal time and four things are asked per cell: how many blocks have the sign of the whole, whether
the blocks differ more than their errors allow, what remains of t when the most helpful block is left out, and what
share of the total one block supplies. A fifth is whether the last blocks still show it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincc

from quant_platform.statistics.cell_kernels import TOTAL, N
from quant_platform.statistics.checks import Floats, Longs, require_at_least
from quant_platform.statistics.clustered import means_from_moments


@dataclass(frozen=True)
class TimeBlocks:
    """Stability of each cell over ``B`` blocks of time.

    Attributes
    ----------
    signs
        ``[C, B]`` sign of each block's mean; 0 for a block without events or with a mean of zero.
    agreeing
        ``[C]`` blocks with the sign of the whole.
    heterogeneity_p
        ``[C]`` of Cochran's Q over blocks that have an error; NaN with fewer than two.
    leave_one_out_t
        ``[C]`` smallest t in the direction of the effect, over leaving out one block; NaN where leaving one out leaves
        too little for a t.
    recent_t
        ``[C]`` t of the last blocks together, in the direction of the effect: small where an effect has died meanwhile.
    largest_share
        ``[C]`` largest block total in the direction of the effect over the whole total; above 1 where the rest lost.
    """

    signs: Longs
    agreeing: Longs
    heterogeneity_p: Floats
    leave_one_out_t: Floats
    recent_t: Floats
    largest_share: Floats


def time_block_stability(moments: Floats, *, recent: int = 2) -> TimeBlocks:
    """Judge cells by their sums per time block, from ``clustered.cluster_moments`` with ``blocks``.

    Parameters
    ----------
    moments
        ``[C, B, 6]``.
    recent
        Blocks at the end that ``recent_t`` is of, from 1 to B.

    References
    ----------
    Cochran (1954), Biometrics 10:101-129, for Q.
    """
    require_at_least(recent, 1, "recent")
    whole = moments.sum(axis=1)
    total = whole[:, TOTAL]
    direction = np.sign(total)
    signs = np.sign(moments[:, :, TOTAL]).astype(np.int64)
    blocks = means_from_moments(moments)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(blocks.standard_error > 0.0, 1.0 / blocks.standard_error**2, 0.0)
        mean = np.where(moments[:, :, N] > 0.0, blocks.mean, 0.0)
        centre = (weight * mean).sum(axis=1) / weight.sum(axis=1)
        q = (weight * (mean - centre[:, None]) ** 2).sum(axis=1)
        share = (moments[:, :, TOTAL] * direction[:, None]).max(axis=1) / np.abs(total)
    freedom = (weight > 0.0).sum(axis=1) - 1.0
    # Where two blocks have a weight, Q is a number; elsewhere there is no p.
    p = np.where(freedom >= 1.0, gammaincc(np.maximum(freedom, 1.0) / 2.0, np.nan_to_num(q) / 2.0), np.nan)
    without = means_from_moments(whole[:, None, :] - moments).t * direction[:, None]
    return TimeBlocks(
        signs=signs,
        agreeing=((signs == direction[:, None]) & (signs != 0)).sum(axis=1),
        heterogeneity_p=p,
        leave_one_out_t=without.min(axis=1),
        recent_t=means_from_moments(moments[:, -recent:].sum(axis=1)).t * direction,
        largest_share=np.where(total != 0.0, share, np.nan),
    )
