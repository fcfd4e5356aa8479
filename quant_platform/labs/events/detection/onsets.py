"""From a condition per bar to accepted onsets: where an event begins, and which beginnings count.

**Onset.** ``rising`` is the first bar on which the condition is true; ``level`` is every bar on which it is, for
conditions that mark single bars themselves. What is before the first row is not known, so the first row is no
rising onset.

**Quiet period.** An onset is accepted when there was no onset, accepted or not, in the ``cooldown_bars`` bars before
it. The usual rule, so many bars since the last *accepted* event, has an infinite memory: one more onset at the start of
the history can shift every later one. This one looks back ``cooldown_bars`` and no further.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.compiled import compiled

Conditions = npt.NDArray[np.bool_]


def onsets(condition: Conditions, kind: Literal["rising", "level"]) -> Conditions:
    """Bars on which an event begins.

    Parameters
    ----------
    condition
        The rule per bar, shape (bars,), missing is false.
    kind
        ``rising`` or ``level``.
    """
    if kind == "level":
        return condition.copy()
    begun = np.zeros_like(condition)
    begun[1:] = condition[1:] & ~condition[:-1]
    return begun


def accepted(begun: Conditions, cooldown_bars: int) -> Conditions:
    """Onsets that follow a quiet period.

    Parameters
    ----------
    begun
        Onsets per bar, shape (bars,).
    cooldown_bars
        Bars before an onset that must hold no other; 0 accepts all.
    """
    places = np.flatnonzero(begun)
    counts = np.zeros_like(begun)
    if places.size:
        gaps = np.diff(places, prepend=places[0] - cooldown_bars - 1)
        counts[places[gaps > cooldown_bars]] = True
    return counts


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
