"""The Operations page over a small account: the numbers of its outputs, what is empty and why, earlier sessions."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from quant_platform.app.views import operations
from quant_platform.labs.operations.frames import rows_frame
from quant_platform.pipeline import changes
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.outputs import outputs_folder, snapshot_days
from quant_platform_tests.app.test_pages import drawn, frame, said, without_fault
from quant_platform_tests.pipeline.test_changes import propose
from quant_platform_tests.pipeline.test_operations import KEYS, SESSIONS, STAMP, copied, daily, dashboard, stored_home

WEEK = SESSIONS[-1] - timedelta(days=4)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Ten sessions of a small account with a week of proposals and the outputs of two sessions; nobody changes it."""
    home = stored_home(tmp_path_factory.mktemp("account"))
    daily(home, KEYS)
    propose(home, WEEK)
    summary = {
        "week": WEEK, "ticker": "AAA", "evidence": "executed", "sleeve": "spec", "asset_class": "US_EQUITY", "n": 1,
        "profit_factor": None, "win_rate": 1.0, "annual_pnl": 0.01, "mean_r": 1.9, "max_drawdown": 0.0,
    }  # fmt: skip
    home.lake.write("ops.sleeve_summary", WEEK.isoformat(), rows_frame("ops.sleeve_summary", [summary]), STAMP)
    for key in (KEYS[-2], KEYS[-1]):
        made = dashboard(home, key)
        # A session of the past writes no files: its snapshot is what was written when it was the newest.
        (outputs_folder(home) / "history").mkdir(parents=True, exist_ok=True)
        (outputs_folder(home) / "history" / f"{key}.json").write_text(json.dumps(made), encoding="utf-8")
    return home


def page_of(home: Home, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    return drawn("operations", home.settings.home, home.specs, monkeypatch)


def metrics(page: AppTest) -> dict[str, str]:
    return {each.label: each.value for each in page.metric}


def test_the_page_shows_what_the_outputs_say(account: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    page = page_of(account, monkeypatch)
    book = account.lake.read("ops.book", [KEYS[-1]]).row(0, named=True)
    assert metrics(page)["Equity"] == f"{book['equity']:,.0f}"
    assert (metrics(page)["Positions"], metrics(page)["Open proposals"]) == ("0", "4")
    assert "SIMULATED" in said(page)
    fills = frame(page, "mid", "fill")
    assert fills["day"].to_list() == [SESSIONS[4].isoformat(), SESSIONS[1].isoformat()]
    assert frame(page, "exit_reason", "r")["exit_reason"].to_list() == ["target"]
    assert frame(page, "ticker", "mean_r", "evidence")["mean_r"].to_list() == [1.9]
    assert frame(page, "group", "measure", "modelled")["measure"].to_list() == ["half_spread"]
    assert "proposed as no-trade windows: 1." in said(page)
    assert "Closed paper trades over all: 1 of 30" in str([each.proto.text for each in page.get("progress")])


def test_a_proposal_is_shown_with_its_evidence_and_the_command(account: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    page = page_of(account, monkeypatch)
    listed = frame(page, "proposal_id", "state")
    assert listed["state"].to_list() == ["open"] * 4
    for row in listed.iter_rows(named=True):
        page.selectbox(key="proposal").set_value(row["proposal_id"])
        without_fault(page.run())
        stored = changes.proposal(account, row["proposal_id"])
        evidence = changes.evidence_of(account, stored)
        tables = [pl.DataFrame(each.value) for each in page.dataframe if [*each.value.columns] == evidence.columns]
        assert [table.height for table in tables] == [1]
        assert any(f"quant proposals apply {row['proposal_id']} --reviewed-by NAME" in each.value for each in page.code)


def test_evidence_that_moved_is_said_and_an_applied_change_can_be_taken_back(
    account: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copied(account, tmp_path)
    (costs,) = changes.all_proposals(home).filter(pl.col("kind").cast(pl.String) == "costs")["proposal_id"]
    changes.apply(home, costs, "Ann")
    page = page_of(home, monkeypatch)
    page.selectbox(key="proposal").set_value(costs)
    without_fault(page.run())
    assert any(f"quant proposals revert {costs}" in each.value for each in page.code)
    moved = home.lake.read("ops.transaction_costs", [WEEK.isoformat()]).with_columns(n=pl.lit(51, dtype=pl.Int64))
    home.lake.write("ops.transaction_costs", WEEK.isoformat(), moved, STAMP)
    again = without_fault(page.run())
    assert "The evidence has moved since" in said(again)


def test_an_earlier_session_is_read_from_its_snapshot(account: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    page = page_of(account, monkeypatch)
    assert (
        page.selectbox(key="session").options
        == [operations.NEWEST, KEYS[-1], KEYS[-2]]
        == [
            operations.NEWEST,
            *snapshot_days(account),
        ]
    )
    assert "Looked at" in said(page)
    page.selectbox(key="session").set_value(KEYS[-2])
    earlier = without_fault(page.run())
    assert f"at the close of {KEYS[-2]}" in said(earlier)
    assert "Looked at" not in said(earlier)


def test_what_is_written_while_the_page_is_open_is_seen(
    account: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copied(account, tmp_path)
    page = page_of(home, monkeypatch)
    path = outputs_folder(home) / "dashboard.json"
    changed = json.loads(path.read_text(encoding="utf-8"))
    changed["content"]["account"] |= {"equity": 123456.0, "halted": True}
    changed["content"]["alerts"] = [{"code": "kill_switch", "subject": "drawdown", "text": "drawdown: 0.3 of 0.2"}]
    path.write_text(json.dumps(changed), encoding="utf-8")
    again = page.run()
    assert metrics(again)["Equity"] == "123,456"
    assert [each.value for each in again.error] == [
        "A kill switch stops new orders until `quant operations reset --reviewed-by NAME`."
    ]
    assert any("kill\\_switch" in each.value and "0\\.3 of 0\\.2" in each.value for each in again.warning)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("{", "Expecting property name"),
        ("[]", "it does not hold an object"),
        ('{"layout": "another/2"}', "in the layout quant_platform.operations/1"),
    ],
)
def test_a_damaged_output_is_one_paragraph(
    account: Home, tmp_path: Path, text: str, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copied(account, tmp_path)
    (outputs_folder(home) / "costs.json").write_text(text, encoding="utf-8")
    monkeypatch.setenv("QUANT_HOME", str(home.settings.home))
    monkeypatch.setenv("QUANT_SPECS", str(home.specs))
    script = "from quant_platform.app.views import operations\noperations.show()"
    page = AppTest.from_string(script, default_timeout=60).run()
    assert [each.value for each in page.exception] == []
    (error,) = {each.value for each in page.error}
    assert "output_damaged" in error
    assert cause in error
    assert "costs.json" in error
    assert "quant run operations_dashboard" in error


def test_a_home_without_an_account_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = stored_home(tmp_path)
    page = page_of(home, monkeypatch)
    (empty,) = [each.value for each in page.info]
    assert "There is no session of the paper account yet" in empty
    assert "quant run operations_daily" in empty


def test_empty_outputs_say_why_and_invent_nothing(
    account: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copied(account, tmp_path)
    for path in outputs_folder(home).glob("*.json"):
        if path.stem in ("dashboard", "growth", "layout.schema"):
            continue
        stated: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(stated | {"content": [], "empty_because": f"no {path.stem} yet"}), encoding="utf-8")
    page = page_of(home, monkeypatch)
    told = [each.value for each in page.info]
    for name in ("executions", "skips", "trades", "open_positions", "costs", "windows", "sleeves", "promotions",
                 "proposals"):  # fmt: skip
        assert any(text.startswith(f"No {name} yet.") for text in told), name
    assert len(page.dataframe) == 0
