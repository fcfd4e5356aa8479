from __future__ import annotations

import json
from pathlib import Path

import pytest

from quant_platform_tests.benchmarks import kernel_pass


@pytest.mark.long
def test_a_pass_is_timed_by_operation_and_the_page_says_whether_the_goal_was_met(tmp_path: Path) -> None:
    kernel_pass.main(["--reduced", "--output", str(tmp_path)])
    found = json.loads((tmp_path / "kernel_pass.json").read_text())
    one = found["pass"]
    assert (one["rows"], one["features"]) == (3_000, 60)
    assert {"order", "quantile", "nscore", "lagmed", "sma", "corr"} <= one["operations"].keys()
    assert 0.0 < sum(one["operations"].values()) <= one["observed_seconds"]
    # Sixty features, and a flag, a direction and an intensity per event, are written in eight bytes a row each.
    assert one["moved_bytes"] > 8 * 3_000 * (60 + 3 * one["events"])
    expected = one["cpu_seconds"] / (one["moved_bytes"] / one["copied_bytes_per_second"])
    assert one["times_the_least"] == pytest.approx(expected)
    text = (tmp_path / "kernel_pass.md").read_text()
    assert text == kernel_pass.page(found)
    for rate, said in ((349_999.0, "| goal | 350,000, **not met** |"), (350_000.0, "| goal | 350,000, met |")):
        assert said in kernel_pass.page({**found, "pass": {**one, "rows_per_cpu_second": rate}})
