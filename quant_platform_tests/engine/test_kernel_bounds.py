"""The kernel where a price, quantity, horizon or volume stands exactly at a bound; expected values by hand.

Flat bars of 100/101/99/100, decided at the close of bar 1 unless said; fills as (bar, quantity, price).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quant_platform.engine.backtest import run
from quant_platform.engine.bars import Event
from quant_platform.engine.config import Costs, Sizing
from quant_platform.engine.decisions import Orders, Weights
from quant_platform_tests.engine.cases import CASH, MISSING, config, flat_bars, shown

LONG, SHORT = "long_entry", "short_entry"


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(("units", "first"), [("fractional", 20.5), ("whole", 20.0), ("lot", 20.4)])
def test_volume_is_shared_out_in_lots_of_each_kind(sign: float, units: str, first: float) -> None:
    """A tenth of 205 is 20.5: as it is, in whole units, and in lots of .4, of which 51 are 20.4."""
    bars = flat_bars(volume=np.full((9, 1), 205.0), lot=np.array([0.4]))
    orders = Orders.build([1], [0], "trade", quantity=sign * 24.0)
    found = shown(run(bars, orders, config(participation=0.1, units=units)))
    assert [(bar, pytest.approx(quantity)) for bar, quantity, _ in found] == [
        (2, sign * first), (3, pytest.approx(sign * (24.0 - first))),
    ]  # fmt: skip


def test_an_order_of_exactly_the_volume_it_may_take_is_filled_at_once() -> None:
    bars = flat_bars(volume=np.full((9, 1), 400.0))
    result = run(bars, Orders.build([1], [0], [LONG], quantity=40), config(participation=0.1))
    assert shown(result) == [(2, 40, 100)]
    assert result.counts["partly_filled"] == 0


def test_small_quantities_are_filled_cut_and_closed_as_large_ones() -> None:
    """Six hundredths of a unit, of which five are allowed, then sold but for one."""
    orders = Orders.build([1, 3], [0, 0], "trade", quantity=[0.06, -0.04])
    result = run(flat_bars(), orders, config(initial_cash=5.0, leverage=1.0))
    assert shown(result) == [(2, pytest.approx(0.05), 100), (4, -0.04, 100)]
    assert result.counts["cut_to_exposure"] == 1
    assert result.trades["quantity"].to_list() == [pytest.approx(0.05)]
    assert result.fills["position"].to_list() == [pytest.approx(0.05), pytest.approx(0.01)]


@pytest.mark.parametrize(("quantity", "cut"), [(1000.0, 0), (1000.1, 1)])
def test_an_order_for_exactly_all_the_leverage_is_not_cut(quantity: float, cut: int) -> None:
    for sign in (1.0, -1.0):
        result = run(flat_bars(), Orders.build([1], [0], "trade", quantity=sign * quantity), config(leverage=1.0))
        assert shown(result) == [(2, sign * 1000.0, 100.0)]
        assert result.counts["cut_to_exposure"] == cut


@pytest.mark.parametrize(
    ("action", "given", "void"),
    [
        (LONG, {"stop_price": 100.0}, True),
        (LONG, {"stop_price": 99.99}, False),
        (LONG, {"target_price": 100.0}, True),
        (LONG, {"target_price": 100.01}, False),
        (SHORT, {"stop_price": 100.0}, True),
        (SHORT, {"stop_price": 100.01}, False),
        (SHORT, {"target_price": 100.0}, True),
        (SHORT, {"target_price": 99.99}, False),
    ],
)
def test_a_level_at_the_fill_price_is_passed_on_either_side(action: str, given: Any, void: bool) -> None:
    bars = flat_bars(dict.fromkeys(range(9), (100.0,) * 4))
    result = run(bars, Orders.build([1], [0], [action], quantity=10, **given), config())
    assert (result.counts["void"], result.fills.height) == (int(void), int(not void))


@pytest.mark.parametrize(
    ("action", "bar", "left"),
    [
        (LONG, (97.0, 98, 96, 97), 97.0),
        (LONG, (97.01, 98, 97.01, 98), None),
        (LONG, (105.0, 106, 104, 105), 105.0),
        (LONG, (104.99, 104.99, 104, 104), None),
        (SHORT, (103.0, 104, 102, 103), 103.0),
        (SHORT, (102.99, 102.99, 102, 102), None),
        (SHORT, (95.0, 96, 94, 95), 95.0),
        (SHORT, (95.01, 96, 95.01, 96), None),
    ],
)
def test_an_open_exactly_at_a_level_leaves_and_a_cent_before_it_does_not(
    action: str, bar: Any, left: float | None
) -> None:
    """A stop of three and a target of five in a hundred."""
    orders = Orders.build([1], [0], [action], quantity=10, stop=0.03, target=0.05)
    found = shown(run(flat_bars({3: bar}), orders, config()))[1:]
    sign = -1.0 if action == LONG else 1.0
    assert found == ([] if left is None else [(3, sign * 10, left)])


@pytest.mark.parametrize(
    ("action", "close", "leaves"),
    [(LONG, 97.0, True), (LONG, 97.01, False), (LONG, 105.0, True), (LONG, 104.99, False),
     (SHORT, 103.0, True), (SHORT, 102.99, False), (SHORT, 95.0, True), (SHORT, 95.01, False)],
)  # fmt: skip
def test_a_close_exactly_at_a_level_leaves_at_the_next_open(action: str, close: float, leaves: bool) -> None:
    orders = Orders.build([1], [0], [action], quantity=10, stop=0.03, target=0.05, trigger_at_close=True)
    result = run(flat_bars({3: (100, 110, 90, close)}), orders, config())
    reason = "stop" if (close < 100.0) == (action == LONG) else "target"
    assert result.fills["bar"].to_list()[1:] == ([4] if leaves else [])
    assert result.fills["reason"].cast(str).to_list()[1:] == ([reason] if leaves else [])


@pytest.mark.parametrize("action", [LONG, SHORT])
@pytest.mark.parametrize(("fill", "bars", "left"), [("next_open", 1, 3), ("next_open", 2, 4), ("same_close", 1, 2)])
def test_a_horizon_ends_with_its_last_bar(action: str, fill: str, bars: int, left: int) -> None:
    result = run(flat_bars(), Orders.build([1], [0], [action], quantity=10, time_bars=bars), config(fill=fill))
    assert result.fills["bar"].to_list()[1:] == [left]
    assert result.fills["reason"].cast(str).to_list()[1] == "time"


@pytest.mark.parametrize(("low", "ruined"), [(0.5, False), (0.0, True)])
def test_an_account_is_ruined_at_nothing_and_not_before(low: float, ruined: bool) -> None:
    """A thousand sold short at 100 and closed at 200 less what is left per unit."""
    price = 200.0 - low
    orders = Orders.build([1, 4], [0, 0], [SHORT, LONG], quantity=[1000, 1])
    result = run(flat_bars(dict.fromkeys(range(3, 9), (price,) * 4)), orders, config())
    assert result.equity["equity"][3] == pytest.approx(1000.0 * low)
    reasons = result.fills["reason"].cast(str).to_list()
    assert reasons == (["entry", "ruin"] if ruined else ["entry", "reversal", "entry"])


@pytest.mark.parametrize(("quantity", "opened"), [(-99.0, 0), (-100.0, 0), (-101.0, 1)])
def test_a_trade_through_zero_opens_what_is_beyond_it(quantity: float, opened: int) -> None:
    """Up to all that is held it is a reduction, which opens nothing even when a stop has been there before it."""
    orders = Orders.build([1, 3], [0, 0], [LONG, "trade"], quantity=[100, quantity], stop=[0.03, np.nan])
    result = run(flat_bars({4: (90, 91, 89, 90)}), orders, config())
    assert shown(result)[:2] == [(2, 100, 100), (4, -100, 90)]
    assert result.fills.height == 2 + opened
    assert result.counts["cancelled"] == 1 - opened


@pytest.mark.parametrize("fill", ["next_open", "same_close"])
def test_margin_and_borrow_of_a_few_cents_are_charged(fill: str) -> None:
    """Five hundredths of a unit of money below zero, for a day, at a rate of one a day."""
    orders = Orders.build([1], [0], [LONG], quantity=0.02)
    costs = Costs(0.0, 0.0, margin_rate=365.25)
    result = run(flat_bars(sessions=4), orders, config(costs=costs, initial_cash=1.95, leverage=2.0, fill=fill))
    days = 1 if fill == "next_open" else 2
    assert result.totals["interest"] == pytest.approx(0.05 * (2.0**days - 1.0))
    short = Orders.build([1], [0], [SHORT], quantity=0.0005)
    result = run(flat_bars(sessions=4), short, config(costs=Costs(0.0, 0.0, borrow_rate=365.25), fill=fill))
    assert result.totals["borrow"] == pytest.approx(0.05 * days)


@pytest.mark.parametrize(("action", "sign"), [(LONG, 1.0), (SHORT, -1.0)])
def test_a_split_moves_prices_levels_and_excursions_of_a_position(action: str, sign: float) -> None:
    """Two for one on bar 4, with bars of 50 from there; the extremes before it were 101 and 99."""
    bars = flat_bars(dict.fromkeys(range(4, 9), (50.0,) * 4), splits=(Event(4, 0, 2.0),))
    orders = Orders.build([1, 5], [0, 0], [action, action.replace("entry", "exit")], quantity=[0.05, np.nan])
    result = run(bars, orders, config())
    assert shown(result) == [(2, sign * 0.05, 100), (6, -sign * 0.1, 50)]
    trade = result.trades.row(0, named=True)
    assert (trade["quantity"], trade["entry_price"], trade["price_pnl"]) == (0.1, 50.0, pytest.approx(0.0))
    assert (trade["mae"], trade["mfe"]) == (pytest.approx(-0.01), pytest.approx(0.01))


def test_a_reverse_split_that_leaves_less_than_a_lot_pays_it_out_and_ends_the_trade() -> None:
    bars = flat_bars(dict.fromkeys(range(4, 9), (1000.0,) * 4), splits=(Event(4, 0, 0.1),))
    result = run(bars, Orders.build([1], [0], [LONG], quantity=9), config(units="whole"))
    # Nine are nine tenths of one, worth 900.
    assert result.equity["cash"].to_list()[3:5] == [CASH - 900.0, pytest.approx(CASH)]
    assert result.exposures["held"].to_list() == [0, 0, 1, 1, 0, 0, 0, 0, 0]
    assert result.trades["net_pnl"].to_list() == [pytest.approx(0.0)]


@pytest.mark.parametrize(("at", "price"), [("decision", 100.0), ("fill", 125.0)])
def test_weights_are_sized_at_the_close_of_their_decision_or_at_the_open_of_their_fill(at: Any, price: float) -> None:
    bars = flat_bars({2: (125, 125, 125, 125)})
    result = run(bars, Weights([1], [[0.5]]), config(sizing=Sizing("equity_fraction", 1.0, at), tolerance=0.0))
    assert shown(result) == [(2, pytest.approx(0.5 * CASH / price), 125.0)]


def test_a_name_without_a_price_waits_at_a_rebalance_unless_it_is_held() -> None:
    """Held, it is valued at its last close; not held, it is left out and counted."""
    bars = flat_bars({3: MISSING}, assets=2)
    held = run(bars, Weights([1, 3], [[0.5, 0.0], [0.25, 0.0]]), config())
    assert held.fills.select("bar", "quantity").rows() == [(2, 500.0), (4, -250.0)]
    fresh = run(bars, Weights([3], [[0.5, 0.5]]), config())
    assert fresh.fills.select("bar", "asset", "quantity").rows() == [(4, "A1", 500.0)]
    assert fresh.counts["waited_for_a_halt"] == 1
