"""A locked holdout is locked in a notebook too: by the name of the signal."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import quant_platform as qp
from quant_platform.pipeline import experiments
from quant_platform_tests.suites import Stored, reversal

STATED = {
    "name": "slow_reversal",
    "signal": "slow",
    "author": "Ada Lovelace",
    "registered_on": "2026-01-05",
    "hypothesis": "Losers of the week come back.",
    "expected_sign": 1,
    "variants": [{"lag": 0, "mincos": 3, "fractile": [20, 80]}],
    "criteria": [{"metric": "sharpe_net", "above": 0.5}],
    "holdout_share": 0.25,
}


def test_nothing_in_a_notebook_sees_the_locked_sessions(
    stored_market: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = stored_market.copy(tmp_path)
    (tmp_path / "stated.yaml").write_text(yaml.safe_dump(STATED), encoding="utf-8")
    registration = experiments.register_experiment(market, tmp_path / "stated.yaml")
    monkeypatch.setenv("QUANT_SPECS", str(market.specs))
    home = qp.open(market.settings.home, market.specs)
    rows = reversal(market.lake.read("clean.equity_bars"))
    config = qp.BacktestConfig(mincos=3, fractile=(20, 80))
    other = qp.run_backtest(rows, config, home, name="other")
    locked = qp.run_backtest(rows, config, home, name="slow")
    assert max(other.daily["session"]) > registration.holdout_from > max(locked.daily["session"])
    # On the sessions that both have seen it is the same book.
    assert locked.daily["net"].to_list() == pytest.approx(other.daily["net"].head(locked.daily.height).to_list())
    judged = qp.run_suite(rows, home, "QUICK", name="slow")
    assert max(judged.frames["suite.daily"]["session"]) < registration.holdout_from
    assert "registered, still locked" in judged.tear_sheet
