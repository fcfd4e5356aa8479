"""A composite is fitted on a snapshot, registered, and judged like any other signal."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import yaml

from quant_platform.contracts.errors import SignalChanged, SpecError
from quant_platform.pipeline import composites, suite
from quant_platform.pipeline.submissions import registered_models, registered_rows, signals_folder, submission
from quant_platform.specification.suite import CompositeSpec
from quant_platform_tests.suites import Stored

SPEC = {
    "name": "pair",
    "description": "of a test",
    "author": "Ada Lovelace",
    "members": [{"signal": "reversal_5d"}, {"signal": "size"}],
    "horizon_sessions": 5,
    "first_train_sessions": 120,
    "fold_sessions": 60,
    "purge_sessions": 2,
    "inner_folds": 3,
    "penalties": [0.1, 1.0, 10.0],
}


def test_a_composite_is_registered_with_its_models_and_judged(stored_market: Stored, tmp_path: Path) -> None:
    home = stored_market.copy(tmp_path)
    made = composites.compose(home, CompositeSpec.model_validate(SPEC), stored_market.snapshot)
    assert (made.said.author, made.said.version) == ("Ada Lovelace", stored_market.snapshot)
    # The same again is the same signal.
    assert composites.compose(home, CompositeSpec.model_validate(SPEC), stored_market.snapshot).said == made.said

    suite.run_signals(home, ["pair"], run_id="signals", refresh=False, workers=1)
    models = home.lake.read("suite.composite", ["pair"])
    sessions = home.lake.read("suite.dates")["session"].sort()
    folds = len(range(120, sessions.len(), 60))
    assert models.height == 2 * folds
    assert models["predict_from"].unique().sort().to_list() == [sessions[120 + 60 * k] for k in range(folds)]
    assert models["train_to"].unique().sort().to_list() == [sessions[120 + 60 * k - 8] for k in range(folds)]
    assert set(models["snapshot_id"]) == {stored_market.snapshot}
    # A value is seen on the session before the fold begins, and none of a fold that abstains is there.
    speaking = models.filter(~pl.col("abstains"))
    rows = registered_rows(home, "pair")[1].good
    assert rows["date_sig"].min() == max(day for day in sessions if day < speaking["predict_from"].min())
    silent = models.filter("abstains")["predict_from"].unique()
    assert not set(silent) & set(rows["date_avail"])

    key = ("pair", stored_market.snapshot)
    suite.ask_for(home, key, "QUICK")
    (done,) = suite.run_suites(home, [key], run_id="judged", refresh=False, workers=1)
    assert done.state == "written"
    assert home.lake.read("suite.verdict", [key])["verdict"][0] in ("red", "yellow", "green")

    path = signals_folder(home) / "pair" / "models.parquet"
    edited = pl.read_parquet(path).with_columns(pl.col("weight") * 2.0)
    edited.write_parquet(path)
    with pytest.raises(SignalChanged, match="is not what was registered"):
        registered_models(home, submission(home, "pair"))


def test_the_shipped_composite_is_found_and_another_is_suggested(stored_market: Stored) -> None:
    assert composites.composite_spec(stored_market.home, "alpha_bundle").members[0].signal == "momentum_12_1"
    with pytest.raises(SpecError, match="did you mean 'alpha_bundle'"):
        composites.composite_spec(stored_market.home, "alpha_bundel")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"members": [{"signal": "size"}, {"signal": "size"}]}, "a member is named twice"),
        ({"members": [{"signal": "pair"}, {"signal": "size"}]}, "or is the composite itself"),
        ({"first_train_sessions": 60, "horizon_sessions": 20}, "too short for its inner folds"),
    ],
)
def test_a_composite_that_cannot_be_fitted_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CompositeSpec.model_validate(yaml.safe_load(yaml.safe_dump({**SPEC, **change})))
