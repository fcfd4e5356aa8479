"""Bad input: one clear error each, with the rows and what to do."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.engine.backtest import run
from quant_platform.engine.bars import Bars, Event
from quant_platform.engine.config import BacktestInvalid, Costs, EngineConfig, Sizing
from quant_platform.engine.decisions import ExitRule, Orders, Signals, Weights
from quant_platform_tests.engine.cases import CASH, DAY, MISSING, config, flat_bars, shown

FRAME = pl.DataFrame(
    {
        "ticker": ["B", "A", "A"],
        "session": [date(2020, 1, 3), date(2020, 1, 2), date(2020, 1, 3)],
        "open": [1.0, 2.0, 3.0],
        "high": [1.5, 2.5, 3.5],
        "low": [0.5, 1.5, 2.5],
        "close": [1.0, 2.0, 3.0],
        "volume": [10.0, None, 30.0],
    }
)


def test_a_long_table_becomes_arrays_with_holes() -> None:
    bars = Bars.from_frame(FRAME)
    assert bars.assets == ("A", "B")
    assert bars.stamps.tolist() == [18263 * DAY, 18264 * DAY]
    np.testing.assert_array_equal(bars.close, [[2.0, np.nan], [3.0, 1.0]])
    np.testing.assert_array_equal(bars.volume, [[np.nan, np.nan], [30.0, 10.0]])
    assert bars.position_of("B") == 1
    missing = FRAME.with_columns(high=pl.when(pl.col("ticker") == "B").then(float("nan")).otherwise(pl.col("high")))
    assert np.isnan(Bars.from_frame(missing).close[:, 1]).all()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME.drop("low"), "have no column 'low'"),
        (pl.concat([FRAME, FRAME.head(1)]), "more than one bar at one time"),
        (FRAME.with_columns(open=pl.lit(0.0), low=pl.lit(0.0)), "zero, negative or infinite"),
        (FRAME.with_columns(close=pl.lit(-1.0)), "zero, negative or infinite"),
        (FRAME.with_columns(high=pl.lit(1.6)), "a high is below, or a low above"),
        (FRAME.with_columns(volume=pl.lit(-1.0)), "a volume is negative"),
        (FRAME.with_columns(session=pl.lit("01/02/2020")), "holds String, not dates"),
        (FRAME.with_columns(session=pl.lit(20200102)), "holds Int32, not dates"),
        (FRAME.with_columns(close=pl.lit("1.0$")), r"no numbers: close \(String\)"),
        (FRAME.with_columns(ticker=pl.lit(None, pl.String)), "no ticker or no session"),
    ],
)
def test_tables_of_bars_that_cannot_be_traded_on(frame: pl.DataFrame, message: str) -> None:
    with pytest.raises(BacktestInvalid, match=message):
        Bars.from_frame(frame)


def test_names_may_be_numbers() -> None:
    numbered = FRAME.with_columns(ticker=pl.col("ticker").replace_strict({"A": 10107, "B": 9}))
    # As texts they are sorted as texts are.
    bars = Bars.from_frame(numbered)
    assert bars.assets == ("10107", "9")
    np.testing.assert_array_equal(bars.close, [[2.0, np.nan], [3.0, 1.0]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stamps": DAY * np.array([0, 1, 2, 2, 4, 5, 6, 7, 8])}, "stamps do not ascend"),
        ({"stamps": DAY * np.array([0, 2, 1, 3, 4, 5, 6, 7, 8])}, "1 of 9 bars"),
        ({"assets": ("A", "A")}, "each once"),
        ({"assets": ()}, "each once"),
        ({"open": np.ones((9, 2))}, r"open has shape \(9, 2\), \(9, 1\) is needed"),
        ({"lot": np.array([-1.0])}, "lot holds a number below zero"),
        ({"tick": np.array([np.nan])}, "tick holds a number below zero"),
        ({"splits": (Event(3, 0, 0.0),)}, "lies outside the bars or has no value"),
        ({"splits": (Event(3, 0, np.nan),)}, "lies outside"),
        ({"dividends": (Event(9, 0, 1.0),)}, "lies outside"),
        ({"dividends": (Event(3, 1, 1.0),)}, "lies outside"),
        ({"dividends": (Event(3, 0, -1.0),)}, "lies outside"),
        ({"delistings": (Event(-1, 0, 1.0),)}, "lies outside"),
        ({"funding": (Event(3, 0, np.inf),)}, "lies outside"),
    ],
)
def test_arrays_of_bars_that_cannot_be_traded_on(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BacktestInvalid, match=message):
        replace(flat_bars(), **change)


def test_bars_without_a_row_or_with_part_of_one() -> None:
    empty = np.empty((0, 1))
    with pytest.raises(BacktestInvalid, match="there is no bar"):
        Bars(("A",), np.empty(0, dtype=np.int64), empty, empty, empty, empty)
    with pytest.raises(BacktestInvalid, match="some of its prices and not others") as error:
        flat_bars({3: (100, 101, np.nan, 100)})
    (row,) = error.value.rows
    assert (row["asset"], row["stamp"], row["open"]) == ("A0", "1970-01-04T00:00:00", 100.0)
    assert np.isnan(row["low"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Signals(), "shapes"),
        (lambda: Signals(long_entry=np.zeros((9, 1))), "float64 with 2 dimensions"),
        (lambda: Signals(long_entry=np.zeros(9, dtype=bool)), "1 dimensions"),
        (lambda: Signals(long_entry=np.zeros((9, 1), bool), long_exit=np.zeros((8, 1), bool)), "one is needed"),
        (lambda: Signals(long_entry=np.zeros((9, 1), bool), quantity=np.zeros((9, 1))), "not positive"),
        (lambda: ExitRule(stop=0.0), "stop was 0"),
        (lambda: ExitRule(target=-1.0), "target was -1"),
        (lambda: ExitRule(trail=np.inf), "trail was inf"),
        (lambda: ExitRule(time_bars=0), "time_bars was 0"),
        (lambda: Weights([1, 1], np.zeros((2, 1))), "do not ascend"),
        (lambda: Weights([1], np.zeros((2, 1))), "weights of shape"),
        (lambda: Weights([1], [[np.inf]]), "infinite"),
        (lambda: Orders.build([1], [0], ["buy"]), "there is no action 'buy'"),
        (lambda: Orders.build([1], [0], "trade"), "a trade states no quantity"),
        (lambda: Orders.build([1], [0], "trade", quantity=0.0), "a trade states no quantity"),
        (lambda: Orders.build([1], [0], "long_entry", quantity=-1.0), "quantity of a signal is not positive"),
        (lambda: Orders.build([1], [0], "long_entry", stop=0.0), "a level is not positive"),
        (lambda: Orders.build([1], [0], "long_entry", target_price=np.inf), "a level is not positive"),
        (lambda: Orders.build([1], [0], "long_entry", time_bars=-1), "time_bars is negative"),
        (lambda: Orders(np.zeros((1, 2)), np.zeros((1, 5), dtype=np.int64)), "orders have shapes"),
        (lambda: Sizing(value=0.0), "value was 0"),
    ],
)  # fmt: skip
def test_decisions_that_contradict_themselves(make: Any, message: str) -> None:
    with pytest.raises(BacktestInvalid, match=message):
        make()


def test_orders_out_of_order_are_refused_and_those_built_are_sorted() -> None:
    orders = Orders.build([3, 1, 3], [0, 0, 0], ["long_exit", "long_entry", "short_entry"])
    assert orders.places[:, 0].tolist() == [1, 3, 3]
    with pytest.raises(BacktestInvalid, match="not sorted"):
        Orders(orders.numbers, orders.places[::-1])


@pytest.mark.parametrize(
    ("decisions", "message"),
    [
        (Orders.build([9], [0], "long_entry"), "outside the bars"),
        (Orders.build([-1], [0], "long_entry"), "outside the bars"),
        (Orders.build([1], [1], "long_entry"), "outside the bars"),
        (Signals(long_entry=np.zeros((9, 2), bool)), r"signals of shape \(9, 2\)"),
        (Weights([9], [[1.0]]), "outside the bars"),
        (Weights([1], [[1.0, 0.0]]), "weights of 2 assets for bars of 1"),
    ],
)
def test_decisions_that_do_not_fit_the_bars(decisions: Any, message: str) -> None:
    with pytest.raises(BacktestInvalid, match=message):
        run(flat_bars(), decisions, config())


def test_sizing_by_risk_needs_a_stop() -> None:
    risky = config(sizing=Sizing("risk_fraction", 0.01))
    orders = Orders.build([1, 2], [0, 0], "long_entry", stop=[0.02, np.nan])
    with pytest.raises(BacktestInvalid, match="needs a stop on every entry") as error:
        run(flat_bars(), orders, risky)
    assert error.value.how_many == "1 of 2 entries"
    run(flat_bars(), Orders.build([1, 2], [0, 0], "long_entry", stop=0.02, quantity=[np.nan, 1.0]), risky)


@pytest.mark.parametrize(
    "change",
    [{"initial_cash": 0.0}, {"initial_cash": np.inf}, {"leverage": 0.0}, {"participation": 0.0}, {"participation": 1.1},
     {"tolerance": 1.0}, {"tolerance": -0.1}, {"cash_buffer": 1.0}, {"periods_per_year": 0.0}],
)  # fmt: skip
def test_configurations_outside_their_range(change: dict[str, Any]) -> None:
    with pytest.raises(BacktestInvalid, match=f"{next(iter(change))} was"):
        config(**change)


def test_defaults_are_those_of_the_page() -> None:
    plain = EngineConfig(costs=config().costs)
    assert EngineConfig(costs=config().costs, leverage=0.05).leverage == 0.05
    assert (plain.fill, plain.exits_from, plain.tolerance, plain.leverage) == ("next_open", "next_bar", 0.001, 1.0)
    assert (plain.initial_cash, plain.periods_per_year, plain.cash_buffer) == (1_000_000.0, 252.0, 0.0)
    assert (plain.short_of_cash, plain.units, plain.participation) == ("cut", "fractional", None)
    assert plain.sizing == Sizing("equity_fraction", 1.0, "decision")
    assert (plain.allow_short, plain.accumulate, plain.zero_volume_halts) == (True, False, True)
    assert plain.trail_counts_entry_bar
    unlimited = (plain.symbol_limit, plain.portfolio_limit, plain.new_exposure_limit)
    assert (*unlimited, plain.kill_drawdown, plain.kill_daily_loss) == (np.inf,) * 5


def test_costs_that_are_not_stated_are_none_and_what_is_unknown_is_not_free() -> None:
    assert asdict(Costs(commission_rate=0.001, half_spread=0.0005)) == {
        "commission_rate": 0.001, "half_spread": 0.0005, "maker_rate": None, "per_unit": 0.0, "per_order": 0.0,
        "minimum": 0.0, "slippage_fixed": 0.0, "slip_targets": False, "volatility_share": 0.0,
        "impact_coefficient": 0.0, "impact_window_bars": 20, "borrow_rate": 0.0, "margin_rate": 0.0,
        "unknown_half_spread": 0.0025, "unknown_impact": 0.005, "unknown_funding": 0.001, "unknown_recovery": 0.0,
    }  # fmt: skip


def test_prices_that_end_with_a_position_open_are_marked_at_the_last_close() -> None:
    bars = flat_bars({3: (100, 105, 99, 104), **dict.fromkeys(range(4, 9), MISSING)})
    result = run(bars, Orders.build([1, 5], [0, 0], ["long_entry", "long_exit"], quantity=100), config())
    assert shown(result) == [(2, 100, 100)]
    assert result.equity["equity"].to_list()[4:] == [CASH + 400] * 5
    trade = result.trades.row(0, named=True)
    assert (trade["exit_bar"], trade["exit_price"], trade["exit_reason"]) == (None, None, "none")
    assert trade["net_pnl"] == 400
    assert result.counts["waited_for_a_halt"] == 3


def test_a_quantity_beyond_the_volume_fills_what_the_limit_allows() -> None:
    bars = flat_bars(volume=np.full((9, 1), 10.0))
    result = run(bars, Orders.build([1], [0], [("long_entry")], quantity=1000), config(participation=1.0))
    assert result.fills["quantity"].to_list() == [10.0] * 7
    assert result.counts["unfilled_at_end"] == 1


def test_tables_grow_when_orders_are_filled_in_many_parts() -> None:
    bars = flat_bars(sessions=400, volume=np.full((400, 1), 10.0))
    result = run(bars, Orders.build([1], [0], [("long_entry")], quantity=1e6), config(participation=0.1))
    assert result.fills.height == 398
