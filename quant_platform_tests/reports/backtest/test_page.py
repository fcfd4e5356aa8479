"""The page of a backtest: its numbers are those of the tables, its SQL gives its figures, and it loads nothing."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import StatisticError
from quant_platform.engine.backtest import run
from quant_platform.engine.config import Costs, EngineConfig, Sizing
from quant_platform.engine.decisions import Orders
from quant_platform.engine.result import BacktestResult
from quant_platform.reports.backtest.page import Subject, _Sheet, render_backtest
from quant_platform.reports.backtest.series import cost_parts, daily, rolling_sharpe
from quant_platform.reports.charts.figures import Figure
from quant_platform_tests.engine import cases
from quant_platform_tests.reports.reading import Node, body_rows, read_html, table_with


def frames_of(result: BacktestResult) -> dict[str, pl.DataFrame]:
    return {name: getattr(result, name) for name in ("equity", "exposures", "trades")}


@pytest.fixture(scope="module")
def result() -> BacktestResult:
    rng = np.random.default_rng(4)
    bars = cases.random_bars(rng, sessions=400, assets=3)
    at = np.sort(rng.integers(0, 395, 60))
    action = rng.choice(["long_entry", "long_exit", "short_entry", "short_exit"], 60)
    orders = Orders.build(at, rng.integers(0, 3, 60), action, stop=0.05)
    config = EngineConfig(
        costs=Costs(0.001, 0.0005, borrow_rate=0.05), sizing=Sizing("equity_fraction", 0.2), initial_cash=1e5
    )
    return run(bars, orders, config)


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject("<b>dip</b>", "Buys dips.", 252.0, 1e5, simulated=True, settings={"units": "whole", "tick": None})


@pytest.fixture(scope="module")
def page(result: BacktestResult, subject: Subject) -> Node:
    return read_html(render_backtest(frames_of(result), asdict(result.metrics), result.counts, subject))


def test_the_page_says_what_the_tables_hold(result: BacktestResult, page: Node) -> None:
    rows = body_rows(table_with(page, "Trades, the largest results first"))
    assert len(rows) == result.trades.height
    largest = result.trades.sort(pl.col("net_pnl").abs(), descending=True)["net_pnl"][0]
    written = [float(str(node.attributes["value"])) for node in rows[0].all("data")]
    assert largest in written
    counted = {row.all("th")[0].text: row.all("data")[0].text for row in body_rows(table_with(page, "Counts"))}
    expected = {name.replace("_", " "): f"{count:,}" for name, count in result.counts.items() if count}
    assert counted == expected
    falls = body_rows(table_with(page, "Deepest drawdowns"))
    assert float(str(falls[0].all("data")[0].attributes["value"])) == -result.metrics.max_drawdown


def test_names_are_text_and_simulated_data_are_called_so(page: Node) -> None:
    assert "<b>dip</b>" in page.said
    assert "SIMULATED" in page.said
    assert len(page.all("figure", "chart")) == 8


def test_every_query_gives_the_rows_of_its_figure(result: BacktestResult, subject: Subject, tmp_path: Path) -> None:
    frames = frames_of(result)
    for name, frame in frames.items():
        frame.write_parquet(tmp_path / f"{name}.parquet")
    drawn: list[Figure] = []
    sheet = _Sheet(frames, asdict(result.metrics), result.counts, subject)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            "quant_platform.reports.backtest.page.figures", lambda items, **_: drawn.extend(items) or "", raising=True
        )
        for part in (sheet.performance, sheet.exposure, sheet.costs, sheet.trades):
            part()
        patched.chdir(tmp_path)
        for figure in drawn:
            found = duckdb.sql(figure.words.sql).pl()
            if figure.words.title == "Parts of the result":
                assert found.height == 1
                continue
            if figure.words.title == "Trades":
                assert sum(row["count"] for row in figure.data) == found.height
                continue
            # Both kinds of exposure are one row of the query.
            sides = 2 if figure.words.title == "Exposure" else 1
            assert sides * found.height == len(figure.data), figure.words.title
            value = found.columns[-1]
            if value in figure.data[0]:
                shown = np.array([row[value] for row in figure.data], dtype=np.float64)
                np.testing.assert_allclose(np.sort(found[value].to_numpy()), np.sort(shown), rtol=1e-9, atol=1e-12)
    assert len(drawn) == 8


def test_days_of_bars_within_days() -> None:
    stamps = [datetime(2024, 1, 2) + timedelta(hours=12 * k) for k in range(4)]
    equity = pl.DataFrame({"stamp": stamps, "equity": [110.0, 99.0, 99.0, 118.8], "drawdown": [0.0, 0.1, 0.1, 0.0]})
    exposures = pl.DataFrame(
        {"stamp": stamps, "gross": [1.0, 0.5, 0.5, 0.2], "net": [1.0, -0.5, 0.5, 0.1], "held": [1, 2, 2, 3]}
    )
    found = daily(equity, exposures, 100.0)
    assert found["session"].to_list() == [date(2024, 1, 2), date(2024, 1, 3)]
    assert found["net"].to_list() == pytest.approx([-0.01, 0.2])
    assert found["drawdown"].to_list() == [-0.1, -0.1]
    assert found["held"].to_list() == [2, 3]


def test_rolling_sharpe_by_hand() -> None:
    days = pl.DataFrame({"session": [date(2024, 1, k) for k in (1, 2, 3, 4)], "net": [0.01, 0.03, 0.02, 0.02]})
    found = rolling_sharpe(days, 3, 252.0)["sharpe"].to_list()
    assert found[:2] == [None, None]
    # Mean 2 %, deviation 1 %; then mean 7/3 %, deviation sqrt(1/3) %.
    assert found[2:] == pytest.approx([2.0 * math.sqrt(252.0), 7.0 / math.sqrt(3.0) * math.sqrt(252.0)])
    with pytest.raises(StatisticError, match="at least 3"):
        rolling_sharpe(days, 2, 252.0)


def test_parts_add_up_to_what_the_account_earned(result: BacktestResult) -> None:
    parts = dict(cost_parts(result.trades, result.totals["interest"]).iter_rows())
    assert parts["net"] == pytest.approx(result.equity["equity"][-1] - 1e5)
    assert parts["commission"] == pytest.approx(-result.totals["commission"])
    assert parts["borrow"] < 0.0


def test_a_run_without_a_trade_has_a_page(subject: Subject) -> None:
    bars = cases.flat_bars()
    empty = run(bars, Orders.build([], [], []), EngineConfig(costs=Costs.zero()))
    page = read_html(render_backtest(frames_of(empty), asdict(empty.metrics), empty.counts, subject))
    assert "nothing was traded" in page.said
    assert "everything went as decided" in page.said
