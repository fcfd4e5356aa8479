"""The events of a strategy as orders: the one bridge from discovery to the engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from quant_platform.engine.decisions import Orders
from quant_platform.labs.events.backtest.market import EventMarket
from quant_platform.labs.events.backtest.strategies import Strategy
from quant_platform.labs.events.discovery.cells import ALL
from quant_platform.labs.events.discovery.labels import levels_of
from quant_platform.specification.discovery import DiscoverySpecs
from quant_platform.statistics.checks import Floats, Longs


@dataclass(frozen=True, eq=False)
class StrategyOrders:
    """Orders of a strategy and the event behind each.

    Attributes
    ----------
    orders
        An entry signal per event that is traded, sorted by bar and asset.
    events
        The rows of ``events.events`` in the order of the orders.
    untraded
        Events of the cell that give no order, by reason.
    """

    orders: Orders
    events: pl.DataFrame
    untraded: dict[str, int]


def strategy_orders(
    strategy: Strategy,
    events: pl.DataFrame,
    market: EventMarket,
    specs: DiscoverySpecs,
    *,
    later_bars: int = 0,
    flip: bool = False,
) -> StrategyOrders:
    """Turn the events of a strategy into orders.

    Parameters
    ----------
    strategy
        What is traded.
    events
        Rows of ``events.events``, of any events.
    market
        Where; its symbols are the assets of the orders.
    specs
        Specs of discovery.
    later_bars
        Bars by which every entry is late.
    flip
        Trade against the strategy's side; for templates without levels only.

    Notes
    -----
    **Timing.** An event of bar t is known at its close; the order is decided with the close of bar ``t + lag - 1`` and
    filled at the open of ``t + lag``, the bar of the label. A pullback is decided with the close that satisfies it.
    Levels are those of the event's bar, compared with closes, acted on at the next open. An account holds one position
    a symbol: an event while the same side is held is ignored, one of the other side turns the position.
    """
    event, template = specs.events[strategy.event_id], specs.templates[strategy.template]
    panel = market.panel
    own = events.filter(pl.col("event_id") == strategy.event_id, pl.col("symbol").is_in(strategy.symbols))
    if strategy.dimension != ALL:
        own = own.filter(pl.col(strategy.dimension).cast(pl.String) == strategy.state)
    own = own.sort("bar", "symbol")
    number = {symbol: row for row, symbol in enumerate(panel.symbols)}
    symbols = np.array([number[name] for name in own["symbol"].to_list()], dtype=np.int64)
    positions = panel.positions(own["bar"])
    # Zero is the schema's "no direction"; a template that needs one does not take such an event.
    directions = own["direction"].cast(pl.Int64).fill_null(0).to_numpy()
    taken = market.store.takes(template, symbols, positions, directions) & (directions != 0)
    untraded = {"not of the template's subset": int((~taken).sum())}
    own, symbols, positions, directions = (
        own.filter(pl.Series(taken)),
        symbols[taken],
        positions[taken],
        directions[taken],
    )
    sides = directions * strategy.side * (-1 if flip else 1)
    lag = event.entry_lag_bars + (1 if template.subset == "confirmed" else 0) + later_bars
    decided = positions + lag - 1
    stops, targets = np.full(sides.size, np.nan), np.full(sides.size, np.nan)
    if template.pullback is not None:
        decided = _pulled_back(
            market, symbols, positions, sides, lag, template.pullback.multiple, template.pullback.valid_bars
        )
        untraded["no pullback"] = int((decided < 0).sum())
    elif template.target is not None:
        targets, stops = _levels_at(market, strategy, specs, symbols, positions, sides)
    usable = (decided >= 0) & (decided < panel.periods)
    if template.stop is not None:
        untraded["no stop"] = int((usable & np.isnan(stops)).sum())
        usable &= ~np.isnan(stops)
    order = np.lexsort((symbols[usable], decided[usable]))
    kept = np.flatnonzero(usable)[order]
    orders = Orders.build(
        decided[kept],
        symbols[kept],
        np.where(sides[kept] > 0, "long_entry", "short_entry"),
        stop_price=stops[kept],
        target_price=targets[kept],
        time_bars=strategy.horizon_bars,
        trigger_at_close=True,
        drop_passed_target=True,
    )
    return StrategyOrders(orders, own[kept], {reason: count for reason, count in untraded.items() if count})


def _levels_at(
    market: EventMarket, strategy: Strategy, specs: DiscoverySpecs, symbols: Longs, positions: Longs, sides: Longs
) -> tuple[Floats, Floats]:
    template = specs.templates[strategy.template]
    targets, stops = np.full(sides.size, np.nan), np.full(sides.size, np.nan)
    for symbol in np.unique(symbols):
        highs, lows, closes = (np.log(market.panel.columns[name][symbol]) for name in ("high", "low", "close"))
        for side in (-1, 1):
            mine = (symbols == symbol) & (sides == side)
            target, stop = levels_of(template, float(side), highs, lows, closes)
            targets[mine], stops[mine] = np.exp(target[positions[mine]]), np.exp(stop[positions[mine]])
    return targets, stops


def _pulled_back(
    market: EventMarket, symbols: Longs, positions: Longs, sides: Longs, lag: int, multiple: float, valid_bars: int
) -> Longs:
    """Bar of the first close at or beyond the level within the valid bars; -1 where there is none."""
    close = market.panel.columns["close"]
    rv12 = market.panel.column("rv12")
    decided = np.full(sides.size, -1, dtype=np.int64)
    for row, (symbol, position, side) in enumerate(zip(symbols, positions, sides, strict=True)):
        level = np.log(close[symbol, position]) - side * multiple * rv12[symbol, position] * np.sqrt(valid_bars)
        ahead = np.log(close[symbol, position + lag : position + lag + valid_bars])
        there = np.flatnonzero(side * ahead <= side * level)
        if there.size:
            decided[row] = position + lag + there[0]
    return decided
