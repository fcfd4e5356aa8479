"""The stored audit as a page shows it; nothing here makes one, so that a page does not depend on a source."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from quant_platform.contracts.findings import DataChecks
from quant_platform.contracts.tables import TABLES
from quant_platform.market.audit import verdict
from quant_platform.pipeline.home import Home

EQUITY_RAW = ("raw.equity_bars", "raw.fundamentals")
PERP_RAW = tuple(name for name, one in TABLES.items() if name.startswith("raw.") and "month" in one.dimensions)


def equity_checks(home: Home) -> DataChecks | None:
    """What the audit of the equities says, for a page; None where none was made yet."""
    return _checks(home, "audit.findings", EQUITY_RAW)


def perp_checks(home: Home) -> DataChecks | None:
    """What the audit of the perpetuals says, for a page; None where none was made yet."""
    return _checks(home, "audit.perp_findings", PERP_RAW)


def stored_rows_of(home: Home, tables: Sequence[str]) -> int:
    """Rows that some tables hold together; one that was never made holds none."""
    return sum(
        int(home.lake.scan(name).select(pl.len()).collect().item()) for name in tables if home.lake.partitions(name)
    )


def _checks(home: Home, name: str, raw: Sequence[str]) -> DataChecks | None:
    if home.lake.current(name, None) is None:
        return None
    frame = home.lake.read(name)
    return DataChecks(verdict(frame, stored_rows_of(home, raw)), frame)
