"""The perpetuals of a panel as the engine's bars, with the costs that discovery assumed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.engine.bars import PRICES, Bars, Event
from quant_platform.engine.config import Costs, EngineConfig, Sizing
from quant_platform.labs.events.discovery.labels import LabelStore
from quant_platform.market.perp_panel import PricePanel
from quant_platform.specification.discovery import CostSpec, DiscoverySpec

BAR_NANOSECONDS = 300_000_000_000
SETTLEMENT_BARS = 96
HOUR_BARS = 12
DAYS_PER_YEAR = 365.0
BPS = 1e-4


@dataclass(frozen=True, eq=False)
class EventMarket:
    """A market to trade strategies on.

    Attributes
    ----------
    store
        Labels over the panel: which events a template takes, and its levels.
    spec
        Costs and caps.
    """

    store: LabelStore
    spec: DiscoverySpec

    @property
    def panel(self) -> PricePanel:
        """Prices and features."""
        return self.store.panel

    @cached_property
    def bars(self) -> Bars:
        """All symbols at the spreads that were quoted."""
        return bars_of(self.panel)

    def stressed(self, factor: float) -> Bars:
        """The same with every spread multiplied."""
        return bars_of(self.panel, spread_factor=factor)


def bars_of(panel: PricePanel, *, spread_factor: float = 1.0) -> Bars:
    """Bars of a panel.

    Notes
    -----
    **Timing.** Funding settled at a moment stands on the bar that opens at it: who held before that open pays, as in
    the labels. **Missing values.** A bar with a price missing is no bar. A spread that is not known is NaN, which costs
    the stated pessimistic number. Where nobody knows whether funding was settled, an unknown rate stands every eight
    hours; where a settlement is known and its rate is not, there.
    """
    prices = {name: panel.column(name).T.copy() for name in PRICES}
    if not np.isfinite(prices["close"]).any():
        raise SchemaViolation("there is no bar to trade on", where="clean.market_5m")
    missing = np.logical_or.reduce([np.isnan(price) for price in prices.values()])
    for price in prices.values():
        price[missing] = np.nan
    settle, rate = panel.column("funding_settle"), panel.column("funding_rate")
    clock = np.arange(panel.periods) % SETTLEMENT_BARS == 0
    charged = (settle == 1.0) | (np.isnan(settle) & clock)
    value = np.where(settle == 1.0, rate, np.nan)
    symbols, bars = np.nonzero(charged)
    start = int(panel.start.timestamp()) * 1_000_000_000
    with np.errstate(invalid="ignore", divide="ignore"):
        volume = panel.column("quote_volume").T / prices["close"]
    return Bars(
        assets=panel.symbols,
        stamps=start + BAR_NANOSECONDS * np.arange(panel.periods),
        open=prices["open"],
        high=prices["high"],
        low=prices["low"],
        close=prices["close"],
        volume=volume,
        half_spread=0.5 * BPS * spread_factor * panel.column("spread_bps").T,
        funding=tuple(Event(int(b), int(s), float(value[s, b])) for s, b in zip(symbols, bars, strict=True)),
    )


def costs_of(cost: CostSpec, factor: float = 1.0) -> Costs:
    """The engine's costs from those of discovery; a factor multiplies all but funding, as stress does there."""
    return Costs(
        commission_rate=factor * cost.fee_bps * BPS,
        half_spread=0.0,
        impact_coefficient=factor * cost.impact_coefficient,
        impact_window_bars=HOUR_BARS,
        unknown_half_spread=factor * 0.5 * cost.unknown_spread_bps * BPS,
        unknown_impact=factor * cost.unknown_impact_bps * BPS,
        unknown_funding=cost.unknown_funding_bps * BPS,
    )


def config_of(spec: DiscoverySpec, factor: float = 1.0) -> EngineConfig:
    """One account per strategy, so large that the capped weight of a trade is the order whose impact was assumed."""
    return EngineConfig(
        costs=costs_of(spec.cost, factor),
        initial_cash=spec.cost.order_usd / spec.sizing.max_weight_per_trade,
        sizing=Sizing("equity_fraction", spec.sizing.max_weight_per_trade),
        periods_per_year=DAYS_PER_YEAR * 288.0,
        zero_volume_halts=True,
    )
