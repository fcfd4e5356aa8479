"""How a factor is judged: ``specs/factors/equity.yaml``."""

from __future__ import annotations

from pydantic import Field, field_validator

from quant_platform.specification.loading import SpecModel


class StarSpec(SpecModel):
    """When an IC is significant, and starred."""

    max_adjusted_p: float = Field(gt=0.0, lt=1.0, description="Largest p after Holm over the factors of the table.")
    min_independent_windows: int = Field(ge=2, description="Fewest non-overlapping windows.")


class FactorSpec(SpecModel):
    """Horizons, lags and thresholds of the information coefficient."""

    horizon_sessions: int = Field(ge=1, description="Forward return horizon of the headline IC, in sessions.")
    decay_horizons_sessions: tuple[int, ...] = Field(min_length=1, description="Horizons of the decay table.")
    entry_lag_sessions: int = Field(
        ge=1, description="Sessions between date_sig and the start of the return; at least 1."
    )
    ended_after_sessions: int = Field(
        ge=1, description="A name whose bars end this many sessions before the market's counts as delisted."
    )
    unknown_delisting_return: float | None = Field(
        ge=-1.0,
        description="Return after the last bar where no source says; null leaves such windows out and counts them.",
    )
    min_names: int = Field(ge=3, description="Fewest names of a cross-section.")
    quantiles: int = Field(ge=2, description="Number of quantiles of the spread.")
    confidence: float = Field(gt=0.5, lt=1.0, description="Coverage of the intervals.")
    bootstrap_draws: int = Field(ge=200, description="Draws of the block bootstrap.")
    min_independent_windows: int = Field(ge=2, description="Fewest non-overlapping windows of a reliable IC.")
    max_half_width: float = Field(gt=0.0, description="Largest two standard errors of a precise mean IC.")
    star: StarSpec = Field(description="When an IC is significant.")
    min_windows_for_error: int = Field(
        ge=2, description="Fewest non-overlapping windows for an error: with fewer no t, no p and no interval."
    )

    @field_validator("decay_horizons_sessions")
    @classmethod
    def _positive(cls, horizons: tuple[int, ...]) -> tuple[int, ...]:
        if any(h < 1 for h in horizons) or list(horizons) != sorted(set(horizons)):
            raise ValueError("horizons must be positive, ascending and distinct")
        return horizons

    @property
    def horizons(self) -> tuple[int, ...]:
        """Every horizon that is evaluated, the headline one included, ascending."""
        return tuple(sorted({*self.decay_horizons_sessions, self.horizon_sessions}))
