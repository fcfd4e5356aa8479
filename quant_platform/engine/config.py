"""How decisions become fills: one frozen configuration, and what costs are assumed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from quant_platform.contracts.errors import PlatformError

Fill = Literal["next_open", "same_close"]
SizingKind = Literal["units", "cash_amount", "cash_fraction", "equity_fraction", "risk_fraction"]
Units = Literal["fractional", "whole", "lot"]


LIMITS = ("symbol_limit", "portfolio_limit", "new_exposure_limit")
SWITCHES = ("kill_drawdown", "kill_daily_loss")


class BacktestInvalid(PlatformError, ValueError):
    """Bars, decisions or configuration of a backtest contradict themselves or each other."""

    code = "backtest_invalid"


@dataclass(frozen=True)
class Costs:
    """What trading and holding cost. All rates are fractions; nothing here is guessed, so every run must state it.

    Attributes
    ----------
    commission_rate
        Commission per side, a fraction of the traded value.
    maker_rate
        The same for orders that rested at their price (targets); None takes ``commission_rate``.
    per_unit, per_order, minimum
        Commission per unit, per order, and the least per order, in money.
    half_spread
        Half the spread, a fraction of the price, where the bars do not carry it.
    slippage_fixed
        A further amount of price per unit, in money.
    slip_targets
        Whether an order that rested at its price pays spread and impact too.
    volatility_share, impact_coefficient
        ``share sigma + Y sigma sqrt(Q / V)``; sigma and V over ``impact_window_bars`` bars up to the one before the
        fill. Y is about 1 in the literature.
    borrow_rate, margin_rate
        Per year, on the value held short and on cash below zero.
    unknown_half_spread, unknown_impact, unknown_funding, unknown_recovery
        What is charged, and counted, where the bars say that there is something and not how much: half spread and
        impact as fractions of the price, funding as a fraction per settlement that the position pays whatever its side,
        recovery as a fraction of the last close that a long position gets (a short one pays it in full).

    References
    ----------
    Almgren, Thum, Hauptmann and Li (2005), Risk 18(7):58-62.
    """

    commission_rate: float
    half_spread: float
    maker_rate: float | None = None
    per_unit: float = 0.0
    per_order: float = 0.0
    minimum: float = 0.0
    slippage_fixed: float = 0.0
    slip_targets: bool = False
    volatility_share: float = 0.0
    impact_coefficient: float = 0.0
    impact_window_bars: int = 20
    borrow_rate: float = 0.0
    margin_rate: float = 0.0
    unknown_half_spread: float = 0.0025
    unknown_impact: float = 0.005
    unknown_funding: float = 0.001
    unknown_recovery: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is None or isinstance(value, bool):
                continue
            if not (math.isfinite(value) and value >= 0.0):
                raise BacktestInvalid(f"{name} was {value}, a number of at least zero is needed", where=f"Costs.{name}")
        for name in ("commission_rate", "half_spread", "unknown_half_spread", "unknown_recovery"):
            if getattr(self, name) > 1.0:
                raise BacktestInvalid(
                    f"{name} was {getattr(self, name)}, a fraction of the price is needed",
                    where=f"Costs.{name}",
                    cause="bps or percent where a fraction is needed: 10 bps are 0.001",
                )
        if self.impact_window_bars < 2:
            raise BacktestInvalid("impact_window_bars must be at least 2", where="Costs.impact_window_bars")

    @classmethod
    def zero(cls) -> Costs:
        """No costs at all, said aloud: for comparisons and tests."""
        return cls(commission_rate=0.0, half_spread=0.0)

    @property
    def has_impact(self) -> bool:
        """Whether volatility or size enter the price."""
        return self.volatility_share > 0.0 or self.impact_coefficient > 0.0


@dataclass(frozen=True)
class Sizing:
    """How much an entry that states no quantity buys.

    Attributes
    ----------
    kind
        ``units``: that many; ``cash_amount``: for that much money; ``cash_fraction``: for a share of the cash, costs
        included; ``equity_fraction``: for a share of equity; ``risk_fraction``: so much that the way to its stop loses
        that share of equity.
    value
        Units, money or fraction.
    at
        ``decision``: with prices and equity of the close of the decision, as an order must be sent; ``fill``: with
        those of the fill.
    """

    kind: SizingKind = "equity_fraction"
    value: float = 1.0
    at: Literal["decision", "fill"] = "decision"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and self.value > 0.0):
            raise BacktestInvalid(f"value was {self.value}, a positive number is needed", where="Sizing.value")


@dataclass(frozen=True)
class EngineConfig:
    """Everything about a run that is neither bars nor decisions.

    Attributes
    ----------
    costs
        What trading and holding cost.
    initial_cash
        Money at the start.
    fill
        ``next_open`` fills a decision of the close of t at the open of t + 1; ``same_close`` at the close of t itself,
        which nobody can do and is for comparisons only.
    sizing
        Of entries that state no quantity.
    units
        ``fractional``, ``whole``, or ``lot`` as the bars state per asset.
    leverage
        Largest gross exposure in multiples of equity when something is opened; up to 1 cash never falls below zero by
        buying. Infinity switches the limit off.
    short_of_cash
        ``cut`` an order that cash or leverage do not allow to what they do, or ``refuse`` it whole.
    allow_short
        Whether positions may be negative.
    accumulate
        Whether an entry signal enlarges a position of its side.
    exits_from
        First bar whose inside stops and targets look at: ``next_bar`` after the entry, or the ``entry_bar``.
    trail_counts_entry_bar
        Whether the extreme of the entry bar moves a trailing stop.
    participation
        Largest share of a bar's volume that fills of one asset take; None for no limit.
    zero_volume_halts
        Whether a bar with a volume of zero fills nothing.
    tolerance
        A rebalance leaves positions alone whose distance from target is below this fraction of equity, but always
        closes those whose target is zero.
    cash_buffer
        Fraction of equity that target weights leave in cash.
    symbol_limit, portfolio_limit, new_exposure_limit
        Risk layers inside the run, fractions of equity; infinity for none. Target weights are scaled as
        :func:`~quant_platform.engine.allocator.allocate` scales them; single orders are cut in the order in which they
        are filled. Reductions always pass, and what was taken stands in ``result.clips``.
    kill_drawdown, kill_daily_loss
        Fall from the peak, and within a UTC day, at whose close nothing is opened or enlarged any more, from the next
        bar on and for the rest of the run; infinity for none. What tripped stands in ``result.trips``.
    periods_per_year
        Bars a year has, for annualised figures: 252 for exchange sessions, 365 for daily bars around the clock.
    """

    costs: Costs
    initial_cash: float = 1_000_000.0
    fill: Fill = "next_open"
    sizing: Sizing = field(default_factory=Sizing)
    units: Units = "fractional"
    leverage: float = 1.0
    short_of_cash: Literal["cut", "refuse"] = "cut"
    allow_short: bool = True
    accumulate: bool = False
    exits_from: Literal["next_bar", "entry_bar"] = "next_bar"
    trail_counts_entry_bar: bool = True
    participation: float | None = None
    zero_volume_halts: bool = True
    tolerance: float = 0.001
    cash_buffer: float = 0.0
    symbol_limit: float = math.inf
    portfolio_limit: float = math.inf
    new_exposure_limit: float = math.inf
    kill_drawdown: float = math.inf
    kill_daily_loss: float = math.inf
    periods_per_year: float = 252.0

    def __post_init__(self) -> None:
        checks = (
            ("initial_cash", math.isfinite(self.initial_cash) and self.initial_cash > 0.0, "a positive number"),
            ("leverage", self.leverage > 0.0, "a positive number"),
            ("participation", self.participation is None or 0.0 < self.participation <= 1.0, "a share up to 1"),
            ("tolerance", 0.0 <= self.tolerance < 1.0, "a fraction below 1"),
            ("cash_buffer", 0.0 <= self.cash_buffer < 1.0, "a fraction below 1"),
            ("periods_per_year", 0.0 < self.periods_per_year < math.inf, "a positive number"),
            *((name, getattr(self, name) >= 0.0, "a number of at least zero") for name in (*LIMITS, *SWITCHES)),
        )  # fmt: skip
        for name, holds, needed in checks:
            if not holds:
                raise BacktestInvalid(
                    f"{name} was {getattr(self, name)}, {needed} is needed", where=f"EngineConfig.{name}"
                )
