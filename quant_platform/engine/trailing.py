"""What size and volatility were before a bar, for its costs: trailing windows that end with the bar before."""

from __future__ import annotations

import math

import numpy as np

from quant_platform.contracts.compiled import compiled
from quant_platform.engine.layout import Floats


@compiled
def trailing_mean(values: Floats, window: int) -> Floats:
    """Mean of the last ``window`` values before each row, ``[session, asset]``.

    **Timing.** Row t does not enter row t. **Missing values.** NaN is left out; with less than half of the window known
    the mean is NaN.
    """
    sessions, assets = values.shape
    out = np.full((sessions, assets), np.nan)
    for a in range(assets):
        for t in range(sessions):
            total, count = 0.0, 0
            for k in range(max(0, t - window), t):
                if not math.isnan(values[k, a]):
                    total += values[k, a]
                    count += 1
            if 2 * count >= window:
                out[t, a] = total / count
    return out


@compiled
def trailing_volatility(close: Floats, window: int) -> Floats:
    """Root mean square of the log returns between consecutive known closes within ``window`` rows before each row.

    **Timing.** Row t does not enter row t. **Missing values.** With less than half of the window known it is NaN.
    """
    sessions, assets = close.shape
    out = np.full((sessions, assets), np.nan)
    for a in range(assets):
        for t in range(sessions):
            total, count, before = 0.0, 0, math.nan
            for k in range(max(0, t - window - 1), t):
                if math.isnan(close[k, a]):
                    continue
                if not math.isnan(before):
                    step = math.log(close[k, a] / before)
                    total += step * step
                    count += 1
                before = close[k, a]
            if 2 * count >= window:
                out[t, a] = math.sqrt(total / count)
    return out
