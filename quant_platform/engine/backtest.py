"""The door of the engine: bars and decisions in, a result out."""

from __future__ import annotations

import math

import numpy as np

from quant_platform.engine import kernel, layout
from quant_platform.engine.bars import NANOSECONDS_PER_DAY, NANOSECONDS_PER_YEAR, Bars, Event
from quant_platform.engine.config import LIMITS, SWITCHES, BacktestInvalid, Costs, EngineConfig, Sizing
from quant_platform.engine.decisions import Decisions, ExitRule, Orders, Signals, Weights
from quant_platform.engine.layout import Events, Floats, Integers, Market
from quant_platform.engine.result import BacktestResult
from quant_platform.engine.trailing import trailing_mean, trailing_volatility

__all__ = [
    "BacktestInvalid", "BacktestResult", "Bars", "Costs", "Decisions", "EngineConfig", "Event", "ExitRule", "Orders",
    "Signals", "Sizing", "Weights", "run",
]  # fmt: skip

_NO_ORDERS = (np.empty((0, layout.ORDER_FLOATS)), np.empty((0, layout.ORDER_INTEGERS), dtype=np.int64))
_SIZINGS = ("units", "cash_amount", "cash_fraction", "equity_fraction", "risk_fraction")


def run(bars: Bars, decisions: Decisions, config: EngineConfig, *, market: Market | None = None) -> BacktestResult:
    """Trade decisions on bars.

    Parameters
    ----------
    bars
        The market.
    decisions
        Signals, weights or orders; a decision of bar t has seen the close of t.
    config
        Fill, sizing, costs and limits.
    market
        ``market_of(bars, config)`` where many runs share bars, units and the window of impact; made here when None.

    Raises
    ------
    BacktestInvalid
        When decisions do not fit the bars, or a sizing by risk meets an entry without a stop.

    Notes
    -----
    The numbered algorithm is in :mod:`quant_platform.engine.kernel`, what it decides on open questions in
    ``docs/explanation/execution.md``. **Timing.** A fill happens after the close that decided it, except under
    ``same_close``. **Missing values.** A missing bar fills nothing and is marked at the last close.
    """
    orders, rebalances, weights = _lists(bars, decisions, config)
    market = market if market is not None else market_of(bars, config)
    events, rules = events_of(bars), rules_of(bars, config)
    sessions, assets = bars.shape
    curve = np.empty((sessions, layout.CURVE_WIDTH))
    waiting = assets + 1024
    limited = bool(rules[0]["has_limits"])
    rows = 4 * orders[0].shape[0] + 2 * weights.size + 2 * assets + 16
    while True:
        book = kernel.empty_book(assets, rows, waiting, rows, config.initial_cash, clips=3 * rows if limited else 0)
        kernel.simulate(orders[0], orders[1], rebalances, weights, market, events, rules, book, curve)
        if not book.sizes[layout.OVERFLOW]:
            break
        rows, waiting = 2 * rows, 2 * waiting
    fills, trades = book.sizes[layout.FILLS], book.sizes[layout.TRADES]
    return BacktestResult(
        bars=bars,
        config=config,
        counts={name: int(count) for name, count in zip(layout.COUNTS, book.sizes[layout.FIRST_COUNT :], strict=True)},
        totals={name: float(book.account[layout.INTEREST + offset]) for offset, name in enumerate(layout.TOTALS)},
        lot_units=np.ascontiguousarray(market.traits[:, [layout.LOT_NUMERATOR, layout.LOT_DENOMINATOR]].T),
        _fills=book.fills[:fills].copy(),
        _trades=book.trades[:trades].copy(),
        _curve=curve,
        _clips=book.clips[: book.sizes[layout.CLIPS]].copy(),
        _trips=book.trips[: book.sizes[layout.TRIPS]].copy(),
    )


def market_of(bars: Bars, config: EngineConfig) -> Market:
    """The bars as the arrays a kernel takes."""
    costs = np.full((2, 1, 1), np.nan)
    if config.costs.has_impact:
        window = config.costs.impact_window_bars
        costs = np.stack([trailing_volatility(bars.close, window), trailing_mean(bars.panel[layout.VOLUME], window)])
    lots = bars.lot if config.units == "lot" and bars.lot is not None else np.zeros(len(bars.assets))
    if config.units == "whole":
        lots = np.ones(len(bars.assets))
    traits = np.zeros((len(bars.assets), 5))
    traits[:, layout.WHOLE] = lots > 0.0
    traits[:, layout.LOT_NUMERATOR], traits[:, layout.LOT_DENOMINATOR] = _ratio(lots)
    traits[:, layout.TICK], traits[:, layout.MINIMUM_NOTIONAL] = bars.tick, bars.minimum_notional
    return Market(bars=bars.panel, costs=costs, traits=traits)


def events_of(bars: Bars) -> Events:
    """What happens to the assets, and the years between the bars."""
    bar, asset, kind, value = bars.events()
    elapsed = np.diff(bars.stamps, prepend=bars.stamps[0]) / NANOSECONDS_PER_YEAR
    return Events(bar=bar, asset=asset, kind=kind, value=value, years=elapsed, day=bars.stamps // NANOSECONDS_PER_DAY)


def rules_of(bars: Bars, config: EngineConfig) -> np.recarray[tuple[int], np.dtype[np.record]]:
    """The configuration as an array of one record, which a kernel takes; its fields have names uncompiled as well."""
    costs, rules = config.costs, np.zeros(1, dtype=layout.RULES).view(np.recarray)
    values = {
        "same_close": config.fill == "same_close",
        "exits_from_entry_bar": config.exits_from == "entry_bar",
        "refuse_when_short_of_cash": config.short_of_cash == "refuse",
        "size_at_fill": config.sizing.at == "fill",
        "sizing": _SIZINGS.index(config.sizing.kind),
        "amount": config.sizing.value,
        "participation": math.inf if config.participation is None else config.participation,
        "has_volume": bars.volume is not None,
        "has_spread": bars.half_spread is not None,
        "has_impact": costs.has_impact,
        "has_limits": any(getattr(config, name) < math.inf for name in LIMITS),
        "has_switches": any(getattr(config, name) < math.inf for name in SWITCHES),
        "taker_rate": costs.commission_rate,
        "maker_rate": costs.commission_rate if costs.maker_rate is None else costs.maker_rate,
        "minimum_commission": costs.minimum,
    }
    for name in layout.RULES.names or ():
        if name not in values:
            values[name] = getattr(config, name) if hasattr(config, name) else getattr(costs, name)
        rules[name] = values[name]
    return rules


def _lists(bars: Bars, decisions: Decisions, config: EngineConfig) -> tuple[tuple[Floats, Integers], Integers, Floats]:
    sessions, assets = bars.shape
    none = np.empty(0, dtype=np.int64), np.empty((0, assets))
    if isinstance(decisions, Weights):
        if decisions.weights.shape[1] != assets or np.any((decisions.bars < 0) | (decisions.bars >= sessions)):
            raise BacktestInvalid(
                f"weights of {decisions.weights.shape[1]} assets for bars of {assets}, or a rebalance outside the bars",
                where="Weights",
            )
        return _NO_ORDERS, decisions.bars, decisions.weights
    if isinstance(decisions, Signals):
        if decisions.shape != bars.shape:
            raise BacktestInvalid(f"signals of shape {decisions.shape} for bars of {bars.shape}", where="Signals")
        decisions = decisions.as_orders()
    numbers, places = decisions.numbers, decisions.places
    bar, asset = places[:, layout.ORDER_BAR], places[:, layout.ORDER_ASSET]
    if np.any((bar < 0) | (bar >= sessions) | (asset < 0) | (asset >= assets)):
        raise BacktestInvalid("an order names a bar or an asset outside the bars", where="Orders")
    entries = (places[:, layout.ORDER_SIGNAL] & (layout.LONG_ENTRY | layout.SHORT_ENTRY)) != 0
    if config.sizing.kind == "risk_fraction":
        stops = numbers[:, [layout.STOP, layout.TRAIL, layout.STOP_PRICE]]
        open_ended = entries & np.isnan(numbers[:, layout.QUANTITY]) & np.isnan(stops).all(axis=1)
        if open_ended.any():
            raise BacktestInvalid(
                "sizing by risk needs a stop on every entry that states no quantity",
                where="EngineConfig.sizing",
                how_many=f"{int(open_ended.sum())} of {int(entries.sum())} entries",
            )
    return (numbers, places), *none


def _ratio(lots: Floats) -> tuple[Floats, Floats]:
    """Lots as fractions, so that thirty lots of 0.1 are exactly 3."""
    numerator, denominator = np.where(lots > 0.0, lots, 1.0), np.ones(len(lots))
    inverse = np.round(1.0 / numerator)
    small = (numerator < 1.0) & (np.abs(inverse * numerator - 1.0) < 1e-9)
    denominator[small], numerator[small] = inverse[small], 1.0
    return numerator, denominator
