"""Figures of some trades that overlap in time, the same for thresholds, sleeves and the dashboard."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from quant_platform.engine.layout import Bools, Floats
from quant_platform.statistics import wilson_interval

Ordinals = npt.NDArray[np.int64]
FEWEST = 5


@dataclass(frozen=True, eq=False)
class TradeLog:
    """Closed trades of one name, in the order of their signals.

    Attributes
    ----------
    signal, known
        ``[n]`` day of the signal and day on which the outcome was known, as day numbers.
    r
        ``[n]`` realised R after cost.
    """

    signal: Ordinals
    known: Ordinals
    r: Floats

    def only(self, which: Bools) -> TradeLog:
        """Some of the trades."""
        return TradeLog(self.signal[which], self.known[which], self.r[which])


@dataclass(frozen=True)
class Figures:
    """What some trades come to; NaN where there is no number."""

    n: int
    n_independent: int
    total_r: float
    profit_factor: float
    win_rate: float
    win_low: float
    win_high: float
    mean_r: float
    mean_low: float
    mean_high: float
    max_drawdown_r: float


def independent(signal: Ordinals, known: Ordinals) -> int:
    """How many trades can be picked, in order of time, of which none began before the one before was known.

    Trades that are held at once share their market; counting them once is what an error may go by.
    """
    count, free = 0, np.iinfo(np.int64).min
    for begin, end in zip(signal.tolist(), known.tolist(), strict=True):
        if begin >= free:
            count, free = count + 1, end
    return count


def figures(trades: TradeLog, level: float = 0.95) -> Figures:
    """Count and measure some trades.

    Notes
    -----
    The limits of the mean are Student's with as many values as there are independent trades, those of the win rate
    Wilson's; below five independent trades there are none. **Missing values.** None are allowed.
    """
    r, n = trades.r, trades.r.size
    nothing = math.nan
    if n == 0:
        return Figures(0, 0, 0.0, nothing, nothing, nothing, nothing, nothing, nothing, nothing, 0.0)
    gains, losses = float(r[r > 0.0].sum()), -float(r[r < 0.0].sum())
    count = independent(trades.signal, trades.known)
    wins, mean = int((r > 0.0).sum()), float(r.mean())
    low = high = win_low = win_high = nothing
    if count >= FEWEST:
        half = float(stdtrit(count - 1.0, 0.5 + level / 2.0)) * float(r.std(ddof=1)) / math.sqrt(count)
        low, high = mean - half, mean + half
        interval = wilson_interval(wins * count / n, count, level=level)
        win_low, win_high = float(interval.low), float(interval.high)
    curve = np.concatenate([[0.0], np.cumsum(r[np.argsort(trades.known, kind="stable")])])
    return Figures(
        n=n,
        n_independent=count,
        total_r=float(r.sum()),
        profit_factor=gains / losses if losses > 0.0 else nothing,
        win_rate=wins / n,
        win_low=win_low,
        win_high=win_high,
        mean_r=mean,
        mean_low=low,
        mean_high=high,
        max_drawdown_r=float((np.maximum.accumulate(curve) - curve).max()),
    )
