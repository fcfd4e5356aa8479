"""The columns that spec files add to tables which are open for them, with their descriptions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from quant_platform.contracts.schemas.perp import MARKET_COLUMNS
from quant_platform.specification.event_lab import load_event_lab
from quant_platform.specification.features import load_equity_features


def open_columns(specs: Path) -> Mapping[str, Mapping[str, str]]:
    """Open table to its further Float64 columns, as a folder of specs declares them."""
    lab = load_event_lab(specs)
    return {
        "features.equity": {name: each.description for name, each in load_equity_features(specs).features.items()},
        "clean.market_5m": MARKET_COLUMNS,
        "features.market_5m": {name: each.description for name, each in lab.features.features.items()},
        "events.event_flags": {name: event.mechanism for name, event in lab.active.items()},
    }
