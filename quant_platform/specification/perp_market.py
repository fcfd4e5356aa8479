"""The models of ``specs/cleaning/perp.yaml`` and ``specs/market/perp.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from quant_platform.specification.cleaning import CleaningSpec
from quant_platform.specification.loading import SpecModel


class PerpFactsSpec(SpecModel):
    """Which rows of funding, open interest, liquidations and book are kept out."""

    limits: Mapping[str, float] = Field(description="Largest absolute value of a column that can be.")
    filled_zero_settlements: int = Field(
        ge=2, description="Rates unlike zero from which on the grid of settlements is known."
    )
    scale_tolerance: float = Field(
        gt=0.0, lt=0.5, description="How far open interest over its neighbours may lie from a power of ten, as log10."
    )
    unchanging_rows: Mapping[str, int] = Field(
        description="Longest run of rows with one value that a live series can have."
    )


class PerpCleaningSpec(CleaningSpec):
    """Which raw perpetual and spot bars are kept out, and when minutes make a bar of five."""

    minutes_required: int = Field(
        ge=1, le=5, description="Good minutes a bar of five needs; with fewer it is missing, reason incomplete."
    )
    no_trade_is_halt: bool = Field(
        description="A bar of five minutes with zero volume and one single price is missing, reason halt."
    )
    restated: Literal["first", "last"] = Field(
        description="Which version of a bar stands that became known with different values at different times."
    )
    taker_tolerance: float = Field(
        ge=0.0, description="Relative excess of the takers' volume over all volume that rounding may explain."
    )
    facts: PerpFactsSpec = Field(description="What is joined to the bars.")


class MarketSpec(SpecModel):
    """How funding, open interest, liquidations and book are joined to the bars of a perpetual."""

    stamp_tolerance_seconds: float = Field(
        ge=0.0, lt=150.0, description="A stamp this close to the open of a bar is taken to be that open."
    )
    funding_intervals_hours: tuple[float, ...] = Field(
        min_length=1, description="Intervals that the distance of two settlements may be read as."
    )
    funding_default_interval_hours: float = Field(
        gt=0.0, description="Interval of a first settlement where the source does not say."
    )
    funding_max_age_intervals: float = Field(
        gt=0.0, description="A rate is not carried further than this many of its intervals after its settlement."
    )
    quote_volume_from_typical_price: bool = Field(
        default=False,
        description="Where a source gives no value traded at all, take volume times (high + low + close) / 3 for it "
        "and mark it. Within 0.27 % of the value on the files where both are known; never mixed with given values.",
    )
    open_interest_lag_bars: int = Field(ge=0, description="Bars after its stamp from which open interest is usable.")
    open_interest_max_age_minutes: float = Field(
        gt=0.0, description="Open interest is not carried further than this after its stamp."
    )
