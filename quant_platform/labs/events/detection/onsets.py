"""From a condition per bar to accepted onsets: where an event begins, and which beginnings count.

**Onset.** ``rising`` is the first bar on which the condition is true; ``level`` is every bar on which it is, for
conditions that mark single bars themselves. What is before the first row is not known, so the first row is no
rising onset.

**Quiet period.** An onset is accepted when there was no onset, accepted or not, in the ``cooldown_bars`` bars before
it. The usual rule, so many bars since the last *accepted* event, has an infinite memory: one more onset at the start of
the history can shift every later one. This one looks back ``cooldown_bars`` and no further.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.compiled import compiled

Conditions = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def accepted(
    condition: Conditions, direction: Numbers, intensity: Numbers, *, rising: bool, cooldown_bars: int
) -> Rows:
    """Rows of the onsets that follow a quiet period.

    Parameters
    ----------
    condition
        The rule per bar, shape (bars,), missing is false.
    direction, intensity
        Numbers per bar; where one of them is NaN the rule does not count.
    rising
        Whether an onset is the first bar on which the rule holds, and not every bar on which it does.
    cooldown_bars
        Bars before an onset that must hold no other; 0 accepts all.
    """
    return _accepted(
        condition, condition[: condition.size & ~7].view(np.int64), direction, intensity, rising, cooldown_bars
    )


@compiled
def _accepted(
    condition: Conditions, eights: Rows, direction: Numbers, intensity: Numbers, rising: bool, cooldown_bars: int
) -> Rows:
    """As :func:`accepted`; ``eights`` are eight rows of the condition each, nearly all of them without a true one."""
    found = np.empty(condition.size // (cooldown_bars + 1) + 1, dtype=np.int64)
    size = 0
    # What is before the first row is not known, so that it is no rising onset.
    held = rising
    last = -cooldown_bars - 1
    i = 0
    while i < condition.size:
        if i & 7 == 0 and i >> 3 < eights.size and eights[i >> 3] == 0:
            held = False
            i += 8
            continue
        holds = condition[i] and not (np.isnan(direction[i]) or np.isnan(intensity[i]))
        if holds and not (rising and held):
            if i - last > cooldown_bars:
                found[size] = i
                size += 1
            last = i
        held = holds
        i += 1
    return found[:size].copy()


@compiled
def window_after(fired: Conditions, ends: Conditions, max_bars: int) -> Conditions:
    """Bars after an accepted event: from the one after it, for ``max_bars`` bars or until ``ends`` is true.

    The bar on which ``ends`` is true is outside the window. A later event opens a new one.
    """
    inside = np.zeros(fired.size, dtype=np.bool_)
    left = 0
    for i in range(fired.size):
        if left > 0 and ends[i]:
            left = 0
        if left > 0:
            inside[i] = True
            left -= 1
        if fired[i]:
            left = max_bars
    return inside
