"""The results page states what the tables hold, and says so when they hold nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
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


def _rows_of(name: str, rows: list[dict[str, object]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=table(name).schema.create_empty().schema)


def test_what_the_engine_made_of_refused_cells(home: Path) -> None:
    """Folds: 3 trades of 10 bps, none, 1 of -6 bps: 24 / 4 = 6; training 20 x 5 and 10 x 8: 180 / 30 = 6."""
    _discovery_home(home, simulated=False)
    key: dict[str, object] = {"cutoff": "2024-06", "strategy_id": "REFUSED-A"}
    stamp = datetime(2024, 1, 1, tzinfo=UTC)
    times = dict.fromkeys(("train_start", "train_end", "test_start", "test_end"), stamp)
    folds = [(0, 1, 20, 5.0, 3, 10.0, 40.0), (1, 0, 0, None, 0, None, 0.0), (2, -1, 10, 8.0, 1, -6.0, -9.0)]
    names = ("fold", "side", "n_train", "train_net_bps", "n_test", "test_net_bps", "test_pnl")
    walked = [key | times | {"scheme": "anchored"} | dict(zip(names, fold, strict=True)) for fold in folds]
    disturbed = [
        key | {"kind": kind, "variant": variant, "n": 4, "net_bps": bps}
        for kind, variant, bps in (
            ("base", "as decided", 7.0), ("cost", "times 1.5", 1.0), ("cost", "times 2", -7.0),
            ("entry_later", "1 bars", 5.0), ("entry_later", "2 bars", 3.0), ("dropped", "10% of the events", 8.0),
        )
    ]  # fmt: skip
    judged = key | {"status": "refused", "was_run": True, "n_trades": 4, "n_days": 60, "sharpe": 0.5}
    judged |= {"sharpe_error": 1.5, "max_drawdown": 0.02, "total_return": 0.01, "promoted": False, "reasons": []}
    not_run = judged | {"strategy_id": "B", "status": "blueprint", "was_run": False}
    lake = Lake(home / "lake")
    for name, rows in (
        ("backtest.walk_forward", walked), ("backtest.robustness", disturbed),
        ("backtest.promotions", [judged, not_run]),
    ):  # fmt: skip
        lake.write(name, "2024-06", _rows_of(name, rows), PROVENANCE)
    with connect(home) as opened:
        page = discovery_results(opened, "Perpetuals", {})
    [line] = [line for line in _section(page, "On the engine").splitlines() if line.startswith("| REFUSED-A ")]
    assert line == "| REFUSED-A | refused | 4 | 7.0000 | 0.0100 | 0.0200 | 0.5000 | 1.5000 | no |"
    assert "| B |" not in page
    assert "| REFUSED-A | anchored | 3 | 2 | 4 | 31.0000 | 6.0000 | 6.0000 |" in _section(page, "Walk-forward")
    assert "| REFUSED-A | 7.0000 | -7.0000 | 3.0000 | 8.0000 |" in _section(page, "Disturbed")


def test_a_home_without_discovery_says_so(tmp_path: Path) -> None:
    with connect(tmp_path / "empty") as opened:
        assert "there is no report" in discovery_results(opened, "Nothing yet", {})
