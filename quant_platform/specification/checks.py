"""Thresholds of the asset checks: ``specs/checks.yaml``."""

from __future__ import annotations

from pydantic import Field

from quant_platform.specification.loading import SpecModel


class ChecksSpec(SpecModel):
    """When a table that is whole is still worth a warning."""

    ohlc_tolerance: float = Field(ge=0.0, description="Relative slack of low <= open, close <= high after adjustment.")
    max_missing_share: float = Field(ge=0.0, le=1.0, description="Missing sessions over all sessions of the run.")
    max_age_days: int = Field(ge=0, description="Calendar days between the newest bar and today, or the market's end.")
    max_quarantine_share: float = Field(ge=0.0, le=1.0, description="Quarantined over raw rows of the run.")
    least_traded_share: float = Field(
        ge=0.0,
        le=1.0,
        description="Traded value of a member over that of the median member, by year; below it the name is named.",
    )
    stop_quarantine_share: float = Field(
        ge=0.0, le=1.0, description="Quarantined over raw rows past which an import or a run ends with an error."
    )
    stop_missing_share: float = Field(
        ge=0.0,
        le=1.0,
        description="Missing over all sessions or bars past which an import or a run ends with an error.",
    )
