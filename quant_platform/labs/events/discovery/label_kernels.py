"""Compiled walks along the bars after every bar: trades whose end depends on the path. All prices are logarithms.

One symbol and one trade direction per call. Levels are compared with closes, and what follows is done at the next open.
Fills inside a bar are not assumed: they would need to know in which order a bar reached its levels, and on simulated
bars a stop filled at its level loses on a martingale (t of -6, measured). This way a price without drift gives outcomes
without drift, whatever happens inside a bar. A missing bar is passed over.
"""

from __future__ import annotations

import numpy as np

from quant_platform.contracts.compiled import compiled
from quant_platform.statistics.checks import Floats, Longs


@compiled
def walk_to_target_or_stop(
    opens: Floats,
    closes: Floats,
    target: Floats,
    stop: Floats,
    position: float,
    lag: int,
    horizon: int,
    outcome: Floats,
    exits: Longs,
) -> None:
    """Write the log return of a position entered at the open ``lag`` bars later, and the bar at whose open it ended.

    ``target[t]`` NaN means none. A target that is not ahead of the entry is dropped; where the stop is not behind the
    entry no trade is made (NaN).
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
        end = last
        done = False
        for k in range(first, last):
            if done and not np.isnan(opens[k]):
                end = k
                break
            stopped = position * (closes[k] - stop[t]) <= 0.0
            reached = has_target and position * (closes[k] - target[t]) >= 0.0
            done = done or stopped or reached
        outcome[t] = position * (opens[end] - entry)
        exits[t] = end


@compiled
def walk_to_pullback(
    opens: Floats,
    closes: Floats,
    level: Floats,
    position: float,
    lag: int,
    valid: int,
    horizon: int,
    outcome: Floats,
    entries: Longs,
    exits: Longs,
) -> None:
    """Write the log return over ``horizon`` bars from the open after the first close beyond a level, or zero.

    The closes of the ``valid`` bars from ``t + lag`` on are looked at.
    """
    bars = opens.shape[0]
    for t in range(bars):
        outcome[t] = np.nan
        entries[t] = t
        exits[t] = t
        first = t + lag
        if first + valid + horizon >= bars or np.isnan(level[t]):
            continue
        outcome[t] = 0.0
        for k in range(first, first + valid):
            if position * (closes[k] - level[t]) <= 0.0:
                outcome[t] = position * (opens[k + 1 + horizon] - opens[k + 1])
                entries[t] = k + 1
                exits[t] = k + 1 + horizon
                break
