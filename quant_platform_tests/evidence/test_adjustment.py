"""The committed comparison with the vendor is what the code finds today, and it shows the damage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quant_platform_tests.evidence.adjustment import ROOT, compared, page, sources

ROWS = json.loads((ROOT / "docs" / "evidence" / "adjustment.json").read_text())


def test_the_page_is_made_from_the_rows() -> None:
    assert (ROOT / "docs" / "evidence" / "adjustment.md").read_text() == page(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["ticker"])
def test_every_name_agrees_where_the_vendors_print_the_same_close(row: dict[str, float]) -> None:
    assert row["daily_same_print"] > 0.99
    assert row["over_21_sessions"] > 0.99
    assert row["same_print_share"] > 0.95


def test_most_names_agree_on_all_days_and_splits_do_damage_unadjusted() -> None:
    assert sum(row["daily"] > 0.99 for row in ROWS) >= 5
    damaged = {row["ticker"]: row["daily_unadjusted"] for row in ROWS}
    assert damaged["AAPL"] < 0.95
    assert damaged["AIG"] < 0.5


@pytest.mark.real_data
@pytest.mark.parametrize("ticker", ["AAPL", "AIG"])
def test_the_committed_numbers_come_out_again(shared_data: Path, ticker: str) -> None:
    lean, vendor = sources(shared_data)
    committed = next(row for row in ROWS if row["ticker"] == ticker)
    found = compared(lean, vendor, ticker)
    assert found == {
        name: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value for name, value in committed.items()
    }
