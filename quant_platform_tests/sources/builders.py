"""Source specs for the tests of this room, written as a person would write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quant_platform.specification.loading import load_spec
from quant_platform.specification.sources import SourceSpec

SPECS = Path(__file__).resolve().parents[2] / "specs" / "sources"

COLUMNS = {"session": "Date", "open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume"}
HEADER = "Date,Open,High,Low,Close,Volume"


def shipped(name: str) -> SourceSpec:
    return load_spec(SPECS / f"{name}.yaml", SourceSpec)


def folder_spec(layout: str = "file_per_ticker", **bars: Any) -> SourceSpec:
    columns = dict(COLUMNS)
    if layout == "long_file":
        columns["ticker"] = "Ticker"
    files = {
        "layout": layout,
        "max_future_days": 0,
        "bars": {"path": "*.csv" if layout == "file_per_ticker" else "all.csv", "columns": columns} | bars,
    }
    return SourceSpec.model_validate(
        {
            "name": "mine",
            "description": "A folder.",
            "kind": "files",
            "exchange": "XNYS",
            "universe": "mine",
            "adjustment": "none",
            "files": files,
        }
    )
