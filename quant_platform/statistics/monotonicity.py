"""Do mean returns rise from each group to the next? A test of the whole order, not of its ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.checks import kernel_array, require_at_least
from quant_platform.statistics.ewc_columns import ewc_tests


@dataclass(frozen=True)
class Monotonicity:
    """Result of the test.

    Attributes
    ----------
    smallest_step
        Smallest difference of neighbouring means, in the unit of the input.
    rising_steps
        Share of neighbouring means that rise.
    p_broken
        Of the null "some step does not rise": a small one says that all do. NaN where a step cannot be tested.
    p_flat
        Of the null "no step rises" (Patton and Timmermann): a small one says that the relation is not flat or falling,
        even if a step is broken.
    n
        Dates on which every group has a value.
    """

    smallest_step: float
    rising_steps: float
    p_broken: float
    p_flat: float
    n: int


def monotonicity_test(
    groups: npt.ArrayLike, *, rng: np.random.Generator, draws: int = 499, block_length: int = 10
) -> Monotonicity:
    """Test that mean returns rise from each group to the next, against two nulls.

    ``p_broken = max_j p_j`` with the one-sided EWC p of each step: an intersection-union test, whose size is right
    whatever the other steps do (Berger 1982). ``p_flat`` compares ``J = min_j d_j`` of the mean steps ``d`` with
    ``J* = min_j (d*_j - d_j)`` of a bootstrap of blocks of dates and is the share of ``J* >= J``: its size is right
    where all steps are zero, and it is far too small where one step is zero and the others are large.

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
    Blocks do not overlap (Carlstein 1986): a draw is then a count per block, and hundreds of draws are one product of
    matrices. Dates beyond a whole number of blocks are left out of the draws, at the start.

    References
    ----------
    Patton and Timmermann (2010), Journal of Financial Economics 98:605-625. Berger (1982), Technometrics 24:295-300.
    Carlstein (1986), Annals of Statistics 14:1171-1179.
    """
    panel = kernel_array(groups)
    if panel.ndim != 2 or panel.shape[1] < 2:
        raise StatisticError(f"groups has shape {panel.shape}, [date, group] with two groups is needed", where="groups")
    require_at_least(draws, 1, "draws")
    require_at_least(block_length, 1, "block_length")
    complete = panel[~np.isnan(panel).any(axis=1)]
    n = complete.shape[0]
    if n < 2:
        return Monotonicity(math.nan, math.nan, math.nan, math.nan, n)
    steps = np.diff(complete, axis=1)
    observed = steps.mean(axis=0)
    blocks = n // block_length
    statistic = float(observed.min())
    rising = float((observed > 0.0).mean())
    tests = ewc_tests(steps)
    one_sided = np.where(tests.t > 0.0, 0.5 * tests.p, 1.0 - 0.5 * tests.p)
    broken = float(one_sided.max())
    if blocks < 2:
        return Monotonicity(statistic, rising, broken, math.nan, n)
    sums = steps[n - blocks * block_length :].reshape(blocks, block_length, -1).sum(axis=1)
    times = rng.multinomial(blocks, np.full(blocks, 1.0 / blocks), size=draws)
    resampled = (times - 1.0) @ sums / (blocks * block_length)
    smallest = resampled.min(axis=1)
    return Monotonicity(
        smallest_step=statistic,
        rising_steps=rising,
        p_broken=broken,
        p_flat=float((1 + np.count_nonzero(smallest >= statistic)) / (draws + 1)),
        n=n,
    )
