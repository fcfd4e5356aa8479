"""The spec of the equity setups: levels, stop, probabilities and confidence (``specs/setups/*.yaml``)."""

from __future__ import annotations

from pydantic import Field, model_validator

from quant_platform.specification.loading import SpecModel

_WEIGHT_TOLERANCE = 1e-9


class ProbabilityOffset(SpecModel):
    """Coefficients b of the named x in ``logit p = logit p0 + b'x``; all zero is a market without an edge."""

    intercept: float = 0.0
    log_rr: float = 0.0
    confidence: float = 0.0
    short: float = 0.0


class ConfidenceWeights(SpecModel):
    """How the strength of a level is put together; the three weights add up to one."""

    touches: float = Field(ge=0.0)
    recency: float = Field(ge=0.0)
    volume: float = Field(ge=0.0)
    touches_full: int = Field(ge=1)
    recency_half_life_bars: float = Field(gt=0.0)
    relative_volume_full: float = Field(gt=0.0)

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

    pivot_bars: int = Field(ge=1)
    lookback_bars: int = Field(ge=2)
    minimum_history_bars: int = Field(ge=2)
    atr_window_bars: int = Field(ge=1)
    cluster_atr: float = Field(ge=0.0)
    stop_buffer_atr: float = Field(ge=0.0)
    minimum_rr: float = Field(ge=0.0)
    minimum_stop_atr: float = Field(ge=0.0)
    volatility_window_bars: int = Field(ge=2)
    volume_window_bars: int = Field(ge=1)
    confidence: ConfidenceWeights
    probability_offset: ProbabilityOffset = ProbabilityOffset()

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
