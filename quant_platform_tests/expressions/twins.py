"""Slow plain-Python meaning of every primitive: the value at one bar from the list of bars up to it.

Written from the definitions in words, without numpy and without the code under test; missing is None.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from statistics import NormalDist

Number = float | None
Series = Sequence[Number]


def needed(n: int) -> int:
    return n if n < 10 else (9 * n + 9) // 10


def window(x: Series, t: int, n: int) -> list[float]:
    return [v for v in x[max(0, t - n + 1) : t + 1] if v is not None]


def enough(values: list[float], n: int) -> bool:
    return len(values) >= needed(n)


def over(x: Series, t: int, n: int, f: Callable[[list[float]], Number]) -> Number:
    values = window(x, t, n)
    return f(values) if enough(values, n) else None


def before(x: Series, t: int, n: int, f: Callable[[list[float]], Number]) -> Number:
    return over(x, t - 1, n, f) if t > 0 else None


def quantile(values: list[float], p: float) -> float:
    ordered = sorted(values)
    place = (len(ordered) - 1) * p
    lower = math.floor(place)
    upper = min(lower + 1, len(ordered) - 1)
    return ordered[lower] + (ordered[upper] - ordered[lower]) * (place - lower)


def divide(a: Number, b: Number) -> Number:
    return None if a is None or b is None or b == 0 else a / b


def minus(a: Number, b: Number) -> Number:
    return None if a is None or b is None else a - b


def logarithm(a: Number) -> Number:
    return None if a is None or a <= 0 else math.log(a)


def at(x: Sequence[Number], t: int) -> Number:
    return x[t] if t >= 0 else None


def z(x: Series, t: int, n: int) -> Number:
    return divide(minus(x[t], before(x, t, n, statistics.fmean)), before(x, t, n, sd))


def sd(values: list[float]) -> float:
    return 0.0 if min(values) == max(values) else statistics.stdev(values)


def rz(x: Series, t: int, n: int) -> Number:
    spread = minus(before(x, t, n, lambda v: quantile(v, 0.75)), before(x, t, n, lambda v: quantile(v, 0.25)))
    return divide(minus(x[t], before(x, t, n, statistics.median)), divide(spread, 1.349))


def average_rank(x: Series, t: int, n: int) -> tuple[float, int] | None:
    values = window(x, t, n)
    now = x[t]
    if now is None or not enough(values, n):
        return None
    below = sum(v < now for v in values)
    ties = sum(v == now for v in values)
    return below + (ties + 1) / 2, len(values)


def rank(x: Series, t: int, n: int) -> Number:
    found = average_rank(x, t, n)
    return None if found is None else found[0] / found[1]


def nscore(x: Series, t: int, n: int) -> Number:
    found = average_rank(x, t, n)
    return None if found is None else NormalDist().inv_cdf((found[0] - 0.5) / found[1])


def pairs(x: Series, y: Series, t: int, n: int) -> tuple[list[float], list[float]] | None:
    both = [
        (a, b)
        for a, b in zip(x[max(0, t - n + 1) : t + 1], y[max(0, t - n + 1) : t + 1], strict=True)
        if a is not None and b is not None
    ]
    if len(both) < needed(n):
        return None
    left, right = [a for a, _ in both], [b for _, b in both]
    return left, right


def corr(x: Series, y: Series, t: int, n: int) -> Number:
    both = pairs(x, y, t, n)
    if both is None or min(map(sd, both)) == 0:
        return None
    return statistics.correlation(*both)


def beta(y: Series, x: Series, t: int, n: int) -> Number:
    both = pairs(x, y, t, n)
    if both is None or sd(both[0]) == 0:
        return None
    return statistics.linear_regression(*both).slope


def lagmed(x: Series, t: int, count: int, step: int) -> Number:
    values = [v for v in (at(x, t - k * step) for k in range(1, count + 1)) if v is not None]
    return statistics.median(values) if len(values) >= needed(count) else None


def run(c: Sequence[bool], t: int, cap: int) -> float:
    length = 0
    while length < cap and t - length >= 0 and c[t - length]:
        length += 1
    return float(length)


def past(x: Series, c: Sequence[bool], t: int, k: int, n: int) -> Number:
    held = [i for i in range(t) if c[i]]
    return x[held[-k]] if len(held) >= k and t - held[-k] <= n else None


def true_range(high: Series, low: Series, close: Series, t: int) -> Number:
    h, low_now, previous = high[t], low[t], at(close, t - 1)
    if h is None or low_now is None or previous is None:
        return None
    return max(h - low_now, abs(h - previous), abs(low_now - previous))


def atr(high: Series, low: Series, close: Series, t: int, n: int) -> Number:
    ranges = [true_range(high, low, close, i) for i in range(t + 1)]
    return over(ranges, t, n, statistics.fmean)


def rsi(x: Series, t: int, n: int) -> Number:
    moves = [minus(x[i], at(x, i - 1)) for i in range(t + 1)]
    present = window(moves, t, n)
    gains = sum(m for m in present if m > 0)
    losses = -sum(m for m in present if m < 0)
    if not enough(present, n) or gains + losses == 0:
        return None
    return 100.0 - 100.0 / (1.0 + gains / losses) if losses > 0 else 100.0


def sign(a: float) -> float:
    return float((a > 0) - (a < 0))


def elementwise(f: Callable[[float], Number]) -> Callable[[Series, int], Number]:
    def value(x: Series, t: int) -> Number:
        now = x[t]
        return None if now is None else f(now)

    return value


def both_present(f: Callable[[float, float], float]) -> Callable[[Series, Series, int], Number]:
    def value(x: Series, y: Series, t: int) -> Number:
        a, b = x[t], y[t]
        return None if a is None or b is None else f(a, b)

    return value


def xup(x: Series, level: Series, t: int) -> bool:
    now, bar, past, past_bar = x[t], level[t], at(x, t - 1), at(level, t - 1)
    if now is None or bar is None or past is None or past_bar is None:
        return False
    return now >= bar and past < past_bar
