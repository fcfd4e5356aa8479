"""How the worlds of the survivors' table are counted, on rows made by hand; and one small world on the whole path."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.specification.discovery import ONE_SIDED
from quant_platform_tests.evidence.event_worlds import end_of_training, load_lab, study, truthful, without_drift
from quant_platform_tests.evidence.survivors import bands, findings, page, study_world, totals


def rows(*changes: dict[str, Any]) -> pl.DataFrame:
    """Directional tests; unless said otherwise a discovery of 30 bps with an error of 6 that costs 10 and passes."""
    common = {
        "event_id": "E", "template": "t", "horizon_bars": 12, "symbol": "ALL", "dimension": "ALL", "state": "ALL",
        "counted": True, "tested": True, "question": "direction", "test": "impulse",
        "oracle_bps": 30.0, "standard_error_bps": 6.0, "t": 5.0, "selected": True,
        "cost_bps": 10.0, "funding_bps": 1.0, "track": "standard",
    }  # fmt: skip
    return pl.DataFrame([common | {"alias_group": str(k)} | change for k, change in enumerate(changes)])


def test_power_is_counted_by_the_size_of_the_true_effect() -> None:
    """True effects of 2.5, 3.5, 4.5, 5 and 6 errors, two of them against the impulse, three found."""
    found = bands(
        rows(
            {"oracle_bps": 15.0, "selected": False},
            {"oracle_bps": -21.0, "t": -3.0},
            {"oracle_bps": 27.0},
            {"oracle_bps": 30.0, "selected": False},
            {"oracle_bps": -36.0, "t": -7.0},
            {"oracle_bps": None},
            {"oracle_bps": 30.0, "tested": False},
            # A trade with one side is tested for gains: its losses are nothing that could be discovered.
            {"oracle_bps": -36.0, "test": f"{min(ONE_SIDED)}|12", "selected": False},
        )
    )
    assert found == [[1, 0], [1, 1], [2, 1], [1, 1]]


def test_false_and_below_cost_are_in_the_direction_that_was_found() -> None:
    found = findings(
        rows(
            {},
            {"oracle_bps": 0.5},
            {"oracle_bps": -30.0},
            {"oracle_bps": 8.0},
            {"oracle_bps": 10.5, "selected": False, "track": "none"},
            {"oracle_bps": 10.5},
        )
    )
    # Found are five: two of them false, three not above their cost of 10; with funding 10.5 does not pay either.
    assert (found["discoveries"], found["false_1_bps"], found["below_cost"]) == (5, 2, 3)
    assert (found["standard"], found["standard_paying"], found["standard_false_1_bps"]) == (5, 1, 2)


def test_readings_of_one_test_that_pass_are_one_cell() -> None:
    found = findings(rows({}, {"alias_group": "0", "template": "u", "counted": False}))
    assert (found["discoveries"], found["standard"]) == (1, 1)


@pytest.mark.long
def test_drift_is_taken_out_of_prices_and_events_stay() -> None:
    specs = load_lab().discovery
    found = study("planted_strong", 3, months=3, symbols=2)
    last = end_of_training(found, specs)
    gone = without_drift(found, from_bar=last)
    close, before = np.log(gone.columns["close"]), np.log(found.panel.columns["close"])
    np.testing.assert_array_equal(close[:, :last], before[:, :last])
    moved = np.diff(before - close, axis=1)
    known = ~np.isnan(moved)
    np.testing.assert_allclose(
        moved[:, last:][known[:, last:]], found.expected[:, last + 1 :][known[:, last:]], atol=1e-9
    )
    first_only = without_drift(found, kept_symbols=1)
    np.testing.assert_array_equal(first_only.columns["open"][0], found.panel.columns["open"][0])
    # The panel that the truth is read from has the same prices.
    assert truthful(found).columns["close"] is found.panel.columns["close"]


@pytest.mark.long
def test_a_small_world_runs_the_whole_path() -> None:
    world = study_world(3, months=3, symbols=2)
    assert world["bridge"].keys() == {"lasting", "dying"}
    assert world["variants"]["in_force"] == world["variants"]["cluster_p_alone"]
    assert world["variants"]["in_force"]["standard"] <= world["variants"]["no_pays_gate"]["standard"]
    assert world["halfway"]["with_gate"] <= world["halfway"]["without_gate"]
    made = {"command": "c", "first_seed": 3, "worlds": 1, "months": 3, "symbols": 2}
    text = page({"made": made, "totals": totals([world]), "worlds": [world]})
    assert text.startswith("# What passes the gates and the bridge, and is it true?\n\nSIMULATED. 1 planted worlds")
