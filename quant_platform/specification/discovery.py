"""How events become hypotheses: ``specs/templates.yaml``, ``specs/discovery.yaml`` and ``specs/gates.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from quant_platform.contracts.errors import SpecError
from quant_platform.specification.events import EventSpec, load_events
from quant_platform.specification.loading import SpecModel, load_spec

Label = Literal[
    "forward_return",
    "residual_return",
    "basis_change",
    "pullback_return",
    "target_stop",
    "excess_absolute_return",
    "excess_range",
    "excess_tail_move",
    "excess_cost",
    "favourable_minus_adverse",
]
Question = Literal["direction", "relative_value", "risk"]
UNDIRECTED = ("excess_absolute_return", "excess_range", "excess_tail_move", "excess_cost")
ONE_SIDED = ("pullback_return", "target_stop")


class TargetRule(SpecModel):
    """Where a trade takes its profit: at the open after a close beyond it."""

    kind: Literal["displacement", "swept_level", "range_middle", "mean", "none"] = Field(
        description="displacement: a share of the event's move given back; swept_level: the extreme of the bars before "
        "the stretch; range_middle: middle of the high and low; mean: mean close; none: no target."
    )
    bars: int = Field(ge=1, description="Bars up to the event's own that the rule looks at.")
    share: float = Field(default=1.0, gt=0.0, description="Share of the displacement.")


class StopRule(SpecModel):
    """Where a trade is given up: at the open after a close beyond it."""

    kind: Literal["displacement", "extreme"] = Field(
        description="displacement: a multiple of the event's move; extreme: beyond the extreme of the bars."
    )
    bars: int = Field(ge=1, description="Bars up to the event's own that the rule looks at.")
    multiple: float = Field(default=1.0, gt=0.0, description="Multiple of the displacement.")


class PullbackRule(SpecModel):
    """Waiting for a pullback before entering."""

    multiple: float = Field(gt=0.0, description="Distance below the close in units of rv12 sqrt(valid_bars).")
    valid_bars: int = Field(
        ge=1,
        description="Closes that are looked at; without one beyond the level the outcome is zero.",
    )


class TemplateSpec(SpecModel):
    """One way to trade, or to be warned by, an event."""

    description: str = Field(description="What is done, in words.")
    kind: Literal["hypothesis", "filter"] = Field(description="A filter restricts or sizes trades and is none itself.")
    side: Literal[1, -1, 0] | None = Field(
        default=None,
        description="Multiplies the event's direction, or an undirected label itself: 1 with it, -1 against it, 0 the "
        "sign that the training window shows. Absent only for filters that use a state.",
    )
    question: Question | None = Field(
        default=None,
        description="Tests of one question share a false discovery rate: direction is about expected returns, "
        "relative_value about two legs that are known to revert, risk about sizes without sign.",
    )
    label: Label | None = Field(default=None, description="What is measured after the event.")
    subset: Literal["all", "with_day_trend", "with_stretched_trend", "confirmed"] = Field(
        default="all",
        description="with_day_trend: the direction is the sign of tstat288; with_stretched_trend: of tstat96, which is "
        "1 or more in size; confirmed: the next close is still beyond the event's, entry one bar later.",
    )
    legs: Literal[1, 2] = Field(default=1, description="Instruments traded; costs are paid on each.")
    target: TargetRule | None = Field(default=None, description="Only for target_stop.")
    stop: StopRule | None = Field(default=None, description="Only for target_stop.")
    pullback: PullbackRule | None = Field(default=None, description="Only for pullback_return.")
    uses: str | None = Field(default=None, description="State a filter looks at.")

    @model_validator(mode="after")
    def _complete(self) -> TemplateSpec:
        if self.label is None:
            if self.kind == "hypothesis" or self.uses is None:
                raise ValueError("label is missing; only a filter that uses a state has none")
            return self
        if self.side is None or self.question is None:
            raise ValueError("side and question must be stated where there is a label")
        if (self.label == "target_stop") != (self.stop is not None and self.target is not None):
            raise ValueError("target and stop belong to the label target_stop, and it needs both")
        if (self.label == "pullback_return") != (self.pullback is not None):
            raise ValueError("pullback belongs to the label pullback_return, which needs it")
        if self.side == 0 and self.label in (*UNDIRECTED, *ONE_SIDED):
            raise ValueError(f"the label {self.label} needs a side of 1 or -1")
        return self

    @property
    def alternative(self) -> Literal["two-sided", "greater"]:
        """What the test of this template looks for: a trade that has one side, and no mirror, is asked if it pays.

        Its losses are no finding, and with a stop they look like one: many small losses without the rare gain that
        belongs to them have a small spread and a large negative t.
        """
        return "greater" if self.label in ONE_SIDED else "two-sided"

    @property
    def test(self) -> str:
        """Name of the test this template reads; templates with one name are aliases of one test."""
        if self.label is None:
            return ""
        parts: list[str] = [self.label]
        if self.subset != "all":
            parts.append(self.subset)
        if self.legs == 2:
            parts.append("two_legs")
        if self.label in ONE_SIDED:
            # Against and with the event are different trades here, not mirrors.
            parts.append("with" if self.side == 1 else "against")
        if self.target is not None and self.stop is not None:
            parts.append(f"to_{self.target.kind}_{self.target.bars}_{self.target.share:g}")
            parts.append(f"stop_{self.stop.kind}_{self.stop.bars}_{self.stop.multiple:g}")
        if self.pullback is not None:
            parts.append(f"level_{self.pullback.multiple:g}_{self.pullback.valid_bars}")
        return "/".join(parts)


class TemplatesFile(SpecModel):
    """All templates."""

    templates: dict[str, TemplateSpec] = Field(description="Templates by name.")


class SplitSpec(SpecModel):
    """Which part of time is used for what."""

    train_share: float = Field(gt=0.0, lt=1.0, description="First part: everything is estimated and chosen here.")
    validation_share: float = Field(gt=0.0, lt=1.0, description="Second part: the bridge judges survivors here.")
    embargo_days: int = Field(ge=0, description="Days left out after the end of a part.")
    embargo_days_by_family: dict[str, int] = Field(default_factory=dict, description="Longer embargo of a family.")

    @model_validator(mode="after")
    def _rest(self) -> SplitSpec:
        if self.train_share + self.validation_share > 1.0:
            raise ValueError("train_share and validation_share exceed 1")
        return self


class ErrorsSpec(SpecModel):
    """How standard errors and p-values are made."""

    week_above_bars: int = Field(ge=1, description="Above this horizon a cluster is a UTC week instead of a day.")
    few_clusters: int = Field(ge=3, description="With fewer clusters the p is from a wild bootstrap.")
    wild_draws: int = Field(ge=99, description="Its draws.")
    placebo_draws: int = Field(ge=19, description="Most circular day shifts of the placebo test.")
    time_blocks: int = Field(ge=2, description="Blocks of equal time of the stability checks.")
    recent_blocks: int = Field(ge=1, description="Blocks at the end of the window that must still show the effect.")
    placebo_decides: bool = Field(
        description="Whether p_raw is the larger of p_cluster and p_placebo, or p_cluster itself; p_placebo is shown."
    )

    @model_validator(mode="after")
    def _fewer(self) -> ErrorsSpec:
        if self.recent_blocks >= self.time_blocks:
            raise ValueError("recent_blocks must be fewer than time_blocks")
        return self


class CellsSpec(SpecModel):
    """Which cells are tested; smaller ones are reported and not tested."""

    min_events: int = Field(ge=2, description="Fewest events.")
    min_days: int = Field(ge=2, description="Fewest days with an event.")


class CostSpec(SpecModel):
    """What a trade costs; spread, volume and volatility as known at the event."""

    fee_bps: float = Field(ge=0.0, description="Fee per side and leg.")
    order_usd: float = Field(ge=0.0, description="Size of one order, for its impact.")
    impact_coefficient: float = Field(
        ge=0.0, description="Y of the square-root law Y sigma sqrt(order / volume); both over the last hour."
    )
    unknown_spread_bps: float = Field(ge=0.0, description="Spread assumed where none is known.")
    unknown_impact_bps: float = Field(ge=0.0, description="Impact per side assumed where volume is not known.")
    unknown_funding_bps: float = Field(
        ge=0.0, description="Funding that either side is charged per eight hours held where no rate is known."
    )
    stress: float = Field(ge=1.0, description="Multiple of all but funding in the stressed result.")


class SizingSpec(SpecModel):
    """Caps that a blueprint carries; the risk layers of a backtest may only be tighter."""

    max_weight_per_trade: float = Field(gt=0.0, le=1.0, description="Largest position, as a share of equity.")
    max_weight_per_symbol: float = Field(gt=0.0, le=1.0, description="Largest sum over a symbol's positions.")


class DiscoverySpec(SpecModel):
    """Defaults of every analysis of events."""

    test_label: Literal["raw", "hedged"] = Field(
        description="Which of the two returns is tested: raw is what an unhedged trade earns, hedged has the move of "
        "the universe, times the beta known at the event, taken out."
    )
    level: float = Field(gt=0.0, lt=1.0, description="False discovery rate, for every procedure.")
    shrinkage_may_veto: bool = Field(
        description="Whether p_fdr is the larger of p_raw and p_shrunk, or p_raw itself. Effects and money are read "
        "from the shrunk estimate in both cases."
    )
    power: float = Field(gt=0.0, lt=1.0, description="Power of the minimum detectable effect.")
    seed: int = Field(ge=0, description="Seed of the wild bootstrap and of the choice of placebo shifts.")
    matched_days: int = Field(ge=2, description="Earlier days whose same clock bar is the baseline of excess labels.")
    tail_multiple: float = Field(gt=0.0, description="Moves beyond so many sigma sqrt(h) are tail moves.")
    split: SplitSpec = Field(description="Parts of time.")
    errors: ErrorsSpec = Field(description="Standard errors and p-values.")
    cells: CellsSpec = Field(description="Smallest cells that are tested.")
    cost: CostSpec = Field(description="Costs.")
    sizing: SizingSpec = Field(description="Caps of blueprints.")


class FallbackSpec(SpecModel):
    """A weaker bar; what passes only this is kept for a look and never promoted."""

    min_t: float = Field(ge=0.0, description="Smallest t in the template's direction.")
    min_net_bps: float = Field(description="Smallest shrunk effect after cost.")
    min_events: int = Field(ge=1, description="Fewest events.")
    min_blocks_share: float = Field(ge=0.0, le=1.0, description="Smallest share of time blocks with the sign.")


class BridgeSpec(SpecModel):
    """The bar on data that discovery has not seen."""

    min_trades: int = Field(ge=2, description="Fewer trades are insufficient, neither passed nor failed.")
    min_edge_over_cost: float = Field(ge=0.0, description="Smallest gross effect in units of its cost.")
    level: float = Field(
        gt=0.0, lt=1.0, description="False discovery rate over the cells of the standard track, one-sided p."
    )


class GatesSpec(SpecModel):
    """Every bar a hypothesis is held to; a value equal to its bar passes."""

    min_net_bps: float = Field(description="Economic: smallest shrunk effect after cost.")
    min_stressed_bps: float = Field(description="Economic, conservative: smallest shrunk effect at stressed cost.")
    min_net_low_bps: float = Field(
        description="Pays: smallest lower limit of the effect after cost, its interval widened for the selection."
    )
    min_blocks_agreeing: int = Field(ge=0, description="Stability: fewest time blocks with the sign of the whole.")
    min_heterogeneity_p: float = Field(ge=0.0, le=1.0, description="Stability: smallest p that blocks are alike.")
    min_leave_one_out_t: float = Field(description="Stability: smallest t with the most helpful block left out.")
    min_recent_t: float = Field(description="Stability: smallest t of the last recent_blocks blocks.")
    min_leave_one_symbol_out_t: float = Field(
        description="Symbols: smallest t of a cell over ALL symbols with any one of them left out."
    )
    max_block_share: float = Field(gt=0.0, description="Stability: largest share of the total from one block.")
    min_own_weight: float = Field(ge=0.0, le=1.0, description="State information: least weight on the cell's own data.")
    plausible_bps_per_root_bar: float = Field(
        gt=0.0,
        description="Largest plausible effect over h bars is this times sqrt(h). A cell that could not have shown it "
        "is reported as cannot_say instead of no_effect, as is one whose 95 % interval reaches it.",
    )
    fallback: FallbackSpec = Field(description="The weaker bar.")
    bridge: BridgeSpec = Field(description="Out of sample.")

    @model_validator(mode="after")
    def _ordered(self) -> GatesSpec:
        if self.min_stressed_bps > self.min_net_bps:
            raise ValueError("min_stressed_bps must not exceed min_net_bps")
        return self


@dataclass(frozen=True)
class DiscoverySpecs:
    """Everything discovery obeys, and the hash of all of it."""

    events: Mapping[str, EventSpec]
    templates: Mapping[str, TemplateSpec]
    discovery: DiscoverySpec
    gates: GatesSpec
    ontology_hash: str


DISCOVERY_FILES = ("templates.yaml", "discovery.yaml", "gates.yaml")
"""Spec files of this room; results also depend on events, families, features and states."""


def load_discovery(specs: Path, *, ontology_hash: str) -> DiscoverySpecs:
    """Read templates, defaults, gates and events.

    Parameters
    ----------
    specs
        Folder of the spec files.
    ontology_hash
        Hash over all files the results depend on; it travels in the rows.

    Raises
    ------
    SpecError
        When a file is invalid, or an event names a template that is not declared.
    """
    events, _ = load_events(specs)
    templates = load_spec(specs / "templates.yaml", TemplatesFile).templates
    for event in events.values():
        unknown = [name for name in (*(event.templates or ()), *(event.filters or ())) if name not in templates]
        if unknown:
            close = get_close_matches(unknown[0], templates, n=1)
            raise SpecError(
                f"there is no template {unknown[0]!r}",
                where=f"{specs / 'events'}, event {event.id} or its family in families.yaml",
                action=f"did you mean {close[0]!r}?" if close else "declare it in templates.yaml",
            )
    return DiscoverySpecs(
        events=events,
        templates=templates,
        discovery=load_spec(specs / "discovery.yaml", DiscoverySpec),
        gates=load_spec(specs / "gates.yaml", GatesSpec),
        ontology_hash=ontology_hash,
    )
