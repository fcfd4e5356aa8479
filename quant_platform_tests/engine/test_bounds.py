"""Limits, switches and costs inside a run exactly at their bounds, and of small accounts; expected values by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.engine.backtest import run
from quant_platform.engine.config import Costs, Sizing
from quant_platform.engine.decisions import Orders, Weights
from quant_platform_tests.engine.cases import CASH, config, flat_bars, shown

ALL_CASH = Sizing("cash_fraction", 1.0, "fill")


def bought(costs: Costs, cash: float, **more: Any) -> float:
    """Units that all the cash buys at 100."""
    orders = Orders.build([1], [0], ["long_entry"])
    settings = config(costs=costs, initial_cash=cash, leverage=1.0, sizing=ALL_CASH)
    result = run(flat_bars(**more), orders, settings)
    return float(result.fills["quantity"][0])


@pytest.mark.parametrize(
    ("costs", "cash", "units"),
    [
        (Costs(0.0, 0.0), 0.05, 0.0005),
        (Costs(0.001, 0.0), 1000.0, 1000.0 / 100.1),
        (Costs(0.0, 0.001), 1000.0, 1000.0 / 100.1),
        (Costs(0.0, 0.0, minimum=50.0), 1000.0, 9.5),
        (Costs(0.001, 0.0, minimum=0.05), 1000.0, 1000.0 / 100.1),
        (Costs(0.0, 0.0, per_order=2.5, per_unit=0.005), 1000.0, 997.5 / 100.005),
        (Costs(0.0, 0.0, slippage_fixed=0.1), 1000.0, 1000.0 / 100.1),
        (Costs(0.01, 0.01, slippage_fixed=1.0), 1000.0, 1000.0 / (102.0 * 1.01)),
    ],
)
def test_all_the_cash_buys_what_its_costs_leave(costs: Costs, cash: float, units: float) -> None:
    assert bought(costs, cash) == pytest.approx(units, rel=1e-12)


def test_all_the_cash_buys_what_its_impact_leaves() -> None:
    """Closes that rise by a hundredth: what is paid for u units is 100 u (1 + ln(1.01) sqrt(u / 40))."""
    over = {0: (100, 101, 99, 100.0), 1: (100, 102, 99, 101.0)}
    orders = Orders.build([2], [0], ["long_entry"])
    costs = Costs(0.0, 0.0, impact_coefficient=1.0, impact_window_bars=2)
    bars = flat_bars(over, volume=np.full((9, 1), 40.0))
    result = run(bars, orders, config(costs=costs, initial_cash=1000.0, leverage=1.0, sizing=ALL_CASH))
    units = result.fills["quantity"][0]
    # Before bar 3 the closes stepped from 100 to 101 and back: two steps of ln(1.01) in size.
    assert 100.0 * units * (1.0 + np.log(1.01) * np.sqrt(units / 40.0)) == pytest.approx(1000.0, rel=1e-12)
    assert result.counts["unknown_impact"] == 0


@pytest.mark.parametrize(("volume", "unknown"), [(0.05, 0), (0.0, 1)])
def test_a_little_volume_is_a_volume_and_none_is_not(volume: float, unknown: int) -> None:
    costs = Costs(0.0, 0.0, impact_coefficient=1.0, impact_window_bars=2)
    orders = Orders.build([3], [0], ["long_entry"], quantity=0.01)
    bars = flat_bars(volume=np.full((9, 1), volume))
    result = run(bars, orders, config(costs=costs, zero_volume_halts=False))
    assert result.counts["unknown_impact"] == unknown
    # Closes that never move have no volatility; what is not known costs half a hundredth.
    assert result.fills["price"][0] == pytest.approx(100.5 if unknown else 100.0)


def test_nothing_is_sold_below_nothing() -> None:
    over = dict.fromkeys(range(4, 9), (0.5, 0.5, 0.5, 0.5))
    orders = Orders.build([1, 4], [0, 0], ["long_entry", "long_exit"], quantity=100)
    result = run(flat_bars(over), orders, config(costs=Costs(0.0, 0.0, slippage_fixed=1.0)))
    assert shown(result) == [(2, 100, 101.0), (5, -100, 0.0)]
    assert result.totals["spread"] == pytest.approx(100.0 + 50.0)


@pytest.mark.parametrize("name", ["kill_drawdown", "kill_daily_loss"])
def test_a_switch_trips_above_its_bound_and_stops_what_opens(name: str) -> None:
    """A thousand units take the account from 100,000 to exactly three quarters of it, or a unit of money below."""
    for low, tripped in ((75.0, False), (74.999, True)):
        bars = flat_bars({3: (100, 100, low, low)})
        orders = Orders.build([1, 4], [0, 0], "trade", quantity=[1000, 1])
        result = run(bars, orders, config(**{name: 0.25}))
        assert result.trips["bar"].to_list() == ([3] if tripped else [])
        assert result.counts["stopped_by_switch"] == int(tripped)
        assert result.fills.height == (1 if tripped else 2)


def test_each_day_has_its_own_loss() -> None:
    """Four in a hundred on the first day, three on the second: no day has five."""
    orders = Orders.build([0], [0], ["long_entry"], quantity=1000)
    settings = config(costs=Costs(0.04, 0.0), fill="same_close", kill_daily_loss=0.05)
    bars = flat_bars({1: (100, 100, 97, 97)})
    assert run(bars, orders, settings).trips.is_empty()
    one_day = replace(bars, stamps=bars.stamps // 24)
    assert run(one_day, orders, settings).trips["bar"].to_list() == [1]


@pytest.mark.parametrize("name", ["symbol_limit", "portfolio_limit", "new_exposure_limit"])
@pytest.mark.parametrize(("quantity", "filled"), [(300, 300), (301, 300), (-300, -300), (-301, -300)])
def test_an_order_exactly_at_a_limit_is_not_cut(name: str, quantity: float, filled: float) -> None:
    result = run(flat_bars(), Orders.build([1], [0], "trade", quantity=quantity), config(**{name: 0.3}))
    assert shown(result) == [(2, filled, 100)]
    expected = [] if quantity == filled else [(name.removesuffix("_limit"), pytest.approx(0.301), pytest.approx(0.3))]
    assert result.clips.select(pl.col("layer").cast(pl.String), "before", "after").rows() == expected


def test_every_bar_has_its_own_room_for_new_exposure() -> None:
    orders = Orders.build([1, 1, 3], [0, 1, 0], "trade", quantity=[200, 200, 300])
    result = run(flat_bars(assets=2), orders, config(new_exposure_limit=0.3))
    assert result.fills.select("bar", "asset", "quantity").rows() == [
        (2, "A0", 200.0), (2, "A1", 100.0), (4, "A0", 300.0),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["symbol_limit", "portfolio_limit", "new_exposure_limit"])
def test_a_weight_exactly_at_a_limit_is_not_cut(name: str) -> None:
    for weight, granted in ((0.25, 250.0), (-0.25, -250.0), (0.26, 250.0)):
        result = run(flat_bars(), Weights([1], [[weight]]), config(tolerance=0.0, **{name: 0.25}))
        assert result.fills["quantity"].to_list() == [pytest.approx(granted)]
        assert result.clips.height == int(weight == 0.26)


def test_a_short_weight_without_permission_is_none_and_leaves_its_room() -> None:
    weights = Weights([1], [[-0.5, 0.5]])
    result = run(flat_bars(assets=2), weights, config(allow_short=False, portfolio_limit=0.5, tolerance=0.0))
    assert result.fills.select("asset", "quantity").rows() == [("A1", 500.0)]
    assert result.counts["short_refused"] == 1
    assert result.clips.is_empty()


@pytest.mark.parametrize(("weight", "filled"), [(0.049, 0), (0.05, 1), (0.051, 1), (-0.05, 1)])
def test_a_rebalance_leaves_what_is_nearer_than_its_tolerance(weight: float, filled: int) -> None:
    result = run(flat_bars(), Weights([1], [[weight]]), config(tolerance=0.05))
    assert result.fills.height == filled
    assert result.counts["within_tolerance"] == 1 - filled


@pytest.mark.parametrize(("quantity", "fills"), [(4.99, 0), (5.0, 1)])
def test_an_order_worth_exactly_the_smallest_notional_is_sent(quantity: float, fills: int) -> None:
    bars = flat_bars(minimum_notional=np.array([500.0]))
    result = run(bars, Orders.build([1], [0], ["long_entry"], quantity=quantity), config())
    assert (result.fills.height, result.counts["below_minimum"]) == (fills, 1 - fills)


@pytest.mark.parametrize("stop", [{"stop": 0.01}, {"trail": 0.01}, {"stop_price": 99.0}])
def test_any_stop_will_do_for_sizing_by_risk_and_an_exit_needs_none(stop: dict[str, float]) -> None:
    given = {name: [value, np.nan] for name, value in stop.items()}
    orders = Orders.build([1, 3], [0, 0], ["long_entry", "long_exit"], **given)
    result = run(flat_bars(), orders, config(sizing=Sizing("risk_fraction", 0.001)))
    # A thousandth of the account is 100, and a unit loses 1.
    assert result.fills["quantity"][0] == pytest.approx(0.001 * CASH / 1.0)


@pytest.mark.parametrize(("buffer", "held"), [(0.0, [200.0, 450.0]), (0.1, [180.0, 405.0])])
def test_what_is_held_takes_none_of_the_room_for_new_exposure(buffer: float, held: list[float]) -> None:
    """Of .6 that are wanted .2 are held; .25 of the new .4 are granted: .45 of what is not the buffer."""
    weights = Weights(np.array([1, 4]), np.array([[0.2], [0.6]]))
    limits = config(new_exposure_limit=0.25, cash_buffer=buffer, tolerance=0.0)
    found = run(flat_bars(), weights, limits).fills["position"].to_list()
    assert found == pytest.approx(held)


def test_a_trade_of_a_twentieth_of_a_unit_has_its_exit_price() -> None:
    """Bought at 100 on bar 2, sold at the open of bar 4 at 97."""
    bars = flat_bars({4: (97.0, 98.0, 96.0, 97.0)})
    orders = Orders.build([1, 3], [0, 0], ["long_entry", "long_exit"], quantity=[0.05, np.nan])
    trade = run(bars, orders, config()).trades
    assert trade.select("entry_price", "exit_price", "quantity").rows() == [(100.0, 97.0, 0.05)]
