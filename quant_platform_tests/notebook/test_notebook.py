"""The face in a notebook: what it costs, what it names, and that its numbers are those of the tables."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy import stats

import quant_platform as qp
from quant_platform.contracts.errors import LookAheadFound, SchemaViolation, SettingsError, StatisticError
from quant_platform_tests.reports.reading import read_html
from quant_platform_tests.suites import SIGNAL, Judged

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "notebook.md"
HEAVY = ("polars", "numpy", "pandas", "dagster", "duckdb", "altair", "numba", "streamlit", "mlflow")


@pytest.fixture
def home(judged: Judged) -> qp.Home:
    return qp.open(judged.folder, judged.home.specs)


@pytest.fixture(autouse=True)
def _specs(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANT_HOME", str(judged.folder))
    monkeypatch.setenv("QUANT_SPECS", str(judged.home.specs))


def test_the_public_names_are_these_and_stay() -> None:
    assert set(qp.PUBLIC) == {
        "open",
        "Home",
        "validate_signal",
        "run_backtest",
        "run_suite",
        "information_coefficient",
        "backtest",
        "BacktestConfig",
    }
    assert all(callable(getattr(qp, name)) for name in qp.PUBLIC)
    assert set(qp.PUBLIC) <= set(dir(qp))
    with pytest.raises(AttributeError, match="no attribute 'run_backtests'"):
        _ = qp.run_backtests


def test_the_import_loads_nothing_and_costs_nothing() -> None:
    script = (
        "import os, sys; a = os.times(); import quant_platform as qp; b = os.times();"
        f"print(b.user + b.system - a.user - a.system, *[n for n in {HEAVY!r} if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    seconds, *loaded = done.stdout.split()
    assert loaded == []
    assert float(seconds) < 0.5


def test_a_home_reads_what_the_lake_holds(home: qp.Home, judged: Judged) -> None:
    lake = judged.home.lake
    assert {"clean.equity_bars", "suite.verdict", "suite.tracking"} <= set(home.tables)
    assert_frame_equal(home.table("suite.dates").collect(), lake.read("suite.dates"))
    ticker = str(lake.partitions("clean.equity_bars")[0])
    some = home.prices(ticker, "2019-01-01", date(2019, 1, 31))
    whole = lake.read("clean.equity_bars", [ticker])
    assert_frame_equal(some, whole.filter(pl.col("session").is_between(date(2019, 1, 1), date(2019, 1, 31))))
    mine = pd.DataFrame({"ticker": [ticker]})
    counted = home.sql("select count(*) as n from clean.equity_bars join mine using (ticker)", mine=mine)
    assert counted["n"].to_list() == [whole.height]
    assert home.snapshots == (judged.snapshot,)
    assert home.snapshot().snapshot_id == judged.snapshot
    assert "SIMULATED" in home._repr_html_()


def test_members_of_a_day_are_those_whose_interval_holds_it(home: qp.Home, judged: Judged) -> None:
    securities = judged.home.lake.read("raw.securities")
    ended = securities.drop_nulls("end_date")["end_date"].to_list()
    for day in [date(2018, 1, 2), date(2019, 6, 3), *(d + timedelta(days=k) for d in ended[:2] for k in (0, 1))]:
        expected = sorted(
            row["ticker"]
            for row in securities.iter_rows(named=True)
            if row["start_date"] <= day and (row["end_date"] is None or day <= row["end_date"])
        )
        assert home.universe(day)["ticker"].to_list() == expected
        assert home.universe(day.isoformat()).height == len(expected)


def test_a_home_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no home here"):
        qp.open(tmp_path / "nothing")


def test_one_variant_is_that_of_the_tables_from_polars_and_from_pandas(home: qp.Home, judged: Judged) -> None:
    signal = home.signal(SIGNAL)
    config = qp.BacktestConfig(fractile=(20.0, 80.0), mincos=3)
    stored = judged.home.lake.read("suite.daily", [(SIGNAL, judged.snapshot)])
    expected = stored.filter(pl.col("variant") == config.variant).sort("session")
    for given in (signal, signal.to_pandas()):
        found = qp.run_backtest(given, config, home, name=SIGNAL)
        assert found.config == config
        assert found.check.clean
        assert found.to_frame()["net"].to_numpy() == pytest.approx(expected["net"].to_numpy(), abs=1e-15)
    assert isinstance(found.plot(), alt.LayerChart)
    read = read_html(found._repr_html_())
    assert SIGNAL in read.said
    assert {"slice_kind", "sharpe_net"} <= {node.text for node in read.all("th")}
    with pytest.raises(AttributeError):
        found.result = None  # type: ignore[misc]  # results are frozen


def test_a_suite_is_that_of_the_tables_and_stores_nothing(home: qp.Home, judged: Judged, tmp_path: Path) -> None:
    trials = judged.home.lake.read("suite.trials").height
    found = qp.run_suite(home.signal(SIGNAL), home, name=SIGNAL)
    key = [(SIGNAL, judged.snapshot)]
    assert_frame_equal(found.to_frame(), judged.home.lake.read("suite.results", key))
    assert found.verdict == judged.home.lake.read("suite.verdict", key)["verdict"][0]
    assert judged.home.lake.read("suite.trials").height == trials
    assert isinstance(found.plot(), alt.LayerChart)
    assert found.verdict.upper() in found._repr_html_()
    page = found.save(tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert "not registered" in read_html(page).said


def test_a_signal_that_has_seen_tomorrow_is_stopped_here_too(home: qp.Home) -> None:
    bars = home.prices().filter(pl.col("close").is_finite()).sort("ticker", "session")
    ahead = bars.select(
        pl.col("ticker").alias("security_id"),
        pl.col("session").alias("date_sig"),
        pl.col("session").alias("date_avail"),
        (pl.col("close").shift(-2).over("ticker") / pl.col("close").shift(-1).over("ticker")).alias("signal"),
    )
    with pytest.raises(LookAheadFound):
        qp.run_suite(ahead.drop_nulls(), home, "QUICK", name="peek")


def test_a_broken_frame_is_told_row_by_row(home: qp.Home) -> None:
    good = home.signal(SIGNAL).head(50).drop("avail_hour")
    wrong = good.head(1).with_columns(pl.lit("NOBODY").alias("security_id"))
    found = qp.validate_signal(pl.concat([good, wrong]).to_pandas(), home)
    assert not found.clean
    assert found.rejects["code"].to_list() == ["signal_security_unknown"]
    assert "signal_security_unknown" in found._repr_html_()
    assert found.to_frame().height >= 1
    assert isinstance(found.plot(), alt.LayerChart)
    # Without a home nothing is known about securities, and the dates are still judged.
    assert qp.validate_signal(pl.concat([good, wrong])).clean
    with pytest.raises(SchemaViolation, match="cannot be made of a dict"):
        qp.validate_signal({"security_id": []})


DAYS = [date(2020, 1, day) for day in (2, 3, 6, 7, 8, 9, 10, 13)]


def _small(seed: int, names: int = 6) -> tuple[pl.DataFrame, pl.DataFrame]:
    random = np.random.default_rng(seed)
    grid = [(f"N{k}", day) for day in DAYS for k in range(names)]
    tickers, sessions = [name for name, _ in grid], [day for _, day in grid]
    returns = pl.DataFrame({"ticker": tickers, "session": sessions, "ret": random.normal(0.0, 0.02, len(grid))})
    signal = pl.DataFrame({"security_id": tickers, "date_sig": sessions, "signal": random.normal(size=len(grid))})
    return signal, returns


@pytest.mark.parametrize(("horizon", "entry_lag"), [(1, 1), (3, 1), (2, 2)])
def test_the_coefficient_is_scipys_of_the_returns_after_the_entry(horizon: int, entry_lag: int) -> None:
    signal, returns = _small(3)
    found = qp.information_coefficient(
        signal.to_pandas(), returns, horizon=horizon, entry_lag=entry_lag, min_names=5
    ).to_frame()
    names = sorted(returns["ticker"].unique())
    ret = {(row["ticker"], row["session"]): row["ret"] for row in returns.iter_rows(named=True)}
    value = {(row["security_id"], row["date_sig"]): row["signal"] for row in signal.iter_rows(named=True)}
    for t, day in enumerate(DAYS):
        window = DAYS[t + entry_lag + 1 : t + entry_lag + 1 + horizon]
        ic = found.filter(pl.col("date_sig") == day)["ic"][0]
        if len(window) < horizon:
            assert ic is None
            continue
        earned = [math.prod(1.0 + ret[name, session] for session in window) for name in names]
        expected = stats.spearmanr([value[name, day] for name in names], earned).statistic
        assert ic == pytest.approx(expected, abs=1e-12)


def test_the_coefficient_refuses_what_would_mislead() -> None:
    signal, returns = _small(4)
    with pytest.raises(StatisticError, match="entry_lag was 0"):
        qp.information_coefficient(signal, returns, entry_lag=0)
    with pytest.raises(SchemaViolation, match="stand twice"):
        qp.information_coefficient(pl.concat([signal, signal.head(1)]), returns)
    saturday = signal.with_columns(pl.lit(date(2020, 1, 4)).alias("date_sig")).unique("security_id")
    with pytest.raises(SchemaViolation, match="are not among the sessions"):
        qp.information_coefficient(saturday, returns)
    with pytest.raises(SchemaViolation, match="lacks signal"):
        qp.information_coefficient(signal.drop("signal"), returns)


def test_decisions_are_traded_with_stated_costs(home: qp.Home) -> None:
    ticker = str(home.market.lake.partitions("clean.equity_bars")[0])
    bars = home.prices(ticker).filter(pl.col("close").is_finite())
    days = bars["session"].to_list()
    weights = pd.DataFrame({"asset": [ticker, ticker], "date": [days[10], days[20]], "weight": [0.5, 0.0]})
    found = qp.backtest(weights, bars.to_pandas())
    # Bought at the open after the first decision, sold at the open after the second.
    assert found.trades.height == 1
    assert found.fills["price"].to_list() != []
    trade = found.trades.row(0, named=True)
    opens = bars["open"].to_list()
    assert trade["price_pnl"] == pytest.approx(trade["quantity"] * (opens[21] - opens[11]), rel=1e-9)
    assert isinstance(found.plot(), alt.LayerChart)
    assert "trades" in found._repr_html_()


def test_the_code_of_the_page_runs(judged: Judged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").symlink_to(judged.folder)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) > 6
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["by_sector"]["names"].sum() == names["members"].height > 0
    assert names["coefficient"].n > 100
    assert names["page"].stat().st_size > 10_000
    assert names["suite"].verdict in ("red", "yellow", "green")
    assert names["traded"].trades.height == 1
