"""The spec of the qualification gate (``specs/activation.yaml``)."""

from __future__ import annotations

from pydantic import Field

from quant_platform.specification.loading import SpecModel


class HighConviction(SpecModel):
    """What ``high_conviction_only`` demands; both must hold."""

    min_rr: float = Field(ge=0.0)
    min_confidence: float = Field(ge=0.0, le=100.0)


class ActivationSpec(SpecModel):
    """Floors of the gate and the tighteners; a null or false tightener is off.

    A floor of null is off as well: a sweep uses that, the file in force states all three.
    """

    min_rr: float | None = Field(ge=0.0)
    min_confidence: float | None = Field(ge=0.0, le=100.0)
    min_momentum_percentile: float | None = Field(ge=0.0, le=100.0)
    min_target_probability: float | None = Field(default=None, ge=0.0, le=1.0)
    min_expected_value: float | None = None
    high_conviction_only: bool = False
    exclude_conflicts: bool = False
    high_conviction: HighConviction
