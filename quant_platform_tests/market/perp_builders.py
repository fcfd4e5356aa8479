"""Small raw frames of perpetuals for the tests of this room."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from quant_platform.contracts.schemas.perp import RawFunding, RawOpenInterest, RawPerpBars
from quant_platform.specification.loading import load_spec
from quant_platform.specification.perp_market import MarketSpec, PerpCleaningSpec
from quant_platform_tests.market.builders import SPECS

START = datetime(2024, 2, 1, tzinfo=UTC)


def cleaning(**changes: Any) -> PerpCleaningSpec:
    return load_spec(SPECS / "cleaning" / "perp.yaml", PerpCleaningSpec).model_copy(update=changes)


def joins(**changes: Any) -> MarketSpec:
    return load_spec(SPECS / "market" / "perp.yaml", MarketSpec).model_copy(update=changes)


def at(minutes: float, *, seconds: float = 0.0) -> datetime:
    return START + timedelta(minutes=minutes, seconds=seconds)


def bar(minutes: float, close: float = 100.0, **changes: Any) -> dict[str, Any]:
    row = {
        "open_time": at(minutes),
        "open": close - 0.5,
        "high": close + 1.0 + minutes / 1e4,
        "low": close - 1.0,
        "close": close,
        "volume": 10.0 + minutes / 1e3,
        "taker_buy_volume": 4.0,
    }
    return row | changes


def raw(rows: Sequence[dict[str, Any]], *, interval: int = 300, symbol: str = "AAAUSDT") -> pl.DataFrame:
    empty = RawPerpBars.create_empty()
    filled = [
        {
            "symbol": symbol,
            "month": "2024-02",
            "source_row": number,
            "interval_seconds": interval,
            "known_at": row["open_time"] + timedelta(seconds=interval),
            "source": "test",
            **row,
        }
        for number, row in enumerate(rows)
    ]
    return pl.DataFrame(filled, schema=empty.schema)


def funding(rows: Sequence[tuple[Any, ...]], *, symbol: str = "AAAUSDT") -> pl.DataFrame:
    """Rows of settle_time, rate, and where wanted interval_hours and known_at."""
    filled = [
        {
            "symbol": symbol,
            "month": f"{row[0]:%Y-%m}",
            "settle_time": row[0],
            "funding_rate": row[1],
            "interval_hours": row[2] if len(row) > 2 else None,
            "known_at": row[3] if len(row) > 3 else row[0],
            "source": "test",
        }
        for row in rows
    ]
    return pl.DataFrame(filled, schema=RawFunding.create_empty().schema)


def interest(rows: Sequence[tuple[Any, ...]], *, symbol: str = "AAAUSDT") -> pl.DataFrame:
    """Rows of stamp, value, and where wanted known_at."""
    filled = [
        {
            "symbol": symbol,
            "month": f"{row[0]:%Y-%m}",
            "stamp": row[0],
            "open_interest": row[1],
            "known_at": row[2] if len(row) > 2 else row[0],
            "source": "test",
        }
        for row in rows
    ]
    return pl.DataFrame(filled, schema=RawOpenInterest.create_empty().schema)
