"""Bars that passed every rule, and the rows that did not, with the reason."""

from __future__ import annotations

import dataframely as dy

from quant_platform.contracts.schemas.raw import ACTION_KINDS, RawFundamentals

MISSING_REASONS = ("holiday", "halt", "not_listed", "vendor_hole", "quarantined")
CHECK_KINDS = ("causal", "repair_time")
ACTION_VERDICTS = (
    "confirmed",
    "too_small_to_see",
    "no_prices",
    "shown_on_another_session",
    "inverted",
    "in_prices_already",
    "not_in_prices",
    "no_such_move",
    "another_move",
    "implausibly_small",
    "bars_go_on",
    "bars_end_before",
    "impossible",
)


def _price(text: str) -> dy.Float64:
    return dy.Float64(nullable=True, allow_nan=True, description=text)


class CleanEquityBars(dy.Schema):
    """One row per exchange session between a ticker's first and last bar, adjusted for splits and dividends."""

    ticker = dy.String(primary_key=True, description="Upper-case ticker, the partition key.")
    session = dy.Date(primary_key=True, description="Exchange session.")
    open = _price("Adjusted open; NaN where the session is missing.")
    high = _price("Adjusted high.")
    low = _price("Adjusted low.")
    close = _price("Adjusted close.")
    volume = _price("Split-adjusted shares traded.")
    close_unadjusted = _price("Close as it traded on the day (as the vendor gave it where only adjusted prices exist).")
    dollar_volume = _price("Unadjusted close times unadjusted volume, in the listing currency.")
    adjustment_factor = dy.Float64(
        min=0.0,
        description="Adjusted close = factor x close as delivered; the factor of the last session is 1.",
    )
    missing_reason = dy.Enum(
        MISSING_REASONS, nullable=True, description="Why the prices are NaN; null where they are not."
    )
    suspect = dy.String(
        nullable=True,
        description="Fields of this bar that are NaN because what stood there cannot be, e.g. low or open,low; "
        "clean.equity_suspects has what stood there. The close stays.",
    )


class CleanEquityQuarantine(dy.Schema):
    """Raw rows that were kept out of the clean bars, one line per row, with the first rule it broke."""

    ticker = dy.String(primary_key=True, description="Upper-case ticker, the partition key.")
    source_row = dy.Int64(primary_key=True, min=0, description="Position of the row in the source, from 0.")
    session = dy.Date(description="Date the vendor put on the bar.")
    rule = dy.String(description="Name of the rule in specs/cleaning/equity.yaml.")
    column = dy.String(description="The column that was judged.")
    observed = dy.Float64(nullable=True, allow_nan=True, description="What stood there.")
    expected = dy.Float64(
        nullable=True,
        allow_nan=True,
        description="What the rule expected; null where no single number applies.",
    )
    check_kind = dy.Enum(
        CHECK_KINDS, description="causal: decided from rows up to this one; repair_time: needed a later row."
    )
    open = dy.Float64(nullable=True, allow_nan=True, description="Open as delivered.")
    high = dy.Float64(nullable=True, allow_nan=True, description="High as delivered.")
    low = dy.Float64(nullable=True, allow_nan=True, description="Low as delivered.")
    close = dy.Float64(nullable=True, allow_nan=True, description="Close as delivered.")
    volume = dy.Float64(nullable=True, allow_nan=True, description="Volume as delivered.")


class CleanEquitySuspects(dy.Schema):
    """Single fields of good rows that cannot be: missing in clean.equity_bars, delivered as written here."""

    ticker = dy.String(primary_key=True, description="Upper-case ticker, the partition key.")
    source_row = dy.Int64(primary_key=True, min=0, description="Position of the row in the source, from 0.")
    column = dy.String(primary_key=True, description="open, high or low.")
    session = dy.Date(description="Session of the bar.")
    rule = dy.String(description="decimal_shift or false_print, in specs/cleaning/equity.yaml.")
    observed = dy.Float64(description="What stood there, as delivered.")
    expected = dy.Float64(
        nullable=True, description="decimal_shift: the price moved back; false_print: the nearest price around it."
    )
    close = dy.Float64(description="Close of the row, as delivered.")
    check_kind = dy.Enum(
        CHECK_KINDS, description="causal: decided from rows up to this one; repair_time: needed a later row."
    )


class CleanCorporateActions(dy.Schema):
    """Every stated action with what the raw prices around it say, and how it is applied."""

    ticker = dy.String(primary_key=True, description="Upper-case ticker, the partition key.")
    ex_date = dy.Date(primary_key=True, description="Ex-date as stated.")
    kind = dy.Enum(ACTION_KINDS, primary_key=True, description="split, cash_dividend or delisting.")
    value = dy.Float64(allow_nan=True, allow_inf=True, description="Value as stated.")
    known_at = dy.Datetime(time_unit="us", time_zone="UTC", description="From when a reader could know it.")
    verdict = dy.Enum(
        ACTION_VERDICTS,
        description="confirmed, too_small_to_see (applied as stated), no_prices (nothing to compare with), or how the "
        "prices contradict it.",
    )
    applied = dy.Bool(description="Whether it is used; false where it was refused.")
    applied_date = dy.Date(
        nullable=True, description="Ex-date that is used: the session on which prices show the move."
    )
    applied_value = dy.Float64(nullable=True, description="Value that is used.")
    in_prices = dy.Bool(description="True where the delivered prices hold it already, so that it is not applied twice.")
    expected_ratio = dy.Float64(nullable=True, description="Close on over close before that the stated actions make.")
    observed_ratio = dy.Float64(nullable=True, description="Close on over close before as delivered.")
    close_before = dy.Float64(nullable=True, description="Last delivered close before the session judged.")
    close_on = dy.Float64(nullable=True, description="Delivered close of the session judged.")
    close_after = dy.Float64(nullable=True, description="Delivered close after it.")
    hint = dy.String(description="What would fit, in words; empty where nothing was found.")
    source = dy.String(description="Name of the source spec.")


class CleanFundamentals(RawFundamentals):
    """Published fundamentals that passed every rule, in long form, every version kept."""


class CleanFundamentalsQuarantine(RawFundamentals):
    """Published fundamentals that were kept out, with the first rule each broke."""

    value = dy.Float64(nullable=True, allow_nan=True, allow_inf=True, description="The number as published.")
    rule = dy.String(description="not_finite, zero_for_unknown, negative or off_scale.")
    expected = dy.Float64(nullable=True, description="off_scale: the value at the power of ten that would fit.")
    check_kind = dy.Enum(
        CHECK_KINDS, description="causal: decided from what was known then; repair_time: looked at later values."
    )


class CleanEquityAccounting(dy.Schema):
    """Where every raw row went: into the clean bars or into quarantine, counted per ticker in SQL."""

    ticker = dy.String(primary_key=True, description="Upper-case ticker.")
    raw_rows = dy.Int64(min=0, description="Rows the source delivered.")
    clean_rows = dy.Int64(min=0, description="Sessions with prices in clean.equity_bars.")
    quarantined_rows = dy.Int64(min=0, description="Rows in clean.equity_quarantine.")
    unaccounted_rows = dy.Int64(description="raw - clean - quarantined; anything but zero is a lost or invented row.")
    missing_sessions = dy.Int64(min=0, description="Sessions of the ticker's life without prices.")
    first_session = dy.Date(nullable=True, description="First session in clean.equity_bars.")
    last_session = dy.Date(nullable=True, description="Last session in clean.equity_bars.")
