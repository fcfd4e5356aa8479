"""How decisions are traded: ``specs/strategies/*.yaml``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

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
    unknown_half_spread: float = Field(
        default=0.0025, ge=0.0, le=1.0, description="Half spread where the bars have a column of it and not its value."
    )
    unknown_impact: float = Field(default=0.005, ge=0.0, description="Impact where volatility or volume is not known.")
    unknown_recovery: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Fraction of its last close that a long position in a name that went "
        "is paid, where it is not known; a short pays all of it.",
    )


class StrategySizing(SpecModel):
    """How much an entry buys that states no quantity."""

    kind: Literal["units", "cash_amount", "cash_fraction", "equity_fraction", "risk_fraction"] = Field(
        default="equity_fraction", description="What the value counts."
    )
    value: float = Field(gt=0.0, description="Units, money or a fraction.")
    at: Literal["decision", "fill"] = Field(default="decision", description="Whose prices size the order.")


class StrategyRisk(SpecModel):
    """Layers and switches inside the run, fractions of equity; null for none. Reductions always pass."""

    symbol: float | None = Field(default=None, ge=0.0, description="Largest gross weight of one name.")
    portfolio: float | None = Field(default=None, ge=0.0, description="Largest gross weight of everything.")
    new_exposure: float | None = Field(default=None, ge=0.0, description="Most that one bar may add.")
    drawdown: float | None = Field(default=None, ge=0.0, description="Fall from the peak that stops opening for good.")
    daily_loss: float | None = Field(default=None, ge=0.0, description="Fall within a UTC day that does.")


class StrategyExits(SpecModel):
    """How positions leave by themselves; null for none."""

    stop: float | None = Field(default=None, gt=0.0, description="Stop, a fraction of the average entry price.")
    target: float | None = Field(default=None, gt=0.0, description="Target, a fraction of the average entry price.")
    trail: float | None = Field(default=None, gt=0.0, description="Trailing stop, a fraction of the best price since.")
    time_bars: int | None = Field(default=None, ge=1, description="Bars to hold, the entry bar the first.")
    trigger: Literal["touch", "close"] = Field(
        default="touch", description="touch leaves at the level inside the bar, close compares closes and leaves next."
    )


class _Expressions(SpecModel):
    definitions: dict[str, str] = Field(default_factory=dict, description="Intermediate expressions by name.")
    params: dict[str, float] = Field(default_factory=dict, description="Numbers that expressions may name.")


class SignalDecisions(_Expressions):
    """Entries and exits by expression over open, high, low, close and volume of each asset."""

    kind: Literal["signals"] = Field(description="Entries and exits.")
    long_entry: str | None = Field(default=None, description="Condition on whose close a flat asset is bought.")
    long_exit: str | None = Field(default=None, description="Condition on whose close a long position is left.")
    short_entry: str | None = Field(default=None, description="Condition on whose close a flat asset is sold short.")
    short_exit: str | None = Field(default=None, description="Condition on whose close a short position is left.")
    exits: StrategyExits = Field(default=StrategyExits(), description="Stops, targets and time.")

    @model_validator(mode="after")
    def _enters(self) -> SignalDecisions:
        if self.long_entry is None and self.short_entry is None:
            raise ValueError("state long_entry or short_entry: a strategy that never enters trades nothing")
        return self


class TopDecisions(_Expressions):
    """The names with the highest score, held in equal parts."""

    kind: Literal["top"] = Field(description="A ranking.")
    score: str = Field(description="Expression whose highest values are held.")
    count: int = Field(ge=1, description="Names held long.")
    lowest: int = Field(default=0, ge=0, description="Names with the lowest score that are held short.")
    rebalance: Literal["week", "month"] | Annotated[int, Field(ge=1)] = Field(
        description="First bar of each week or month, or one bar in so many."
    )
    gross: float = Field(default=1.0, gt=0.0, description="Sum of the sizes of all weights.")


class SetupDecisions(SpecModel):
    """Setups of the equity lab: the candidates of the weekly replay, with their stop, target and horizon."""

    kind: Literal["setups"] = Field(description="Setups of the equity lab.")
    qualified: bool = Field(default=True, description="Only those that no rule of the gate refused.")


StrategyDecisions = Annotated[SignalDecisions | TopDecisions | SetupDecisions, Field(discriminator="kind")]


class StrategySpec(SpecModel):
    """How decisions of one strategy are made, where the file says so, and become fills."""

    description: str = Field(description="What it is, in words.")
    decisions: StrategyDecisions | None = Field(
        default=None, description="Rule that decides; null where decisions are handed over as a table."
    )
    costs: StrategyCosts = Field(description="Costs.")
    sizing: StrategySizing = Field(default=StrategySizing(value=1.0), description="Size of entries.")
    risk: StrategyRisk = Field(default=StrategyRisk(), description="Limits and switches.")
    initial_cash: float = Field(default=1_000_000.0, gt=0.0, description="Money at the start.")
    fill: Literal["next_open", "same_close"] = Field(
        default="next_open", description="same_close fills at the close that decided, for comparisons only."
    )
    units: Literal["fractional", "whole"] = Field(default="fractional", description="Whether units are whole.")
    leverage: float = Field(default=1.0, gt=0.0, description="Largest gross exposure in multiples of equity.")
    allow_short: bool = Field(default=True, description="Whether positions may be negative.")
    exits_from: Literal["next_bar", "entry_bar"] = Field(
        default="next_bar", description="First bar whose inside stops and targets look at."
    )
    participation: float | None = Field(default=None, gt=0.0, le=1.0, description="Largest share of a bar's volume.")
    gone_after_bars: int | None = Field(
        default=5, ge=1, description="Bars without a price, at the end of a name's data, after which it counts as gone."
    )
    tolerance: float = Field(default=0.001, ge=0.0, lt=1.0, description="Distance from target left alone.")
    cash_buffer: float = Field(default=0.0, ge=0.0, lt=1.0, description="Equity that target weights leave in cash.")
    periods_per_year: float = Field(default=252.0, gt=0.0, description="Bars a year has, for annual figures.")
