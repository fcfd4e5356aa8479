"""Small frames of operations for tests: every column stated once, a test changes what it is about."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from quant_platform.labs.operations.book import PaperMarket
from quant_platform.labs.operations.frames import rows_frame
from quant_platform.specification.loading import load_spec
from quant_platform.specification.operations import EvidenceSpec, RoutingSpec, SleevesSpec
from quant_platform.specification.replay import ReplaySpec

SPECS = Path(__file__).resolve().parents[3] / "specs"
ROUTING = load_spec(SPECS / "operations" / "routing.yaml", RoutingSpec)
SLEEVES = load_spec(SPECS / "operations" / "sleeves.yaml", SleevesSpec)
EVIDENCE = load_spec(SPECS / "operations" / "evidence.yaml", EvidenceSpec)
REPLAY = load_spec(SPECS / "replay" / "equity.yaml", ReplaySpec)
FIRST = date(2024, 3, 4)


def routing(**changes: Any) -> RoutingSpec:
    """The shipped routing with some values changed, validated."""
    content = ROUTING.model_dump(mode="json")
    for path, value in changes.items():
        place = content
        *way, last = path.split("__")
        for key in way:
            place = place[key]
        place[last] = value
    return RoutingSpec.model_validate(content)


def setup(ticker: str = "AAA", **changes: Any) -> dict[str, Any]:
    """A row of ``live.scan``: a long at 100, stop 95, target 110; confidence 60."""
    return {
        "day": FIRST,
        "ticker": ticker,
        "direction": "long",
        "entry_reference": 100.0,
        "stop": 95.0,
        "target": 110.0,
        "rr": 2.0,
        "stop_distance_bps": 500.0,
        "expected_value_r": 0.0,
        "confidence": 60.0,
        "qualified": True,
        "refusals": [],
        **changes,
    }


def setups(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of ``live.scan``."""
    return pl.DataFrame(list(rows), schema_overrides={"refusals": pl.List(pl.String)})


def order(day: date = FIRST, ticker: str = "AAA", **changes: Any) -> dict[str, Any]:
    """A row of ``ops.orders``: 10 units long at 100, stop 95, target 110."""
    direction = changes.get("direction", "long")
    return {
        "day": day,
        "order_id": f"{day}/setups/{ticker}/{direction}",
        "strategy": "setups",
        "ticker": ticker,
        "asset_class": "US_EQUITY",
        "sleeve": "spec",
        "direction": "long",
        "action": "enter",
        "quantity": 10.0,
        "reference": 100.0,
        "stop": 95.0,
        "target": 110.0,
        "weight_wanted": 0.1,
        "weight": 0.1,
        "clipped_by": [],
        "spec_hash": "",
        **changes,
    }


def orders(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of ``ops.orders``."""
    return rows_frame("ops.orders", list(rows))


def paper_market(
    prices: dict[str, list[tuple[float, float, float, float] | None]], actions: list[dict[str, Any]] | None = None
) -> PaperMarket:
    """Bars (open, high, low, close) of some names on consecutive weekdays from :data:`FIRST`; None for no bar."""
    count = max(map(len, prices.values()))
    sessions = np.busday_offset(np.datetime64(FIRST), np.arange(count))
    rows = [
        {"ticker": ticker, "session": sessions[k].item(), "open": bar[0], "high": bar[1], "low": bar[2],
         "close": bar[3], "volume": 1e6}
        for ticker, bars in prices.items()
        for k, bar in enumerate(bars)
        if bar is not None
    ]  # fmt: skip
    schema = {"ticker": pl.String, "ex_date": pl.Date, "kind": pl.String, "value": pl.Float64}
    stamps = sessions.astype("datetime64[us]")
    return PaperMarket(
        sessions,
        stamps + np.timedelta64(14, "h"),
        stamps + np.timedelta64(21, "h"),
        pl.DataFrame(rows),
        pl.DataFrame(actions or [], schema=schema),
    )


def day(k: int) -> date:
    """The k-th session of :func:`paper_market`."""
    found: date = np.busday_offset(np.datetime64(FIRST), k).item()
    return found


def fill(k: int = 0, **changes: Any) -> dict[str, Any]:
    """A row of ``ops.fills``: 100 bought at 10.01, middle 10, fee 0.1."""
    return {
        "fill_id": f"f{k}",
        "ticker": "AAA",
        "asset_class": "US_EQUITY",
        "side": "buy",
        "quantity": 100.0,
        "price": 10.01,
        "mid": 10.0,
        "fees": 0.1,
        "currency": "USD",
        "executed_at": datetime(2024, 3, 4, 15, 0, k % 60, tzinfo=UTC),
        "order_id": None,
        "volatility_daily": 0.02,
        "volume_daily": 1e6,
        "law": "venue",
        "source": "test",
        **changes,
    }


def fills(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of ``ops.fills``."""
    return rows_frame("ops.fills", list(rows))
