from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_platform.contracts.schemas.equity import DIRECTIONS
from quant_platform.labs.equity.setups.gate import apply_gate, qualifies
from quant_platform.specification.activation import ActivationSpec
from quant_platform.specification.loading import load_spec
from quant_platform_tests.labs.equity.setups.twin import activation_spec

SPECS = Path(__file__).resolve().parents[4] / "specs"


def candidate(**changes: Any) -> dict[str, Any]:
    return {
        "direction": "long", "rr": 2.0, "confidence": 60.0, "target_probability": 0.3, "expected_value_r": 0.0,
        "conflict": False, "percentile": 90.0, **changes,
    }  # fmt: skip


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(
        list(rows),
        schema_overrides={"direction": pl.Enum(DIRECTIONS), "percentile": pl.Float64},
        infer_schema_length=None,
    )


@pytest.mark.parametrize(
    ("change", "activation", "refusals"),
    [
        ({}, {}, []),
        ({"rr": 1.2, "confidence": 55.0, "percentile": 80.0}, {}, []),
        ({"rr": 1.1999}, {}, ["rr 1.1999 is below min_rr 1.2"]),
        ({"confidence": 54.0}, {}, ["confidence 54.0 is below min_confidence 55"]),
        ({"percentile": 79.5}, {}, ["momentum_percentile 79.5 is below min_momentum_percentile 80"]),
        ({"direction": "short"}, {}, ["momentum_percentile 10.0 is below min_momentum_percentile 80"]),
        ({"direction": "short", "percentile": 15.0}, {}, []),
        ({"percentile": None}, {}, []),
        ({"percentile": float("nan")}, {}, []),
        ({"rr": float("nan")}, {}, ["rr missing is below min_rr 1.2"]),
        ({}, {"min_target_probability": 0.35}, ["target_probability 0.3 is below min_target_probability 0.35"]),
        ({}, {"min_target_probability": 0.3}, []),
        ({}, {"min_expected_value": 0.05}, ["expected_value_r 0.0 is below min_expected_value 0.05"]),
        ({"conflict": True}, {}, []),
        ({"conflict": True}, {"exclude_conflicts": True}, ["the other direction has a valid setup too"]),
        ({}, {"high_conviction_only": True}, ["not high conviction: rr 2.0 and confidence 60.0, floors 2 and 70"]),
        ({"confidence": 70.0}, {"high_conviction_only": True}, []),
        (
            {"rr": 0.9, "confidence": 10.0, "percentile": 5.0},
            {"min_rr": 1.0, "min_momentum_percentile": None},
            ["rr 0.9 is below min_rr 1", "confidence 10.0 is below min_confidence 55"],
        ),
    ],
)
def test_every_rule_by_hand(change: dict[str, Any], activation: dict[str, Any], refusals: list[str]) -> None:
    row = apply_gate(frame(candidate(**change)), activation_spec(**activation)).to_dicts()[0]
    assert row["refusals"] == refusals
    assert row["qualified"] is (not refusals)


def test_without_a_percentile_column_its_rule_is_off_and_the_column_is_null() -> None:
    row = apply_gate(frame(candidate(percentile=1.0)).drop("percentile"), activation_spec()).to_dicts()[0]
    assert row["qualified"] is True
    assert row["momentum_percentile"] is None


def test_a_gate_with_every_rule_off_passes_everything() -> None:
    off = activation_spec(min_rr=None, min_confidence=None, min_momentum_percentile=None)
    row = apply_gate(frame(candidate(rr=0.1, confidence=0.0, percentile=0.0)), off).to_dicts()[0]
    assert (row["qualified"], row["refusals"]) == (True, [])


values = st.fixed_dictionaries(
    {
        "direction": st.sampled_from(DIRECTIONS),
        "rr": st.floats(0.0, 4.0),
        "confidence": st.floats(0.0, 100.0),
        "target_probability": st.floats(0.0, 1.0),
        "expected_value_r": st.floats(-1.0, 1.0),
        "conflict": st.booleans(),
        "percentile": st.one_of(st.none(), st.floats(0.0, 100.0)),
    }
)
TIGHTER = [
    {"min_rr": 1.7}, {"min_confidence": 77.0}, {"min_momentum_percentile": 90.0}, {"min_target_probability": 0.4},
    {"min_expected_value": 0.1}, {"high_conviction_only": True}, {"exclude_conflicts": True},
]  # fmt: skip


@given(rows=st.lists(values, min_size=1, max_size=30), change=st.sampled_from(TIGHTER))
def test_the_gate_is_monotone_and_its_verdict_is_the_absence_of_reasons(
    rows: list[dict[str, Any]], change: dict[str, Any]
) -> None:
    loose = apply_gate(frame(*rows), activation_spec())
    tight = apply_gate(frame(*rows), activation_spec(**change))
    assert not (tight["qualified"] & ~loose["qualified"]).any()
    for gated in (loose, tight):
        assert (gated["qualified"] == (gated["refusals"].list.len() == 0)).all()
    assert tight.select(qualifies(activation_spec(**change))).to_series().equals(tight["qualified"], check_names=False)


def test_the_gate_in_force_is_the_stated_one() -> None:
    spec = load_spec(SPECS / "activation.yaml", ActivationSpec)
    assert (spec.min_rr, spec.min_confidence, spec.min_momentum_percentile) == (1.2, 55.0, 80.0)
    assert (spec.min_target_probability, spec.min_expected_value) == (None, None)
    assert (spec.high_conviction_only, spec.exclude_conflicts) == (False, False)
