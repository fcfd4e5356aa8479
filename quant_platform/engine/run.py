"""The door of the engine: bars and decisions in, a result out."""

from __future__ import annotations

import math

import numpy as np

from quant_platform.engine import kernel, layout
from quant_platform.engine.bars import NANOSECONDS_PER_YEAR, Bars
from quant_platform.engine.config import BacktestInvalid, EngineConfig
from quant_platform.engine.decisions import Decisions, Orders, Signals, Weights
from quant_platform.engine.layout import Floats, Integers, Market, Rules
from quant_platform.engine.result import BacktestResult
from quant_platform.engine.trailing import trailing_mean, trailing_volatility

_NO_ORDERS = (np.empty((0, layout.ORDER_FLOATS)), np.empty((0, layout.ORDER_INTEGERS), dtype=np.int64))
_UNKNOWN = np.full((1, 1), np.nan)
_SIZINGS = ("units", "cash_amount", "cash_fraction", "equity_fraction", "risk_fraction")


def run(bars: Bars, decisions: Decisions, config: EngineConfig) -> BacktestResult:
    """Trade decisions on bars.

    Parameters
    ----------
    bars
        The market.
    decisions
        Signals, weights or orders; a decision of bar t has seen the close of t.
    config
        Fill, sizing, costs and limits.

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
    market, rules = market_of(bars, config), rules_of(bars, config)
    sessions, assets = bars.shape
    curve = np.empty((sessions, layout.CURVE_FLOATS))
    waiting = assets + 1024
    rows = 4 * orders[0].shape[0] + 2 * weights.size + 2 * assets + 16
    while True:
        book = kernel.empty_book(assets, rows, waiting, rows, config.initial_cash)
        kernel.simulate(orders[0], orders[1], rebalances, weights, market, rules, book, curve)
        if not book.sizes[layout.OVERFLOW]:
            break
        rows, waiting = 2 * rows, 2 * waiting
    fills, trades = book.sizes[layout.FILLS], book.sizes[layout.TRADES]
    return BacktestResult(
        bars=bars,
        config=config,
        counts={name: int(count) for name, count in zip(layout.COUNTS, book.counts, strict=True)},
        totals={
            name: float(book.account[layout.INTEREST + offset]) for offset, name in enumerate(layout.TOTALS)
        },
        lot_units=np.vstack([market.lot_numerator, market.lot_denominator]),
        _fills=book.fills[:fills].copy(),
        _fill_places=book.fill_places[:fills].copy(),
        _trades=book.trades[:trades].copy(),
        _trade_places=book.trade_places[:trades].copy(),
        _curve=curve,
    )


def market_of(bars: Bars, config: EngineConfig) -> Market:
    """The bars as the arrays a kernel takes."""
    assets = len(bars.assets)
    volatility = mean_volume = _UNKNOWN
    if config.costs.has_impact:
        window = config.costs.impact_window_bars
        volatility = trailing_volatility(bars.close, window)
        volume = np.full(bars.shape, np.nan) if bars.volume is None else bars.volume
        mean_volume = trailing_mean(volume, window)
    lots = bars.lot if config.units == "lot" and bars.lot is not None else np.zeros(assets)
    if config.units == "whole":
        lots = np.ones(assets)
    numerator, denominator = _ratio(lots)
    elapsed = np.diff(bars.stamps, prepend=bars.stamps[0]) / NANOSECONDS_PER_YEAR
    bar, asset, kind, value = bars.events()
    zeros = np.zeros(assets)
    return Market(
        open=bars.open,
        high=bars.high,
        low=bars.low,
        close=bars.close,
        volume=_UNKNOWN if bars.volume is None else bars.volume,
        half_spread=_UNKNOWN if bars.half_spread is None else bars.half_spread,
        volatility=volatility,
        mean_volume=mean_volume,
        whole=lots > 0.0,
        lot_numerator=numerator,
        lot_denominator=denominator,
        tick=zeros if bars.tick is None else bars.tick,
        minimum_notional=zeros if bars.minimum_notional is None else bars.minimum_notional,
        years=elapsed,
        event_bar=bar,
        event_asset=asset,
        event_kind=kind,
        event_value=value,
    )


def rules_of(bars: Bars, config: EngineConfig) -> Rules:
    """The configuration as the numbers a kernel takes."""
    costs = config.costs
    return Rules(
        same_close=config.fill == "same_close",
        exits_from_entry_bar=config.exits_from == "entry_bar",
        trail_counts_entry_bar=config.trail_counts_entry_bar,
        accumulate=config.accumulate,
        allow_short=config.allow_short,
        refuse_when_short_of_cash=config.short_of_cash == "refuse",
        size_at_fill=config.sizing.at == "fill",
        zero_volume_halts=config.zero_volume_halts,
        sizing=_SIZINGS.index(config.sizing.kind),
        size=float(config.sizing.value),
        initial_cash=float(config.initial_cash),
        leverage=float(config.leverage),
        participation=math.inf if config.participation is None else float(config.participation),
        has_volume=bars.volume is not None,
        taker_rate=float(costs.commission_rate),
        maker_rate=float(costs.commission_rate if costs.maker_rate is None else costs.maker_rate),
        per_unit=float(costs.per_unit),
        per_order=float(costs.per_order),
        minimum_commission=float(costs.minimum),
        has_spread=bars.half_spread is not None,
        half_spread=float(costs.half_spread),
        unknown_half_spread=float(costs.unknown_half_spread),
        slippage_fixed=float(costs.slippage_fixed),
        slip_targets=costs.slip_targets,
        has_impact=costs.has_impact,
        volatility_share=float(costs.volatility_share),
        impact_coefficient=float(costs.impact_coefficient),
        unknown_impact=float(costs.unknown_impact),
        borrow_rate=float(costs.borrow_rate),
        margin_rate=float(costs.margin_rate),
        unknown_funding=float(costs.unknown_funding),
        unknown_recovery=float(costs.unknown_recovery),
        tolerance=float(config.tolerance),
        cash_buffer=float(config.cash_buffer),
    )


def _lists(
    bars: Bars, decisions: Decisions, config: EngineConfig
) -> tuple[tuple[Floats, Integers], Integers, Floats]:
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
