"""What must hold for any bars and decisions: symmetries, monotonicities, and the wall between past and future."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_platform.engine.backtest import run
from quant_platform.engine.bars import PRICES, Bars, Event
from quant_platform.engine.config import Costs, EngineConfig, Sizing
from quant_platform.engine.decisions import Orders, Weights
from quant_platform_tests.engine import cases

SEEDS = st.integers(0, 2**32 - 1)
MANY = settings(max_examples=150, deadline=None)


def drawn(seed: int) -> tuple[np.random.Generator, Bars, EngineConfig, Orders]:
    rng = np.random.default_rng(seed)
    bars, config = cases.random_bars(rng), cases.random_config(rng)
    return rng, bars, config, cases.random_orders(rng, bars, stops=config.sizing.kind == "risk_fraction")


def changed(bars: Bars, keep: Any = slice(None), columns: Any = None, scale: float = 1.0) -> Bars:
    """Some bars, some columns, other units of money."""
    pick = np.arange(len(bars.assets)) if columns is None else np.asarray(columns)
    place = {int(old): new for new, old in enumerate(pick)}
    last = len(bars.stamps[keep])

    def events(name: str) -> tuple[Event, ...]:
        money = scale if name == "dividends" else 1.0
        return tuple(
            Event(e.bar, place[e.asset], e.value * money)
            for e in getattr(bars, name)
            if e.asset in place and e.bar < last
        )

    def part(name: str, factor: float = 1.0) -> Any:
        array = getattr(bars, name)
        return None if array is None else factor * array[keep][:, pick]

    return Bars(
        tuple(bars.assets[k] for k in pick),
        bars.stamps[keep],
        *(part(name, scale) for name in PRICES),
        volume=part("volume"),
        half_spread=part("half_spread"),
        lot=bars.lot[pick] if bars.lot is not None else None,
        tick=scale * bars.tick[pick] if bars.tick is not None else None,
        minimum_notional=scale * bars.minimum_notional[pick] if bars.minimum_notional is not None else None,
        splits=events("splits"),
        dividends=events("dividends"),
        funding=events("funding"),
        delistings=events("delistings"),
    )


def fills(result: Any) -> pl.DataFrame:
    return result.fills.select("bar", "asset", "reason", "quantity", "price").sort("bar", "asset", maintain_order=True)


@MANY
@given(SEEDS)
def test_truncating_the_future_leaves_the_past_unchanged(seed: int) -> None:
    rng, bars, config, orders = drawn(seed)
    end = int(rng.integers(2, len(bars.stamps) + 1))
    known = orders.places[:, 0] < end
    cut = run(changed(bars, slice(0, end)), Orders(orders.numbers[known], orders.places[known]), config)
    whole = run(bars, orders, config)
    assert cut.fills.equals(whole.fills.filter(whole.fills["bar"] < end))
    np.testing.assert_array_equal(cut.curve, whole.curve[:end])


@MANY
@given(SEEDS)
def test_no_fill_without_a_decision_and_none_before_it(seed: int) -> None:
    _, bars, config, orders = drawn(seed)
    nothing = run(bars, Orders(orders.numbers[:0], orders.places[:0]), config)
    assert nothing.fills.is_empty()
    assert nothing.equity["equity"].to_list() == [config.initial_cash] * len(bars.stamps)
    result = run(bars, orders, config)
    opened = result.fills.filter(result.fills["order"] >= 0)
    decided = orders.places[opened["order"].to_numpy(), 0]
    lag = 0 if config.fill == "same_close" else 1
    assert np.all(opened["bar"].to_numpy() >= decided + lag)
    assert np.all(orders.places[opened["order"].to_numpy(), 1] == [bars.position_of(a) for a in opened["asset"]])
    first = opened.group_by("asset").agg(pl.col("bar").min())
    every = result.fills.group_by("asset").agg(pl.col("bar").min())
    assert first.sort("asset").equals(every.sort("asset"))


@MANY
@given(SEEDS)
def test_the_order_of_the_assets_does_not_matter_where_cash_does_not_bind(seed: int) -> None:
    rng, bars, config, orders = drawn(seed)
    config = replace(config, leverage=np.inf, sizing=Sizing("units", 20.0))
    columns = rng.permutation(len(bars.assets))
    where = np.argsort(columns)
    places = orders.places.copy()
    places[:, 1] = where[places[:, 1]]
    order = np.lexsort((np.arange(len(places)), places[:, 1], places[:, 0]))
    # An order's number in its own list names the fill; everything else must agree.
    found = fills(run(changed(bars, columns=columns), Orders(orders.numbers[order], places[order]), config))
    expected = fills(run(bars, orders, config))
    assert found.drop("price").equals(expected.drop("price"))
    np.testing.assert_allclose(found["price"].to_numpy(), expected["price"].to_numpy(), rtol=1e-12)


@MANY
@given(SEEDS, st.sampled_from([0.25, 8.0]))
def test_another_unit_of_money_changes_no_quantity(seed: int, scale: float) -> None:
    _, bars, config, orders = drawn(seed)
    costs = config.costs
    dear = replace(
        costs,
        per_unit=scale * costs.per_unit,
        per_order=scale * costs.per_order,
        minimum=scale * costs.minimum,
        slippage_fixed=scale * costs.slippage_fixed,
    )
    sizing = config.sizing
    if sizing.kind == "cash_amount":
        sizing = replace(sizing, value=scale * sizing.value)
    other = replace(config, costs=dear, sizing=sizing, initial_cash=scale * config.initial_cash)
    numbers = orders.numbers.copy()
    numbers[:, 4:] *= scale
    found, expected = run(changed(bars, scale=scale), Orders(numbers, orders.places), other), run(bars, orders, config)
    assert fills(found).drop("price", "quantity").equals(fills(expected).drop("price", "quantity"))
    np.testing.assert_allclose(found.fills["quantity"], expected.fills["quantity"], rtol=1e-9)
    np.testing.assert_allclose(found.curve[:, :4], scale * expected.curve[:, :4], rtol=1e-9, atol=1e-6)


@MANY
@given(SEEDS)
def test_costs_never_help(seed: int) -> None:
    """With quantities stated and nothing that binds, the fills are the same and only the bill differs."""
    _, bars, config, orders = drawn(seed)
    numbers = orders.numbers.copy()
    numbers[:, 1:] = np.nan
    numbers[np.isnan(numbers[:, 0]), 0] = 10.0
    plain = Orders(numbers, orders.places)
    free = replace(config, costs=Costs.zero(), leverage=np.inf, initial_cash=1e7)
    dear = replace(free, costs=replace(config.costs, borrow_rate=0.0, margin_rate=0.0))
    without, with_costs = run(bars, plain, free), run(bars, plain, dear)
    assert without.fills.drop("price", "commission", "spread", "impact").equals(
        with_costs.fills.drop("price", "commission", "spread", "impact")
    )
    assert np.all(without.curve[:, 1] >= with_costs.curve[:, 1] - 1e-6)


@MANY
@given(SEEDS)
def test_a_later_decision_is_the_same_trade_later_on_bars_that_do_not_move(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bars = cases.flat_bars(sessions=30)
    m = int(rng.integers(1, 8))
    at = np.sort(rng.integers(0, 20, m))
    action = rng.choice(["long_entry", "long_exit", "short_entry", "short_exit"], m)
    lag = int(rng.integers(1, 8))
    early = run(bars, Orders.build(at, np.zeros(m), action, quantity=5), cases.config())
    late = run(bars, Orders.build(at + lag, np.zeros(m), action, quantity=5), cases.config())
    moved = early.fills.with_columns(bar=pl.col("bar") + lag)
    assert moved.drop("stamp").equals(late.fills.drop("stamp"))


@MANY
@given(SEEDS)
def test_an_unlevered_long_account_never_loses_more_than_all_of_it(seed: int) -> None:
    rng, bars, config, orders = drawn(seed)
    config = replace(config, leverage=1.0, allow_short=False)
    for decisions in (orders, cases.random_weights(rng, bars)):
        if isinstance(decisions, Weights) and config.sizing.kind == "risk_fraction":
            continue
        plain = replace(bars, funding=(), dividends=())
        result = run(plain, decisions, config)
        assert result.equity["drawdown"].max() <= 1.0 + 1e-12
        assert result.curve[:, 0].min() >= -1e-9 * config.initial_cash


@MANY
@given(SEEDS)
def test_a_reduction_is_never_cut_but_by_volume(seed: int) -> None:
    _, bars, config, orders = drawn(seed)
    config = replace(config, participation=None)
    result = run(bars, orders, config)
    sold = result.fills.filter(pl.col("reason").cast(pl.String).is_in(["exit", "stop", "target", "time", "ruin"]))
    assert (sold["position"] == 0.0).all()


def test_the_same_run_twice_is_the_same_run() -> None:
    _, bars, config, orders = drawn(77)
    first, second = run(bars, orders, config), run(bars, orders, config)
    assert first.fills.equals(second.fills)
    np.testing.assert_array_equal(first.curve, second.curve)


@pytest.mark.parametrize("name", ["open", "close"])
def test_a_run_changes_nothing_it_was_given(name: str) -> None:
    _, bars, config, orders = drawn(78)
    before = getattr(bars, name).copy(), orders.numbers.copy(), orders.places.copy()
    run(bars, orders, config)
    for found, expected in zip((getattr(bars, name), orders.numbers, orders.places), before, strict=True):
        np.testing.assert_array_equal(found, expected)
