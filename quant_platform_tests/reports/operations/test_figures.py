"""The heat map of slippage: what was measured is written, what was not is empty."""

from __future__ import annotations

from datetime import UTC, date, datetime

from quant_platform.labs.operations.cost_tables import slippage_windows
from quant_platform.reports.charts.figures import spec_of
from quant_platform.reports.operations.figures import slippage_heat
from quant_platform_tests.labs.operations.builders import EVIDENCE, fill, fills


def test_an_hour_without_fills_is_no_zero() -> None:
    rows = [
        fill(k, asset_class=kind, price=10.02, executed_at=datetime(2024, 3, 4 + k % 4, hour, k, tzinfo=UTC))
        for kind, hour in (("US_EQUITY", 14), ("FX", 3))
        for k in range(8)
    ]
    unique = [{**row, "fill_id": f"f{number}"} for number, row in enumerate(rows)]
    figure = slippage_heat(slippage_windows(date(2024, 3, 4), fills(*unique), EVIDENCE), simulated=True)
    spec = spec_of(figure)
    drawn = spec["data"]["values"]
    by_square = {(row["asset_class"], row["hour"]): row for row in drawn}
    assert len(by_square) == 2 * 24
    assert by_square["US_EQUITY", "14"]["written"] == "20"
    assert by_square["FX", "03"]["n"] == 8
    empty = by_square["FX", "14"]
    assert (empty["mean_bps"], empty["written"], empty["n"]) == (None, "", 0)
    assert "SIMULATED" in str(spec)
