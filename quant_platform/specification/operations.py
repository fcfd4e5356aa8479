"""The specs of operations: what is traded on paper, in which sleeves, and how evidence becomes a proposal.

``specs/operations/routing.yaml`` and ``sleeves.yaml`` are what proposals speak of; ``evidence.yaml`` says what counts
as evidence, ``venue.yaml`` how a simulated venue fills, ``alerts.yaml`` when somebody is told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, time
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from quant_platform.specification.home import AssetClass
from quant_platform.specification.loading import SpecModel
from quant_platform.specification.strategies import StrategyCosts

ROUTING, SLEEVES, EVIDENCE = "operations/routing.yaml", "operations/sleeves.yaml", "operations/evidence.yaml"
VENUE, ALERTS = "operations/venue.yaml", "operations/alerts.yaml"
FILES = (ROUTING, SLEEVES, EVIDENCE, VENUE, ALERTS)


class AccountSpec(SpecModel):
    """The paper account."""

    currency: str = Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code; fills in another one are refused.")
    capital: float = Field(gt=0.0, description="Money at the start.")
    risk_per_trade: float = Field(gt=0.0, le=0.1, description="Share of equity that the way to the stop loses.")
    smallest_order: float = Field(ge=0.0, description="Orders of less money than this are not sent.")
    leverage: float = Field(gt=0.0, description="Largest gross exposure in multiples of equity.")


class LimitsSpec(SpecModel):
    """Layers of the allocator, fractions of equity."""

    symbol: float = Field(gt=0.0, description="Largest gross weight of one name.")
    portfolio: float = Field(gt=0.0, description="Largest gross weight of everything.")
    new_exposure: float = Field(gt=0.0, description="Largest gross weight that one session may open.")


class KillSwitchSpec(SpecModel):
    """Bounds that stop new orders until a person resets them; null switches one off."""

    stale_sessions: float | None = Field(ge=0.0, description="Sessions by which the newest bar may lag.")
    drawdown: float | None = Field(gt=0.0, le=1.0, description="Loss from the peak of equity.")
    daily_loss: float | None = Field(gt=0.0, le=1.0, description="Loss within one session.")
    slippage_ratio: float | None = Field(gt=0.0, description="Imported slippage over the modelled one.")
    slippage_fills: int = Field(ge=1, description="Fewest imported fills for that ratio.")
    reject_rate: float | None = Field(gt=0.0, le=1.0, description="Share of orders that the market did not fill.")
    reject_orders: int = Field(ge=1, description="Fewest orders for that share.")


class ThresholdSpec(SpecModel):
    """Floors that a setup must pass to be sent; null is off, a value equal to its floor passes."""

    min_confidence: float | None = Field(default=None, ge=0.0, le=1.0, description="Least confidence, 0 to 1.")
    min_expected_return: float | None = Field(
        default=None, ge=0.0, le=1.0, description="Least expected return after the friction buffer, a fraction."
    )
    max_risk: float | None = Field(
        default=None, gt=0.0, le=1.0, description="Largest stop distance, a fraction of the entry reference."
    )


class ClassCostsSpec(SpecModel):
    """What trading an asset class costs, where that is not what ``costs`` says for all; null is what is said there."""

    commission_rate: float | None = Field(default=None, ge=0.0, le=1.0, description="Commission per side.")
    half_spread: float | None = Field(
        default=None, ge=0.0, le=1.0, description="Half the spread, a fraction of the price."
    )
    impact_coefficient: float | None = Field(default=None, ge=0.0, description="Y of the square-root law of impact.")
    borrow_rate: float | None = Field(default=None, ge=0.0, description="Borrow fee of short positions per year.")


class ClassSpec(ThresholdSpec):
    """Floors and costs of an asset class, and what trading it is assumed to rub off."""

    friction_buffer: float = Field(
        default=0.0, ge=0.0, le=1.0, description="Taken off the expected return before it is compared, a fraction."
    )
    costs: ClassCostsSpec = Field(
        default_factory=ClassCostsSpec, description="Costs of the class that differ from those of all."
    )


class WindowSpec(SpecModel):
    """Hours in which an asset class is not traded."""

    asset_class: AssetClass = Field(description="Whose orders are refused.")
    start: time = Field(description="First minute, HH:MM.")
    end: time = Field(description="First minute after it, HH:MM; before start where it spans midnight.")
    timezone: str = Field(default="UTC", description="IANA name of the time zone of both.")
    reason: str = Field(min_length=1, description="Why, in words; every skip repeats it.")

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"there is no time zone {name!r}") from error
        return name

    @model_validator(mode="after")
    def _has_length(self) -> WindowSpec:
        if self.start == self.end:
            raise ValueError("start and end are the same minute; a whole day is 00:00 to 23:59")
        return self


class SetupsSpec(SpecModel):
    """How setups of the live scan become orders."""

    trade: bool = Field(description="Whether they do.")
    expected_r: Literal["confidence", "model"] = Field(
        description="confidence: c rr - (1 - c), which takes the confidence for a chance and is to be judged out of "
        "sample; model: the expected value of the barrier model."
    )


class SignalsSpec(SpecModel):
    """How signals with a green verdict become orders."""

    trade: bool = Field(description="Whether they do.")
    gross: float = Field(gt=0.0, description="Gross weight of one signal, long and short legs together.")
    fractile: float = Field(gt=0.0, le=0.5, description="Share of names held on each side.")
    silent_sessions: int = Field(
        default=25,
        ge=0,
        description="Sessions without a value after which what a signal holds is left; until then it stands, as one "
        "that speaks once a week or a month means it.",
    )


class RoutingSpec(SpecModel):
    """What is sent, how large, and what stops it."""

    account: AccountSpec = Field(description="The paper account.")
    costs: StrategyCosts = Field(description="The cost model of paper fills.")
    limits: LimitsSpec = Field(description="Layers of the allocator.")
    kill_switches: KillSwitchSpec = Field(description="What stops new orders.")
    setups: SetupsSpec = Field(description="Setups of the live scan.")
    signals: SignalsSpec = Field(description="Signals of the research suite.")
    core_tickers: tuple[str, ...] = Field(description="Names that are scanned every session, whatever happens.")
    asset_classes: dict[AssetClass, ClassSpec] = Field(
        description="Floors by asset class; a class that is not listed is not traded."
    )
    tickers: dict[str, ThresholdSpec] = Field(description="Floors of single names; what is null there is the class's.")
    no_trade_windows: tuple[WindowSpec, ...] = Field(description="Hours without orders.")

    @model_validator(mode="after")
    def _each_once(self) -> RoutingSpec:
        if len(set(self.core_tickers)) != len(self.core_tickers):
            raise ValueError("core_tickers names a ticker twice")
        return self

    def thresholds(self, ticker: str, asset_class: AssetClass) -> ClassSpec | None:
        """Floors in force for a name: its own where it states them, else those of its class; None for no class."""
        general = self.asset_classes.get(asset_class)
        if general is None:
            return None
        own = self.tickers.get(ticker)
        stated = {} if own is None else {name: value for name, value in own.model_dump().items() if value is not None}
        return general.model_copy(update=stated)

    def costs_of(self, asset_class: str) -> StrategyCosts:
        """The cost model of an asset class: its own numbers where it states them, else those of all."""
        general = next((one for name, one in self.asset_classes.items() if name == asset_class), None)
        own = {} if general is None else general.costs.model_dump(exclude_none=True)
        return self.costs.model_copy(update=own)


SleeveName = Literal["safe", "core", "spec"]
SLEEVE_ORDER: tuple[SleeveName, ...] = ("spec", "core", "safe")


class SleeveSpec(SpecModel):
    """One sleeve."""

    cap: float = Field(ge=0.0, description="Largest gross weight of its names together, a fraction of equity.")
    description: str = Field(description="What belongs there.")


class MemberSpec(SpecModel):
    """Where a name stands."""

    sleeve: SleeveName = Field(description="Its sleeve.")
    since: date = Field(description="From when; it stays for hold_weeks at least.")


class PromotionSpec(SpecModel):
    """When a name is proposed into the next sleeve up or down."""

    evidence: Literal["executed", "replayed"] = Field(
        description="executed: paper trades; replayed: candidates that routing would have passed."
    )
    minimum_trades: int = Field(ge=1, description="Closed trades within the lookback.")
    up_profit_factor: float = Field(gt=0.0, description="Least profit factor of a promotion.")
    up_win_rate: float = Field(ge=0.0, le=1.0, description="Least win rate of a promotion.")
    down_profit_factor: float = Field(gt=0.0, description="Profit factor below which a name is demoted.")
    level: float = Field(gt=0.5, lt=1.0, description="Coverage of the interval of mean R that must exclude zero.")
    confirm_weeks: int = Field(ge=1, description="Weeks in a row that must say the same.")
    hold_weeks: int = Field(ge=0, description="Weeks that a name stays where it was put.")

    @model_validator(mode="after")
    def _has_a_band(self) -> PromotionSpec:
        if self.down_profit_factor >= self.up_profit_factor:
            raise ValueError("down_profit_factor must lie below up_profit_factor: without a band names go to and fro")
        return self


class SleevesSpec(SpecModel):
    """Sleeves, who stands in them, and how they are left."""

    sleeves: dict[SleeveName, SleeveSpec] = Field(description="safe, core and spec.")
    default: SleeveName = Field(description="Sleeve of names that are not listed.")
    members: dict[str, MemberSpec] = Field(description="By ticker.")
    promotions: PromotionSpec = Field(description="When a move is proposed.")

    @model_validator(mode="after")
    def _all_three(self) -> SleevesSpec:
        lacking = sorted(set(SLEEVE_ORDER) - set(self.sleeves))
        if lacking:
            raise ValueError(f"sleeves lacks {', '.join(lacking)}")
        return self

    def sleeve_of(self, ticker: str) -> SleeveName:
        """Sleeve of a name."""
        member = self.members.get(ticker)
        return self.default if member is None else member.sleeve


class WalkForwardSpec(SpecModel):
    """How the selection rule itself is judged."""

    step_days: int = Field(ge=7, description="Calendar days between two selections, and that each is held.")
    minimum_steps: int = Field(ge=1, description="Fewest steps for an out-of-sample figure.")


class SweepRulesSpec(SpecModel):
    """The threshold sweep of each name."""

    confidence: tuple[float, ...] = Field(min_length=1, description="Floors of the confidence, 0 to 1.")
    min_expected_return: tuple[float, ...] = Field(min_length=1, description="Floors of the expected return.")
    max_risk: tuple[float | None, ...] = Field(min_length=1, description="Largest stop distances; null is off.")
    minimum_trades: int = Field(ge=2, description="Closed trades a cell needs.")
    minimum_profit_factor: float = Field(gt=0.0, description="Least profit factor of a cell that may be chosen.")
    minimum_win_rate: float = Field(ge=0.0, le=1.0, description="Least win rate of a cell that may be chosen.")
    walk_forward: WalkForwardSpec = Field(description="How the rule is judged out of sample.")

    @model_validator(mode="after")
    def _distinct(self) -> SweepRulesSpec:
        for name in ("confidence", "min_expected_return", "max_risk"):
            given = getattr(self, name)
            if len(set(given)) != len(given):
                raise ValueError(f"{name} holds a value twice")
        return self


class CostEvidenceSpec(SpecModel):
    """What is learned of costs from fills."""

    grouping: Literal["asset_class", "ticker"] = Field(description="What is estimated apart.")
    minimum_trades: int = Field(ge=2, description="Round trips, and fills of a fit, that a group needs.")
    minimum_fit: int = Field(ge=10, description="Fills with everything known that a fit needs.")
    level: float = Field(gt=0.5, lt=1.0, description="Coverage of the intervals.")
    percentiles: tuple[float, ...] = Field(min_length=1, description="Of the round-trip cost, 0 to 1.")


class WindowEvidenceSpec(SpecModel):
    """When an hour is bad enough to be left out."""

    minimum_fills: int = Field(ge=2, description="Fills of the hour.")
    excess_bps: float = Field(gt=0.0, description="Slippage above the class's other hours that its interval exceeds.")
    level: float = Field(gt=0.5, lt=1.0, description="Coverage of that interval.")


class EvidenceSpec(SpecModel):
    """What counts as evidence."""

    lookback_days: int = Field(ge=30, description="Calendar days that every weekly table looks back.")
    minimum_closed: int = Field(ge=1, description="Closed paper trades over all before anything is proposed.")
    minimum_closed_core: int = Field(ge=1, description="Closed paper trades of each core name that are aimed at.")
    sweep: SweepRulesSpec = Field(description="The threshold sweep.")
    costs: CostEvidenceSpec = Field(description="Transaction costs.")
    windows: WindowEvidenceSpec = Field(description="Slippage by hour.")


class VenueSpec(SpecModel):
    """How a simulated venue fills what the paper account sends; its law is not the engine's. Real homes have none."""

    law: str = Field(pattern=r"^simulated[a-z0-9_]*$", description="Name of the law, beginning with simulated.")
    seed: int = Field(ge=0, description="Of the noise.")
    half_spread_bps: float = Field(ge=0.0, description="True half spread.")
    impact_coefficient: float = Field(ge=0.0, description="True Y of the square-root law.")
    unknown_impact_bps: float = Field(ge=0.0, description="Impact where volatility or volume is not known.")
    noise_bps: float = Field(ge=0.0, description="Standard deviation of what a fill costs beside them.")
    open_extra_bps: float = Field(ge=0.0, description="What a fill within the first half hour costs more.")
    fee_rate: float = Field(ge=0.0, description="Fees, a fraction of the traded value.")


class AlertsSpec(SpecModel):
    """Who is told what."""

    webhook: str | None = Field(default=None, description="Address that gets each alert as JSON; null for none.")
    webhook_timeout_seconds: float = Field(gt=0.0, le=60.0, description="After which a webhook is given up.")
    stale_sessions: int = Field(ge=1, description="Sessions by which the newest bar may lag.")
    slippage_ratio: float = Field(gt=0.0, description="Imported slippage over the modelled one.")
    slippage_fills: int = Field(ge=1, description="Fewest fills for that ratio.")
    drift_level: float = Field(gt=0.5, lt=1.0, description="Confidence of the bound of the stability index.")
    keep_snapshots: bool = Field(default=True, description="Whether every day's outputs are kept in history.")

    @field_validator("webhook")
    @classmethod
    def _address(cls, address: str | None) -> str | None:
        if address is not None and not address.startswith(("https://", "http://")):
            raise ValueError("a webhook is an http or https address")
        return address


def bound(value: float | None) -> float:
    """Bound of a switch, infinity where it is off."""
    return math.inf if value is None else value


def sleeve_caps(spec: SleevesSpec) -> Mapping[str, float]:
    """Cap of every sleeve."""
    return {name: sleeve.cap for name, sleeve in spec.sleeves.items()}
