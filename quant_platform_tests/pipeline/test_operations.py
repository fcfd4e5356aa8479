"""The daily and weekly stages over a small stored market, without Dagster."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import FillsInvalid, PartitionMissing, SettingsError
from quant_platform.contracts.tables import table
from quant_platform.lake import Key
from quant_platform.lake.provenance import Provenance
from quant_platform.pipeline import (
    alerts,
    changes,
    cross_section,
    operations_dashboard,
    operations_fills,
    operations_weekly,
    resets,
)
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.operations import DAILY_TABLES, run_daily
from quant_platform.pipeline.operations import SPECS as SPEC_FILES
from quant_platform.specification.settings import Settings
from quant_platform_tests.homes import edit

SPECS = Path(__file__).resolve().parents[2] / "specs"
STAMP = Provenance(asset="test", code_version="0", ontology_hash="0", simulated=True)
# Ten sessions from a Monday on.
SESSIONS = [date(2023, 11, 6) + timedelta(days=k) for k in (0, 1, 2, 3, 4, 7, 8, 9, 10, 11)]
KEYS = [day.isoformat() for day in SESSIONS]
FLAT = (100.0, 101.0, 99.0, 100.0)
# Bought at the second open; the target of 110 is reached in the fifth session.
AAA = [FLAT, FLAT, FLAT, FLAT, (104.0, 111.0, 103.0, 110.0), *[(110.0, 111.0, 109.0, 110.0)] * 5]


def stored_home(folder: Path) -> Home:
    """A home with bars of two names, scans that hold one setup, and no candidates."""
    shutil.copytree(SPECS, folder / "specs")
    home = Home(Settings(home=folder / "home", specs=folder / "specs"))
    for ticker, bars in {"AAA": AAA, "BBB": [FLAT] * 10}.items():
        rows = [
            {
                "ticker": ticker, "session": day, "open": bar[0], "high": bar[1], "low": bar[2], "close": bar[3],
                "volume": 1e6, "close_unadjusted": bar[3], "dollar_volume": 1e6 * bar[3], "adjustment_factor": 1.0,
                "missing_reason": None, "suspect": None,
            }
            for day, bar in zip(SESSIONS, bars, strict=True)
        ]  # fmt: skip
        _write(home, "clean.equity_bars", ticker, rows)
        _write(home, "clean.corporate_actions", ticker, [])
        _write(home, "replay.candidates", ticker, [])
    for key, day in zip(KEYS, SESSIONS, strict=True):
        _write(home, "live.scan", key, [_setup(day)] if day == SESSIONS[0] else [])
    return home


def _setup(day: date) -> dict[str, Any]:
    return {
        "day": day, "ticker": "AAA", "direction": "long", "entry_reference": 100.0, "stop": 95.0, "target": 110.0,
        "target_2": None, "rr": 2.0, "stop_distance_bps": 500.0, "target_probability": 0.33, "expected_value_r": 0.0,
        "confidence": 60.0, "conflict": False, "momentum_percentile": 90.0, "qualified": True, "refusals": [],
    }  # fmt: skip


def _write(home: Home, name: str, key: Key, rows: list[dict[str, Any]]) -> None:
    home.lake.write(name, key, pl.DataFrame(rows, schema=table(name).schema.create_empty().schema), STAMP)


def daily(home: Home, keys: list[str]) -> list[str]:
    return [done.state for done in run_daily(home, keys, run_id="r", refresh=False, workers=1)]


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A stored home with all ten sessions of operations; nobody changes it."""
    home = stored_home(tmp_path_factory.mktemp("traded"))
    assert daily(home, KEYS) == ["written"] * 10
    return home


def copied(home: Home, folder: Path) -> Home:
    shutil.copytree(home.settings.home, folder / "home")
    shutil.copytree(home.specs, folder / "specs")
    return Home(Settings(home=folder / "home", specs=folder / "specs"))


def test_a_setup_becomes_an_order_a_fill_and_a_trade(traded: Home) -> None:
    order = traded.lake.read("ops.orders").row(0, named=True)
    # Half a percent of a million over five a unit: a tenth of equity, a thousand units.
    assert (order["quantity"], order["stop"], order["target"], order["sleeve"]) == (1000.0, 95.0, 110.0, "spec")
    fills = traded.lake.read("ops.executions")
    assert fills["day"].to_list() == [SESSIONS[1], SESSIONS[4]]
    trade = traded.lake.read("ops.trades").row(0, named=True)
    assert (trade["day"], trade["exit_reason"], trade["risk"]) == (SESSIONS[4], "target", 5000.0)
    book = traded.lake.read("ops.book").sort("day")
    assert book["positions"].to_list() == [0, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert book["closed_pnl"][-1] == pytest.approx(trade["net_pnl"])
    assert book["equity"][-1] == pytest.approx(1_000_000 + trade["net_pnl"])


def test_sessions_made_one_by_one_are_those_made_at_once(traded: Home, tmp_path: Path) -> None:
    home = stored_home(tmp_path)
    for key in KEYS[:5]:
        daily(home, [key])
    for name in DAILY_TABLES:
        first = home.lake.read(name)
        assert first.equals(traded.lake.read(name, KEYS[:5]).select(first.columns)), name


def test_a_process_that_dies_between_order_and_fill_loses_nothing(traded: Home, tmp_path: Path) -> None:
    home = stored_home(tmp_path)
    daily(home, KEYS[:1])
    # It died in the second session after its fills and before its orders: the session is made again.
    daily(home, KEYS[:2])
    shutil.rmtree(home.lake.partition_folder("ops.orders", KEYS[1]))
    assert daily(home, KEYS[1:3]) == ["written", "written"]
    assert home.lake.read("ops.executions").equals(traded.lake.read("ops.executions", KEYS[:3]))


def test_recorded_orders_stand_whatever_the_specs_say_later(traded: Home, tmp_path: Path) -> None:
    home = copied(traded, tmp_path)
    edit(home.specs / "operations" / "routing.yaml", lambda spec: spec["setups"].update(trade=False))
    assert daily(home, KEYS) == ["current"] * 10
    # They are those of today's specs from now on: nothing calls them stale.
    versions = [home.lake.current(name, key) for name in DAILY_TABLES for key in KEYS]
    assert {one.provenance.ontology_hash for one in versions if one} == {home.ontology(SPEC_FILES).hash}
    # A session that has none is decided by what is in force.
    shutil.rmtree(home.lake.partition_folder("ops.orders", KEYS[0]))
    assert daily(home, KEYS)[0] == "written"
    assert home.lake.read("ops.orders").is_empty()
    assert home.lake.read("ops.skips", [KEYS[0]])["code"].to_list() == ["switched_off"]


def test_new_costs_are_those_of_new_orders_and_of_no_fill_before_them(traded: Home, tmp_path: Path) -> None:
    home = stored_home(tmp_path)
    _write(home, "live.scan", KEYS[2], [{**_setup(SESSIONS[2]), "ticker": "BBB"}])
    daily(home, KEYS[:2])

    def dearer(spec: dict[str, Any]) -> None:
        spec["costs"].update(half_spread=0.003, impact_coefficient=0.0)
        spec["account"].update(capital=2_000_000)

    edit(home.specs / "operations" / "routing.yaml", dearer)
    # Every session is asked for again, as `quant run --changed` does.
    daily(home, KEYS[:6])
    found, before = home.lake.read("ops.executions"), traded.lake.read("ops.executions")
    assert found.filter(pl.col("ticker") == "AAA").equals(before)
    new = found.filter(pl.col("ticker") == "BBB").row(0, named=True)
    assert new["fill"] == pytest.approx(100.3)
    trade, book = home.lake.read("ops.trades"), home.lake.read("ops.book").sort("day")
    assert trade.equals(traded.lake.read("ops.trades"))
    # What is stored is what the account sums up.
    assert book["closed_pnl"][-1] == pytest.approx(trade["net_pnl"].sum())
    assert daily(home, KEYS[5:6]) == ["current"]


def test_restated_bars_are_filled_again_from_there_on(traded: Home, tmp_path: Path) -> None:
    home = copied(traded, tmp_path)
    bars = home.lake.read("clean.equity_bars", ["AAA"])
    fell = pl.when(pl.col("session") == SESSIONS[1]).then(99.5).otherwise("open")
    home.lake.write("clean.equity_bars", "AAA", bars.with_columns(open=fell), STAMP)
    # The last session alone is asked for.
    assert daily(home, KEYS[-1:]) == ["written"]
    assert home.lake.read("ops.executions")["mid"].to_list() == [99.5, 110.0]
    trade = home.lake.read("ops.trades").row(0, named=True)
    assert trade["net_pnl"] > traded.lake.read("ops.trades")["net_pnl"][0] + 400.0
    assert home.lake.read("ops.book").sort("day")["closed_pnl"].to_list()[4:] == pytest.approx([trade["net_pnl"]] * 6)
    assert home.lake.read("ops.orders").equals(traded.lake.read("ops.orders"))


def test_a_session_that_is_decided_late_is_filled_in_those_after_it(traded: Home, tmp_path: Path) -> None:
    home = stored_home(tmp_path)
    assert daily(home, KEYS[1:5]) == ["written"] * 4
    assert home.lake.read("ops.executions").is_empty()
    assert daily(home, KEYS[:1]) == ["written"]
    for name in ("ops.executions", "ops.trades", "ops.marks", "ops.orders", "ops.book"):
        assert home.lake.read(name).equals(traded.lake.read(name, KEYS[:5])), name


@pytest.mark.parametrize("ends", ["silent", "red"])
def test_each_name_is_traded_as_its_asset_class_says(tmp_path: Path, ends: str) -> None:
    home = stored_home(tmp_path)
    _write(home, "clean.equity_bars", "CCC", home.lake.read("clean.equity_bars", ["BBB"]).with_columns(
        ticker=pl.lit("CCC")).to_dicts())  # fmt: skip
    classes = {"BBB": "FX", "CCC": "RATES"}
    edit(home.specs / "universe" / "simulated.yaml", lambda spec: spec.update(asset_classes=classes))

    def own(spec: dict[str, Any]) -> None:
        spec["asset_classes"]["FX"].update(costs={"half_spread": 0.00005, "impact_coefficient": 0.0})
        spec["costs"].update(impact_coefficient=0.0)
        spec["signals"].update(fractile=0.34)

    edit(home.specs / "operations" / "routing.yaml", own)
    _write(home, "live.scan", KEYS[0], [{**_setup(SESSIONS[0]), "ticker": name} for name in ("AAA", "BBB", "CCC")])
    _judged(home, "2023-11-03", "green", SESSIONS[0] - timedelta(days=3))
    value = {"signal": "mine", "date_sig": SESSIONS[0], "date_avail": SESSIONS[1]}
    values = [value | {"security_id": name, "value": float(k)} for k, name in enumerate(("AAA", "BBB", "CCC"))]
    _write(home, "suite.signals", "mine", values)
    daily(home, KEYS[:2])
    orders = (
        home.lake.read("ops.orders").select("strategy", "ticker", "direction", "asset_class").sort("strategy", "ticker")
    )
    assert orders.rows() == [
        ("mine", "AAA", "short", "US_EQUITY"), ("setups", "AAA", "long", "US_EQUITY"), ("setups", "BBB", "long", "FX"),
    ]  # fmt: skip
    skipped = home.lake.read("ops.skips").select("strategy", "ticker", "code").sort("strategy")
    assert skipped.rows() == [("mine", "CCC", "asset_class"), ("setups", "CCC", "asset_class")]
    paid = {(row["strategy"], row["ticker"]): row["fill"] for row in home.lake.read("ops.executions").to_dicts()}
    assert paid == pytest.approx({("mine", "AAA"): 99.97, ("setups", "AAA"): 100.03, ("setups", "BBB"): 100.005})
    # It has no value since, and what it holds stands; until it is silent for too long, or judged anew.
    assert home.lake.read("ops.orders", [KEYS[1]]).is_empty()
    if ends == "silent":
        edit(home.specs / "operations" / "routing.yaml", lambda spec: spec["signals"].update(silent_sessions=1))
    else:
        _judged(home, "2023-11-07", "red", SESSIONS[1])
    daily(home, KEYS[2:3])
    left = home.lake.read("ops.orders").filter(pl.col("action").cast(pl.String) == "leave")
    assert left.select("day", "strategy", "ticker").rows() == [(SESSIONS[2], "mine", "AAA")]


def _judged(home: Home, snapshot: str, colour: str, seen_to: date) -> None:
    key = {"signal": "mine", "snapshot_id": snapshot}
    verdict = {"rule": 0, "verdict": colour, "reference": "", "code": "", "colour": "red", "text": "", "met": True}
    _write(home, "suite.verdict", ("mine", snapshot), [key | verdict])
    numbers = ("gross", "net", "linear_cost", "impact_cost", "cumret", "drawdown", "turnover", "long", "short")
    counts = {"names_long": 1, "names_short": 1, "variant": "v", "session": seen_to, "regime": "calm"}
    _write(home, "suite.daily", ("mine", snapshot), [key | dict.fromkeys(numbers, 0.0) | counts])


def test_securities_carry_the_class_of_the_universe(
    traded: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copied(traded, tmp_path)
    classes = {"EURUSD": "FX", "GOLD": "COMMODITY"}
    edit(home.specs / "universe" / "simulated.yaml", lambda spec: spec.update(asset_classes=classes))
    stated = pl.DataFrame({"ticker": ["AAA", "EURUSD", "EURUSD", "GOLD"]})
    monkeypatch.setattr(cross_section, "source_of", lambda _: SimpleNamespace(securities=lambda: stated))
    monkeypatch.setattr(cross_section, "tickers_of", lambda _: ["AAA", "EURUSD", "GOLD"])
    found = cross_section.securities(home, [])
    assert found["asset_class"].to_list() == ["US_EQUITY", "FX", "FX", "COMMODITY"]
    before = cross_section.SECURITIES.code_version(home)
    edit(home.specs / "universe" / "simulated.yaml", lambda spec: spec["asset_classes"].update(EURSUD="FX"))
    again = Home(home.settings)
    assert cross_section.SECURITIES.code_version(again) != before
    with pytest.raises(SettingsError, match="does not know: EURSUD"):
        cross_section.securities(again, [])


def test_a_session_that_was_not_scanned_is_an_error(tmp_path: Path) -> None:
    home = stored_home(tmp_path)
    shutil.rmtree(home.lake.partition_folder("live.scan", KEYS[0]))
    with pytest.raises(PartitionMissing, match=r"live\.scan"):
        daily(home, KEYS[:1])


def test_a_kill_switch_stops_orders_until_somebody_resets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = stored_home(tmp_path)
    edit(home.specs / "operations" / "routing.yaml", lambda spec: spec["kill_switches"].update(daily_loss=0.00001))
    _write(home, "live.scan", KEYS[1], [{**_setup(SESSIONS[1]), "ticker": "BBB"}])
    daily(home, KEYS[:2])
    # The costs of the first fill were loss enough.
    assert home.lake.read("ops.book", [KEYS[1]])["halted"].to_list() == [True]
    stopped = home.lake.read("ops.skips", [KEYS[1]]).row(0, named=True)
    assert (stopped["ticker"], stopped["code"]) == ("BBB", "kill_switch")
    assert "daily_loss" in stopped["reason"]
    monkeypatch.setattr(resets, "last_final", lambda _: SESSIONS[1])
    assert resets.reset_switches(home, "Ann") == SESSIONS[1]
    _write(home, "live.scan", KEYS[2], [{**_setup(SESSIONS[2]), "ticker": "BBB"}])
    daily(home, KEYS[2:3])
    assert home.lake.read("ops.orders", [KEYS[2]])["ticker"].to_list() == ["BBB"]
    path = resets.resets_file(home)
    path.write_text(path.read_text(encoding="utf-8") + "nonsense\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"resets\.jsonl:2"):
        daily(home, KEYS[3:4])


def test_imported_fills_are_stored_once_and_stand_beside_those_of_the_venue(traded: Home, tmp_path: Path) -> None:
    home = copied(traded, tmp_path)
    file = tmp_path / "fills.csv"
    head = "fill_id,ticker,side,quantity,price,mid,fees,currency,executed_at\n"
    file.write_text(head + "b1,AAA,buy,100,100.05,100.0,1.0,USD,2023-11-07T15:00:00+00:00\n", encoding="utf-8")
    assert operations_fills.import_fills(home, file).new.height == 1
    again = operations_fills.import_fills(home, file)
    assert (again.new.height, again.known) == (0, 1)
    assert len(list(operations_fills.fills_folder(home).iterdir())) == 1
    found = made_fills(home)
    assert found["law"].to_list() == ["venue", "simulated_venue", "simulated_venue"]
    file.write_text(head + "b1,AAA,buy,100,100.06,100.0,1.0,USD,2023-11-07T15:00:00+00:00\n", encoding="utf-8")
    with pytest.raises(FillsInvalid, match="stored with other content"):
        operations_fills.import_fills(home, file)
    next(operations_fills.fills_folder(home).iterdir()).write_bytes(b"torn")
    with pytest.raises(FillsInvalid, match="damaged"):
        operations_fills.imported(home)


def made_fills(home: Home) -> pl.DataFrame:
    return operations_fills.fills(home, [])


def test_the_weekly_tables_go_by_the_value_that_was_applied(traded: Home, tmp_path: Path) -> None:
    home = copied(traded, tmp_path)
    fills = made_fills(home).lazy()

    def assumed() -> list[float]:
        found = operations_weekly.costs(home, ["2023-11-06"], fills=fills)
        return found.filter(pl.col("measure") == "half_spread")["modelled"].to_list()

    assert assumed() == pytest.approx([3.0])
    file = home.specs / "operations" / "routing.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(changes.edited(text, ["costs", "half_spread"], 0.0006), encoding="utf-8")
    assert assumed() == pytest.approx([6.0])
    own = ["asset_classes", "US_EQUITY", "costs", "half_spread"]
    file.write_text(changes.edited(text, own, 0.00004), encoding="utf-8")
    assert assumed() == pytest.approx([0.4])


def test_liquidity_knows_the_sessions_before_and_no_later_one() -> None:
    closes = 100.0 * np.cumprod(1.0 + np.tile([0.01, -0.01], 15))
    days = [date(2023, 1, 2) + timedelta(days=k) for k in range(30)]
    frame = pl.DataFrame(
        {"ticker": "AAA", "session": days, "close": closes, "close_unadjusted": closes, "dollar_volume": closes * 1e6,
         "missing_reason": None}
    )  # fmt: skip
    found = operations_fills.liquidity(frame.lazy()).collect()
    steps = np.diff(np.log(closes))
    assert found["volatility_daily"][25] == pytest.approx(np.sqrt(np.mean(steps[4:24] ** 2)))
    assert found["volume_daily"][25] == pytest.approx(np.mean(closes[5:25] * 1e6) / closes[25])
    other = frame.with_columns(close=pl.when(pl.col("session") > days[24]).then(999.0).otherwise("close"))
    later = operations_fills.liquidity(other.lazy()).collect()
    assert later["volatility_daily"][:26].equals(found["volatility_daily"][:26])


def test_a_dashboard_says_what_is_there_and_why_the_rest_is_empty(traded: Home, tmp_path: Path) -> None:
    home = copied(traded, tmp_path)
    made = dashboard(home, KEYS[-1])
    assert set(made) == {"dashboard", "executions", "skips", "trades", "open_positions", "costs", "windows", "sleeves",
                         "promotions", "proposals", "growth", "alerts"}  # fmt: skip
    assert all(
        set(one) == {"layout", "output", "day", "simulated", "content", "empty_because"} for one in made.values()
    )
    assert all((one["empty_because"] is None) == bool(one["content"]) for one in made.values())
    assert {one["layout"] for one in made.values()} == {"quant_platform.operations/1"}
    content = made["dashboard"]["content"]
    assert (content["growth"]["closed"], content["growth"]["wanted"]) == (1, 30)
    assert content["growth"]["unknown_core"] == ["SIM001", "SIM002", "SIM003", "SIM004"]
    assert len(content["equity"]) == 10
    assert made["costs"]["empty_because"] == "no venue's fills are known yet: quant fills import"
    folder = operations_dashboard.outputs_folder(home)
    assert json.loads((folder / "trades.json").read_text(encoding="utf-8")) == made["trades"]
    assert json.loads((folder / "history" / f"{KEYS[-1]}.json").read_text(encoding="utf-8")) == made
    # A session of the past writes no files over those of the newest.
    before = (folder / "dashboard.json").stat().st_mtime_ns
    dashboard(home, KEYS[3])
    assert (folder / "dashboard.json").stat().st_mtime_ns == before


def dashboard(home: Home, key: str) -> dict[str, Any]:
    names = ("book", "executions", "skips", "trades", "marks", "orders")
    frames = {name: home.lake.scan(f"ops.{name}") for name in names}
    made = operations_dashboard.dashboards(home, [key], **frames, fills=made_fills(home).lazy())
    home.lake.write("ops.dashboard", key, made.frame, STAMP)
    return {row["output"]: json.loads(row["json"]) for row in made.frame.iter_rows(named=True)}


def test_an_alert_is_told_once_and_a_deaf_webhook_is_said(traded: Home, tmp_path: Path) -> None:
    home = copied(traded, tmp_path)
    book = home.lake.read("ops.book", [KEYS[-1]])
    tripped = book.with_columns(halted=pl.lit(True), switches=pl.lit(["drawdown: 0.3 against 0.2"]))
    home.lake.write("ops.book", KEYS[-1], tripped, STAMP)
    dashboard(home, KEYS[-1])
    found = alerts.alerts_of(home, SESSIONS[-1])
    assert [(one["code"], one["subject"]) for one in found] == [("kill_switch", "drawdown")]
    edit(home.specs / "operations" / "alerts.yaml", lambda spec: spec.update(webhook="https://example.org/hook"))
    sent: list[tuple[str, dict[str, Any]]] = []
    first = alerts.tell(home, KEYS[-1], found, lambda to, body, _: sent.append((to, json.loads(body))))
    assert len(first) == 1
    assert sent[0][0] == "https://example.org/hook"
    assert sent[0][1]["code"] == "kill_switch"
    assert sent[0][1]["simulated"] is True
    assert alerts.tell(home, KEYS[-1], found, lambda *_: pytest.fail("told twice")) == []
    assert len(alerts.alerts_file(home).read_text(encoding="utf-8").splitlines()) == 1

    def deaf(*_: Any) -> None:
        raise ConnectionRefusedError("nobody there")

    lines = alerts.tell(home, "another day", found, deaf)
    assert lines[1] == "the webhook https://example.org/hook did not take it: nobody there"


def test_the_weekly_stages_of_a_home_without_evidence_propose_nothing(traded: Home) -> None:
    weeks = ["2023-11-06", "2023-11-13"]
    scan = traded.lake.scan
    names = ["AAA", "BBB"]
    candidates, trades = scan("replay.candidates"), scan("ops.trades")
    swept = operations_weekly.sweeps(traded, names, candidates=candidates, trades=trades)
    fills = made_fills(traded).lazy()
    costs = operations_weekly.costs(traded, weeks, fills=fills)
    windows = operations_weekly.windows(traded, weeks, fills=fills)
    summary = operations_weekly.summaries(traded, weeks, candidates=candidates, trades=trades)
    moves = operations_weekly.promotions(traded, weeks, candidates=candidates, trades=trades)
    found = operations_weekly.proposals(
        traded, weeks, swept=swept.lazy(), costs=costs.lazy(), windows=windows.lazy(), promotions=moves.lazy(),
        ledger=operations_weekly.trials(traded, names, swept=swept.lazy()).lazy(), trades=trades,
    )  # fmt: skip
    assert swept.is_empty()
    assert found.is_empty()
    # The trade closed on Friday of the first week is known in both.
    executed = summary.filter(pl.col("evidence").cast(pl.String) == "executed", pl.col("ticker") == "AAA")
    assert executed.sort("week")["n"].to_list() == [1, 1]
    assert costs["value"].drop_nulls().is_empty()
    assert set(moves["proposed"]) == {None}
