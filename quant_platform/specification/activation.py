"""The spec of the qualification gate (``specs/activation.yaml``)."""

from __future__ import annotations

from pydantic import Field

from quant_platform.specification.loading import SpecModel


class HighConviction(SpecModel):
    """Two floors above the usual ones."""

    min_rr: float = Field(ge=0.0, description="Least reward over risk of high conviction.")
    min_confidence: float = Field(ge=0.0, le=100.0, description="Least confidence of high conviction, 0 to 100.")


class ActivationSpec(SpecModel):
    """Floors of the gate and the tighteners; a null or false one is off, a value equal to its floor passes."""

    min_rr: float | None = Field(ge=0.0, description="Least reward over risk.")
    min_confidence: float | None = Field(ge=0.0, le=100.0, description="Least confidence, 0 to 100.")
    min_momentum_percentile: float | None = Field(
        ge=0.0,
        le=100.0,
        description="Least momentum percentile in the direction of the trade (100 - p for a short), 0 to 100; enforced "
        "only where the percentile is attached.",
    )
    min_target_probability: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="Tightener: least modelled chance that the target comes first, 0 to 1.",
    )
    min_expected_value: float | None = Field(
        default=None, description="Tightener: least expected value before cost, in R."
    )
    high_conviction_only: bool = Field(default=False, description="Tightener: demand both numbers of high_conviction.")
    exclude_conflicts: bool = Field(
        default=False, description="Tightener: refuse where the other direction has a valid setup too."
    )
    high_conviction: HighConviction = Field(description="What high_conviction_only demands; both must hold.")
