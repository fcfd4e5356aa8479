"""One line of evidence about a factor: its rank ICs and its quantile spread, without being fooled by overlap."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.bootstrap import block_bootstrap_mean, overlap_block_length
from quant_platform.statistics.checks import as_vector, require_at_least
from quant_platform.statistics.overlap import ewc_test, nonoverlapping_test


@dataclass(frozen=True)
class ICSummary:
    """What the ICs and spreads of one factor at one horizon say.

    Attributes
    ----------
    n
        Rebalance dates with an IC.
    n_independent
        How many non-overlapping windows they are worth: ``floor(n / horizon_in_rebalances)``.
    mean, sd
        Of the ICs; ``sd`` with divisor ``n - 1``.
    icir
        ``mean / sd``, per rebalance, not annualised.
    t_nonoverlapping, p_nonoverlapping
        Primary test: average t over the phases, combined p (see ``overlap.nonoverlapping_test``).
    t_ewc, p_ewc
        Second opinion on all ICs (see ``overlap.ewc_test``).
    n_spread
        Rebalance dates with a spread.
    spread_mean, spread_low, spread_high
        Mean spread per window with its block bootstrap interval, in the unit of the input.
    reliable
        Whether the mean IC is known well enough to be read; says nothing about its sign or size.
    why
        The reason for ``reliable``, in words and numbers.
    """

    n: int
    n_independent: int
    mean: float
    sd: float
    icir: float
    t_nonoverlapping: float
    p_nonoverlapping: float
    t_ewc: float
    p_ewc: float
    n_spread: int
    spread_mean: float
    spread_low: float
    spread_high: float
    reliable: bool
    why: str


def summarise_ic(
    ic: npt.ArrayLike,
    spread: npt.ArrayLike,
    horizon_in_rebalances: int,
    *,
    rng: np.random.Generator,
    min_independent: int = 24,
    max_half_width: float = 0.03,
    draws: int = 2000,
    level: float = 0.95,
) -> ICSummary:
    """Summarise ICs and spreads of overlapping forward windows.

    Parameters
    ----------
    ic, spread
        ``[T]`` on the same even grid of rebalance dates; NaN where a date has none.
    horizon_in_rebalances
        Forward window in rebalance steps, rounded up: 6 for 30 sessions and weekly rebalances, 1 for no overlap.
    rng, draws, level
        For the block bootstrap of the spread.
    min_independent
        Fewest non-overlapping windows for ``reliable``.
    max_half_width
        Largest ``2 sd / sqrt(n_independent)`` for ``reliable``, in units of IC.

    Raises
    ------
    StatisticError
        If the arrays differ in length, hold infinite values, or a parameter is out of range.

    Notes
    -----
    **Timing.** An IC belongs to the date of its signal but is known only when its window has ended: pass nothing newer.

    **Mean and rank.** Ranks say nothing about means: in a world without any low-volatility premium, low volatility
    has an IC of +0.016 with t = 2.9 and a spread of zero, because skewed volatile stocks have lower medians. Read
    both.
    """
    series = as_vector(ic, "ic")
    returns = as_vector(spread, "spread", length=series.size)
    require_at_least(horizon_in_rebalances, 1, "horizon_in_rebalances")
    require_at_least(min_independent, 2, "min_independent")
    if not max_half_width > 0.0:
        raise StatisticError(f"max_half_width was {max_half_width}, it must be positive", where="max_half_width")

    thinned = nonoverlapping_test(series, horizon_in_rebalances)
    cosine = ewc_test(series, overlap=horizon_in_rebalances)
    seen = series[~np.isnan(series)]
    sd = float(seen.std(ddof=1)) if seen.size > 1 else math.nan
    block_length = overlap_block_length(series.size, horizon_in_rebalances)
    interval = block_bootstrap_mean(returns, block_length, rng=rng, draws=draws, level=level)
    reliable, why = _reliability(thinned.n_independent, sd, min_independent, max_half_width)
    return ICSummary(
        n=thinned.n,
        n_independent=thinned.n_independent,
        mean=thinned.mean,
        sd=sd,
        icir=thinned.mean / sd if sd > 0.0 and math.isfinite(thinned.t) else math.nan,
        t_nonoverlapping=thinned.t,
        p_nonoverlapping=thinned.p,
        t_ewc=cosine.t,
        p_ewc=cosine.p,
        n_spread=interval.n,
        spread_mean=interval.estimate,
        spread_low=interval.low,
        spread_high=interval.high,
        reliable=reliable,
        why=why,
    )


def _reliability(n_independent: int, sd: float, min_independent: int, max_half_width: float) -> tuple[bool, str]:
    if n_independent < min_independent:
        return False, f"{n_independent} independent windows, {min_independent} are needed"
    if not sd > 0.0:
        return False, "the ICs do not vary"
    half_width = 2.0 * sd / math.sqrt(n_independent)
    if half_width > max_half_width:
        needed = math.ceil((2.0 * sd / max_half_width) ** 2)
        return False, (
            f"the mean IC is known to +-{half_width:.3f} only, +-{max_half_width:.3f} is needed: "
            f"about {needed} independent windows instead of {n_independent}"
        )
    return True, f"{n_independent} independent windows, the mean IC is known to +-{half_width:.3f}"
