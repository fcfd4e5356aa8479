"""The page of kills says what its document says, and which kinds nobody has tried."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quant_platform_tests.evidence import kills

DOCUMENT = kills.ROOT / "docs" / "evidence" / f"{kills.NAME}.json"


def test_a_kind_that_was_not_tried_says_so() -> None:
    tried = {
        "kills": 20,
        "harmed": 1,
        "differing": 2,
        "stopped": 3,
        "too_late": 4,
        "earliest": 0.08,
        "latest": 0.915,
        "commit": "abc1234",
    }
    text = kills.page({"names": 9, "partitions": 70, "kinds": {"worker": tried}})
    assert "A simulated market of 9 names, 70 partitions." in text
    rows = [line for line in text.splitlines() if line.startswith("| ") and "killed" not in line]
    assert rows == [
        "| whole run | not tried yet |  |  |  |  |  |  |  |",
        "| worker | 20 | 1 | 2 | 3 | 4 | 8% | 92% | abc1234 |",
        "| catalogue | not tried yet |  |  |  |  |  |  |  |",
        "| vacuum | not tried yet |  |  |  |  |  |  |  |",
        "| export | not tried yet |  |  |  |  |  |  |  |",
    ]


@pytest.fixture
def document() -> dict[str, Any]:
    """What was measured."""
    found: dict[str, Any] = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    return found


def test_the_page_is_made_from_what_was_measured(document: dict[str, Any]) -> None:
    assert DOCUMENT.with_suffix(".md").read_text(encoding="utf-8") == kills.page(document)


def test_no_kill_left_harm(document: dict[str, Any]) -> None:
    assert document["kinds"]
    for name, one in document["kinds"].items():
        assert one["kills"] == kills.TIMES[name]
        assert (one["harmed"], one["differing"], one["stopped"]) == (0, 0, 0)
        # Kills of one moment would say little: they reach over half of the work at least.
        assert one["latest"] - one["earliest"] > 0.5
