"""What `make parity` recorded, held against the engine of today; no framework is needed for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quant_platform.labs.parity.adapters import OURS, all_frameworks
from quant_platform.labs.parity.cases import CASES, case_named
from quant_platform.labs.parity.environments import FRAMEWORKS
from quant_platform.labs.parity.marks import mark_of
from quant_platform.labs.parity.page import COLUMNS, defaults_page, page
from quant_platform.labs.parity.study import prepare, trade

DOCS = Path(__file__).resolve().parents[2] / "docs" / "evidence"
FOUND = json.loads((DOCS / "parity.json").read_text())
ROWS = {(row["case"], row["framework"]): row for row in FOUND["rows"]}
# The longer cases are run again by `make parity` alone.
AGAIN = sorted(set(CASES) - {"ma_crossover_btc_5min", "rebalance_500"})


def test_every_case_ran_through_every_framework_and_nothing_is_unexplained():
    assert {key for key in ROWS if key[0] in CASES} == {(case, name) for case in CASES for name in all_frameworks()}
    assert all(set(row) == set(COLUMNS) for row in ROWS.values())
    for (case, framework), row in ROWS.items():
        mark = mark_of(case, framework)
        assert row["mark"] == (None if mark is None else mark.kind)
        expected = "agrees" if mark is None else "refused" if mark.refuses else "differs"
        assert row["outcome"] == expected, (case, framework, row["reason"], row["cause"])
        if row["outcome"] == "agrees" and framework != OURS:
            assert row["differing_trades"] == 0
            assert row["largest_relative_error"] <= 1e-9
            assert row["trades"] == ROWS[case, OURS]["trades"]
            assert row["decisions_hash"] == ROWS[case, OURS]["decisions_hash"]


def test_stops_of_zipline_are_said_to_be_by_adapter():
    for case in ("stop", "bracket", "trailing", "gap_through_stop"):
        assert "the rule of stops and targets itself" in ROWS[case, "zipline"]["by_adapter"]
    assert ROWS["stop", "backtrader"]["by_adapter"] == []


@pytest.mark.parametrize("name", AGAIN)
def test_the_engine_of_today_trades_as_recorded(name, shared_data):
    recorded = ROWS[name, OURS]
    real = recorded["bars"] == "real"
    if real and not shared_data.is_dir():
        pytest.skip("recorded on real bars, which are not here")
    prepared = prepare(case_named(name), shared_data if real else None)
    assert prepared.decisions.content_hash == recorded["decisions_hash"]
    made = trade(prepared)
    assert made.trades.height == recorded["trades"]
    assert made.final_value == pytest.approx(recorded["final_value"], rel=1e-12)


def test_at_scale_no_trade_differs():
    large = [row for row in FOUND["rows"] if row["case"].startswith("scale_250x")]
    assert {row["framework"] for row in large} >= {OURS, "backtrader", "vectorbt"}
    assert all(row["differing_trades"] == 0 for row in large if row["framework"] != OURS)
    assert all(row["trades"] > 8_000 for row in large)


def test_the_pages_are_made_from_the_artifacts():
    assert (DOCS / "parity.md").read_text() == page(FOUND["rows"], FOUND["command"], FOUND["versions"])
    defaults = json.loads((DOCS / "parity_defaults.json").read_text())
    assert (DOCS / "parity_defaults.md").read_text() == defaults_page(defaults, FOUND["command"])
    assert {row["framework"] for row in defaults} == set(FRAMEWORKS)
    assert all(row["differing_with_cause"] == 0 for row in defaults)
