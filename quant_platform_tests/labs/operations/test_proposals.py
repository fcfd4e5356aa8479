"""What the evidence of a week is turned into, and what it is not enough for."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import polars as pl

from quant_platform.labs.operations.frames import empty, rows_frame
from quant_platform.labs.operations.proposals import WeekEvidence, config_proposals
from quant_platform.lake.content_hash import content_hash
from quant_platform_tests.labs.operations.builders import EVIDENCE, ROUTING, SLEEVES, routing

WEEK, UNTIL = date(2024, 3, 4), date(2024, 3, 8)


def cell(**changes: Any) -> dict[str, Any]:
    return {
        "ticker": "AAA", "min_confidence": 0.55, "min_expected_return": 0.001, "max_risk": 1.0,
        "asset_class": "US_EQUITY", "seen_until": UNTIL, "n": 40, "n_independent": 30, "annual_pnl": 0.08,
        "profit_factor": 1.6, "win_rate": 0.55, "mean_r": 0.4, "error_r": 0.1, "shrunk_r": 0.3, "own_weight": 0.7,
        "neighbour_pnl": 0.06, "admissible": True, "chosen": True, "rule_pnl": 0.02, "rule_n": 60, "rule_steps": 8,
        "closed_overall": 40, **changes,
    }  # fmt: skip


def cost(**changes: Any) -> dict[str, Any]:
    return {"week": WEEK, "group": "US_EQUITY", "measure": "half_spread", "unit": "bps", "n": 50, "value": 6.0,
            "error": 0.5, "low": 5.0, "high": 7.0, "modelled": 3.0, "n_left_out": 0, "laws": ["venue"],
            **changes}  # fmt: skip


def hour(**changes: Any) -> dict[str, Any]:
    return {"week": WEEK, "asset_class": "US_EQUITY", "hour": 14, "n": 50, "mean_bps": 20.0, "low_bps": 15.0,
            "high_bps": 25.0, "excess_bps": 12.0, "excess_low_bps": 8.0, "proposed": True, **changes}  # fmt: skip


def move(**changes: Any) -> dict[str, Any]:
    return {"week": WEEK, "ticker": "AAA", "sleeve": "spec", "says": "up", "streak": 4, "held_weeks": None,
            "proposed": "core", "reason": "4 weeks in a row say up", "n": 30, "mean_r": 0.3, "mean_r_low": 0.1,
            "mean_r_high": 0.5, **changes}  # fmt: skip


def proposed(
    sweep: Any = None, costs: Any = None, windows: Any = None, moves: Any = None, closed: int = 40, spec: Any = ROUTING
) -> pl.DataFrame:
    def frame(name: str, row: Any) -> pl.DataFrame:
        if row is None:
            return empty(name)
        return rows_frame(name, row if isinstance(row, list) else [row])

    evidence = WeekEvidence(
        frame("ops.threshold_sweep", sweep),
        frame("ops.transaction_costs", costs),
        frame("ops.slippage_windows", windows),
        frame("ops.sleeve_promotions", moves),
        {"AAA": 9},
        closed,
    )
    hashes = {"operations/routing.yaml": "r", "operations/sleeves.yaml": "s"}
    return config_proposals(WEEK, UNTIL, evidence, spec, SLEEVES, EVIDENCE, spec_hashes=hashes, hash_of=content_hash)


def test_a_threshold_is_proposed_where_the_rule_itself_earned() -> None:
    row = proposed(cell()).row(0, named=True)
    assert (row["file"], row["path"], row["old"], row["new"]) == (
        "operations/routing.yaml", "tickers/AAA/min_confidence", None, "0.55")  # fmt: skip
    assert (row["kind"], row["n"], row["trials"], row["spec_hash"]) == ("threshold", 40, 9, "r")
    assert "2.00% out of sample" in row["expected_effect"]


def test_what_is_in_force_already_is_not_proposed() -> None:
    assert proposed(cell(min_confidence=0.50)).is_empty()
    own = routing(tickers={"AAA": {"min_confidence": 0.55}})
    assert proposed(cell(), spec=own).is_empty()
    other = proposed(cell(), spec=routing(tickers={"AAA": {"min_confidence": 0.6}})).row(0, named=True)
    assert (other["old"], other["new"]) == ("0.6", "0.55")


def test_a_choice_that_failed_out_of_sample_is_not_proposed() -> None:
    assert proposed(cell(rule_pnl=-0.01)).is_empty()
    assert proposed(cell(rule_pnl=None)).is_empty()
    assert proposed(cell(shrunk_r=-0.1)).is_empty()
    # To have lost nothing is not to have earned.
    assert proposed(cell(rule_pnl=0.0)).is_empty()
    assert proposed(cell(shrunk_r=0.0)).is_empty()


def test_nothing_about_trades_is_proposed_before_thirty_are_closed() -> None:
    assert proposed(cell(), moves=move(), closed=29).is_empty()
    assert proposed(cell(), moves=move(), closed=30)["kind"].to_list() == ["threshold", "sleeve"]


def test_costs_are_proposed_where_the_interval_leaves_out_what_is_assumed() -> None:
    row = proposed(costs=cost(), closed=0).row(0, named=True)
    assert (row["path"], row["old"], row["new"]) == ("costs/half_spread", "0.0003", "0.0006")
    assert proposed(costs=cost(low=2.9)).is_empty()
    assert proposed(costs=cost(value=None, low=None, high=None)).is_empty()


def test_each_asset_class_gets_costs_of_its_own() -> None:
    """Fills of several classes are known: what one paid is no reason to change what the others are assumed to pay."""
    seen = [
        cost(),
        cost(group="FX", value=0.4, low=0.3, high=0.5),
        cost(
            group="CRYPTO_PERPETUAL", measure="impact_coefficient", unit="", value=1.5, low=1.1, high=1.9, modelled=0.8
        ),
        cost(group="COMMODITY", value=3.1, low=2.8, high=3.4),
        cost(group="RATES"),
    ]
    spec = routing(asset_classes__FX__costs={"half_spread": 0.0003})
    found = proposed(costs=seen, spec=spec)
    # Commodities pay what is assumed; rates are not traded here.
    assert found.sort("path").select("path", "old", "new").rows() == [
        ("asset_classes/CRYPTO_PERPETUAL/costs/impact_coefficient", None, "1.5"),
        ("asset_classes/FX/costs/half_spread", "0.0003", "4e-05"),
        ("asset_classes/US_EQUITY/costs/half_spread", None, "0.0006"),
    ]
    alone = proposed(costs=cost(), spec=routing(asset_classes__US_EQUITY__costs={"half_spread": 0.0003}))
    assert alone["path"].to_list() == ["asset_classes/US_EQUITY/costs/half_spread"]


def test_an_hour_is_added_to_the_list_once() -> None:
    row = proposed(windows=hour()).row(0, named=True)
    (added,) = json.loads(row["new"])
    assert (added["asset_class"], added["start"], added["end"]) == ("US_EQUITY", "14:00", "15:00")
    assert proposed(windows=hour(), spec=routing(no_trade_windows=[added])).is_empty()


def test_a_sleeve_names_the_day_from_which_it_holds() -> None:
    row = proposed(moves=move()).row(0, named=True)
    assert (row["file"], row["path"], row["old"]) == ("operations/sleeves.yaml", "members/AAA", None)
    assert json.loads(row["new"]) == {"sleeve": "core", "since": "2024-03-08"}


def test_the_id_follows_the_evidence() -> None:
    first, again, other = proposed(cell()), proposed(cell()), proposed(cell(n=41))
    assert first["proposal_id"][0] == again["proposal_id"][0] != other["proposal_id"][0]
