"""Everything of the simulated perpetuals that does not depend on what happens: shocks, regimes, the clock.

One PCG64 generator per mechanism, spawned from one seed, so that a new mechanism moves none of the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant_platform.contracts.compiled import compiled
from quant_platform.specification.perp_sources import SimulatedPerpSpec, VolatilitySpec

Floats = NDArray[np.float64]
BARS_PER_DAY = 288
BARS_PER_HOUR = 12

# The order is part of the format of a seed: append, never insert.
MECHANISMS = (
    "regime",
    "common_volatility",
    "symbol_volatility",
    "market_shocks",
    "symbol_shocks",
    "jumps",
    "crowding",
    "basis",
    "open_interest",
    "vacuum",
    "book",
    "volume",
    "taker",
    "extremes",
    "spot",
    "jitter",
)


def streams(seed: int) -> dict[str, np.random.Generator]:
    """A PCG64 generator per mechanism, spawned from one seed."""
    children = np.random.SeedSequence(seed).spawn(len(MECHANISMS))
    return {name: np.random.Generator(np.random.PCG64(child)) for name, child in zip(MECHANISMS, children, strict=True)}


@dataclass(frozen=True)
class Draws:
    """Arrays of shape (bars, symbols).

    ``log_sigma`` is log volatility per bar before feedback and cascades, ``shock`` the unit-variance part of the
    return, ``jump_chance`` uniform, ``jump_size`` signed and in standard deviations; the rest is noise per mechanism,
    ``taker_right`` whether the takers follow the bar's return.
    """

    log_sigma: Floats
    shock: Floats
    jump_chance: Floats
    jump_size: Floats
    crowding: Floats
    basis: Floats
    open_interest: Floats
    vacuum: Floats
    taker: Floats
    taker_right: Floats


def draw(spec: SimulatedPerpSpec, minutes: NDArray[np.int64], random: dict[str, np.random.Generator]) -> Draws:
    """Draw all noise.

    Parameters
    ----------
    minutes
        Minutes since 1970 of each bar's open, shape (bars,).
    """
    shape = (len(minutes), spec.symbols)
    volatility = spec.volatility
    jumps = random["jumps"]
    chance = jumps.random(shape)
    excess = jumps.exponential(spec.jumps.mean_excess, shape) if spec.jumps.mean_excess > 0 else np.zeros(shape)
    sign = np.where(jumps.random(shape) < 0.5, -1.0, 1.0)
    vacuum = random["vacuum"]
    taker = random["taker"]
    return Draws(
        log_sigma=_log_sigma(volatility, minutes, spec.symbols, random),
        shock=_shocks(volatility, shape, random),
        jump_chance=chance,
        jump_size=sign * (spec.jumps.min_size + excess),
        crowding=spec.carry.crowding_noise * random["crowding"].normal(size=shape),
        basis=spec.carry.basis_noise_bps * random["basis"].normal(size=shape),
        open_interest=spec.positions.noise * random["open_interest"].normal(size=shape),
        vacuum=(vacuum.random(shape) < spec.book_flow.vacuum_per_day / BARS_PER_DAY) * vacuum.exponential(1.2, shape),
        taker=spec.book_flow.taker_noise * taker.normal(size=shape),
        taker_right=np.where(taker.random(shape) < spec.book_flow.taker_reversed_share, -1.0, 1.0),
    )


def _shocks(spec: VolatilitySpec, shape: tuple[int, int], random: dict[str, np.random.Generator]) -> Floats:
    unit = np.sqrt(spec.shock_degrees / (spec.shock_degrees - 2.0))
    market = random["market_shocks"].standard_t(spec.shock_degrees, size=(shape[0], 1)) / unit
    own = random["symbol_shocks"].standard_t(spec.shock_degrees, size=shape) / unit
    loading = np.linspace(*spec.market_loading, shape[1])
    shocks: Floats = loading * market + np.sqrt(1.0 - loading**2) * own
    return shocks


def _log_sigma(
    spec: VolatilitySpec, minutes: NDArray[np.int64], symbols: int, random: dict[str, np.random.Generator]
) -> Floats:
    bars = len(minutes)
    daily = np.array(spec.daily_by_regime)[_regimes(spec, bars, random["regime"])]
    hour = (minutes % 1440) / 60.0
    weekend = ((minutes // 1440 + 3) % 7) >= 5
    clock = (
        spec.clock_amplitude[0] * np.cos(2.0 * np.pi * (hour - 15.0) / 24.0)
        + spec.clock_amplitude[1] * np.cos(2.0 * np.pi * (hour - 14.0) / 12.0)
        + spec.weekend_log * weekend
    )
    log_sigma = np.log(daily / np.sqrt(BARS_PER_DAY))[:, None] + clock[:, None]
    for name, hours, deviations, width in (
        ("common_volatility", spec.common_half_life_hours, spec.common_sd, 1),
        ("symbol_volatility", spec.symbol_half_life_hours, spec.symbol_sd, symbols),
    ):
        for half_life, deviation in zip(hours, deviations, strict=True):
            steps = random[name].normal(size=(bars, width))
            log_sigma = log_sigma + deviation * _unit_process(half_life * BARS_PER_HOUR, steps)
    return np.broadcast_to(log_sigma, (bars, symbols)).copy()


def _unit_process(half_life_bars: float, steps: Floats) -> Floats:
    """Stationary AR(1) of unit variance."""
    persistence = 0.5 ** (1.0 / half_life_bars)
    scaled = steps * np.sqrt(1.0 - persistence**2)
    scaled[0] = steps[0]
    path: Floats = np.empty_like(scaled)
    _follow(persistence, scaled, path)
    return path


@compiled
def _follow(persistence: float, steps: Floats, path: Floats) -> None:
    """As `scipy.signal.lfilter` to the bit, whose import takes two seconds."""
    for j in range(steps.shape[1]):
        path[0, j] = steps[0, j]
        for t in range(1, steps.shape[0]):
            path[t, j] = steps[t, j] + persistence * path[t - 1, j]


def _regimes(spec: VolatilitySpec, bars: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Calm (0), normal (1), stressed (2), begun in normal; calm and stressed are left for normal only."""
    regimes = np.empty(bars, np.int64)
    at, regime = 0, 1
    while at < bars:
        stay = int(random.geometric(1.0 / (spec.stay_days_by_regime[regime] * BARS_PER_DAY)))
        regimes[at : at + stay] = regime
        at += stay
        regime = (0 if random.random() < 0.6 else 2) if regime == 1 else 1
    return regimes
