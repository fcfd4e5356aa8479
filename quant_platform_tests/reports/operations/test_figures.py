"""The heat map of slippage: what was measured is written, what was not is empty."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import polars as pl
import pytest

from quant_platform.labs.operations.cost_tables import slippage_windows
from quant_platform.labs.operations.frames import rows_frame
from quant_platform.reports.charts.figures import Figure, spec_of
from quant_platform.reports.operations.figures import (
    account_figures,
    cost_figure,
    evidence_growth,
    skip_reasons,
    sleeve_figure,
    slippage_heat,
)
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


WEEK, DAY = date(2024, 3, 4), date(2024, 3, 8)
BOOK = [
    {"day": DAY - timedelta(days=k), "equity": 100.0 - k, "cash": 0.0, "gross": 0.0, "net": 0.0, "positions": 0,
     "drawdown": 0.01 * k, "closed_pnl": 0.0, "halted": False, "switches": []}
    for k in (1, 0)
]  # fmt: skip
SKIPS = [
    {"day": DAY, "order_id": f"o{k}", "code": code, "stage": "decision", "strategy": "setups", "ticker": "AAA",
     "asset_class": "FX", "direction": "long", "reason": "why"}
    for k, code in enumerate(["held", "gate", "gate"])
]  # fmt: skip
COSTS = [
    {"week": WEEK, "group": "FX", "measure": measure, "unit": unit, "n": 30, "value": value, "error": 1.0, "low": 1.0,
     "high": 9.0, "modelled": modelled, "n_left_out": 0, "laws": ["venue"]}
    for measure, unit, value, modelled in (("half_spread", "bps", 6.0, 3.0), ("impact_coefficient", "", 1.2, 0.8),
                                           ("round_trip_p50", "bps", None, None))
]  # fmt: skip
SLEEVES = [
    {"week": WEEK, "ticker": ticker, "evidence": "replayed", "sleeve": sleeve, "asset_class": "FX", "n": 9,
     "mean_r": mean_r, "mean_r_low": -1.0, "mean_r_high": 1.0}
    for ticker, sleeve, mean_r in (("AAA", "core", -0.2), ("BBB", "spec", 0.3), ("CCC", "spec", None))
]  # fmt: skip


def drawn_rows(figure: Figure) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = spec_of(figure)["data"]["values"]
    return rows


@pytest.fixture(scope="module")
def database() -> duckdb.DuckDBPyConnection:
    """The tables behind the figures."""
    found = duckdb.connect()
    found.execute("create schema ops")
    tables = {"book": BOOK, "skips": SKIPS, "transaction_costs": COSTS, "sleeve_summary": SLEEVES, "trades": []}
    for name, rows in tables.items():
        frame = rows_frame(f"ops.{name}", rows).to_arrow()
        found.register("frame", frame)
        found.execute(f"create table ops.{name} as from frame")
    return found


def test_each_figure_draws_its_rows_and_its_query_finds_them(database: duckdb.DuckDBPyConnection) -> None:
    book = rows_frame("ops.book", BOOK)
    equity, below = account_figures(book, simulated=True)
    assert [row["equity"] for row in drawn_rows(equity)] == [99.0, 100.0]
    assert [row["below"] for row in drawn_rows(below)] == [-0.01, 0.0]
    skipped = skip_reasons({"gate": 2, "held": 1}, DAY.isoformat(), simulated=True)
    assert [(row["code"], row["skips"]) for row in drawn_rows(skipped)] == [("gate", 2), ("held", 1)]
    cost = cost_figure(rows_frame("ops.transaction_costs", COSTS), simulated=True)
    # A coefficient is not in bps, and what has no number is not drawn.
    assert [(row["line"], row["made_by"], row["value"]) for row in drawn_rows(cost)] == [
        ("FX half spread", "measured", 6.0), ("FX half spread", "assumed", 3.0)]  # fmt: skip
    sleeves = sleeve_figure(
        rows_frame("ops.sleeve_summary", SLEEVES).with_columns(pl.col("evidence").cast(pl.String)),
        evidence="replayed",
        simulated=True,
    )
    assert [row["ticker"] for row in drawn_rows(sleeves)] == ["BBB", "AAA"]
    growth = evidence_growth(book.select("day", closed=pl.lit(0)), 30, simulated=True)
    assert [row["closed"] for row in drawn_rows(growth)] == [0, 0]
    for figure, rows in ((equity, 2), (below, 2), (skipped, 2), (cost, 2), (sleeves, 2), (growth, 2)):
        assert "SIMULATED" in str(spec_of(figure))
        assert len(database.sql(figure.words.sql).fetchall()) == rows, figure.words.title
