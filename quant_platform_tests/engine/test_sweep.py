"""A sweep against the engine, column by column, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quant_platform.engine.backtest import Bars, Costs, EngineConfig, Signals, Sizing, run
from quant_platform.engine.bars import Event
from quant_platform.engine.config import BacktestInvalid
from quant_platform.engine.metrics import measure
from quant_platform.engine.sweep import sweep
from quant_platform_tests.engine.cases import DAY, flat_bars

COSTS = Costs(commission_rate=0.001, half_spread=0.0005)


def walks(seed: int, *, sessions: int = 60, assets: int = 3) -> Bars:
    """Walks with holes, halts and unknown spreads."""
    rng = np.random.default_rng(seed)
    close = 50.0 * np.exp(np.cumsum(rng.normal(0.0, 0.03, (sessions, assets)), axis=0))
    opens = close * np.exp(rng.normal(0.0, 0.01, (sessions, assets)))
    prices = np.stack([opens, np.maximum(opens, close) * 1.01, np.minimum(opens, close) * 0.99, close])
    prices[:, rng.random((sessions, assets)) < 0.1] = np.nan
    volume = np.where(rng.random((sessions, assets)) < 0.1, 0.0, 1000.0)
    spread = np.where(rng.random((sessions, assets)) < 0.2, np.nan, 0.002)
    names = tuple(f"A{a}" for a in range(assets))
    open_, high, low, last = prices
    return Bars(names, DAY * np.arange(sessions), open_, high, low, last, volume=volume, half_spread=spread)


@pytest.mark.parametrize("seed", range(6))
def test_every_figure_is_that_of_the_engine(seed: int) -> None:
    bars = walks(seed)
    rng = np.random.default_rng(100 + seed)
    places = rng.integers(0, 3, 20)
    entries, exits = rng.random((60, 20)) < 0.15, rng.random((60, 20)) < 0.15
    found = sweep(bars, entries, exits, costs=COSTS, assets=places).to_frame()
    config = EngineConfig(costs=COSTS, sizing=Sizing("cash_fraction", 1.0, "fill"))
    for k, row in enumerate(found.iter_rows(named=True)):
        signals = [np.zeros(bars.shape, dtype=bool) for _ in range(2)]
        signals[0][:, places[k]], signals[1][:, places[k]] = entries[:, k], exits[:, k]
        result = run(bars, Signals(long_entry=signals[0], long_exit=signals[1]), config)
        figures = measure(result)
        assert row["asset"] == f"A{places[k]}"
        assert row["trades"] == figures.trades
        assert row["open_at_end"] == result.trades["exit_bar"].is_null().sum()
        unknown = np.isnan(np.asarray(bars.half_spread)[result.fills["bar"].to_numpy(), places[k]])
        assert row["unknown_spread_fills"] == unknown.sum()
        for name in ("total_return", "max_drawdown", "hit_rate", "profit_factor", "mean_bars_held", "commission"):
            expected = getattr(figures, name)
            shown = np.nan if row[name] is None else row[name]
            assert shown == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True), (k, name)
        assert row["spread"] == pytest.approx(figures.spread, rel=1e-9, abs=1e-6)
        sharpe = np.nan if row["sharpe"] is None else row["sharpe"]
        assert sharpe == pytest.approx(figures.sharpe, rel=1e-8, abs=1e-9, nan_ok=True)
        held = (result.exposures["held"].to_numpy() > 0).mean()
        assert row["held_share"] == pytest.approx(held)


def test_one_trade_by_hand() -> None:
    # Bought at the open of bar 2 for 100, marked at 120, sold at the open of bar 4 for 110.
    bars = flat_bars({3: (100.0, 121.0, 99.0, 120.0), 4: (110.0, 121.0, 99.0, 100.0)}, sessions=6)
    entries, exits = np.zeros((6, 1), dtype=bool), np.zeros((6, 1), dtype=bool)
    entries[1], exits[3] = True, True
    found = sweep(bars, entries, exits, costs=Costs.zero(), initial_cash=1000.0).to_frame().row(0, named=True)
    assert found["total_return"] == pytest.approx(0.10)
    assert (found["trades"], found["hit_rate"], found["mean_bars_held"]) == (1, 1.0, 2.0)
    assert found["profit_factor"] is None
    assert found["held_share"] == pytest.approx(2 / 6)
    assert found["max_drawdown"] == pytest.approx(1.0 - 1100.0 / 1200.0)


def test_a_decision_of_the_last_close_trades_nothing() -> None:
    entries, exits = np.zeros((9, 1), dtype=bool), np.zeros((9, 1), dtype=bool)
    entries[8] = True
    found = sweep(flat_bars(), entries, exits, costs=COSTS).to_frame().row(0, named=True)
    assert (found["trades"], found["open_at_end"], found["total_return"]) == (0, 0, 0.0)
    assert found["sharpe"] is None
    assert found["hit_rate"] is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"costs": Costs(0.0, 0.0, minimum=1.0)}, "no minimum"),
        ({"costs": Costs(0.0, 0.0, impact_coefficient=1.0)}, "no impact_coefficient"),
        ({"assets": [3]}, "outside the 1 of the bars"),
        ({"assets": [0, 0]}, "1 columns, 2 assets"),
        ({"columns": ["a", "b"]}, "2 names"),
        ({"exits": np.zeros((9, 1))}, "float64"),
        ({"entries": np.zeros((8, 1), dtype=bool)}, r"\(8, 1\)"),
        ({"bars": flat_bars(splits=(Event(3, 0, 2.0),))}, "no events of the bars"),
    ],
)
def test_what_a_sweep_does_not_know_is_refused(changes: dict[str, Any], said: str) -> None:
    empty = np.zeros((9, 1), dtype=bool)
    given: dict[str, Any] = {"bars": flat_bars(), "entries": empty, "exits": empty, "costs": COSTS} | changes
    with pytest.raises(BacktestInvalid, match=said):
        sweep(given.pop("bars"), given.pop("entries"), given.pop("exits"), **given)
