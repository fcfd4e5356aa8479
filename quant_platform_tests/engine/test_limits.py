"""Risk inside a run is what the allocator and the switches say from outside, and reductions always pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_platform.engine.allocator import RiskLimits, allocate
from quant_platform.engine.backtest import run
from quant_platform.engine.bars import Bars
from quant_platform.engine.config import LIMITS, SWITCHES, BacktestInvalid, Costs, EngineConfig
from quant_platform.engine.decisions import Orders, Weights
from quant_platform.engine.kill_switches import KillLimits, Observation, replay
from quant_platform.engine.result import BacktestResult
from quant_platform_tests.engine import cases
from quant_platform_tests.engine.cases import config, flat_bars

TIGHT = {"symbol_limit": 0.3, "portfolio_limit": 0.8, "new_exposure_limit": 0.25}
SEEDS = st.integers(0, 2**32 - 1)


def whole_bars(seed: int, sessions: int, assets: int) -> Bars:
    rng = np.random.default_rng(seed)
    close = 50.0 * np.exp(np.cumsum(rng.normal(0.0, 0.03, (sessions, assets)), axis=0))
    open_ = close * np.exp(rng.normal(0.0, 0.01, close.shape))
    high, low = np.maximum(open_, close) * 1.01, np.minimum(open_, close) * 0.99
    return Bars(tuple(f"A{k}" for k in range(assets)), cases.DAY * np.arange(sessions), open_, high, low, close)


def held_weights(result: BacktestResult, bar: int) -> np.ndarray:
    """Positions at a close as fractions of equity, from the fills alone."""
    units = np.zeros(len(result.bars.assets))
    for asset, position in (
        result.fills.filter(pl.col("bar") <= bar).group_by("asset", maintain_order=True).agg(pl.col("position").last())
    ).iter_rows():
        units[result.bars.position_of(asset)] = position
    return units * result.bars.close[bar] / result.equity["equity"][bar]


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_a_rebalance_is_granted_what_the_allocator_grants(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bars = whole_bars(seed, 12, 4)
    at = np.array([1, 4, 7])
    wanted = np.round(rng.uniform(-0.6, 0.6, (3, 4)), 2)
    wanted[rng.random((3, 4)) < 0.2] = 0.0
    result = run(bars, Weights(at, wanted), config(tolerance=0.0, costs=Costs(0.001, 0.001), **TIGHT))
    for row, bar in enumerate(at):
        actual = held_weights(result, int(bar))
        expected = allocate(
            wanted[row][None, :], actual[None, :], RiskLimits(symbol=0.3, portfolio=0.8, new_exposure=0.25)
        )
        fills = result.fills.filter(pl.col("bar") == bar + 1)
        equity = result.equity["equity"][int(bar)]
        target = actual.copy()
        for asset, quantity in fills.select("asset", "quantity").iter_rows():
            target[bars.position_of(asset)] += quantity * bars.close[bar, bars.position_of(asset)] / equity
        np.testing.assert_allclose(target, expected.weights[0], atol=1e-9)
        logged = result.clips.filter(pl.col("bar") == bar)
        assert logged["layer"].cast(pl.String).to_list() == expected.clips["layer"].to_list()
        assert [bars.position_of(name) for name in logged["asset"]] == expected.clips["symbol"].to_list()
        np.testing.assert_allclose(logged["after"], expected.clips["after"], atol=1e-9)


def test_the_known_answer_of_one_account() -> None:
    """Weights .6 and -.4 with .5 a name, .8 in all and .4 new: .5 -.4; .444444 -.355556; .222222 -.177778."""
    bars = flat_bars(assets=2)
    result = run(bars, Weights(np.array([1]), np.array([[0.6, -0.4]])), config(
        symbol_limit=0.5, portfolio_limit=0.8, new_exposure_limit=0.4, tolerance=0.0
    ))  # fmt: skip
    assert result.clips.select("asset", pl.col("layer").cast(pl.String)).rows() == [
        ("A0", "symbol"), ("A0", "portfolio"), ("A1", "portfolio"), ("A0", "new_exposure"), ("A1", "new_exposure"),
    ]  # fmt: skip
    np.testing.assert_allclose(
        result.clips["after"], [0.5, 0.5 * 0.8 / 0.9, -0.4 * 0.8 / 0.9, 0.2222222222, -0.1777777778]
    )
    np.testing.assert_allclose(result.fills["quantity"], [222.2222222, -177.7777778])


def test_a_name_that_is_left_alone_takes_its_room() -> None:
    bars = flat_bars(assets=2)
    decisions = Weights(np.array([1, 4]), np.array([[0.5, 0.0], [np.nan, 0.5]]))
    result = run(bars, decisions, config(portfolio_limit=0.7, tolerance=0.0))
    assert [round(q) for q in result.fills["quantity"].to_list()] == [500, 200]


def test_single_orders_are_cut_in_their_order_and_reductions_are_not() -> None:
    bars = flat_bars(assets=3)
    orders = Orders.build(
        [1, 1, 1, 4],
        [0, 1, 2, 0],
        ["long_entry", "long_entry", "short_entry", "long_exit"],
        quantity=[400, 400, 400, 400],
    )
    result = run(bars, orders, config(symbol_limit=0.3, new_exposure_limit=0.5))
    # A hundred thousand at 100: 300 by the name, 200 by what the bar may add, nothing.
    assert result.fills.select("asset", "quantity").rows() == [("A0", 300.0), ("A1", 200.0), ("A0", -300.0)]
    assert result.clips.select(pl.col("layer").cast(pl.String), "before", "after").rows() == [
        ("symbol", 0.4, 0.3), ("symbol", 0.4, 0.3), ("new_exposure", 0.3, 0.2), ("symbol", 0.4, 0.3),
        ("new_exposure", 0.3, 0.0),
    ]  # fmt: skip
    assert result.counts["refused"] == 1


def daily_observations(result: BacktestResult) -> list[Observation]:
    days = result.bars.stamps // cases.DAY
    return [Observation(int(day), float(e)) for day, e in zip(days, result.equity["equity"].to_list(), strict=True)]


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_switches_trip_where_the_log_says_and_nothing_is_opened_after(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bars = whole_bars(seed, 60, 3)
    bars = replace(bars, stamps=bars.stamps // 6)  # six bars a day
    orders = Orders.build(
        np.sort(rng.integers(0, 58, 40)), rng.integers(0, 3, 40),
        rng.choice(["long_entry", "long_exit", "short_entry", "short_exit"], 40), quantity=300,
    )  # fmt: skip
    bounds = {"kill_drawdown": 0.08, "kill_daily_loss": 0.05}
    result = run(bars, orders, config(costs=Costs(0.001, 0.001), **bounds))
    log = replay(daily_observations(result), KillLimits(drawdown=0.08, daily_loss=0.05))
    found = [(row["bar"], row["switch"], row["bound"]) for row in result.trips.iter_rows(named=True)]
    assert found == [(trip.bar, trip.switch, trip.bound) for trip in log.trips]
    np.testing.assert_allclose(result.trips["value"], [trip.value for trip in log.trips])
    opened = result.fills.filter(pl.col("reason").cast(pl.String).is_in(["entry", "addition"]))
    assert not log.halted[opened["bar"].to_numpy()].any()
    if log.trips:
        free = run(bars, orders, config(costs=Costs(0.001, 0.001)))
        first = log.trips[0].bar
        assert result.fills.filter(pl.col("bar") <= first).equals(free.fills.filter(pl.col("bar") <= first))


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_limits_that_never_bind_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bars, settings_ = cases.random_bars(rng), cases.random_config(rng)
    decisions = cases.random_orders(rng, bars, stops=settings_.sizing.kind == "risk_fraction")
    wide = replace(settings_, symbol_limit=1e9, portfolio_limit=1e9, new_exposure_limit=1e9, kill_drawdown=1e9)
    plain, limited = run(bars, decisions, settings_), run(bars, decisions, wide)
    if plain.equity["equity"].to_numpy().min() > 0.0:
        assert limited.fills.equals(plain.fills)
        np.testing.assert_array_equal(limited.curve, plain.curve)
    assert limited.clips.is_empty()


@pytest.mark.parametrize("name", [*LIMITS, *SWITCHES])
def test_a_limit_below_zero_is_refused(name: str) -> None:
    with pytest.raises(BacktestInvalid, match=name):
        EngineConfig(costs=Costs.zero(), **{name: -0.1})
