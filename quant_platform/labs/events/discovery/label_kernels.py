"""Compiled walks along the bars after every bar: trades whose end depends on the path. All prices are logarithms.

One symbol and one trade direction per call. Levels are compared with closes, and what follows is done at the next open.
Fills inside a bar are not assumed: they would need to know in which order a bar reached its levels, and on simulated
bars a stop filled at its level loses on a martingale (t of -6, measured). This way a price without drift gives outcomes
without drift, whatever happens inside a bar. A missing bar is passed over.
"""

from __future__ import annotations

import numpy as np

from quant_platform.contracts.compiled import compiled_with
from quant_platform.engine import barriers
from quant_platform.engine.barriers import NOTHING, first_bar_after, has_reached, is_stopped, judge
from quant_platform.statistics.checks import Floats, Longs


@compiled_with(barriers)
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
        last = first_bar_after(first, horizon)
        if last >= bars:
            continue
        entry = opens[first]
        if np.isnan(entry) or np.isnan(opens[last]) or np.isnan(stop[t]):
            continue
        below = position * stop[t]
        if is_stopped(position * entry, below):
            continue
        above = np.nan if has_reached(position * entry, position * target[t]) else position * target[t]
        end = last
        done = False
        for k in range(first, last):
            if done and not np.isnan(opens[k]):
                end = k
                break
            done = done or judge(position * closes[k], below, above) != NOTHING
        outcome[t] = position * (opens[end] - entry)
        exits[t] = end


@compiled_with(barriers)
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
            if is_stopped(position * closes[k], position * level[t]):
                entries[t] = k + 1
                exits[t] = first_bar_after(k + 1, horizon)
                outcome[t] = position * (opens[exits[t]] - opens[k + 1])
                break
