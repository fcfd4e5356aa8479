"""Features, context, states and event flags of symbols and months: one pass per symbol over the months that are stale.

Cross-symbol context needs every symbol of the home, so a run computes all of them and writes what it was asked for. A
month is current when it was made from the same versions of the market of every symbol in its months of memory, by the
same code, under the same specs.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

import polars as pl

from quant_platform.contracts.tables import table
from quant_platform.labs.events.detection.compute import SymbolEvents, each_symbol
from quant_platform.labs.events.detection.context import market_context
from quant_platform.labs.events.detection.grid import month_start, months_before
from quant_platform.labs.events.detection.plan import EventPlan, event_plan
from quant_platform.lake import Provenance
from quant_platform.lake.lake import Version, Writes
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.months import SymbolMonth
from quant_platform.pipeline.stage import BatchStage, Done
from quant_platform.specification.event_lab import EVENT_LAB_FILES, load_event_lab

TABLES = ("features.market_5m", "features.context_5m", "features.states_5m", "events.event_flags")
ROOMS = ("expressions", "labs/events/detection")
MARKET = "clean.market_5m"


def run_events(home: Home, keys: Sequence[SymbolMonth], *, run_id: str, refresh: bool, workers: int) -> list[Done]:
    """Compute the four tables of some symbols and months.

    Parameters
    ----------
    home
        The market.
    keys
        Pairs of symbol and month.
    run_id
        Goes into the provenance of every file.
    refresh
        Compute also what is current.
    workers
        Threads; the compiled loops run side by side.

    Returns
    -------
    list of Done
        One per key, in the order of ``keys``.
    """
    version, ontology = EVENT_TABLES.code_version(home), home.ontology(EVENT_LAB_FILES)
    plan = event_plan(load_event_lab(home.specs))
    inputs = {month: market_versions(home, month, plan) for month in {month for _, month in keys}}

    def is_current(key: SymbolMonth) -> bool:
        made_from = {MARKET: inputs[key[1]]}
        return all(home.lake.is_current(name, key, version, ontology.hash, made_from) for name in TABLES)

    def stamped(month: str) -> Provenance:
        return Provenance(
            asset="",
            code_version=version,
            ontology_hash=ontology.hash,
            ontology_files=dict(ontology.files),
            run_id=run_id,
            inputs={MARKET: inputs[month]},
            simulated=home.simulated,
        )

    stale = [key for key in keys if refresh or not is_current(key)]
    rows: dict[SymbolMonth, dict[str, int]] = {}
    under_way: list[Future[Version]] = []

    def put(key: SymbolMonth, frames: Mapping[str, pl.DataFrame], writes: Writes) -> None:
        made = stamped(key[1])
        under_way.extend(writes.put(name, key, frame, replace(made, asset=name)) for name, frame in frames.items())
        rows[key] = {name: frame.height for name, frame in frames.items()}

    if stale:
        months = sorted({month for _, month in stale})
        wanted = months_before(months[0], plan.warm_bars)[:-1]
        span = [month for month in home.perps.months if month >= wanted[0] and month <= months[-1]]
        market = _market(home, span)
        context = market_context(market, plan.lab.context, None)

        def write(found: SymbolEvents, writes: Writes) -> None:
            frames = {
                "features.market_5m": found.features,
                "features.context_5m": context[found.symbol],
                "features.states_5m": found.states,
                "events.event_flags": found.flags,
            }
            for key in (key for key in stale if key[0] == found.symbol):
                parts = {name: frame.filter(pl.col("month") == key[1]) for name, frame in frames.items()}
                put(key, parts, writes)

        # A symbol is computed while the months of the one before go to the disk.
        with home.lake.overlapping() as writes:
            symbols = each_symbol(market, context, plan, since=month_start(months[0]), workers=workers)
            # Not a loop, whose variable would hold one symbol while the next is computed.
            deque(map(partial(write, writes=writes), symbols), maxlen=0)
            for key in (key for key in stale if key not in rows):
                # A symbol without a single bar in the span is computed by nobody; its months are made, and empty.
                put(key, {name: table(name).schema.create_empty() for name in TABLES}, writes)
        for write_under_way in under_way:
            write_under_way.result()
    return [
        Done(key, "written" if key in rows else "current", rows.get(key) or _stored_rows(home, key)) for key in keys
    ]


def market_versions(home: Home, month: str, plan: EventPlan) -> str:
    """Hash of the versions of the market, over all symbols and the months that a month remembers."""
    versions = [
        f"{symbol}/{earlier}/{home.lake.version_name(MARKET, (symbol, earlier))}"
        for symbol in home.perps.symbols
        for earlier in months_before(month, plan.warm_bars)
    ]
    return hashlib.sha256("|".join(versions).encode()).hexdigest()


def _market(home: Home, months: Sequence[str]) -> dict[str, pl.DataFrame]:
    found = {}
    for symbol in home.perps.symbols:
        frame = home.lake.read(MARKET, [(symbol, month) for month in months], missing="ignore")
        # A column that no month of a symbol has comes back as null throughout: the source lacks it.
        absent = [name for name in frame.columns if frame.height and frame[name].null_count() == frame.height]
        if frame.height:
            found[symbol] = frame.drop(absent).sort("bar")
    return found


def _stored_rows(home: Home, key: SymbolMonth) -> dict[str, int]:
    versions = {name: home.lake.current(name, key) for name in TABLES}
    return {name: version.rows if version else 0 for name, version in versions.items()}


def _described_features(home: Home) -> dict[str, str]:
    features = load_event_lab(home.specs).features.features
    return {name: feature.description for name, feature in features.items()}


def _described_events(home: Home) -> dict[str, str]:
    return {name: event.mechanism for name, event in load_event_lab(home.specs).active.items()}


EVENT_TABLES = BatchStage(
    outputs=TABLES,
    upstream=(MARKET,),
    compute=run_events,
    specs=EVENT_LAB_FILES,
    kinds=("numba", "parquet"),
    columns={"features.market_5m": _described_features, "events.event_flags": _described_events},
)
