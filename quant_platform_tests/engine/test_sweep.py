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


FREE = Costs.zero()


def one_trade(bars: Bars, costs: Costs = FREE, **changes: Any) -> dict[str, Any]:
    """Bought at the open of bar 2 and sold at that of bar 4."""
    entries, exits = np.zeros((bars.shape[0], 1), dtype=bool), np.zeros((bars.shape[0], 1), dtype=bool)
    entries[1], exits[3] = True, True
    return sweep(bars, entries, exits, costs=costs, **changes).to_frame().row(0, named=True)


def test_a_sweep_starts_with_a_million_and_counts_years_of_252_bars() -> None:
    found = one_trade(flat_bars(sessions=6), Costs(commission_rate=0.001, half_spread=0.0))
    # All of it goes into units and their commission; selling pays another thousandth of what is left.
    bought = 1e6 / 1.001
    assert found["commission"] == pytest.approx(0.001 * bought + 0.001 * bought)
    assert found["spread"] == 0.0
    returns = np.array([0.0, 0.0, bought / 1e6 - 1.0, 0.0, -0.001, 0.0])
    assert found["sharpe"] == pytest.approx(returns.mean() / returns.std(ddof=1) * np.sqrt(252.0))
    again = one_trade(flat_bars(sessions=6), Costs(commission_rate=0.001, half_spread=0.0), periods_per_year=63.0)
    assert again["sharpe"] == pytest.approx(found["sharpe"] / 2.0)


@pytest.mark.parametrize(
    ("last", "hits", "factor"), [(110.0, 1.0, None), (100.0, 0.0, None), (90.0, 0.0, 0.0), (101.0, 1.0, None)]
)
def test_a_trade_of_a_few_cents_wins_or_loses_as_any_other(last: float, hits: float, factor: float | None) -> None:
    """Half a unit of money gains or loses five hundredths; what neither gains nor loses is no win."""
    found = one_trade(flat_bars({4: (last, 115, 85, 100)}), initial_cash=0.5)
    assert (found["trades"], found["hit_rate"], found["profit_factor"]) == (1, hits, factor)
    assert found["total_return"] == pytest.approx(last / 100.0 - 1.0)


def test_two_bars_are_enough_for_a_sharpe_ratio_and_one_is_not() -> None:
    entries, exits = np.zeros((2, 1), dtype=bool), np.zeros((2, 1), dtype=bool)
    entries[0] = True
    bars = flat_bars({1: (100, 110, 100, 110)}, sessions=2)
    found = sweep(bars, entries, exits, costs=Costs.zero()).to_frame().row(0, named=True)
    # Returns 0 and .1: mean .05, variance .005.
    assert found["sharpe"] == pytest.approx(0.05 / np.sqrt(0.005) * np.sqrt(252.0))
    assert (found["trades"], found["open_at_end"], found["held_share"]) == (0, 1, 0.5)
    alone = sweep(flat_bars(sessions=1), entries[:1], exits[:1], costs=Costs.zero()).to_frame()
    assert alone["sharpe"].to_list() == [None]


def test_what_waits_to_be_sold_is_held_and_open() -> None:
    """Sold by the close of bar 3, but nothing trades after it: it stays, marked at its last close of 105."""
    nothing = (np.nan,) * 4
    over: dict[int, Any] = {3: (100, 105, 99, 105), **dict.fromkeys(range(4, 9), nothing)}
    found = one_trade(flat_bars(over))
    assert (found["trades"], found["open_at_end"], found["held_share"]) == (0, 1, pytest.approx(7 / 9))
    assert found["total_return"] == pytest.approx(0.05)


def test_a_bar_without_volume_halts_unless_said_and_one_with_little_does_not() -> None:
    volume = np.full((9, 1), 0.05)
    bars = flat_bars({4: (110, 111, 99, 100), 5: (120, 121, 99, 100)}, volume=volume)
    assert one_trade(bars)["total_return"] == pytest.approx(0.10)
    volume[4] = 0.0
    bars = flat_bars({4: (110, 111, 99, 100), 5: (120, 121, 99, 100)}, volume=volume)
    assert one_trade(bars)["total_return"] == pytest.approx(0.20)
    assert one_trade(bars, zero_volume_halts=False)["total_return"] == pytest.approx(0.10)


def test_a_spread_of_more_than_the_price_leaves_nothing_and_never_less() -> None:
    spread = np.zeros((9, 1))
    spread[4] = 1.5
    found = one_trade(flat_bars(half_spread=spread), initial_cash=1000.0)
    assert (found["total_return"], found["max_drawdown"], found["spread"]) == (-1.0, 1.0, 1000.0)
    assert found["unknown_spread_fills"] == 0
    spread[4] = np.nan
    found = one_trade(flat_bars(half_spread=spread), Costs(0.0, 0.0, unknown_half_spread=0.25), initial_cash=1000.0)
    assert (found["total_return"], found["unknown_spread_fills"], found["spread"]) == (-0.25, 1, 250.0)


@pytest.mark.parametrize("place", [-1, 1])
def test_an_asset_on_either_side_of_those_of_the_bars_is_refused(place: int) -> None:
    with pytest.raises(BacktestInvalid, match="outside the 1 of the bars"):
        one_trade(flat_bars(), assets=[place])


def test_columns_are_numbered_or_named() -> None:
    empty = np.zeros((9, 2), dtype=bool)
    bars = flat_bars(assets=2)
    plain = sweep(bars, empty, empty, costs=COSTS).to_frame()
    assert plain.select("column", "asset").rows() == [("0", "A0"), ("1", "A1")]
    named = sweep(bars, empty, empty, costs=COSTS, columns=["x", "y"], assets=[1, 0]).to_frame()
    assert named.select("column", "asset").rows() == [("x", "A1"), ("y", "A0")]


def test_an_account_that_lost_everything_buys_nothing_more_and_has_no_returns_after() -> None:
    """Sold on bar 4 at a spread of more than the price; the entry of bar 5 finds no cash, here and in the engine."""
    spread = np.zeros((9, 1))
    spread[4] = 1.5
    bars = flat_bars(half_spread=spread)
    entries, exits = np.zeros((9, 1), dtype=bool), np.zeros((9, 1), dtype=bool)
    entries[[1, 5]], exits[3] = True, True
    found = sweep(bars, entries, exits, costs=FREE).to_frame().row(0, named=True)
    assert (found["trades"], found["open_at_end"], found["total_return"], found["max_drawdown"]) == (1, 0, -1.0, 1.0)
    assert found["held_share"] == pytest.approx(2 / 9)
    # Four returns of nothing and one of -1: mean -.2, variance (4 x .04 + .64) / 4 = .2.
    assert found["sharpe"] == pytest.approx(-0.2 / np.sqrt(0.2) * np.sqrt(252.0))
    config = EngineConfig(costs=FREE, sizing=Sizing("cash_fraction", 1.0, "fill"))
    same = measure(run(bars, Signals(long_entry=entries, long_exit=exits), config))
    assert found["sharpe"] == pytest.approx(same.sharpe)
