"""The page made from the tables themselves: what `build_report` writes is what the page reads."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from quant_platform.contracts.tables import table
from quant_platform.labs.equity.replay.calibration import calibration
from quant_platform.labs.equity.replay.hit_rate import hit_rate
from quant_platform.labs.equity.replay.report import ReportContext, build_report, universe_summary
from quant_platform.labs.equity.replay.sweep import activation_sweeps
from quant_platform.reports.equity.report import render_equity_report
from quant_platform.specification.factors import StarSpec
from quant_platform.specification.replay import SweepSpec
from quant_platform_tests.labs.equity.replay.factory import MONDAY, random_rows
from quant_platform_tests.labs.equity.setups.twin import activation_spec, replay_spec
from quant_platform_tests.reports.reading import body_rows, cells, drawn, read_html, section, shown, table_with

STAR = StarSpec(max_adjusted_p=0.05, min_independent_windows=24)
WEEK = MONDAY + timedelta(weeks=100)


def factor_rows() -> pl.DataFrame:
    common = {"factor": "momentum_12_1", "kind": "summary", "date_sig": MONDAY, "ic": 0.02, "ic_log": 0.01}
    rows: list[dict[str, Any]] = [
        common | {"horizon_sessions": horizon, "ic_sd": 0.1, "n_weeks": 40, "n_independent": 40 // (1 + horizon // 5)}
        for horizon in (5, 30)
    ]
    rows[1] |= {"reliable": False, "unreliable_because": "5 independent windows, 12 are needed", "spread": 0.0123}
    rows += [
        {"factor": "momentum_12_1", "kind": "rebalance", "horizon_sessions": 30, "date_sig": MONDAY, "ic": ic}
        | {"date_sig": MONDAY + timedelta(weeks=week)}
        for week, ic in enumerate((0.1, -0.02, 0.05))
    ]
    return pl.DataFrame(rows, schema=table("factors.information_coefficient").schema.create_empty().schema)


def build(weeks: int) -> dict[str, Any]:
    rows = random_rows(1, weeks=weeks)
    if weeks == 1:
        rows = rows.head(0)
    bars = pl.DataFrame({"ticker": ["A", "B", "C"], "last_session": [WEEK, WEEK, MONDAY]})
    spec = replay_spec()
    sweep = SweepSpec(parameter="min_rr", thresholds=(None, 1.0, 1.2))
    return build_report(
        ReportContext(WEEK, WEEK + timedelta(days=4), True, "0123abcd", 30, STAR, {"cost_bps_round_trip": 10.0}),
        hit_rate=hit_rate(WEEK, rows, spec),
        calibration=calibration(WEEK, rows, spec),
        sweeps=activation_sweeps(["rr"], {"rr": sweep}, rows, activation_spec(), spec),
        information_coefficients=factor_rows(),
        universe=universe_summary(bars, WEEK, WEEK - timedelta(days=7)),
    )


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return build(weeks=60)


def test_every_part_of_a_built_report_is_on_the_page(report: dict[str, Any]) -> None:
    root = read_html(render_equity_report(report))
    assert report["headline"] in root.all("p", "headline")[0].text
    edge = body_rows(table_with(root, "Information coefficient by factor, 30-session returns"))
    assert [shown(cells(row)[0]) for row in edge] == ["momentum_12_1"]
    assert "muted" in edge[0].classes
    figures = {anchor: drawn(section(root, anchor)) for anchor in ("ic-decay", "ic-series", "sweeps", "calibration")}
    assert [len(found) for found in figures.values()] == [1, 1, 1, 2]
    assert [row["horizon_sessions"] for row in figures["ic-decay"][0].data] == [5, 30]
    assert figures["ic-series"][0].note == "sum +0.130 over n = 3 weeks, 5 independent"
    bins = [len(report["calibration"][model]["bins"]) for model in ("stated", "recalibrated")]
    assert bins[0] > 0
    assert [len(figure.data) for figure in figures["calibration"]] == bins


def test_its_hit_rates_and_sweeps_are_the_same_numbers(report: dict[str, Any]) -> None:
    root = read_html(render_equity_report(report))
    want = {row["value"]: row for row in report["hit_rate"]}
    rows = body_rows(table_with(root, "All candidates and those the gate let through"))
    assert [shown(cells(row)[0]) for row in rows] == ["all", "qualified"]
    for row in rows:
        source = want[shown(cells(row)[0])]
        assert float(cells(row)[1].all("data")[0].attributes["value"] or "nan") == source["n"] > 0
        assert float(cells(row)[4].all("data")[0].attributes["value"] or "nan") == source["hit_rate"]
    groups = [row for row in report["hit_rate"] if row["group"] in ("direction", "year")]
    shown_groups = sum(len(body_rows(found)) for found in section(root, "hit-rate").all("table")) - 2
    assert shown_groups == len(groups)
    cells_shown = body_rows(table_with(root, "Sweep of min_rr"))
    assert len(cells_shown) == len(report["sweeps"][0]["rows"])
    assert sum("★" in row.text for row in cells_shown) == 1


def test_a_universe_without_membership_says_so(report: dict[str, Any]) -> None:
    universe = section(read_html(render_equity_report(report)), "universe")
    assert [node.text for node in universe.all("dd")][:3] == ["3", "1", "66.7%"]
    assert universe.text.count("n/a (the source has no record of membership)") == 3


def test_a_week_without_any_outcome_is_a_page_without_numbers() -> None:
    root = read_html(render_equity_report(build(weeks=1)))
    assert "No qualified setup has a known outcome yet." in root.all("p", "headline")[0].text
    tiles = {node.all("dt")[0].text: node.all("dd")[0].text for node in root.all("div", "tile")}
    assert tiles["Hit rate, qualified"] == "n/a (no resolved trade in this group)"
    assert "None" not in root.said
