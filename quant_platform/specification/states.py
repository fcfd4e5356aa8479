"""Typed model of ``specs/states.yaml``: labels of the market at the close of a bar."""

from __future__ import annotations

from datetime import time
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from quant_platform.specification.features import NAME
from quant_platform.specification.loading import SpecModel
from quant_platform.specification.times import Zone


class BandState(SpecModel):
    """Labels of a number by bands that the number must leave by a margin before the label changes."""

    kind: Literal["bands"] = Field(description="bands: one number cut at edges.")
    description: str = Field(description="What the label says.")
    expression: str = Field(description="The number, in the expression language.")
    edges: tuple[float, ...] = Field(min_length=1, description="Rising edges; a value on an edge is above it.")
    labels: tuple[str, ...] = Field(description="One label per band, lowest first.")
    hysteresis: float = Field(ge=0.0, description="How far beyond an edge the number must be to change the label.")
    cadence_bars: int = Field(ge=1, description="The label is renewed on bars that open at a multiple of this.")

    @model_validator(mode="after")
    def _fit(self) -> BandState:
        if len(self.labels) != len(self.edges) + 1 or len(set(self.labels)) != len(self.labels):
            raise ValueError("there must be one distinct label more than edges")
        gaps = [b - a for a, b in zip(self.edges, self.edges[1:], strict=False)]
        if any(gap <= 2 * self.hysteresis for gap in gaps):
            raise ValueError("edges must rise by more than twice the hysteresis")
        return self


class RuleState(SpecModel):
    """Labels by conditions of which at most one holds."""

    kind: Literal["rules"] = Field(description="rules: one condition per label.")
    description: str = Field(description="What the label says.")
    rules: dict[str, str] = Field(min_length=2, description="Label to condition; where none holds it is unknown.")
    cadence_bars: int = Field(ge=1, description="The label is renewed on bars that open at a multiple of this.")


class ClockSpan(SpecModel):
    """The label that begins at a clock time."""

    label: str = Field(description="Label from this time on.")
    begins: time = Field(description="Local clock time at which it begins.")
    timezone: Zone = Field(description="Time zone of that clock.")


class ClockState(SpecModel):
    """Labels by the time of day, on local clocks."""

    kind: Literal["clock"] = Field(description="clock: the time at which the bar closes.")
    description: str = Field(description="What the label says.")
    spans: tuple[ClockSpan, ...] = Field(
        min_length=1, description="Spans of a UTC weekday in order; the first begins it."
    )
    weekend_label: str = Field(description="Label of Saturday and Sunday in UTC.")


class AfterEventState(SpecModel):
    """Whether one of some events was accepted a short while ago."""

    kind: Literal["after_events"] = Field(description="after_events: the window after accepted events.")
    description: str = Field(description="What the label says.")
    events: tuple[str, ...] = Field(min_length=1, description="Events whose windows count.")
    label: str = Field(description="Label inside a window.")
    other: str = Field(description="Label outside.")


State = Annotated[BandState | RuleState | ClockState | AfterEventState, Field(discriminator="kind")]


class StatesSpec(SpecModel):
    """All states."""

    hysteresis_memory_bars: int = Field(
        ge=1, description="How far back a label in the margin of an edge looks for where the number came from."
    )
    states: dict[str, State] = Field(min_length=1, description="States by name; the name is the column.")

    @field_validator("states")
    @classmethod
    def _plain_names(cls, named: dict[str, State]) -> dict[str, State]:
        wrong = [name for name in named if not NAME.fullmatch(name)]
        if wrong:
            raise ValueError(f"states are written in lower-case letters, digits and _: {', '.join(wrong)}")
        return named
