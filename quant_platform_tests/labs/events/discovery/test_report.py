"""What the report counts and says, on rows whose counts are known by hand."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from quant_platform.contracts.errors import OntologyMismatch
from quant_platform.contracts.tables import table
from quant_platform.labs.events.discovery.report import LISTED, build_report, report_row
from quant_platform.specification.events import load_events
from quant_platform_tests.labs.events.discovery.report_frames import (
    CUTOFF,
    GATES,
    HASH,
    REFUSING,
    SPECS,
    bridged,
    check,
    context,
    frames,
    judged,
    specs,
    trial,
)

SURVIVOR = judged(passes=GATES, template="mean_reversion", side=-1, counted=False)


def reported(hypotheses: list[dict[str, Any]], bridge: list[dict[str, Any]] | None = None, **given: Any) -> Any:
    return build_report(context(), **frames(hypotheses, bridge or [], **given))


def worlds() -> list[tuple[str, list[dict[str, Any]], list[dict[str, Any]], str]]:
    other = judged(passes=GATES, event_id="VOL_SPIKE", horizon_bars=3)
    alias = judged(passes=GATES, template="overshoot_repair", side=-1, counted=False)
    small = judged(passes=())
    return [
        ("nothing", [], [], "Nothing was evaluated: there is no event with an outcome, so nothing can be said."),
        ("small", [small], [], "Nothing can be said: none of 1 cell had enough events and days to be tested."),
        (
            "chance",
            [judged(), judged(event_id="VOL_SPIKE")],
            [],
            "Nothing survived: of 2 tests of 2 events, none stands out from chance once all of them are corrected for. "
            "That is a result.",
        ),
        (
            "costly",
            [judged(passes=("gate_sample", "gate_discovery"))],
            [],
            "Nothing survived: 1 of 1 test of 1 event is more than chance, and none of them passes every gate on cost "
            "and stability. That is a result.",
        ),
        (
            "not looked",
            [SURVIVOR],
            [],
            "1 of 1 test of 1 event passed every gate on the training data; the validation data have not been looked "
            "at, so nothing is claimed.",
        ),
        (
            "refused",
            [SURVIVOR],
            [bridged(SURVIVOR, verdict="fail")],
            "Nothing survived: 1 of 1 test of 1 event passed every gate on the training data, and none of them passed "
            "on the data kept back. That is a result.",
        ),
        (
            "a pass of the weaker track is none",
            [SURVIVOR, judged(event_id="VOL_SPIKE", track="fallback_only")],
            [bridged(SURVIVOR, verdict="fail"), bridged(judged(event_id="VOL_SPIKE", track="fallback_only"))],
            "Nothing survived: 1 of 2 tests of 2 events passed every gate on the training data, and none of them "
            "passed on the data kept back. That is a result.",
        ),
        (
            "aliases are one",
            [SURVIVOR, alias, other],
            [bridged(SURVIVOR), bridged(alias), bridged(other, net_bps=6.5)],
            "2 of 2 tests of 2 events survived: +6.5 to +14.0 bps per trade after cost on data kept back from the "
            "search.",
        ),
    ]


@pytest.mark.parametrize(("hypotheses", "bridge", "words"), [world[1:] for world in worlds()])
def test_the_headline_says_what_is_left(
    hypotheses: list[dict[str, Any]], bridge: list[dict[str, Any]], words: str
) -> None:
    assert reported(hypotheses, bridge)["headline"] == words


def test_it_is_plain_json_and_one_row() -> None:
    given = frames([SURVIVOR], [bridged(SURVIVOR)], checks=[check("BAND_BREAK", "not_available")], trials=[trial(1)])
    report = build_report(context(), **given)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    found = report_row(report, "reports/discovery/2024-12.html")
    table("discovery.report").schema.validate(found)
    assert found["cutoff"].to_list() == [CUTOFF]
    assert found["trial_count"].to_list() == [1]
    assert json.loads(found["json"][0]) == report


def test_an_empty_world_is_a_report_too() -> None:
    report = reported([])
    assert report["funnel"] == [
        {"stage": name, "left": 0, "alone": None if name == "validated" else 0}
        for name in (
            *("evaluated", "tested", "economic", "conservative", "pays", "stable", "own_information", "discovery"),
            "validated",
        )
    ]
    assert (report["effects"], report["heat"], report["gates"]["rows"], report["bridge"]) == ([], [], [], [])
    table("discovery.report").schema.validate(report_row(report, "x.html"))


def test_the_funnel_counts_cells_that_one_reading_carried_all_the_way() -> None:
    """Two readings that each pass one half of the gates carry their cell no further than either does."""
    half = ("gate_sample", "gate_economic")
    rest = tuple(name for name in REFUSING if name != "gate_economic")
    rows = [
        judged(passes=half),
        judged(passes=rest, template="mean_reversion", side=-1, counted=False),
        judged(passes=GATES, event_id="VOL_SPIKE"),
        judged(passes=(), event_id="VOL_SHOCK"),
        judged(passes=GATES, event_id="OI_FLUSH", question="risk", test="excess_range"),
        judged(passes=GATES, event_id="FND_DISLOC"),
    ]
    kinds = ["hypothesis"] * 5 + ["filter"]
    funnel = {row["stage"]: row for row in reported(rows, [bridged(rows[2])], kinds=kinds)["funnel"]}
    # BAND_BREAK, VOL_SPIKE and VOL_SHOCK could be traded; risk and filters could not.
    assert {name: row["left"] for name, row in funnel.items()} == {
        "evaluated": 3, "tested": 2, "economic": 2, "conservative": 1, "pays": 1, "stable": 1,
        "own_information": 1, "discovery": 1, "validated": 1,
    }  # fmt: skip
    assert [funnel[name]["alone"] for name in ("economic", "conservative", "pays", "stable", "discovery")] == [2] * 5


def test_the_verdict_tells_no_effect_from_cannot_say() -> None:
    rows = [
        judged(finding="no_effect"),
        judged(finding="no_effect", template="mean_reversion", side=-1, counted=False),
        judged(event_id="A", finding="cannot_say"),
        judged(event_id="B", finding="cannot_say"),
        judged(event_id="C", passes=()),
        judged(event_id="D", passes=("gate_sample", "gate_discovery"), question="risk"),
        judged(event_id="E", track="fallback_only"),
    ]
    checks = [check("A"), check("B", "failed"), check("C", "not_available"), check("D")]
    said = reported(rows, checks=checks)["verdict"]
    assert said[0] == (
        "2 of 4 events passed the registry checks; 1 failed them and should not be trusted; 1 could not be judged for "
        "want of inputs."
    )
    assert said[1].startswith("In 2 cells an effect as large as is plausible would have been seen")
    assert said[2].startswith(
        "In 2 cells an effect as large as is plausible could have been missed, or is not ruled out"
    )
    assert said[3] == "1 cell held too few events or days and was not tested."
    assert "1 cell passed the weaker bar only: kept for a look, never promoted." in said
    assert sum(line.startswith("1 discovery about the size of moves") for line in said) == 1
    assert said[-1] == "The test window has not been looked at."


def test_the_verdict_counts_the_bridge_by_cell() -> None:
    rows = [SURVIVOR, *(judged(passes=GATES, event_id=name) for name in ("A", "B", "C"))]
    outcomes = ["pass", "fail", "insufficient", "fail"]
    found = [bridged(row, verdict=outcome) for row, outcome in zip(rows, outcomes, strict=True)]
    found.append(bridged(rows[0], window="test"))
    said = reported(rows, found)["verdict"]
    assert "Of 4 cells taken to the validation window 1 passed, 2 failed and 1 had too few trades to say." in said
    assert said[-1] == "The test window was looked at for 1 hypothesis; it is spent for them."


def test_effects_are_turned_to_the_impulse_and_have_students_interval() -> None:
    against = judged(side=-1, template="mean_reversion", effect_bps=3.0, shrunk_bps=1.5)
    report = reported([against, judged(symbol="BTCUSDT"), judged(test="basis_change", event_id="X")])
    [effect] = report["effects"]
    assert (effect["effect_bps"], effect["shrunk_bps"]) == (-3.0, -1.5)
    # 200 degrees of freedom: 1.97190 in any table of Student's t; the normal's is 1.95996.
    assert effect["high"] - effect["effect_bps"] == pytest.approx(1.5 * 1.97190, abs=1e-4)
    assert effect["effect_bps"] - effect["low"] == pytest.approx(1.5 * 1.97190, abs=1e-4)
    assert effect["shrunk_high"] - effect["shrunk_bps"] == pytest.approx(1.95996, abs=1e-4)
    assert effect["shrunk_bps"] - effect["shrunk_low"] == pytest.approx(1.95996, abs=1e-4)


def test_the_heat_map_holds_the_smallest_group_q_and_what_is_behind_it() -> None:
    rows = [
        judged(q_level1=0.3),
        judged(q_level1=0.01, event_id="VOL_SPIKE", passes=("gate_sample", "gate_discovery")),
        judged(q_level1=0.01, event_id="VOL_SPIKE", symbol="BTCUSDT"),
        judged(q_level1=0.001, event_id="VOL_SHOCK", passes=()),
        judged(q_level1=0.002, template="mean_reversion", counted=False, side=-1),
        judged(q_level1=None, family="TREND_STRUCTURE", event_id="T", horizon_bars=3),
    ]
    assert reported(rows)["heat"] == [
        {
            "question": "direction", "family": "FORCED_FLOW", "horizon_bars": 12, "q": 0.01, "tests": 3, "groups": 2,
            "selected": 1,
        },
        {
            "question": "direction", "family": "TREND_STRUCTURE", "horizon_bars": 3, "q": None, "tests": 1,
            "groups": 1, "selected": 0,
        },
    ]  # fmt: skip


def test_the_gate_table_begins_with_what_came_furthest_and_says_how_many_there_are() -> None:
    far = judged(passes=REFUSING[:-1], event_id="FAR")
    many = [judged(event_id=f"E{place:02d}", p_fdr=place / 100) for place in range(LISTED)]
    both = [judged(event_id="TWO", p_fdr=0.001, shrunk_net_bps=-3.0)]
    both.append(judged(event_id="TWO", p_fdr=0.001, template="mean_reversion", counted=False, shrunk_net_bps=-1.0))
    gates = reported([*many, *both, far, SURVIVOR])["gates"]
    assert gates["n_rows"] == LISTED + 3
    assert len(gates["rows"]) == LISTED
    assert [row["event_id"] for row in gates["rows"][:4]] == ["BAND_BREAK", "FAR", "E00", "TWO"]
    assert gates["rows"][3]["template"] == "mean_reversion"
    passed = {row["gate"]: (row["passed"], row["of"]) for row in gates["passed"]}
    assert passed["gate_sample"] == (LISTED + 3, LISTED + 3)
    assert passed["gate_economic"] == (2, LISTED + 3)
    assert passed["gate_discovery"] == (1, LISTED + 3)
    assert gates["bars"]["gate_economic"] == specs().gates.min_net_bps


def test_trials_are_distinct_tests_of_the_whole_ledger() -> None:
    ledger = [trial(1), trial(1, cutoff="2024-11"), trial(2), trial(3, tested=False)]
    assert reported([], trials=ledger)["trial_count"] == 2


def test_an_unavailable_event_names_the_inputs_that_are_missing() -> None:
    events, _ = load_events(SPECS)
    own = specs().__class__(events, {}, specs().discovery, specs().gates, HASH)
    # BASIS_DISLOC reads close and spot_close, ABSORPTION_EVENT volumes and close, as their files say.
    checks = [check("BASIS_DISLOC", "not_available"), check("ABSORPTION_EVENT"), check("GONE", "not_available")]
    given = frames(checks=checks)
    rows = build_report(context(specs=own, columns={"close"}), **given)["prevalence"]
    missing = {row["event_id"]: row["missing_inputs"] for row in rows}
    assert missing == {"BASIS_DISLOC": ["spot_close"], "ABSORPTION_EVENT": [], "GONE": []}
    assert next(row for row in rows if row["event_id"] == "GONE")["per_10k"] is None


@pytest.mark.parametrize("name", ["candidates", "hypotheses", "bridge"])
def test_rows_of_other_specs_are_refused(name: str) -> None:
    given = frames([SURVIVOR], [bridged(SURVIVOR)])
    given[name] = given[name].with_columns(ontology_hash=pl.lit("another"))
    with pytest.raises(OntologyMismatch, match=f"discovery.{name}"):
        build_report(context(), **given)
