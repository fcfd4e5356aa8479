"""The stage of the event lab's backtests: every ``backtest.*`` table of a cutoff, its page and its manifest.

One pass makes all tables, because they are readings of the same runs. The rows carry their strategy; which strategies
there are is known only once discovery has been run, so a cutoff is the partition.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from quant_platform.contracts.errors import SourceNotFound
from quant_platform.labs.events.backtest.market import EventMarket
from quant_platform.labs.events.backtest.report import build_report, markdown, report_row
from quant_platform.labs.events.backtest.study import STUDY_TABLES, Book, Discovered, study
from quant_platform.labs.events.detection.compute import onsets_of
from quant_platform.labs.events.detection.rows import event_rows
from quant_platform.labs.events.discovery.ontology import require_ontology
from quant_platform.lake import Key
from quant_platform.lake.atomic import atomic_text
from quant_platform.lake.provenance import Provenance
from quant_platform.market.perp_panel import PricePanel
from quant_platform.pipeline.discovery import (
    ONTOLOGY,
    discovery_specs,
    months_until,
    states_until,
    store_of,
    versions_of,
)
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import BatchStage, Done
from quant_platform.specification.event_backtest import EventBacktestSpec
from quant_platform.specification.event_lab import load_event_lab
from quant_platform.specification.events import EventSpec

BACKTEST_TABLES = (*STUDY_TABLES, "backtest.report")
SPECS = (*ONTOLOGY, "backtest.yaml")
DISCOVERED = ("discovery.blueprints", "discovery.hypotheses", "discovery.bridge")
MARKET = ("clean.market_5m", "features.market_5m", "features.context_5m", "features.states_5m")


def run_backtests(home: Home, keys: Sequence[str], *, run_id: str, refresh: bool, workers: int) -> list[Done]:
    """Trade and judge the strategies of some cutoffs; what was done before stays when a later one fails.

    Parameters
    ----------
    home
        The market.
    keys
        Cutoffs.
    run_id
        Goes into the provenance of every file.
    refresh
        Compute also what is current.
    workers
        Not used: a run is one walk over the bars.

    Raises
    ------
    SourceNotFound
        When a cutoff has not been discovered yet.
    """
    del workers
    version, ontology = BACKTESTS.code_version(home), home.ontology(SPECS)
    done = []
    for cutoff in keys:
        inputs = _inputs(home, cutoff)
        pages = _pages(home, cutoff)
        current = all(path.is_file() for path in pages.values()) and all(
            home.lake.is_current(name, cutoff, version, ontology.hash, inputs) for name in BACKTEST_TABLES
        )
        if refresh or not current:
            frames = _computed(home, cutoff)
            stamp = Provenance(
                asset="",
                code_version=version,
                ontology_hash=ontology.hash,
                ontology_files=dict(ontology.files),
                run_id=run_id,
                inputs=inputs,
                simulated=home.simulated,
            )
            frames["backtest.report"] = _reported(home, cutoff, frames, stamp)
            for name in BACKTEST_TABLES:
                home.lake.write(name, cutoff, frames[name], replace(stamp, asset=name))
        rows = {name: _rows(home, name, cutoff) for name in BACKTEST_TABLES}
        done.append(Done(cutoff, "written" if refresh or not current else "current", rows))
    return done


def _computed(home: Home, cutoff: str) -> dict[str, pl.DataFrame]:
    specs, spec = discovery_specs(home), home.load("backtest.yaml", EventBacktestSpec)
    store = store_of(home, cutoff)
    found = Discovered(
        cutoff=cutoff,
        blueprints=home.lake.read("discovery.blueprints", [cutoff]),
        hypotheses=home.lake.read("discovery.hypotheses", [cutoff]),
        bridge=home.lake.read("discovery.bridge", [cutoff]),
        events=home.lake.read("events.events", [(event, cutoff) for event in specs.events], missing="ignore"),
    )

    require_ontology(found.hypotheses, specs.ontology_hash, what="discovery.hypotheses")
    require_ontology(found.blueprints, specs.ontology_hash, what="discovery.blueprints")

    def redetect(event: EventSpec) -> pl.DataFrame:
        market, context, states = home.shared(
            "changed events", versions_of(home, "clean.market_5m", cutoff), lambda: _features(home, cutoff)
        )
        flags = onsets_of(event, market, context, load_event_lab(home.specs))
        fired = flags.filter(pl.col(event.id) == 1.0)
        at = states.join(fired.select("symbol", "bar"), on=["symbol", "bar"], how="semi")
        return event_rows(fired, at, event, cutoff)

    made = study(found, EventMarket(store, specs.discovery), _book(home, cutoff, store.panel), specs, spec, redetect)
    return dict(made.frames)


def _features(home: Home, cutoff: str) -> tuple[dict[str, pl.DataFrame], dict[str, pl.DataFrame], pl.DataFrame]:
    """Market and context by symbol up to a cutoff, and the states."""
    market, context = {}, {}
    for symbol in home.perps.symbols:
        keys: list[Key] = [(symbol, month) for month in home.perps.months if month <= cutoff]
        rows = home.lake.read("clean.market_5m", keys, missing="ignore").sort("bar")
        if rows.height:
            absent = [name for name in rows.columns if rows[name].null_count() == rows.height]
            market[symbol] = rows.drop(absent)
            context[symbol] = home.lake.read("features.context_5m", keys, missing="ignore").sort("bar")
    return market, context, states_until(home, cutoff)


def _book(home: Home, cutoff: str, panel: PricePanel) -> Book:
    """Resting value on the grid of a panel; NaN where the source has no book."""
    sides = {name: np.full((len(panel.symbols), panel.periods), np.nan) for name in ("bid_depth_usd", "ask_depth_usd")}
    market = home.lake.scan("clean.market_5m", months_until(home, cutoff), missing="ignore")
    there = market.collect_schema().names()
    held = [name for name in sides if name in there]
    rows = market.select("symbol", "bar", *held).collect()
    for row, symbol in enumerate(panel.symbols):
        own = rows.filter(pl.col("symbol") == symbol)
        places = panel.positions(own["bar"])
        for name in held:
            sides[name][row, places] = own[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return Book(sides["bid_depth_usd"], sides["ask_depth_usd"])


def _reported(home: Home, cutoff: str, frames: Mapping[str, pl.DataFrame], stamp: Provenance) -> pl.DataFrame:
    """Write JSON, Markdown, page and manifest; give the row of ``backtest.report``."""
    # Drawing imports Altair; a process that only lists assets should not wait for it.
    from quant_platform.reports.events.backtests import render_backtests

    report = build_report(
        frames, cutoff=cutoff, simulated=home.simulated, ontology_hash=discovery_specs(home).ontology_hash
    )
    pages = _pages(home, cutoff)
    atomic_text(pages["json"], json.dumps(report, indent=1, sort_keys=True))
    atomic_text(pages["markdown"], markdown(report))
    page = render_backtests(frames, cutoff=cutoff, headline=str(report["headline"]), simulated=home.simulated)
    atomic_text(pages["page"], page)
    manifest = {
        "cutoff": cutoff,
        "run_id": stamp.run_id,
        "code_version": stamp.code_version,
        "ontology_hash": stamp.ontology_hash,
        "ontology_files": dict(stamp.ontology_files),
        "inputs": dict(stamp.inputs),
        "simulated": stamp.simulated,
        "seed": home.load("backtest.yaml", EventBacktestSpec).bootstrap.seed,
        "rows": {name: frame.height for name, frame in frames.items()},
    }
    atomic_text(pages["manifest"], json.dumps(manifest, indent=1, sort_keys=True))
    home.lake.store.publish(pages.values())
    shown = (pages[name].relative_to(home.settings.home).as_posix() for name in ("page", "manifest"))
    return report_row(report, *shown)


def _pages(home: Home, cutoff: str) -> dict[str, Path]:
    folder = home.settings.home / "reports" / "backtest"
    endings = {"json": "json", "markdown": "md", "page": "html", "manifest": "manifest.json"}
    return {name: folder / f"{cutoff}.{ending}" for name, ending in endings.items()}


def _inputs(home: Home, cutoff: str) -> dict[str, str]:
    """Versions of everything that is read, by table.

    Raises
    ------
    SourceNotFound
        When a cutoff has not been discovered yet.
    """
    found = {name: home.lake.version_name(name, cutoff) for name in DISCOVERED}
    absent = [name for name, version in found.items() if not version]
    if absent:
        raise SourceNotFound(
            f"{cutoff} has not been discovered yet: there is no {', '.join(absent)}",
            where="backtest",
            action="quant run discovery first",
        )
    events = discovery_specs(home).events
    found["events.events"] = "|".join(home.lake.version_name("events.events", (event, cutoff)) for event in events)
    return found | {name: versions_of(home, name, cutoff) for name in MARKET}


def _rows(home: Home, name: str, cutoff: str) -> int:
    version = home.lake.current(name, cutoff)
    return version.rows if version is not None else 0


BACKTESTS = BatchStage(
    outputs=BACKTEST_TABLES,
    upstream=(*DISCOVERED, "events.events", *MARKET),
    compute=run_backtests,
    specs=SPECS,
    kinds=("numba", "parquet"),
)
