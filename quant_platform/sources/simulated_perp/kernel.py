"""The simulated perpetuals bar by bar: what feeds back on what.

At bar t, per symbol, from what is known at the close of t - 1:

1. A settlement is due on the first bar of each interval: premium = mean basis since the last one, rate = premium +
   clamp(interest - premium), capped. A rate beyond the threshold begins the fade.
2. Expected return mu = the drift of every plant whose window is open. Nothing else moves the expected return: all
   shocks are symmetric around zero and independent of the past, and so of sigma.
3. sigma = drawn log volatility + feedback of past shocks + cascade, capped.
4. shock = market + own + jump (chance: base + excitation by past jumps); return = mu + sigma x shock.
5. Crowding, basis: the basis follows crowding and jumps with large shocks.
6. Liquidations grow with the square of the adverse 3-bar move beyond a threshold, with the share of the harmed side,
   and with the cascade; open interest reverts, grows with moves along the crowd, falls by what was liquidated.
7. Liquidity shock and taker share.
8. A liquidation or shock beyond its threshold opens the window of its plant, from bar t + 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant_platform.contracts.compiled import compiled
from quant_platform.sources.simulated_perp.draws import BARS_PER_DAY, BARS_PER_HOUR, Draws
from quant_platform.specification.perp_sources import Plant, SimulatedPerpSpec

Floats = NDArray[np.float64]

_MAX_SHOCK = 25.0
_NOTHING = Plant(threshold=1e300, bars=1, total_bps=0.0)


class Parameters(NamedTuple):
    """The numbers of the spec as the kernel wants them: natural units per bar, not bps."""

    normal_sigma: float
    max_log_sigma: float
    feedback_decay: float
    feedback_leverage: float
    feedback_size: float
    jump_base: float
    jump_excitation: float
    jump_decay: float
    crowding_persistence: float
    crowding_per_shock: float
    basis_mean: float
    basis_crowd: float
    basis_persistence: float
    basis_shock: float
    interest: float
    clamp: float
    cap: float
    interval_bars: int
    reversion: float
    crowd_growth: float
    liquidation_scale: float
    liquidation_threshold: float
    liquidation_cap: float
    cascade_decay: float
    cascade_full: float
    cascade_log_volatility: float
    shock_decay: float
    taker_persistence: float
    taker_per_shock: float
    reversal_threshold: float
    reversal_bars: int
    reversal_drift: float
    jump_threshold: float
    jump_bars: int
    jump_drift: float
    fade_threshold: float
    fade_bars: int
    fade_drift: float


class Path(NamedTuple):
    """Arrays of shape (bars, symbols).

    ``funding`` is bps per 8 hours at the bar that opens at the settlement, NaN elsewhere; ``basis`` bps;
    ``log_interest`` log open interest over its level; ``liquidated_long`` and ``liquidated_short`` fractions of open
    interest; ``taker`` the share of volume that takers bought, before bounds.
    """

    returns: Floats
    expected: Floats
    sigma: Floats
    basis: Floats
    funding: Floats
    log_interest: Floats
    liquidated_long: Floats
    liquidated_short: Floats
    illiquidity: Floats
    taker: Floats


def run(spec: SimulatedPerpSpec, draws: Draws, minutes: NDArray[np.int64]) -> Path:
    """Simulate all bars."""
    shape = draws.shock.shape
    path = Path(*(np.full(shape, np.nan) for _ in Path._fields))
    bar_of_interval = (minutes // 5) % (spec.carry.interval_hours * BARS_PER_HOUR)
    _run(
        parameters(spec),
        bar_of_interval,
        draws.log_sigma,
        draws.shock,
        draws.jump_chance,
        draws.jump_size,
        draws.crowding,
        draws.basis,
        draws.open_interest,
        draws.vacuum,
        draws.taker,
        draws.taker_right,
        path,
    )
    return path


def parameters(spec: SimulatedPerpSpec) -> Parameters:
    """The kernel's numbers from the spec's."""
    truth, carry, positions = spec.truth, spec.carry, spec.positions
    reversal = truth.liquidation_reversal if truth else _NOTHING
    jump = truth.jump_continuation if truth else _NOTHING
    fade = truth.funding_fade if truth else _NOTHING
    normal = spec.volatility.daily_by_regime[1] / np.sqrt(BARS_PER_DAY)
    return Parameters(
        normal_sigma=normal,
        max_log_sigma=float(np.log(normal)) + spec.volatility.max_log_ratio,
        feedback_decay=spec.volatility.feedback_decay,
        feedback_leverage=spec.volatility.feedback_leverage,
        feedback_size=spec.volatility.feedback_size,
        jump_base=spec.jumps.base_per_day / BARS_PER_DAY,
        jump_excitation=spec.jumps.excitation,
        jump_decay=float(np.exp(-1.0 / spec.jumps.decay_bars)),
        crowding_persistence=carry.crowding_persistence,
        crowding_per_shock=carry.crowding_per_shock,
        basis_mean=carry.basis_mean_bps,
        basis_crowd=carry.basis_crowd_bps,
        basis_persistence=0.5 ** (1.0 / carry.basis_half_life_bars),
        basis_shock=carry.basis_shock_bps,
        interest=carry.interest_bps,
        clamp=carry.clamp_bps,
        cap=carry.cap_bps,
        interval_bars=carry.interval_hours * BARS_PER_HOUR,
        reversion=positions.reversion,
        crowd_growth=positions.crowd_growth,
        liquidation_scale=positions.liquidation_scale,
        liquidation_threshold=positions.liquidation_threshold,
        liquidation_cap=positions.liquidation_cap,
        cascade_decay=positions.cascade_decay,
        cascade_full=positions.cascade_full,
        cascade_log_volatility=positions.cascade_log_volatility,
        shock_decay=spec.book_flow.shock_decay,
        taker_persistence=spec.book_flow.taker_persistence,
        taker_per_shock=spec.book_flow.taker_per_shock,
        reversal_threshold=reversal.threshold,
        reversal_bars=reversal.bars,
        reversal_drift=reversal.total_bps / reversal.bars / 1e4,
        jump_threshold=jump.threshold,
        jump_bars=jump.bars,
        jump_drift=jump.total_bps / jump.bars / 1e4,
        fade_threshold=fade.threshold,
        fade_bars=fade.bars,
        fade_drift=fade.total_bps / fade.bars / 1e4,
    )


@compiled
def _run(
    p: Parameters,
    bar_of_interval: NDArray[np.int64],
    log_sigma: Floats,
    shock: Floats,
    jump_chance: Floats,
    jump_size: Floats,
    crowding_noise: Floats,
    basis_noise: Floats,
    interest_noise: Floats,
    vacuum: Floats,
    taker_noise: Floats,
    taker_right: Floats,
    out: Path,
) -> None:
    bars, symbols = shock.shape
    for i in range(symbols):
        feedback, excitation, crowding, cascade = 0.0, 0.0, 0.0, 0.0
        interest, illiquidity, taker = 0.0, 0.0, 0.0
        basis, premium_sum, premium_bars = p.basis_mean, 0.0, 0
        before, two_before = 0.0, 0.0
        reversal_left, jump_left, fade_left = 0, 0, 0
        reversal_side, jump_side, fade_side = 0.0, 0.0, 0.0
        for t in range(bars):
            if bar_of_interval[t] == 0 and premium_bars > 0:
                premium = premium_sum / premium_bars
                rate = premium + min(max(p.interest - premium, -p.clamp), p.clamp)
                rate = min(max(rate, -p.cap), p.cap)
                out.funding[t, i] = rate
                premium_sum, premium_bars = 0.0, 0
                if abs(rate) > p.fade_threshold:
                    fade_left, fade_side = p.fade_bars, -np.sign(rate)

            mu = 0.0
            if reversal_left > 0:
                mu += reversal_side * p.reversal_drift
                reversal_left -= 1
            if jump_left > 0:
                mu += jump_side * p.jump_drift
                jump_left -= 1
            if fade_left > 0:
                mu += fade_side * p.fade_drift
                fade_left -= 1

            extra = feedback + p.cascade_log_volatility * min(cascade, 1.0)
            sigma = np.exp(min(log_sigma[t, i] + extra, p.max_log_sigma))
            eps = shock[t, i]
            if jump_chance[t, i] < p.jump_base + excitation:
                eps += jump_size[t, i]
                excitation += p.jump_excitation
            excitation *= p.jump_decay
            eps = min(max(eps, -_MAX_SHOCK), _MAX_SHOCK)
            change = mu + sigma * eps
            feedback = p.feedback_decay * feedback + p.feedback_leverage * eps + p.feedback_size * (abs(eps) - 0.8)

            crowding = p.crowding_persistence * crowding + p.crowding_per_shock * eps + crowding_noise[t, i]
            lean = np.tanh(crowding)
            target = p.basis_mean + p.basis_crowd * lean
            basis = target + p.basis_persistence * (basis - target) + basis_noise[t, i]
            if abs(eps) > 3.0:
                basis += p.basis_shock * np.sign(eps) * (abs(eps) - 3.0)
            premium_sum += basis
            premium_bars += 1

            move = (change + before + two_before) / p.normal_sigma
            two_before, before = before, change
            harm = max(0.0, abs(move) - p.liquidation_threshold)
            share = 0.5 - 0.4 * lean if move > 0.0 else 0.5 + 0.4 * lean
            forced = min(p.liquidation_scale * harm * harm * share * (1.0 + 2.0 * cascade), p.liquidation_cap)
            cascade = p.cascade_decay * cascade + min(forced / p.cascade_full, 1.0) * (1.0 - p.cascade_decay)
            interest += -p.reversion * interest + p.crowd_growth * eps * lean + interest_noise[t, i] - forced

            illiquidity = p.shock_decay * illiquidity + vacuum[t, i] + 0.15 * max(0.0, abs(eps) - 2.5) + 0.2 * cascade
            taker = p.taker_persistence * taker + taker_noise[t, i]

            if forced > p.reversal_threshold:
                reversal_left, reversal_side = p.reversal_bars, -np.sign(move)
            if abs(eps) > p.jump_threshold:
                jump_left, jump_side = p.jump_bars, np.sign(eps)

            out.returns[t, i] = change
            out.expected[t, i] = mu
            out.sigma[t, i] = sigma
            out.basis[t, i] = basis
            out.log_interest[t, i] = interest
            out.liquidated_long[t, i] = forced if move < 0.0 else 0.0
            out.liquidated_short[t, i] = forced if move > 0.0 else 0.0
            out.illiquidity[t, i] = min(illiquidity, 3.0)
            out.taker[t, i] = 0.5 + taker + p.taker_per_shock * min(max(eps, -6.0), 6.0) * taker_right[t, i]
