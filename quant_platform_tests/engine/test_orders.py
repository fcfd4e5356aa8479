"""What each kind of order does, on hand-made bars whose right answer is obvious.

Decided at the close of bar 1 unless said, 100 units, flat bars of 100/101/99/100; fills as (bar, quantity, price).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quant_platform.engine.backtest import run
from quant_platform.engine.bars import Event
from quant_platform.engine.config import Costs, Sizing
from quant_platform.engine.decisions import ExitRule, Orders, Signals, Weights
from quant_platform_tests.engine.cases import CASH, MISSING, config, flat_bars, shown

LONG, SHORT = "long_entry", "short_entry"


def fills(
    over: dict[int, Any], action: str = LONG, settings: dict[str, Any] | None = None, **order: Any
) -> list[tuple[int, float, float]]:
    orders = Orders.build([1], [0], [action], **{"quantity": 100, **order})
    return shown(run(flat_bars(over), orders, config(**(settings or {}))))[1:]


@pytest.mark.parametrize(
    ("over", "order", "left"),
    [
        ({3: (100, 101, 96, 98)}, {"stop": 0.03}, [(3, -100, 97.0)]),
        ({3: (100, 101, 97, 98)}, {"stop": 0.03}, [(3, -100, 97.0)]),
        ({3: (100, 101, 97.01, 98)}, {"stop": 0.03}, []),
        ({3: (95, 96, 94, 95)}, {"stop": 0.03}, [(3, -100, 95.0)]),
        ({3: (97, 98, 96, 97)}, {"stop": 0.03}, [(3, -100, 97.0)]),
        ({3: (100, 106, 99, 104)}, {"target": 0.05}, [(3, -100, 105.0)]),
        ({3: (100, 105, 99, 104)}, {"target": 0.05}, [(3, -100, 105.0)]),
        ({3: (107, 108, 106, 107)}, {"target": 0.05}, [(3, -100, 107.0)]),
        ({3: (100, 106, 96, 100)}, {"stop": 0.03, "target": 0.05}, [(3, -100, 97.0)]),
        # Open beyond the target while the bar also holds the stop: the open came first.
        ({3: (107, 108, 96, 100)}, {"stop": 0.03, "target": 0.05}, [(3, -100, 107.0)]),
        ({2: (100, 101, 96, 100)}, {"stop": 0.03}, []),
        ({3: (100, 101, 98, 98.5), 4: (98, 99, 97, 98)}, {"stop": 0.03, "stop_price": 98.2}, [(3, -100, 98.2)]),
        ({3: (100, 104, 99, 100)}, {"target": 0.05, "target_price": 103.0}, [(3, -100, 103.0)]),
    ],
)  # fmt: skip
def test_stop_and_target_of_a_long_position(over: Any, order: Any, left: Any) -> None:
    assert fills(over, **order) == left


@pytest.mark.parametrize(
    ("over", "order", "left"),
    [
        ({3: (100, 104, 99, 102)}, {"stop": 0.03}, [(3, 100, 103.0)]),
        ({3: (106, 107, 105, 106)}, {"stop": 0.03}, [(3, 100, 106.0)]),
        ({3: (100, 101, 94, 96)}, {"target": 0.05}, [(3, 100, 95.0)]),
        ({3: (100, 104, 94, 100)}, {"stop": 0.03, "target": 0.05}, [(3, 100, 103.0)]),
        ({3: (100, 100.5, 89, 90), 4: (91, 97, 91, 95)}, {"trail": 0.04}, [(4, 100, 92.56)]),
        ({3: (100, 101.5, 99, 100)}, {"stop_price": 101.5}, [(3, 100, 101.5)]),
        ({3: (100, 101, 98, 99)}, {"target_price": 98.5}, [(3, 100, 98.5)]),
    ],
)
def test_a_short_position_is_the_mirror_image(over: Any, order: Any, left: Any) -> None:
    assert fills(over, SHORT, **order) == left


@pytest.mark.parametrize(
    ("settings", "left"),
    [({}, []), ({"exits_from": "entry_bar"}, [(2, -100, 97.0)])],
)
def test_levels_stand_from_the_bar_after_the_entry_unless_said(settings: Any, left: Any) -> None:
    assert fills({2: (100, 101, 96, 100)}, settings=settings, stop=0.03) == left


@pytest.mark.parametrize(
    ("settings", "over", "left"),
    [
        ({}, {3: (101, 110, 100.5, 108), 4: (107, 108, 105, 106)}, [(4, -100, 105.6)]),
        # A bar's own high moves the level for the next bar only.
        ({}, {3: (100, 110, 100, 104), 4: (106, 107, 105.7, 106)}, [(5, -100, 100.0)]),
        ({}, {2: (100, 108, 100, 104), 3: (105, 106, 103, 104)}, [(3, -100, 103.68)]),
        ({"trail_counts_entry_bar": False},
         {2: (100, 108, 100, 104), 3: (104, 105, 100.5, 101), 4: (100, 101, 100, 100)}, [(4, -100, 100.0)]),
        ({}, {3: (101, 110, 100.5, 108), 4: (104, 106, 104, 105)}, [(4, -100, 104.0)]),
    ],
)  # fmt: skip
def test_a_trailing_stop_follows_the_extreme_of_completed_bars(settings: Any, over: Any, left: Any) -> None:
    assert fills(over, settings=settings, trail=0.04) == left


def test_a_time_exit_leaves_at_the_open_after_its_horizon_or_at_its_last_close() -> None:
    over = {4: (100, 101, 99, 100.5), 5: (102, 103, 101, 102)}
    assert fills(over, time_bars=3) == [(5, -100, 102.0)]
    assert fills(over, time_bars=3, time_at_close=True) == [(4, -100, 100.5)]
    assert fills({}, time_bars=1) == [(3, -100, 100.0)]
    assert fills({}, time_bars=1, time_at_close=True) == [(2, -100, 100.0)]


def test_a_deferred_exit_leaves_at_the_open_before_any_stop() -> None:
    orders = Orders.build([1, 3], [0, 0], [LONG, "long_exit"], quantity=100, stop=0.03)
    bars = flat_bars({4: (99, 100, 95, 96)})
    assert shown(run(bars, orders, config())) == [(2, 100, 100), (4, -100, 99.0)]


def test_levels_compared_with_closes_leave_at_the_next_open() -> None:
    over = {3: (100, 101, 96, 98), 4: (98, 99, 95, 96.5), 5: (96, 97, 95, 96)}
    assert fills(over, stop=0.03, trigger_at_close=True) == [(5, -100, 96.0)]
    over = {3: (100, 106, 99, 104), 4: (106, 107, 104, 105), 5: (106.5, 107, 106, 106)}
    assert fills(over, target=0.05, trigger_at_close=True) == [(5, -100, 106.5)]
    # The close of the entry bar counts: it comes after the entry.
    assert fills({2: (100, 101, 96, 97)}, stop=0.03, trigger_at_close=True) == [(3, -100, 100.0)]


@pytest.mark.parametrize(
    ("order", "count"),
    [
        ({"stop_price": 100.0}, 1),
        ({"stop_price": 99.9}, 0),
        ({"target_price": 100.0}, 1),
        ({"target_price": 100.1}, 0),
        ({"target_price": 99.0, "drop_passed_target": True}, 0),
        ({"stop_price": 101.0, "drop_passed_target": True}, 1),
    ],
)
def test_an_order_whose_levels_the_open_has_passed_is_void(order: Any, count: int) -> None:
    result = run(flat_bars(), Orders.build([1], [0], [LONG], quantity=100, **order), config())
    assert result.counts["void"] == count
    assert (result.fills.height == 0) == bool(count)


def test_a_dropped_target_does_nothing_later() -> None:
    assert fills({3: (100, 110, 99, 100)}, target_price=99.0, drop_passed_target=True) == []


def test_a_reversal_closes_and_opens_at_one_open() -> None:
    orders = Orders.build([1, 4], [0, 0], [LONG, SHORT], quantity=100)
    result = run(flat_bars({5: (102, 103, 101, 102)}), orders, config())
    assert shown(result) == [(2, 100, 100), (5, -100, 102), (5, -100, 102)]
    assert result.fills["reason"].cast(str).to_list() == ["entry", "reversal", "entry"]


def test_signals_mean_what_the_position_makes_of_them() -> None:
    t = np.zeros((9, 1), dtype=bool)
    enters, leaves = t.copy(), t.copy()
    enters[[1, 2, 4], 0] = True
    leaves[[2, 3, 4], 0] = True
    signals = Signals(long_entry=enters, long_exit=leaves, quantity=np.full((9, 1), 10.0))
    # 2 holds both while long: the exit wins. 3 finds nothing to leave. 4 holds both while flat: the entry.
    result = run(flat_bars(), signals, config())
    assert shown(result) == [(2, 10, 100), (3, -10, 100), (5, 10, 100)]
    assert result.counts["ignored"] == 1


def test_both_entries_at_once_are_neither_and_counted() -> None:
    t = np.zeros((9, 1), dtype=bool)
    t[1, 0] = True
    result = run(flat_bars(), Signals(long_entry=t, short_entry=t), config())
    assert result.fills.is_empty()
    assert result.counts["conflicting"] == 1


def test_a_short_entry_without_permission_is_refused_and_closes_nothing() -> None:
    orders = Orders.build([1, 3], [0, 0], [LONG, SHORT], quantity=100)
    result = run(flat_bars(), orders, config(allow_short=False))
    assert shown(result) == [(2, 100, 100)]
    assert result.counts["short_refused"] == 1


def test_a_sale_without_permission_to_be_short_sells_what_is_held() -> None:
    orders = Orders.build([1, 3], [0, 0], "trade", quantity=[100, -150])
    result = run(flat_bars(), orders, config(allow_short=False))
    assert shown(result) == [(2, 100, 100), (4, -100, 100)]
    assert result.counts["short_refused"] == 1


def test_a_trade_through_zero_reduces_and_then_opens() -> None:
    orders = Orders.build([1, 3], [0, 0], "trade", quantity=[100, -150])
    result = run(flat_bars(), orders, config())
    assert shown(result) == [(2, 100, 100), (4, -100, 100), (4, -50, 100)]
    assert result.trades["quantity"].to_list() == [100, 50]


def test_a_sale_decided_before_a_stop_opens_no_short_after_it() -> None:
    orders = Orders.build([1, 3], [0, 0], [LONG, "trade"], quantity=[100, -100], stop=[0.03, np.nan])
    result = run(flat_bars({4: (90, 91, 89, 90)}), orders, config())
    assert shown(result) == [(2, 100, 100), (4, -100, 90.0)]
    assert result.counts["cancelled"] == 1


def test_pyramiding_moves_the_base_of_a_stop_to_the_average_price() -> None:
    orders = Orders.build([1, 2], [0, 0], [LONG, LONG], quantity=100, stop=0.03)
    over = {3: (110, 111, 106, 107), 4: (103, 104, 101.8, 102)}
    result = run(flat_bars(over), orders, config(accumulate=True))
    assert shown(result) == [(2, 100, 100), (3, 100, 110), (4, -200, 101.85)]
    assert run(flat_bars(over), orders, config()).counts["ignored"] == 1


def test_a_signal_on_the_last_bar_fills_nothing_and_is_counted() -> None:
    orders = Orders.build([8], [0], [LONG], quantity=100)
    result = run(flat_bars(), orders, config())
    assert result.fills.is_empty()
    assert result.counts["unfilled_at_end"] == 1
    assert shown(run(flat_bars(), orders, config(fill="same_close"))) == [(8, 100, 100)]


def test_the_same_close_fills_at_the_close_of_the_decision() -> None:
    orders = Orders.build([1, 3], [0, 0], [LONG, "long_exit"], quantity=100)
    bars = flat_bars({1: (100, 103, 99, 102), 3: (100, 105, 99, 104)})
    assert shown(run(bars, orders, config(fill="same_close"))) == [(1, 100, 102), (3, -100, 104)]
    timed = Orders.build([1], [0], [LONG], quantity=100, time_bars=2)
    assert shown(run(bars, timed, config(fill="same_close"))) == [(1, 100, 102), (3, -100, 104)]


@pytest.mark.parametrize("halt", ["missing", "zero volume"])
def test_a_halted_bar_fills_nothing_and_is_marked_at_the_last_close(halt: str) -> None:
    volume = np.full((9, 1), 1000.0)
    over: dict[int, Any] = {3: (102, 103, 101, 102)}
    if halt == "missing":
        over[2] = MISSING
    else:
        volume[2] = 0.0
    result = run(flat_bars(over, volume=volume), Orders.build([1], [0], [LONG], quantity=100), config())
    assert shown(result) == [(3, 100, 102)]
    assert result.counts["waited_for_a_halt"] == 1
    stopped = {3: (95, 96, 94, 95) if halt == "zero volume" else MISSING, 4: (96, 97, 95, 96)}
    volume[2], volume[3] = 1000.0, 0.0
    bars = flat_bars(stopped, volume=volume)
    result = run(bars, Orders.build([1], [0], [LONG], quantity=100, stop=0.03), config())
    assert shown(result) == [(2, 100, 100), (4, -100, 96)]
    assert result.equity["equity"][3] == CASH


def test_zero_volume_fills_where_that_is_said_to_be_no_halt() -> None:
    bars = flat_bars(volume=np.zeros((9, 1)))
    order = Orders.build([1], [0], [LONG], quantity=100)
    assert run(bars, order, config()).fills.is_empty()
    assert shown(run(bars, order, config(zero_volume_halts=False))) == [(2, 100, 100)]


def test_participation_fills_over_several_bars() -> None:
    over = {2: (102, 103, 101, 102), 3: (103, 104, 102, 103), 4: (104, 105, 103, 104)}
    bars = flat_bars(over, volume=np.full((9, 1), 400.0))
    result = run(bars, Orders.build([1], [0], [LONG], quantity=100), config(participation=0.1))
    assert shown(result) == [(2, 40, 102), (3, 40, 103), (4, 20, 104)]
    assert result.counts["partly_filled"] == 2


def test_two_orders_of_one_asset_share_the_volume_of_a_bar() -> None:
    bars = flat_bars(volume=np.full((9, 1), 400.0))
    orders = Orders.build([1, 1], [0, 0], "trade", quantity=[30, 30])
    assert shown(run(bars, orders, config(participation=0.1))) == [(2, 30, 100), (2, 10, 100), (3, 20, 100)]


def test_the_rest_of_a_triggered_stop_goes_to_market_and_of_a_target_waits_at_its_price() -> None:
    volume = np.full((9, 1), 2000.0)
    volume[4:] = 400.0
    over: dict[int, Any] = {4: (100, 101, 96, 98), 5: (98, 99, 97.5, 98), 6: (102, 103, 101, 102)}
    bars = flat_bars(over, volume=volume)
    order = Orders.build([1], [0], [LONG], quantity=100, stop=0.03)
    result = shown(run(bars, order, config(participation=0.1)))
    assert result == [(2, 100, 100), (4, -40, 97), (5, -40, 98), (6, -20, 102)]
    over = {4: (100, 106, 100, 104), 6: (100, 106, 99, 104)}
    order = Orders.build([1], [0], [LONG], quantity=100, target=0.05)
    result = shown(run(flat_bars(over, volume=volume), order, config(participation=0.1)))
    assert result == [(2, 100, 100), (4, -40, 105), (6, -40, 105)]


def test_an_unknown_volume_is_no_volume_under_a_limit_and_counted() -> None:
    order = Orders.build([1], [0], [LONG], quantity=100)
    result = run(flat_bars(), order, config(participation=0.1))
    assert result.fills.is_empty()
    assert result.counts["unknown_volume"] == 7


def test_a_split_keeps_value_levels_and_waiting_orders() -> None:
    halves = dict.fromkeys(range(4, 9), (50, 50.5, 49.5, 50))
    over = {**halves, 6: (50, 50.5, 48, 49)}
    bars = flat_bars(over, splits=(Event(4, 0, 2.0),))
    result = run(bars, Orders.build([1], [0], [LONG], quantity=100, stop=0.03), config())
    assert shown(result) == [(2, 100, 100), (6, -200, 48.5)]
    assert result.equity["equity"].to_list()[2:6] == [CASH] * 4
    assert result.trades["net_pnl"].to_list() == [-300.0]


@pytest.mark.parametrize(
    ("ratio", "ordered", "filled"),
    [(2.0, 3.0, 6.0), (0.5, 10.0, 5.0), (0.5, 5.0, 2.0), (1.5, 3.0, 4.0), (3.0, 1.0, 3.0)],
)
def test_an_order_that_waits_through_a_split_keeps_its_whole_lots(ratio: float, ordered: float, filled: float) -> None:
    """It was decided on bar 1, bar 2 does not trade, and the units change before the open of bar 3."""
    bars = flat_bars({2: MISSING}, splits=(Event(3, 0, ratio),))
    result = run(bars, Orders.build([1], [0], [LONG], quantity=ordered), config(units="whole"))
    assert shown(result) == [(3, filled, 100)]


def test_a_part_of_a_lot_after_a_split_is_paid_out() -> None:
    over = dict.fromkeys(range(4, 9), (66.0, 67.0, 65.0, 66.0))
    bars = flat_bars(over, splits=(Event(4, 0, 1.5),))
    result = run(bars, Orders.build([1], [0], [LONG], quantity=101), config(units="whole"))
    assert result.positions["position"].to_list() == [101]
    assert result.equity["cash"][8] == pytest.approx(CASH - 10_100 + 0.5 * 100 / 1.5)
    assert result.equity["equity"][8] == pytest.approx(CASH - 10_100 + 0.5 * 100 / 1.5 + 151 * 66.0)


@pytest.mark.parametrize(("action", "sign"), [(LONG, 1.0), (SHORT, -1.0)])
def test_a_dividend_is_paid_on_its_ex_day_to_who_held_before_its_open(action: str, sign: float) -> None:
    bars = flat_bars(dividends=(Event(2, 0, 7.0), Event(4, 0, 1.5)))
    result = run(bars, Orders.build([1], [0], [action], quantity=100), config())
    assert result.equity["equity"].to_list() == [CASH] * 4 + [CASH + sign * 150] * 5
    assert result.trades["dividends"].to_list() == [sign * 150]


@pytest.mark.parametrize(
    ("action", "value", "costs", "paid"),
    [(LONG, 0.001, {}, 10.0), (SHORT, 0.001, {}, -10.0), (LONG, -0.002, {}, -20.0),
     (LONG, np.nan, {}, 10.0), (SHORT, np.nan, {"unknown_funding": 0.005}, 50.0)],
)  # fmt: skip
def test_funding_is_paid_at_its_settlement_and_dear_where_unknown(
    action: str, value: float, costs: Any, paid: float
) -> None:
    bars = flat_bars(funding=(Event(2, 0, 0.5), Event(4, 0, value)))
    settings = config(costs=Costs(commission_rate=0.0, half_spread=0.0, **costs))
    result = run(bars, Orders.build([1], [0], [action], quantity=100), settings)
    assert result.equity["equity"].to_list() == [CASH] * 4 + [pytest.approx(CASH - paid)] * 5
    assert result.totals["funding"] == pytest.approx(paid)
    assert result.counts["unknown_funding"] == int(np.isnan(value))


@pytest.mark.parametrize(
    ("action", "recovery", "price", "unknown"),
    [
        (LONG, 0.3, 30.0, 0),
        (SHORT, 0.3, 30.0, 0),
        (LONG, np.nan, 0.0, 1),
        (SHORT, np.nan, 100.0, 1),
        (LONG, 0.0, 0.0, 0),
    ],
)
def test_a_delisting_closes_at_its_recovery_without_costs(
    action: str, recovery: float, price: float, unknown: int
) -> None:
    bars = flat_bars(dict.fromkeys(range(5, 9), MISSING), delistings=(Event(5, 0, recovery),))
    settings = config(costs=Costs(commission_rate=0.0, half_spread=0.0, per_order=2.5))
    orders = Orders.build([1, 6], [0, 0], [action, action], quantity=100)
    result = run(bars, orders, settings)
    sign = 1 if action == LONG else -1
    assert shown(result) == [(2, 100 * sign, 100), (5, -100 * sign, price)]
    assert result.counts["unknown_recovery"] == unknown
    assert result.fills["commission"].to_list() == [2.5, 0.0]
    assert result.fills["reason"].cast(str).to_list()[1] == "delisted"


def test_a_waiting_order_dies_with_its_asset() -> None:
    over = dict.fromkeys(range(2, 9), MISSING)
    bars = flat_bars(over, delistings=(Event(4, 0, 1.0),))
    result = run(bars, Orders.build([1], [0], [LONG], quantity=100), config())
    assert result.counts["cancelled"] == 1
    assert result.counts["unfilled_at_end"] == 0


def test_an_exit_calls_back_an_entry_that_still_waits() -> None:
    over = {2: MISSING, 3: MISSING}
    orders = Orders.build([1, 2], [0, 0], [LONG, "long_exit"], quantity=100)
    result = run(flat_bars(over), orders, config())
    assert result.fills.is_empty()
    assert result.counts["cancelled"] == 1


def test_a_ruined_account_leaves_and_opens_nothing_more() -> None:
    over = {3: (100, 101, 99, 100), 4: (220, 221, 219, 220), 5: (210, 211, 209, 210)}
    orders = Orders.build([1, 5], [0, 0], [SHORT, LONG], quantity=[1000, 1])
    result = run(flat_bars(over), orders, config())
    assert shown(result) == [(2, -1000, 100), (5, 1000, 210)]
    assert result.fills["reason"].cast(str).to_list()[1] == "ruin"
    assert result.counts["cancelled"] == 1


def test_weights_hold_exactly_the_names_they_name() -> None:
    rng = np.random.default_rng(3)
    bars = flat_bars(sessions=60, assets=100)
    rows = np.arange(5, 55)
    weights = np.zeros((rows.size, 100))
    for k in range(rows.size):
        weights[k, rng.choice(100, 20, replace=False)] = 0.98 / 20
    result = run(bars, Weights(rows, weights), config(costs=Costs(commission_rate=0.001, half_spread=0.0)))
    assert result.exposures["held"].to_list() == [0] * 6 + [20] * 54


def test_a_rebalance_leaves_alone_what_is_within_tolerance_and_closes_what_is_zero() -> None:
    weights = np.array([[0.5, 0.4996, 0.0005], [0.5004, 0.0, 0.0011]])
    bars = flat_bars(assets=3)
    result = run(bars, Weights([1, 3], weights), config(tolerance=0.001))
    assert result.fills.select("bar", "asset").rows() == [(2, "A0"), (2, "A1"), (4, "A1"), (4, "A2")]
    assert result.counts["within_tolerance"] == 2
    assert run(bars, Weights([1, 3], weights), config(tolerance=0.0)).fills.height == 6


def test_weights_missing_leave_a_position_and_the_buffer_stays_in_cash() -> None:
    weights = np.array([[0.5, 0.5], [np.nan, 0.25]])
    result = run(flat_bars(assets=2), Weights([1, 3], weights), config(cash_buffer=0.02))
    assert result.equity["cash"].to_list()[2] == pytest.approx(0.02 * CASH)
    assert result.fills["quantity"].to_list() == [490, 490, -245]


def test_sales_of_a_rebalance_pay_for_its_purchases() -> None:
    weights = np.array([[0.0, 1.0], [1.0, 0.0]])
    result = run(flat_bars(assets=2), Weights([1, 3], weights), config(leverage=1.0))
    assert shown(result) == [(2, 1000, 100), (4, -1000, 100), (4, 1000, 100)]
    assert result.counts["cut_to_cash"] == 0


@pytest.mark.parametrize(
    ("sizing", "units"),
    [
        (Sizing("units", 12.5), 12.5),
        (Sizing("cash_amount", 5100.0), 50.0),
        (Sizing("cash_amount", 5100.0, "fill"), 51.0),
        (Sizing("cash_fraction", 0.102), 100.0),
        (Sizing("equity_fraction", 0.102), 100.0),
        (Sizing("equity_fraction", 0.102, "fill"), 102.0),
        (Sizing("risk_fraction", 0.0102), 200.0),
    ],
)
def test_sizing(sizing: Sizing, units: float) -> None:
    bars = flat_bars({1: (102, 103, 101, 102)})
    result = run(bars, Orders.build([1], [0], [LONG], stop=0.05), config(sizing=sizing))
    assert result.fills["quantity"][0] == pytest.approx(units)


def test_risk_is_the_way_to_the_nearest_stop() -> None:
    sizing = config(sizing=Sizing("risk_fraction", 0.01))
    for order, units in (({"stop_price": 96.0}, 250.0), ({"stop_price": 96.0, "stop": 0.02}, 500.0),
                         ({"trail": 0.01}, 1000.0)):  # fmt: skip
        assert run(flat_bars(), Orders.build([1], [0], [LONG], **order), sizing).fills["quantity"][0] == units
    short = run(flat_bars(), Orders.build([1], [0], [SHORT], stop_price=104.0), sizing)
    assert short.fills["quantity"][0] == -250.0


@pytest.mark.parametrize(
    ("settings", "wanted", "bought", "count"),
    [
        ({"leverage": 1.0}, 1001, 1000, "cut_to_exposure"),
        ({"leverage": 1.0, "short_of_cash": "refuse"}, 1001, None, "refused"),
        ({"leverage": 2.0}, 2500, 2000, "cut_to_exposure"),
        ({"leverage": 0.5}, 1000, 500, "cut_to_exposure"),
        ({"leverage": 1.0, "costs": Costs(commission_rate=0.001, half_spread=0.0), "units": "whole"}, 1000, 999,
         "cut_to_cash"),
    ],
)  # fmt: skip
def test_what_cash_or_leverage_do_not_allow_is_cut_or_refused(
    settings: Any, wanted: float, bought: float | None, count: str
) -> None:
    result = run(flat_bars(), Orders.build([1], [0], "trade", quantity=[wanted]), config(**settings))
    assert shown(result) == ([] if bought is None else [(2, bought, 100.0)])
    assert result.counts[count] == 1


def test_lots_are_whole_and_a_division_loses_none() -> None:
    bars = flat_bars(lot=np.array([0.1]))
    for wanted, got in ((0.3, 0.3), (0.7, 0.7), (0.79, 0.7), (12.3456, 12.3), (0.05, None)):
        result = run(bars, Orders.build([1], [0], [LONG], quantity=wanted), config(units="lot"))
        assert result.fills["quantity"].to_list() == ([] if got is None else [got])
    assert result.counts["below_minimum"] == 1


def test_levels_stand_on_ticks_away_from_the_entry() -> None:
    bars = flat_bars({3: (100, 101, 96, 98)}, tick=np.array([0.25]))
    assert shown(run(bars, Orders.build([1], [0], [LONG], quantity=1, stop=0.0301), config()))[1] == (3, -1, 96.75)
    bars = flat_bars({3: (100, 104, 99, 100)}, tick=np.array([0.25]))
    assert shown(run(bars, Orders.build([1], [0], [LONG], quantity=1, target=0.0301), config()))[1] == (3, -1, 103.25)
    assert shown(run(bars, Orders.build([1], [0], [SHORT], quantity=1, stop=0.0301), config()))[1] == (3, 1, 103.25)


def test_an_order_below_the_smallest_notional_is_not_sent_and_a_reduction_always_is() -> None:
    bars = flat_bars(minimum_notional=np.array([500.0]))
    orders = Orders.build([1, 3, 5], [0, 0, 0], "trade", quantity=[4.9, 5.0, -1.0])
    result = run(bars, orders, config())
    assert shown(result) == [(4, 5, 100), (6, -1, 100)]
    assert result.counts["below_minimum"] == 1


def test_exit_rules_of_signals() -> None:
    enters = np.zeros((9, 1), dtype=bool)
    enters[1] = True
    bars = flat_bars({3: (100, 101, 96, 98), 5: (102, 103, 101, 102)})
    for rule, left in (
        (ExitRule(stop=0.03), (3, -1, 97)), (ExitRule(target=0.02), (5, -1, 102)),
        (ExitRule(trail=0.04), (3, -1, 96.96)),
        (ExitRule(time_bars=2), (4, -1, 100)), (ExitRule(time_bars=2, time_at="close"), (3, -1, 98)),
        (ExitRule(stop=0.02, trigger="close"), (4, -1, 100)),
    ):  # fmt: skip
        signals = Signals(long_entry=enters, quantity=np.ones((9, 1)), exits=rule)
        assert shown(run(bars, signals, config()))[1:] == [left]


def test_a_name_whose_bars_end_is_gone_and_its_position_with_it() -> None:
    gone = flat_bars(assets=2)
    prices = {name: getattr(gone, name).copy() for name in ("open", "high", "low", "close")}
    for price in prices.values():
        price[4:, 0] = np.nan
        price[8:, 1] = np.nan
    bars = replace(gone, **prices)
    held = Orders.build([0, 0], [0, 1], "long_entry", quantity=10)
    ended = bars.with_ends(3, {"A0": 0.4})
    # Five bars are missing at the end of the first, one at that of the second, which may come back.
    assert [(event.bar, event.asset, event.value) for event in ended.delistings] == [(4, 0, 0.4)]
    assert shown(run(ended, held, config())) == [(1, 10, 100), (1, 10, 100), (4, -10, 40)]
    unknown = run(bars.with_ends(3), held, config(costs=replace(Costs.zero(), unknown_recovery=0.7)))
    assert shown(unknown)[-1] == (4, -10, 70)
    assert unknown.counts["unknown_recovery"] == 1
    assert ended.with_ends(3).delistings == ended.delistings
