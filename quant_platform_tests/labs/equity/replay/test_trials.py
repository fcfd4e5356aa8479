"""The equity ledger: what counts as one trial, and what stays."""

from __future__ import annotations

from datetime import date

import polars as pl

from quant_platform.contracts.tables import table
from quant_platform.labs.equity.replay.sweep import activation_sweeps
from quant_platform.labs.equity.replay.trials import equity_trials
from quant_platform.specification.replay import SweepSpec
from quant_platform_tests.labs.equity.replay.factory import MONDAY, random_rows
from quant_platform_tests.labs.equity.setups.twin import activation_spec, replay_spec

SEEN = date(2022, 1, 7)


def factors() -> pl.DataFrame:
    rows = [
        {"factor": "a", "kind": kind, "horizon_sessions": horizon, "date_sig": MONDAY, "ic": 0.02, "n_independent": 30}
        for kind, horizon in (("summary", 5), ("summary", 30), ("rebalance", 30))
    ]
    return pl.DataFrame(rows, schema=table("factors.information_coefficient").schema.create_empty().schema)


def swept() -> pl.DataFrame:
    sweeps = {
        "confidence": SweepSpec(parameter="min_confidence", thresholds=(None, 55.0)),
        "rr": SweepSpec(parameter="min_rr", thresholds=(None, 1.2, 2.0)),
    }
    return activation_sweeps(list(sweeps), sweeps, random_rows(1), activation_spec(), replay_spec())


def test_every_factor_horizon_and_every_distinct_gate_is_one_trial() -> None:
    found = equity_trials(swept(), factors(), seen_until=SEEN, spec_hash="abc")
    table("replay.trials").schema.validate(found)
    # Two horizons; off, off, 2.0 and the gate in force, which stands in both sweeps.
    assert found["study"].cast(pl.String).value_counts().sort("study").rows() == [("factor", 2), ("sweep", 4)]
    assert swept()["n_trials"].unique().to_list() == [4]
    gate = found.filter(pl.col("cell") == "gate in force").to_dicts()[0]
    cell = swept().filter("is_current").to_dicts()[0]
    assert (gate["n"], gate["estimate"], gate["p"]) == (cell["n_resolved"], cell["expectancy_r"], cell["p_value"])


def test_the_same_again_is_no_new_trial_and_more_data_or_other_specs_are() -> None:
    first = equity_trials(swept(), factors(), seen_until=SEEN, spec_hash="abc")
    again = equity_trials(swept(), factors(), seen_until=SEEN, spec_hash="abc", earlier=first)
    assert again.equals(first)
    later = equity_trials(swept(), factors(), seen_until=date(2022, 1, 14), spec_hash="abc", earlier=first)
    other = equity_trials(swept(), factors(), seen_until=SEEN, spec_hash="def", earlier=later)
    assert (later.height, other.height) == (12, 18)
    assert set(first["trial_id"]) < set(later["trial_id"]) < set(other["trial_id"])
