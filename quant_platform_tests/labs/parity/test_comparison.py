from __future__ import annotations

import polars as pl

from quant_platform.labs.parity.comparison import compare
from quant_platform.labs.parity.execution import EQUITY, FILLS, TRADES, Execution

TRADE = {
    "asset": "A", "side": "long", "entry_bar": 2, "exit_bar": 5, "quantity": 100.0, "entry_price": 50.0,
    "exit_price": 51.0, "commission": 10.0, "pnl": 90.0,
}  # fmt: skip
FILL = {"bar": 2, "asset": "A", "quantity": 100.0, "price": 50.0, "commission": 5.0}


def execution(*trades: dict, fills: tuple = (FILL,), equity: tuple[float, ...] = (1e4, 1e4), name: str = "x"):
    return Execution(
        framework=name,
        version="1",
        trades=pl.DataFrame(list(trades), schema=TRADES),
        fills=pl.DataFrame(list(fills), schema=FILLS),
        equity=pl.DataFrame({"bar": range(len(equity)), "equity": equity}, schema=EQUITY),
    )


def test_equal_trades_agree_and_the_error_is_the_largest_of_all_figures():
    found = compare(execution(TRADE), execution(TRADE | {"exit_price": 51.0 * (1 + 3e-10)}), 1e4)
    assert found.agrees
    assert found.matched == 1
    assert abs(found.largest_error - 3e-10) < 1e-14
    assert found.first_divergent_bar is None


def test_each_figure_that_differs_is_named():
    for name, value in (
        ("exit_bar", 6), ("quantity", 101.0), ("entry_price", 50.1), ("exit_price", 51.1), ("commission", 11.0),
        ("pnl", 90.1), ("exit_bar", None), ("exit_price", None),
    ):  # fmt: skip
        found = compare(execution(TRADE), execution(TRADE | {name: value}), 1e4)
        assert found.differing == 1
        assert found.trades["fields"].to_list() == [name]
        assert found.trades["state"].to_list() == ["differs"]


def test_money_is_relative_to_the_value_of_the_trade():
    # 1e-6 of a PnL of 90 is 1.8e-8 of 5,000: over the tolerance; 1e-8 of it is not.
    assert not compare(execution(TRADE), execution(TRADE | {"pnl": 90.0 + 9e-5}), 1e4).agrees
    assert compare(execution(TRADE), execution(TRADE | {"pnl": 90.0 + 9e-7}), 1e4).agrees


def test_a_trade_that_one_of_them_made_differs():
    other = TRADE | {"side": "short"}
    found = compare(execution(TRADE), execution(other), 1e4)
    assert sorted(found.trades["state"]) == ["only_framework", "only_reference"]
    assert (found.matched, found.differing) == (0, 2)
    # No trade is equal: there is no error of those that are.
    assert found.largest_error == 0.0


def test_several_trades_of_one_key_are_matched_in_the_order_of_their_exits():
    short, long = TRADE | {"exit_bar": 2, "exit_price": 50.0}, TRADE
    assert compare(execution(short, long), execution(long, short), 1e4).agrees


def test_the_first_bar_at_which_equity_leaves_is_named_with_its_cause():
    mine = execution(TRADE, equity=(1e4, 1e4, 9_995.0))
    cases = (
        ((), "A is held as 100 against 0; last fills at bars 2 and None"),
        ((FILL | {"quantity": 90.0},), "A is held as 100 against 90"),
        ((FILL | {"price": 50.5},), "prices of the fills of A differ: 5000 against 5050"),
        ((FILL | {"commission": 6.0},), "commission of A differs: 5 against 6"),
        ((FILL,), "fills are the same"),
    )
    for fills, cause in cases:
        found = compare(mine, execution(TRADE, fills=fills, equity=(1e4, 1e4, 9_990.0)), 1e4)
        assert found.first_divergent_bar == 2
        assert found.cause.startswith(cause)
        assert abs(found.equity_error - 5.0 / 1e4) < 1e-12


def test_a_curve_that_is_shorter_or_holds_no_number_diverges():
    mine = execution(TRADE, equity=(1e4, 1e4))
    assert compare(mine, execution(TRADE, equity=(1e4,)), 1e4).first_divergent_bar == 1
    assert compare(mine, execution(TRADE, equity=(1e4, float("nan"))), 1e4).first_divergent_bar == 1
