"""The tables of the parity lab, on a home where no framework is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from quant_platform.contracts.tables import table
from quant_platform.defs.checks import build_checks
from quant_platform.defs.resources import HomeResource
from quant_platform.labs.parity import environments
from quant_platform.labs.parity.cases import case_named
from quant_platform.labs.parity.marks import Mark
from quant_platform.labs.parity.study import DIFFERS, Outcome, prepare, trade
from quant_platform.pipeline import parity
from quant_platform.pipeline.home import Home
from quant_platform_tests.homes import entered, write_specs

CASE = "gap_through_stop"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("parity")
    with pytest.MonkeyPatch.context() as patch, entered(folder / "home", write_specs(folder / "specs")) as found:
        patch.setenv(environments.FOLDER_VARIABLE, str(folder / "none"))
        yield found


@pytest.fixture(scope="module")
def made(home: Home) -> Home:
    done = parity.run_cases(home, [(CASE, "quant_platform"), (CASE, "zipline")], run_id="r", refresh=False, workers=1)
    assert [one.state for one in done] == ["written", "written"]
    return home


def test_decisions_are_rows_with_the_hash_of_them_all(home: Home) -> None:
    found = parity.decide(home, [CASE, "touch"])
    assert found.select("case", "bar", "asset", "action", "quantity", "stop").rows() == [
        (CASE, 1, "A", "long_entry", 100.0, 0.03), ("touch", 1, "A", "long_entry", 100.0, 0.03),
    ]  # fmt: skip
    assert found["content_hash"].to_list() == [prepare(case_named(CASE)).decisions.content_hash] * 2


def test_the_engine_and_a_framework_that_is_not_installed_are_rows(made: Home) -> None:
    trades = made.lake.read("parity.executions")
    # Bought at 100, gapped through the stop of 97 to 95; a tenth of a percent each way.
    assert trades.select("framework", "trade", "exit_bar", "exit_price", "pnl").rows() == [
        ("quant_platform", 0, 4, 95.0, -500.0 - 10.0 - 9.5)
    ]
    rows = {row["framework"]: row for row in made.lake.read("parity.diff").to_dicts()}
    assert (rows["quant_platform"]["outcome"], rows["quant_platform"]["trades"]) == ("agrees", 1)
    assert rows["zipline"]["outcome"] == "not_installed"
    assert rows["zipline"]["explained"]
    assert rows["zipline"]["reason"] == "zipline has no environment"


def test_what_was_made_is_current_until_the_framework_is_installed(made: Home, monkeypatch, tmp_path: Path) -> None:
    keys = [(CASE, "quant_platform"), (CASE, "zipline")]
    again = parity.run_cases(made, keys, run_id="r2", refresh=False, workers=1)
    assert [one.state for one in again] == ["current", "current"]
    monkeypatch.setenv(environments.FOLDER_VARIABLE, str(tmp_path))
    python = environments.environment("zipline").python
    python.parent.mkdir(parents=True)
    python.write_text("")
    (environments.environment("zipline").folder / "complete").write_text("")
    # An interpreter that cannot be started is a failure of that framework, and a row.
    found = parity.run_cases(made, keys, run_id="r3", refresh=False, workers=1)
    assert [one.state for one in found] == ["current", "written"]
    row = made.lake.read("parity.diff", [(CASE, "zipline")]).to_dicts()[0]
    assert (row["outcome"], row["explained"]) == ("failed", False)
    assert "could not be started" in row["reason"]
    assert not checked(made).passed
    monkeypatch.undo()
    monkeypatch.setenv(environments.FOLDER_VARIABLE, str(tmp_path / "none"))
    parity.run_cases(made, keys, run_id="r4", refresh=True, workers=1)
    assert checked(made).passed


def test_a_difference_without_a_mark_is_unexplained_in_the_row() -> None:
    prepared = prepare(case_named(CASE))
    for mark, explained in ((None, False), (Mark("never", "it cannot", refuses=False), True)):
        outcome = Outcome(CASE, "zipline", DIFFERS, trade(prepared), None, mark)
        row = parity.frames_of(prepared, outcome)["parity.diff"].to_dicts()[0]
        assert row["explained"] is explained
        assert row["mark"] == (None if mark is None else "never")


def checked(home: Home) -> dg.AssetCheckEvaluation:
    """The blocking check over the rows that are there."""
    where = HomeResource(home=str(home.settings.home), specs=str(home.settings.specs))
    check = build_checks([table("parity.diff")])[-1]

    @dg.asset(key=["parity", "diff"])
    def diff() -> None:
        """Written already."""

    done = dg.materialize([diff, check], resources={"home": where}, raise_on_error=False)
    (found,) = [one for one in done.get_asset_check_evaluations() if one.check_name == "explained"]
    assert found.blocking
    return found
