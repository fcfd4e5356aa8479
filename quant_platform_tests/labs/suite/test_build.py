from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.contracts.tables import table
from quant_platform.labs.suite.api import run_backtest, suite_specs
from quant_platform.labs.suite.build import (
    baseline_signals,
    build_panel,
    contract_rows,
)
from quant_platform.labs.suite.contract import validate
from quant_platform.labs.suite.derived import standardise
from quant_platform.labs.suite.frames import (
    dates_frame,
    exposures_frame,
    panel_of_frames,
    rejects_frame,
    returns_frame,
    signal_frame,
)
from quant_platform.labs.suite.panel import Panel, SignalPanel
from quant_platform.labs.suite.published import MarketTables, published
from quant_platform.lake import DataCatalog, Lake, Provenance, snapshots
from quant_platform.market.calendar import session_array
from quant_platform.sources.simulated import SimulatedSource
from quant_platform.specification.loading import load_spec
from quant_platform.specification.suite import BacktestConfig, BaselinesFile, load_suite
from quant_platform_tests.labs.suite.simulated import INDUSTRIES, SPECS, clean_tables, source_spec

SUITE = load_suite(SPECS)
FILE = load_spec(SPECS / "suite" / "baselines.yaml", BaselinesFile)


@cache
def market() -> tuple[SimulatedSource, MarketTables, Panel]:
    source = SimulatedSource(source_spec(names=40, years=3, vendor_errors=()))
    tables = clean_tables(source)
    made = build_panel(
        tables, SUITE.suite, exchange="XNYS", universe="simulated", snapshot_id="2026-01-01-SIM-v1", simulated=True
    )
    return source, tables, made


@cache
def baselines() -> dict[str, SignalPanel]:
    _, tables, panel = market()
    signals, missing = baseline_signals(tables, panel, SUITE.suite, FILE)
    assert not missing
    return {signal.name: signal for signal in signals}


def test_returns_are_those_the_market_made():
    """The simulator's own total returns, dividends and splits included, before any price was rounded."""
    source, _, panel = market()
    truth = source.market.total_return
    seen = 0
    for k, name in enumerate(panel.tickers):
        rows = truth.filter(pl.col("ticker") == name).sort("session")
        places = np.searchsorted(panel.sessions, rows["session"].to_numpy().astype("datetime64[D]"))
        np.testing.assert_allclose(panel.returns[places[1:], k], rows["total_return"].to_numpy()[1:], atol=2e-4)
        seen += rows.height - 1
    delisted = np.flatnonzero(panel.last < panel.shape[0])
    actions = pl.concat([source.actions(name) for name in panel.tickers]).filter(pl.col("kind") == "delisting")
    values = dict(actions.select("ticker", "value").iter_rows())
    for k in delisted:
        if panel.last[k] + 1 < panel.shape[0]:
            assert panel.returns[panel.last[k] + 1, k] == values[panel.tickers[k]]
    paid = sum(1 for k in delisted if panel.last[k] + 1 < panel.shape[0])
    assert np.isfinite(panel.returns).sum() == seen + paid


def test_what_nobody_says_of_a_delisting_is_missing_and_stays_so_in_the_tables():
    _, tables, panel = market()
    ended = [panel.tickers[k] for k in np.flatnonzero(panel.last < panel.shape[0] - 20)]
    assert len(ended) >= 2
    kept = pl.col("ticker").ne(ended[0]) | pl.col("kind").ne("delisting")
    unsaid = pl.when(pl.col("ticker").eq(ended[1]) & pl.col("kind").eq("delisting")).then(None).otherwise("value")
    actions = tables.actions.filter(kept).with_columns(value=unsaid)
    found = build_panel(replace(tables, actions=actions), SUITE.suite, exchange="XNYS", universe="simulated")
    rows = {name: (found.last[k] + 1, k) for k, name in enumerate(found.tickers)}
    assert found.ends == (panel.ends[0], 2)
    assert panel.ends[1] == 0
    again = panel_of_frames(
        returns_frame(found), exposures_frame(found), dates_frame(found), SUITE.suite, snapshot_id="", simulated=True
    )
    for made in (found, again):
        for name in ended[:2]:
            assert np.isnan(made.returns[rows[name]])
        np.testing.assert_array_equal(np.isfinite(made.returns).sum(), np.isfinite(panel.returns).sum() - 2)
        np.testing.assert_array_equal(made.last, panel.last)


def test_every_name_has_an_industry_and_a_cap_and_industries_move_together():
    _, _, panel = market()
    assert panel.industries == INDUSTRIES
    assert panel.not_available == {}
    inside = panel.universe
    assert (panel.industry[inside] >= 0).all()
    assert np.isfinite(panel.market_cap[inside]).mean() > 0.99
    shares = np.bincount(panel.cap_bucket[inside], minlength=4) / inside.sum()
    np.testing.assert_allclose(shares[1:], [0.5, 0.3, 0.2], atol=0.03)
    code = np.array([panel.industry[panel.universe[:, k], k][0] for k in range(40)])
    market_return = panel.market_return()
    rest = np.where(np.isfinite(panel.returns), panel.returns - market_return[:, None], 0.0)
    found = np.corrcoef(rest.T)
    same = (code[:, None] == code[None, :]) & ~np.eye(40, dtype=bool)
    assert found[same].mean() > found[~same & ~np.eye(40, dtype=bool)].mean() + 0.04


def test_market_cap_passes_through_splits():
    """Price times shares moves by the total return less dividends, also over a split; never by its ratio."""
    source, _, panel = market()
    splits = pl.concat([source.actions(name) for name in panel.tickers]).filter(pl.col("kind") == "split")
    assert splits.height > 0
    for ticker, day in splits.select("ticker", "ex_date").iter_rows():
        k, t = panel.tickers.index(ticker), int(np.searchsorted(panel.sessions, np.datetime64(day)))
        change = panel.market_cap[t, k] / panel.market_cap[t - 1, k] - 1.0
        assert change == pytest.approx(panel.returns[t, k], abs=0.01)


def test_published_values_are_those_known_at_the_close_and_restated_for_splits():
    days = session_array("XNYS", date(2024, 1, 2), date(2024, 3, 28))
    n = len(days)
    split = 30
    unadjusted = np.where(np.arange(n) < split, 100.0, 50.0)
    bars = pl.DataFrame(
        {
            "ticker": ["A"] * n,
            "session": days,
            **{name: [50.0] * n for name in ("open", "high", "low")},
            "close": [50.0] * n,
            "volume": [2000.0] * n,
            "close_unadjusted": unadjusted,
            "dollar_volume": [100_000.0] * n,
        }
    )
    known = datetime(2024, 1, 16, 21, tzinfo=UTC)
    late = datetime(2024, 1, 17, 23, tzinfo=UTC)
    facts = pl.DataFrame(
        {
            "ticker": ["A", "A"],
            "metric": ["book_value_per_share", "shares_outstanding"],
            "known_at": [known, late],
            "value": [40.0, 1000.0],
        }
    )
    nothing = pl.DataFrame(schema={"ticker": pl.String, "kind": pl.String, "value": pl.Float64})
    found = published(MarketTables(bars, nothing, facts, pl.DataFrame()), "XNYS", 60)
    book, cap = found["book_value_per_share"].to_list(), found["market_cap"].to_list()
    first = int(np.searchsorted(days, np.datetime64("2024-01-16")))
    # Known at 21:00 UTC, the close of 16:00 in New York; the shares were published after the close of the 17th.
    assert book[:first] == [None] * first
    assert book[first] == pytest.approx(40.0)
    assert cap[first + 1] is None
    assert cap[first + 2] == pytest.approx(1000.0 * 100.0)
    # After two for one a share has half the book value, and the company the same market cap.
    assert book[split] == pytest.approx(20.0)
    assert cap[split] == pytest.approx(2000.0 * 50.0)
    aged = int(np.searchsorted(days, np.datetime64("2024-03-18")))
    assert book[aged] is None


def test_values_stated_beside_another_price_are_put_on_the_prices_of_the_bars():
    """The bars were adjusted backwards for a seven for one that came later: 60 here is 420 where the book is stated."""
    days = session_array("XNYS", date(2024, 1, 2), date(2024, 3, 28))
    n = len(days)
    close = np.linspace(60.0, 70.0, n)
    bars = pl.DataFrame(
        {
            "ticker": ["A"] * n,
            "session": days,
            **dict.fromkeys(("open", "high", "low", "close", "close_unadjusted"), close),
            "volume": [2000.0] * n,
            "dollar_volume": 2000.0 * close,
        }
    )
    known, later = datetime(2024, 1, 16, 22, tzinfo=UTC), datetime(2024, 2, 15, 22, tzinfo=UTC)
    facts = pl.DataFrame(
        {
            "ticker": ["A"] * 6,
            "metric": ["book_value_per_share", "price", "market_capitalisation"] * 2,
            "known_at": [known] * 3 + [later] * 3,
            "value": [140.0, 420.0, 4.2e9, 140.0, None, 5.0e9],
        }
    )
    nothing = pl.DataFrame(schema={"ticker": pl.String, "kind": pl.String, "value": pl.Float64})
    found = published(MarketTables(bars, nothing, facts, pl.DataFrame()), "XNYS", 60)
    first = int(np.searchsorted(days, np.datetime64("2024-01-17")))
    again = int(np.searchsorted(days, np.datetime64("2024-02-16")))
    book, cap = found["book_value_per_share"].to_list(), found["market_cap"].to_list()
    assert book[first - 1] is None
    # A third of the price then, whatever a share is; from there on the ratio moves with the price alone.
    assert book[first] == pytest.approx(close[first - 1] / 3.0)
    assert cap[first - 1] is None
    assert cap[first + 5] == pytest.approx(4.2e9 * close[first + 5] / close[first - 1])
    # A book value beside an unknown price is of unknown shares; a cap has none.
    assert book[again] is None
    assert cap[again] == pytest.approx(5.0e9 * close[again] / close[again - 1])


def test_baselines_are_their_formulas():
    _, tables, panel = market()
    found = baselines()
    name = panel.tickers[3]
    k = 3
    bars = tables.bars.filter(pl.col("ticker") == name).sort("session")
    close, raw = bars["close"].to_numpy(), bars["close_unadjusted"].to_numpy()
    first = int(np.searchsorted(panel.sessions, bars["session"].to_numpy().astype("datetime64[D]")[0]))
    t = 400
    value = {signal: found[signal].by_date[first + t, k] for signal in found}
    assert value["reversal_5d"] == pytest.approx(-(close[t] / close[t - 5] - 1), rel=1e-12)
    assert value["momentum_12_1"] == pytest.approx(close[t - 21] / close[t - 252] - 1, rel=1e-12)
    logs = np.diff(np.log(close[t - 126 : t + 1]))
    assert value["low_volatility"] == pytest.approx(-logs.std(ddof=1), rel=1e-9)
    assert value["high_52w"] == pytest.approx(close[t] / close[t - 251 : t + 1].max(), rel=1e-12)
    assert value["size"] == pytest.approx(-np.log(panel.market_cap[first + t, k]), rel=1e-12)
    known = published(tables, "XNYS", SUITE.suite.history.fundamentals_max_age_days)
    book = known.filter(pl.col("ticker") == name).sort("session")["book_value_per_share"][t]
    assert value["value"] == pytest.approx(book / raw[t], rel=1e-12)


def test_exposures_are_standardised_over_the_universe():
    _, _, panel = market()
    assert set(panel.exposures) == {"beta", "size", "value", "momentum", "volatility", "liquidity"}
    row = panel.exposures["size"][500]
    kept = row[np.isfinite(row)]
    assert abs(kept.mean()) < 0.1
    assert np.abs(kept).max() <= 3.0
    made = standardise(np.array([[1.0, 2.0, 3.0, 99.0]]), np.array([[True, True, True, False]]))
    np.testing.assert_allclose(made[0, :3], [-1.22474487, 0.0, 1.22474487], atol=1e-8)
    assert np.isnan(made[0, 3])


def test_nothing_after_a_session_changes_what_stands_on_it():
    """Bars, fundamentals and actions after the cut are thrown away; everything up to it stays."""
    _, tables, panel = market()
    cut = 500
    day = panel.sessions[cut].item()
    stamp = pl.lit(datetime(day.year, day.month, day.day, 23, 59, tzinfo=UTC))
    earlier = MarketTables(
        bars=tables.bars.filter(pl.col("session") <= day),
        actions=tables.actions.filter(pl.col("ex_date") < day),
        fundamentals=tables.fundamentals.filter(pl.col("known_at") <= stamp),
        securities=tables.securities,
    )
    made = build_panel(earlier, SUITE.suite, exchange="XNYS", universe="simulated")
    columns = [panel.tickers.index(name) for name in made.tickers]
    rows = slice(0, cut + 1)
    for name in ("returns", "open_returns", "adv", "volatility", "market_cap"):
        before, after = getattr(panel, name)[rows][:, columns], getattr(made, name)
        np.testing.assert_allclose(
            np.where(made.priced, after, 0), np.where(made.priced, before, 0), rtol=1e-9, atol=1e-12
        )
    for name, values in made.exposures.items():
        np.testing.assert_allclose(values, panel.exposures[name][rows][:, columns], atol=1e-7)
    np.testing.assert_array_equal(made.cap_bucket, panel.cap_bucket[rows][:, columns])
    signals, _ = baseline_signals(earlier, made, SUITE.suite, FILE)
    for signal in signals:
        np.testing.assert_allclose(signal.by_date, baselines()[signal.name].by_date[rows][:, columns], rtol=1e-9)


def test_the_panel_survives_its_tables():
    _, _, panel = market()
    frames = {
        "suite.returns": returns_frame(panel),
        "suite.exposures": exposures_frame(panel),
        "suite.dates": dates_frame(panel),
    }
    for name, frame in frames.items():
        table(name).schema.validate(frame)
    again = panel_of_frames(*frames.values(), SUITE.suite, snapshot_id=panel.snapshot_id, simulated=True)
    assert (again.tickers, again.industries, again.cap_buckets) == (panel.tickers, panel.industries, panel.cap_buckets)
    for name in ("returns", "open_returns", "intraday", "adv", "volatility", "market_cap"):
        np.testing.assert_array_equal(getattr(again, name), getattr(panel, name))
    for name in ("priced", "universe", "last", "cap_bucket", "industry", "sessions"):
        np.testing.assert_array_equal(getattr(again, name), getattr(panel, name))
    for name in panel.exposures:
        np.testing.assert_array_equal(again.exposures[name], panel.exposures[name])
    with pytest.raises(SchemaViolation, match="two snapshots were mixed"):
        panel_of_frames(
            frames["suite.returns"],
            frames["suite.exposures"],
            frames["suite.dates"].head(100),
            SUITE.suite,
            snapshot_id="",
            simulated=True,
        )


def test_from_a_snapshot_to_a_result_and_the_names_users_know(tmp_path: Path):
    _, _, panel = market()
    lake = Lake(tmp_path / "lake")
    provenance = Provenance(asset="test", run_id="run", code_version="1", ontology_hash="1", simulated=True)
    frames = {"suite.returns": returns_frame(panel), "suite.exposures": exposures_frame(panel)}
    for name, frame in frames.items():
        for (year,), part in frame.partition_by("year", as_dict=True).items():
            lake.write(name, str(year), part, provenance)
    lake.write("suite.dates", None, dates_frame(panel), provenance)
    made = snapshots.create(lake, tmp_path / "snapshots", "SIM")
    catalog = DataCatalog(made.snapshot_id, "SIM", tmp_path)
    assert catalog.get_retfile().height == frames["suite.returns"].height
    assert catalog.get_retfile("2019")["session"].dt.year().unique().to_list() == [2019]
    assert catalog.get_otherfile().columns == list(table("suite.exposures").schema.column_names())
    assert catalog.get_datefile()["session"].to_list() == panel.sessions.tolist()
    manifest = catalog.get_manifest()
    assert manifest["snapshot_id"] == made.snapshot_id
    assert manifest["tables"]["suite.returns"]["securities"] == 40
    signal = baselines()["momentum_12_1"]
    config = BacktestConfig(mincos=3)
    rows = contract_rows(signal, panel)
    clock = panel.clock
    checked = validate(rows, clock, panel.tickers, contract=SUITE.contract, today=date(2026, 1, 1))
    assert checked.clean
    table("suite.signals").schema.validate(signal_frame("momentum_12_1", checked))
    assert rejects_frame("momentum_12_1", checked).height == 0
    found = run_backtest(checked, config, catalog, specs=SUITE)
    alone = run_backtest(signal, config, panel, specs=suite_specs(SPECS))
    np.testing.assert_array_equal(found.book.net, alone.book.net)
    assert found.snapshot_id == made.snapshot_id
    assert found.simulated
    with pytest.raises(ValueError, match="the frame lacks date_avail"):
        run_backtest(rows.drop("date_avail"), config, panel, specs=SUITE)


def test_without_sectors_and_shares_the_panel_says_so():
    _, tables, _ = market()
    bare = replace(
        tables,
        securities=tables.securities.with_columns(sector=pl.lit(None, dtype=pl.String)),
        fundamentals=tables.fundamentals.clear(),
    )
    made = build_panel(bare, SUITE.suite, exchange="XNYS", universe="simulated")
    assert made.not_available == {
        "market_cap": "the data have no market caps and no shares outstanding",
        "industry": "the data have no sectors",
        "exposure size": "its inputs are not among the data",
        "exposure value": "its inputs are not among the data",
    }
    signals, missing = baseline_signals(bare, made, SUITE.suite, FILE)
    assert set(missing) == {"value", "size"}
    assert len(signals) == 4
    with pytest.raises(SchemaViolation, match="no bars"):
        build_panel(replace(tables, bars=tables.bars.clear()), SUITE.suite, exchange="XNYS", universe="simulated")


def test_industries_and_shares_move_nothing_else_in_the_simulated_market():
    """Share counts leave every other number alone; industries with no volatility leave every price alone."""
    plain = SimulatedSource(source_spec(industries=(), industry_volatility_daily=0.0, market_cap=None))
    more = SimulatedSource(source_spec(industry_volatility_daily=0.0))

    def digest(frame: pl.DataFrame) -> str:
        return hashlib.sha256(frame.write_csv().encode()).hexdigest()

    for name in plain.tickers()[::17]:
        assert digest(plain.bars(name)) == digest(more.bars(name))
        assert digest(plain.actions(name)) == digest(more.actions(name))
        kept = more.fundamentals(name).filter(pl.col("metric") != "shares_outstanding")
        assert digest(plain.fundamentals(name)) == digest(kept)
    assert plain.securities()["sector"].null_count() == 120
    assert set(more.securities()["sector"]) == set(INDUSTRIES)
