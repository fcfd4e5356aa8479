"""A strategy's trade is its label: the engine enters, leaves and pays where discovery said."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.engine.config import Costs
from quant_platform.labs.events.backtest.decisions import strategy_orders
from quant_platform.labs.events.backtest.market import EventMarket, bars_of, config_of, costs_of
from quant_platform.labs.events.backtest.runs import StrategyRun, Venue, later, subset, trades_of
from quant_platform.labs.events.backtest.strategies import Strategy
from quant_platform.labs.events.discovery.cells import ALL, event_rows, outcomes
from quant_platform.labs.events.discovery.labels import LabelStore
from quant_platform.labs.events.discovery.segments import Segment
from quant_platform_tests.labs.events.discovery.worlds import SYMBOLS, event_spec, panel, random_events, specs

DAYS = 30
SPECS = specs([event_spec("E")])


@cache
def the_funded():
    """Prices whose funding settles three times a day, at rates that rise."""
    made = panel(3, days=DAYS)
    made.columns["funding_settle"][:, ::96] = 1.0
    made.columns["funding_rate"][:, ::96] = np.linspace(-4e-4, 6e-4, DAYS * 3)
    return made


@cache
def the_store():
    return LabelStore(the_funded(), SPECS.discovery)


@cache
def the_market():
    return EventMarket(the_store(), SPECS.discovery)


@cache
def the_events():
    found = random_events(1, ["E"], days=DAYS, per_day=6.0)
    return found.with_columns(funding_bucket=pl.lit("x"), trend_state=pl.lit("up"))


WHOLE = Segment("all", 0, DAYS)


def strategy(template: str, **changes: object) -> Strategy:
    side = SPECS.templates[template].side or 1
    return replace(Strategy("S", "blueprint", "E", template, 12, side, SYMBOLS, ALL, ALL), **changes)


def free() -> Venue:
    config = replace(config_of(SPECS.discovery), costs=Costs(0.0, 0.0, unknown_half_spread=0.0, unknown_impact=0.0))
    return Venue.of(replace_spread(bars_of(the_funded())), config)


def replace_spread(bars):  # type: ignore[no-untyped-def]  # frozen arrays, made again
    return replace(bars, half_spread=np.zeros(bars.shape))


@pytest.mark.parametrize(
    "template",
    ["continuation", "mean_reversion", "breakout_followthrough", "trend_continuation", "overshoot_repair",
     "exhaustion_reversal", "range_reversion", "pullback_entry"],
)  # fmt: skip
def test_every_event_alone_earns_its_label(template: str) -> None:
    made = strategy(template)
    decided = strategy_orders(made, the_events(), the_market(), SPECS)
    rows = event_rows(the_events(), the_funded(), WHOLE, [])
    found = outcomes(the_store(), rows, SPECS.templates[template], 12, 1, WHOLE)
    turn = 1.0 if SPECS.templates[template].label in ("pullback_return", "target_stop") else made.side
    label = {
        (SYMBOLS[s], int(t)): (turn * v, turn * f)
        for s, t, v, f in zip(rows.symbols, rows.positions, found.values, found.funding, strict=True)
    }
    venue, compared = free(), 0
    for row in range(0, len(decided.events), 9):
        kept = np.arange(len(decided.events)) == row
        one = subset(decided, kept)
        result = venue.trade(one.orders)
        key = (one.events["symbol"][0], int(the_funded().positions(one.events["bar"])[0]))
        value, funding = label[key]
        if np.isnan(value):
            assert result.fills.is_empty() or result.trades["exit_bar"][0] is None
            continue
        trade = result.trades.row(0, named=True)
        sign = 1.0 if trade["side"] == "long" else -1.0
        assert sign * 1e4 * np.log(trade["exit_price"] / trade["entry_price"]) == pytest.approx(value, abs=1e-6)
        if template not in ("mean_reversion", "breakout_followthrough"):
            notional = trade["quantity"] * trade["entry_price"]
            # The label books funding on the value at the entry, the engine on that at the settlement.
            assert 1e4 * trade["funding"] / notional == pytest.approx(funding, abs=0.2)
        compared += 1
    assert compared > 8


def test_a_pullback_that_never_comes_is_no_order() -> None:
    decided = strategy_orders(strategy("pullback_entry"), the_events(), the_market(), SPECS)
    assert decided.untraded["no pullback"] > 0
    rows = event_rows(the_events(), the_funded(), WHOLE, [])
    zero = outcomes(the_store(), rows, SPECS.templates["pullback_entry"], 12, 1, WHOLE).values == 0.0
    assert decided.untraded["no pullback"] >= int(zero.sum())


def test_states_and_symbols_choose_the_events() -> None:
    chosen = strategy("continuation", dimension="vol_regime", state="high", symbols=SYMBOLS[:1])
    events = strategy_orders(chosen, the_events(), the_market(), SPECS).events
    assert events.height == the_events().filter(pl.col("vol_regime") == "high", pl.col("symbol") == SYMBOLS[0]).height
    assert set(events["vol_regime"]) == {"high"}


def test_flipping_turns_every_side_and_later_is_later() -> None:
    plain = strategy_orders(strategy("continuation"), the_events(), the_market(), SPECS)
    turned = strategy_orders(strategy("continuation"), the_events(), the_market(), SPECS, flip=True)
    late = strategy_orders(strategy("continuation"), the_events(), the_market(), SPECS, later_bars=2)
    np.testing.assert_array_equal(plain.orders.places[:, :2], turned.orders.places[:, :2])
    assert set((plain.orders.places[:, 2] + turned.orders.places[:, 2]).tolist()) == {5}
    np.testing.assert_array_equal(later(plain, 2).orders.places[: len(late.events)], late.orders.places)


def test_unknown_funding_is_charged_every_eight_hours() -> None:
    unknown = panel(5, days=2)
    unknown.columns["funding_settle"][:] = np.nan
    unknown.columns["funding_settle"][0, :] = 0.0
    unknown.columns["funding_settle"][0, 100] = 1.0
    bars = bars_of(unknown)
    assert [(event.asset, event.bar) for event in bars.funding if event.asset < 2] == [
        (0, 100), (1, 0), (1, 96), (1, 192), (1, 288), (1, 384), (1, 480),
    ]  # fmt: skip
    assert np.isnan([event.value for event in bars.funding if event.asset == 1]).all()


def test_costs_are_those_of_discovery_and_stress_spares_funding() -> None:
    cost = SPECS.discovery.cost
    once, twice = costs_of(cost), costs_of(cost, 2.0)
    assert once.commission_rate == pytest.approx(cost.fee_bps / 1e4)
    assert once.unknown_half_spread == pytest.approx(cost.unknown_spread_bps / 2e4)
    for name in ("commission_rate", "unknown_half_spread", "unknown_impact", "impact_coefficient"):
        assert getattr(twice, name) == 2.0 * getattr(once, name)
    assert twice.unknown_funding == once.unknown_funding
    np.testing.assert_allclose(the_market().stressed(2.0).half_spread, 2.0 * the_market().bars.half_spread)


def test_trades_carry_segment_and_state_of_their_event() -> None:
    made = strategy("continuation")
    decided = strategy_orders(made, the_events(), the_market(), SPECS)
    result = Venue.of(the_market().bars, config_of(SPECS.discovery)).trade(decided.orders)
    windows = (Segment("train", 0, 18), Segment("test", 19, 30))
    trades = trades_of(StrategyRun(made, decided, result), windows)
    events = the_events().select("symbol", event_bar="bar", seen="vol_regime")
    joined = trades.with_columns(event_bar=pl.col("entry_bar") - pl.duration(minutes=5)).join(
        events, on=["symbol", "event_bar"], how="left"
    )
    assert joined["seen"].to_list() == joined["vol_regime"].to_list()
    day = ((trades["entry_bar"] - trades["entry_bar"].min().replace(day=1, hour=0, minute=0)).dt.total_days()).to_list()
    expected = ["train" if d < 18 else "none" if d < 19 else "test" for d in day]
    assert trades["segment"].to_list() == expected
    assert trades["net_pnl"].to_numpy() == pytest.approx(
        (
            trades["price_pnl"] - trades["commission"] - trades["spread"] - trades["impact"] - trades["funding"]
        ).to_numpy()
    )


def test_a_panel_without_a_bar_is_refused() -> None:
    empty = panel(5, days=1)
    for name in ("open", "high", "low", "close"):
        empty.columns[name][:] = np.nan
    with pytest.raises(SchemaViolation, match="no bar to trade on"):
        bars_of(empty)
