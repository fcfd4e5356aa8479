"""Decisions in their three forms: where each column goes, what its smallest value is, and which rows an error shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quant_platform.engine.config import BacktestInvalid
from quant_platform.engine.decisions import ExitRule, Orders, Signals, Weights

NAN = np.nan


def truths(*rows: tuple[int, int]) -> np.ndarray:
    found = np.zeros((3, 2), dtype=bool)
    for row, column in rows:
        found[row, column] = True
    return found


def test_each_column_of_an_order_has_its_place() -> None:
    found = Orders.build(
        [4], [3], ["short_entry"], quantity=1.0, stop=0.2, target=0.3, trail=0.4, stop_price=5.0, target_price=6.0,
        time_bars=7, trigger_at_close=True, time_at_close=True, drop_passed_target=True,
    )  # fmt: skip
    assert found.numbers.tolist() == [[1.0, 0.2, 0.3, 0.4, 5.0, 6.0]]
    # Bar, asset, the bit of a short entry, bars to hold, all three flags.
    assert found.places.tolist() == [[4, 3, 4, 7, 1 | 2 | 4]]


@pytest.mark.parametrize(
    ("flag", "bit"), [("trigger_at_close", 1), ("time_at_close", 2), ("drop_passed_target", 4), (None, 0)]
)
def test_each_flag_of_an_order_has_its_bit(flag: str | None, bit: int) -> None:
    given: dict[str, Any] = {flag: True} if flag else {}
    found = Orders.build([1], [0], ["long_entry"], **given)
    assert found.places.tolist() == [[1, 0, 1, 0, bit]]
    assert np.isnan(found.numbers).all()


@pytest.mark.parametrize(
    ("action", "bits"), [("long_entry", 1), ("long_exit", 2), ("short_entry", 4), ("short_exit", 8), ("trade", 0)]
)
def test_each_word_has_its_bits(action: str, bits: int) -> None:
    assert Orders.build([1], [0], action, quantity=1.0).places[0, 2] == bits


@pytest.mark.parametrize(
    ("bar", "asset", "action"),
    [([1, 1], 0, "long_entry"), (1, [0, 0], "long_entry"), (1, 0, ["long_entry", "long_exit"])],
)
def test_a_single_value_holds_for_all_rows(bar: Any, asset: Any, action: Any) -> None:
    assert Orders.build(bar, asset, action).places[:, :2].tolist() == [[1, 0], [1, 0]]


def test_orders_are_sorted_by_bar_then_asset_and_otherwise_stay_as_given() -> None:
    found = Orders.build([2, 1, 1, 1], [0, 1, 0, 1], "trade", quantity=[1.0, 2.0, 3.0, 4.0])
    assert found.places[:, :2].tolist() == [[1, 0], [1, 1], [1, 1], [2, 0]]
    assert found.numbers[:, 0].tolist() == [3.0, 2.0, 4.0, 1.0]


@pytest.mark.parametrize(
    ("pairs", "fine"),
    [([(1, 0), (1, 1)], True), ([(1, 1), (1, 0)], False), ([(1, 5), (2, 0)], True), ([(2, 0), (1, 5)], False),
     ([(1, 0), (1, 0)], True), ([(0, 0), (0, 1)], True)],
)  # fmt: skip
def test_rows_that_do_not_ascend_are_refused(pairs: list[tuple[int, int]], fine: bool) -> None:
    places = np.array([[bar, asset, 1, 0, 0] for bar, asset in pairs])
    if fine:
        Orders(np.full((2, 6), NAN), places)
    else:
        with pytest.raises(BacktestInvalid, match="not sorted by bar and asset") as error:
            Orders(np.full((2, 6), NAN), places)
        assert error.value.how_many == "1 of 2 orders"
        bar, asset = pairs[1]
        assert (error.value.rows[0]["order"], error.value.rows[0]["bar"], error.value.rows[0]["asset"]) == (
            1, bar, asset,
        )  # fmt: skip


def test_a_bad_order_is_shown_with_its_bar_asset_and_quantity() -> None:
    with pytest.raises(BacktestInvalid, match="the quantity of a signal is not positive") as error:
        Orders.build([1, 2], [0, 1], "long_entry", quantity=[5.0, -3.0])
    assert error.value.rows == [{"order": 1, "bar": 2, "asset": 1, "quantity": -3.0}]


@pytest.mark.parametrize("quantity", [0.05, -0.05])
def test_numbers_of_an_order_may_be_small(quantity: float) -> None:
    assert Orders.build([1], [0], "trade", quantity=quantity).numbers[0, 0] == quantity
    levels = dict.fromkeys(("stop", "target", "trail", "stop_price", "target_price"), 0.05)
    found = Orders.build([1], [0], "long_entry", quantity=0.05, time_bars=0, **levels)
    assert found.numbers.tolist() == [[0.05] * 6]


@pytest.mark.parametrize("name", ["stop", "target", "trail", "stop_price", "target_price"])
@pytest.mark.parametrize("wrong", [0.0, -0.05, np.inf])
def test_each_level_of_an_order_is_a_positive_number(name: str, wrong: float) -> None:
    with pytest.raises(BacktestInvalid, match="a level is not positive"):
        Orders.build([1], [0], "long_entry", **{name: wrong})


@pytest.mark.parametrize("wrong", [0.0, NAN, np.inf])
def test_a_trade_states_a_finite_quantity(wrong: float) -> None:
    with pytest.raises(BacktestInvalid, match="a trade states no quantity"):
        Orders.build([1], [0], "trade", quantity=wrong)


@pytest.mark.parametrize("shapes", [((1, 5), (1, 5)), ((1, 6), (1, 4)), ((2, 6), (1, 5))])
def test_the_layout_of_orders_has_six_numbers_and_five_places(shapes: Any) -> None:
    with pytest.raises(BacktestInvalid, match="orders have shapes"):
        Orders(np.ones(shapes[0]), np.ones(shapes[1], dtype=np.int64))


def test_no_order_at_all_is_a_list_of_orders() -> None:
    assert Orders(np.empty((0, 6)), np.empty((0, 5), dtype=np.int64)).places.shape == (0, 5)


@pytest.mark.parametrize(
    ("rule", "flags"),
    [(ExitRule(), 0), (ExitRule(trigger="close"), 1), (ExitRule(time_at="close"), 2),
     (ExitRule(trigger="close", time_at="close"), 3)],
)  # fmt: skip
def test_how_a_position_leaves_is_two_bits(rule: ExitRule, flags: int) -> None:
    assert rule.flags == flags


def test_an_exit_rule_may_be_narrow_and_short() -> None:
    rule = ExitRule(stop=0.05, target=0.05, trail=0.05, time_bars=1)
    assert (rule.stop, rule.target, rule.trail, rule.time_bars) == (0.05, 0.05, 0.05, 1)
    with pytest.raises(BacktestInvalid, match="time_bars was 0, at least 1"):
        ExitRule(time_bars=0)


def test_signals_become_one_order_per_bar_and_asset() -> None:
    rule = ExitRule(stop=0.2, target=0.3, trail=0.4, time_bars=6, trigger="close")
    quantity = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 0.05]])
    signals = Signals(
        long_entry=truths((0, 0), (1, 1)), long_exit=truths((1, 1)), short_entry=truths((2, 1)),
        short_exit=truths((0, 0)), quantity=quantity, exits=rule,
    )  # fmt: skip
    found = signals.as_orders()
    assert signals.shape == (3, 2)
    assert found.places.tolist() == [[0, 0, 1 | 8, 6, 1], [1, 1, 1 | 2, 6, 1], [2, 1, 4, 6, 1]]
    assert found.numbers[:, :4].tolist() == [[1.0, 0.2, 0.3, 0.4], [4.0, 0.2, 0.3, 0.4], [0.05, 0.2, 0.3, 0.4]]
    assert np.isnan(found.numbers[:, 4:]).all()


@pytest.mark.parametrize("name", ["long_entry", "long_exit", "short_entry", "short_exit"])
def test_each_signal_alone_is_enough(name: str) -> None:
    found = Signals(**{name: truths((2, 0))}).as_orders()
    assert found.places[0, :2].tolist() == [2, 0]
    assert np.isnan(found.numbers).all()
    assert found.places[0, 3:].tolist() == [0, 0]


def test_a_quantity_without_a_signal_is_no_decision() -> None:
    with pytest.raises(BacktestInvalid, match="none of the four is given"):
        Signals(quantity=np.ones((3, 2)))


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.inf])
def test_a_quantity_of_a_signal_is_positive_and_finite(wrong: float) -> None:
    with pytest.raises(BacktestInvalid, match="a quantity is not positive"):
        Signals(long_entry=truths(), quantity=np.full((3, 2), wrong))
    with pytest.raises(BacktestInvalid, match="one is needed"):
        Signals(long_entry=truths(), quantity=np.ones((2, 2)))


@pytest.mark.parametrize(
    ("bars", "weights", "said"),
    [([1], [0.5], "weights of shape"), ([1], [[[0.5]]], "weights of shape"), ([1, 2], [[0.5]], "weights of shape"),
     ([2, 1], [[0.5], [0.5]], "do not ascend"), ([1, 1], [[0.5], [0.5]], "do not ascend"),
     ([1], [[-np.inf]], "infinite")],
)  # fmt: skip
def test_target_weights_that_contradict_themselves(bars: Any, weights: Any, said: str) -> None:
    with pytest.raises(BacktestInvalid, match=said):
        Weights(bars, weights)


def test_target_weights_of_bars_in_a_row() -> None:
    found = Weights([0, 1], [[0.5, NAN], [-0.5, 0.0]])
    assert found.bars.tolist() == [0, 1]
    np.testing.assert_array_equal(found.weights, [[0.5, NAN], [-0.5, 0.0]])
