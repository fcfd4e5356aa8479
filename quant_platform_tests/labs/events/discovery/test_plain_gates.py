"""Each bar of a hypothesis, at its bar and a hair beyond it, on candidates written down one by one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtri

from quant_platform.contracts.schemas.discovery import DiscoveryCandidates, DiscoveryHypotheses
from quant_platform.labs.events.discovery.hypotheses import judge
from quant_platform.specification.discovery import DiscoverySpecs
from quant_platform.statistics import shrink_tree
from quant_platform_tests.labs.events.discovery.report_frames import cell, frame
from quant_platform_tests.labs.events.discovery.worlds import event_spec, specs

HASH = "0" * 64
EVENTS = [f"E{place}" for place in range(4)]
SPECS = specs([event_spec(name, horizons_bars=(12,)) for name in EVENTS])
CLUSTERS = 61


def candidate(event: str = "E0", **changes: Any) -> dict[str, Any]:
    """A cell far above every bar: 40 bps with an error of 2, at a cost of 9 and a funding of 0.5."""
    row = cell(event_id=event, ontology_hash=HASH, family="TESTS", **changes)
    row |= {
        "kind": "hypothesis", "entry_lag_bars": 1, "cluster": "day", "n": 400, "n_days": 60, "n_clusters": CLUSTERS,
        "tested": True, "effect_bps": 40.0, "standard_error_bps": 2.0, "cost_bps": 9.0, "funding_bps": 0.5, "t": 20.0,
        "p_cluster": 1e-12, "p_raw": 1e-12, "wild": False, "blocks_agreeing": 5, "heterogeneity_p": 0.5,
        "leave_one_out_t": 15.0, "recent_t": 10.0, "leave_one_symbol_out_t": 12.0, "largest_block_share": 0.3,
        "block_signs": "+++++",
    }  # fmt: skip
    return row | changes


def rows(*first: dict[str, Any], given: DiscoverySpecs = SPECS) -> list[dict[str, Any]]:
    """What is judged of some candidates with three others of the same kind beside them, by event."""
    beside = [candidate(name) for name in EVENTS[1:]]
    made = frame(DiscoveryCandidates, [*first, *beside])
    found: list[dict[str, Any]] = judge(made, given).sort("event_id", "template", "symbol").to_dicts()
    return found


def barred(**bars: float) -> DiscoverySpecs:
    return replace(SPECS, gates=SPECS.gates.model_copy(update=bars))


def test_what_is_far_above_every_bar_passes_and_its_numbers_are_by_hand() -> None:
    """All four of four are selected, so that the level of the interval is q; the tree is that of four cells alike."""
    row = rows(candidate())[0]
    tree = shrink_tree(np.full(4, 40.0), np.full(4, 2.0), [np.full(4, "TESTS")])
    assert (row["track"], row["finding"], row["gates_failed"]) == ("standard", "discovery", [])
    shrunk = float(tree.mean[0])
    assert (row["shrunk_bps"], row["prior_bps"]) == pytest.approx((shrunk, tree.prior_mean[0]))
    assert (row["own_weight"], row["posterior_sd_bps"]) == pytest.approx(
        (tree.own_weight[0], tree.standard_deviation[0])
    )
    assert 39.9 < shrunk < 40.0
    assert row["shrunk_net_bps"] == pytest.approx(shrunk - 9.0 - 0.5)
    assert row["shrunk_stressed_bps"] == pytest.approx(shrunk - 1.5 * 9.0 - 0.5)
    margin = 2.0 * float(stats.t.isf(0.05 / 2.0, CLUSTERS - 1))
    assert row["net_low_bps"] == pytest.approx(40.0 - 9.0 - 0.5 - margin)
    assert (row["n_tests"], row["selected"], row["fdr_group"]) == (4, True, "E0|forward_return|12")
    multiple = float(stats.norm.isf(0.05 / 4 / 2.0) + stats.norm.ppf(0.8))
    assert row["mde_bps"] == pytest.approx(2.0 * multiple)
    assert row["plausible_bps"] == pytest.approx(8.0 * math.sqrt(12.0))


def test_a_mirror_has_the_other_sign_and_fails_where_its_twin_passes() -> None:
    mirror = candidate(template="mean_reversion", side=-1, counted=False, effect_bps=-40.0, t=-20.0, funding_bps=-0.5)
    continued, mirrored = rows(candidate(), mirror)[:2]
    assert continued["alias_group"] == mirrored["alias_group"]
    assert mirrored["shrunk_bps"] == pytest.approx(-continued["shrunk_bps"])
    assert mirrored["prior_bps"] == pytest.approx(-continued["prior_bps"])
    assert mirrored["shrunk_net_bps"] == pytest.approx(mirrored["shrunk_bps"] - 9.0 + 0.5)
    assert mirrored["shrunk_stressed_bps"] == pytest.approx(mirrored["shrunk_bps"] - 13.5 + 0.5)
    assert (mirrored["selected"], mirrored["track"]) == (True, "none")
    assert {"gate_economic", "gate_economic_conservative", "gate_pays"} <= set(mirrored["gates_failed"])
    assert mirrored["n_tests"] == 4, "a mirror is no test of its own"


HAIR = 1e-9
CASES = [
    ("gate_stability", "blocks_agreeing", 4, 3),
    ("gate_heterogeneity", "heterogeneity_p", 0.01, 0.01 - HAIR),
    ("gate_leave_one_out", "leave_one_out_t", 1.5, 1.5 - HAIR),
    ("gate_recent", "recent_t", 1.0, 1.0 - HAIR),
    ("gate_symbols", "leave_one_symbol_out_t", 1.5, 1.5 - HAIR),
    ("gate_concentration", "largest_block_share", 0.6, 0.6 + HAIR),
]


@pytest.mark.parametrize(("gate", "column", "at", "beyond"), CASES, ids=[case[0] for case in CASES])
def test_a_number_at_its_bar_passes_one_beyond_or_missing_fails_that_gate_alone(
    gate: str, column: str, at: float, beyond: float
) -> None:
    for value, failed in ((at, []), (beyond, [gate]), (None, [gate])):
        row = rows(candidate(**{column: value}))[0]
        assert (row["gates_failed"], row[gate]) == (failed, not failed), value
        assert (row["track"] == "standard") is (not failed)


def test_a_cell_of_one_symbol_is_not_asked_for_the_others() -> None:
    alone = candidate(symbol="AAAUSDT", leave_one_symbol_out_t=None)
    row = next(row for row in rows(alone) if row["symbol"] == "AAAUSDT")
    assert row["gate_symbols"]


@pytest.mark.parametrize(
    ("bar", "gate", "number"),
    [
        ("min_net_bps", "gate_economic", "shrunk_net_bps"),
        ("min_stressed_bps", "gate_economic_conservative", "shrunk_stressed_bps"),
        ("min_net_low_bps", "gate_pays", "net_low_bps"),
        ("min_own_weight", "gate_state_information", "own_weight"),
    ],
)
def test_a_bar_at_the_number_lets_it_pass_and_one_above_it_does_not(bar: str, gate: str, number: str) -> None:
    spread = [candidate(effect_bps=60.0, t=30.0)]
    value = rows(*spread)[0][number]
    assert rows(*spread, given=barred(**{bar: value}))[0][gate]
    row = rows(*spread, given=barred(**{bar: value + 1e-9 * (1.0 + abs(value))}))[0]
    assert not row[gate]
    assert row["gates_failed"] == [gate]


@pytest.mark.parametrize(
    ("changes", "track"),
    [
        ({}, "fallback_only"),
        ({"t": 2.5}, "fallback_only"),
        ({"t": 2.49}, "none"),
        ({"t": None}, "none"),
        ({"n": 100}, "fallback_only"),
        ({"n": 99}, "none"),
        ({"blocks_agreeing": 4}, "fallback_only"),
        ({"blocks_agreeing": 3}, "none"),
        # The shrunk effect of 39.98 less 0.5 of funding and the cost.
        ({"cost_bps": 38.4}, "fallback_only"),
        ({"cost_bps": 38.5}, "none"),
        ({"kind": "filter"}, "none"),
        ({"tested": False}, "none"),
    ],
)
def test_the_weaker_bar(changes: dict[str, Any], track: str) -> None:
    """What fails one gate: 2.5 in t, one bp after cost, a hundred events, seven tenths of the five blocks."""
    assert rows(candidate(largest_block_share=0.7, **changes))[0]["track"] == track


def test_a_filter_and_a_size_are_no_trade_whatever_they_pass() -> None:
    assert rows(candidate(kind="filter"))[0]["gates_failed"] == []
    assert rows(candidate(kind="filter"))[0]["track"] == "none"
    size = candidate(template="volatility_expansion_follow", test="excess_absolute_return", question="risk")
    row, *beside = rows(size)
    assert (row["gates_failed"], row["track"], row["finding"]) == ([], "none", "discovery")
    # A question of its own with one test, beside one of three: each has its own level.
    assert [one["n_tests"] for one in (row, *beside)] == [1, 3, 3, 3]
    for one, tests in ((row, 1), (beside[0], 3)):
        multiple = float(stats.norm.isf(0.05 / tests / 2.0) + stats.norm.ppf(0.8))
        assert one["mde_bps"] == pytest.approx(2.0 * multiple)
    margin = 2.0 * float(stats.t.isf(0.05 / 2.0, CLUSTERS - 1))
    assert row["net_low_bps"] == pytest.approx(40.0 - 9.5 - margin)


def test_a_gain_that_is_asked_for_has_all_of_the_level_at_one_end() -> None:
    one = candidate(template="exhaustion_reversal", test="target_stop", side=-1)
    row = next(row for row in rows(one) if row["template"] == "exhaustion_reversal")
    multiple = float(stats.norm.isf(0.05 / 4) + stats.norm.ppf(0.8))
    assert row["mde_bps"] == pytest.approx(2.0 * multiple)
    margin = 2.0 * float(stats.t.isf(0.05, CLUSTERS - 1))
    assert row["net_low_bps"] == pytest.approx(40.0 - 9.5 - margin)
    # A table of trades with one side holds that side's own outcomes: nothing is turned.
    assert row["shrunk_bps"] == pytest.approx(40.0, abs=0.2)


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        # 1.96 errors of 2 beyond the effect, against 8 x sqrt(12) = 27.71.
        ({"effect_bps": 23.7}, "no_effect"),
        ({"effect_bps": -23.7}, "no_effect"),
        ({"effect_bps": 23.9}, "cannot_say"),
        ({"effect_bps": -23.9}, "cannot_say"),
        # The smallest effect that is found with an error of 9 is larger than what is plausible.
        ({"effect_bps": 1.0, "standard_error_bps": 9.0}, "cannot_say"),
        ({"effect_bps": 1.0, "standard_error_bps": 5.0}, "no_effect"),
        ({"tested": False}, "not_tested"),
        ({"p_raw": 1e-12}, "discovery"),
    ],
)
def test_what_may_be_said_of_a_cell(changes: dict[str, Any], finding: str) -> None:
    row = rows(candidate(**{"p_raw": 0.4, **changes}))[0]
    assert row["finding"] == finding
    assert row["selected"] is (finding == "discovery")
    assert row["gate_sample"] is (finding != "not_tested")


def test_the_largest_plausible_effect_is_seen_with_enough_power_and_ruled_out_below_it() -> None:
    """At one bar it is the number of the spec itself."""
    one = candidate(horizon_bars=1, effect_bps=10.0, p_raw=0.4)
    detectable = rows(one)[0]["mde_bps"]
    for plausible, power in ((detectable, True), (detectable * (1.0 - 1e-12), False)):
        assert rows(one, given=barred(plausible_bps_per_root_bar=plausible))[0]["gate_power"] is power
    reach = 10.0 + float(ndtri(0.975)) * 2.0
    for plausible, finding in ((reach, "cannot_say"), (reach + 1e-9, "no_effect")):
        assert rows(one, given=barred(plausible_bps_per_root_bar=plausible))[0]["finding"] == finding
    unknown = candidate(effect_bps=None, t=None, p_raw=None, p_cluster=None)
    assert rows(unknown)[0]["finding"] == "cannot_say"


def test_as_many_blocks_as_the_weaker_bar_asks_for_are_enough() -> None:
    one = candidate(largest_block_share=0.7, blocks_agreeing=4)
    for share, track in ((0.8, "fallback_only"), (0.81, "none")):
        weaker = SPECS.gates.fallback.model_copy(update={"min_blocks_share": share})
        given = replace(SPECS, gates=SPECS.gates.model_copy(update={"fallback": weaker}))
        assert rows(one, given=given)[0]["track"] == track


def test_every_tested_cell_of_a_question_counts() -> None:
    """Three selected of four tests: the interval that must pay is at 3/4 of the level."""
    found = rows(candidate(p_raw=0.4), candidate(symbol="AAAUSDT", tested=False, p_raw=None))
    kept = next(row for row in found if row["event_id"] == "E1")
    assert (kept["n_tests"], sum(row["selected"] for row in found)) == (4, 3)
    margin = 2.0 * float(stats.t.isf(0.05 * 3 / 4 / 2.0, CLUSTERS - 1))
    assert kept["net_low_bps"] == pytest.approx(40.0 - 9.5 - margin)
    small = next(row for row in found if row["symbol"] == "AAAUSDT")
    assert (small["selected"], small["q_global"], small["p_fdr"]) == (False, None, None)
    steps = stats.false_discovery_control([0.4, 1e-12, 1e-12, 1e-12])
    assert [row["q_global"] for row in found if row["symbol"] == "ALL"] == pytest.approx(steps.tolist())


def test_without_a_candidate_nothing_is_judged() -> None:
    made = frame(DiscoveryCandidates, [])
    found = judge(made, SPECS)
    DiscoveryHypotheses.validate(found)
    assert found.is_empty()
