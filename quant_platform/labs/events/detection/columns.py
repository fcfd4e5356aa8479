"""Columns that features, states and events may name, and what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from quant_platform.expressions import Kind

MARKET_COLUMNS = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trades",
    "taker_buy_volume",
    "spot_close",
    "funding_rate",
    "funding_interval_hours",
    "oi",
    "liq_long_usd",
    "liq_short_usd",
    "spread_bps",
    "bid_depth_usd",
    "ask_depth_usd",
)
CONTEXT_NUMBERS = ("bench_ret", "partner_ret12", "xs_funding_med_bps", "fee_taker_bps")
CONTEXT_FLAGS = ("session_open_close", "session_close_close", "funding_time_close", "news_release")
# Stored as 1.0 and 0.0 in clean.market_5m, where every optional column is a number.
MARKET_FLAGS = ("funding_settle",)

COLUMNS: Mapping[str, Kind] = MappingProxyType(
    {
        **dict.fromkeys((*MARKET_COLUMNS, *CONTEXT_NUMBERS), Kind.NUMBER),
        **dict.fromkeys((*MARKET_FLAGS, *CONTEXT_FLAGS), Kind.CONDITION),
    }
)
