"""The page of the momentum strategy is made from its file, and twenty names are held."""

from __future__ import annotations

import json
from pathlib import Path

from quant_platform_tests.evidence.momentum import render

EVIDENCE = Path(__file__).resolve().parents[2] / "docs" / "evidence"


def test_the_page_is_that_of_the_file() -> None:
    found = json.loads((EVIDENCE / "momentum.json").read_text(encoding="utf-8"))
    assert (EVIDENCE / "momentum.md").read_text(encoding="utf-8") == render(found)
    for one in found:
        assert max(int(count) for count in one["names_held"]) == 20
        assert max(one["names_held"].values()) == one["names_held"]["20"]
