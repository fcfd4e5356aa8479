"""The compiled replay of one ticker: levels, setups, barrier probabilities and outcomes over plain arrays.

What a stop, a target, a gap and a time-out do stands in ``engine.barriers`` and nowhere else; the kernels that call it
are compiled anew when it changes.

Algorithm of ``find_setups``, one pass over the traded bars t = 0, 1, ...:

1. ``_is_pivot``: bar j = t - k becomes a pivot high (low) when its high is above the k highs before it and not below
   the k highs after it. Before bar t it does not exist for anyone. A missing high (low) is no pivot and hides none.
2. ``_insert``: a new pivot enters the list that is sorted by price; ``_remove_oldest`` drops those at or before
   t - lookback.
3. At a signal bar, ``_level`` collects levels outwards from the close: the nearest pivot opens a level and takes in the
   pivots within ``cluster_atr`` ATR beyond it; its price is their mean. Highs and lows count alike, for a level that
   was support acts as resistance once it is broken.
4. Long: the stop stands ``stop_buffer_atr`` ATR below the level under the close, the target is the level above it and
   the second target the level after that. Short is the mirror image.
5. ``barrier_probabilities`` gives the chances of target, stop and neither; ``_strength`` the confidence.

``walk_forward`` then trades one setup on the bars after its signal. Positions are indices into the market's sessions,
so that a session without a bar counts in the horizon although nothing trades in it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quant_platform.contracts.compiled import compiled, compiled_with
from quant_platform.engine import barriers
from quant_platform.engine.barriers import (
    NOTHING,
    REACHED,
    excursions_at_exit,
    has_reached,
    is_stopped,
    judge,
    judge_extremes,
    last_bar_inside,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

PENDING, TARGET, STOP, TIMEOUT, DELISTED, NO_ENTRY = 0, 1, 2, 3, 4, 5

# Columns of the array find_setups returns.
ENTRY_REFERENCE, STOP_PRICE, TARGET_PRICE, TARGET_2_PRICE, ATR, REWARD_RISK, RISK, VOLATILITY = 0, 1, 2, 3, 4, 5, 6, 7
P_TARGET, P_STOP, P_TIMEOUT, EXPECTED_VALUE, CONFIDENCE = 8, 9, 10, 11, 12
SETUP_WIDTH = 13

# Columns of the two arrays replay_setups returns.
ENTRY_PRICE, EXIT_PRICE, GROSS_R, MAE_R, MFE_R = 0, 1, 2, 3, 4
OUTCOME_WIDTH = 5
OUTCOME, ENTRY_POSITION, EXIT_POSITION, RESOLVED_POSITION, BARS_HELD = 0, 1, 2, 3, 4
STATE_WIDTH = 5

_SERIES_SWITCH = 0.25  # sigma^2 T / L^2 at which both series need about six terms
_SERIES_END = 1e-18
_SQRT_2 = math.sqrt(2.0)


class SetupParameters(NamedTuple):
    """``specs/setups/equity.yaml`` and the horizon as the numbers the kernel needs."""

    pivot_bars: int
    lookback_bars: int
    minimum_history_bars: int
    atr_window_bars: int
    cluster_atr: float
    stop_buffer_atr: float
    minimum_rr: float
    minimum_stop_atr: float
    volatility_window_bars: int
    volume_window_bars: int
    horizon_sessions: int
    weight_touches: float
    weight_recency: float
    weight_volume: float
    touches_full: float
    recency_half_life_bars: float
    relative_volume_full: float
    offset_intercept: float
    offset_log_rr: float
    offset_confidence: float
    offset_short: float


@compiled
def barrier_probabilities(
    stop_distance: float, target_distance: float, volatility: float, horizon: float
) -> tuple[float, float, float]:
    """Chance that a driftless Brownian motion meets the target first, the stop first, or neither within the horizon."""
    length = stop_distance + target_distance
    scaled = volatility * volatility * horizon / (length * length)
    if scaled <= 0.0:
        return 0.0, 0.0, 1.0
    if scaled < _SERIES_SWITCH:
        target = _first_passage_images(target_distance, length, math.sqrt(scaled) * length)
        stop = _first_passage_images(stop_distance, length, math.sqrt(scaled) * length)
        return target, stop, max(0.0, 1.0 - target - stop)
    target = stop_distance / length
    stop = target_distance / length
    n = 1
    while True:
        decay = math.exp(-0.5 * (n * math.pi) ** 2 * scaled)
        if decay < _SERIES_END:
            break
        wave = 2.0 / (n * math.pi) * math.sin(n * math.pi * stop_distance / length) * decay
        stop -= wave
        target += wave if n % 2 == 0 else -wave
        n += 1
    target = min(max(target, 0.0), 1.0)
    stop = min(max(stop, 0.0), 1.0 - target)
    return target, stop, max(0.0, 1.0 - target - stop)


@compiled
def _first_passage_images(distance: float, length: float, spread: float) -> float:
    total = 0.0
    k = 0
    while True:
        nearer = math.erfc((2.0 * k * length + distance) / (spread * _SQRT_2))
        total += nearer - math.erfc((2.0 * (k + 1) * length - distance) / (spread * _SQRT_2))
        if nearer < _SERIES_END:
            return min(max(total, 0.0), 1.0)
        k += 1


@compiled
def _is_pivot(values: Floats, j: int, k: int, sign: float) -> bool:
    centre = sign * values[j]
    if math.isnan(centre):
        return False
    for i in range(j - k, j):
        if sign * values[i] >= centre:
            return False
    highest_after = -math.inf
    for i in range(j + 1, j + k + 1):
        if not math.isnan(values[i]):
            highest_after = max(highest_after, sign * values[i])
    return bool(highest_after <= centre)


@compiled
def _relative_volume(volume: Floats, j: int, window: int) -> float:
    total, count = 0.0, 0
    for i in range(max(0, j - window + 1), j + 1):
        if not math.isnan(volume[i]):
            total += volume[i]
            count += 1
    if count == 0 or total <= 0.0 or math.isnan(volume[j]):
        return math.nan
    return float(volume[j] / (total / count))


@compiled
def _insert(prices: Floats, bars: Integers, volumes: Floats, n: int, price: float, bar: int, volume: float) -> None:
    i = n
    while i > 0 and prices[i - 1] > price:
        prices[i], bars[i], volumes[i] = prices[i - 1], bars[i - 1], volumes[i - 1]
        i -= 1
    prices[i], bars[i], volumes[i] = price, bar, volume


@compiled
def _remove_oldest(prices: Floats, bars: Integers, volumes: Floats, n: int, oldest: int) -> int:
    kept = 0
    for i in range(n):
        if bars[i] > oldest:
            prices[kept], bars[kept], volumes[kept] = prices[i], bars[i], volumes[i]
            kept += 1
    return kept


@compiled
def _level(
    prices: Floats, bars: Integers, volumes: Floats, start: int, end: int, step: int, width: float
) -> tuple[int, float, int, int, float]:
    first = prices[start]
    total, volume_total, volume_count = 0.0, 0.0, 0
    last_bar, touches = -1, 0
    i = start
    while i != end and abs(prices[i] - first) <= width:
        total += prices[i]
        touches += 1
        last_bar = max(last_bar, bars[i])
        if not math.isnan(volumes[i]):
            volume_total += volumes[i]
            volume_count += 1
        i += step
    relative_volume = volume_total / volume_count if volume_count else math.nan
    return i, total / touches, touches, last_bar, relative_volume


@compiled
def _strength(touches: int, age: int, relative_volume: float, p: SetupParameters) -> float:
    score = p.weight_touches * min(1.0, touches / p.touches_full)
    score += p.weight_recency * 0.5 ** (age / p.recency_half_life_bars)
    if math.isnan(relative_volume):
        return float(score / (p.weight_touches + p.weight_recency))
    return float(score + p.weight_volume * min(1.0, relative_volume / p.relative_volume_full))


@compiled
def _average_true_range(high: Floats, low: Floats, close: Floats, t: int, window: int) -> float:
    total, count = 0.0, 0
    for i in range(t - window + 1, t + 1):
        if not (math.isnan(high[i]) or math.isnan(low[i])):
            total += max(high[i], close[i - 1]) - min(low[i], close[i - 1])
            count += 1
    return total / count if count else math.nan


@compiled
def _volatility(close: Floats, t: int, window: int) -> float:
    total = 0.0
    for i in range(t - window + 1, t + 1):
        step = math.log(close[i] / close[i - 1])
        total += step * step
    return math.sqrt(total / window)


@compiled
def find_setups(
    high: Floats, low: Floats, close: Floats, volume: Floats, signal_bars: Integers, p: SetupParameters
) -> Floats:
    """Setups at the signal bars, long in row 2i and short in row 2i + 1; NaN throughout where there is none.

    Parameters
    ----------
    high, low, close, volume
        Shape (n,), traded bars only: closes finite and positive; a high, low or volume may be NaN.
    signal_bars
        Ascending bar indices.
    p
        The parameters.
    """
    n = close.shape[0]
    out = np.full((2 * signal_bars.shape[0], SETUP_WIDTH), np.nan)
    prices = np.empty(2 * n + 2)
    volumes = np.empty(2 * n + 2)
    bars = np.empty(2 * n + 2, dtype=np.int64)
    held, row = 0, 0
    k = p.pivot_bars
    for t in range(n):
        if row == signal_bars.shape[0]:
            break
        j = t - k
        if j >= k:
            for sign, values in ((1.0, high), (-1.0, low)):
                if _is_pivot(values, j, k, sign):
                    _insert(
                        prices, bars, volumes, held, values[j], j, _relative_volume(volume, j, p.volume_window_bars)
                    )
                    held += 1
        if signal_bars[row] != t:
            continue
        held = _remove_oldest(prices, bars, volumes, held, t - p.lookback_bars)
        if t + 1 >= p.minimum_history_bars:
            _setups_at(high, low, close, t, prices, bars, volumes, held, p, out[2 * row : 2 * row + 2])
        row += 1
    return out


@compiled
def _setups_at(
    high: Floats,
    low: Floats,
    close: Floats,
    t: int,
    prices: Floats,
    bars: Integers,
    volumes: Floats,
    held: int,
    p: SetupParameters,
    out: Floats,
) -> None:
    entry = close[t]
    atr = _average_true_range(high, low, close, t, p.atr_window_bars)
    volatility = _volatility(close, t, p.volatility_window_bars)
    if not (atr > 0.0 and volatility > 0.0):
        return
    above = np.searchsorted(prices[:held], entry, side="right")
    below = np.searchsorted(prices[:held], entry, side="left") - 1
    if above >= held or below < 0:
        return
    width = p.cluster_atr * atr
    up_next, up, up_touches, up_bar, up_volume = _level(prices, bars, volumes, above, held, 1, width)
    down_next, down, down_touches, down_bar, down_volume = _level(prices, bars, volumes, below, -1, -1, width)
    up_2, down_2 = math.nan, math.nan
    if up_next < held:
        up_2 = _level(prices, bars, volumes, up_next, held, 1, width)[1]
    if down_next >= 0:
        down_2 = _level(prices, bars, volumes, down_next, -1, -1, width)[1]
    strength = _strength(up_touches, t - up_bar, up_volume, p) + _strength(down_touches, t - down_bar, down_volume, p)
    confidence = min(100.0, 50.0 * strength)
    buffer = p.stop_buffer_atr * atr
    _setup(out[0], 1.0, entry, down - buffer, up, up_2, atr, volatility, confidence, p)
    _setup(out[1], -1.0, entry, up + buffer, down, down_2, atr, volatility, confidence, p)


@compiled
def _setup(
    out: Floats,
    sign: float,
    entry: float,
    stop: float,
    target: float,
    target_2: float,
    atr: float,
    volatility: float,
    confidence: float,
    p: SetupParameters,
) -> None:
    risk = sign * (entry - stop)
    reward = sign * (target - entry)
    if stop <= 0.0 or risk <= 0.0 or risk < p.minimum_stop_atr * atr or reward < p.minimum_rr * risk:
        return
    rr = reward / risk
    if rr <= 0.0:
        return
    chance, stopped, timeout = barrier_probabilities(risk, reward, entry * volatility, float(p.horizon_sessions))
    offset = p.offset_intercept + p.offset_log_rr * math.log(rr) + p.offset_confidence * confidence / 100.0
    if sign < 0.0:
        offset += p.offset_short
    odds = math.exp(offset)
    rest = 1.0 / (1.0 + chance * (odds - 1.0))
    out[ENTRY_REFERENCE], out[STOP_PRICE], out[TARGET_PRICE], out[TARGET_2_PRICE] = entry, stop, target, target_2
    out[ATR], out[REWARD_RISK], out[RISK], out[VOLATILITY] = atr, rr, risk, volatility
    out[P_TARGET], out[P_STOP], out[P_TIMEOUT] = chance * odds * rest, stopped * rest, timeout * rest
    # The mean mark at time-out is what makes the driftless bet fair (optional stopping): m = stop - rr x target, per
    # unit of probability. The offset moves weight between target and the rest and leaves m / timeout as it is.
    out[EXPECTED_VALUE] = rr * chance * rest * (odds - 1.0)
    out[CONFIDENCE] = confidence


@compiled_with(barriers)
def walk_forward(
    open_: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    position: Integers,
    t: int,
    direction: float,
    stop_price: float,
    target_price: float,
    risk: float,
    horizon: int,
    last_position: int,
    delisted_after: int,
    delisting_return: float,
    result: Floats,
    state: Integers,
) -> None:
    """Trade one setup of bar t; prices are mirrored for a short, so that the rules are written once.

    A missing high or low fills nothing: what is known to have traded is the open and the close of its bar. A missing
    open is no price to enter or leave at.
    """
    result[:] = np.nan
    state[:] = -1
    state[OUTCOME] = PENDING
    n = close.shape[0]
    first = position[t] + 1
    last = last_bar_inside(first, horizon)
    if first > last_position:
        return
    if t + 1 >= n or position[t + 1] != first:
        state[OUTCOME], state[RESOLVED_POSITION] = NO_ENTRY, first
        return
    stop, target = direction * stop_price, direction * target_price
    entry = direction * open_[t + 1]
    if math.isnan(entry) or is_stopped(entry, stop) or has_reached(entry, target):
        state[OUTCOME], state[RESOLVED_POSITION] = NO_ENTRY, first
        return
    state[ENTRY_POSITION] = first
    worst, best, price = entry, entry, entry
    i = t + 1
    outcome = PENDING
    while i < n and position[i] <= last:
        at_open, at_close = direction * open_[i], direction * close[i]
        adverse, favourable = (low[i], high[i]) if direction > 0.0 else (-high[i], -low[i])
        if math.isnan(adverse):
            adverse = at_close if math.isnan(at_open) else min(at_open, at_close)
        if math.isnan(favourable):
            favourable = at_close if math.isnan(at_open) else max(at_open, at_close)
        # The open first, then the inside of the bar, at whose levels the trade leaves.
        found, price = judge(at_open, stop, target), at_open
        before_target = math.nan
        if found == NOTHING:
            found = judge_extremes(adverse, favourable, stop, target)
            price = target if found == REACHED else stop
            before_target = adverse if found == REACHED else math.nan
        if found != NOTHING:
            outcome = TARGET if found == REACHED else STOP
            worst, best = excursions_at_exit(worst, best, price, before_target)
            break
        worst, best, price = min(worst, adverse), max(best, favourable), at_close
        i += 1
    held_to = position[i] if outcome != PENDING else position[i - 1]
    resolved = held_to
    if outcome == PENDING:
        ended = position[n - 1] < last
        if ended and position[n - 1] + delisted_after <= last_position:
            outcome, resolved = DELISTED, position[n - 1] + delisted_after
            price = direction * close[n - 1] * (1.0 + delisting_return)
            worst, best = excursions_at_exit(worst, best, price, math.nan)
        elif not ended and last <= last_position:
            outcome, resolved = TIMEOUT, last
    result[ENTRY_PRICE], result[EXIT_PRICE] = direction * entry, direction * price
    result[GROSS_R] = (price - entry) / risk
    result[MAE_R], result[MFE_R] = (worst - entry) / risk, (best - entry) / risk
    state[OUTCOME] = outcome
    state[EXIT_POSITION] = held_to
    state[RESOLVED_POSITION] = resolved if outcome != PENDING else -1
    state[BARS_HELD] = held_to - first + 1


@compiled_with(barriers)
def replay_setups(
    open_: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    position: Integers,
    bars: Integers,
    directions: Floats,
    levels: Floats,
    horizon: int,
    last_position: int,
    delisted_after: int,
    delisting_returns: Floats,
) -> tuple[Floats, Integers]:
    """Trade m setups; ``levels`` has shape (m, 3): stop, target, risk; a row with a NaN risk is left out (NaN, -1).

    ``delisting_returns`` has shape (m,): the return after the last bar that each trade is given.
    """
    m = bars.shape[0]
    results = np.full((m, OUTCOME_WIDTH), np.nan)
    states = np.full((m, STATE_WIDTH), -1, dtype=np.int64)
    for row in range(m):
        if not math.isnan(levels[row, 2]):
            walk_forward(
                open_, high, low, close, position, bars[row], directions[row],
                levels[row, 0], levels[row, 1], levels[row, 2],
                horizon, last_position, delisted_after, delisting_returns[row], results[row], states[row],
            )  # fmt: skip
    return results, states
