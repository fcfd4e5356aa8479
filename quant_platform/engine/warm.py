"""Compile the engine's kernels ahead of their first use, as `quant_platform.cli.warm` does after installation.

The machine code goes to numba's cache on disk, so that nobody waits for a compiler in front of a first paper fill.
"""

from __future__ import annotations

import numpy as np

from quant_platform.engine.backtest import Bars, Costs, EngineConfig, Orders, run


def compile_kernels() -> int:
    """Trade one order with impact on a handful of bars; everything that a paper account calls is compiled then.

    Returns
    -------
    int
        Fills of that order.
    """
    prices = np.full((5, 1), 100.0)
    day = 86_400 * 10**9
    bars = Bars(("A",), np.arange(5) * day, prices, prices, prices, prices, volume=np.full((5, 1), 1e6))
    orders = Orders.build([2], [0], ["long_entry"], quantity=[1.0], stop_price=[90.0], target_price=[110.0])
    costs = Costs(commission_rate=0.001, half_spread=0.001, impact_coefficient=1.0, impact_window_bars=2)
    return run(bars, orders, EngineConfig(costs=costs, units="whole")).fills.height
