"""Hand-made and random bars, decisions and configurations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from quant_platform.engine.bars import Bars, Event
from quant_platform.engine.config import Costs, EngineConfig, Sizing, SizingKind, Units
from quant_platform.engine.decisions import ACTIONS, Orders, Weights
from quant_platform.engine.layout import QUANTITY
from quant_platform.engine.result import BacktestResult

DAY = 86_400_000_000_000
CASH = 100_000.0
Ohlc = tuple[float, float, float, float]
FLAT: Ohlc = (100.0, 101.0, 99.0, 100.0)
MISSING: Ohlc = (np.nan, np.nan, np.nan, np.nan)


def flat_bars(over: dict[int, Ohlc] | None = None, sessions: int = 9, assets: int = 1, **more: Any) -> Bars:
    """Bars of 100/101/99/100 but for those stated, which are those of the first asset."""
    prices = np.tile(np.array(FLAT)[:, None, None], (1, sessions, assets))
    for t, bar in (over or {}).items():
        prices[:, t, 0] = bar
    names = tuple(f"A{k}" for k in range(assets))
    return Bars(names, DAY * np.arange(sessions), *prices, **more)


def config(**changes: Any) -> EngineConfig:
    """No costs, a hundred thousand, no limit of exposure, but for what is stated."""
    settings: dict[str, Any] = {"costs": Costs.zero(), "initial_cash": CASH, "leverage": np.inf} | changes
    return EngineConfig(**settings)


def shown(result: BacktestResult) -> list[tuple[int, float, float]]:
    """Fills as (bar, quantity, price)."""
    return [(row["bar"], row["quantity"], round(row["price"], 9)) for row in result.fills.iter_rows(named=True)]


def random_bars(rng: np.random.Generator, *, sessions: int | None = None, assets: int | None = None) -> Bars:
    """Wild walks with gaps, holes, halts and everything that can happen to an asset."""
    t, n = sessions or int(rng.integers(5, 50)), assets or int(rng.integers(1, 5))
    steps = rng.normal(0.0, 0.03, (t, n))
    close = 50.0 * np.exp(np.cumsum(steps, axis=0))
    gap = rng.normal(0.0, 0.02, (t, n))
    open_ = np.vstack([close[:1], close[:-1]]) * np.exp(gap)
    high = np.maximum(open_, close) * (1.0 + np.abs(rng.normal(0.0, 0.015, (t, n))))
    low = np.minimum(open_, close) * (1.0 - np.abs(rng.normal(0.0, 0.015, (t, n))))
    prices = np.stack([open_, high, low, close])
    if rng.random() < 0.3:
        prices = np.round(prices, 0)
    prices[:, rng.random((t, n)) < rng.choice([0.0, 0.1])] = np.nan
    more: dict[str, Any] = {}
    if rng.random() < 0.6:
        volume = np.round(rng.lognormal(6.0, 1.0, (t, n)), 1)
        volume[rng.random((t, n)) < 0.05] = 0.0
        volume[rng.random((t, n)) < 0.05] = np.nan
        more["volume"] = volume
    if rng.random() < 0.3:
        spread = rng.uniform(0.0, 0.002, (t, n))
        spread[rng.random((t, n)) < 0.2] = np.nan
        more["half_spread"] = spread
    if rng.random() < 0.3:
        more["lot"] = rng.choice([0.0, 0.1, 1.0, 10.0], n)
    if rng.random() < 0.2:
        more["tick"] = rng.choice([0.0, 0.25], n)
    if rng.random() < 0.2:
        more["minimum_notional"] = rng.choice([0.0, 300.0], n)

    def events(chance: float, draw: Any) -> tuple[Event, ...]:
        places = [(bar, asset) for bar in range(1, t) for asset in range(n) if rng.random() < chance]
        return tuple(Event(bar, asset, float(draw())) for bar, asset in places)

    if rng.random() < 0.3:
        more["splits"] = events(0.05, lambda: rng.choice([2.0, 0.5, 1.5]))
        more["dividends"] = events(0.05, lambda: rng.uniform(0.0, 1.0))
    if rng.random() < 0.3:
        more["funding"] = events(0.2, lambda: rng.choice([0.001, -0.0005, np.nan]))
    if rng.random() < 0.2:
        asset, bar = int(rng.integers(n)), int(rng.integers(2, t))
        prices[:, bar:, asset] = np.nan
        more["delistings"] = (Event(bar, asset, float(rng.choice([0.0, 0.3, 1.0, np.nan]))),)
    return Bars(tuple(f"A{k}" for k in range(n)), DAY * np.arange(t), *prices, **more)


SIZES: tuple[tuple[SizingKind, float], ...] = (
    ("units", 20.0), ("cash_amount", 3000.0), ("cash_fraction", 0.6), ("equity_fraction", 0.5), ("risk_fraction", 0.02),
)  # fmt: skip
UNITS: tuple[Units, ...] = ("fractional", "whole", "lot")


def random_config(rng: np.random.Generator, *, risk: bool = True) -> EngineConfig:
    """Any configuration."""
    values = SIZES if risk else SIZES[:-1]
    kind, value = values[int(rng.integers(len(values)))]
    costly = rng.random() < 0.7
    costs = Costs(
        commission_rate=float(rng.choice([0.0, 0.001])),
        half_spread=float(rng.choice([0.0, 0.0005])),
        maker_rate=None if rng.random() < 0.5 else 0.0002,
        per_unit=float(rng.choice([0.0, 0.005])),
        per_order=float(rng.choice([0.0, 2.5])),
        minimum=float(rng.choice([0.0, 4.0])),
        slippage_fixed=float(rng.choice([0.0, 0.01])),
        slip_targets=bool(rng.random() < 0.3),
        volatility_share=float(rng.choice([0.0, 0.05])),
        impact_coefficient=float(rng.choice([0.0, 0.5])),
        impact_window_bars=int(rng.integers(2, 6)),
        borrow_rate=float(rng.choice([0.0, 0.05])),
        margin_rate=float(rng.choice([0.0, 0.08])),
    )
    return EngineConfig(
        costs=costs if costly else Costs.zero(),
        initial_cash=20_000.0,
        fill="next_open" if rng.random() < 0.7 else "same_close",
        sizing=Sizing(kind, value, "decision" if rng.random() < 0.5 else "fill"),
        units=UNITS[int(rng.integers(len(UNITS)))],
        leverage=float(rng.choice([1.0, 1.0, 2.0, np.inf])),
        short_of_cash="cut" if rng.random() < 0.8 else "refuse",
        allow_short=bool(rng.random() < 0.7),
        accumulate=bool(rng.random() < 0.3),
        exits_from="next_bar" if rng.random() < 0.6 else "entry_bar",
        trail_counts_entry_bar=bool(rng.random() < 0.6),
        participation=None if rng.random() < 0.6 else float(rng.choice([0.02, 0.3])),
        zero_volume_halts=bool(rng.random() < 0.8),
        tolerance=float(rng.choice([0.0, 0.001, 0.05])),
        cash_buffer=float(rng.choice([0.0, 0.02])),
    )


def random_orders(rng: np.random.Generator, bars: Bars, *, stops: bool = False) -> Orders:
    """Orders of every kind, several on one bar and asset among them."""
    t, n = bars.shape
    m = int(rng.integers(1, 3 * t))
    bar, asset = rng.integers(0, t, m), rng.integers(0, n, m)
    action = rng.choice(ACTIONS, m, p=[0.35, 0.15, 0.2, 0.1, 0.2])
    close = bars.close[bar, asset]

    def maybe(chance: float, values: Any) -> Any:
        return np.where(rng.random(m) < chance, values, np.nan)

    quantity = maybe(0.3, np.round(rng.uniform(1.0, 80.0, m), 1))
    trade = action == "trade"
    quantity[trade] = np.round(rng.uniform(1.0, 60.0, trade.sum()), 1) * rng.choice([-1.0, 1.0], trade.sum())
    side = np.where(action == "short_entry", -1.0, 1.0)
    return Orders.build(
        bar,
        asset,
        action,
        quantity=quantity,
        stop=maybe(1.0 if stops else 0.4, rng.uniform(0.005, 0.08, m)),
        target=maybe(0.4, rng.uniform(0.005, 0.1, m)),
        trail=maybe(0.25, rng.uniform(0.01, 0.08, m)),
        stop_price=maybe(0.2, close * (1.0 - side * rng.uniform(-0.01, 0.06, m))),
        target_price=maybe(0.2, close * (1.0 + side * rng.uniform(-0.01, 0.06, m))),
        time_bars=np.where(rng.random(m) < 0.3, rng.integers(1, 8, m), 0),
        trigger_at_close=rng.random(m) < 0.2,
        time_at_close=rng.random(m) < 0.3,
        drop_passed_target=rng.random(m) < 0.3,
    )


def dear(bars: Bars, times: float) -> Bars:
    """The same market with units so many times as dear: every quantity is as much smaller."""
    return replace(
        bars,
        **{name: times * getattr(bars, name) for name in ("open", "high", "low", "close", "tick")},
        volume=None if bars.volume is None else bars.volume / times,
        lot=None if bars.lot is None else bars.lot / times,
        dividends=tuple(replace(event, value=event.value * times) for event in bars.dividends),
    )


def smaller(orders: Orders, times: float) -> Orders:
    """The same orders for a so many times smaller quantity."""
    numbers = orders.numbers.copy()
    numbers[:, QUANTITY] /= times
    return replace(orders, numbers=numbers)


def random_weights(rng: np.random.Generator, bars: Bars) -> Weights:
    """Target weights with names that stay, leave and are left alone."""
    t, n = bars.shape
    rows = np.flatnonzero(rng.random(t) < 0.5)
    weights = np.round(rng.uniform(-0.4, 0.8, (rows.size, n)) / n * 2, 3)
    weights[rng.random(weights.shape) < 0.3] = 0.0
    weights[rng.random(weights.shape) < 0.1] = np.nan
    return Weights(rows, weights)
