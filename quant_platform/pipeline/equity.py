"""The stages of the ticker tables: what each reads, the one function it calls, what decides its result."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import polars as pl

from quant_platform.contracts.errors import SourceNotFound
from quant_platform.expressions import Plan
from quant_platform.labs.equity.features.equity import compute_equity_features, feature_plan
from quant_platform.labs.equity.replay.candidates import replay_ticker
from quant_platform.market.calendar import calendar, session_array, week_last_sessions
from quant_platform.market.cleaning import clean_bars
from quant_platform.market.fundamentals_cleaning import clean_fundamentals
from quant_platform.market.stated_facts import applied_actions
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sessions import last_final
from quant_platform.pipeline.sources import source_of
from quant_platform.pipeline.stage import Frames, Stage
from quant_platform.specification import clock
from quant_platform.specification.cleaning import CleaningSpec, FundamentalsCleaningSpec
from quant_platform.specification.features import FeatureSet, load_equity_features
from quant_platform.specification.replay import ReplaySpec
from quant_platform.specification.setups import SetupSpec

# Vendors restate the last days: an incremental fetch asks for these again and lets the newer row win.
OVERLAP_DAYS = 7


class CompiledFeatures(NamedTuple):
    """The features of a specs folder and the plan that computes them."""

    specs: FeatureSet
    plan: Plan


@lru_cache(maxsize=4)
def compiled_features(specs: Path, ontology_hash: str) -> CompiledFeatures:
    """Compile the features once per process; the hash is there so that an edited file is compiled again."""
    del ontology_hash
    found = load_equity_features(specs)
    return CompiledFeatures(found, feature_plan(found))


def fetch_market(home: Home, ticker: str, *, refresh: bool) -> Frames:
    """Bars and actions of one ticker: all of them, or of an open-ended market that is fetched what has come since."""
    if home.spec.last_session is not None or home.source_spec.kind == "files":
        bars = source_of(home).bars(ticker)
    else:
        # The bar of a session that is still running would be stored as if it were final.
        final = pl.col("session") <= last_final(home)
        bars = _fetch_since(home, ticker, refresh=refresh).filter(final)
    return {"raw.equity_bars": bars, "raw.corporate_actions": source_of(home).actions(ticker)}


def _fetch_since(home: Home, ticker: str, *, refresh: bool) -> pl.DataFrame:
    history = clock.now().date() - timedelta(days=home.universe.ohlcv_history_days)
    stored = None
    if not refresh and home.lake.current("raw.equity_bars", ticker) is not None:
        stored = home.lake.read("raw.equity_bars", [ticker])
    last = stored.get_column("session").max() if stored is not None else None
    if stored is None or not isinstance(last, date):
        return source_of(home).bars(ticker, start=history)
    start = last - timedelta(days=OVERLAP_DAYS)
    try:
        fresh = source_of(home).bars(ticker, start=start)
    except SourceNotFound:
        return stored
    if fresh.is_empty():
        return stored
    kept = stored.filter(pl.col("session") < fresh.get_column("session").min())
    stacked = pl.concat([kept, fresh.select(kept.columns)])
    return stacked.with_columns(source_row=pl.int_range(pl.len(), dtype=pl.Int64))


def fetch_fundamentals(home: Home, ticker: str, *, refresh: bool) -> Frames:
    """Every published version of a ticker's fundamentals."""
    del refresh
    return {"raw.fundamentals": source_of(home).fundamentals(ticker)}


def clean(home: Home, ticker: str, *, refresh: bool) -> Frames:
    """Clean bars and the rows kept out of them."""
    del refresh
    raw = home.lake.read("raw.equity_bars", [ticker])
    actions = home.lake.read("raw.corporate_actions", [ticker])
    days = session_array(home.universe.exchange, *_span(raw, home))
    result = clean_bars(raw, actions, home.load("cleaning/equity.yaml", CleaningSpec), days)
    return {
        "clean.equity_bars": result.bars,
        "clean.equity_quarantine": result.quarantine,
        "clean.equity_suspects": result.suspects,
        "clean.corporate_actions": result.actions,
    }


def _span(raw: pl.DataFrame, home: Home) -> tuple[date, date]:
    """First and last date of the rows, those left out that no calendar of the exchange knows: cleaning names them."""
    known, days = calendar(home.universe.exchange), raw.get_column("session")
    first, last = days.min(), days.max()
    if isinstance(first, date) and isinstance(last, date) and known.start <= first and last <= known.end:
        return first, last
    days = days.filter(days.is_between(known.start, known.end))
    first, last = days.min(), days.max()
    if isinstance(first, date) and isinstance(last, date):
        return first, last
    return home.spec.first_session, last_final(home)


def fundamentals(home: Home, ticker: str, *, refresh: bool) -> Frames:
    """Published values that can be, and those kept out."""
    del refresh
    result = clean_fundamentals(
        home.lake.read("raw.fundamentals", [ticker]),
        home.load("cleaning/fundamentals.yaml", FundamentalsCleaningSpec),
        home.lake.read("clean.equity_bars", [ticker], ["session", "dollar_volume"], missing="ignore"),
    )
    return {"clean.fundamentals": result.values, "clean.fundamentals_quarantine": result.quarantine}


def features(home: Home, ticker: str, *, refresh: bool) -> Frames:
    """Every feature of one ticker."""
    del refresh
    compiled = compiled_features(home.specs, home.ontology(FEATURES.specs).hash)
    bars = home.lake.read("clean.equity_bars", [ticker])
    return {"features.equity": compute_equity_features(bars, compiled.specs, compiled.plan)}


def described_features(home: Home) -> dict[str, str]:
    """Every feature column and what it is."""
    return {name: feature.description for name, feature in load_equity_features(home.specs).features.items()}


def candidates(home: Home, ticker: str, *, refresh: bool) -> Frames:
    """Setups of every finished week and what became of them."""
    del refresh
    bars = home.lake.read("clean.equity_bars", [ticker])
    actions = applied_actions(home.lake.read("clean.corporate_actions", [ticker]))
    ends = actions.filter(pl.col("kind") == "delisting").get_column("value")
    last = last_final(home)
    exchange, first = home.universe.exchange, home.spec.first_session
    found = replay_ticker(
        bars,
        home.load("setups/equity.yaml", SetupSpec),
        home.load("replay/equity.yaml", ReplaySpec),
        signal_sessions=week_last_sessions(exchange, first, last),
        sessions=session_array(exchange, first, last),
        delisting_return=float(ends[0]) if ends.len() else None,
    )
    return {"replay.candidates": found}


RAW_MARKET = Stage(
    outputs=("raw.equity_bars", "raw.corporate_actions"),
    compute=fetch_market,
    specs=("sources/{source}.yaml",),
    kinds=("{source}", "parquet"),
    always=True,
)
RAW_FUNDAMENTALS = Stage(
    outputs=("raw.fundamentals",),
    compute=fetch_fundamentals,
    specs=("sources/{source}.yaml",),
    kinds=("{source}", "parquet"),
    always=True,
)
CLEAN = Stage(
    outputs=("clean.equity_bars", "clean.equity_quarantine", "clean.equity_suspects", "clean.corporate_actions"),
    inputs=("raw.equity_bars", "raw.corporate_actions"),
    compute=clean,
    specs=("cleaning/equity.yaml",),
    kinds=("numpy", "parquet"),
    lineage={
        name: [("raw.equity_bars", name), ("raw.corporate_actions", "value")]
        for name in ("open", "high", "low", "close", "volume")
    },
)
CLEAN_FUNDAMENTALS = Stage(
    outputs=("clean.fundamentals", "clean.fundamentals_quarantine"),
    inputs=("raw.fundamentals", "clean.equity_bars"),
    compute=fundamentals,
    specs=("cleaning/fundamentals.yaml",),
    kinds=("numpy", "parquet"),
)
FEATURES = Stage(
    outputs=("features.equity",),
    inputs=("clean.equity_bars",),
    compute=features,
    specs=("features/equity*.yaml",),
    kinds=("numba", "parquet"),
    columns={"features.equity": described_features},
    # They are the widest: whatever reads clean bars after them has to open the files again.
    priority=-1,
)
CANDIDATES = Stage(
    outputs=("replay.candidates",),
    inputs=("clean.equity_bars", "clean.corporate_actions"),
    compute=candidates,
    specs=("setups/equity.yaml", "replay/equity.yaml"),
    kinds=("numba", "parquet"),
)
STAGES = (RAW_MARKET, RAW_FUNDAMENTALS, CLEAN, CLEAN_FUNDAMENTALS, FEATURES, CANDIDATES)
