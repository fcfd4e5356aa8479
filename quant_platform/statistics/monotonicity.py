"""Do mean returns rise from each group to the next? A test of the whole order, not of its ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.checks import kernel_array, require_at_least


@dataclass(frozen=True)
class Monotonicity:
    """Result of the test.

    Attributes
    ----------
    smallest_step
        Smallest difference of neighbouring means, in the unit of the input.
    rising_steps
        Share of neighbouring means that rise.
    p
        Of the null "not all steps are positive"; NaN with fewer than two dates.
    n
        Dates on which every group has a value.
    """

    smallest_step: float
    rising_steps: float
    p: float
    n: int


def monotonicity_test(
    groups: npt.ArrayLike, *, rng: np.random.Generator, draws: int = 499, block_length: int = 10
) -> Monotonicity:
    """Test that mean returns rise strictly with the group.

    ``J = min_j (m_(j+1) - m_j)`` against ``J* = min_j ((m*_(j+1) - m*_j) - (m_(j+1) - m_j))`` of a bootstrap of blocks
    of dates, all groups together; ``p`` is the share of ``J* >= J``.

    Parameters
    ----------
    groups
        ``[T, Q]`` return per date and group, lowest signal first; a date with a NaN is left out.
    rng, draws
        Of the bootstrap.
    block_length
        Dates per block; longer than a return lasts. Fewer than two blocks have no p.

    Notes
    -----
    The null hypothesis is that the order is broken somewhere: a small p speaks *for* monotonicity.

    Blocks do not overlap (Carlstein 1986): a draw is then a count per block, and hundreds of draws are one product of
    matrices. Dates beyond a whole number of blocks are left out of the draws, at the start.

    References
    ----------
    Patton and Timmermann (2010), Journal of Financial Economics 98:605-625. Carlstein (1986), Annals of Statistics 14.
    """
    panel = kernel_array(groups)
    if panel.ndim != 2 or panel.shape[1] < 2:
        raise StatisticError(f"groups has shape {panel.shape}, [date, group] with two groups is needed", where="groups")
    require_at_least(draws, 1, "draws")
    require_at_least(block_length, 1, "block_length")
    complete = panel[~np.isnan(panel).any(axis=1)]
    n = complete.shape[0]
    if n < 2:
        return Monotonicity(math.nan, math.nan, math.nan, n)
    steps = np.diff(complete, axis=1)
    observed = steps.mean(axis=0)
    blocks = n // block_length
    statistic = float(observed.min())
    rising = float((observed > 0.0).mean())
    if blocks < 2:
        return Monotonicity(statistic, rising, math.nan, n)
    sums = steps[n - blocks * block_length :].reshape(blocks, block_length, -1).sum(axis=1)
    times = rng.multinomial(blocks, np.full(blocks, 1.0 / blocks), size=draws)
    resampled = (times - 1.0) @ sums / (blocks * block_length)
    smallest = resampled.min(axis=1)
    return Monotonicity(
        smallest_step=statistic,
        rising_steps=rising,
        p=float((1 + np.count_nonzero(smallest >= statistic)) / (draws + 1)),
        n=n,
    )
