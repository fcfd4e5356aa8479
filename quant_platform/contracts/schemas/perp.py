"""Perpetual and spot bars of five minutes, and what is joined to them: raw, clean, and one market row per bar.

A column that the source lacks is null throughout the raw and clean tables and absent from ``clean.market_5m``; a value
that should be there and is not is NaN.
"""

from __future__ import annotations

import dataframely as dy

PERP_MISSING_REASONS = ("vendor_hole", "incomplete", "halt", "quarantined")
MARKETS = ("perp", "spot")
PERP_FACT_TABLES = ("funding", "open_interest", "liquidations", "book")
CHECK_KINDS = ("causal", "repair_time")


def _symbol() -> dy.String:
    return dy.String(primary_key=True, description="Instrument as the venue writes it, e.g. BTCUSDT; partition key.")


def _month(text: str = "Month of the bar in UTC, YYYY-MM; partition key.") -> dy.String:
    return dy.String(primary_key=True, regex=r"^\d{4}-(0[1-9]|1[0-2])$", description=text)


def _stamp(text: str, *, primary_key: bool = False) -> dy.Datetime:
    return dy.Datetime(time_unit="us", time_zone="UTC", primary_key=primary_key, description=text)


def _number(text: str) -> dy.Float64:
    return dy.Float64(nullable=True, allow_nan=True, description=text)


def _known_at() -> dy.Datetime:
    return _stamp("From when a reader could know the row.")


def _source() -> dy.String:
    return dy.String(description="Name of the source spec.")


class _RawBars(dy.Schema):
    symbol = _symbol()
    month = _month("Month of the vendor's file, YYYY-MM; partition key. Rows may lie outside it; cleaning says so.")
    source_row = dy.Int64(primary_key=True, min=0, description="Position of the row in the source's month, from 0.")
    open_time = _stamp("Open time of the bar as delivered.")
    interval_seconds = dy.Int64(min=1, description="Length of the bar as the source states it: 60 or 300.")
    open = _number("First price, in the quote currency.")
    high = _number("Highest price.")
    low = _number("Lowest price.")
    close = _number("Last price.")
    volume = _number("Base units traded.")
    quote_volume = _number("Value traded, in the quote currency; null where the source lacks it.")
    trades = _number("Number of trades; null where the source lacks it.")
    taker_buy_volume = _number("Base units bought by takers; null where the source lacks it.")
    known_at = _known_at()
    source = _source()


class RawPerpBars(_RawBars):
    """Bars of a perpetual as the vendor gave them, one row per row of the source, duplicates included."""


class RawSpotBars(_RawBars):
    """Bars of the spot pair under the same symbol, as the vendor gave them."""


class RawFunding(dy.Schema):
    """Settled funding rates; a restated rate is a further row with a later known_at."""

    symbol = _symbol()
    month = _month("Month of the settlement, YYYY-MM; partition key.")
    settle_time = _stamp("Settlement time as stamped by the vendor, jitter included.", primary_key=True)
    funding_rate = _number("Rate of the interval as a decimal; longs pay shorts where it is positive.")
    interval_hours = dy.Float64(
        nullable=True, min=0.0, description="Hours the rate is for; null where the source does not say."
    )
    known_at = _stamp("From when a reader could know the row.", primary_key=True)
    source = _source()


class RawOpenInterest(dy.Schema):
    """Open interest at a stamp; a restated value is a further row with a later known_at."""

    symbol = _symbol()
    month = _month("Month of the stamp, YYYY-MM; partition key.")
    stamp = _stamp("Time the value is for.", primary_key=True)
    open_interest = _number("Contracts or base units, as the venue counts them.")
    known_at = _stamp("From when a reader could know the row.", primary_key=True)
    source = _source()


class RawLiquidations(dy.Schema):
    """Forced orders summed over a bar."""

    symbol = _symbol()
    month = _month()
    bar = _stamp("Open time of the bar.", primary_key=True)
    liq_long_usd = _number("Forced sells (longs liquidated), USD.")
    liq_short_usd = _number("Forced buys (shorts liquidated), USD.")
    known_at = _stamp("From when a reader could know the row.", primary_key=True)
    source = _source()


class RawBook(dy.Schema):
    """State of the order book over a bar."""

    symbol = _symbol()
    month = _month()
    bar = _stamp("Open time of the bar.", primary_key=True)
    spread_bps = _number("Mean quoted spread, bps of mid; null where lacking.")
    bid_depth_usd = _number("Mean resting bids, USD; null where lacking.")
    ask_depth_usd = _number("Mean resting offers, USD; null where lacking.")
    known_at = _stamp("From when a reader could know the row.", primary_key=True)
    source = _source()


class _CleanBars(dy.Schema):
    symbol = _symbol()
    month = _month()
    bar = _stamp("Open time of the bar; known at bar + 5 minutes.", primary_key=True)
    open = _number("First price, in the quote currency; NaN where the bar is missing.")
    high = _number("Highest price.")
    low = _number("Lowest price.")
    close = _number("Last price.")
    volume = _number("Base units traded.")
    quote_volume = _number("Value traded, in the quote currency; null where the source lacks it.")
    trades = _number("Number of trades; null where the source lacks it.")
    taker_buy_volume = _number("Base units bought by takers; null where the source lacks it.")
    missing_reason = dy.Enum(
        PERP_MISSING_REASONS,
        nullable=True,
        description="Why the bar is NaN: vendor_hole (never came), incomplete (minutes of it never came), "
        "halt (no trade at all), quarantined (kept out by a rule); null where it is not.",
    )


class CleanPerpBars5m(_CleanBars):
    """The full grid of five-minute bars of a perpetual; a missing bar is NaN with a reason."""


class CleanSpotBars5m(_CleanBars):
    """The full grid of five-minute bars of the spot pair; a missing bar is NaN with a reason."""


class CleanPerpQuarantine(dy.Schema):
    """Raw perpetual and spot rows that were kept out, one line per row, with the first rule it broke."""

    symbol = _symbol()
    month = _month("Month of the vendor's file, YYYY-MM; partition key.")
    market = dy.Enum(MARKETS, primary_key=True, description="Whether the row was of the perpetual or of spot.")
    source_row = dy.Int64(primary_key=True, min=0, description="Position of the row in the source's month, from 0.")
    open_time = _stamp("Open time as delivered.")
    rule = dy.String(description="Name of the rule in specs/cleaning/perp.yaml.")
    column = dy.String(description="The column that was judged.")
    observed = _number("What stood there; a time as seconds since 1970.")
    expected = dy.Float64(
        nullable=True, allow_nan=True, description="What the rule expected; null where no single number applies."
    )
    check_kind = dy.Enum(
        CHECK_KINDS, description="causal: decided from rows up to this one; repair_time: needed a later row."
    )
    interval_seconds = dy.Int64(min=1, description="Length of the bar as delivered.")
    open = _number("Open as delivered.")
    high = _number("High as delivered.")
    low = _number("Low as delivered.")
    close = _number("Close as delivered.")
    volume = _number("Volume as delivered.")


class CleanFunding(RawFunding):
    """Settled funding rates that passed every rule; a restated rate is a further row."""


class CleanOpenInterest(RawOpenInterest):
    """Open interest that passed every rule; a restated value is a further row."""


class CleanLiquidations(RawLiquidations):
    """Forced orders over a bar that passed every rule."""


class CleanBook(RawBook):
    """State of the order book over a bar that passed every rule."""


class CleanPerpFactQuarantine(dy.Schema):
    """Rows of funding, open interest, liquidations and book that were kept out, with the first rule each broke."""

    symbol = _symbol()
    month = _month()
    fact = dy.Enum(PERP_FACT_TABLES, primary_key=True, description="Which table the row is of.")
    stamp = _stamp("Settlement, stamp or bar of the row.", primary_key=True)
    known_at = _stamp("From when a reader could know the row.", primary_key=True)
    rule = dy.String(description="Name of the rule, see specs/cleaning/perp.yaml.")
    column = dy.String(description="The column that was judged.")
    observed = _number("What stood there.")
    expected = dy.Float64(nullable=True, description="The limit, or the value that would fit; null where none applies.")
    check_kind = dy.Enum(
        CHECK_KINDS, description="causal: decided from rows up to this one; repair_time: needed a later row."
    )


class CleanMarket5m(dy.Schema):
    """One row per bar of a perpetual with all that was known at its close; columns the source lacks are absent."""

    symbol = _symbol()
    month = _month()
    bar = _stamp("Open time of the bar; everything in the row is known at bar + 5 minutes.", primary_key=True)
    open = _number("First price; NaN where the bar is missing.")
    high = _number("Highest price.")
    low = _number("Lowest price.")
    close = _number("Last price.")


MARKET_COLUMNS = {
    "volume": "Base units traded.",
    "quote_volume": "Value traded, in the quote currency.",
    "trades": "Number of trades.",
    "taker_buy_volume": "Base units bought by takers.",
    "spot_close": "Last price of the spot pair over the same bar.",
    "funding_rate": "Last settled funding rate, decimal per its interval, usable from the bar that opens at or after "
    "the settlement.",
    "funding_settle": "1 on the first bar on which a newly settled rate is usable, else 0.",
    "funding_interval_hours": "Hours the funding rate is for.",
    "oi": "Open interest, contracts or base units, at the latest one bar old stamp that was known.",
    "liq_long_usd": "Forced sells (longs liquidated) over the bar, USD.",
    "liq_short_usd": "Forced buys (shorts liquidated) over the bar, USD.",
    "spread_bps": "Mean quoted spread over the bar, bps of mid.",
    "bid_depth_usd": "Mean resting bids over the bar, USD.",
    "ask_depth_usd": "Mean resting offers over the bar, USD.",
    "quote_volume_is_proxy": "1 where quote_volume is volume times typical price (high + low + close) / 3, as the "
    "source gives none and the spec allows it; absent otherwise.",
}
"""The open columns ``clean.market_5m`` may carry, in their order, and what they mean."""
