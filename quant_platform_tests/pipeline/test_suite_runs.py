"""A suite after it was made: what MLflow holds of it, whether it can be computed again, how it differs from another."""

from __future__ import annotations

import json
import math
import os
from datetime import UTC, date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from quant_platform.lake.provenance import Provenance
from quant_platform.pipeline import tracking
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.suite import kept_specs, tear_sheet_path
from quant_platform.pipeline.suite_comparison import compare_suites, equity_difference
from quant_platform.pipeline.verification import PAGE, UnknownRun, find_runs, stored_runs, verify_run
from quant_platform_tests.homes import edit
from quant_platform_tests.suites import AUTHOR, SIGNAL, Judged


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_mlflow_holds_what_the_lake_holds(judged: Judged, tmp_path: Path) -> None:
    os.environ.update(MLFLOW_DISABLE_TELEMETRY="true")
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking.tracking_uri(judged.home))
    experiment = client.get_experiment_by_name("backtest-poc")
    assert experiment is not None
    runs = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id])}
    # Homes made after this one by links share the file of MLflow, and their suites stand in it as well.
    assert {judged.first.mlflow_run_id, judged.second.mlflow_run_id} <= set(runs)
    run = runs[judged.second.mlflow_run_id]
    assert run.info.status == "FINISHED"
    assert run.info.run_name == f"{SIGNAL}_{judged.second.evaluated_at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    tags = run.data.tags
    assert (tags["signal_name"], tags["author"], tags["region"]) == (SIGNAL, AUTHOR, "US")
    assert (tags["data_snapshot_id"], tags["dagster_run_id"]) == (judged.snapshot, judged.second.run_id)
    assert tags["ontology_hash"] == judged.second.ontology_hash
    assert tags["registration"] == "not registered"
    assert len(tags["git_sha"].removesuffix("-dirty")) == 40 or tags["git_sha"] == "not in a repository"
    assert run.data.params["preset"] == "STANDARD"
    assert json.loads(run.data.params["fractile"]) == [20.0, 80.0]

    key = [(SIGNAL, judged.snapshot)]
    results = judged.home.lake.read("suite.results", key)
    for row in results.filter(pl.col("slice_kind") == "overall").iter_rows(named=True):
        for metric, column in (("sharpe", "sharpe_net"), ("ann_ret", "ann_return_net"), ("max_dd", "max_drawdown_net")):
            assert run.data.metrics[f"{metric}_{row['variant']}"] == row[column]
        assert 0.0 < run.data.metrics[f"coverage_{row['variant']}"] <= 1.0
        assert run.data.metrics[f"turnover_{row['variant']}"] == row["turnover"]

    folder = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path)))
    held = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    pictures = {"figures/cumulative_return.png", "figures/underwater.png"}
    assert held == {"tear_sheet.html", "daily_pnl.parquet", "summary.csv", *pictures}
    assert (folder / "tear_sheet.html").read_bytes() == tear_sheet_path(judged.home, key[0]).read_bytes()
    assert_frame_equal(pl.read_parquet(folder / "daily_pnl.parquet"), judged.home.lake.read("suite.daily", key))
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_a_suite_is_logged_once(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise AssertionError("it was logged again")

    monkeypatch.setattr(tracking, "log_run", refuse)
    (done,) = tracking.run_tracking(judged.home, [(SIGNAL, judged.snapshot)], run_id="again", refresh=False, workers=1)
    assert (done.state, done.rows) == ("current", {"suite.tracking": 2})


def test_a_suite_is_computed_again_byte_for_byte_also_one_that_was_replaced(judged: Judged) -> None:
    for run, page in ((judged.second, "bytes, equal"), (judged.first, "a later run has replaced it")):
        again = verify_run(judged.home, run)
        assert again.notes == ()
        assert [one.name for one in again.compared if not one.equal] == []
        assert len(again.compared) == 10
        assert page in next(one.says for one in again.compared if one.name == PAGE)
        assert again.equal


def test_what_is_not_as_then_is_said_and_what_differs_is_found(judged: Judged, tmp_path: Path) -> None:
    home = judged.copy(tmp_path)
    # Other costs now: the suite is computed with the specs of then, which were kept.
    edit(home.specs / "suite" / "costs.yaml", lambda spec: spec.update(naive_bps=50.0))
    kept = verify_run(home, judged.second)
    assert kept.equal
    assert [note for note in kept.notes if "those of then, which were kept" in note]

    # Without them it is computed with those of now, and every number after costs is another one.
    folder = kept_specs(home, judged.second.ontology_hash)
    folder.rename(folder.with_name("gone"))
    now = verify_run(Home(home.settings), judged.second)
    assert any("those of then are gone" in note for note in now.notes)
    wrong = {one.name: one.says for one in now.compared if not one.equal}
    assert {"suite.results", "suite.daily", PAGE} <= set(wrong)
    daily = judged.home.lake.read("suite.daily", [(SIGNAL, judged.snapshot)])
    # Sessions before the first trade pay nothing; on all others the net return differs.
    assert wrong["suite.daily"].startswith("differs: ")
    changed = int(wrong["suite.daily"].split()[1])
    assert daily.filter(pl.col("turnover") > 0).height <= changed <= daily.height
    assert "net" in wrong["suite.daily"]
    assert "suite.fractiles" not in wrong, "fractile means are before costs"


def test_a_number_that_was_changed_in_the_lake_is_found(judged: Judged, tmp_path: Path) -> None:
    home = judged.copy(tmp_path)
    key = (SIGNAL, judged.snapshot)
    stored = home.lake.current("suite.results", key)
    assert stored is not None
    rows = home.lake.read("suite.results", [key])
    first = pl.int_range(pl.len()) == 0
    forged = rows.with_columns(pl.when(first).then(9.9).otherwise(pl.col("sharpe_net")).alias("sharpe_net"))
    made: Provenance = stored.provenance
    home.lake.write("suite.results", key, forged, made)
    (run,) = [one for one in _without_tracking(home) if one.run_id == judged.second.run_id]
    (wrong,) = [one for one in verify_run(home, run).compared if not one.equal]
    assert wrong.name == "suite.results"


def _without_tracking(home: Home) -> list[object]:
    """The runs as the lake alone knows them, as in a home that never logged anything."""
    folder = home.lake.table_folder("suite.tracking")
    folder.rename(folder.with_name("untracked"))
    return list(stored_runs(home))


def test_a_run_is_found_by_any_of_its_names(judged: Judged) -> None:
    second = judged.second
    for name in (second.run_id, second.mlflow_run_id, second.run_id[:8], f"{SIGNAL}@{judged.snapshot}"):
        assert find_runs(judged.home, name) == [second]
    with pytest.raises(UnknownRun, match="no suite of this home was made by a run 'abc'"):
        find_runs(judged.home, "abc")
    with pytest.raises(UnknownRun, match=f"did you mean '{SIGNAL}@{judged.snapshot}'"):
        find_runs(judged.home, f"rev6@{judged.snapshot}")


def test_two_suites_side_by_side(judged: Judged) -> None:
    found = compare_suites(judged.home, judged.first, judged.second)
    differ = found.settings.filter(~pl.col("same"))["what"].to_list()
    assert {"run", "preset", "evaluated at"} <= set(differ) <= {"run", "preset", "evaluated at", "verdict"}
    # QUICK has two of STANDARD's variants: the same books, and one variant that it lacks.
    both = found.metrics.drop_nulls()
    assert both["variant"].n_unique() == 2
    assert set(both["difference"]) == {0.0}
    assert found.metrics["variant"].n_unique() == 3
    for equity in found.equity:
        assert (equity.parts_on, equity.only_first, equity.only_second) == (None, 0, 0)
        assert equity.correlation == pytest.approx(1.0)


def test_the_first_session_on_which_two_books_part() -> None:
    days = [date(2020, 1, day) for day in (2, 3, 6, 7)]
    first = pl.DataFrame({"session": days, "net": [0.01, -0.02, 0.03, 0.01]})
    second = pl.DataFrame({"session": days[1:], "net": [-0.02, 0.04, 0.00]})
    found = equity_difference("v", first, second)
    assert (found.common, found.only_first, found.only_second) == (3, 1, 0)
    assert found.parts_on == days[0]
    # Deviations (-8/3, 7/3, 1/3) and (-8/3, 10/3, -2/3) in percent, by hand.
    expected = (64 + 70 - 2) / math.sqrt((64 + 49 + 1) * (64 + 100 + 4))
    assert found.correlation == pytest.approx(expected, abs=1e-12)
    later = equity_difference("v", first, first.with_columns(pl.Series("net", [0.01, -0.02, 0.03, 0.02])))
    assert later.parts_on == days[3]
    assert math.isnan(equity_difference("v", first.head(2), second.head(1)).correlation)
