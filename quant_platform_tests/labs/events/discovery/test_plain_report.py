"""Every table of the report on rows made by hand: what it lists, in which order, and what it leaves out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from quant_platform.labs.events.discovery import report_tables as tables
from quant_platform.labs.events.discovery.report import build_report
from quant_platform_tests.labs.events.discovery.report_frames import (
    GATES,
    REFUSING,
    bridged,
    check,
    context,
    frames,
    judged,
    specs,
)

SURVIVOR = judged(passes=GATES, template="mean_reversion", side=-1, counted=False)


def reported(hypotheses: list[dict[str, Any]], bridge: list[dict[str, Any]] | None = None, **given: Any) -> Any:
    return build_report(context(), **frames(hypotheses, bridge or [], **given))


def test_of_a_long_list_forty_rows_are_shown_and_all_are_counted() -> None:
    many = [judged(passes=GATES, event_id=f"E{place:02d}", p_fdr=(50 - place) / 100) for place in range(43)]
    looked = [bridged(row, p_adjusted=place / 100) for place, row in enumerate(many)]
    looked[7] |= {"p_adjusted": None}
    report = reported(many, looked)
    assert (len(report["gates"]["rows"]), report["gates"]["n_rows"]) == (40, 43)
    assert report["gates"]["rows"][0]["event_id"] == "E42", "the smallest p first"
    assert (len(report["bridge"]), report["n_bridge"]) == (40, 43)
    assert [row["event_id"] for row in report["bridge"][6:8]] == ["E06", "E08"], "one without a p comes last"
    assert {"cutoff", "ontology_hash"}.isdisjoint(report["bridge"][0])


def test_what_a_report_says_of_itself_is_what_it_was_told() -> None:
    given = context(
        cutoff="2024-11", last_bar_date=date(2024, 11, 30), simulated=False, snapshot_id="snap",
        conventions={"source": "files", "fee_bps": 4.0, "rate": float("nan")},
    )  # fmt: skip
    report = build_report(given, **frames([SURVIVOR], [bridged(SURVIVOR)]))
    assert (report["cutoff"], report["last_bar_date"], report["simulated"]) == ("2024-11", "2024-11-30", False)
    assert (report["snapshot_id"], report["level"], report["test_label"]) == ("snap", 0.05, "raw")
    assert report["conventions"] == {"source": "files", "fee_bps": 4.0, "rate": None}
    assert (report["n_blueprints"], report["blueprints"]) == (0, [])


def test_windows_are_those_of_training_and_of_validation() -> None:
    first, last = (datetime(2024, month, 1, tzinfo=UTC) for month in (2, 5))
    looked = [
        bridged(SURVIVOR, window_start=first, window_end=last),
        bridged(judged(passes=GATES, event_id="A"), window_start=last, window_end=last),
        bridged(SURVIVOR, window="test", window_start=datetime(2023, 1, 1, tzinfo=UTC)),
    ]
    assert reported([SURVIVOR, judged(passes=GATES, event_id="A")], looked)["windows"] == {
        "train_start": "2023-01-01T00:00:00+00:00", "train_end": "2024-01-01T00:00:00+00:00",
        "validation_start": "2024-02-01T00:00:00+00:00", "validation_end": "2024-05-01T00:00:00+00:00",
    }  # fmt: skip


def test_findings_are_counted_by_question_and_by_what_may_be_said() -> None:
    rows = [
        judged(passes=("gate_sample", "gate_discovery")),
        judged(event_id="A", finding="no_effect"),
        judged(event_id="B", finding="no_effect"),
        judged(event_id="C", finding="cannot_say"),
        judged(event_id="D", passes=()),
        judged(event_id="D", passes=(), symbol="BTCUSDT"),
        judged(event_id="E", passes=(), symbol="LTCUSDT"),
        judged(template="mean_reversion", counted=False, side=-1, finding="cannot_say"),
        judged(event_id="F", question="risk", test="excess_range", finding="cannot_say"),
    ]
    assert reported(rows)["findings"] == [
        {"question": "direction", "cells": 7, "discovery": 1, "no_effect": 2, "cannot_say": 1, "not_tested": 3},
        {"question": "risk", "cells": 1, "discovery": 0, "no_effect": 0, "cannot_say": 1, "not_tested": 0},
    ]


def test_a_stage_of_the_funnel_asks_for_its_gates_and_for_all_before_it() -> None:
    """Each gate fails once; what fails it is gone from its stage on, and alone it counts in every other stage."""
    rows = [
        judged(passes=tuple(name for name in GATES if name != failed), event_id=f"NO_{failed}") for failed in REFUSING
    ]
    funnel = {row["stage"]: row for row in reported(rows)["funnel"]}
    assert {name: (row["left"], row["alone"]) for name, row in funnel.items()} == {
        "evaluated": (12, 12), "tested": (11, 11), "economic": (10, 10), "conservative": (9, 10), "pays": (8, 10),
        "stable": (2, 5), "own_information": (1, 10), "discovery": (0, 10), "validated": (0, None),
    }  # fmt: skip


def test_effects_are_those_of_all_symbols_and_states_by_horizon_family_and_event() -> None:
    rows = [
        judged(event_id="B", horizon_bars=12),
        judged(event_id="A", horizon_bars=12),
        judged(event_id="C", horizon_bars=12, family="A_FAMILY"),
        judged(event_id="D", horizon_bars=3),
        judged(event_id="E", symbol="BTCUSDT"),
        judged(event_id="F", dimension="vol_regime", state="high"),
        judged(event_id="G", counted=False),
        judged(event_id="H", passes=()),
        judged(event_id="I", test="forward_return/confirmed"),
    ]
    assert [row["event_id"] for row in reported(rows)["effects"]] == ["D", "C", "A", "B"]


@pytest.mark.parametrize(
    # Student's 97.5 % points with one and two degrees of freedom, from any table; with none there is no interval.
    ("clusters", "half"),
    [(1, None), (2, 12.706205), (3, 4.302653), (None, None)],
)
def test_an_interval_needs_two_clusters(clusters: int | None, half: float | None) -> None:
    given = frames([judged(effect_bps=3.0, standard_error_bps=2.0)])
    candidates = given["candidates"].with_columns(n_clusters=pl.lit(clusters, pl.Int64))
    [row] = tables.effects(tables.with_kind(given["hypotheses"], candidates), candidates)
    if half is None:
        assert (row["low"], row["high"]) == (None, None)
    else:
        assert (row["low"], row["high"]) == pytest.approx((3.0 - 2.0 * half, 3.0 + 2.0 * half), rel=1e-6)
    assert row["shrunk_high"] == pytest.approx(1.5 + 1.959964, abs=1e-6)
    assert (row["n"], row["n_days"], row["own_weight"], row["cost_bps"]) == (400, 200, 0.5, 9.0)
    assert (row["p_fdr"], row["q_level1"], row["selected"]) == (0.1, 0.3, False)


def test_readings_are_ordered_by_track_then_failed_gates_then_p_then_what_is_left() -> None:
    rows = [
        judged(event_id="NONE", passes=REFUSING[:-1], p_fdr=0.001),
        judged(event_id="WEAK", passes=("gate_sample",), p_fdr=0.9, track="fallback_only"),
        judged(event_id="FULL", passes=GATES, p_fdr=0.9),
        judged(event_id="FEWER", passes=REFUSING[:3], p_fdr=0.9),
        judged(event_id="MORE", passes=REFUSING[:2], p_fdr=0.001),
        judged(event_id="POOR", passes=REFUSING[:2], p_fdr=0.5, shrunk_net_bps=-3.0),
        judged(event_id="RICH", passes=REFUSING[:2], p_fdr=0.5, shrunk_net_bps=3.0),
        judged(event_id="UNKNOWN", passes=REFUSING[:2], p_fdr=None),
        judged(event_id="SMALL", passes=()),
        judged(event_id="RISK", passes=GATES, question="risk", test="excess_range"),
    ]
    gates = reported(rows)["gates"]
    assert [row["event_id"] for row in gates["rows"]] == [
        "FULL", "WEAK", "NONE", "FEWER", "MORE", "RICH", "POOR", "UNKNOWN",
    ]  # fmt: skip
    assert gates["n_rows"] == 8
    passed = {row["gate"]: (row["passed"], row["of"]) for row in gates["passed"]}
    assert passed["gate_sample"] == (8, 8)
    assert passed["gate_economic"] == (7, 8)
    assert passed["gate_power"] == (1, 8)


def test_the_bars_of_the_gates_are_those_of_the_specs() -> None:
    made = specs()
    names = {
        "gate_economic": "min_net_bps", "gate_economic_conservative": "min_stressed_bps",
        "gate_pays": "min_net_low_bps", "gate_stability": "min_blocks_agreeing",
        "gate_heterogeneity": "min_heterogeneity_p", "gate_leave_one_out": "min_leave_one_out_t",
        "gate_recent": "min_recent_t", "gate_symbols": "min_leave_one_symbol_out_t",
        "gate_concentration": "max_block_share", "gate_state_information": "min_own_weight",
    }  # fmt: skip
    # A number of its own for each, so that no two can be confused.
    bars = {name: float(place + 1) for place, name in enumerate(names.values())}
    cells = made.discovery.cells.model_copy(update={"min_events": 77, "min_days": 33})
    errors = made.discovery.errors.model_copy(update={"time_blocks": 6})
    given = replace(
        made, gates=made.gates.model_copy(update=bars),
        discovery=made.discovery.model_copy(update={"cells": cells, "errors": errors}),
    )  # fmt: skip
    gates = build_report(context(specs=given), **frames([judged()]))["gates"]
    expected = {gate: bars[name] for gate, name in names.items()}
    assert gates["bars"] == {"gate_sample": 77, **expected, "gate_discovery": None, "gate_power": None}
    assert (gates["min_days"], gates["time_blocks"]) == (33, 6)


def test_prevalence_stands_by_family_and_names_inputs_only_of_what_is_not_available() -> None:
    checks = [check("B"), check("A", family="Z"), check("C", "failed"), check("A", "not_available")]
    rows = reported([], checks=checks)["prevalence"]
    assert [(row["family"], row["event_id"]) for row in rows] == [
        ("FORCED_FLOW", "A"), ("FORCED_FLOW", "B"), ("FORCED_FLOW", "C"), ("Z", "A"),
    ]  # fmt: skip
    assert [row["missing_inputs"] for row in rows] == [[]] * 4
    assert reported([])["prevalence"] == []


def test_the_verdict_says_each_thing_once_and_in_the_right_number() -> None:
    checks = [
        check("A", "never_fired"), check("B", "history_too_short"), check("C", "history_too_short"), check("D"),
    ]  # fmt: skip
    said = reported([SURVIVOR], [bridged(SURVIVOR, window="test")], checks=checks)["verdict"]
    assert said == [
        "1 of 4 events passed the registry checks; 1 never fired, which is no pass; 2 had too little history.",
        "The test window was looked at for 1 hypothesis; it is spent for them.",
    ]
    assert reported([], checks=[check("A")])["verdict"][0] == "1 of 1 event passed the registry checks."
    assert reported([])["verdict"] == [
        "No event was held against its bounds.", "The test window has not been looked at.",
    ]  # fmt: skip
    sizes = [
        judged(event_id=name, passes=("gate_sample", "gate_discovery"), question="risk", test="excess_range")
        for name in ("A", "B")
    ]
    small = [judged(event_id=name, passes=()) for name in ("C", "D")]
    two = [bridged(SURVIVOR, window="test"), bridged(judged(passes=GATES, event_id="A"), window="test")]
    assert reported([*sizes, *small], two)["verdict"][1:] == [
        "2 cells held too few events or days and were not tested.",
        "2 discoveries about the size of moves or the cost of trading: good for sizing and for staying out, not for a "
        "trade.",
        "The test window was looked at for 2 hypotheses; it is spent for them.",
    ]
    weak = [judged(event_id=name, track="fallback_only", finding="discovery") for name in ("A", "B")]
    assert "2 cells passed the weaker bar only: kept for a look, never promoted." in reported(weak)["verdict"]


def test_a_cell_passed_with_one_reading_and_is_unsaid_only_where_none_says_anything() -> None:
    """Two readings of one cell: passed and failed is passed; failed and too few is failed; too few twice is unsaid."""
    looked = []
    for event, verdicts in (("A", ("pass", "fail")), ("B", ("fail", "insufficient")), ("C", ("insufficient",) * 2)):
        for template, verdict in zip(("continuation", "mean_reversion"), verdicts, strict=True):
            looked.append(bridged(judged(passes=GATES, event_id=event, template=template), verdict=verdict))
    said = reported([SURVIVOR], looked)["verdict"]
    assert said[1] == ("Of 3 cells taken to the validation window 1 passed, 1 failed and 1 had too few trades to say.")
    assert reported([SURVIVOR], [])["verdict"][-1] == "The test window has not been looked at."


def test_one_survivor_earns_one_number_and_what_rounds_alike_is_one_too() -> None:
    other = judged(passes=GATES, event_id="A")
    words = "bps per trade after cost on data kept back from the search."
    alike = [bridged(SURVIVOR, net_bps=14.04), bridged(other, net_bps=13.96)]
    assert reported([SURVIVOR, other], alike)["headline"] == f"2 of 2 tests of 2 events survived: +14.0 {words}"
    loss = [bridged(SURVIVOR, net_bps=-1.25), bridged(other, net_bps=0.04)]
    assert reported([SURVIVOR, other], loss)["headline"].endswith(f"survived: -1.2 to +0.0 {words}")
