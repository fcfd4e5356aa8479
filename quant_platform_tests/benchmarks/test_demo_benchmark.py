"""The page of the demo's runs: what is stored says what was seen, and says which runs had the cores to themselves."""

from __future__ import annotations

import json
from pathlib import Path

from quant_platform_tests.benchmarks import demo, waiting

DOCS = Path(__file__).resolve().parents[2] / "docs" / "benchmarks"


def run(wall: float, before: float, after: float) -> dict[str, object]:
    return {
        "wall_seconds": wall,
        "cpu_seconds": 2 * wall,
        "largest_process_gib": 1.25,
        "loop_seconds": [before, after],
        "load": [0.5, 0.5, 0.5],
    }


def test_every_run_counts_and_those_on_shared_cores_are_told_apart() -> None:
    found = {
        "command": "x",
        "commit": "abc",
        "machine": {"processor": "p", "cores": 2},
        "runs": [run(60.0, 0.4, 0.5), run(80.0, 0.4, 0.51), run(70.0, 0.45, 0.4)],
    }
    assert [alone for _, alone in waiting.judged(found["runs"])] == [True, False, True]
    said = demo.page(found).splitlines()
    assert [line.split("|")[-2].strip() for line in said if line.startswith("| ")][1:] == ["yes", "no", "yes"]
    assert said[-2:] == [
        "2 of 3 runs were below 75 s; median 70.0 s, slowest",
        "80.0 s. Of the 2 whose cores were their own the slowest took 70.0 s. Time: **not met by all**; memory: met.",
    ]


def test_the_loop_is_timed_on_every_core_at_once() -> None:
    assert 0.0 < waiting.loop_seconds(1) < 60.0


def test_the_documented_page_is_the_one_of_its_numbers() -> None:
    found = json.loads((DOCS / "demo.json").read_text())
    assert len(found["runs"]) == demo.RUNS
    assert (DOCS / "demo.md").read_text() == demo.page(found)
