"""A simulated market of perpetuals on the platform's own path, up to judged hypotheses with their true effects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
import polars as pl

from quant_platform.labs.events.detection.compute import compute_events
from quant_platform.labs.events.detection.rows import event_rows
from quant_platform.labs.events.discovery.candidates import evaluate
from quant_platform.labs.events.discovery.hypotheses import judge
from quant_platform.labs.events.discovery.labels import LabelStore
from quant_platform.market.perp_cleaning import clean_perp_bars
from quant_platform.market.perp_market import market_5m
from quant_platform.market.perp_panel import PricePanel, price_panel
from quant_platform.sources.simulated_perp.market import SimulatedPerpMarket, simulate
from quant_platform.specification.discovery import DiscoverySpecs, load_discovery
from quant_platform.specification.event_lab import EventLab, load_event_lab
from quant_platform.specification.loading import load_spec
from quant_platform.specification.perp_market import MarketSpec, PerpCleaningSpec
from quant_platform.specification.perp_sources import PerpSourceSpec
from quant_platform.specification.settings import settings

KEY = ("event_id", "template", "horizon_bars", "symbol", "dimension", "state")
World = Literal["null", "planted", "planted_strong"]


@dataclass(frozen=True)
class Lab:
    """Every spec the path reads."""

    source: PerpSourceSpec
    cleaning: PerpCleaningSpec
    market: MarketSpec
    events: EventLab
    discovery: DiscoverySpecs


@cache
def load_lab() -> Lab:
    """Read the shipped specs."""
    specs = settings().specs
    return Lab(
        source=load_spec(specs / "sources" / "simulated_perp.yaml", PerpSourceSpec),
        cleaning=load_spec(specs / "cleaning" / "perp.yaml", PerpCleaningSpec),
        market=load_spec(specs / "market" / "perp.yaml", MarketSpec),
        events=load_event_lab(specs),
        discovery=load_discovery(specs, ontology_hash="0" * 64),
    )


def markets_of(made: SimulatedPerpMarket, lab: Lab) -> dict[str, pl.DataFrame]:
    """Clean and join every symbol, as the assets do."""
    found = {}
    for symbol, bars in made.bars.items():
        perp, spot = (
            pl.concat(
                clean_perp_bars(month, lab.cleaning, market=kind).bars
                for month in frame.partition_by("month", maintain_order=True)
            )
            for kind, frame in (("perp", bars), ("spot", made.spot_bars[symbol]))
        )
        found[symbol] = market_5m(
            perp,
            spec=lab.market,
            spot=spot,
            funding=made.funding[symbol],
            open_interest=made.open_interest[symbol],
            liquidations=made.liquidations[symbol],
            book=made.book[symbol],
        )
    return found


def truthful(panel: PricePanel, oracle: pl.DataFrame) -> PricePanel:
    """Put the expected return where funding stands: what a position "pays" is then its true expected outcome.

    A settlement falls to positions held through the open of its bar, so the expected return of a bar is booked on the
    next one.
    """
    mu = np.zeros((len(panel.symbols), panel.periods))
    for row, symbol in enumerate(panel.symbols):
        own = oracle.filter(pl.col("symbol") == symbol)
        mu[row, panel.positions(own["bar"])] = own["mu"].to_numpy()
    booked = np.zeros_like(mu)
    booked[:, 1:] = mu[:, :-1]
    return replace(panel, columns={**panel.columns, "funding_rate": booked, "funding_settle": np.ones_like(mu)})


def judged_world(world: World, seed: int, *, months: int = 6, symbols: int = 4) -> pl.DataFrame:
    """Hypotheses of one world, with ``oracle_bps``, the true effect of each in the direction of its template.

    Null where the true effect is not known: outcomes without a sign, and in planted worlds hedged ones.
    """
    lab = load_lab()
    section = lab.source.simulated_perp
    if section is None:
        raise AssertionError("the simulated source has no section")
    made = simulate.__wrapped__(
        section.model_copy(update={"world": world, "seed": seed, "months": months, "symbols": symbols})
    )
    markets = markets_of(made, lab)
    computed = compute_events(markets, lab.events)
    flags = pl.concat(each.flags for each in computed.symbols.values())
    states = pl.concat(each.states for each in computed.symbols.values())
    cutoff = str(states["month"].max())
    rows = pl.concat(event_rows(flags, states, event, cutoff) for event in lab.events.active.values())
    panel = price_panel(markets, {name: each.features for name, each in computed.symbols.items()})
    specs = lab.discovery
    store = LabelStore(truthful(panel, made.oracle), specs.discovery)
    candidates = evaluate(rows, store, specs, cutoff=cutoff)
    hypotheses = judge(candidates, specs).join(candidates.select(*KEY, "p_cluster"), on=list(KEY))
    has_oracle = pl.col("test").str.contains("^(forward_return|target_stop|pullback_return)")
    if world == "null":
        has_oracle |= pl.col("question").cast(pl.String) == "direction"
    return hypotheses.with_columns(
        world=pl.lit(world), seed=pl.lit(seed), oracle_bps=pl.when(has_oracle).then(pl.col("funding_bps"))
    )
