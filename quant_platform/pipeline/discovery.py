"""The stages of the event x cutoff tables: accepted onsets, and the cells evaluated on them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import polars as pl

from quant_platform.contracts.schemas.events import STATE_COLUMNS
from quant_platform.labs.events.detection.rows import event_rows
from quant_platform.labs.events.discovery.candidates import evaluate
from quant_platform.labs.events.discovery.labels import LabelStore
from quant_platform.lake import Key
from quant_platform.market.perp_panel import OPTIONAL, PRICES, price_panel
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import Frames, Stage
from quant_platform.specification.discovery import DISCOVERY_FILES, DiscoverySpecs, load_discovery
from quant_platform.specification.event_lab import EVENT_LAB_FILES

ONTOLOGY = (*EVENT_LAB_FILES, *DISCOVERY_FILES)
EventCutoff = tuple[str, str]


def discovery_specs(home: Home) -> DiscoverySpecs:
    """Everything discovery obeys, under the hash of every file that its rows depend on."""
    return _loaded(home.specs, home.ontology(ONTOLOGY).hash)


@lru_cache(maxsize=2)
def _loaded(specs: Path, ontology_hash: str) -> DiscoverySpecs:
    return load_discovery(specs, ontology_hash=ontology_hash)


def months_until(home: Home, cutoff: str) -> list[Key]:
    """Partitions of every symbol up to a cutoff."""
    return [(symbol, month) for symbol in home.perps.symbols for month in home.perps.months if month <= cutoff]


def market_until(cutoff: str, home: Home, *names: str) -> list[tuple[str, Key]]:
    """Partitions of some symbol-month tables up to a cutoff, as inputs of a stage."""
    return [(name, key) for name in names for key in months_until(home, cutoff)]


def onsets(home: Home, key: EventCutoff, *, refresh: bool) -> Frames:
    """Accepted onsets of one event up to a cutoff, with the states at their time."""
    del refresh
    event_id, cutoff = key
    event = discovery_specs(home).events[event_id]
    keys = months_until(home, cutoff)
    columns = ["symbol", "month", "bar", event_id, f"{event_id}__direction", f"{event_id}__intensity"]
    flags = home.lake.read("events.event_flags", keys, columns=columns, missing="ignore")
    fired = flags.filter(pl.col(event_id) == 1.0)
    states = home.shared("states", versions_of(home, "features.states_5m", cutoff), lambda: states_until(home, cutoff))
    at = states.join(fired.select("symbol", "bar"), on=["symbol", "bar"], how="semi")
    return {"events.events": event_rows(fired, at, event, cutoff)}


def versions_of(home: Home, name: str, cutoff: str) -> str:
    """The cutoff, and which versions of a symbol-month table are current up to it."""
    return "|".join([cutoff, *(home.lake.version_name(name, key) for key in months_until(home, cutoff))])


def states_until(home: Home, cutoff: str) -> pl.DataFrame:
    """States of every symbol up to a cutoff."""
    states = home.lake.scan("features.states_5m", months_until(home, cutoff), missing="ignore")
    return states.select("symbol", "bar", *STATE_COLUMNS).collect()


def label_store(home: Home, cutoff: str) -> LabelStore:
    """Prices and what follows each bar up to a cutoff."""
    wanted = ["symbol", "bar", *PRICES, *OPTIONAL]
    markets, features = {}, {}
    for symbol in home.perps.symbols:
        keys: list[Key] = [(symbol, month) for month in home.perps.months if month <= cutoff]
        there = home.lake.scan("clean.market_5m", keys, missing="ignore").collect_schema().names()
        columns = [name for name in wanted if name in there]
        prices = home.lake.read("clean.market_5m", keys, columns=columns, missing="ignore")
        if prices.height:
            markets[symbol] = prices
            known = home.lake.scan("features.market_5m", keys, missing="ignore")
            missing = [name for name in OPTIONAL if name in known.collect_schema() and name not in there]
            features[symbol] = known.select("symbol", "bar", *missing).collect()
    return LabelStore(price_panel(markets, features), discovery_specs(home).discovery)


def flags_until(home: Home, key: EventCutoff) -> list[tuple[str, Key]]:
    """What accepted onsets are made from."""
    return market_until(key[1], home, "events.event_flags", "features.states_5m")


def bars_until(home: Home, key: EventCutoff) -> list[tuple[str, Key]]:
    """What cells are evaluated on."""
    return market_until(key[1], home, "clean.market_5m")


def store_of(home: Home, cutoff: str) -> LabelStore:
    """The label store of a cutoff over the versions that are current now, shared by all events of a step."""
    return home.shared("labels", versions_of(home, "clean.market_5m", cutoff), lambda: label_store(home, cutoff))


def candidates(home: Home, key: EventCutoff, *, refresh: bool) -> Frames:
    """Every cell of one event: symbol, horizon, template, state."""
    del refresh
    event_id, cutoff = key
    rows = home.lake.read("events.events", [key])
    specs = discovery_specs(home)
    one = DiscoverySpecs(
        {event_id: specs.events[event_id]}, specs.templates, specs.discovery, specs.gates, specs.ontology_hash
    )
    return {"discovery.candidates": evaluate(rows, store_of(home, cutoff), one, cutoff=cutoff)}


EVENTS = Stage(
    outputs=("events.events",),
    compute=onsets,
    neighbours_of=flags_until,
    upstream=("events.event_flags", "features.states_5m"),
    specs=("events/*.yaml", "families.yaml"),
    kinds=("polars", "parquet"),
)
CANDIDATES = Stage(
    outputs=("discovery.candidates",),
    inputs=("events.events",),
    compute=candidates,
    neighbours_of=bars_until,
    upstream=("clean.market_5m", "features.market_5m"),
    specs=ONTOLOGY,
    kinds=("numba", "parquet"),
)
STAGES = (EVENTS, CANDIDATES)
