"""The page of the imports: what is stored says what was seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quant_platform.defs import runs
from quant_platform_tests.benchmarks import sp500
from quant_platform_tests.homes import entered, run, write_specs

DOCS = Path(__file__).resolve().parents[2] / "docs" / "benchmarks"


def imported(wall: float, loop: float) -> dict[str, Any]:
    jobs = [
        {"job": "securities", "from": 0.0, "to": 1.0, "process": 1},
        {"job": "ticker_graph", "from": 1.5, "to": 30.0, "process": 1},
        {"job": "live_scan", "from": 30.0, "to": 40.25, "process": 2},
        {"job": "operations_daily", "from": 40.5, "to": 60.0, "process": 2},
    ]
    return {
        "wall_seconds": wall,
        "cpu_seconds": 2 * wall,
        "loop_seconds": [loop, loop],
        "load": [0.5, 0.5, 0.5],
        "jobs": jobs,
    }


def test_the_equity_lab_ends_before_operations_and_every_run_counts() -> None:
    found = {
        "command": "x",
        "commit": "abc",
        "machine": {"processor": "p", "cores": 2},
        "runs": [imported(60.0, 0.4), imported(80.0, 0.6), imported(70.0, 0.4)],
    }
    assert sp500.equity_seconds(imported(60.0, 0.4)) == 40.25
    said = sp500.page(found).splitlines()
    assert said.count("The equity lab took 40.2 s in the median, 40.2 at most; 3 of 3 below 75. Goal: met.") == 1
    whole = "Everything, with the start of the command, took 70.0 s in the median, 80.0 at most; 2 of 3 below 75."
    assert said.count(whole) == 1
    assert said.count("| 2 | 80.0 | 40.2 | 160.0 | 0.60 | 0.60 | 0.50 | no |") == 1
    assert said[-1] == "| operations_daily | 2 | 40.5 | 60.0 | 19.5 |"


def test_what_a_job_took_is_read_from_what_dagster_recorded(tmp_path: Path) -> None:
    specs = write_specs(tmp_path / "specs")
    with entered(tmp_path / "home", specs) as home, runs.instance_of(home) as instance:
        runs.register_tickers(home, instance)
        for _ in range(2):
            run(home, instance, "securities")
    first, second = sp500.jobs_of(tmp_path / "home", specs)
    assert (first["job"], first["from"], first["process"], second["process"]) == ("securities", 0.0, 1, 1)
    assert 0.0 <= first["to"] <= second["from"] <= second["to"]


def test_the_documented_page_is_the_one_of_its_numbers() -> None:
    found = json.loads((DOCS / "sp500.json").read_text())
    assert len(found["runs"]) == sp500.RUNS
    assert (DOCS / "sp500.md").read_text() == sp500.page(found)
