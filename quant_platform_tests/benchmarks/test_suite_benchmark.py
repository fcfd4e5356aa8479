from __future__ import annotations

import json
from pathlib import Path

import pytest

from quant_platform_tests.benchmarks import suite


@pytest.mark.long
def test_a_suite_is_timed_from_arrays_and_from_a_file_and_the_page_says_what_was_met(tmp_path: Path) -> None:
    suite.main(["--reduced", "--output", str(tmp_path)])
    found = json.loads((tmp_path / "suite.json").read_text())
    (core,), (whole,) = found["core"], found["whole"]
    assert (core["names"], core["sessions"], core["variants"], core["baselines"]) == (120, 300, 6, 3)
    assert 0.0 < core["cpu_seconds"] <= core["first_cpu_seconds"] + 60.0
    # The last session cannot be acted on inside the panel, and its rows are in the file all the same.
    assert whole["file_rows"] == 120 * 300
    assert whole["page_mib"] < 5.0
    assert set(whole["steps_wall"]) == {
        "read and check the file", "register it", "write its rows", "read the snapshot, compute, write, draw",
    }  # fmt: skip
    text = (tmp_path / "suite.md").read_text()
    assert text == suite.page(found)
    assert "alphalens and pyfolio were not asked" in text
    goals = {**found, "core": [{**core, "names": 500, "cpu_seconds": 1.6}]}
    assert "| 1.5 | **not met** |" in suite.page(goals)
    peer = {"cpu": {"clean": 90.0, "ic": 10.0}, "factors": 9, "versions": {"alphalens-reloaded": "0.5.1"}}
    asked = {**found, "alphalens": peer, "core": [{**core, "cpu_seconds": 2.0}]}
    assert "100.0 CPU s (clean 90.0, ic 10.0). That is\n50 times the core" in suite.page(asked)
