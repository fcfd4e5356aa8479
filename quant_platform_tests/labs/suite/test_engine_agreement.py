"""The execution engine, given the suite's weights as orders, earns the suite's daily net returns."""

from __future__ import annotations

import numpy as np
import pytest

from quant_platform.engine import backtest as engine
from quant_platform.labs.suite.backtest import Workbench, run_variants
from quant_platform.labs.suite.panel import Panel, dense_signal
from quant_platform.specification.suite import BacktestConfig
from quant_platform_tests.labs.suite.truth import SPECS
from quant_platform_tests.labs.suite.worlds import make_panel, slow_signal

NAMES, SESSIONS, CAPITAL = 40, 260, 1_000_000.0


def prices(panel: Panel) -> np.ndarray:
    """A price for every session on which a name has one; a return after a gap holds the whole move."""
    close = np.full(panel.shape, np.nan)
    level = np.full(panel.shape[1], 100.0)
    for t in range(panel.shape[0]):
        level = level * (1.0 + np.nan_to_num(panel.returns[t]))
        close[t] = np.where(panel.priced[t], level, np.nan)
    return close


def orders_of(weights: np.ndarray, formed: np.ndarray, close: np.ndarray, panel: Panel, lag: int) -> engine.Orders:
    """What has to be bought and sold to hold the weights: units of a constant capital, names with a price only."""
    held = np.zeros(close.shape[1])
    bars, assets, units = [], [], []
    for t in range(lag, close.shape[0]):
        held[t > panel.last] = 0.0
        if not formed[t - lag]:
            continue
        tradable = np.isfinite(close[t])
        wanted = np.where(tradable, weights[t - lag] * CAPITAL / np.where(tradable, close[t], 1.0), held)
        for name in np.flatnonzero(wanted != held):
            bars.append(t)
            assets.append(name)
            units.append(wanted[name] - held[name])
        held = wanted
    return engine.Orders.build(bars, assets, "trade", quantity=units)


@pytest.mark.parametrize(("lag", "weight", "holes"), [(0, "equal", True), (1, "equal", True), (0, "signal", False)])
def test_the_engine_earns_the_same_on_every_day(lag: int, weight: str, holes: bool) -> None:
    panel = make_panel(11, names=NAMES, sessions=SESSIONS, holes=holes)
    assert (panel.last < SESSIONS).any() == holes
    score = slow_signal(11, names=NAMES, sessions=SESSIONS)
    bench = Workbench(panel, SPECS.suite, SPECS.costs)
    config = BacktestConfig(lag=lag, weight=weight, mincos=3, capital=CAPITAL)
    prepared = bench.prepare(dense_signal("score", score))
    book = run_variants(prepared, [config], bench)[config.variant].book
    targets = prepared.targets(config)

    close = prices(panel)
    gone = [
        engine.Event(int(row) + 1, name, 1.0 + float(panel.returns[row + 1, name]))
        for name, row in enumerate(panel.last)
        if row < SESSIONS
    ]
    bars = engine.Bars(
        panel.tickers, panel.sessions.astype("datetime64[ns]").astype(np.int64), close, close, close, close,
        delistings=tuple(gone),
    )  # fmt: skip
    costs = engine.Costs(commission_rate=SPECS.costs.naive_bps * 1e-4, half_spread=0.0)
    rules = engine.EngineConfig(costs, CAPITAL, fill="same_close", leverage=np.inf, tolerance=0.0)
    found = engine.run(bars, orders_of(targets.weights, targets.formed, close, panel, lag), rules)

    equity = found.equity["equity"].to_numpy()
    net = np.diff(equity, prepend=CAPITAL) / CAPITAL
    assert np.abs(book.net).max() > 1e-3
    np.testing.assert_allclose(net, book.net, atol=1e-12, rtol=0.0)
    assert found.fills["commission"].sum() / CAPITAL == pytest.approx(book.cost.sum(), abs=1e-11)
