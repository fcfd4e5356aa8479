"""How decisions are traded: ``specs/strategies/*.yaml``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from quant_platform.specification.loading import SpecModel


class StrategyCosts(SpecModel):
    """What trading costs; rates are fractions of the traded value. Both that have no default must be stated."""

    commission_rate: float = Field(ge=0.0, le=1.0, description="Commission per side.")
    half_spread: float = Field(ge=0.0, le=1.0, description="Half the spread, a fraction of the price.")
    maker_rate: float | None = Field(default=None, ge=0.0, description="Commission of orders that rested; none: same.")
    per_unit: float = Field(default=0.0, ge=0.0, description="Commission per unit, in money.")
    per_order: float = Field(default=0.0, ge=0.0, description="Commission per order, in money.")
    minimum: float = Field(default=0.0, ge=0.0, description="Least commission of an order, in money.")
    volatility_share: float = Field(default=0.0, ge=0.0, description="Share of volatility that a market order pays.")
    impact_coefficient: float = Field(default=0.0, ge=0.0, description="Y of the square-root law of impact.")
    borrow_rate: float = Field(default=0.0, ge=0.0, description="Borrow fee of short positions per year.")
    margin_rate: float = Field(default=0.0, ge=0.0, description="Interest on cash below zero per year.")


class StrategySizing(SpecModel):
    """How much an entry buys that states no quantity."""

    kind: Literal["units", "cash_amount", "cash_fraction", "equity_fraction", "risk_fraction"] = Field(
        default="equity_fraction", description="What the value counts."
    )
    value: float = Field(gt=0.0, description="Units, money or a fraction.")
    at: Literal["decision", "fill"] = Field(default="decision", description="Whose prices size the order.")


class StrategySpec(SpecModel):
    """How decisions of one strategy become fills."""

    description: str = Field(description="What it is, in words.")
    costs: StrategyCosts = Field(description="Costs.")
    sizing: StrategySizing = Field(default=StrategySizing(value=1.0), description="Size of entries.")
    initial_cash: float = Field(default=1_000_000.0, gt=0.0, description="Money at the start.")
    fill: Literal["next_open", "same_close"] = Field(
        default="next_open", description="same_close fills at the close that decided, for comparisons only."
    )
    units: Literal["fractional", "whole"] = Field(default="fractional", description="Whether units are whole.")
    leverage: float = Field(default=1.0, gt=0.0, description="Largest gross exposure in multiples of equity.")
    allow_short: bool = Field(default=True, description="Whether positions may be negative.")
    participation: float | None = Field(default=None, gt=0.0, le=1.0, description="Largest share of a bar's volume.")
    tolerance: float = Field(default=0.001, ge=0.0, lt=1.0, description="Distance from target left alone.")
    cash_buffer: float = Field(default=0.0, ge=0.0, lt=1.0, description="Equity that target weights leave in cash.")
    periods_per_year: float = Field(default=252.0, gt=0.0, description="Bars a year has, for annual figures.")
