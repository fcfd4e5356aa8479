from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from quant_platform_tests.evidence import suite

DOCS = Path(__file__).resolve().parents[2] / "docs" / "evidence"


def test_the_reduced_run_makes_its_page(tmp_path):
    suite.main(["--reduced", "--output", str(tmp_path)])
    found = json.loads((tmp_path / "suite.json").read_text())
    assert {len(rows) for rows in found["kinds"].values()} == {2}
    assert all(row["colour"] == "red" for kind in list(found["kinds"])[:2] for row in found["kinds"][kind])
    assert set(found["peeking signals stopped"].values()) == {2}
    assert "| planted | " in (tmp_path / "suite.md").read_text()


def test_the_committed_run_keeps_what_was_promised():
    found = json.loads((DOCS / "suite.json").read_text())
    colours = {kind: Counter(row["colour"] for row in rows) for kind, rows in found["kinds"].items()}
    assert found["worlds"] == 20
    assert colours["null, half-life 20 sessions"]["yellow"] <= 1
    assert all(colours[kind]["green"] == 0 for kind in colours if kind.startswith("null"))
    assert colours["planted"]["green"] + colours["planted"]["yellow"] >= 18
    assert colours["clone of momentum"]["red"] == 20
    assert sum("baseline_clone" in row["red_rules"] for row in found["kinds"]["clone of momentum"]) == 20
    assert set(found["peeking signals stopped"].values()) == {20}
    assert (DOCS / "suite.md").read_text() == suite.page(found, found["command"])
