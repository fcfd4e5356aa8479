"""A planted effect through the whole study: traded, walked forward, promoted; beside it a refused one that is not."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.tables import table
from quant_platform.labs.events.backtest.market import EventMarket
from quant_platform.labs.events.backtest.report import build_report, headline, markdown, report_row
from quant_platform.labs.events.backtest.strategies import choose, why_not
from quant_platform.labs.events.backtest.study import COMPOSITE, STUDY_TABLES, BacktestStudy, Book, Discovered, study
from quant_platform.labs.events.discovery.labels import LabelStore
from quant_platform.lake.validation import validated
from quant_platform.reports.events.backtests import render_backtests
from quant_platform_tests.labs.events.backtest.test_judging import SPEC
from quant_platform_tests.labs.events.discovery.report_frames import judged
from quant_platform_tests.labs.events.discovery.worlds import START, SYMBOLS, event_spec, panel, random_events, specs
from quant_platform_tests.reports.reading import body_rows, read_html, table_with

DAYS, CUTOFF = 60, "2024-02"
SPECS = specs([event_spec("PAYS", params={"bar": 2.0}, condition="close>bar"), event_spec("NOTHING")])


def document(event: str, edge: float, template: str = "continuation") -> str:
    return json.dumps(
        {
            "blueprint_id": f"{event}-{template}", "template": template, "side": 1, "symbols": list(SYMBOLS),
            "rule": {"event_id": event, "state": {}}, "exit": {"horizon_bars": 12},
            "evidence": {"edge_over_cost": edge},
        }
    )  # fmt: skip


def refused(event: str, t: float) -> dict[str, object]:
    return judged(event_id=event, template="mean_reversion", horizon_bars=12, passes=("gate_sample",)) | {
        "t": t, "side": -1, "track": "none", "gates_failed": ["gate_economic"],
    }  # fmt: skip


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    rows = random_events(1, ["PAYS", "NOTHING"], days=DAYS, per_day=3.0)
    return rows.with_columns(funding_bucket=pl.lit("neutral"), trend_state=pl.lit("up"))


@pytest.fixture(scope="module")
def done(events: pl.DataFrame) -> BacktestStudy:
    drift = np.zeros((len(SYMBOLS), DAYS * 288))
    for symbol, bar, direction in events.filter(event_id="PAYS").select("symbol", "bar", "direction").iter_rows():
        at = int((bar - START) / timedelta(minutes=5)) + 1
        drift[SYMBOLS.index(symbol), at : at + 12] += direction * 0.0004
    market = EventMarket(LabelStore(panel(3, days=DAYS, drift=drift), SPECS.discovery), SPECS.discovery)
    deep = np.full((len(SYMBOLS), DAYS * 288), 1e6)
    found = Discovered(
        CUTOFF,
        pl.DataFrame({"document": [document("PAYS", 5.0), document("PAYS", 9.0, "convergence")]}),
        pl.DataFrame([refused("NOTHING", 3.0), refused("NOTHING", 1.0) | {"dimension": "vol_regime", "state": "low"}]),
        pl.DataFrame({"alias_group": ["a", "b"]}),
        events,
    )
    return study(found, market, Book(deep, deep), SPECS, SPEC, lambda event: events.filter(event_id=event.id))


def test_every_table_satisfies_its_schema(done: BacktestStudy) -> None:
    assert set(done.frames) == set(STUDY_TABLES)
    for name, frame in done.frames.items():
        assert validated(table(name), CUTOFF, frame).height == frame.height


def test_the_plant_is_promoted_and_the_refused_cell_is_not(done: BacktestStudy) -> None:
    rows = {row["strategy_id"]: row for row in done.frames["backtest.promotions"].iter_rows(named=True)}
    assert rows["PAYS-continuation"]["promoted"]
    assert rows["PAYS-convergence"]["reasons"] == [why_not(SPECS.templates["convergence"])]
    cell = "REFUSED-NOTHING-mean_reversion-12-ALL"
    assert {name for name in rows if name.startswith("REFUSED")} == {f"{cell}-ALL", f"{cell}-vol_regime=low"}
    for name in (f"{cell}-ALL", f"{cell}-vol_regime=low"):
        assert "discovery refused the cell" in rows[name]["reasons"]
        assert not rows[name]["promoted"]
    assert rows[COMPOSITE]["total_return"] > 0.0


def test_every_fold_finds_the_side_and_its_trades_are_kept(done: BacktestStudy) -> None:
    folds = done.frames["backtest.walk_forward"].filter(strategy_id="PAYS-continuation")
    assert folds["side"].unique().to_list() == [1]
    trades = done.frames["backtest.trades"].filter(strategy_id="PAYS-continuation")
    for scheme in ("anchored", "rolling"):
        own = folds.filter(pl.col("scheme").cast(pl.String) == scheme)
        kept = trades.filter(pl.col("scheme").cast(pl.String) == scheme)
        assert kept.group_by("fold").len().sort("fold")["len"].to_list() == own.sort("fold")["n_test"].to_list()
        assert kept["net_pnl"].sum() == pytest.approx(own["test_pnl"].sum())
        starts = dict(own.select("fold", "test_start").iter_rows())
        assert all(row["entry_bar"] >= starts[row["fold"]] for row in kept.iter_rows(named=True))


def test_the_books_of_all_tables_agree(done: BacktestStudy) -> None:
    whole = done.frames["backtest.trades"].filter(pl.col("scheme").cast(pl.String) == "whole")
    cash = SPECS.discovery.cost.order_usd / SPECS.discovery.sizing.max_weight_per_trade
    for (name,), trades in whole.partition_by("strategy_id", as_dict=True).items():
        daily = done.frames["backtest.strategy_pnl"].filter(strategy_id=name).sort("day")
        assert daily["equity"][-1] - cash == pytest.approx(trades["net_pnl"].sum(), abs=1e-6)
        assert daily["entries"].sum() == trades.height
        fills = done.frames["backtest.fills"].filter(strategy_id=name)
        for part in ("commission", "spread", "impact"):
            assert fills[part].sum() == pytest.approx(trades[part].sum())
        if name != COMPOSITE:
            parts = done.frames["backtest.attribution"].filter(strategy_id=name)
            assert parts.filter(dimension="cost_part")["pnl"].sum() == pytest.approx(trades["net_pnl"].sum())


def test_dearer_costs_earn_less_and_the_same_events_again_earn_the_same(done: BacktestStudy) -> None:
    rows = done.frames["backtest.robustness"].filter(strategy_id="PAYS-continuation")
    net = {(kind, variant): value for kind, variant, value in rows.select("kind", "variant", "net_bps").iter_rows()}
    assert net["base", "as decided"] > net["cost", "times 1.5"] > net["cost", "times 2"]
    # The stand-in for a new detection gives the same events, whatever the threshold.
    assert net["threshold", "times 0.9"] == net["base", "as decided"]
    other = done.frames["backtest.robustness"].filter(pl.col("strategy_id").str.starts_with("REFUSED"))
    assert other.filter(kind="threshold")["not_available"].unique().to_list() == ["the event has no threshold"]
    assert rows.filter(kind="dropped")["n"][0] < rows.filter(kind="base")["n"][0]


def test_the_composite_trades_what_was_granted(done: BacktestStudy) -> None:
    rows = done.frames["backtest.allocation"]
    assert rows["strategy_id"].to_list() == ["PAYS-continuation"]
    assert rows["share"].to_list() == [SPEC.allocation.max_share]
    single = done.frames["backtest.fills"].filter(strategy_id="PAYS-continuation")
    together = done.frames["backtest.fills"].filter(strategy_id=COMPOSITE)
    # Half the capital: the same moments, half the quantities at the start.
    assert together.select("bar", "symbol").head(20).equals(single.select("bar", "symbol").head(20))
    ratio = together["quantity"].head(10).to_numpy() / single["quantity"].head(10).to_numpy()
    np.testing.assert_allclose(ratio, 0.5, rtol=0.01)


def test_the_report_says_it_in_words_and_on_a_page(done: BacktestStudy) -> None:
    report = build_report(done.frames, cutoff=CUTOFF, simulated=True, ontology_hash="0" * 64)
    assert report["headline"].startswith("1 promoted of 1 blueprints and 2 refused cells beside them")
    assert validated(table("backtest.report"), CUTOFF, report_row(report, "a.html", "a.json")).height == 1
    assert "SIMULATED" in markdown(report)
    page = read_html(render_backtests(done.frames, cutoff=CUTOFF, headline=report["headline"], simulated=True))
    assert len(body_rows(table_with(page, "Strategies"))) == done.frames["backtest.promotions"].height
    assert len(page.all("figure", "chart")) == 4
    assert report["headline"] in page.said


def test_without_a_blueprint_the_strongest_refused_cells_are_run_and_marked() -> None:
    none = pl.DataFrame(schema={"document": pl.String})
    rows = pl.DataFrame([refused("NOTHING", float(k)) | {"alias_group": str(k)} for k in range(14)])
    chosen = choose(none, rows, SPECS, SPEC.strategies, SYMBOLS)
    assert [strategy.status for strategy in chosen.run] == ["refused"] * 10
    empty = pl.DataFrame(
        schema={name: column.dtype for name, column in table("backtest.promotions").schema.columns().items()}
    )
    assert headline(empty) == "There was nothing to trade: no blueprint, and no cell that was tested."
    one = pl.DataFrame([{"status": "refused", "was_run": True, "promoted": False}])
    assert headline(one).startswith("No blueprint: the 1 strongest refused cells were traded")
