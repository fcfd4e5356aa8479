"""One line of evidence about a factor: its rank ICs and its quantile spread, without being fooled by overlap."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.bootstrap import block_bootstrap_mean, overlap_block_length
from quant_platform.statistics.checks import as_vector, require_at_least
from quant_platform.statistics.overlap import ewc_test, group_means_test, nonoverlapping_test


@dataclass(frozen=True)
class ICSummary:
    """What the ICs and spreads of one factor at one horizon say.

    Attributes
    ----------
    n
        Rebalance dates with an IC.
    n_independent
        How many non-overlapping windows they are worth: ``floor(n / horizon_in_rebalances)``. With fewer than
        ``min_for_error`` all errors, t, p and limits are NaN.
    mean, sd
        Of the ICs; ``sd`` with divisor ``n - 1``.
    icir
        ``mean / sd``, per rebalance, not annualised.
    t_nonoverlapping, p_nonoverlapping
        Primary test: average t over the phases, and the Cauchy combination of their p, which is not the p of that t
        (see ``overlap.nonoverlapping_test``).
    t_ewc, p_ewc
        Second opinion on all ICs (see ``overlap.ewc_test``).
    n_spread
        Rebalance dates with a spread.
    spread_mean, spread_low, spread_high
        Mean spread per window with its block bootstrap interval, in the unit of the input.
    t_blocks, p_blocks
        Of the means of four long blocks (see ``overlap.group_means_test``): the second opinion where dependence may
        last for years.
    half_width
        Two standard errors of the mean IC, the error of ``t_ewc``.
    reliable
        Whether there are enough independent windows to read the mean IC at all; says nothing about its sign or size.
    precise
        Whether ``half_width`` is small enough.
    why_thin, why_imprecise
        The reason where ``reliable`` or ``precise`` is False, in words and numbers; else empty.
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
    t_blocks: float
    p_blocks: float
    half_width: float
    reliable: bool
    precise: bool
    why_thin: str
    why_imprecise: str


def summarise_ic(
    ic: npt.ArrayLike,
    spread: npt.ArrayLike,
    horizon_in_rebalances: int,
    *,
    rng: np.random.Generator,
    min_independent: int = 12,
    max_half_width: float = 0.03,
    min_for_error: int = 4,
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
        Largest two standard errors of a ``precise`` mean IC, in units of IC.
    min_for_error
        Fewest non-overlapping windows for any error: with fewer there is no t, no p and no interval.

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

    require_at_least(min_for_error, 2, "min_for_error")
    thinned = nonoverlapping_test(series, horizon_in_rebalances)
    seen = series[~np.isnan(series)]
    cosine = ewc_test(series, overlap=horizon_in_rebalances)
    blocks = group_means_test(series, shortest=3 * horizon_in_rebalances)
    block_length = overlap_block_length(series.size, horizon_in_rebalances)
    interval = block_bootstrap_mean(returns, block_length, rng=rng, draws=draws, level=level)
    enough = thinned.n_independent >= min_for_error
    half_width = 2.0 * cosine.standard_error if enough else math.nan
    sd = float(seen.std(ddof=1)) if seen.size > 1 else math.nan
    why_thin = _too_few(thinned.n_independent, min_independent)
    why_imprecise = _too_wide(half_width, max_half_width, thinned.n_independent)
    t, p, t_ewc, p_ewc, low, high = (
        each if enough else math.nan for each in (thinned.t, thinned.p, cosine.t, cosine.p, interval.low, interval.high)
    )
    return ICSummary(
        n=thinned.n,
        n_independent=thinned.n_independent,
        mean=thinned.mean,
        sd=sd,
        icir=thinned.mean / sd if sd > 0.0 and math.isfinite(thinned.t) else math.nan,
        t_nonoverlapping=t,
        p_nonoverlapping=p,
        t_ewc=t_ewc,
        p_ewc=p_ewc,
        n_spread=interval.n,
        spread_mean=interval.estimate,
        spread_low=low,
        spread_high=high,
        t_blocks=blocks.t,
        p_blocks=blocks.p,
        half_width=half_width,
        reliable=not why_thin,
        precise=not why_imprecise,
        why_thin=why_thin,
        why_imprecise=why_imprecise,
    )


def _too_few(n_independent: int, min_independent: int) -> str:
    if n_independent < min_independent:
        return f"{n_independent} independent windows, {min_independent} are needed"
    return ""


def _too_wide(half_width: float, max_half_width: float, n_independent: int) -> str:
    if math.isnan(half_width):
        return "the error of the mean IC is not known"
    if half_width > max_half_width:
        needed = math.ceil(n_independent * (half_width / max_half_width) ** 2)
        return (
            f"the mean IC is known to +-{half_width:.3f} only, +-{max_half_width:.3f} is needed: "
            f"about {needed} independent windows instead of {n_independent}"
        )
    return ""
