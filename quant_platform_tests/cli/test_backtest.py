"""``quant backtest`` from files to files; the smoke strategy buys one asset and its stop sells it."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from quant_platform.cli import QUANT
from quant_platform.contracts.errors import PlatformError, SpecError
from quant_platform.engine.decision_table import DecisionsInvalid

SPECS = Path(__file__).resolve().parents[2] / "specs"
HEADER = "ticker,session,open,high,low,close\n"
ROWS = (
    "A,2024-01-02,100,101,99,100\nA,2024-01-03,100,101,99,100\nA,2024-01-04,100,101,96,98\nA,2024-01-05,98,99,97,98\n"
)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUANT_SPECS", str(SPECS))
    monkeypatch.setenv("QUANT_HOME", str(tmp_path / "home"))
    (tmp_path / "bars").mkdir()
    (tmp_path / "bars" / "a.csv").write_text(HEADER + ROWS)
    (tmp_path / "bars" / "b.csv").write_text(HEADER + ROWS.replace("A,", "B,"))
    (tmp_path / "orders.csv").write_text("date,asset,action,stop\n2024-01-02,A,long_entry,0.03\n")
    return tmp_path


def test_decisions_in_trades_and_figures_out(files: Path) -> None:
    out = files / "out"
    answer = CliRunner().invoke(
        QUANT, ["backtest", str(files / "orders.csv"), "--bars", str(files / "bars"), "--output", str(out)]
    )
    assert answer.exit_code == 0, answer.output
    assert "1 closed trades, 2 fills on 2 assets and 4 bars" in answer.output
    trade = pl.read_parquet(out / "trades.parquet").row(0, named=True)
    # A twentieth of a million at 100 is 500 shares, bought at 100.05; the stop stands 3 % below and slips as much.
    assert (trade["asset"], trade["quantity"], trade["exit_reason"]) == ("A", 500.0, "stop")
    assert trade["entry_price"] == pytest.approx(100.05)
    assert trade["exit_price"] == pytest.approx(100.05 * 0.97 * 0.9995)
    equity = pl.read_parquet(out / "equity.parquet")
    assert equity["equity"][3] == pytest.approx(1_000_000 + trade["net_pnl"])
    summary = json.loads((out / "metrics.json").read_text())
    assert summary["metrics"]["trades"] == 1
    assert summary["metrics"]["profit_factor"] == 0.0
    assert summary["strategy"]["costs"]["commission_rate"] == 0.001


def test_a_bad_row_stops_the_run_before_anything_is_written(files: Path) -> None:
    (files / "orders.csv").write_text("date,asset,action\n2024-01-02,ZZ,long_entry\n")
    answer = CliRunner().invoke(
        QUANT, ["backtest", str(files / "orders.csv"), "--bars", str(files / "bars"), "--output", str(files / "out")]
    )
    assert isinstance(answer.exception, DecisionsInvalid)
    assert "asset_unknown in 1 rows" in str(answer.exception)
    assert not (files / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [("nothing.csv", None, "no such file or folder"), ("torn.parquet", b"PAR1xx", "cannot be read")],
)
def test_bars_that_are_not_there_or_torn_are_called_so(
    files: Path, name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        (files / name).write_bytes(content)
    answer = CliRunner().invoke(QUANT, ["backtest", str(files / "orders.csv"), "--bars", str(files / name)])
    assert isinstance(answer.exception, PlatformError)
    assert said in str(answer.exception)


def test_a_strategy_that_decides_needs_no_table(files: Path) -> None:
    (files / "up.yaml").write_text(
        "description: Buys what closed higher.\n"
        "decisions: {kind: signals, long_entry: 'close>=98', long_exit: 'close<98'}\n"
        "costs: {commission_rate: 0.0, half_spread: 0.0}\nunits: whole\n"
        "sizing: {kind: equity_fraction, value: 0.4}\nrisk: {symbol: 0.25}\n"
    )
    given = ["--bars", str(files / "bars"), "--output", str(files / "out")]
    answer = CliRunner().invoke(QUANT, ["backtest", "--config", str(files / "up.yaml"), *given])
    assert answer.exit_code == 0, answer.output
    fills = pl.read_parquet(files / "out" / "fills.parquet")
    assert fills.select("asset", "quantity", "price").rows() == [("A", 2500.0, 100.0), ("B", 2500.0, 100.0)]
    assert "2 weights cut; stopped by no switch" in answer.output
    clips = pl.read_parquet(files / "out" / "clips.parquet")
    assert clips.select("asset", "before", "after").rows() == [("A", 0.4, 0.25), ("B", 0.4, 0.25)]


def test_without_a_table_the_strategy_must_decide(files: Path) -> None:
    answer = CliRunner().invoke(QUANT, ["backtest", "--bars", str(files / "bars"), "--output", str(files / "out")])
    assert isinstance(answer.exception, SpecError)
    assert "nobody decides" in str(answer.exception)
    assert not (files / "out").exists()
