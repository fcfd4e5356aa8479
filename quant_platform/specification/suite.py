"""Models of ``specs/suite/*.yaml`` and ``specs/experiments/*.yaml``: what a suite computes and how it is judged."""

from __future__ import annotations

from datetime import date
from itertools import product
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from quant_platform.specification.loading import SpecModel, load_spec

Residualize = Literal["off", "industry", "factor", "all"]
CostModel = Literal["naive", "spread", "impact"]
Weighting = Literal["equal", "value", "signal", "risk"]
Percentile = Annotated[float, Field(gt=0.0, lt=100.0)]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]

RESIDUALIZATIONS: tuple[Residualize, ...] = ("off", "industry", "factor", "all")


class BacktestConfig(SpecModel):
    """One variant of a backtest; frozen, and the same after a trip through JSON.

    Notes
    -----
    **Timing.** With ``lag`` 0 a signal that has seen the close of ``date_sig`` is acted on at the next close (with
    ``from_open`` at the next open) and earns the return after that. No setting brings the entry nearer.
    """

    lag: int = Field(default=0, ge=0, le=250, description="Sessions that entry waits beyond the earliest one.")
    residualize: Residualize = Field(
        default="off",
        description="What is regressed out of the signal on each date: nothing, industries, style factors, or both.",
    )
    tc_model: CostModel = Field(
        default="naive", description="Cost of trading: fixed bps, fee and spread, or fee, spread and impact."
    )
    weight: Weighting = Field(
        default="equal", description="Weights inside a leg: equal, market cap, distance of the signal, inverse risk."
    )
    fractile: tuple[Percentile, Percentile] = Field(
        default=(10.0, 90.0), description="Percentiles of the signal below and above which names are held."
    )
    from_open: bool = Field(default=False, description="Trade at the open instead of the close.")
    mincos: int = Field(default=10, ge=1, description="Fewest names of a leg; a date with fewer makes no portfolio.")
    capital: float = Field(default=1.0e7, gt=0.0, description="Money behind the book, in the listing currency.")
    holding: int = Field(
        default=1, ge=1, le=250, description="Portfolios of so many signal dates are held at once, each an equal part."
    )

    @model_validator(mode="after")
    def _fractile_is_ordered(self) -> BacktestConfig:
        low, high = self.fractile
        if low >= high:
            raise ValueError("the lower percentile of fractile must lie below the upper one")
        if any(abs(value * 1000 - round(value * 1000)) > 1e-9 for value in (low, high)):
            raise ValueError("fractile takes three decimals at most")
        return self

    @property
    def variant(self) -> str:
        """Short name, for example ``lag1_residindustry``; what differs from the default is appended."""
        default = BacktestConfig()
        parts = [f"lag{self.lag}", f"resid{self.residualize}"]
        if self.tc_model != default.tc_model:
            parts.append(self.tc_model)
        if self.weight != default.weight:
            parts.append(f"{self.weight}weight")
        if self.fractile != default.fractile:
            parts.append(f"fractile{self.fractile[0]:g}to{self.fractile[1]:g}")
        if self.from_open:
            parts.append("open")
        if self.mincos != default.mincos:
            parts.append(f"mincos{self.mincos}")
        if self.capital != default.capital:
            parts.append(f"capital{self.capital:g}")
        if self.holding != default.holding:
            parts.append(f"holding{self.holding}")
        return "_".join(parts)


class PresetSpec(SpecModel):
    """The matrix of variants that a suite computes: the product of the lists, the first of each is the reference."""

    name: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$", description="How it is called.")
    description: str = Field(description="What it is for, in a sentence.")
    lags: tuple[int, ...] = Field(min_length=1, description="Lags, the reference first.")
    residualize: tuple[Residualize, ...] = Field(min_length=1, description="Residualisations, the reference first.")
    tc_models: tuple[CostModel, ...] = Field(default=("naive",), min_length=1, description="Cost models.")
    weights: tuple[Weighting, ...] = Field(default=("equal",), min_length=1, description="Weightings.")
    from_open: tuple[bool, ...] = Field(default=(False,), min_length=1, description="Whether trades are at the open.")
    holdings: tuple[int, ...] = Field(default=(1,), min_length=1, description="Numbers of portfolios held at once.")
    fractile: tuple[Percentile, Percentile] = Field(default=(10.0, 90.0), description="Percentiles of the two legs.")
    mincos: int = Field(default=10, ge=1, description="Fewest names of a leg.")
    capital: float = Field(default=1.0e7, gt=0.0, description="Money behind the book, in the listing currency.")
    slices: tuple[Literal["overall", "year", "cap", "industry", "regime"], ...] = Field(
        default=("overall", "year", "cap"), min_length=1, description="By what the summary is cut."
    )
    baselines: bool = Field(default=True, description="Whether the baselines are computed beside the signal.")

    def configs(self) -> tuple[BacktestConfig, ...]:
        """Return every variant, the reference first."""
        cells = product(self.tc_models, self.weights, self.from_open, self.holdings, self.residualize, self.lags)
        return tuple(
            BacktestConfig(
                lag=lag,
                residualize=residualize,
                tc_model=tc_model,
                weight=weight,
                from_open=from_open,
                holding=holding,
                fractile=self.fractile,
                mincos=self.mincos,
                capital=self.capital,
            )
            for tc_model, weight, from_open, holding, residualize, lag in cells
        )


class CostsSpec(SpecModel):
    """What trading costs, one way, on the traded notional."""

    naive_bps: float = Field(ge=0.0, description="naive: all costs together, one way.")
    fee_bps: float = Field(ge=0.0, description="spread and impact: commission and fees, one way.")
    half_spread_bps: float = Field(ge=0.0, description="Half spread of a name that trades reference_adv a day.")
    reference_adv: float = Field(gt=0.0, description="Traded value per session that half_spread_bps is stated for.")
    spread_elasticity: float = Field(ge=0.0, description="Half spread falls with traded value to this power.")
    min_half_spread_bps: float = Field(ge=0.0, description="Least half spread; also half a tick is one.")
    max_half_spread_bps: float = Field(ge=0.0, description="Largest half spread, and that of a name of unknown ADV.")
    impact_coefficient: float = Field(ge=0.0, description="Y in Y x daily volatility x root(order / ADV).")
    unknown_recovery: float = Field(
        ge=0.0,
        le=1.0,
        description="Of the last price, to who was long, where a name is gone and no source says what its holders got.",
    )
    unknown_funding_bps: float = Field(
        ge=0.0,
        description="Perpetuals: charged per eight hours of unknown funding to what is held, long and short alike.",
    )


class HistorySpec(SpecModel):
    """Trailing windows of what the panel derives from prices, in sessions."""

    adv: int = Field(ge=5, description="Average traded value.")
    volatility: int = Field(ge=10, description="Daily volatility, for risk weights and impact.")
    beta: int = Field(ge=20, description="Beta to the equal-weighted market.")
    momentum: int = Field(ge=20, description="Momentum, from this long ago")
    momentum_skip: int = Field(ge=0, description="to this long ago.")
    fundamentals_max_age_days: int = Field(ge=1, description="A published value older than this is not used.")


class LightweightSpec(SpecModel):
    """A lightweight snapshot, where nobody says otherwise."""

    names: int = Field(ge=1, description="Securities with the highest median ADV")
    since: date = Field(description="over the sessions from this day on, the first of its panel.")


class SuiteSpec(SpecModel):
    """Numbers of the computation that no verdict depends on by a threshold."""

    sessions_per_year: int = Field(ge=1, description="For annual figures of exchange-traded names; stated beside each.")
    days_per_year: int = Field(ge=1, description="For annual figures of names that trade every day.")
    max_signal_age_sessions: int = Field(ge=1, description="Positions are closed when no newer signal date came.")
    fractiles: int = Field(ge=2, le=100, description="Groups of the fractile table.")
    min_names: int = Field(ge=3, description="Fewest names of a cross-section that has an IC.")
    ic_horizons_sessions: tuple[int, ...] = Field(
        min_length=1, description="Horizons of the IC table; the first leads."
    )
    ic_decay_lags: int = Field(ge=1, description="Longest lag of the IC decay, in sessions.")
    cap_bucket_names: tuple[str, ...] = Field(min_length=2, description="Cap buckets from small to large.")
    cap_bucket_percentiles: tuple[Percentile, ...] = Field(description="Their bounds, by market cap on each date.")
    regime_volatility_sessions: int = Field(ge=5, description="Market volatility over so many sessions")
    regime_reference_sessions: int = Field(ge=20, description="is high above its median over so many sessions before.")
    confidence: float = Field(gt=0.5, lt=1.0, description="Coverage of the intervals.")
    bootstrap_draws: int = Field(ge=100, description="Draws of the monotonicity test.")
    bootstrap_block_sessions: int = Field(ge=1, description="Sessions of a block of that bootstrap.")
    overfitting_blocks: int = Field(ge=4, le=20, description="Blocks of the combinatorial cross-validation; even.")
    capacity_capitals: tuple[float, ...] = Field(min_length=2, description="Capitals of the capacity curve.")
    holdout_share: Share = Field(description="Last part of the sample that is locked for registered experiments.")
    history: HistorySpec = Field(description="Trailing windows.")

    @model_validator(mode="after")
    def _buckets_and_blocks(self) -> SuiteSpec:
        if len(self.cap_bucket_percentiles) != len(self.cap_bucket_names) - 1:
            raise ValueError("cap_bucket_percentiles needs one bound less than there are cap_bucket_names")
        if self.overfitting_blocks % 2:
            raise ValueError("overfitting_blocks must be even")
        return self


class ContractSpec(SpecModel):
    """Bounds of a submitted signal file."""

    max_bytes: int = Field(ge=1, description="Largest file.")
    max_rows: int = Field(ge=1, description="Most rows.")
    thin_names: int = Field(ge=1, description="A date with fewer names is thin: its rows stay, and it is reported.")
    missing_share: Share = Field(description="A date with a larger share of missing values is reported.")
    shown_rows: int = Field(ge=1, description="Rows per code in the message.")


class AuditSpec(SpecModel):
    """Thresholds of the look-ahead audit; they were set on worlds without look-ahead and with it, see the evidence."""

    max_bars: int = Field(ge=1, description="How many bars ahead the audit looks for a leak.")
    implausible_ic: float = Field(gt=0.0, lt=1.0, description="A mean IC above this that one more bar ends is a leak.")
    collapse_ratio: float = Field(
        gt=0.0, lt=1.0, description="Ended: the next IC is below this share of the one before."
    )
    seen_ratio: float = Field(
        gt=0.0, lt=1.0, description="A bar counts as seen with an IC of this share of the bar's before it."
    )
    min_t: float = Field(gt=0.0, description="t of the fall from one bar to the next.")
    scale_tolerance: float = Field(gt=0.0, description="Mean over the sample in standard deviations that is zero.")
    scale_names_share: Share = Field(description="Share of names with a zero mean that gives a full-sample scale away.")
    scale_min_dates: int = Field(ge=20, description="Fewest dates of a name whose mean is judged.")
    restated_tolerance: float = Field(ge=0.0, description="Relative change of a value between two versions.")
    restated_share: float = Field(ge=0.0, lt=1.0, description="Share of changed rows that makes a signal restated.")


class BaselineSpec(SpecModel):
    """One baseline signal."""

    expression: str = Field(description="What it is, in the expression language.")
    description: str = Field(description="What it measures, in a sentence.")
    reference: str = Field(description="Author and year.")


class BaselinesFile(SpecModel):
    """Signals that everybody knows, computed beside every submitted one."""

    definitions: dict[str, str] = Field(default_factory=dict, description="Intermediate expressions.")
    baselines: dict[str, BaselineSpec] = Field(min_length=1, description="Baselines by name.")


class CompositeMember(SpecModel):
    """One signal of a composite."""

    signal: str = Field(description="Name of a baseline, or of a registered signal.")
    regimes: tuple[Literal["unknown", "low_volatility", "high_volatility"], ...] = Field(
        default=("unknown", "low_volatility", "high_volatility"),
        min_length=1,
        description="Regimes of the market in which it counts; in others it is taken as average for every name.",
    )


class CompositeSpec(SpecModel):
    """A composite signal: its members, and how they are combined on the past of each fold alone."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Name of the composite.")
    description: str = Field(description="What it is for, in a sentence.")
    author: str = Field(description="Who stands behind it.")
    members: tuple[CompositeMember, ...] = Field(
        min_length=2, description="Signals, in the order in which they are made orthogonal: the first keeps all of it."
    )
    horizon_sessions: int = Field(ge=1, le=250, description="Sessions of the return that is predicted.")
    first_train_sessions: int = Field(ge=60, description="Sessions before the first fold.")
    fold_sessions: int = Field(ge=5, description="Sessions that one fit scores.")
    purge_sessions: int = Field(ge=0, description="Sessions left out between training and fold beyond the horizon.")
    inner_folds: int = Field(ge=1, le=20, description="Walk-forward folds within the training rows.")
    penalties: tuple[Annotated[float, Field(gt=0.0)], ...] = Field(
        min_length=1, description="Penalties to choose from, in units of a member's variance."
    )

    @model_validator(mode="after")
    def _members_and_rows(self) -> CompositeSpec:
        names = [member.signal for member in self.members]
        if len(set(names)) < len(names) or self.name in names:
            raise ValueError("a member is named twice, or is the composite itself")
        if self.first_train_sessions < 2 * (self.horizon_sessions + self.purge_sessions) * (self.inner_folds + 1):
            raise ValueError(
                "first_train_sessions is too short for its inner folds: at least 2 x (horizon_sessions + "
                "purge_sessions) x (inner_folds + 1)"
            )
        return self


class ReferenceVariant(SpecModel):
    """The variant a verdict is about, fixed before anything is computed."""

    lag: int = Field(ge=0, description="Its lag.")
    residualize: Residualize = Field(description="Its residualisation.")


class GreenRules(SpecModel):
    """All must hold."""

    sharpe_above: float = Field(description="Net annual Sharpe ratio of the reference.")
    deflated_probability: Share = Field(description="Least probability of the deflated Sharpe ratio.")
    surviving_sharpe_above: float = Field(description="Net Sharpe ratio with one more lag, and of industry residuals.")
    baseline_correlation_below: Share = Field(description="Largest absolute PnL correlation with any baseline.")


class RedRules(SpecModel):
    """Any suffices; red is decided first."""

    sharpe_below: float = Field(description="Net annual Sharpe ratio of the reference.")
    lagged_sharpe_at_most: float = Field(description="Net Sharpe ratio with one more lag.")
    clone_correlation: Share = Field(description="Absolute PnL correlation with a baseline from which on it is a clone")
    clone_partial_p: Share = Field(description="if the partial IC's p is above this, or")
    clone_partial_share: Share = Field(description="the partial IC is below this share of the IC.")


class CautionRules(SpecModel):
    """Named beside a verdict, and keep a green signal yellow."""

    turnover_above: float = Field(gt=0.0, description="Mean traded notional per session over capital, both legs.")
    small_cap_share_above: Share = Field(description="Share of the gross PnL that the smallest cap bucket earns.")


class VerdictSpec(SpecModel):
    """The rules of the traffic light."""

    reference: ReferenceVariant = Field(description="The variant that is judged.")
    green: GreenRules = Field(description="What green needs.")
    red: RedRules = Field(description="What makes red.")
    caution: CautionRules = Field(description="What is named, and is not green.")
    min_sessions: int = Field(ge=2, description="Fewest sessions of PnL for any colour but red.")


class Criterion(SpecModel):
    """One success criterion of an experiment."""

    metric: Literal["sharpe_net", "sharpe_gross", "ic_mean", "ann_return_net"] = Field(description="What is measured.")
    above: float = Field(
        description="The experiment succeeds where the metric, times the expected sign, is above this."
    )


class ExperimentSpec(SpecModel):
    """A pre-registered experiment: stated before anything is computed, then frozen."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Name of the experiment.")
    signal: str = Field(description="Name of the signal.")
    author: str = Field(description="Who registers it.")
    registered_on: date = Field(description="Day of the registration.")
    hypothesis: str = Field(min_length=10, description="What is believed and why, in words.")
    expected_sign: Literal[-1, 1] = Field(description="Sign of the relation with later returns.")
    variants: tuple[BacktestConfig, ...] = Field(
        min_length=1, description="What will be computed; nothing else counts."
    )
    criteria: tuple[Criterion, ...] = Field(min_length=1, description="All must hold on the locked holdout.")
    holdout_share: Share = Field(description="Last part of the sample, locked until it is opened once.")

    @model_validator(mode="after")
    def _nothing_is_stated_twice(self) -> ExperimentSpec:
        if len(set(self.variants)) < len(self.variants) or len(set(self.criteria)) < len(self.criteria):
            raise ValueError("a variant or a criterion is stated twice")
        return self


class SuiteSpecs(SpecModel):
    """Everything under ``specs/suite`` except the presets, read together."""

    suite: SuiteSpec
    costs: CostsSpec
    contract: ContractSpec
    audit: AuditSpec
    verdict: VerdictSpec


def load_suite(specs: Path) -> SuiteSpecs:
    """Read ``specs/suite/{suite,costs,contract,audit,verdict}.yaml``.

    Raises
    ------
    SpecError
        Naming file, line and the closest valid key.
    """
    folder = specs / "suite"
    return SuiteSpecs(
        suite=load_spec(folder / "suite.yaml", SuiteSpec),
        costs=load_spec(folder / "costs.yaml", CostsSpec),
        contract=load_spec(folder / "contract.yaml", ContractSpec),
        audit=load_spec(folder / "audit.yaml", AuditSpec),
        verdict=load_spec(folder / "verdict.yaml", VerdictSpec),
    )


def load_preset(specs: Path, name: str) -> PresetSpec:
    """Read one preset, in any case of its name.

    Raises
    ------
    SpecError
        When there is no such file; the message names the closest one.
    """
    return load_spec(specs / "suite" / "presets" / f"{name.lower()}.yaml", PresetSpec)
