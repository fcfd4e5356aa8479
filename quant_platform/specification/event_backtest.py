"""How strategies of the event lab are traded and judged: ``specs/backtest.yaml``."""

from __future__ import annotations

from pydantic import Field

from quant_platform.specification.loading import SpecModel


class ChosenSpec(SpecModel):
    """Which strategies are run."""

    max_blueprints: int = Field(ge=1, description="Blueprints run, the largest edge over cost out of sample first.")
    refused_beside: int = Field(ge=0, description="Strongest refused cells that are run beside blueprints.")
    refused_alone: int = Field(ge=0, description="As many where there is no blueprint.")


class WalkForwardSpec(SpecModel):
    """Folds over time."""

    folds: int = Field(ge=2, description="Test windows, of equal length, one after the other.")
    first_train_share: float = Field(gt=0.0, lt=1.0, description="Share of the days before the first test window.")
    rolling_days: int = Field(ge=1, description="Days of training before each test window in the rolling scheme.")
    embargo_days: int = Field(ge=0, description="Days before a test window whose trades do not train.")
    min_train_trades: int = Field(ge=2, description="With fewer a fold does not trade.")


class BootstrapSpec(SpecModel):
    """Stationary block bootstrap of daily returns."""

    draws: int = Field(ge=100, description="Samples.")
    mean_block_days: float = Field(ge=1.0, description="Mean length of a block.")
    level: float = Field(gt=0.0, lt=1.0, description="Coverage of the percentile interval.")
    seed: int = Field(ge=0, description="Seed; also of which events are dropped.")


class PerturbationSpec(SpecModel):
    """What is changed and run again."""

    entry_later_bars: tuple[int, ...] = Field(description="Bars by which every entry is late.")
    threshold_factors: tuple[float, ...] = Field(description="What every threshold of the event is multiplied by.")
    cost_factors: tuple[float, ...] = Field(description="What every cost but funding is multiplied by.")
    dropped_share: float = Field(gt=0.0, lt=1.0, description="Share of the events that is dropped at random.")


class AcceptanceSpec(SpecModel):
    """Bounds on the market that a strategy trades in."""

    quantile: float = Field(gt=0.5, lt=1.0, description="Quantile over the entries that is held against each bound.")
    max_spread_bps: float = Field(gt=0.0, description="Largest quoted spread.")
    min_depth_orders: float = Field(gt=0.0, description="Least resting value on the side that is hit, in orders.")
    max_impact_bps: float = Field(gt=0.0, description="Largest impact of an entry.")
    max_participation: float = Field(gt=0.0, description="Largest share of the entry bar's quote volume.")
    max_unknown_share: float = Field(ge=0.0, lt=1.0, description="Largest share of entries whose book is not known.")


class PromotionSpec(SpecModel):
    """What a strategy must show on days that discovery did not train on."""

    min_trades: int = Field(ge=2, description="Fewest closed trades over the whole run.")
    min_psr: float = Field(ge=0.0, le=1.0, description="Least probabilistic Sharpe ratio.")
    min_dsr: float = Field(ge=0.0, le=1.0, description="Least deflated Sharpe ratio.")
    max_pnl_correlation: float = Field(ge=0.0, le=1.0, description="Largest correlation with one promoted before.")
    max_regime_share: float = Field(
        gt=0.0, le=1.0, description="Largest share of the gains from one volatility regime."
    )
    min_positive_folds: float = Field(ge=0.0, le=1.0, description="Least share of anchored folds that earned.")


class LimitsSpec(SpecModel):
    """The four layers of the allocator, as fractions of equity."""

    strategy: float = Field(gt=0.0, description="Gross weight of one strategy.")
    symbol: float = Field(gt=0.0, description="Gross weight of one symbol over all strategies.")
    portfolio: float = Field(gt=0.0, description="Gross weight of everything.")
    new_exposure: float = Field(gt=0.0, description="What one bar may add.")


class AllocationSpec(SpecModel):
    """How capital is split among promoted strategies."""

    min_days: int = Field(ge=2, description="Days of results that a volatility needs.")
    max_share: float = Field(gt=0.0, le=1.0, description="Largest share of the capital of one strategy.")
    limits: LimitsSpec = Field(description="Limits of the allocator.")


class DriftSpec(SpecModel):
    """When a feature's distribution has moved."""

    every_bars: int = Field(ge=1, description="One value in so many is looked at: neighbours repeat each other.")
    bins: int = Field(ge=2, description="Bins of equal counts of the reference.")
    smallest: float = Field(ge=0.0, description="Index below which a shift does not matter.")
    confidence: float = Field(gt=0.0, lt=1.0, description="Of the bound that sampling alone reaches.")


class EventBacktestSpec(SpecModel):
    """Everything ``backtest.*`` obeys beside discovery's own specs."""

    strategies: ChosenSpec = Field(description="Which strategies are run.")
    walk_forward: WalkForwardSpec = Field(description="Folds.")
    bootstrap: BootstrapSpec = Field(description="Bootstrap.")
    perturbations: PerturbationSpec = Field(description="Re-runs.")
    acceptance: AcceptanceSpec = Field(description="Market bounds.")
    promotion: PromotionSpec = Field(description="Promotion.")
    allocation: AllocationSpec = Field(description="Capital.")
    drift: DriftSpec = Field(description="Drift.")
