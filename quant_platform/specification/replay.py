"""The specs of the replay: how a setup is traded and judged, and the sweeps (``specs/replay``, ``specs/sweeps``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from quant_platform.contracts.errors import SpecError
from quant_platform.specification.activation import ActivationSpec
from quant_platform.specification.loading import SpecModel, load_spec

SweepParameter = Literal[
    "min_target_probability", "min_expected_value", "min_momentum_percentile", "min_rr", "min_confidence"
]

SESSIONS_PER_WEEK = 5


class IntervalSpec(SpecModel):
    """Intervals of what is averaged over trades; they cover 95 %."""

    minimum_weeks: int = Field(
        ge=2, description="Fewest weeks that hold a trade; with fewer there is no interval and no p."
    )


class CalibrationSpec(SpecModel):
    """Reliability bins and the walk-forward of the proposed recalibration."""

    bins: int = Field(ge=2, description="Reliability bins, of equal counts.")
    minimum_train_weeks: int = Field(ge=2, description="Weeks with known outcomes before the first fold is judged.")
    folds: int = Field(
        ge=1, description="Folds of the walk-forward; each is judged by a fit on outcomes resolved before it."
    )


class ReplaySpec(SpecModel):
    """How a setup becomes an outcome."""

    entry: Literal["next_open"] = Field(
        description="The one way to enter: at the open of the session after the signal."
    )
    horizon_sessions: int = Field(
        ge=1, description="Sessions a trade may last, the entry session the first; then it ends at the close."
    )
    cost_bps: float = Field(
        ge=0.0, description="Cost of entry and exit together, in basis points of the entry reference."
    )
    delisted_after_sessions: int = Field(
        ge=1, description="Sessions without a bar, at the end of a ticker's bars, after which it counts as gone."
    )
    unknown_delisting_loss: float = Field(
        ge=0.0,
        le=1.0,
        description="Share that a long loses after the last bar where no source says; a short gains nothing there.",
    )
    interval: IntervalSpec = Field(description="Intervals of means and rates, from weekly sums.")
    calibration: CalibrationSpec = Field(description="How the target probability is judged.")

    @property
    def overlap_weeks(self) -> int:
        """Weeks after which no two trades share a session: those of the horizon, and one as weeks may be short."""
        return -(-self.horizon_sessions // SESSIONS_PER_WEEK) + 1


class SweepSpec(SpecModel):
    """One threshold of the gate moved over a grid; null in the grid stands for off."""

    parameter: SweepParameter = Field(
        description="The number of activation.yaml that is moved; all others stay as they are."
    )
    thresholds: tuple[float | None, ...] = Field(
        min_length=1, description="Its values, in the unit of the parameter; null is off. The one in force is added."
    )

    @model_validator(mode="after")
    def _distinct(self) -> SweepSpec:
        if len(set(self.thresholds)) != len(self.thresholds):
            raise ValueError("a threshold stands twice in the grid")
        if -1.0 in self.thresholds:
            raise ValueError("-1 marks the cell that is off; write null for it")
        return self

    def grid(self, activation: ActivationSpec) -> tuple[float | None, ...]:
        """The thresholds with the one in force added where the file does not list it, in the file's order."""
        current = getattr(activation, self.parameter)
        return self.thresholds if current in self.thresholds else (*self.thresholds, current)


def load_sweeps(folder: Path) -> Mapping[str, SweepSpec]:
    """Every sweep of a folder by the name of its file.

    Raises
    ------
    SpecError
        When a file is invalid, or the folder holds none.
    """
    found = {path.stem: load_spec(path, SweepSpec) for path in sorted(folder.glob("*.yaml"))}
    if not found:
        raise SpecError("no sweep is declared", where=str(folder), action="add one YAML file per sweep")
    return found
