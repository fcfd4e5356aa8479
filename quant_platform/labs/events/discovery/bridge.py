"""Survivors of discovery on data it has not seen: ``discovery.bridge``.

The direction, the template and the cell are fixed by training. Only the survivors are looked at, so that only they need
correcting for: Benjamini-Hochberg over the cells of the standard track that have enough trades, each cell once however
many templates read it. Survivors of the weaker bar are looked at outside that family; they are never promoted, and so
never pass. There is no fallback to the training segment: too few trades is a verdict of its own, without a p.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
from scipy.special import stdtr

from quant_platform.contracts.schemas.discovery import DiscoveryBridge
from quant_platform.labs.events.discovery.cells import ALL, EventRows, event_rows, outcomes
from quant_platform.labs.events.discovery.labels import LabelStore
from quant_platform.labs.events.discovery.ontology import require_ontology
from quant_platform.labs.events.discovery.segments import segments
from quant_platform.market.perp_panel import DAY, PricePanel
from quant_platform.market.weeks import week_number
from quant_platform.specification.discovery import ONE_SIDED, DiscoverySpecs
from quant_platform.statistics import benjamini_hochberg, clustered_mean
from quant_platform.statistics.checks import Longs

_SCHEMA = {name: column.dtype for name, column in DiscoveryBridge.columns().items()}
_COPIED = (
    *("cutoff", "event_id", "template", "horizon_bars", "symbol", "dimension", "state", "family", "question", "test"),
    *("alias_group", "counted", "side", "ontology_hash", "track"),
)


def bridge(
    hypotheses: pl.DataFrame,
    events: pl.DataFrame,
    prices: PricePanel | LabelStore,
    specs: DiscoverySpecs,
    *,
    window: Literal["validation", "test"] = "validation",
) -> pl.DataFrame:
    """Judge survivors out of sample.

    Parameters
    ----------
    hypotheses
        Rows of ``discovery.hypotheses``; those whose track is not ``none`` are judged.
    events, prices
        As in ``candidates.evaluate``.
    specs
        The specs in force.
    window
        validation by default. The test segment is for one look, which the caller records.

    Returns
    -------
    polars.DataFrame
        Rows of ``discovery.bridge``; empty where nothing survived.

    Raises
    ------
    OntologyMismatch
        If a hypothesis was made under other specs.

    Notes
    -----
    **Timing.** The segment begins an embargo after the training segment ends, longer for families whose state persists.
    """
    require_ontology(hypotheses, specs.ontology_hash, what="discovery.hypotheses")
    survivors = hypotheses.filter(pl.col("track").cast(pl.String) != "none")
    if survivors.is_empty():
        return pl.DataFrame(schema=_SCHEMA)
    store = prices if isinstance(prices, LabelStore) else LabelStore(prices, specs.discovery)
    rows = [_out_of_sample(row, events, store, specs, window) for row in survivors.iter_rows(named=True)]
    frame = pl.DataFrame(rows, infer_schema_length=None)
    family = frame.filter(pl.col("track") == "standard", pl.col("n_trades") >= specs.gates.bridge.min_trades)
    # One test per alias group: several templates of one cell are one look.
    groups = family.group_by("alias_group").agg(pl.col("p_one_sided").min()).sort("alias_group")
    corrected = benjamini_hochberg(groups["p_one_sided"].fill_null(np.nan).to_numpy(), level=specs.gates.bridge.level)
    adjusted = pl.when(pl.col("track") == "standard").then("p_adjusted")
    groups = groups.select("alias_group", pl.Series("p_adjusted", corrected.adjusted_p, dtype=pl.Float64))
    joined = frame.join(groups, on="alias_group", how="left").with_columns(p_adjusted=adjusted)
    judged = [_verdict(row, specs) for row in joined.iter_rows(named=True)]
    return (
        pl.DataFrame(judged, infer_schema_length=None)
        .with_columns(pl.col(pl.Float64).fill_nan(None))
        .select(pl.col(name).cast(dtype) for name, dtype in _SCHEMA.items())
        .sort(DiscoveryBridge.primary_key())
    )


def _out_of_sample(
    row: dict[str, object], events: pl.DataFrame, store: LabelStore, specs: DiscoverySpecs, name: str
) -> dict[str, object]:
    event, template = specs.events[str(row["event_id"])], specs.templates[str(row["template"])]
    _, validation, test = segments(store.panel.days, specs.discovery.split, event.family)
    segment = validation if name == "validation" else test
    dimension = str(row["dimension"])
    own = events.filter(pl.col("event_id") == event.id)
    placed = event_rows(own, store.panel, segment, [] if dimension == ALL else [dimension])
    found = outcomes(store, placed, template, int(str(row["horizon_bars"])), event.entry_lag_bars, segment)
    members = _members(placed, str(row["symbol"]), dimension, str(row["state"]))
    turn = 1.0 if template.label in ONE_SIDED else float(str(row["side"]))
    gross = turn * found.values[members]
    traded = ~np.isnan(gross)
    cost, funding = found.cost[members][traded], turn * found.funding[members][traded]
    net = gross[traded] - cost - funding
    days = placed.days[members][traded]
    weekly = int(str(row["horizon_bars"])) > specs.discovery.errors.week_above_bars
    clusters = week_number(days + store.panel.first_day) if weekly else days
    tested = clustered_mean(net, clusters)
    count = int(traded.sum())
    enough = count >= specs.gates.bridge.min_trades
    mean_cost, mean_funding = (float(x.mean()) if count else np.nan for x in (cost, funding))
    mean_gross = float(gross[traded].mean()) if count else np.nan
    effect = row["effect_bps"]
    in_sample = float(str(effect)) if effect is not None else np.nan
    return {name: row[name] for name in _COPIED} | {
        "window": segment.name,
        "window_start": store.panel.start + segment.first_day * DAY,
        "window_end": store.panel.start + segment.last_day * DAY,
        "n_trades": count,
        "n_days": int(np.unique(days).size),
        "gross_bps": mean_gross,
        "standard_error_bps": tested.standard_error if enough else np.nan,
        "t": tested.t if enough else np.nan,
        "p_one_sided": float(stdtr(max(tested.degrees_of_freedom, 1.0), -tested.t)) if enough else np.nan,
        "cost_bps": mean_cost,
        "funding_bps": mean_funding,
        "net_bps": mean_gross - mean_cost - mean_funding,
        "stressed_bps": mean_gross - specs.discovery.cost.stress * mean_cost - mean_funding,
        "edge_over_cost": (mean_gross - mean_funding) / mean_cost if mean_cost > 0.0 else np.nan,
        "in_sample_bps": in_sample,
        "out_over_in": mean_gross / in_sample if in_sample else np.nan,
    }


def _members(placed: EventRows, symbol: str, dimension: str, state: str) -> Longs:
    """Rows of one cell; none where the segment has no such cell."""
    wanted = (symbol, dimension, state)
    for cell, found in enumerate(zip(placed.cell_symbol, placed.cell_dimension, placed.cell_state, strict=True)):
        if found == wanted:
            members: Longs = np.sort(placed.pairs[1][placed.pairs[0] == cell])
            return members
    return np.zeros(0, dtype=np.int64)


def _verdict(row: dict[str, object], specs: DiscoverySpecs) -> dict[str, object]:
    bars = specs.gates.bridge
    if int(str(row["n_trades"])) < bars.min_trades:
        reasons = [f"{row['n_trades']} trades, {bars.min_trades} are needed"]
        return row | {"verdict": "insufficient", "reasons": reasons}
    checks: tuple[tuple[str, str, float, bool], ...] = (
        ("edge_over_cost", "{:.2f} times its cost, {:.2f} are needed", bars.min_edge_over_cost, True),
        ("stressed_bps", "{:.2f} bps at stressed cost, more than {:.2f} is needed", 0.0, True),
        ("p_adjusted", "p {:.3g} over the standard cells, {:.3g} or less is needed", bars.level, False),
    )
    reasons = []
    if row["track"] != "standard":
        reasons.append("passed the weaker bar only: looked at outside the family, never promoted")
        checks = checks[:2]
    for name, text, bar, at_least in checks:
        value = row[name]
        number = float(str(value)) if value is not None else np.nan
        passed = number >= bar if at_least else number <= bar
        if not passed or (name == "stressed_bps" and number <= 0.0):
            reasons.append(text.format(number, bar))
    return row | {"verdict": "fail" if reasons else "pass", "reasons": reasons}
