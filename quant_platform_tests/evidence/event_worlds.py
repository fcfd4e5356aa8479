"""A simulated market of perpetuals on the platform's own path, up to judged hypotheses with their true effects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np
import polars as pl

from quant_platform.labs.events.detection.compute import compute_events
from quant_platform.labs.events.detection.rows import event_rows
from quant_platform.labs.events.discovery.bridge import bridge
from quant_platform.labs.events.discovery.candidates import evaluate
from quant_platform.labs.events.discovery.hypotheses import judge
from quant_platform.labs.events.discovery.labels import LabelStore
from quant_platform.labs.events.discovery.segments import segments
from quant_platform.market.perp_cleaning import clean_perp_bars
from quant_platform.market.perp_market import market_5m
from quant_platform.market.perp_panel import PRICES, PricePanel, price_panel
from quant_platform.sources.simulated_perp.market import SimulatedPerpMarket, simulate
from quant_platform.specification.discovery import DiscoverySpecs, load_discovery
from quant_platform.specification.event_lab import EventLab, load_event_lab
from quant_platform.specification.loading import load_spec
from quant_platform.specification.perp_market import MarketSpec, PerpCleaningSpec
from quant_platform.specification.perp_sources import PerpSourceSpec
from quant_platform.specification.settings import settings
from quant_platform.statistics.checks import Floats

KEY = ("event_id", "template", "horizon_bars", "symbol", "dimension", "state")
KNOWN = "^(forward_return|target_stop|pullback_return)"
"""Tests whose true effect the simulator knows; hedged residual returns are not among them."""
World = Literal["null", "planted", "planted_strong"]
PATH: tuple[Callable[..., Any], ...] = (
    simulate.__wrapped__,
    clean_perp_bars,
    market_5m,
    compute_events,
    event_rows,
    price_panel,
    evaluate,
    judge,
)
"""What a world goes through, from the source to judged hypotheses."""


@dataclass(frozen=True)
class Lab:
    """Every spec the path reads."""

    source: PerpSourceSpec
    cleaning: PerpCleaningSpec
    market: MarketSpec
    events: EventLab
    discovery: DiscoverySpecs


@dataclass(frozen=True)
class Study:
    """A world on its way: accepted onsets, prices, and the expected return of every bar.

    Attributes
    ----------
    events
        Rows of ``events.events``.
    panel
        Prices and funding as the platform sees them.
    expected
        ``[symbol, bar]`` log return that the simulator expected of the bar.
    cutoff
        Last month.
    """

    events: pl.DataFrame
    panel: PricePanel
    expected: Floats
    cutoff: str


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


def study(world: World, seed: int, *, months: int = 6, symbols: int = 4) -> Study:
    """Simulate a world and detect its events."""
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
    expected = np.zeros((len(panel.symbols), panel.periods))
    for row, symbol in enumerate(panel.symbols):
        own = made.oracle.filter(pl.col("symbol") == symbol)
        expected[row, panel.positions(own["bar"])] = own["mu"].to_numpy()
    return Study(rows, panel, expected, cutoff)


def truthful(found: Study) -> PricePanel:
    """Put the expected return where funding stands: what a position "pays" is then its true expected outcome.

    Only the truth is read from such a panel, never a verdict. A settlement falls to positions held through the open of
    its bar, so the expected return of a bar is booked on the next one.
    """
    booked = np.zeros_like(found.expected)
    booked[:, 1:] = found.expected[:, :-1]
    columns = {**found.panel.columns, "funding_rate": booked, "funding_settle": np.ones_like(booked)}
    return replace(found.panel, columns=columns)


def without_drift(found: Study, *, from_bar: int = 0, kept_symbols: int = 0) -> PricePanel:
    """Prices whose drift is taken out from a bar on, of all symbols but the first few.

    Events stay where they are. From that bar nothing follows them but noise.
    """
    gone = np.where(np.arange(found.panel.periods) >= from_bar, found.expected, 0.0)
    gone[:kept_symbols] = 0.0
    # The open of a bar has seen the returns of the bars before it, the close its own as well.
    until_close = np.cumsum(gone, axis=1)
    until_open = until_close - gone
    columns = dict(found.panel.columns)
    for name in PRICES:
        columns[name] = columns[name] * np.exp(-(until_open if name == "open" else until_close))
    return replace(found.panel, columns=columns)


def end_of_training(found: Study, specs: DiscoverySpecs) -> int:
    """First bar after the training window."""
    return segments(found.panel.days, specs.discovery.split, "")[0].bars.stop


def quick(specs: DiscoverySpecs) -> DiscoverySpecs:
    """The specs with few random draws, for a pass of which only means are read."""
    errors = specs.discovery.errors.model_copy(update={"placebo_draws": 19, "wild_draws": 99})
    return replace(specs, discovery=specs.discovery.model_copy(update={"errors": errors}))


def judged(found: Study, specs: DiscoverySpecs, *, all_known: bool = False) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Candidates, and hypotheses with ``oracle_bps``: the true effect of each in the direction of its template.

    What is judged is the market itself, with its own funding. The truth is read from another pass over the same events
    and never enters a number that is judged. It is null where it is not known: outcomes without a sign, and hedged ones
    unless ``all_known`` says that nothing predicts anything.
    """
    candidates = evaluate(found.events, LabelStore(found.panel, specs.discovery), specs, cutoff=found.cutoff)
    truth = evaluate(
        found.events, LabelStore(truthful(found), specs.discovery), quick(specs), cutoff=found.cutoff
    ).select(*KEY, true_side=pl.col("side"), oracle_bps=pl.col("funding_bps"))
    rows = (
        judge(candidates, specs)
        .join(candidates.select(*KEY, "p_cluster", "p_placebo"), on=list(KEY))
        .join(truth, on=list(KEY), how="left")
    )
    known = pl.col("test").str.contains(KNOWN)
    if all_known:
        known |= pl.col("question").cast(pl.String) == "direction"
    return candidates, rows.with_columns(pl.when(known).then("oracle_bps")).drop("true_side")


def bridged(found: Study, hypotheses: pl.DataFrame, specs: DiscoverySpecs) -> pl.DataFrame:
    """The bridge in the world as it is and in one whose effects die with training, with the true effect in the first.

    ``world`` is ``lasting`` or ``dying``; ``true_bps`` the true mean outcome over the window (0 where it died), null
    where it is not known.
    """
    lasting = bridge(hypotheses, found.events, LabelStore(found.panel, specs.discovery), specs)
    died = without_drift(found, from_bar=end_of_training(found, specs))
    dead = bridge(hypotheses, found.events, LabelStore(died, specs.discovery), specs)
    truth = bridge(hypotheses, found.events, LabelStore(truthful(found), specs.discovery), specs).select(
        *KEY, true_bps=pl.when(pl.col("test").str.contains(KNOWN)).then("funding_bps")
    )
    return pl.concat(
        [
            lasting.join(truth, on=list(KEY)).with_columns(world=pl.lit("lasting")),
            dead.join(truth, on=list(KEY)).with_columns(true_bps=pl.col("true_bps") * 0.0, world=pl.lit("dying")),
        ]
    )


def judged_world(world: World, seed: int, *, months: int = 6, symbols: int = 4) -> pl.DataFrame:
    """Hypotheses of one world with their true effects; see :func:`judged`."""
    specs = load_lab().discovery
    _, rows = judged(study(world, seed, months=months, symbols=symbols), specs, all_known=world == "null")
    return rows.with_columns(world=pl.lit(world), seed=pl.lit(seed))
