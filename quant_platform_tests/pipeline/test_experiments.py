"""An experiment from its registration to the one look at its locked holdout, on a small home."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from quant_platform.contracts.errors import ExperimentChanged, ExperimentLate, SpecError, UnknownExperiment
from quant_platform.lake.manifest import load
from quant_platform.pipeline import experiments
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.submissions import submit, validate_file
from quant_platform.pipeline.suite import ask_for, run_signals, run_suites, tear_sheet_path
from quant_platform.pipeline.suite_evaluation import stored_looks
from quant_platform.pipeline.suite_snapshots import snapshots_folder
from quant_platform.pipeline.verification import SuiteRun, stored_runs, verify_run
from quant_platform_tests.suites import AUTHOR, SIGNAL, Stored, reversal

SHARE = 0.25
VARIANT = {"lag": 0, "mincos": 3, "fractile": [20, 80]}
NAME = "lag0_residoff_fractile20to80_mincos3"
OTHER = "rev5_slow"


@pytest.fixture(scope="module")
def stored(stored_market: Stored, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """A home in which one signal was judged on all sessions, without a registration."""
    folder = tmp_path_factory.mktemp("judged")
    made = Stored(stored_market.copy(folder), stored_market.snapshot)
    path = folder / "rev5.csv"
    reversal(made.home.lake.read("clean.equity_bars")).write_csv(path)
    submit(made.home, path, validate_file(made.home, path), name=SIGNAL, author=AUTHOR)
    ask_for(made.home, (SIGNAL, made.snapshot), "QUICK")
    run(made.home, (SIGNAL, made.snapshot), "unregistered-run")
    return made


def statement(folder: Path, **changes: Any) -> Path:
    stated = {
        "name": "slow_reversal",
        "signal": OTHER,
        "author": "Ada Lovelace",
        "registered_on": "2026-01-05",
        "hypothesis": "Losers of the week come back.",
        "expected_sign": 1,
        "variants": [VARIANT],
        "criteria": [{"metric": "sharpe_gross", "above": -50.0}, {"metric": "ic_mean", "above": -1.0}],
        "holdout_share": SHARE,
    }
    path = folder / f"{changes.get('name', 'slow_reversal')}.yaml"
    path.write_text(yaml.safe_dump({**stated, **changes}), encoding="utf-8")
    return path


def submitted(home: Home, folder: Path, name: str) -> None:
    """Another reversal, of yesterday: its rows are not those that were judged."""
    rows = reversal(home.lake.read("clean.equity_bars")).sort("security_id", "date_sig")
    later = rows.with_columns(pl.col("signal").shift(1).over("security_id")).drop_nulls()
    later.write_csv(folder / f"{name}.csv")
    submit(home, folder / f"{name}.csv", validate_file(home, folder / f"{name}.csv"), name=name, author="Ada Lovelace")


def run(home: Home, key: tuple[str, str], run_id: str) -> SuiteRun:
    run_signals(home, [key[0]], run_id=run_id, refresh=False, workers=1)
    (done,) = run_suites(home, [key], run_id=run_id, refresh=False, workers=1)
    assert done.state == "written"
    (found,) = [one for one in stored_runs(home) if one.run_id == run_id]
    return found


def test_what_was_judged_cannot_be_stated_beforehand(stored: Stored, tmp_path: Path) -> None:
    home = stored.copy(tmp_path)
    with pytest.raises(ExperimentLate, match=rf"(?s)'{SIGNAL}' was judged on sessions.*1 looks.*looked_by=Ada"):
        experiments.register_experiment(home, statement(tmp_path, signal=SIGNAL))
    # The same rows under another name were judged all the same.
    rows = reversal(home.lake.read("clean.equity_bars"))
    rows.write_csv(tmp_path / "renamed.csv")
    submit(home, tmp_path / "renamed.csv", validate_file(home, tmp_path / "renamed.csv"), name=OTHER)
    with pytest.raises(ExperimentLate, match="1 looks"):
        experiments.register_experiment(home, statement(tmp_path))
    assert experiments.registrations(home) == []


def test_a_text_is_frozen_and_a_changed_one_is_another_experiment(stored: Stored, tmp_path: Path) -> None:
    home = stored.copy(tmp_path)
    path = statement(tmp_path)
    made = experiments.register_experiment(home, path, registered_by="Grace Hopper")
    assert (made.registered_by, made.number, made.opening) == ("Grace Hopper", 1, None)
    assert experiments.register_experiment(home, path) == made
    with pytest.raises(ExperimentChanged, match="was registered before and says something else now"):
        experiments.register_experiment(home, statement(tmp_path, expected_sign=-1))
    second = experiments.register_experiment(home, statement(tmp_path, name="second_thought", expected_sign=-1))
    assert experiments.registration_of(home, OTHER) == second
    assert second.number == 2
    # Locked is the last quarter of the sessions, counted by hand.
    sessions = home.lake.read("suite.dates")["session"].sort()
    assert made.holdout_from == sessions[sessions.len() - round(SHARE * sessions.len())]

    record = experiments.experiments_folder(home) / "slow_reversal" / "registration.json"
    edited = json.loads(record.read_text())
    edited["experiment"]["criteria"][0]["above"] = -99.0
    record.write_text(json.dumps(edited))
    with pytest.raises(ExperimentChanged, match="is not what was written"):
        experiments.registrations(home)


def test_the_holdout_is_locked_until_it_is_opened_once(stored: Stored, tmp_path: Path) -> None:
    home = stored.copy(tmp_path)
    key = (OTHER, stored.snapshot)
    snapshot = load(snapshots_folder(home), stored.snapshot)
    submitted(home, tmp_path, OTHER)
    with pytest.raises(UnknownExperiment, match="register it before you judge"):
        experiments.open_holdout(home, OTHER, snapshot, opened_by="Grace Hopper")
    registration = experiments.register_experiment(home, statement(tmp_path))
    ask_for(home, key, "QUICK")

    locked = run(home, key, "locked-run")
    daily = home.lake.read("suite.daily", [key])
    assert max(daily["session"]) < registration.holdout_from
    whole = home.lake.read("suite.dates")["session"].sort()
    assert max(daily["session"]) == max(day for day in whole if day < registration.holdout_from)
    assert set(home.lake.read("suite.verdict", [key])["registration"]) == {"registered, still locked"}
    asked = home.lake.read("suite.experiments", [key])
    assert (asked.height, asked["value"].null_count(), asked["met"].null_count()) == (2, 2, 2)
    # The look is that of the other signal; this one has not seen the holdout.
    before = stored_looks(home, key, experiments.registration_of(home, OTHER))
    assert (before.count, before.signals, before.people) == (1, 1, 1)
    assert "registered, still locked" in tear_sheet_path(home, key).read_text(encoding="utf-8")

    experiments.open_holdout(home, OTHER, snapshot, opened_by="Grace  Hopper")
    experiments.open_holdout(home, OTHER, snapshot, opened_by="Grace Hopper")
    with pytest.raises(ExperimentChanged, match=r"(?s)opened before.*by Grace Hopper"):
        experiments.open_holdout(home, OTHER, snapshot, opened_by="Ada Lovelace")
    opened = run(home, key, "opened-run")
    made = home.lake.read("suite.experiments", [key])
    assert set(made["state"]) == {"registered, met on the locked holdout"}
    assert (made["opened_by"][0], made["registrations"][0]) == ("Grace Hopper", 1)
    # By hand, from the daily rows of the locked sessions alone.
    held = home.lake.read("suite.daily", [key]).filter(
        (pl.col("variant") == NAME) & (pl.col("session") >= registration.holdout_from)
    )
    gross = held["gross"].to_numpy()
    stated = dict(made.select("metric", "value").iter_rows())
    assert stated["sharpe_gross"] == pytest.approx(np.mean(gross) / np.std(gross, ddof=1) * math.sqrt(252), rel=1e-10)
    assert stated["ic_mean"] == pytest.approx(held.sort("session")["ic"][:-1].mean(), abs=1e-12)
    looks = home.lake.read("suite.looks", [key]).sort("looked_at")
    assert looks["looked_by"].to_list() == ["Ada Lovelace", "Grace Hopper"]
    assert looks["date_to"].to_list() == [max(daily["session"]), whole[-1]]
    after = stored_looks(home, key, experiments.registration_of(home, OTHER))
    assert (after.count, after.signals, after.people) == (2, 2, 2)
    page = tear_sheet_path(home, key).read_text(encoding="utf-8")
    for said in ("registered, met on the locked holdout", after.sentence, "Losers of the week come back."):
        assert said in page

    # Both can be computed again as they were, the locked one without its holdout.
    for one in (locked, opened):
        again = verify_run(home, one)
        assert [made for made in again.compared if not made.equal] == []
    with pytest.raises(ExperimentLate, match="1 opened experiments"):
        experiments.register_experiment(home, statement(tmp_path, name="third"))


def test_nothing_of_the_locked_sessions_reaches_a_locked_suite(stored: Stored, tmp_path: Path) -> None:
    """Rows of the signal after the lock turned round: every number stays."""
    home = stored.copy(tmp_path)
    submitted(home, tmp_path, OTHER)
    registration = experiments.register_experiment(home, statement(tmp_path))
    rows = pl.read_csv(tmp_path / f"{OTHER}.csv", try_parse_dates=True)
    late = pl.col("date_sig") >= registration.holdout_from
    changed = rows.with_columns(pl.when(late).then(-pl.col("signal")).otherwise(pl.col("signal")).alias("signal"))
    assert changed.filter(late).height > 0
    changed.write_csv(tmp_path / "turned.csv")
    submit(home, tmp_path / "turned.csv", validate_file(home, tmp_path / "turned.csv"), name="turned")
    experiments.register_experiment(home, statement(tmp_path, name="turned_round", signal="turned"))
    keys = [(OTHER, stored.snapshot), ("turned", stored.snapshot)]
    for key in keys:
        ask_for(home, key, "QUICK")
        run(home, key, f"run of {key[0]}")
    for name in ("suite.results", "suite.daily", "suite.diagnostics", "suite.correlations"):
        first, second = (home.lake.read(name, [key]).drop("signal") for key in keys)
        # Confidence by bootstrap is seeded by the name of the signal.
        kept = ~pl.col("measure").str.starts_with("monotonicity") if name == "suite.diagnostics" else pl.lit(True)
        assert first.filter(kept).equals(second.filter(kept)), name


def test_a_statement_that_says_something_twice_is_refused(stored: Stored, tmp_path: Path) -> None:
    twice = statement(tmp_path, variants=[VARIANT, VARIANT])
    with pytest.raises(SpecError, match="stated twice"):
        experiments.register_experiment(stored.home, twice)
