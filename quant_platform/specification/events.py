"""Typed models of ``specs/events/*.yaml`` and ``specs/families.yaml``: what an event is, one file each."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from quant_platform.contracts.errors import SpecError
from quant_platform.specification.features import NAME
from quant_platform.specification.loading import SpecModel, load_spec, read_yaml

EVENT_ID = re.compile(r"[A-Z][A-Z0-9_]*")


class Measured(SpecModel):
    """One measurement of how often an event was accepted."""

    source: str = Field(description="Data it was measured on: set, symbols and period.")
    measured_on: date = Field(description="Day of the measurement.")
    per_10k: float = Field(ge=0.0, description="Accepted events per 10,000 bars that could be judged.")
    bars: int = Field(ge=1, description="Bars that could be judged, all symbols together.")


class Prevalence(SpecModel):
    """How often an event may be accepted before its rule is doubted."""

    min: float = Field(ge=0.0, description="Fewest accepted events per 10,000 bars.")
    max: float = Field(gt=0.0, description="Most accepted events per 10,000 bars.")
    enforce_min: bool = Field(
        default=True, description="Whether too few is a failure; false for rare scheduled events."
    )
    per_settlement: bool = Field(
        default=False,
        description="Whether the event follows the funding clock: bounds are of contracts that settle each eight hours "
        "and are scaled to the interval in force.",
    )
    measured: tuple[Measured, ...] = Field(default=(), description="What the bounds were taken from.")

    @model_validator(mode="after")
    def _ordered(self) -> Prevalence:
        if self.min >= self.max:
            raise ValueError("min must be below max")
        return self


class EventSpec(SpecModel):
    """One event: a rule over trailing expressions, and what follows its firing."""

    id: str = Field(description="Name of the event in capitals; also the name of the file.")
    version: int = Field(ge=1, description="Raised when the rule changes.")
    status: Literal["active", "inactive"] = Field(
        default="active", description="Inactive events are checked but not computed."
    )
    family: str = Field(description="Family in specs/families.yaml, which gives the defaults below.")
    mechanism: str = Field(description="Why prices might behave differently after it.")
    inputs: tuple[str, ...] = Field(
        description="Columns of clean.market_5m and features.context_5m it reads; compared with its expressions."
    )
    params: dict[str, float] = Field(default_factory=dict, description="Numbers the expressions may name.")
    definitions: dict[str, str] = Field(
        default_factory=dict, description="Intermediate expressions of this event; no other event may use the name."
    )
    condition: str = Field(description="The rule, judged at the close of each bar.")
    onset: Literal["rising", "level"] = Field(
        description="rising: the first bar on which the condition is true; level: every such bar."
    )
    direction: str = Field(description="Sign of the impulse: above 0 up, below 0 down, 0 none.")
    direction_kind: Literal["signed", "none"] = Field(description="none where the event has no direction at all.")
    intensity: str = Field(description="Strength of the event, higher is stronger; its unit is the event's own.")
    exit: str | None = Field(default=None, description="Condition that ends the window after the event early.")
    max_active_bars: int = Field(ge=1, description="Length of the window after the event, in bars.")
    cooldown_bars: int = Field(
        ge=0, description="An onset counts only when there was none, counted or not, in so many bars before it."
    )
    entry_lag_bars: int = Field(ge=1, description="Bars from the event's bar to the bar at whose open one may enter.")
    prevalence_per_10k: Prevalence = Field(description="Bounds of the registry check.")
    horizons_bars: tuple[int, ...] | None = Field(
        default=None, description="Horizons; those of the family when absent."
    )
    templates: tuple[str, ...] | None = Field(
        default=None, description="Templates of specs/templates.yaml; those of the family when absent."
    )
    filters: tuple[str, ...] | None = Field(
        default=None, description="Filter templates; those of the family when absent."
    )
    conditioning: tuple[str, ...] | None = Field(
        default=None, description="States whose values split the events; those of the family when absent."
    )
    review: str = Field(description="What the review of the rule found, and what was changed and why.")

    @field_validator("definitions")
    @classmethod
    def _plain_names(cls, named: dict[str, str]) -> dict[str, str]:
        wrong = [name for name in named if not NAME.fullmatch(name)]
        if wrong:
            raise ValueError(f"definitions are written in lower-case letters, digits and _: {', '.join(wrong)}")
        return named

    @model_validator(mode="after")
    def _consistent(self) -> EventSpec:
        if not EVENT_ID.fullmatch(self.id):
            raise ValueError(f"the id {self.id!r} must be written in capitals, digits and _")
        if (self.direction_kind == "none") != (self.direction.strip() == "0"):
            raise ValueError("direction_kind none and direction 0 belong together")
        return self


class FamilySpec(SpecModel):
    """Defaults of the events of a family."""

    description: str = Field(description="What the family is about.")
    horizons_bars: tuple[int, ...] = Field(min_length=1, description="Horizons after the entry, in bars.")
    templates: tuple[str, ...] = Field(description="Templates of specs/templates.yaml; empty for filters only.")
    filters: tuple[str, ...] = Field(description="Filter templates.")
    conditioning: tuple[str, ...] = Field(description="States of specs/states.yaml whose values split the events.")


class RegistrySpec(SpecModel):
    """Checks that hold for every event."""

    min_join_rate: float = Field(
        gt=0.0, le=1.0, description="Accepted events whose entry bar has a price, as a share of those it could have."
    )
    max_clustering: float = Field(
        ge=0.0, le=1.0, description="Accepted events with another one of the same kind within clustering_bars."
    )
    clustering_bars: int = Field(ge=1, description="Distance below which two events cluster, in bars.")
    max_per_10k: float = Field(gt=0.0, description="Most events per 10,000 bars of any event.")
    min_events_per_symbol: int = Field(ge=0, description="Fewer accepted events of a symbol are reported as thin.")


class FamiliesFile(SpecModel):
    """All families, and the checks of the registry."""

    registry: RegistrySpec = Field(description="Checks of every event.")
    families: dict[str, FamilySpec] = Field(description="Families by name.")


def load_events(specs: Path) -> tuple[dict[str, EventSpec], FamiliesFile]:
    """Read every file of ``specs/events`` and the families, in alphabetical order.

    Returns
    -------
    tuple
        Events by id, with the defaults of their family filled in, and the families.

    Raises
    ------
    SpecError
        A file is not valid, its name is not the id of its event, or its family is not declared.
    """
    families = load_spec(specs / "families.yaml", FamiliesFile)
    events: dict[str, EventSpec] = {}
    for path in sorted((specs / "events").glob("*.yaml")):
        event = load_spec(path, EventSpec)
        lines = read_yaml(path)[1]
        if event.id != path.stem:
            raise SpecError(
                f"the file is called {path.name} and the event {event.id}",
                where=f"{path}:{lines[('id',)]}",
                action="give the file the name of its event",
            )
        family = families.families.get(event.family)
        if family is None:
            raise SpecError(
                f"there is no family {event.family!r}",
                where=f"{path}:{lines[('family',)]}",
                action=f"choose one of: {', '.join(families.families)}",
            )
        defaults = {
            name: getattr(family, name)
            for name in ("horizons_bars", "templates", "filters", "conditioning")
            if getattr(event, name) is None
        }
        events[event.id] = event.model_copy(update=defaults)
    if not events:
        raise SpecError("no event is declared", where=str(specs / "events"), action="check QUANT_SPECS")
    return events, families
