from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

from quant_platform_tests.evidence import operations, operations_weeks

DOCS = Path(__file__).resolve().parents[2] / "docs" / "evidence"


def test_the_reduced_run_makes_its_page(tmp_path: Path) -> None:
    operations.main(["--reduced", "--output", str(tmp_path)])
    found = json.loads((tmp_path / "operations.json").read_text(encoding="utf-8"))
    assert found["costs"]["half_spread"] >= 0.7
    assert "| half spread, bps | 4 |" in (tmp_path / "operations.md").read_text(encoding="utf-8")


def test_the_committed_run_keeps_what_was_promised() -> None:
    found = json.loads((DOCS / "operations.json").read_text(encoding="utf-8"))
    costs, chosen, moves = found["costs"], found["selection"], found["promotions"]
    assert costs["worlds"] == 200
    for name in ("half_spread", "impact_coefficient"):
        assert 0.92 <= costs[name] <= 0.98
    assert chosen["in_sample"] > 0.0
    assert chosen["out_of_sample"] <= 2.0 * chosen["out_of_sample_error"]
    assert moves["moves_per_name_and_year"] < 1.0
    assert (DOCS / "operations.md").read_text(encoding="utf-8") == operations.page(
        found, "python -m quant_platform_tests.evidence.operations"
    )


# Closed in New York between June and November 2025, from the exchange's own list.
CLOSED = {date(2025, 6, 19), date(2025, 7, 4), date(2025, 9, 1), date(2025, 11, 27)}


def test_the_weeks_that_ran_by_themselves_are_whole() -> None:
    found = json.loads((DOCS / "operations_weeks.json").read_text(encoding="utf-8"))
    weeks = found["weeks"]
    days = [operations_weeks.FIRST + timedelta(days=k) for k in range(7 * weeks)]
    # Three sessions of the week before are scanned on the first morning.
    assert found["sessions"] == 3 + sum(day.weekday() < 5 and day not in CLOSED for day in days)
    assert found["rows"]["ops.book"] == found["sessions"]
    assert sum(fills for _, fills in found["fills_by_week"]) == found["rows"]["ops.executions"] > 0
    assert (found["runs"]["operations_weekly"], len(found["proposals_by_week"])) == (weeks, weeks)
    assert found["rows"]["ops.skips"] > 0
    assert (DOCS / "operations_weeks.md").read_text(encoding="utf-8") == operations_weeks.page(found)
