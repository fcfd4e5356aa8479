"""Compiled walks along the bars after every bar: trades whose end depends on the path. All prices are logarithms.

One symbol and one trade direction per call. A missing bar is passed over; a trade whose entry or last open is missing
has no outcome. Where one bar reaches both levels, the stop comes first. A gap through a level fills at the open.
"""

from __future__ import annotations

import numpy as np

from quant_platform.contracts.compiled import compiled
from quant_platform.statistics.checks import Floats, Longs


@compiled
def walk_to_target_or_stop(
    opens: Floats,
    highs: Floats,
    lows: Floats,
    target: Floats,
    stop: Floats,
    position: float,
    lag: int,
    horizon: int,
    outcome: Floats,
    exits: Longs,
) -> None:
    """Write the log return of a position entered at the open ``lag`` bars later, and the bar in which it ended.

    ``target[t]`` NaN means none. A target that is not ahead of the entry is dropped; a stop that is not behind it means
    that no trade is made (NaN).
    """
    bars = opens.shape[0]
    for t in range(bars):
        outcome[t] = np.nan
        exits[t] = t
        first = t + lag
        last = first + horizon
        if last >= bars:
            continue
        entry = opens[first]
        if np.isnan(entry) or np.isnan(opens[last]) or np.isnan(stop[t]) or position * (stop[t] - entry) >= 0.0:
            continue
        has_target = position * (target[t] - entry) > 0.0
        price = opens[last]
        end = last
        for k in range(first, last):
            if np.isnan(opens[k]):
                continue
            through_stop = position * (opens[k] - stop[t]) <= 0.0
            through_target = has_target and position * (opens[k] - target[t]) >= 0.0
            if k > first and (through_stop or through_target):
                price = opens[k]
                end = k
                break
            worst = lows[k] if position > 0.0 else highs[k]
            if position * (worst - stop[t]) <= 0.0:
                price = stop[t]
                end = k
                break
            best = highs[k] if position > 0.0 else lows[k]
            if has_target and position * (best - target[t]) >= 0.0:
                price = target[t]
                end = k
                break
        outcome[t] = position * (price - entry)
        exits[t] = end


@compiled
def walk_to_fill(
    opens: Floats,
    highs: Floats,
    lows: Floats,
    limit: Floats,
    position: float,
    lag: int,
    valid: int,
    horizon: int,
    outcome: Floats,
    entries: Longs,
    exits: Longs,
) -> None:
    """Write the log return over ``horizon`` bars from the bar that fills a limit order; zero where none does."""
    bars = opens.shape[0]
    for t in range(bars):
        outcome[t] = np.nan
        entries[t] = t
        exits[t] = t
        first = t + lag
        if first + valid + horizon > bars or np.isnan(limit[t]):
            continue
        outcome[t] = 0.0
        for k in range(first, first + valid):
            if np.isnan(opens[k]):
                continue
            price = np.nan
            if position * (opens[k] - limit[t]) <= 0.0:
                price = opens[k]
            elif (position > 0.0 and lows[k] <= limit[t]) or (position < 0.0 and highs[k] >= limit[t]):
                price = limit[t]
            if not np.isnan(price):
                outcome[t] = position * (opens[k + horizon] - price)
                entries[t] = k
                exits[t] = k + horizon
                break
