"""The table beside other libraries is made from its file, and a difference cannot hide in it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from quant_platform_tests.evidence.suite_peers import (
    AGREES,
    TOOLS,
    Line,
    asked,
    held_against,
    largest_difference,
    page,
)

EVIDENCE = Path(__file__).resolve().parents[2] / "docs" / "evidence"


def test_the_page_is_that_of_the_file_and_every_difference_has_its_cause() -> None:
    found = json.loads((EVIDENCE / "suite_peers.json").read_text(encoding="utf-8"))
    assert (EVIDENCE / "suite_peers.md").read_text(encoding="utf-8") == page(found)
    told = [line for line in found["lines"] if "reason" not in line]
    assert {line["tool"] for line in found["lines"]} == set(TOOLS)
    assert [line for line in told if not line["agrees"] and not line["cause"]] == []
    plain = {line["number"] for line in told if line["agrees"] and not line["cause"]}
    assert {
        "rank IC by session",
        "Sharpe ratio, net",
        "deepest drawdown",
        "mean return of decile 10 by session",
    } <= plain


def test_a_difference_is_relative_to_the_largest_value_and_a_hole_is_one() -> None:
    ours = np.array([1.0, 4.0, 2.0])
    assert largest_difference(ours, np.array([1.0, 4.0, 2.5])) == 0.125
    assert largest_difference(ours, np.array([1.0, 4.0, math.nan])) == 0.0
    assert largest_difference(ours, np.array([1.0, math.nan, 2.0])) == math.inf
    assert largest_difference(ours, np.array([1.0, 4.0])) == math.inf
    assert largest_difference(2.0, 2.0 + 1e-15) < AGREES


def test_a_named_cause_is_taken_out_before_the_comparison(tmp_path: Path) -> None:
    answer = {"versions": {"x": "1"}, "numbers": {"spread": [0.1, 0.2, None]}}
    halved = Line("spread", "alphalens-reloaded", "spread", np.array([0.2, 0.4, math.nan]), None, "")
    row = held_against(halved, answer)
    assert not row["agrees"]
    assert row["difference"] == 0.5
    doubled = Line(
        "spread", "alphalens-reloaded", "spread", np.array([0.2, 0.4, math.nan]), lambda x: 2 * x["spread"], "halved"
    )
    row = held_against(doubled, answer)
    assert row["agrees"]
    assert (row["ours"], row["as_they_say"]) == (np.mean([0.2, 0.4]), np.mean([0.1, 0.2]))
    missing = asked("qlib", tmp_path, {})
    assert missing["reason"].startswith("not installed")
    assert held_against(halved, missing)["reason"] == missing["reason"]
