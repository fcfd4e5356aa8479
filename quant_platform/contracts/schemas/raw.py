"""What a source delivered, before anybody judged it."""

from __future__ import annotations

import dataframely as dy
import polars as pl

ADJUSTMENTS = ("none", "split", "split_dividend")
ACTION_KINDS = ("split", "cash_dividend", "delisting")
UTC_STAMP = pl.Datetime("us", "UTC")


class RawEquityBars(dy.Schema):
    """Daily bars as the vendor gave them, one row per row of the source, duplicates included."""

    ticker = dy.String(primary_key=True, description="Upper-case ticker, the partition key.")
    source_row = dy.Int64(primary_key=True, min=0, description="Position of the row in the source, from 0.")
    session = dy.Date(description="The exchange date the vendor put on the bar.")
    open = dy.Float64(nullable=True, description="Opening price in the listing currency.")
    high = dy.Float64(nullable=True, description="Highest price of the session.")
    low = dy.Float64(nullable=True, description="Lowest price of the session.")
    close = dy.Float64(nullable=True, description="Closing price of the session.")
    volume = dy.Float64(nullable=True, description="Shares traded.")
    adjustment = dy.Enum(ADJUSTMENTS, description="What the vendor has already adjusted prices for.")
    source = dy.String(description="Name of the source spec.")


class RawCorporateActions(dy.Schema):
    """Splits, cash dividends and delistings, each with the time from which it was known."""

    ticker = dy.String(primary_key=True, description="Upper-case ticker, the partition key.")
    ex_date = dy.Date(
        primary_key=True,
        description="First session that trades without the entitlement; for a delisting the last session.",
    )
    kind = dy.Enum(ACTION_KINDS, primary_key=True, description="split, cash_dividend or delisting.")
    value = dy.Float64(
        description="split: new shares per old; cash_dividend: cash per unadjusted share; delisting: return after it."
    )
    known_at = dy.Datetime(time_unit="us", time_zone="UTC", description="From when a reader could know it.")
    source = dy.String(description="Name of the source spec.")


class RawFundamentals(dy.Schema):
    """Fundamental values in long form, every published version kept."""

    ticker = dy.String(primary_key=True, description="Upper-case ticker, the partition key.")
    metric = dy.String(primary_key=True, description="Name of the quantity, for example earnings_per_share.")
    known_at = dy.Datetime(
        time_unit="us",
        time_zone="UTC",
        primary_key=True,
        description="Publication time: the value is usable from here on.",
    )
    value = dy.Float64(
        nullable=True,
        allow_nan=True,
        allow_inf=True,
        description="The published number; null where the vendor published none.",
    )
    unit = dy.String(description="Unit of the value, for example USD, ratio.")
    source = dy.String(description="Name of the source spec.")


class StatedSecurities(dy.Schema):
    """Membership intervals as a source states them."""

    ticker = dy.String(primary_key=True, description="Upper-case ticker.")
    universe = dy.String(primary_key=True, description="Name of the universe.")
    start_date = dy.Date(primary_key=True, description="First session of membership.")
    end_date = dy.Date(nullable=True, description="Last session of membership; null while it lasts.")
    name = dy.String(nullable=True, description="Company name where the source has one.")
    sector = dy.String(nullable=True, description="Sector where the source has one.")
    source = dy.String(description="Name of the source spec.")


class RawSecurities(StatedSecurities):
    """Membership intervals: who belonged to which universe when."""

    asset_class = dy.String(
        nullable=True,
        description="From the universe spec, for example US_EQUITY, FX, COMMODITY; routing and costs go by it.",
    )
