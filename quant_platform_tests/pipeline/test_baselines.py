"""Baselines are registered as signals, and the suite of one is not held against itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import SpecError
from quant_platform.pipeline import suite
from quant_platform.pipeline.baselines import submit_baselines
from quant_platform.pipeline.submissions import registered_rows, submission, submit, validate_file
from quant_platform_tests.suites import Stored, reversal


def test_a_baseline_is_registered_and_judged_against_the_others(stored_market: Stored, tmp_path: Path) -> None:
    home = stored_market.copy(tmp_path)
    # Somebody has registered other rows under the name of a baseline.
    path = tmp_path / "mine.csv"
    mine = reversal(home.lake.read("clean.equity_bars"))
    mine.head(1000).write_csv(path)
    submit(home, path, validate_file(home, path), name="reversal_5d")

    found, missing = submit_baselines(home, stored_market.snapshot, ["reversal_5d", "high_52w"])
    assert missing == {}
    said = found["reversal_5d"]
    assert (said.name, said.baseline, said.author) == ("reversal_5d_2", "reversal_5d", "quant_platform")
    assert (found["high_52w"].name, said.region, said.version) == ("high_52w", "US", stored_market.snapshot)
    # The same again is the same registration.
    assert submit_baselines(home, stored_market.snapshot, ["high_52w"])[0]["high_52w"] == found["high_52w"]
    assert submission(home, "reversal_5d_2") == said

    # Its rows are the formula, on members only, to be acted on from the next session.
    rows = registered_rows(home, "reversal_5d_2")[1].good
    bars = home.lake.read("clean.equity_bars").sort("ticker", "session")
    formula = bars.select(
        pl.col("ticker").alias("security_id"),
        pl.col("session").alias("date_sig"),
        # A session without a price is one of the five.
        (1.0 - pl.col("close") / pl.col("close").shift(5).over("ticker")).alias("formula"),
    )
    both = rows.join(formula, on=["security_id", "date_sig"], how="left")
    assert both["formula"].is_finite().all()
    np.testing.assert_allclose(both["signal"].to_numpy(), both["formula"].to_numpy(), atol=1e-12)
    assert (rows["date_avail"] > rows["date_sig"]).all()

    key = ("reversal_5d_2", stored_market.snapshot)
    suite.run_signals(home, [key[0]], run_id="signals", refresh=False, workers=1)
    suite.ask_for(home, key, "QUICK")
    suite.run_suites(home, [key], run_id="judged", refresh=False, workers=1)
    others = home.lake.read("suite.correlations", [key])["baseline"].to_list()
    assert "reversal_5d" not in others
    assert {"momentum_12_1", "high_52w"} <= set(others)
    rules = home.lake.read("suite.verdict", [key])
    assert not rules.filter(pl.col("code") == "baseline_clone")["met"].any()


def test_a_baseline_that_is_not_declared_is_refused_with_the_closest(stored_market: Stored) -> None:
    with pytest.raises(SpecError, match="did you mean 'momentum_12_1'"):
        submit_baselines(stored_market.home, stored_market.snapshot, ["momentum_12"])
