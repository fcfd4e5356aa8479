"""The whole study on the market that stands still but for moves written down: what each trade, day and run must earn.

Two symbols, an event a day in each, trades of three bars, no impact. The strategy goes with the impulse; beside it a
refused cell goes against it and so loses what the other earns, and pays the same costs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.engine.decisions import Orders
from quant_platform.labs.events.backtest.decisions import StrategyOrders
from quant_platform.labs.events.backtest.market import EventMarket
from quant_platform.labs.events.backtest.runs import later
from quant_platform.labs.events.backtest.study import COMPOSITE, BacktestStudy, Book, Discovered, _Study, study
from quant_platform.labs.events.discovery.labels import LabelStore
from quant_platform.specification.discovery import DiscoverySpecs
from quant_platform.specification.event_backtest import EventBacktestSpec
from quant_platform.specification.events import EventSpec
from quant_platform_tests.labs.events.backtest.test_judging import SPEC
from quant_platform_tests.labs.events.discovery.plain_market import (
    DAYS,
    RATES,
    SPREADS,
    A,
    B,
    Trade,
    events,
    market,
    trades,
)
from quant_platform_tests.labs.events.discovery.report_frames import judged
from quant_platform_tests.labs.events.discovery.worlds import START, event_spec, specs

WITH, AGAINST = "E-continuation", "REFUSED-E-mean_reversion-3-ALL-ALL"
WEIGHT, CASH = 0.05, 200_000.0
# Second orders: a gain of 40 bps is its square larger than its logarithm, and costs of an exit are on its own value.
NEAR = 0.2


def discovery() -> DiscoverySpecs:
    shipped = specs([]).discovery
    event = event_spec("E", horizons_bars=(3,), params={"bar": 2.0}, condition="close>bar")
    return specs([event], cost=shipped.cost.model_dump() | {"impact_coefficient": 0.0})


def rules() -> EventBacktestSpec:
    """The shipped rules, as small as twenty days are."""
    return SPEC.model_copy(
        update={
            "walk_forward": SPEC.walk_forward.model_copy(
                update={"folds": 3, "first_train_share": 0.4, "rolling_days": 4, "min_train_trades": 2}
            ),
            "bootstrap": SPEC.bootstrap.model_copy(update={"draws": 100}),
            "promotion": SPEC.promotion.model_copy(
                update={
                    "min_trades": 40, "min_psr": 0.0, "min_dsr": 0.0, "max_regime_share": 2.0, "min_positive_folds": 0.0
                }
            ),
            "allocation": SPEC.allocation.model_copy(update={"min_days": 8}),
            "strategies": SPEC.strategies.model_copy(update={"refused_beside": 1}),
        }
    )  # fmt: skip


def happened() -> pl.DataFrame:
    return events().with_columns(funding_bucket=pl.lit("neutral"), trend_state=pl.lit("up"))


def redetect(event: EventSpec) -> pl.DataFrame:
    """A lower threshold finds the events of one symbol, a higher one those of the other."""
    return happened().filter(pl.col("symbol") == (A if event.params["bar"] < 2.0 else B))


def book() -> Book:
    """Known at the bars of the events alone: 60,000 to buy from and 80,000 to sell to."""
    bid, ask = (np.full((2, DAYS * 288), np.nan) for _ in range(2))
    for trade in trades():
        row = (A, B).index(trade.symbol)
        ask[row, trade.bar], bid[row, trade.bar] = 60_000.0, 80_000.0
    return Book(bid, ask)


@cache
def done() -> BacktestStudy:
    found = Discovered(
        "2024-01",
        pl.DataFrame(
            {
                "document": [
                    json.dumps(
                        {
                            "blueprint_id": WITH, "template": "continuation", "side": 1, "symbols": [A, B],
                            "rule": {"event_id": "E", "state": {}}, "exit": {"horizon_bars": 3},
                            "evidence": {"edge_over_cost": 2.0},
                        }
                    )
                ]
            }
        ),
        pl.DataFrame(
            [
                judged(event_id="E", template="mean_reversion", horizon_bars=3)
                | {"t": 1.0, "side": -1, "track": "none", "gates_failed": ["gate_economic"]}
            ]
        ),
        pl.DataFrame({"alias_group": ["a", "b", "a", "c"]}),
        happened(),
    )  # fmt: skip
    panel = market()
    # What is traded in is the volume of the bar of the fill, one after the event's.
    for trade in trades():
        panel.columns["quote_volume"][(A, B).index(trade.symbol), trade.bar + 1] = 2e6
    made = EventMarket(LabelStore(panel, discovery().discovery), discovery().discovery)
    return study(found, made, book(), discovery(), rules(), redetect)


def table(name: str, strategy: str) -> pl.DataFrame:
    return done().frames[f"backtest.{name}"].filter(strategy_id=strategy)


def fees(trade: Trade, factor: float = 1.0) -> float:
    """Both sides: the fee and half the spread."""
    return factor * 2.0 * (4.0 + 0.5 * SPREADS[trade.symbol])


def net(trade: Trade, side: int = 1, *, factor: float = 1.0) -> float:
    """What is left of a trade in bps: its move, less fees, less the funding of the bar it ends on."""
    return side * (trade.gross - trade.funding) - fees(trade, factor)


def average(value: Callable[[Trade], float], own: Iterable[Trade]) -> float:
    return float(np.mean([value(trade) for trade in own]))


def between(first: int, last: int) -> list[Trade]:
    return [trade for trade in trades() if first <= trade.day < last]


@pytest.mark.parametrize(("strategy", "side"), [(WITH, 1), (AGAINST, -1)])
def test_every_event_is_a_trade_from_the_open_after_it_to_the_open_three_bars_later(strategy: str, side: int) -> None:
    rows = table("trades", strategy).filter(scheme="whole").sort("entry_bar", "symbol").to_dicts()
    assert len(rows) == len(trades()) == 40
    for row, trade in zip(rows, trades(), strict=True):
        opened = START + timedelta(minutes=5 * (trade.bar + 1))
        assert (row["symbol"], row["entry_bar"]) == (trade.symbol, opened)
        assert row["exit_bar"] == opened + timedelta(minutes=15)
        assert (row["side"], row["exit_reason"]) == ("long" if side * trade.direction > 0 else "short", "time")
        assert row["net_bps"] == pytest.approx(net(trade, side), abs=NEAR)
        value = row["quantity"] * row["entry_price"]
        assert value == pytest.approx(WEIGHT * CASH, rel=0.02)
        assert 1e4 * row["funding"] / value == pytest.approx(side * trade.funding, abs=0.02)
        assert 1e4 * row["commission"] / value == pytest.approx(8.0, abs=0.05)
        assert 1e4 * row["spread"] / value == pytest.approx(SPREADS[trade.symbol], abs=0.05)
        assert (row["impact"], row["vol_regime"], row["bars_held"]) == (0.0, trade.state, 3)
        assert row["status"] == ("blueprint" if side > 0 else "refused")


def test_a_trade_lies_in_the_segment_of_its_day() -> None:
    """Twelve days of training, three of validation after a day of embargo, three of test after another."""
    rows = table("trades", WITH).filter(scheme="whole")
    names = ["train"] * 24 + ["none"] * 2 + ["validation"] * 6 + ["none"] * 2 + ["test"] * 6
    assert rows.sort("entry_bar")["segment"].to_list() == names


def test_the_account_of_a_day_holds_the_trades_that_ended_on_it() -> None:
    rows = table("strategy_pnl", WITH).sort("day").to_dicts()
    assert len(rows) == DAYS
    equity = CASH
    for day, row in enumerate(rows):
        own = between(day, day + 1)
        earned = sum(net(trade) for trade in own) * 1e-4 * WEIGHT
        assert row["ret"] == pytest.approx(earned, abs=2.5 * NEAR * 1e-4 * WEIGHT)
        assert row["equity"] == pytest.approx(equity * (1.0 + row["ret"]))
        assert (row["entries"], row["gross"]) == (2, 0.0)
        equity = row["equity"]


def test_a_strategy_is_promoted_on_its_days_after_training() -> None:
    """Eight days from the thirteenth on; three cells were looked at; the other side is refused as it was before."""
    [row] = table("promotions", WITH).to_dicts()
    daily = np.array([sum(net(trade) for trade in between(day, day + 1)) for day in range(12, DAYS)])
    assert (row["n_trades"], row["n_days"], row["n_trials"]) == (40, 8, 3)
    assert row["sharpe"] == pytest.approx(daily.mean() / daily.std(ddof=1) * math.sqrt(365.0), rel=0.03)
    whole = sum(net(trade) for trade in trades()) * 1e-4 * WEIGHT
    assert row["total_return"] == pytest.approx(whole, rel=0.03)
    deepest = table("strategy_pnl", WITH)["drawdown"].max()
    assert row["max_drawdown"] == deepest
    assert (row["promoted"], row["reasons"], row["was_run"]) == (True, [], True)
    [other] = table("promotions", AGAINST).to_dicts()
    assert (other["promoted"], other["n_trials"]) == (False, 3)
    assert {"discovery refused the cell", "nothing was earned over the whole run"} <= set(other["reasons"])


def test_folds_are_of_the_trades_of_the_side_that_had_earned() -> None:
    """Windows of four days from the eighth on. The refused cell's own side loses: its folds trade the other or none."""
    for strategy in (WITH, AGAINST):
        rows = table("walk_forward", strategy).sort("scheme", "fold").to_dicts()
        assert len(rows) == 6
        for row in rows:
            begins = 8 + 4 * row["fold"]
            trained = between(0 if row["scheme"] == "anchored" else max(0, begins - 5), begins - 1)
            learnt = average(net, trained)
            # On days 11 to 14 neither side earned what it paid: -2.5 over eight trades.
            assert (learnt > 0.3) is ((row["scheme"], row["fold"]) != ("rolling", 2))
            tested = between(begins, begins + 4) if learnt > 0.0 else []
            assert row["side"] == int(learnt > 0.0)
            assert (row["n_train"], row["n_test"]) == (len(trained) if tested else 0, len(tested))
            money = sum(net(trade) for trade in tested) * 1e-4 * WEIGHT * CASH
            assert row["test_pnl"] == pytest.approx(money, rel=0.03, abs=3.0)
            if tested:
                assert row["train_net_bps"] == pytest.approx(learnt, abs=NEAR)
                assert row["test_net_bps"] == pytest.approx(average(net, tested), abs=NEAR)
        kept = table("trades", strategy).filter(scheme="rolling")
        assert kept.group_by("fold").len().sort("fold").rows() == [(0, 8), (1, 8)]
    earned = [sum(net(trade) for trade in between(begins, begins + 4)) > 0.0 for begins in (8, 12, 16)]
    [row] = table("promotions", WITH).to_dicts()
    assert row["positive_folds"] == pytest.approx(sum(earned) / 3)
    assert earned == [True, False, False]


def test_each_perturbation_is_a_run_of_its_own() -> None:
    rows = {(row["kind"], row["variant"]): row for row in table("robustness", WITH).iter_rows(named=True)}
    own = trades()
    expected = {
        ("base", "as decided"): (40, average(net, own)),
        # Entered a bar late the move is over, and what is left are costs and funding.
        ("entry_later", "1 bars"): (40, average(lambda trade: -trade.funding - fees(trade), own)),
        # Two bars late the trade begins before the settlement and ends after it, as before.
        ("entry_later", "2 bars"): (40, average(lambda trade: -trade.funding - fees(trade), own)),
        ("cost", "times 1.5"): (40, average(lambda trade: net(trade, factor=1.5), own)),
        ("cost", "times 2"): (40, average(lambda trade: net(trade, factor=2.0), own)),
        ("threshold", "times 0.9"): (20, average(net, [trade for trade in own if trade.symbol == A])),
        ("threshold", "times 1.1"): (20, average(net, [trade for trade in own if trade.symbol == B])),
        ("state", "vol_regime=high"): (20, average(net, [trade for trade in own if trade.state == "high"])),
        ("state", "vol_regime=low"): (20, average(net, [trade for trade in own if trade.state == "low"])),
        ("state", "funding_bucket=neutral"): (40, average(net, own)),
        ("state", "trend_state=up"): (40, average(net, own)),
    }
    for key, (count, value) in expected.items():
        assert (rows[key]["n"], rows[key]["net_bps"]) == (count, pytest.approx(value, abs=NEAR)), key
    # A tenth of forty is dropped.
    assert rows["dropped", "10% of the events"]["n"] == 36
    assert rows["bootstrap", "total_return"]["n"] == rows["bootstrap", "max_drawdown"]["n"] == DAYS
    assert set(rows) == {*expected, ("dropped", "10% of the events"), *(("bootstrap", x) for x in TOTALS)}
    whole = sum(net(trade) for trade in own) * 1e-4 * WEIGHT
    assert rows["base", "as decided"]["total_return"] == pytest.approx(whole, rel=0.03)


TOTALS = ("total_return", "max_drawdown")


def test_the_result_of_a_strategy_is_attributed_to_the_last_unit_of_money() -> None:
    rows = table("attribution", WITH)
    unit = 1e-4 * WEIGHT * CASH
    parts = dict(rows.filter(dimension="symbol").select("value", "pnl").iter_rows())
    for symbol in (A, B):
        own = [trade for trade in trades() if trade.symbol == symbol]
        assert parts[symbol] == pytest.approx(sum(map(net, own)) * unit, rel=0.05, abs=20.0)
    by_hour = dict(rows.filter(dimension="hour").select("value", "trades").iter_rows())
    # The bar after bar 100 opens at 08:25, that after bar 200 at 16:45, where B has its events on odd days.
    assert by_hour == {"08": 30, "16": 10}


def test_entries_are_held_against_the_market_as_it_was_when_they_were_decided() -> None:
    """Half of the forty at a spread of 1, half at 3. An order is about 10,000: 6 of it to buy from, 8 to sell to."""
    rows = {row["check"]: row for row in table("acceptance", WITH).iter_rows(named=True)}
    assert {row["n"] for row in rows.values()} == {40}
    assert {row["n_unknown"] for row in rows.values()} == {0}
    assert (rows["spread"]["median"], rows["spread"]["judged"]) == (2.0, 3.0)
    longs = sum(trade.direction > 0 for trade in trades())
    assert longs > 20
    assert (rows["depth"]["median"], rows["depth"]["judged"]) == pytest.approx((6.0, 6.0), rel=0.02)
    against = {row["check"]: row for row in table("acceptance", AGAINST).iter_rows(named=True)}
    assert (against["depth"]["median"], against["depth"]["judged"]) == pytest.approx((8.0, 6.0), rel=0.02)
    assert rows["participation"]["median"] == pytest.approx(10_000.0 / 2e6, rel=0.02)
    assert rows["impact"]["median"] == 0.0


def test_promoted_strategies_trade_together_with_the_capital_they_were_given() -> None:
    """One strategy gets half of the capital at most: half of its positions, and about half of its result."""
    [row] = done().frames["backtest.allocation"].to_dicts()
    daily = np.array([sum(net(trade) for trade in between(day, day + 1)) for day in range(12, DAYS)]) * 1e-4 * WEIGHT
    assert (row["strategy_id"], row["share"]) == (WITH, 0.5)
    assert row["volatility"] == pytest.approx(daily.std(ddof=1) * math.sqrt(365.0), rel=0.03)
    # An entry and an exit each; two symbols share their bars on every other day.
    assert row["rebalances"] == 2 * (40 - 10)
    assert (row["granted"], row["clipped_strategy"], row["clipped_portfolio"]) == (1.0, 0, 0)
    [together] = table("promotions", COMPOSITE).to_dicts()
    [alone] = table("promotions", WITH).to_dicts()
    assert (together["status"], together["n_trades"], together["n_trials"]) == ("composite", 40, 1)
    assert (together["n_days"], together["positive_folds"]) == (8, alone["positive_folds"])
    assert together["total_return"] == pytest.approx(0.5 * alone["total_return"], rel=0.02)
    assert together["max_drawdown"] == pytest.approx(0.5 * alone["max_drawdown"], rel=0.02)
    assert together["sharpe"] == pytest.approx(alone["sharpe"], rel=0.02)
    assert (together["promoted"], together["reasons"]) == (True, [])
    rows = table("trades", COMPOSITE)
    assert set(rows["scheme"].cast(pl.String)) == {"whole"}
    assert rows.select(pl.col("status").cast(pl.String)).to_series().unique().to_list() == ["composite"]
    assert rows["vol_regime"].null_count() == 40
    assert table("fills", COMPOSITE).height == 80
    assert set(table("strategy_pnl", COMPOSITE)["status"].cast(pl.String)) == {"composite"}
    assert done().composite is not None


def test_features_are_compared_between_training_and_all_days_after_it() -> None:
    rows = done().frames["backtest.drift"]
    assert set(rows["symbol"]) == {A, B}
    known = rows.filter(feature="spread_bps").to_dicts()
    assert [(row["n_reference"], row["n_current"]) for row in known] == [(12, 8), (12, 8)]


def test_what_an_entry_met_is_read_by_hand() -> None:
    """Two fills of an entry and one of an exit: A bought at the first bar, B sold at bar 7.

    A: 3 at 20 are 60, impact 0.03 of it 5 bps, of a volume of 600 a tenth. B: 2 at 50 are 100 of 1000.
    """
    panel = market()
    for name, levels in (("quote_volume", (600.0, 1000.0)), ("spread_bps", (1.5, 2.5))):
        panel.columns[name][:] = np.array(levels)[:, None]
    panel.columns["spread_bps"][1, 7] = 99.0
    made = EventMarket(LabelStore(panel, discovery().discovery), discovery().discovery)
    shape = panel.columns["close"].shape
    depths = Book(bid_usd=np.full(shape, 10.0), ask_usd=np.full(shape, 20.0))
    depths.bid_usd[1, 7] = 77.0
    one = _Study(done_from(), made, depths, discovery(), rules(), redetect)
    fills = pl.DataFrame(
        {
            "bar": [0, 7, 9], "asset": [A, B, A], "reason": ["entry", "entry", "time"], "quantity": [3.0, -2.0, -3.0],
            "reference_price": [20.0, 50.0, 20.0], "impact": [0.03, 0.02, 9.0],
        }
    )  # fmt: skip
    met = one._entries(SimpleNamespace(fills=fills))  # type: ignore[arg-type]  # only what is read of a result
    assert met.spread_bps.tolist() == [1.5, 2.5]
    assert met.depth_usd.tolist() == [20.0, 10.0]
    assert met.order_usd.tolist() == [60.0, 100.0]
    assert met.impact_bps.tolist() == pytest.approx([5.0, 2.0])
    assert met.participation.tolist() == pytest.approx([0.1, 0.1])


def test_an_order_that_would_be_decided_after_the_last_bar_is_no_order() -> None:
    panel = market()
    made = EventMarket(LabelStore(panel, discovery().discovery), discovery().discovery)
    one = _Study(done_from(), made, book(), discovery(), rules(), redetect)
    last = panel.periods - 1
    orders = Orders.build([last - 1, last, last], [0, 0, 1], ["long_entry"] * 3)
    decided = StrategyOrders(orders, pl.DataFrame({"symbol": ["A", "B", "C"]}), {})
    assert one._in_time(decided).events["symbol"].to_list() == ["A", "B", "C"]
    kept = one._in_time(later(decided, 1))
    assert (kept.events["symbol"].to_list(), kept.orders.places[:, 0].tolist()) == (["A"], [last])


def done_from(**changes: Any) -> Discovered:
    none = pl.DataFrame(schema={"document": pl.String})
    rows = pl.DataFrame([judged(event_id="E")]).with_columns(t=pl.lit(None, pl.Float64)).clear()
    given = {
        "cutoff": "2024-01", "blueprints": none, "hypotheses": rows,
        "bridge": pl.DataFrame(schema={"alias_group": pl.String}), "events": happened(),
    }  # fmt: skip
    return Discovered(**(given | changes))


def test_where_nothing_was_looked_at_one_trial_stands_for_none_and_nothing_is_put_together() -> None:
    refused = judged(event_id="E", template="mean_reversion", horizon_bars=3) | {"t": 1.0, "side": -1, "track": "none"}
    made = EventMarket(LabelStore(market(), discovery().discovery), discovery().discovery)
    found = study(
        done_from(hypotheses=pl.DataFrame([refused])), made, book(), discovery(), rules(), lambda _: happened()
    )
    rows = found.frames["backtest.promotions"].to_dicts()
    assert [(row["strategy_id"], row["n_trials"], row["was_run"]) for row in rows] == [(AGAINST, 1, True)]
    assert found.composite is None
    assert found.frames["backtest.allocation"].is_empty()


def test_rates_are_those_of_the_market() -> None:
    """What the hand counts as funding is what A settles on the bar of the exit."""
    assert {trade.funding for trade in trades() if trade.symbol == A} <= {s * r for s in (1, -1) for r in RATES}
