"""Frameworks that are not there, crash, hang, refuse or leave nonsense; no framework is needed for it."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest

from quant_platform.labs.parity import environments
from quant_platform.labs.parity.adapters import FrameworkFailed, NotSupportedByFramework, PeerAdapter
from quant_platform.labs.parity.cases import case_named
from quant_platform.labs.parity.environments import FrameworkNotInstalled, FrameworkUnknown
from quant_platform.labs.parity.study import FAILED, NOT_INSTALLED, Outcome, prepare, study

PEERS = environments.PEERS
HEADER = f"import sys, json, pathlib\nsys.path.insert(0, {str(PEERS)!r})\nfolder = pathlib.Path(sys.argv[1])\n"


def traded(script: Path, **more: float):
    prepared = prepare(case_named("gap_through_stop"))
    case = prepared.case
    adapter = PeerAdapter("backtrader", python=Path(sys.executable), script=script, **more)
    return adapter.run_with_signals(
        prepared.bars, prepared.decisions, case.initial_capital, case.commission_rate, case.terms
    )


@pytest.mark.parametrize(
    ("body", "error", "complaint"),
    [
        ("print('before'); raise RuntimeError('boom')", FrameworkFailed, r"ended with 1: RuntimeError: boom"),
        ("import os; os.kill(os.getpid(), 9)", FrameworkFailed, r"ended with -9: it said nothing"),
        ("pass", FrameworkFailed, r"left no result that can be read"),
        ("(folder / 'result.json').write_text('{')", FrameworkFailed, r"left no result that can be read"),
        (
            "import exchange\n(folder / 'decisions.parquet').write_bytes(b'other')\nexchange.main(lambda job: None)",
            FrameworkFailed,
            r"decisions.parquet has the hash \w+, \w+ was stated",
        ),
        (
            "import exchange\ndef run(job): raise exchange.NotSupported('it cannot')\nexchange.main(run)",
            NotSupportedByFramework,
            r"not_supported_by_framework: it cannot",
        ),
    ],
    ids=["crash", "killed", "nothing", "nonsense", "decisions changed", "refused"],
)
def test_a_process_that_goes_wrong_is_one_clear_error(body, error, complaint, tmp_path):
    script = tmp_path / "peer.py"
    script.write_text(HEADER + body)
    with pytest.raises(error, match=complaint):
        traded(script)


def test_a_process_that_hangs_is_stopped(tmp_path):
    script = tmp_path / "peer.py"
    script.write_text("import time; time.sleep(60)")
    with pytest.raises(FrameworkFailed, match=r"did not end within 0\.5 s and was stopped"):
        traded(script, timeout_seconds=0.5)


def test_an_interpreter_that_cannot_be_started_is_named(tmp_path):
    prepared = prepare(case_named("touch"))
    adapter = PeerAdapter("zipline", python=tmp_path / "python")
    with pytest.raises(FrameworkFailed, match="could not be started"):
        adapter.run_with_signals(prepared.bars, prepared.decisions, 1e6, 0.0, prepared.case.terms)


def test_a_framework_without_an_environment_is_an_outcome_and_no_failure(tmp_path, monkeypatch):
    monkeypatch.setenv(environments.FOLDER_VARIABLE, str(tmp_path))
    prepared = prepare(case_named("touch"))
    with pytest.raises(FrameworkNotInstalled, match="quant parity install zipline"):
        environments.require_installed("zipline")
    ours, *others = study(prepared)
    assert ours.outcome == "agrees"
    assert [found.outcome for found in others] == [NOT_INSTALLED] * 3
    assert all(found.explained for found in others)


def test_one_that_fails_is_never_explained():
    from quant_platform.labs.parity.marks import Mark

    for mark in (None, Mark("never", "it cannot")):
        assert not Outcome("touch", "zipline", FAILED, None, None, mark, "boom").explained


def test_a_half_made_environment_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setenv(environments.FOLDER_VARIABLE, str(tmp_path))
    found = environments.environment("vectorbt")
    found.python.parent.mkdir(parents=True)
    found.python.write_text("")
    assert not found.installed
    (found.folder / "complete").write_text("")
    assert environments.environment("vectorbt").installed


def test_an_unknown_framework_is_named_with_those_that_there_are():
    with pytest.raises(FrameworkUnknown, match="one of backtrader, vectorbt, zipline"):
        environments.environment("quantopian")


@pytest.mark.parametrize("framework", environments.FRAMEWORKS)
def test_every_package_of_an_environment_is_pinned_with_a_hash(framework):
    text = environments.lock_file(framework).read_text()
    entries = [entry for entry in text.replace("\\\n", " ").splitlines() if entry.strip()]
    assert entries
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)
    assert (PEERS / f"{framework}_run.py").is_file()


def test_trades_of_fills_are_from_flat_to_flat():
    sys.path.insert(0, str(PEERS))
    try:
        from exchange import trades_of
    finally:
        sys.path.remove(str(PEERS))
    # Long 10 at 100 and 10 at 110, sold 5 at 120; then one order of -25 at 130 turns it to short 10, still open at 90.
    fills = [(1, 0, 10.0, 100.0, 1.0), (2, 0, 10.0, 110.0, 1.0), (3, 0, -5.0, 120.0, 1.0), (4, 0, -25.0, 130.0, 5.0)]
    long, short = trades_of(fills, [90.0])
    assert (long["side"], long["entry_bar"], long["exit_bar"], long["quantity"]) == ("long", 1, 4, 20.0)
    assert long["entry_price"] == 105.0
    assert long["exit_price"] == (5 * 120.0 + 15 * 130.0) / 20.0
    # 15 of the 25 close: 3 of the fee of 5.
    assert long["commission"] == 6.0
    assert long["pnl"] == 600.0 + 1950.0 - 2100.0 - 6.0
    assert (short["side"], short["entry_bar"], short["exit_bar"], short["quantity"]) == ("short", 4, None, 10.0)
    assert short["exit_price"] is None
    assert short["pnl"] == 10 * (130.0 - 90.0) - 2.0


def test_no_module_of_ours_imports_a_framework():
    package = Path(environments.__file__).resolve().parents[2]
    foreign = (
        "import backtrader",
        "import vectorbt",
        "import zipline",
        "from backtrader",
        "from vectorbt",
        "from zipline",
    )
    found = [
        path.name
        for path in package.rglob("*.py")
        if any(line.strip().startswith(foreign) for line in path.read_text().splitlines())
    ]
    # The scripts of `peers`, which are started and never imported.
    scripts = {f"{name}_{kind}.py" for name in environments.FRAMEWORKS for kind in ("run", "defaults")}
    assert set(found) <= scripts
    assert {path.name for path in PEERS.glob("*_*.py")} == scripts


def test_a_result_is_read_in_the_form_that_is_compared(tmp_path):
    script = tmp_path / "peer.py"
    script.write_text(
        HEADER + "import exchange\n"
        "def run(job):\n"
        "    fills = [(2, 0, 100.0, 100.0, 10.0), (4, 0, -100.0, 95.0, 9.5)]\n"
        "    trades = exchange.trades_of(fills, exchange.last_closes(job))\n"
        "    exchange.write(job, '0.1', fills, trades, [1e6] * 8, {'all of it'}, ('pnl',), 0.5)\n"
        "exchange.main(run)\n"
    )
    found = traded(script)
    assert found.trades["pnl"].to_list() == [-519.5]
    assert (found.version, found.by_adapter, found.recomputed, found.seconds) == ("0.1", ("all of it",), ("pnl",), 0.5)
    assert found.equity.height == 8
    assert found.fills.schema["quantity"] == pl.Float64
