"""The results page states what the tables hold, and says so when they hold nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest

from quant_platform.contracts.tables import table
from quant_platform.lake import Lake, Provenance, connect
from quant_platform.reports.documentation.results import discovery_results, equity_results

PROVENANCE = Provenance(
    asset="test", code_version="1", ontology_hash="2", ontology_files={}, run_id="3", inputs={}, simulated=True
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def connection(home: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    lake = Lake(home / "lake")
    accounting = pl.DataFrame(
        {
            "ticker": ["A", "B"],
            "raw_rows": [1000, 500],
            "clean_rows": [998, 500],
            "quarantined_rows": [2, 0],
            "unaccounted_rows": [0, 0],
            "missing_sessions": [2, 3],
            "first_session": [date(2020, 1, 2), date(2021, 1, 4)],
            "last_session": [date(2023, 12, 29), date(2022, 12, 30)],
        }
    )
    lake.write("clean.equity_accounting", None, accounting, PROVENANCE)
    report = pl.DataFrame(
        [
            {
                "as_of_week": date(2023, 12, 25),
                "date_sig": date(2023, 12, 29),
                "simulated": True,
                "spec_hash": "a" * 64,
                "trial_count": 80,
                "headline": "Nothing was found.",
                "json": "{}",
                "html_path": "reports/x.html",
            }
        ],
        schema=table("replay.report").schema.create_empty().schema,
    )
    lake.write("replay.report", "2023-12-25", report, PROVENANCE)
    with connect(home) as opened:
        yield opened


def _section(page: str, heading: str) -> str:
    return page.split(f"## {heading}\n")[1].split("\n## ")[0]


def test_bars_are_added_up_over_the_tickers(connection: duckdb.DuckDBPyConnection) -> None:
    page = equity_results(connection, "A market", {"source": "test"})
    assert "| 2 | 1,500 | 1,498 | 2 | 0 | 5 | 2020-01-02 | 2023-12-29 |" in _section(page, "Bars")


def test_the_page_opens_with_what_it_is(connection: duckdb.DuckDBPyConnection) -> None:
    page = equity_results(connection, "A market", {"source": "test"})
    assert "# A market\n" in page
    assert "**SIMULATED" in page
    assert "> Nothing was found." in page
    assert f"spec hash `{'a' * 16}`" in page
    assert "- 80 cells evaluated" in page


@pytest.mark.parametrize("heading", ["Quarantine by rule", "Hit rate and expectancy", "Sweeps", "Survivorship"])
def test_a_table_without_rows_says_so(connection: duckdb.DuckDBPyConnection, heading: str) -> None:
    assert "None." in _section(equity_results(connection, "A market", {}), heading)


def test_an_empty_home_has_a_page_too(tmp_path: Path) -> None:
    with connect(tmp_path / "empty") as opened:
        page = equity_results(opened, "Nothing yet", {})
    assert "SIMULATED" not in page
    assert "None." in _section(page, "Candidates")


def _discovery_home(home: Path, *, simulated: bool) -> None:
    found = {
        "headline": "Nothing survived: that is a result.",
        "verdict": ["2 of 3 events fire within their bounds.", "The test window has not been looked at."],
        "simulated": simulated,
        "cutoff": "2024-06",
        "ontology_hash": "b" * 64,
        "trial_count": 1234,
        "prevalence": [
            {
                "event_id": name,
                "status": status,
                "events": events,
                "per_10k": rate,
                "per_10k_low": rate,
                "per_10k_high": rate,
                "bound_min": 1.0,
                "bound_max": 9.0,
                "missing_inputs": missing,
            }
            for name, status, events, rate, missing in (
                ("VOL_SHOCK", "passed", 12, 3.5, []),
                ("OI_FLUSH", "not_available", 0, None, ["oi"]),
            )
        ],
        "funnel": [{"stage": "evaluated", "left": 7, "alone": 7}],
    }
    report = pl.DataFrame(
        [
            {
                "cutoff": "2024-06",
                "last_bar_date": date(2024, 6, 30),
                "simulated": simulated,
                "ontology_hash": "b" * 64,
                "trial_count": 1234,
                "headline": found["headline"],
                "json": json.dumps(found),
                "html_path": "reports/y.html",
            }
        ],
        schema=table("discovery.report").schema.create_empty().schema,
    )
    Lake(home / "lake").write("discovery.report", "2024-06", report, PROVENANCE)


@pytest.mark.parametrize("simulated", [True, False])
def test_discovery_opens_with_its_verdict(home: Path, simulated: bool) -> None:
    _discovery_home(home, simulated=simulated)
    with connect(home) as opened:
        page = discovery_results(opened, "Perpetuals", {"source": "test"})
    assert "> Nothing survived: that is a result." in page
    assert "- The test window has not been looked at." in page
    assert "- 1,234 trials in the ledger" in page
    assert ("SIMULATED" in page) is simulated


def test_an_event_that_lacks_inputs_names_them(home: Path) -> None:
    _discovery_home(home, simulated=False)
    with connect(home) as opened:
        rows = _section(discovery_results(opened, "Perpetuals", {}), "Events against their bounds").splitlines()
    assert "| OI_FLUSH | not_available | 0 | n/a | n/a | n/a | 1.0000 | 9.0000 | oi |" in rows
    assert "| VOL_SHOCK | passed | 12 | 3.5000 | 3.5000 | 3.5000 | 1.0000 | 9.0000 |  |" in rows


def test_a_home_without_discovery_says_so(tmp_path: Path) -> None:
    with connect(tmp_path / "empty") as opened:
        assert "there is no report" in discovery_results(opened, "Nothing yet", {})
