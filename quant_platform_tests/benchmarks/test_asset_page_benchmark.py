"""The page of an asset's partitions: what is stored says what was seen, and the reduced run sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quant_platform_tests.app.browser import chromium
from quant_platform_tests.benchmarks import asset_page

DOCS = Path(__file__).resolve().parents[2] / "docs" / "benchmarks"


def test_the_page_judges_every_visit_not_the_median() -> None:
    found = {
        "command": "x",
        "machine": {"processor": "p", "cores": 2},
        "load": [0.5, 0.5, 0.5],
        "partitions": 5_000,
        "seconds": {"overview": [2.0, 1.0, 1.5, 1.25], "partitions": [2.5, 1.0, 3.5, 1.0]},
    }
    rows = [line for line in asset_page.page(found).splitlines() if line.startswith("| ")]
    assert rows[1:] == [
        "| overview | 4 | 2.00 | 1.25 | 1.50 | 3 | met |",
        "| partitions | 4 | 2.50 | 1.00 | 3.50 | 3 | **not met by all** |",
    ]


def test_the_documented_page_is_the_one_of_its_numbers() -> None:
    found = json.loads((DOCS / "asset_page.json").read_text())
    assert found["partitions"] == asset_page.NAMES
    assert (DOCS / "asset_page.md").read_text() == asset_page.page(found)


@pytest.mark.long
@pytest.mark.xdist_group("up")
@pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine: nobody can look at the page")
def test_a_few_partitions_are_seen(tmp_path: Path) -> None:
    asset_page.main(["--reduced", "--output", str(tmp_path)])
    seen = json.loads((tmp_path / "asset_page.json").read_text())["seconds"]
    assert {view: len(taken) for view, taken in seen.items()} == {"overview": 2, "partitions": 2}
