"""Every column of every table of a result, of an account of a few cents, and of one that is ruined."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.engine.backtest import run
from quant_platform.engine.bars import Event
from quant_platform.engine.config import Costs
from quant_platform.engine.decisions import Orders
from quant_platform.engine.result import BacktestResult
from quant_platform_tests.engine.cases import CASH, config, flat_bars

DAYS = [datetime(1970, 1, 1 + k) for k in range(9)]
COSTS = Costs(commission_rate=0.001, half_spread=0.01, borrow_rate=0.36525)


def traded() -> BacktestResult:
    """Long 100 of the first from bar 2 to 5, short 50 of the second from bar 3 on; 120 from bar 4 on."""
    over: dict[int, Any] = dict.fromkeys(range(4, 9), (120, 130, 90, 120))
    bars = flat_bars(over, assets=2, dividends=(Event(4, 0, 0.5),), funding=(Event(3, 0, 0.001),))
    orders = Orders.build([1, 2, 4], [0, 1, 0], ["long_entry", "short_entry", "long_exit"], quantity=[100, 50, np.nan])
    return run(bars, orders, config(costs=COSTS))


def test_every_column_of_the_fills() -> None:
    found = traded().fills.with_columns(pl.col("reason").cast(pl.String)).to_dict(as_series=False)
    assert found["bar"] == [2, 3, 5]
    assert found["stamp"] == [DAYS[2], DAYS[3], DAYS[5]]
    assert found["asset"] == ["A0", "A1", "A0"]
    assert found["reason"] == ["entry", "entry", "exit"]
    assert found["quantity"] == [100.0, -50.0, -100.0]
    assert found["price"] == pytest.approx([101.0, 99.0, 118.8])
    assert found["reference_price"] == [100.0, 100.0, 120.0]
    assert found["commission"] == pytest.approx([10.1, 4.95, 11.88])
    assert found["spread"] == pytest.approx([100.0, 50.0, 120.0])
    assert found["impact"] == [0.0, 0.0, 0.0]
    assert found["position"] == [100.0, -50.0, 0.0]
    # An exit is decided by the engine, from what it was told.
    assert found["order"] == [0, 1, -1]


def test_every_column_of_the_trades() -> None:
    result = traded()
    closed, opened = result.trades.rows(named=True)
    assert (closed["asset"], closed["side"], closed["entry_bar"], closed["exit_bar"]) == ("A0", "long", 2, 5)
    assert (closed["entry_stamp"], closed["exit_stamp"], closed["exit_reason"]) == (DAYS[2], DAYS[5], "exit")
    assert (closed["quantity"], closed["bars_held"]) == (100.0, 3)
    assert (closed["entry_price"], closed["exit_price"]) == (pytest.approx(101.0), pytest.approx(118.8))
    assert closed["price_pnl"] == pytest.approx(2000.0)
    assert closed["commission"] == pytest.approx(10.1 + 11.88)
    assert closed["spread"] == pytest.approx(220.0)
    # A thousandth of 10,000 held long, and half a unit of money on each of a hundred.
    assert (closed["funding"], closed["dividends"]) == (pytest.approx(10.0), pytest.approx(50.0))
    assert (closed["impact"], closed["borrow"]) == (0.0, 0.0)
    assert closed["net_pnl"] == pytest.approx(2000.0 - 21.98 - 220.0 - 10.0 + 50.0)
    assert closed["break_even_bps"] == pytest.approx(1e4 * (2000.0 - 10.0 + 50.0) / (2 * 10_100))
    # From 101: down to 90 and up to 130 on bar 4.
    assert (closed["mae"], closed["mfe"]) == (pytest.approx(90 / 101 - 1), pytest.approx(130 / 101 - 1))
    assert (opened["asset"], opened["side"], opened["entry_bar"], opened["entry_stamp"]) == ("A1", "short", 3, DAYS[3])
    assert [opened[name] for name in ("exit_bar", "exit_stamp", "exit_price", "bars_held")] == [None] * 4
    assert opened["exit_reason"] == "none"
    # A thousandth a day of 5,000 held short, over five days.
    assert opened["borrow"] == pytest.approx(25.0)
    assert opened["net_pnl"] == pytest.approx(-4.95 - 50.0 - 25.0)
    assert opened["break_even_bps"] == pytest.approx(-1e4 * 25.0 / (2 * 50 * 99))
    # The low of 99 and the high of 101 against an entry at 99; a short gains where prices fall.
    assert (opened["mae"], opened["mfe"]) == (pytest.approx(-2 / 99), pytest.approx(0.0))


def test_every_column_of_equity_exposures_and_positions() -> None:
    result = traded()
    equity, exposures = result.equity, result.exposures
    for frame in (equity, exposures):
        assert frame["bar"].to_list() == list(range(9))
        assert frame["stamp"].to_list() == DAYS
    # Bought with spread and commission; sold short; a funding; then a price, a dividend and a day of borrow.
    bought = CASH - 10_100.0 - 10.1
    sold = bought + 4950.0 - 4.95 - 10.0
    paid = sold + 50.0 - 5.0
    assert equity["cash"].to_list()[:5] == pytest.approx([CASH, CASH, bought, sold, paid])
    worth = [CASH, CASH, bought + 10_000, sold + 10_000 - 5000, paid + 12_000 - 5000]
    assert equity["equity"].to_list()[:5] == pytest.approx(worth)
    assert equity["return"].to_list()[:5] == pytest.approx(
        [0.0, 0.0, *(worth[k] / worth[k - 1] - 1 for k in (2, 3, 4))]
    )
    assert equity["drawdown"].to_list()[:5] == pytest.approx([0, 0, 1 - worth[2] / CASH, 1 - worth[3] / CASH, 0.0])
    assert exposures["long"].to_list() == pytest.approx([0, 0, 10_000, 10_000, 12_000, 0, 0, 0, 0])
    assert exposures["short"].to_list() == pytest.approx([0, 0, 0, *[5000] * 6])
    assert exposures["gross"].to_list()[:5] == pytest.approx(
        [0, 0, 10_000 / worth[2], 15_000 / worth[3], 17_000 / worth[4]]
    )
    assert exposures["net"].to_list()[:5] == pytest.approx([0, 0, 10_000 / worth[2], 5000 / worth[3], 7000 / worth[4]])
    assert exposures["held"].to_list() == [0, 0, 1, 2, 2, 1, 1, 1, 1]
    assert result.positions.select("asset", "bar", "stamp", "position", "change").rows() == [
        ("A0", 2, DAYS[2], 100.0, 100.0), ("A1", 3, DAYS[3], -50.0, -50.0), ("A0", 5, DAYS[5], 0.0, -100.0),
    ]  # fmt: skip


def test_two_fills_of_a_bar_are_one_change_of_position() -> None:
    orders = Orders.build([1, 3], [0, 0], ["long_entry", "short_entry"], quantity=100)
    found = run(flat_bars(), orders, config()).positions
    assert found.select("bar", "position", "change").rows() == [(2, 100.0, 100.0), (4, -100.0, -200.0)]


def test_returns_and_exposures_of_an_account_of_five_cents() -> None:
    bars = flat_bars({3: (100, 110, 100, 110)})
    result = run(bars, Orders.build([1], [0], ["long_entry"], quantity=0.0002), config(initial_cash=0.05))
    # Two cents at 100, of five; at 110 they are 2.2 of 5.2.
    assert result.exposures["gross"].to_list()[2:4] == pytest.approx([0.4, 0.022 / 0.052])
    assert result.exposures["net"].to_list()[2:4] == pytest.approx([0.4, 0.022 / 0.052])
    assert result.equity["return"].to_list()[2:5] == pytest.approx([0.0, 0.04, 0.05 / 0.052 - 1.0])


def test_an_account_without_equity_has_no_exposure_and_no_return_after_it() -> None:
    """A thousand sold at 100 and marked at 200: nothing is left on bar 3, and less than nothing on bar 4."""
    bars = flat_bars({3: (100, 200, 100, 200), 4: (210, 210, 210, 210)})
    result = run(bars, Orders.build([1], [0], ["short_entry"], quantity=1000), config())
    assert result.equity["equity"].to_list()[2:5] == [CASH, 0.0, -10_000.0]
    assert result.equity["return"].to_list()[2:6] == [0.0, -1.0, None, None]
    assert result.equity["drawdown"].to_list()[3:5] == pytest.approx([1.0, 1.1])
    for name in ("gross", "net"):
        assert result.exposures[name].to_list()[3:5] == [None, None]


def test_the_log_of_the_layers_and_of_the_switches() -> None:
    bars = flat_bars({3: (100, 100, 80, 80)}, assets=2)
    orders = Orders.build([1, 1], [0, 1], "long_entry", quantity=[400, 900])
    result = run(bars, orders, config(symbol_limit=0.5, kill_drawdown=0.05))
    assert result.clips.with_columns(pl.col("layer").cast(pl.String)).rows() == [(2, DAYS[2], "A1", "symbol", 0.9, 0.5)]
    # 400 units lose 20 each: 8,000 of 100,000.
    ((bar, stamp, switch, value, bound),) = result.trips.rows()
    assert (bar, stamp, switch, bound) == (3, DAYS[3], "drawdown", 0.05)
    assert value == pytest.approx(0.08)
    nothing = run(bars, orders, config())
    assert nothing.clips.is_empty()
    assert nothing.trips.is_empty()


@pytest.mark.parametrize(
    ("units", "lot", "whole"),
    [("fractional", [1.0, 0.0], [False, False]), ("whole", [0.0, 0.0], [True, True]),
     ("lot", [0.05, 0.0], [True, False]), ("lot", None, [False, False])],
)  # fmt: skip
def test_which_assets_trade_in_whole_lots(units: str, lot: Any, whole: list[bool]) -> None:
    bars = flat_bars(assets=2, lot=None if lot is None else np.array(lot))
    result = run(bars, Orders.build([1], [0], "long_entry", quantity=10), config(units=units))
    assert result.whole.tolist() == whole
    assert result.fills["quantity"].to_list() == [10.0]
