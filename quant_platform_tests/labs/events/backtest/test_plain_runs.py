"""Runs that are written down here instead of computed: what the tables, the composite and the report make of them."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.schemas.backtest import BacktestFills, BacktestStrategyPnl, BacktestTrades
from quant_platform.engine import layout
from quant_platform.engine.decisions import Orders
from quant_platform.labs.events.backtest.allocation import composite
from quant_platform.labs.events.backtest.decisions import StrategyOrders
from quant_platform.labs.events.backtest.drift import FEATURES, drift_rows
from quant_platform.labs.events.backtest.market import bars_of, config_of, costs_of
from quant_platform.labs.events.backtest.report import build_report, headline, markdown, report_row
from quant_platform.labs.events.backtest.robustness import bootstrapped, by_state, summary
from quant_platform.labs.events.backtest.runs import (
    daily_of,
    fills_of,
    labelled_trades,
    later,
    numbered,
    pnl_rows,
    segment_names,
    subset,
)
from quant_platform.labs.events.backtest.walk_forward import walk_forward
from quant_platform.labs.events.discovery.segments import Segment
from quant_platform.market.perp_panel import PricePanel
from quant_platform_tests.labs.events.backtest.test_judging import SPEC, START, trades
from quant_platform_tests.labs.events.discovery.worlds import specs

DAY = 288
WINDOWS = (Segment("train", 0, 1), Segment("test", 2, 3))
DISCOVERY = specs([]).discovery
NAIVE = START.replace(tzinfo=None)


def at(bar: int) -> datetime:
    return NAIVE + timedelta(minutes=5 * bar)


def run_of(**changes: Any) -> Any:
    """Two trades, the later begun first in the engine's list: A long and closed, B short and open at the end."""
    made = {
        "fills": pl.DataFrame(
            {
                "bar": [3, 290, 300],
                "stamp": [at(3), at(290), at(300)],
                "asset": ["B", "A", "A"],
                "reason": ["entry", "entry", "time"],
                "quantity": [-2.0, 4.0, -4.0],
                "price": [50.0, 100.0, 103.0],
                "reference_price": [50.5, 99.5, 103.5],
                "commission": [0.1, 0.2, 0.3],
                "spread": [0.4, 0.5, 0.6],
                "impact": [0.7, 0.8, 0.9],
                "position": [-2.0, 4.0, 0.0],
                "order": [1, 0, -1],
            }
        ),
        "trades": pl.DataFrame(
            {
                "asset": ["A", "B"],
                "side": ["long", "short"],
                "entry_bar": [290, 3],
                "entry_stamp": [at(290), at(3)],
                "exit_bar": [300, None],
                "exit_stamp": [at(300), None],
                "exit_reason": ["time", "entry"],
                "quantity": [4.0, 2.0],
                "entry_price": [100.0, 50.0],
                "exit_price": [103.0, None],
                "price_pnl": [12.0, -1.0],
                "commission": [0.5, 0.1],
                "spread": [1.1, 0.4],
                "impact": [1.7, 0.7],
                "funding": [0.7, -0.2],
                "net_pnl": [8.0, -2.0],
                "mae": [-0.01, -0.02],
                "mfe": [0.03, 0.04],
                "bars_held": [10, None],
            },
            schema_overrides={"exit_stamp": pl.Datetime("us"), "bars_held": pl.Int64},
        ),
    }
    return SimpleNamespace(**(made | changes))


def events() -> pl.DataFrame:
    """Events behind the orders, in their order: that of A first."""
    return pl.DataFrame(
        {"vol_regime": ["low", "high"], "funding_bucket": ["neutral", None], "trend_state": ["up", "down"]}
    )


def test_a_trade_has_the_value_of_its_entry_the_segment_of_its_bar_and_the_states_of_its_event() -> None:
    """8 on 4 x 100 are 200 bps; -2 on 2 x 50 are -200 bps. Bar 290 lies on the day between train and test."""
    rows = labelled_trades(run_of(), "blueprint", events(), WINDOWS).to_dicts()
    assert [row["symbol"] for row in rows] == ["B", "A"], "sorted by the bar of the entry"
    b, a = rows
    assert (a["net_bps"], b["net_bps"]) == (pytest.approx(200.0), pytest.approx(-200.0))
    assert (a["segment"], b["segment"]) == ("none", "train")
    assert (a["exit_reason"], b["exit_reason"]) == ("time", "none")
    assert (a["vol_regime"], a["funding_bucket"], a["trend_state"]) == ("low", "neutral", "up")
    assert (b["vol_regime"], b["funding_bucket"], b["trend_state"]) == ("high", None, "down")
    assert a["entry_bar"] == START + timedelta(minutes=5 * 290)
    assert (a["exit_bar"], b["exit_bar"]) == (START + timedelta(minutes=5 * 300), None)
    assert (a["status"], a["side"], a["quantity"], a["entry_price"], a["exit_price"]) == (
        "blueprint", "long", 4.0, 100.0, 103.0,
    )  # fmt: skip
    costs = ("price_pnl", "commission", "spread", "impact", "funding", "net_pnl")
    assert [a[name] for name in costs] == [12.0, 0.5, 1.1, 1.7, 0.7, 8.0]
    assert (a["mae"], a["mfe"], a["bars_held"], b["bars_held"]) == (-0.01, 0.03, 10, None)


def test_rows_of_trades_and_fills_are_numbered_in_their_order() -> None:
    found = labelled_trades(run_of(), "refused", events(), WINDOWS)
    whole = numbered(found, "2024-01", "S", "whole")
    BacktestTrades.validate(whole)
    assert whole.select("number", "symbol", "scheme", "fold", "cutoff", "strategy_id").rows() == [
        (0, "B", "whole", None, "2024-01", "S"), (1, "A", "whole", None, "2024-01", "S"),
    ]  # fmt: skip
    folded = numbered(found.with_columns(fold=pl.Series([0, 1], dtype=pl.Int32)), "2024-01", "S", "rolling")
    assert folded["fold"].to_list() == [0, 1]
    fills = fills_of(run_of(), "2024-01", "S")
    BacktestFills.validate(fills)
    assert fills.row(1) == (
        "2024-01", "S", 1, START + timedelta(minutes=5 * 290), "A", "entry", 4.0, 100.0, 99.5, 0.2, 0.5, 0.8, 4.0,
    )  # fmt: skip


def test_a_segment_holds_its_first_bar_and_not_the_one_after_its_last() -> None:
    bars = np.array([0, DAY - 1, DAY, 2 * DAY - 1, 2 * DAY, 3 * DAY - 1, 3 * DAY])
    assert segment_names(bars, WINDOWS) == ["train", "train", "none", "none", "test", "test", "none"]


def account(equity: list[float], drawdown: list[float], gross: list[float], entries: list[int]) -> Any:
    """A run of so many bars with a value per bar."""
    stamps = np.datetime64("2024-01-01T00:00", "ns").astype(np.int64) + 300_000_000_000 * np.arange(len(equity))
    return SimpleNamespace(
        equity=pl.DataFrame({"equity": equity, "drawdown": drawdown}),
        exposures=pl.DataFrame({"gross": gross}),
        trades=pl.DataFrame({"entry_bar": pl.Series(entries, dtype=pl.Int64)}),
        config=SimpleNamespace(initial_cash=200.0),
        bars=SimpleNamespace(stamps=stamps),
    )


def test_a_day_is_its_last_bar_and_the_deepest_fall_on_it() -> None:
    """Three days and a piece of a fourth, which is no day. From 200 to 220, to nothing, and never more from there."""
    equity, drawdown, gross = (np.zeros(3 * DAY + 5) for _ in range(3))
    equity[:DAY], equity[DAY - 1], equity[DAY : 2 * DAY] = 210.0, 220.0, 7.0
    equity[2 * DAY - 1 :] = 0.0
    drawdown[[10, DAY, DAY + 5, 2 * DAY, 3 * DAY + 2]] = 0.125, 0.25, 0.5, 1.5, 0.75
    gross[[DAY - 1, DAY, 2 * DAY - 1]] = 0.3, 9.0, 0.4
    done = account(equity.tolist(), drawdown.tolist(), gross.tolist(), [0, DAY - 1, DAY, 3 * DAY + 1])
    found = daily_of(done, WINDOWS)
    assert found["day"].to_list() == [date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)]
    assert found["segment"].to_list() == ["train", "none", "test"]
    assert found["equity"].to_list() == [220.0, 0.0, 0.0]
    # 220 / 200 - 1, then all of it is lost; of nothing there is no return.
    assert found["ret"].to_list() == [pytest.approx(0.1), -1.0, None]
    assert found["drawdown"].to_list() == [0.125, 0.5, 1.0]
    assert found["gross"].to_list() == [0.3, 0.4, 0.0]
    assert found["entries"].to_list() == [2, 1, 0]
    rows = pnl_rows(found, "2024-01", "S", "refused")
    BacktestStrategyPnl.validate(rows)
    assert rows.row(0, named=True)["status"] == "refused"


def test_later_orders_keep_all_but_their_bar_and_a_subset_keeps_the_events_of_its_orders() -> None:
    orders = Orders.build([7, 8, 9], [0, 1, 0], ["long_entry", "short_entry", "long_entry"], stop_price=[1.0, 2.0, 3.0])
    decided = StrategyOrders(orders, pl.DataFrame({"symbol": ["A", "B", "C"]}), {"no stop": 2})
    moved = later(decided, 3)
    assert moved.orders.places[:, 0].tolist() == [10, 11, 12]
    assert moved.orders.places[:, 1:].tolist() == orders.places[:, 1:].tolist()
    assert moved.orders.numbers[:, layout.STOP_PRICE].tolist() == [1.0, 2.0, 3.0]
    assert decided.orders.places[0, 0] == 7, "the orders as decided stay"
    some = subset(decided, np.array([True, False, True]))
    assert some.orders.places[:, 0].tolist() == [7, 9]
    assert some.orders.numbers[:, layout.STOP_PRICE].tolist() == [1.0, 3.0]
    assert some.events["symbol"].to_list() == ["A", "C"]


def traded(fills: list[tuple[int, str, float]], equity: float = 1000.0) -> Any:
    """A run whose fills are at 10: bar, asset and the units that are held after it."""
    frame = pl.DataFrame(fills, schema=["bar", "asset", "position"], orient="row")
    return SimpleNamespace(
        fills=frame.with_columns(reference_price=pl.lit(10.0)),
        equity=pl.DataFrame({"equity": [equity] * 20}),
        bars=SimpleNamespace(assets=("A", "B")),
    )


def limited(**limits: float) -> Any:
    none = dict.fromkeys(("strategy", "symbol", "portfolio", "new_exposure"), 9.0)
    limit = SPEC.allocation.limits.model_copy(update=none | limits)
    return SPEC.allocation.model_copy(update={"limits": limit})


def test_what_is_granted_is_decided_a_bar_before_each_change_of_a_position() -> None:
    """A share of a half: 50 units at 10 of 1000 are a quarter of the whole.

    At bar 0 the first buys A, which no close can decide; at 2 it holds twice as much, and the second sells B short; at
    5 it is flat. Only what changes stands in a line.
    """
    first = traded([(0, "A", 50.0), (2, "A", 100.0), (5, "A", 0.0)])
    second = traded([(2, "B", -40.0), (2, "B", -30.0)])
    made = composite(["one", "two"], [first, second], [(0.5, 0.2), (0.5, 0.0)], limited())
    assert made.weights.bars.tolist() == [1, 4]
    assert made.weights.weights.tolist() == [[0.5, -0.15], [0.0, pytest.approx(math.nan, nan_ok=True)]]
    assert [row["strategy_id"] for row in made.rows] == ["one", "two"]
    assert [(row["share"], row["volatility"]) for row in made.rows] == [(0.5, 0.2), (0.5, None)]
    assert [row["rebalances"] for row in made.rows] == [3, 3]
    assert [row["granted"] for row in made.rows] == [1.0, 1.0]
    assert {row[f"clipped_{name}"] for row in made.rows for name in ("strategy", "symbol", "portfolio")} == {0}


def test_what_a_limit_takes_is_counted_and_its_share_is_told() -> None:
    """The first asks for 0.5 of A on each of its two bars and gets 0.3; the second for 0.2 of B and gets it.

    At bar 3 a change of the second asks the first again: of three moments of 0.5 it gets 0.3, which is 60 %.
    """
    first = traded([(1, "A", 100.0), (2, "A", 100.0)])
    second = traded([(2, "B", 40.0), (3, "B", 0.0)])
    capital = [(0.5, 0.1), (0.5, 0.1)]
    made = composite(["one", "two"], [first, second], capital, limited(strategy=0.3))
    assert [row["clipped_strategy"] for row in made.rows] == [3, 0]
    assert [row["granted"] for row in made.rows] == [pytest.approx(0.6), pytest.approx(1.0)]
    assert made.weights.bars.tolist() == [0, 1, 2]
    nan = pytest.approx(math.nan, nan_ok=True)
    assert made.weights.weights.tolist() == [
        [pytest.approx(0.3), nan], [nan, pytest.approx(0.2)], [nan, pytest.approx(0.0)],
    ]  # fmt: skip
    # A bar may add 0.1: what was granted before is held, and each bar adds to that.
    slow = composite(["one", "two"], [first, traded([])], capital, limited(new_exposure=0.1))
    assert slow.weights.weights[:, 0].tolist() == pytest.approx([0.1, 0.2])
    assert [row["clipped_new_exposure"] for row in slow.rows] == [2, 0]
    # 0.1 and 0.2 of 0.5 twice; the other asked for nothing.
    assert [row["granted"] for row in slow.rows] == [pytest.approx(0.3), None]
    both = [traded([(1, "A", 100.0)]), traded([(1, "A", 100.0)])]
    crowded = composite(["one", "two"], both, capital, limited(symbol=0.8, portfolio=0.4))
    # One of 0.5 each: the symbol leaves 0.4 each, all together 0.2 each.
    assert crowded.weights.weights.tolist() == [[pytest.approx(0.4), nan]]
    assert [(row["clipped_symbol"], row["clipped_portfolio"]) for row in crowded.rows] == [(1, 1), (1, 1)]


def plain_panel(days: int, **columns: np.ndarray) -> PricePanel:
    shape = (1, days * DAY)
    price = np.full(shape, 100.0)
    return PricePanel(("A",), START, dict.fromkeys(("open", "high", "low", "close"), price) | columns)


def test_drift_is_of_one_value_a_day_of_training_against_all_days_after_it() -> None:
    """Ten training days of 0 to 9, then five of 0: two bins at the median 4.5.

    Shares 1/2 and 1/2 against 1 and 0, floored at 1e-4: (1 - 1/2) ln 2 + (1e-4 - 1/2) ln(2e-4) = 4.6044. The bound is
    1/10 + 1/5 times the 95 % point of chi-square with one degree, 3.8415: 1.1524.
    """
    values = np.full((1, 15 * DAY), 77.0)
    values[0, ::DAY] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0, 0, 0]
    spec = SPEC.drift.model_copy(update={"bins": 2})
    found = drift_rows(plain_panel(15, rv12=values), Segment("train", 0, 10), "2024-01", spec)
    assert sorted(found["feature"].to_list()) == sorted(FEATURES)
    assert not {"spot_close", "funding_settle"} & set(FEATURES)
    [row] = found.filter(feature="rv12").to_dicts()
    assert (row["n_reference"], row["n_current"], row["alarm"], row["not_available"]) == (10, 5, True, None)
    assert row["psi"] == pytest.approx(0.5 * math.log(2.0) + (1e-4 - 0.5) * math.log(2e-4))
    assert row["psi"] == pytest.approx(4.6044, abs=1e-4)
    assert row["bound"] == pytest.approx(0.3 * 3.841459, rel=1e-6)
    tight = drift_rows(
        plain_panel(15, rv12=values), Segment("train", 0, 10), "2024-01", spec.model_copy(update={"smallest": 5.0})
    )
    assert not tight.filter(feature="rv12")["alarm"].item(), "no shift that matters"
    [gone] = found.filter(feature="spread_bps").to_dicts()
    assert (gone["alarm"], gone["psi"], gone["n_reference"], gone["n_current"]) == (False, None, 0, 0)
    assert gone["not_available"] == "reference holds no values"


def test_bars_are_the_prices_of_the_panel_with_half_the_spread_and_units_for_value() -> None:
    """Quote volume 600 at a close of 150 are 4 units; half of 3 bps are 0.00015."""
    shape = (1, 2 * DAY)
    price = {name: np.full(shape, level) for name, level in (("open", 100.0), ("high", 160.0), ("low", 90.0))}
    price["close"] = np.full(shape, 150.0)
    price["high"][0, 7] = np.nan
    numbers = {"spread_bps": np.full(shape, 3.0), "quote_volume": np.full(shape, 600.0)}
    settle, rate = np.zeros(shape), np.full(shape, 2e-4)
    settle[0, [5, 200]] = 1.0
    rate[0, 200] = np.nan
    panel = PricePanel(("A",), START, price | numbers | {"funding_settle": settle, "funding_rate": rate})
    bars = bars_of(panel)
    assert (bars.assets, bars.stamps[0], bars.stamps[3] - bars.stamps[0]) == (
        ("A",), int(START.timestamp()) * 10**9, 15 * 60 * 10**9,
    )  # fmt: skip
    assert [getattr(bars, name)[0, 0] for name in ("open", "high", "low", "close")] == [100.0, 160.0, 90.0, 150.0]
    assert np.isnan([getattr(bars, name)[7, 0] for name in ("open", "high", "low", "close")]).all()
    assert bars.volume[0, 0] == pytest.approx(4.0)
    assert bars.half_spread[0, 0] == pytest.approx(1.5e-4)
    assert bars_of(panel, spread_factor=2.0).half_spread[0, 0] == pytest.approx(3e-4)
    funding = [(event.bar, event.asset, event.value) for event in bars.funding]
    assert funding == [(5, 0, 2e-4), (200, 0, pytest.approx(math.nan, nan_ok=True))]
    assert bars_of(plain_panel(1)).funding[1].bar == 96, "unknown settlements stand every eight hours"


def test_an_account_is_so_large_that_its_largest_weight_is_the_order_of_the_cost() -> None:
    cost = DISCOVERY.cost.model_copy(
        update={
            "fee_bps": 4.0, "impact_coefficient": 0.9, "unknown_spread_bps": 2.0, "unknown_impact_bps": 3.0,
            "unknown_funding_bps": 5.0, "order_usd": 10_000.0,
        }
    )  # fmt: skip
    sizing = DISCOVERY.sizing.model_copy(update={"max_weight_per_trade": 0.05})
    config = config_of(DISCOVERY.model_copy(update={"cost": cost, "sizing": sizing}), 2.0)
    assert config.initial_cash == pytest.approx(200_000.0)
    assert (config.sizing.kind, config.sizing.value) == ("equity_fraction", 0.05)
    assert (config.periods_per_year, config.zero_volume_halts) == (365.0 * 288.0, True)
    assert config.costs == costs_of(cost, 2.0)
    once = costs_of(cost)
    assert (once.commission_rate, once.half_spread, once.impact_coefficient) == (pytest.approx(4e-4), 0.0, 0.9)
    assert (once.impact_window_bars, once.unknown_half_spread) == (12, pytest.approx(1e-4))
    assert (once.unknown_impact, once.unknown_funding) == (pytest.approx(3e-4), pytest.approx(5e-4))


def test_the_ends_of_a_bootstrap_are_half_of_what_its_level_leaves() -> None:
    """Two days drawn of +10 % and -50 %: -75 %, -45 % and +21 % with a quarter, a half and a quarter.

    A level of 0.54 leaves 0.23 on each side, which is inside the outer quarters, one of 0.46 leaves 0.27.
    """
    for level, ends in ((0.54, (-0.75, 0.21)), (0.46, (-0.45, -0.45))):
        spec = SPEC.bootstrap.model_copy(update={"mean_block_days": 1.0, "draws": 20_000, "level": level})
        total, _ = bootstrapped(np.array([0.1, -0.5]), spec)
        assert (total["low"], total["high"]) == pytest.approx(ends), level


def test_one_day_is_too_few_to_draw_from() -> None:
    assert bootstrapped(np.array([np.nan, 0.1]), SPEC.bootstrap) == [
        {"kind": "bootstrap", "variant": "daily", "n": 1, "not_available": "fewer than two days"}
    ]
    assert [row["n"] for row in bootstrapped(np.array([0.1, np.nan, 0.1]), SPEC.bootstrap)] == [2, 2]


def test_a_fall_is_from_the_cash_of_the_beginning_where_nothing_was_earned_before() -> None:
    row = summary("base", "x", trades([0, 1], [-20.0, 30.0]), 100.0)
    # 100, 80, 110.
    assert (row["total_return"], row["max_drawdown"]) == (pytest.approx(0.1), pytest.approx(0.2))


def test_states_stand_by_name_with_unknown_among_them() -> None:
    frame = trades([0, 1, 2], [1.0, 2.0, 3.0]).with_columns(
        vol_regime=pl.Series(["mid", "high", "mid"]), funding_bucket=pl.Series([None, "low", None], dtype=pl.String),
        trend_state=pl.lit("up"),
    )  # fmt: skip
    assert [(row["kind"], row["variant"], row["n"]) for row in by_state(frame, 100.0)] == [
        ("state", "vol_regime=high", 1), ("state", "vol_regime=mid", 2), ("state", "funding_bucket=not known", 2),
        ("state", "funding_bucket=low", 1), ("state", "trend_state=up", 3),
    ]  # fmt: skip


def test_a_rolling_window_that_is_longer_than_what_there_is_begins_with_the_data() -> None:
    spec = SPEC.walk_forward.model_copy(
        update={"folds": 2, "first_train_share": 0.5, "rolling_days": 12, "embargo_days": 1, "min_train_trades": 2}
    )
    found = walk_forward({1: trades([float(day) for day in range(20)], [1.0] * 20)}, START, 20, spec).rows
    # Windows begin on days 10 and 15 and end on days 15 and 20; training ends on 9 and 14.
    for scheme, starts in (("anchored", [0, 0]), ("rolling", [0, 2])):
        rows = found.filter(pl.col("scheme") == scheme).to_dicts()
        assert [row["fold"] for row in rows] == [0, 1]
        for name, days in (
            ("train_start", starts), ("train_end", [9, 14]), ("test_start", [10, 15]), ("test_end", [15, 20]),
        ):  # fmt: skip
            assert [row[name] for row in rows] == [START + timedelta(days=day) for day in days], (scheme, name)


PROMOTIONS = {
    "strategy_id": "S", "status": "blueprint", "was_run": True, "n_trades": 120, "total_return": 0.25,
    "max_drawdown": 0.125, "sharpe": 1.5, "psr": None, "dsr": 0.75, "positive_folds": 0.8, "promoted": True,
    "reasons": [],
}  # fmt: skip


def promotions(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([PROMOTIONS | row for row in rows], infer_schema_length=None)


REFUSED = {"strategy_id": "R", "status": "refused", "promoted": False, "reasons": ["it was refused", "and small"]}
LISTED = {"strategy_id": "L", "was_run": False, "promoted": False}
TOGETHER = {"strategy_id": "COMPOSITE", "status": "composite", "total_return": 0.1234}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([LISTED], "There was nothing to trade: no blueprint, and no cell that was tested."),
        (
            [REFUSED, REFUSED, LISTED],
            "No blueprint: the 2 strongest refused cells were traded, marked as such, and none is promoted.",
        ),
        (
            [{"promoted": False}, REFUSED],
            "Nothing was promoted of 1 blueprints and 1 refused cells beside them that were traded.",
        ),
        ([{}, {"promoted": False}], "1 promoted of 2 blueprints and 0 refused cells beside them that were traded."),
        (
            [{}, REFUSED, TOGETHER],
            "1 promoted of 1 blueprints and 1 refused cells beside them that were traded; together they made +12.3% "
            "after costs.",
        ),
        (
            [{}, TOGETHER | {"total_return": None}],
            "1 promoted of 1 blueprints and 0 refused cells beside them that were traded.",
        ),
    ],
)
def test_the_headline_says_what_was_traded_and_what_came_of_it(rows: list[dict[str, Any]], words: str) -> None:
    assert headline(promotions(*rows)) == words


def test_the_report_counts_what_was_run_and_promoted_and_keeps_the_alarms() -> None:
    frames = {
        f"backtest.{name}": pl.DataFrame({"x": [1]})
        for name in ("walk_forward", "robustness", "acceptance", "allocation")
    }
    frames["backtest.promotions"] = promotions({}, REFUSED, LISTED, TOGETHER)
    frames["backtest.drift"] = pl.DataFrame({"feature": ["a", "b"], "alarm": [False, True]})
    report = build_report(frames, cutoff="2024-02", simulated=True, ontology_hash="0" * 64)
    assert (report["strategies"], report["promoted"]) == (3, 1)
    assert report["drift_alarms"] == [{"feature": "b", "alarm": True}]
    assert report["walk_forward"] == [{"x": 1}]
    text = markdown(report).splitlines()
    assert text[:4] == ["# Backtests of the event lab, data up to 2024-02", "", "SIMULATED: the market is made up.", ""]
    assert text[4] == report["headline"]
    columns = "status | n_trades | total_return | max_drawdown | sharpe | psr | dsr | positive_folds | promoted"
    assert text[6] == f"| strategy | {columns} | reasons |"
    assert text[7] == "|---|---|---|---|---|---|---|---|---|---|---|"
    assert text[8] == "| S | blueprint | 120 | 0.250 | 0.125 | 1.500 | n/a | 0.750 | 0.800 | True |  |"
    assert text[9].endswith("| False | it was refused; and small |")
    assert markdown(report).endswith("\n")
    assert "SIMULATED" not in markdown(report | {"simulated": False})
    [row] = report_row(report, "a.html", "a.json").to_dicts()
    assert (row["html_path"], row["manifest_path"], row["cutoff"]) == ("a.html", "a.json", "2024-02")
    assert (row["strategies"], row["promoted"]) == (3, 1)
