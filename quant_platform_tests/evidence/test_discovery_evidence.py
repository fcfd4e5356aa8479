from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from quant_platform_tests.evidence.discovery import (
    PLANTED,
    PROCEDURES,
    directional,
    documents,
    kept_worlds,
    page,
    summary,
    with_veto,
    world_summary,
)
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
    procedures = [name for name in PROCEDURES if name in document["planted"][0]]
    assert {"two_level", "two_level_veto", "global", "per_group"} <= set(procedures)
    for name in procedures:
        assert again[name] == pytest.approx(document["summary"][name], abs=1e-5)


def test_a_run_goes_on_with_the_worlds_that_are_there_and_only_if_the_same_code_made_them(document):
    made = {"months": 6, "symbols": 4, "inputs": "a"}
    earlier = {"made": {**made}, "null": document["null"][:5], "planted": document["planted"][:5]}
    kept = kept_worlds(earlier, made)
    assert sorted(kept) == sorted((kind, seed) for kind in ("null", PLANTED) for seed in range(201, 206))
    # Nothing is left to simulate: the one document is that of the worlds that are there, and says how many.
    (again,) = documents(5, first_seed=201, made=made, kept=kept)
    assert (again["null"], again["planted"]) == (earlier["null"], earlier["planted"])
    assert again["made"]["command"] == "python -m quant_platform_tests.evidence.discovery --worlds 5"
    assert "seeds 201 to 205 of each world" in page(again)
    assert f"{again['summary']['null_silent']} of 5 " in page(again)
    for name, value in (("inputs", "b"), ("months", 5)):
        with pytest.raises(SystemExit, match=f"made with other {name}"):
            kept_worlds(earlier, {**made, name: value})


def test_what_a_larger_p_selects_is_kept_apart():
    """Two tests of one group at .001 and .02: with a placebo p of .9 the first is no discovery any more."""
    rows = pl.DataFrame(
        {
            "counted": [True] * 2, "tested": [True] * 2, "question": ["direction"] * 2, "alias_group": ["a", "b"],
            "fdr_group": ["g"] * 2, "p_raw": [0.001, 0.02], "p_shrunk": [0.001, 0.9], "p_placebo": [0.9, None],
        }
    )  # fmt: skip
    assert with_veto(rows).rows() == [("a", True, False), ("b", False, True)]


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
