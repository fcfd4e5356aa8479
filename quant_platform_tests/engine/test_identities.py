"""Each accounting identity is refused by books that break it alone, and by little more than its tolerance.

The account of a hundred thousand buys and sells 100 units at 100 and pays commission and spread: the largest sum in its
books is the initial cash, so that a billionth of it, 1e-4, is let pass as rounding.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quant_platform.engine import layout
from quant_platform.engine.backtest import run
from quant_platform.engine.config import Costs
from quant_platform.engine.decisions import Orders
from quant_platform.engine.identities import IdentityBroken
from quant_platform.engine.result import BacktestResult
from quant_platform_tests.engine.cases import CASH, config, flat_bars

TOO_MUCH, LITTLE = 1.05e-4, 0.95e-4
CHARGED = Costs(commission_rate=0.001, half_spread=0.002, volatility_share=0.1, impact_window_bars=2)


def honest(at: tuple[int, ...] = (1, 4), quantity: Any = (100, -100), bars: Any = None, **changes: Any) -> Any:
    orders = Orders.build(list(at), [0] * len(at), "trade", quantity=list(quantity))
    return run(bars or flat_bars(), orders, config(**changes))


def forged(result: BacktestResult, table: str, row: int, column: int, add: float) -> BacktestResult:
    """The same result with a number changed; making it works out its identities (conftest)."""
    numbers = getattr(result, table).copy()
    numbers[row, column] += add
    return replace(result, **{table: numbers})


ROWS = [
    ("_curve", 3, layout.CURVE_CASH, "cash is not what the fills left of it"),
    ("_curve", 8, layout.CURVE_CASH, "cash is not what the fills left of it"),
    ("_curve", 3, layout.CURVE_EQUITY, "equity is not cash plus positions"),
    ("_curve", 3, layout.CURVE_LONG, "equity is not cash plus long less short"),
    ("_curve", 3, layout.CURVE_SHORT, "equity is not cash plus long less short"),
    ("_trades", 0, layout.TRADE_COMMISSION, "commission of the trades is not the total"),
    ("_trades", 0, layout.TRADE_SPREAD, "spread of the trades is not the total"),
    ("_trades", 0, layout.TRADE_IMPACT, "impact of the trades is not the total"),
    ("_trades", 0, layout.TRADE_PRICE_PNL, "the trades did not earn what the account gained"),
    ("_trades", 0, layout.TRADE_BORROW, "the trades did not earn what the account gained"),
    ("_fills", 1, layout.FILL_SPREAD, "spread of the fills is not the total"),
    ("_fills", 1, layout.FILL_IMPACT, "impact of the fills is not the total"),
]


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(("table", "row", "column", "said"), ROWS)
def test_a_number_off_by_more_than_rounding_is_refused_and_by_less_is_not(
    table: str, row: int, column: int, said: str, sign: float
) -> None:
    result = honest(costs=CHARGED)
    with pytest.raises(IdentityBroken, match=said):
        forged(result, table, row, column, sign * TOO_MUCH)
    forged(result, table, row, column, sign * LITTLE)


@pytest.mark.parametrize("name", ["commission", "spread", "impact"])
def test_a_total_that_is_not_the_sum_of_its_fills_is_refused(name: str) -> None:
    result = honest(costs=CHARGED)
    with pytest.raises(IdentityBroken, match=f"{name} of the fills is not the total"):
        replace(result, totals={**result.totals, name: result.totals[name] + TOO_MUCH})
    replace(result, totals={**result.totals, name: result.totals[name] + LITTLE})


def test_the_error_says_where_and_how_much() -> None:
    with pytest.raises(IdentityBroken) as error:
        forged(honest(), "_curve", 3, layout.CURVE_CASH, 0.5)
    assert error.value.how_many == "1 of 9"
    assert error.value.rows == [{"place": 3, "was": 0.5, "expected": 0.0}]


def test_a_number_that_is_missing_is_refused() -> None:
    with pytest.raises(IdentityBroken, match="cash is not what the fills left of it"):
        forged(honest(), "_curve", 3, layout.CURVE_CASH, np.nan)


@pytest.mark.parametrize("add", [1.0, -1.0])
def test_the_number_of_assets_held_is_counted_again(add: float) -> None:
    with pytest.raises(IdentityBroken, match="the number of assets held"):
        forged(honest(), "_curve", 3, layout.CURVE_HELD, add)


def test_a_position_is_exactly_the_sum_of_its_fills() -> None:
    with pytest.raises(IdentityBroken, match="a position is not the sum of its fills") as error:
        forged(honest(), "_fills", 0, layout.FILL_AFTER, 1e-9)
    assert error.value.rows == [{"bar": 2, "before": 0.0, "filled": 100.0, "after": 100.0 + 1e-9}]
    assert error.value.where == "fills of A0"


@pytest.mark.parametrize(("left", "said"), [(0.95e-10, "a crumb"), (-0.95e-10, "a crumb"), (1.05e-10, "assets held")])
def test_a_crumb_is_less_than_a_trillionth_of_the_largest_fill(left: float, said: str) -> None:
    """More than that is a position, which the number of assets held does not know."""
    fills = honest().raw_fills.copy()
    fills[1, layout.FILL_LOTS] = -100.0 + left
    fills[1, layout.FILL_AFTER] = 100.0 + fills[1, layout.FILL_LOTS]
    with pytest.raises(IdentityBroken, match=said):
        replace(honest(), _fills=fills)


def test_whole_units_are_not_halved() -> None:
    result = honest(units="whole")
    fills = result.raw_fills.copy()
    fills[:, layout.FILL_LOTS], fills[0, layout.FILL_AFTER] = [100.5, -100.5], 100.5
    with pytest.raises(IdentityBroken, match="a position is not the sum of its fills"):
        replace(result, _fills=fills)


CARRIED = [
    ("dividends", 0.5, layout.TRADE_DIVIDENDS, 0.5), ("funding", 0.5, layout.TRADE_FUNDING, -0.5),
    ("borrow", 0.5, layout.TRADE_BORROW, -0.5), ("interest", 0.5, None, -0.5),
]  # fmt: skip


@pytest.mark.parametrize(("name", "total", "column", "gain"), CARRIED)
def test_what_holding_brought_or_cost_is_in_cash_at_the_end(
    name: str, total: float, column: int | None, gain: float
) -> None:
    """Half a unit of money more in a total, in the trade, and more or less of it in cash and equity: they agree."""
    result = honest()
    trades, curve = result._trades.copy(), result.curve.copy()
    if column is not None:
        trades[0, column] += total
    totals = {**result.totals, name: total}

    def ending(gained: float) -> None:
        forged_curve = curve.copy()
        forged_curve[8, [layout.CURVE_CASH, layout.CURVE_EQUITY]] += gained
        replace(result, totals=totals, _trades=trades, _curve=forged_curve)

    ending(gain)
    ending(gain + LITTLE)
    for wrong in (-gain, 0.0, gain + TOO_MUCH):
        with pytest.raises(IdentityBroken, match="cash is not what fills and carrying left of it"):
            ending(wrong)


def test_a_bar_without_a_price_is_not_marked_but_one_that_trades_without_volume_is() -> None:
    empty = flat_bars(volume=np.zeros((9, 1)))
    result = honest(bars=empty, zero_volume_halts=False)
    with pytest.raises(IdentityBroken, match="equity is not cash plus positions"):
        forged(result, "_curve", 3, layout.CURVE_EQUITY, TOO_MUCH)
    few = flat_bars(volume=np.full((9, 1), 0.05))
    with pytest.raises(IdentityBroken, match="equity is not cash plus positions"):
        forged(honest(bars=few), "_curve", 3, layout.CURVE_EQUITY, TOO_MUCH)
    # Halted on bar 3 at a close of 120 that nobody could trade at, and marked at 100.
    volume = np.full((9, 1), 10.0)
    volume[3] = 0.0
    halted = honest(bars=flat_bars({3: (120, 120, 120, 120)}, volume=volume))
    assert halted.equity["equity"].to_list() == [CASH] * 9


@pytest.mark.parametrize("leverage", [0.5, 1.0])
@pytest.mark.parametrize("closes", [False, True])
def test_cash_below_zero_is_refused_where_nothing_may_be_borrowed(leverage: float, closes: bool) -> None:
    at, quantity = ((1, 4), (1500, -1500)) if closes else ((1,), (1500,))
    result = honest(at, quantity)
    with pytest.raises(IdentityBroken, match=r"cash fell to -50000\.0 although"):
        replace(result, config=config(leverage=leverage))
    replace(result, config=config(leverage=1.05))


def test_cash_below_zero_by_rounding_alone_is_let_pass() -> None:
    for fee, refused in ((LITTLE, False), (TOO_MUCH, True)):
        result = honest((1,), (1000,), costs=Costs(0.0, 0.0, per_order=fee))
        if refused:
            with pytest.raises(IdentityBroken, match="cash fell to"):
                replace(result, config=config(leverage=1.0))
        else:
            replace(result, config=config(leverage=1.0))


def test_a_short_account_may_owe_cash() -> None:
    """Sold at 100 and bought back at 300 for all it had and 100,000 more."""
    result = honest((1, 4), (-1000, 1000), bars=flat_bars({5: (300, 300, 300, 300)}))
    assert result.curve[:, layout.CURVE_CASH].min() == -100_000.0
    replace(result, config=config(leverage=1.0))


@pytest.mark.parametrize(
    ("name", "total", "allowed"),
    [("funding", 0.05, True), ("borrow", 0.05, True), ("dividends", -0.05, True), ("dividends", 0.05, False)],
)
def test_what_holding_cost_may_take_cash_below_zero(name: str, total: float, allowed: bool) -> None:
    result = honest((1,), (1500,))
    column = {"funding": layout.TRADE_FUNDING, "borrow": layout.TRADE_BORROW, "dividends": layout.TRADE_DIVIDENDS}[name]
    trades, curve = result._trades.copy(), result.curve.copy()
    trades[0, column] += total
    curve[8, [layout.CURVE_CASH, layout.CURVE_EQUITY]] += total if name == "dividends" else -total
    owing = replace(result, totals={**result.totals, name: total}, _trades=trades, _curve=curve)
    if allowed:
        replace(owing, config=config(leverage=1.0))
    else:
        with pytest.raises(IdentityBroken, match="cash fell to"):
            replace(owing, config=config(leverage=1.0))


@pytest.mark.parametrize(
    ("quantity", "bars", "largest"),
    [((10_000,), flat_bars(), 1e6), ((1000,), flat_bars({4: (1000, 1000, 1000, 1000)}), 1e6)],
)
def test_rounding_is_measured_against_the_largest_fill_or_equity(quantity: Any, bars: Any, largest: float) -> None:
    """Ten times the account bought, or an equity of ten times the initial cash on bar 4."""
    result = honest((1,), quantity, bars=bars)
    forged(result, "_curve", 3, layout.CURVE_CASH, 0.95e-9 * largest)
    with pytest.raises(IdentityBroken):
        forged(result, "_curve", 3, layout.CURVE_CASH, 1.05e-9 * largest)
