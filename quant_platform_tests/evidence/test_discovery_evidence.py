from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from quant_platform_tests.evidence.discovery import directional, page, summary, world_summary
from quant_platform_tests.evidence.event_worlds import judged_world

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "evidence"


@pytest.fixture(scope="module")
def document() -> dict:
    return json.loads((FOLDER / "discovery.json").read_text())


def test_the_page_says_what_the_document_holds(document):
    assert (FOLDER / "discovery.md").read_text() == page(document)


def test_the_summary_follows_from_the_worlds(document):
    again = summary(document["null"], document["planted"])
    for name in (
        "null_silent",
        "null_silent_holds",
        "planted_strong_cells",
        "planted_fdp_holds",
        "planted_power_holds",
    ):
        assert again[name] == document["summary"][name]
    for name in ("null_ks_p", "null_uniformity_p", "power_interval"):
        assert again[name] == pytest.approx(document["summary"][name], abs=1e-3)
    for name in ("two_level", "two_level_veto", "global", "per_group"):
        assert again[name] == pytest.approx(document["summary"][name], abs=1e-5)


@pytest.mark.long
def test_a_small_planted_world_runs_the_whole_path_and_its_truth_is_seen():
    rows = judged_world("planted_strong", 3, months=3, symbols=2)
    tests = directional(rows)
    assert tests.height > 200
    assert tests["event_id"].n_unique() > 15
    # With effects of this size in it, what is measured and what is true must go together.
    known = tests.filter(pl.col("standard_error_bps") < 20)
    assert known.select(pl.corr("effect_bps", "oracle_bps")).item() > 0.2
    miss = (known["effect_bps"] - known["oracle_bps"]) / known["standard_error_bps"]
    assert abs(float(miss.mean() or 0.0)) < 1.0
    assert float(miss.std() or 0.0) == pytest.approx(1.0, abs=0.4)


@pytest.mark.long
def test_a_world_of_the_table_comes_out_the_same(document):
    recorded = document["null"][1]
    found = world_summary(judged_world("null", recorded["seed"]))
    assert found["tests"] == recorded["tests"]
    assert found["two_level"] == pytest.approx(recorded["two_level"], abs=1e-5)
    assert found["share_below_5_percent"] == pytest.approx(recorded["share_below_5_percent"], abs=1e-5)
