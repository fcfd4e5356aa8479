from __future__ import annotations

import json
from pathlib import Path

from quant_platform_tests.evidence import operations

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
