"""What a stop, a target, a gap and a time-out do to a position: the one law, which every lab calls.

All prices are **mirrored** for a short, that is multiplied by -1, so that each rule is written once: a position loses
when its mirrored price falls. A level that is NaN does not exist, and a missing price does nothing.

1. The open is looked at first. At or beyond the stop the position leaves at the open (a gap), at or beyond the target
   too.
2. Then the stop: a bar whose adverse extreme is at or beyond it leaves at the stop.
3. Then the target: a bar whose favourable extreme is at or beyond it leaves at the target. A bar that holds both is a
   stop.
4. Levels that are compared with closes decide at the close, and the position leaves at the next open.
5. A horizon of ``n`` bars counts the entry bar as the first: it is over at the close of bar ``entry + n - 1``, which is
   one moment with the open of bar ``entry + n``.
6. Of the bar of the exit only the exit's own price is known to lie before it; on the way to a target the adverse
   extreme counts too, which keeps both excursions on the cautious side.
"""

from __future__ import annotations

from quant_platform.contracts.compiled import compiled

NOTHING, STOPPED, REACHED = 0, 1, 2


@compiled
def is_stopped(price: float, stop: float) -> bool:
    """Whether a mirrored price is at or beyond the stop."""
    return price <= stop


@compiled
def has_reached(price: float, target: float) -> bool:
    """Whether a mirrored price is at or beyond the target."""
    return price >= target


@compiled
def judge(price: float, stop: float, target: float) -> int:
    """What one price does: rule 1 for an open, rule 4 for a close."""
    if is_stopped(price, stop):
        return STOPPED
    if has_reached(price, target):
        return REACHED
    return NOTHING


@compiled
def judge_extremes(adverse: float, favourable: float, stop: float, target: float) -> int:
    """What the inside of a bar does: rules 2 and 3."""
    if is_stopped(adverse, stop):
        return STOPPED
    if has_reached(favourable, target):
        return REACHED
    return NOTHING


@compiled
def last_bar_inside(entry_bar: int, horizon: int) -> int:
    """Bar at whose close a horizon is over: rule 5."""
    return entry_bar + horizon - 1


@compiled
def first_bar_after(entry_bar: int, horizon: int) -> int:
    """Bar at whose open a position leaves for time: rule 5."""
    return entry_bar + horizon


@compiled
def excursions_at_exit(worst: float, best: float, price: float, adverse: float) -> tuple[float, float]:
    """Worst and best mirrored price after leaving at ``price``: rule 6.

    ``adverse`` is the adverse extreme of a bar that was left at its target inside, NaN for any other exit.
    """
    if adverse < worst:
        worst = adverse
    return min(worst, price), max(best, price)


@compiled
def trailing_stop(extreme: float, direction: float, distance: float) -> float:
    """Mirrored level a fraction ``distance`` behind the mirrored best price so far."""
    return extreme * (1.0 - direction * distance)
