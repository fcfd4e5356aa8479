from __future__ import annotations

import json
import math
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from quant_platform.contracts.tables import table
from quant_platform.labs.equity.replay.calibration import calibration
from quant_platform.labs.equity.replay.hit_rate import hit_rate
from quant_platform.labs.equity.replay.report import (
    ReportContext,
    build_report,
    headline,
    report_row,
    universe_summary,
)
from quant_platform.labs.equity.replay.sweep import activation_sweeps
from quant_platform.specification.factors import StarSpec
from quant_platform.specification.replay import SweepSpec
from quant_platform_tests.labs.equity.replay.factory import MONDAY, frame, random_rows, row
from quant_platform_tests.labs.equity.setups.twin import activation_spec, replay_spec

STAR = StarSpec(max_adjusted_p=0.05, min_independent_windows=24)
WEEK = MONDAY + timedelta(weeks=100)
IC = table("factors.information_coefficient").schema


def factor_row(factor: str, horizon: int, kind: str = "summary", **changes: Any) -> dict[str, Any]:
    return {
        "factor": factor, "kind": kind, "horizon_sessions": horizon, "date_sig": MONDAY, "ic": 0.02,
        "p_nonoverlapping": 0.001, "n_independent": 24, "reliable": True, "precise": False, **changes,
    }  # fmt: skip


def factors() -> pl.DataFrame:
    rows = [
        factor_row("momentum_12_1", 30),
        factor_row("momentum_12_1", 60),
        factor_row("reversal_1m", 30, reliable=False, unreliable_because="3 independent windows"),
        factor_row("low_volatility", 30, p_nonoverlapping=0.01),
        factor_row("short", 30, n_independent=23),
        factor_row("momentum_12_1", 30, kind="rebalance", ic=float("nan"), p_nonoverlapping=None, reliable=None),
    ]
    return pl.DataFrame(rows, schema=IC.create_empty().schema)


@pytest.fixture
def report() -> dict[str, Any]:
    rows = random_rows(1, weeks=40)
    sweep = SweepSpec(parameter="min_rr", thresholds=(None, 1.0, 1.2))
    bars = pl.DataFrame({"ticker": ["A", "B", "C"], "last_session": [WEEK, WEEK, MONDAY]})
    securities = pl.DataFrame(
        {"ticker": ["A", "A", "B", "X", "Y"], "start_date": [MONDAY, WEEK, MONDAY, MONDAY, date(2030, 1, 1)]}
    )
    return build_report(
        ReportContext(WEEK, WEEK + timedelta(days=4), True, "abc", 30, STAR, {"cost_bps": 10.0}),
        hit_rate=hit_rate(WEEK, rows, replay_spec()),
        calibration=calibration(WEEK, rows, replay_spec()),
        sweeps=activation_sweeps(["rr"], {"rr": sweep}, rows, activation_spec(), replay_spec()),
        information_coefficients=factors(),
        universe=universe_summary(bars, WEEK, WEEK - timedelta(days=7), securities),
    )


def test_it_is_plain_json_and_one_row(report: dict[str, Any]) -> None:
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    found = report_row(report, "reports/x.html")
    table("replay.report").schema.validate(found)
    assert found["as_of_week"].to_list() == [WEEK]
    assert json.loads(found["json"][0]) == report


def test_trials_are_factors_by_horizons_and_sweep_cells(report: dict[str, Any]) -> None:
    assert report["trial_count"] == 5 + 3


def test_an_unreliable_row_is_never_starred(report: dict[str, Any]) -> None:
    edge = {item["factor"]: item for item in report["signal_edge"]}
    assert {name: item["starred"] for name, item in edge.items()} == {
        "low_volatility": True, "momentum_12_1": True, "reversal_1m": False, "short": False
    }  # fmt: skip
    # Holm over four factors: 0.001 three times and 0.01, the last times one. Nothing here is precise.
    assert edge["momentum_12_1"]["p_adjusted"] == pytest.approx(0.004)
    assert edge["low_volatility"]["p_adjusted"] == pytest.approx(0.01)
    assert edge["short"]["p_adjusted"] == pytest.approx(0.004)
    assert report["ic_series"] == [{"factor": "momentum_12_1", "date_sig": "2021-01-04", "ic": None}]
    assert [item["horizon_sessions"] for item in report["decay"]] == [30, 30, 60, 30, 30]


def test_survivorship_is_stated(report: dict[str, Any]) -> None:
    """C ended; A, B and X were members by then, and X has no bars."""
    universe = report["universe"]
    assert (universe["n_names"], universe["n_ended"]) == (3, 1)
    assert universe["survivorship_share"] == pytest.approx(2 / 3)
    assert (universe["n_members_ever"], universe["n_members_without_bars"]) == (3, 1)
    assert universe["missing_share"] == pytest.approx(1 / 3)


def test_universe_without_membership_or_names() -> None:
    empty = pl.DataFrame(schema={"ticker": pl.String, "last_session": pl.Date})
    found = universe_summary(empty, WEEK, WEEK)
    assert (found.survivorship_share, found.n_members_ever, found.missing_share) == (None, None, None)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.01, 0.09, "above zero"), (-0.2, -0.1, "below zero"), (-0.1, 0.1, "not distinguishable from zero")],
)
def test_the_headline_says_what_the_interval_says(low: float, high: float, words: str) -> None:
    rows = pl.DataFrame(
        {
            "value": ["all", "qualified"], "n": [5000, 1234], "n_weeks": [90, 80], "hit_rate": [0.5, 0.4],
            "expectancy_r": [0.0, 0.05], "expectancy_low": [0.0, low], "expectancy_high": [0.0, high],
        }
    )  # fmt: skip
    text = headline(rows)
    assert "1,234 qualified setups in 80 weeks made +0.050 R each after cost" in text
    assert words in text
    assert "40.0%" in text


def test_the_headline_without_trades_or_weeks() -> None:
    nothing = hit_rate(WEEK, frame(row(0, "pending", None)), replay_spec())
    assert headline(nothing) == "No qualified setup has a known outcome yet."
    single = hit_rate(WEEK, frame(row(0, "stop", -1.0)), replay_spec())
    assert headline(single).endswith("too few weeks for an interval.")
    assert not math.isnan(single["expectancy_r"][0])
