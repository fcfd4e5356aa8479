"""The spec of the equity setups: levels, stop, probabilities and confidence (``specs/setups/*.yaml``)."""

from __future__ import annotations

from pydantic import Field, model_validator

from quant_platform.specification.loading import SpecModel

_WEIGHT_TOLERANCE = 1e-9


class ProbabilityOffset(SpecModel):
    """Coefficients b of the named x in ``logit p = logit p0 + b'x``; all zero is a market without an edge."""

    intercept: float = Field(
        default=0.0, description="Added for every setup, in log odds; above 0 targets come more often."
    )
    log_rr: float = Field(default=0.0, description="Per unit of ln(rr), in log odds.")
    confidence: float = Field(default=0.0, description="Per 100 points of confidence, in log odds.")
    short: float = Field(default=0.0, description="Added for a short setup, in log odds.")


class ConfidenceWeights(SpecModel):
    """How the strength of a level is put together; the three weights add up to one."""

    touches: float = Field(ge=0.0, description="Weight of how many pivots form the level, 0 to 1.")
    recency: float = Field(ge=0.0, description="Weight of how recent its latest pivot is, 0 to 1.")
    volume: float = Field(
        ge=0.0, description="Weight of the volume at its pivots, 0 to 1; left out where no volume is known."
    )
    touches_full: int = Field(ge=1, description="Pivots in a level that earn the full part of touches.")
    recency_half_life_bars: float = Field(
        gt=0.0, description="Age of the latest pivot at which the part of recency has halved, in bars."
    )
    relative_volume_full: float = Field(
        gt=0.0, description="Mean relative volume of the pivots that earns the full part of volume."
    )

    @model_validator(mode="after")
    def _weights_add_up(self) -> ConfidenceWeights:
        total = self.touches + self.recency + self.volume
        if abs(total - 1.0) > _WEIGHT_TOLERANCE:
            raise ValueError(f"touches + recency + volume must be 1, is {total:g}")
        if self.touches + self.recency == 0.0:
            raise ValueError("touches or recency needs a weight: a level may have no known volume")
        return self


class SetupSpec(SpecModel):
    """Everything that decides which setup stands at a session. Bars are traded sessions of the ticker."""

    pivot_bars: int = Field(
        ge=1, description="Bars a swing pivot needs on both sides; it is known that many bars after it."
    )
    lookback_bars: int = Field(
        ge=2, description="Pivots older than this many bars are forgotten; must exceed 2 x pivot_bars."
    )
    minimum_history_bars: int = Field(
        ge=2, description="No setup before the ticker has that many bars; must cover the windows."
    )
    atr_window_bars: int = Field(ge=1, description="Window of the average true range (plain mean), in bars.")
    cluster_atr: float = Field(
        ge=0.0, description="Pivots within this many ATR of the one nearest to the close are one level."
    )
    stop_buffer_atr: float = Field(ge=0.0, description="How far behind its level the stop stands, in ATR.")
    minimum_rr: float = Field(ge=0.0, description="A setup with less reward over risk than this is not one.")
    minimum_stop_atr: float = Field(ge=0.0, description="A setup whose stop is nearer than this many ATR is not one.")
    volatility_window_bars: int = Field(
        ge=2,
        description="Window of the daily volatility (root mean square of log returns) of the probabilities, in bars.",
    )
    volume_window_bars: int = Field(
        ge=1, description="Window of the average volume that the volume of a pivot is compared with, in bars."
    )
    confidence: ConfidenceWeights = Field(
        description="How the strength of the two levels becomes the confidence, 0 to 100."
    )
    probability_offset: ProbabilityOffset = Field(
        default=ProbabilityOffset(), description="What a fitted edge adds to the log odds of the target."
    )

    @model_validator(mode="after")
    def _history_covers_the_windows(self) -> SetupSpec:
        needed = max(self.atr_window_bars, self.volatility_window_bars) + 1
        if self.minimum_history_bars < needed:
            raise ValueError(
                f"minimum_history_bars {self.minimum_history_bars} is less than the windows need: {needed}"
            )
        if self.lookback_bars <= 2 * self.pivot_bars:
            raise ValueError("lookback_bars must exceed 2 x pivot_bars, else no confirmed pivot lies inside it")
        return self
