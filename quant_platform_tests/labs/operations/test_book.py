"""The paper account against fills and profits computed by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from quant_platform.labs.operations.book import PaperBook, paper_book
from quant_platform.labs.operations.terms import Terms, terms_of
from quant_platform_tests.labs.operations.builders import REPLAY, day, order, orders, paper_market, routing

# Commission 2 bps, half spread 3 bps, no impact: a buy at 100 pays 100.03 and 0.020006 a unit.
SPEC = routing(costs__impact_coefficient=0.0, costs__borrow_rate=0.0)
FLAT = (100.0, 101.0, 99.0, 100.0)


def book(rows: list[dict[str, Any]], prices: dict[str, Any], actions: Any = None) -> PaperBook:
    return paper_book(orders(*rows), paper_market(prices, actions), SPEC, REPLAY)


def test_an_order_is_filled_at_the_next_open_with_its_costs() -> None:
    found = book([order()], {"AAA": [FLAT, FLAT]})
    row = found.executions.row(0, named=True)
    assert (row["day"], row["side"], row["reason"], row["quantity"]) == (day(1), "buy", "entry", 10.0)
    assert (row["mid"], row["fill"]) == pytest.approx((100.0, 100.03))
    assert (row["commission"], row["spread"], row["impact"]) == pytest.approx((0.20006, 0.3, 0.0))
    assert (row["law"], row["source"], row["currency"]) == ("modelled", "paper", "USD")
    assert row["executed_at"].isoformat() == "2024-03-05T14:00:00+00:00"
    assert found.equity[-1] == pytest.approx(1_000_000 - 0.20006 - 0.3)


def test_an_order_of_the_last_session_waits() -> None:
    found = book([order()], {"AAA": [FLAT]})
    assert found.executions.is_empty()
    assert found.voids == []
    assert found.pending["ticker"].to_list() == ["AAA"]


def test_a_target_rests_at_its_price_and_pays_no_spread() -> None:
    found = book([order()], {"AAA": [FLAT, FLAT, (101.0, 112.0, 100.0, 111.0)]})
    trade = found.trades.row(0, named=True)
    assert (trade["exit_reason"], trade["exit_price"], trade["date_sig"]) == ("target", 110.0, day(0))
    # Ten units from 100.03 to 110, less 2 bps of both values.
    assert trade["net_pnl"] == pytest.approx(10 * (110 - 100.03) - 0.20006 - 0.22)
    # Risk is measured from the reference of the order: five a unit.
    assert trade["risk"] == pytest.approx(50.0)
    assert trade["r"] == pytest.approx(trade["net_pnl"] / 50.0)
    assert found.executions["executed_at"][-1].isoformat() == "2024-03-06T21:00:00+00:00"


def test_a_gap_through_the_stop_fills_at_the_open() -> None:
    found = book([order()], {"AAA": [FLAT, FLAT, (90.0, 91.0, 89.0, 90.0)]})
    exit_row = found.executions.row(1, named=True)
    assert (exit_row["reason"], exit_row["mid"]) == ("stop", 90.0)
    assert exit_row["executed_at"].isoformat() == "2024-03-06T14:00:00+00:00"


@pytest.mark.parametrize(
    ("bar", "code"),
    [
        ((94.0, 96.0, 93.0, 95.0), "open_beyond_stop"),
        ((111.0, 112.0, 110.0, 111.0), "open_beyond_target"),
        (None, "no_open"),
    ],
)
def test_an_order_that_the_open_makes_void_says_why(bar: Any, code: str) -> None:
    found = book([order()], {"AAA": [FLAT, bar, FLAT], "BBB": [FLAT, FLAT, FLAT]})
    assert [(row["code"], row["stage"], row["day"]) for row in found.voids] == [(code, "open", day(1))]
    assert found.executions.is_empty()


@pytest.mark.parametrize(("volume", "what"), [(None, "no bar"), (0.0, "no volume")])
def test_a_session_that_trades_nothing_is_told_from_one_that_is_missing(volume: float | None, what: str) -> None:
    market = paper_market({"AAA": [FLAT, FLAT if volume is not None else None, FLAT], "BBB": [FLAT] * 3})
    here = (pl.col("ticker") == "AAA") & (pl.col("session") == day(1))
    bars = market.bars.with_columns(volume=pl.when(here).then(volume).otherwise("volume"))
    found = paper_book(orders(order()), replace(market, bars=bars), SPEC, REPLAY)
    assert [row["reason"] for row in found.voids] == [f"the name had {what} in the session of the order"]
    assert found.executions.is_empty()


def test_a_split_turns_quantity_and_levels() -> None:
    halves = (50.0, 50.5, 49.5, 50.0)
    split = [{"ticker": "AAA", "ex_date": day(2), "kind": "split", "value": 2.0}]
    found = book([order()], {"AAA": [FLAT, FLAT, halves, (50.0, 56.0, 50.0, 55.0)]}, split)
    trade = found.trades.row(0, named=True)
    # The target of 110 is 55 after the split, and there are twenty units to sell.
    assert (trade["exit_reason"], found.executions["quantity"][-1], found.executions["fill"][-1]) == (
        "target",
        20.0,
        55.0,
    )


def test_the_horizon_ends_a_trade_at_its_close() -> None:
    found = book([order()], {"AAA": [FLAT] * 33})
    trade = found.trades.row(0, named=True)
    # Entered in session 1, which counts as the first of thirty.
    assert (trade["exit_reason"], trade["day"]) == ("time", day(30))


def test_a_name_that_is_gone_leaves_at_the_assumed_loss() -> None:
    prices = {"AAA": [FLAT, FLAT, *[None] * 6], "BBB": [FLAT] * 8}
    found = book([order()], prices)
    trade = found.trades.row(0, named=True)
    # The last bar is that of session 1; five sessions later it counts as gone.
    assert (trade["exit_reason"], trade["day"]) == ("delisted", day(6))
    assert trade["exit_price"] == pytest.approx(70.0)


def test_open_positions_are_marked_and_no_part_of_any_profit() -> None:
    found = book([order()], {"AAA": [FLAT, FLAT, (100.0, 105.0, 100.0, 104.0)]})
    mark = found.marks.row(0, named=True)
    assert mark["synthetic"] is True
    assert (mark["quantity"], mark["mark"]) == (10.0, 104.0)
    # Bought at 100.03 with 0.20006 of commission; leaving at 104 would cost 5 bps.
    assert mark["marked_pnl"] == pytest.approx(10 * (104 - 100.03) - 0.20006 - 10 * 104 * 0.0005)
    # 38.97994 of the fifty that the stop risks.
    assert mark["marked_r"] == pytest.approx(0.7795988)
    assert found.trades.is_empty()


def test_what_dies_between_order_and_fill_is_filled_the_same_by_whoever_comes_next() -> None:
    prices: dict[str, Any] = {"AAA": [FLAT, FLAT, (101.0, 112.0, 100.0, 111.0), FLAT]}
    rows = [order(), order(day(2), reference=111.0, stop=95.0, target=130.0)]
    late = book(rows, prices).executions
    early = pl.concat(
        book([row for row in rows if row["day"] <= day(k)], {"AAA": prices["AAA"][: k + 1]}).executions.filter(
            pl.col("day") == day(k)
        )
        for k in range(4)
    )
    assert early.sort("execution_id").equals(late.sort("execution_id"))
    assert late.height == 3


def test_each_asset_class_pays_costs_of_its_own() -> None:
    apart = routing(
        costs__impact_coefficient=0.0,
        costs__borrow_rate=0.0,
        asset_classes__FX__costs={"half_spread": 0.00005, "commission_rate": 0.0},
        asset_classes__CRYPTO_PERPETUAL__costs={"half_spread": 0.0010},
    )
    names = {"AAA": "US_EQUITY", "EURUSD": "FX", "BTCUSDT": "CRYPTO_PERPETUAL"}
    rows = [order(ticker=name, asset_class=kind) for name, kind in names.items()]
    found = paper_book(orders(*rows), paper_market({name: [FLAT, FLAT] for name in names}), apart, REPLAY)
    paid = {row["ticker"]: (row["spread"], row["commission"]) for row in found.executions.iter_rows(named=True)}
    # Ten units at 100: the account's 3 and 2 bps; half a bp and nothing; 10 bps and the account's 2.
    assert paid == {
        "AAA": pytest.approx((0.3, 0.20006)),
        "EURUSD": pytest.approx((0.05, 0.0)),
        "BTCUSDT": pytest.approx((1.0, 0.2002)),
    }
    assert found.equity[-1] == pytest.approx(1_000_000 - sum(map(sum, paid.values())))
    leaving = dict(found.marks.select("ticker", "exit_cost").iter_rows())
    assert leaving == pytest.approx({"AAA": 0.5, "EURUSD": 0.05, "BTCUSDT": 1.2})


def test_costs_that_change_later_change_no_fill_of_an_order_that_was_sent() -> None:
    sent = terms_of(SPEC, REPLAY, "US_EQUITY").text()
    dear = routing(costs__impact_coefficient=0.0, costs__borrow_rate=0.0, costs__half_spread=0.01,
                   account__capital=500_000)  # fmt: skip
    rows = [
        order(strategy="mine", stop=None, target=None, terms=sent),
        order(day(1), strategy="mine", stop=None, target=None, action="leave", quantity=0.0),
        order(day(1), "BBB"),
    ]
    found = paper_book(orders(*rows), paper_market({"AAA": [FLAT] * 3, "BBB": [FLAT] * 3}), dear, REPLAY)
    # In and out at 3 bps of 1000 as it was sent; the order without terms pays the hundred of today.
    assert found.executions.sort("ticker", "day")["spread"].to_list() == pytest.approx([0.3, 0.3, 10.0])
    assert found.trades["pnl_share"].to_list() == pytest.approx([found.trades["net_pnl"][0] / 1_000_000])
    # What the account holds begins with the capital of today.
    assert found.equity[0] == 500_000.0


def test_terms_are_read_as_they_were_written() -> None:
    terms = terms_of(SPEC, REPLAY, "FX")
    assert Terms.read(terms.text()) == terms


def test_a_name_that_was_put_into_another_class_is_left_all_the_same() -> None:
    rows = [
        order(strategy="mine", stop=None, target=None),
        order(day(1), strategy="mine", stop=None, target=None, action="leave", quantity=0.0, asset_class="FX"),
    ]
    found = book(rows, {"AAA": [FLAT, FLAT, FLAT]})
    assert found.trades["exit_reason"].to_list() == ["exit"]
    assert found.marks.is_empty()


def test_strategies_are_accounts_of_their_own() -> None:
    both = [order(), order(strategy="mine", order_id="x", direction="short", stop=105.0, target=90.0)]
    found = book(both, {"AAA": [FLAT, FLAT]})
    assert found.marks.sort("strategy")["quantity"].to_list() == [10.0, 10.0]
    assert (found.long[-1], found.short[-1]) == pytest.approx((1000.0, 1000.0))
