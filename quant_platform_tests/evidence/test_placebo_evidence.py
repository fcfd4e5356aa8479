"""How the worlds of the placebo's table are counted, on rows made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from quant_platform_tests.evidence.placebo import RULES, counts, page

DOCS = Path(__file__).resolve().parents[2] / "docs" / "evidence"


def test_tests_and_discoveries_are_counted_once_and_only_on_direction() -> None:
    common = {
        "counted": True,
        "tested": True,
        "question": "direction",
        "selected": False,
        "p_raw": 0.5,
        "track": "none",
        "alias_group": "a",
    }
    changes = (
        {},
        {"selected": True, "p_raw": 0.01},
        {"selected": True, "counted": False},
        {"selected": True, "question": "risk"},
        {"tested": False, "p_raw": None},
        {"p_raw": 0.05, "track": "standard", "alias_group": "b"},
        {"counted": False, "track": "standard", "alias_group": "b"},
    )
    found = counts(pl.DataFrame([common | change for change in changes]))
    assert found == {"tests": 3, "discoveries": 1, "below_level": 2, "standard": 1}


def test_the_page_is_that_of_its_document() -> None:
    document = json.loads((DOCS / "placebo.json").read_text())
    assert page(document) == (DOCS / "placebo.md").read_text()
    for name in RULES:
        loud = sum(world[name]["discoveries"] > 0 for world in document["worlds"])
        assert f"| {loud} of {document['made']['worlds']} |" in page(document)
