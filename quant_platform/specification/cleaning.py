"""The model of ``specs/cleaning/*.yaml``: which raw rows are kept out, and by how much they must be wrong."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from quant_platform.specification.loading import SpecModel


class DuplicateRule(SpecModel):
    """Two rows for one session."""

    conflicting: Literal["none", "first", "last"] = Field(
        description="Which of several rows with different values is kept; rows with equal values keep the first."
    )


class OhlcRule(SpecModel):
    """High below, or low above, another price of the same row."""

    relative_tolerance: float = Field(ge=0.0, le=0.1, description="Excess that rounding by the vendor may explain.")


class DecimalShiftRule(SpecModel):
    """A price that stands at a wrong power of ten."""

    max_power: int = Field(ge=1, le=6, description="Largest number of places the point may have moved.")
    range_factor: float = Field(gt=1.0, description="Highest over lowest price of a row from which it is looked at.")
    field_tolerance: float = Field(
        gt=0.0, lt=0.5, description="How far a moved-back price may lie outside the other prices of its row."
    )
    close_tolerance: float = Field(
        gt=0.0, lt=0.5, description="How far close over previous close may lie from a power of ten, as log10."
    )
    revert_tolerance: float = Field(
        gt=0.0, lt=1.0, description="How close the later close must come to the one before the jump, as |log ratio|."
    )
    revert_sessions: int = Field(ge=1, le=20, description="Bars within which a shifted close must have reverted.")
    spell_sessions: int = Field(
        ge=0,
        description="Bars within which prices at a hundredth or a hundredfold must have jumped back by as much.",
    )
    keep_good_close: bool = Field(
        description="Where the close is good, keep the row and take the shifted fields as missing; else the whole row."
    )


class Dislocation(SpecModel):
    """Sessions on which prices far from all others are known to have traded."""

    first: date = Field(description="First session.")
    last: date = Field(description="Last session.")
    what: str = Field(description="What happened, and where it is documented.")

    @model_validator(mode="after")
    def _ordered(self) -> Dislocation:
        if self.last < self.first:
            raise ValueError(f"last ({self.last}) lies before first ({self.first})")
        return self


class FalsePrintRule(SpecModel):
    """A low, high or open far from every price around it; the field is missing, the row stays."""

    closes_before: int = Field(ge=1, le=20, description="Closes of rows before that the field must lie beyond.")
    rows_before: int = Field(ge=5, le=250, description="Rows before over which the usual range and volume are taken.")
    minimum_rows: int = Field(ge=1, description="Rows before that are needed to know what is usual.")
    minimum_excess: float = Field(gt=0.0, description="Least |log(price / nearest price around it)|.")
    range_multiple: float = Field(gt=0.0, description="The excess is also at least so many usual log(high / low).")
    certain_excess: float = Field(gt=0.0, description="Excess from which the smaller multiple is enough.")
    certain_range_multiple: float = Field(gt=0.0, description="The smaller multiple.")
    news_volume_multiple: float = Field(
        gt=1.0, description="Volume over its usual value from which the print is taken to be real."
    )
    dislocations: tuple[Dislocation, ...] = Field(description="Sessions on which no print is suspect.")

    @model_validator(mode="after")
    def _enough_rows(self) -> FalsePrintRule:
        if self.minimum_rows > self.rows_before:
            raise ValueError(f"minimum_rows ({self.minimum_rows}) are more than rows_before ({self.rows_before})")
        return self


class StatedFactsRule(SpecModel):
    """When raw prices around an ex-date are held to confirm, or to contradict, a stated action."""

    noise_sessions: int = Field(ge=10, description="Sessions on each side over which the usual daily move is taken.")
    visible_sigmas: float = Field(gt=0.0, description="A move is told from none from so many usual daily moves on.")
    visible_minimum: float = Field(gt=0.0, description="And from this |log move| on, however calm the name is.")
    search_sessions: int = Field(
        ge=0, le=20, description="Sessions before and after the ex-date searched for a move that is not on it."
    )
    smallest_yield: float = Field(
        ge=0.0, description="A dividend below this share of the price is named: it may be in another currency unit."
    )


class StaleRule(SpecModel):
    """A row that repeats the session before it, or that quotes without a trade."""

    repeated: bool = Field(
        description="Keep out rows with a price range whose prices and volume equal those of the row before."
    )
    no_trade: bool = Field(description="Keep out rows with zero volume and one single price.")


class CleaningSpec(SpecModel):
    """Which raw daily bars are kept out. Missing values, non-positive prices and non-sessions need no number."""

    duplicate_key: DuplicateRule = Field(description="Several good rows of one session.")
    ohlc_inconsistent: OhlcRule = Field(description="High is not the highest, or low not the lowest price of its row.")
    decimal_shift: DecimalShiftRule = Field(description="Prices at a wrong power of ten: within a row, and whole rows.")
    stale: StaleRule = Field(description="Rows that repeat, and quotes without a trade.")
    stated_facts: StatedFactsRule | None = Field(
        default=None, description="How actions are compared with the prices around them; not compared when left out."
    )
    false_print: FalsePrintRule | None = Field(
        default=None, description="Fields far from every price around them; not looked for when left out."
    )


class FundamentalsCleaningSpec(SpecModel):
    """Which published fundamentals are kept out."""

    zero_is_unknown: tuple[str, ...] = Field(description="Metrics (patterns) of which zero is no value.")
    never_negative: tuple[str, ...] = Field(description="Metrics (patterns) that cannot be below zero.")
    capitalisations: tuple[str, ...] = Field(description="Metrics (patterns) held against the value traded a day.")
    usual_turnover: float = Field(gt=0.0, lt=1.0, description="Value traded a day over capitalisation, typically.")
    scale_decades: float = Field(gt=1.0, description="Decades from where it should be that make a value off scale.")
    largest_minority: float = Field(
        gt=0.0, lt=0.5, description="Largest share of a metric's history that may be off scale by its own middle."
    )
