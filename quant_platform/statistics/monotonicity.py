"""Do mean returns rise from each group to the next? A test of the whole order, not of its ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.bootstrap import stationary_bootstrap_indices
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
    groups: npt.ArrayLike, *, rng: np.random.Generator, draws: int = 499, mean_block_length: float = 10.0
) -> Monotonicity:
    """Test that mean returns rise strictly with the group.

    ``J = min_j (m_(j+1) - m_j)`` against ``J* = min_j ((m*_(j+1) - m*_j) - (m_(j+1) - m_j))`` of a stationary bootstrap
    of the dates, all groups together; ``p`` is the share of ``J* >= J``.

    Parameters
    ----------
    groups
        ``[T, Q]`` return per date and group, lowest signal first; a date with a NaN is left out.
    rng, draws, mean_block_length
        Of the bootstrap; the block should be longer than a return lasts.

    Notes
    -----
    The null hypothesis is that the order is broken somewhere: a small p speaks *for* monotonicity. Under a flat
    relation the test is conservative.

    References
    ----------
    Patton and Timmermann (2010), Journal of Financial Economics 98:605-625. Politis and Romano (1994).
    """
    panel = kernel_array(groups)
    if panel.ndim != 2 or panel.shape[1] < 2:
        raise StatisticError(f"groups has shape {panel.shape}, [date, group] with two groups is needed", where="groups")
    require_at_least(draws, 1, "draws")
    complete = panel[~np.isnan(panel).any(axis=1)]
    n = complete.shape[0]
    if n < 2:
        return Monotonicity(math.nan, math.nan, math.nan, n)
    steps = np.diff(complete, axis=1)
    observed = steps.mean(axis=0)
    picks = stationary_bootstrap_indices(n, mean_block_length, rng=rng, draws=draws)
    times = np.bincount(
        (picks + n * np.arange(draws)[:, np.newaxis]).ravel(), minlength=n * draws
    ).reshape(draws, n)
    resampled = times.astype(np.float64) @ steps / n
    smallest = (resampled - observed).min(axis=1)
    statistic = float(observed.min())
    return Monotonicity(
        smallest_step=statistic,
        rising_steps=float((observed > 0.0).mean()),
        p=float((1 + np.count_nonzero(smallest >= statistic)) / (draws + 1)),
        n=n,
    )
