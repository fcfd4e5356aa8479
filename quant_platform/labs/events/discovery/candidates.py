"""Effect, error and p of every cell of an event on the training segment: ``discovery.candidates``.

1. The event's rows inside the training segment are sorted into cells once (``cells.event_rows``).
2. Per test and horizon the outcome of each row is looked up (``cells.outcomes``).
3. Compiled sums over clusters and time blocks give mean, error, t, p and stability of all cells (``statistics``).
4. The same events shifted by whole days, all symbols together, give the placebo p.
5. Every template that reads the test becomes a row, turned to its own side; one row of each alias group counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from quant_platform.contracts.errors import SpecError
from quant_platform.contracts.schemas.discovery import DiscoveryCandidates
from quant_platform.labs.events.discovery.cells import ALL, EventRows, Outcomes, event_rows, outcomes
from quant_platform.labs.events.discovery.labels import LabelStore
from quant_platform.labs.events.discovery.segments import segments
from quant_platform.market.perp_panel import BARS_PER_DAY, DAY, PricePanel
from quant_platform.market.weeks import week_number
from quant_platform.specification.discovery import DiscoverySpec, DiscoverySpecs, TemplateSpec
from quant_platform.specification.events import EventSpec
from quant_platform.statistics import (
    CellIndex,
    ClusteredMeans,
    PlaceboTests,
    circular_offsets,
    cluster_moments,
    clustered_means,
    index_cells,
    means_from_moments,
    minimum_detectable_effect,
    one_sided_p,
    placebo_tests,
    time_block_stability,
    wild_cluster_p,
)
from quant_platform.statistics.checks import Bools, Floats, Longs


@dataclass(frozen=True)
class _Cells:
    """Statistics of all cells under one test and horizon, in the orientation of the test's table."""

    n_days: Longs
    tested: Bools
    tested_label: ClusteredMeans
    raw: ClusteredMeans
    hedged: ClusteredMeans
    p_cluster: Floats
    wild: Bools
    placebo: PlaceboTests | None
    signs: Longs
    agreeing: Longs
    heterogeneity_p: Floats
    leave_one_out_t: Floats
    recent_t: Floats
    leave_one_symbol_out_t: Floats
    largest_share: Floats
    cost: Floats
    funding: Floats


def evaluate(
    events: pl.DataFrame, prices: PricePanel | LabelStore, specs: DiscoverySpecs, *, cutoff: str
) -> pl.DataFrame:
    """Evaluate every cell of every event in the rows.

    Parameters
    ----------
    events
        Rows of ``events.events`` of any number of events, up to the cutoff.
    prices
        Panel of the same symbols, or its label store, which keeps what several events share.
    specs
        Events, templates, defaults and the ontology hash.
    cutoff
        Month the data end with, ``YYYY-MM``; stands in every row.

    Returns
    -------
    polars.DataFrame
        Rows of ``discovery.candidates``, sorted by key.

    Raises
    ------
    SpecError
        If an event of the rows is not declared.

    Notes
    -----
    **Timing.** Nothing after the training segment is read; an outcome that would end after it is left out.
    """
    store = prices if isinstance(prices, LabelStore) else LabelStore(prices, specs.discovery)
    frames = [_empty()]
    for (name,), own in sorted(events.partition_by("event_id", as_dict=True).items()):
        event = specs.events.get(str(name))
        if event is None:
            raise SpecError(f"there is no event {name!r}", where="specs/events", action="detect the events again")
        frames.append(_evaluate_event(event, own, store, specs, cutoff))
    return pl.concat(frames).sort(DiscoveryCandidates.primary_key())


def tests_of(event: EventSpec, templates: Mapping[str, TemplateSpec]) -> dict[str, list[str]]:
    """Templates of an event by the test they read, filters with a measure included."""
    found: dict[str, list[str]] = {}
    for name in (*(event.templates or ()), *(event.filters or ())):
        if templates[name].label is not None:
            found.setdefault(templates[name].test, []).append(name)
    return found


def _evaluate_event(
    event: EventSpec, events: pl.DataFrame, store: LabelStore, specs: DiscoverySpecs, cutoff: str
) -> pl.DataFrame:
    spec = specs.discovery
    segment = segments(store.panel.days, spec.split, event.family)[0]
    rows = event_rows(events, store.panel, segment, event.conditioning or ())
    weeks = week_number(rows.days + store.panel.first_day)
    by_day, by_week = rows.index(rows.days), rows.index(weeks)
    rng = np.random.default_rng([spec.seed, *event.id.encode()])
    days_in_window = segment.last_day - segment.first_day
    offsets = circular_offsets(days_in_window * BARS_PER_DAY, BARS_PER_DAY, rng=rng, draws=spec.errors.placebo_draws)
    parts: list[dict[str, object]] = []
    for test, names in tests_of(event, specs.templates).items():
        first = specs.templates[names[0]]
        for horizon in event.horizons_bars or ():
            weekly = horizon > spec.errors.week_above_bars
            clusters, index = (weeks, by_week) if weekly else (rows.days, by_day)
            found = outcomes(store, rows, first, horizon, event.entry_lag_bars, segment)
            blocks = (rows.days - segment.first_day) * spec.errors.time_blocks // max(days_in_window, 1)
            if weekly:
                # A week lies in one block: that of its first day here.
                blocks = _first_of_cluster(blocks, clusters)
            cells = _judge(rows, found, first, clusters, index, by_day, blocks, offsets, spec, rng)
            shared = {
                "cutoff": cutoff,
                "event_id": event.id,
                "horizon_bars": horizon,
                "family": event.family,
                "question": first.question,
                "test": test,
                "kind": first.kind,
                "train_start": store.panel.start + segment.first_day * DAY,
                "train_end": store.panel.start + segment.last_day * DAY,
                "entry_lag_bars": event.entry_lag_bars + (1 if first.subset == "confirmed" else 0),
                "cluster": "week" if weekly else "day",
                "ontology_hash": specs.ontology_hash,
            }
            for place, name in enumerate(names):
                template = specs.templates[name]
                parts.append(_rows_of(rows, cells, name, template, spec, counted=place == 0, shared=shared))
    return _frame(parts, rows.n_cells)


def _judge(
    rows: EventRows,
    found: Outcomes,
    template: TemplateSpec,
    clusters: Longs,
    index: CellIndex,
    by_day: CellIndex,
    blocks: Longs,
    offsets: Longs,
    spec: DiscoverySpec,
    rng: np.random.Generator,
) -> _Cells:
    hedged_is_tested = spec.test_label == "hedged" and bool((~np.isnan(found.hedged)).any())
    values = found.hedged if hedged_is_tested else found.values
    moments = cluster_moments(values, clusters, index, blocks=blocks, n_blocks=spec.errors.time_blocks)
    whole = means_from_moments(moments.sum(axis=1))
    stability = time_block_stability(moments, recent=spec.errors.recent_blocks)
    raw = whole if not hedged_is_tested else clustered_means(found.values, clusters, index)
    hedged = whole if hedged_is_tested else clustered_means(found.hedged, clusters, index)
    n_days = whole.n_clusters if index is by_day else clustered_means(values, rows.days, by_day).n_clusters
    tested = (whole.n >= spec.cells.min_events) & (n_days >= spec.cells.min_days)
    alternative = template.alternative
    p = whole.p.copy() if alternative == "two-sided" else one_sided_p(whole.t, whole.n_clusters - 1.0)
    wild = tested & (whole.n_clusters < spec.errors.few_clusters)
    for cell in np.flatnonzero(wild):
        own = index.rows[index.starts[cell] : index.starts[cell + 1]]
        p[cell] = wild_cluster_p(
            values[own], clusters[own], rng=rng, draws=spec.errors.wild_draws, alternative=alternative
        )
    placebo = None
    if template.question != "risk" and offsets.size:
        observed = np.where(tested, whole.t, np.nan)
        placebo = placebo_tests(
            found.series(hedged=hedged_is_tested),
            found.tracks,
            found.positions,
            clusters,
            index,
            observed,
            np.maximum(whole.n_clusters - 1.0, 1.0),
            offsets=offsets,
            alternative=alternative,
        )
    seen = np.where(np.isnan(values), np.nan, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        cost = _cell_means(rows, seen * found.cost)
        funding = _cell_means(rows, seen * found.funding)
    return _Cells(
        n_days=n_days,
        tested=tested,
        tested_label=whole,
        raw=raw,
        hedged=hedged,
        p_cluster=p,
        wild=wild,
        placebo=placebo,
        signs=stability.signs,
        agreeing=stability.agreeing,
        heterogeneity_p=stability.heterogeneity_p,
        leave_one_out_t=stability.leave_one_out_t,
        recent_t=stability.recent_t,
        leave_one_symbol_out_t=_leave_one_symbol_out(rows, values, clusters, whole),
        largest_share=stability.largest_share,
        cost=cost,
        funding=funding,
    )


def _leave_one_symbol_out(rows: EventRows, values: Floats, clusters: Longs, whole: ClusteredMeans) -> Floats:
    """``[C]`` smallest t in the direction of the effect with any one symbol left out; NaN in cells of one symbol."""
    smallest = np.full(rows.n_cells, np.nan)
    of_all = np.array([symbol == ALL for symbol in rows.cell_symbol], dtype=np.bool_)
    cell, row = rows.pairs
    inside = of_all[cell]
    cell, row = cell[inside], row[inside]
    symbols = np.unique(rows.symbols)
    if symbols.size < 2:
        return smallest
    t = np.full((symbols.size, rows.n_cells), np.nan)
    for place, left_out in enumerate(symbols):
        kept = rows.symbols[row] != left_out
        index = index_cells(cell[kept], row[kept], clusters, rows.n_cells)
        t[place] = clustered_means(values, clusters, index).t * np.sign(whole.mean)
    # A cell that is empty without one symbol is that symbol's cell, not one over symbols: NaN stays.
    smallest[of_all] = t[:, of_all].min(axis=0)
    return smallest


def _rows_of(
    rows: EventRows,
    cells: _Cells,
    name: str,
    template: TemplateSpec,
    spec: DiscoverySpec,
    *,
    counted: bool,
    shared: Mapping[str, object],
) -> dict[str, object]:
    """Turn the cells to a template's side: every column of their rows, an array, or one value for all of them."""
    mean = cells.tested_label
    with np.errstate(invalid="ignore"):
        if template.side == 0:
            side = np.where(mean.mean < 0.0, -1.0, 1.0)
        else:
            side = np.full(mean.mean.size, float(template.side or 1))
    # Tables of one-sided trades already hold the template's own side.
    turn = side if _is_mirrored(template) else np.ones_like(side)
    effect, funding = turn * mean.mean, turn * cells.funding
    tradable = template.question != "risk"
    cost = cells.cost if tradable else np.where(np.isnan(cells.cost), np.nan, 0.0)
    p_placebo = np.full(effect.size, np.nan) if cells.placebo is None else cells.placebo.p
    p_decides = np.fmax(cells.p_cluster, p_placebo) if spec.errors.placebo_decides else cells.p_cluster
    p_raw = np.where(cells.tested, p_decides, np.nan)
    p_raw[np.isnan(cells.p_cluster)] = np.nan
    symbols = np.sign(turn)[:, None] * cells.signs
    marks = np.array(["-", "0", "+"])[symbols.astype(np.int64) + 1]
    keys = [
        f"{shared['event_id']}|{shared['test']}|{shared['horizon_bars']}|{symbol}|{dimension}|{state}"
        for symbol, dimension, state in zip(rows.cell_symbol, rows.cell_dimension, rows.cell_state, strict=True)
    ]
    return {
        **shared,
        "template": name,
        "symbol": list(rows.cell_symbol),
        "dimension": list(rows.cell_dimension),
        "state": list(rows.cell_state),
        "alias_group": keys,
        "counted": counted,
        "side": side.astype(np.int8),
        "n": mean.n,
        "n_days": cells.n_days,
        "n_clusters": mean.n_clusters,
        "tested": cells.tested,
        "effect_bps": effect,
        "standard_error_bps": mean.standard_error,
        "cost_bps": cost,
        "funding_bps": funding,
        "net_bps": effect - cost - funding,
        "stressed_bps": effect - spec.cost.stress * cost - funding,
        "t": turn * mean.t,
        "p_cluster": cells.p_cluster,
        "wild": cells.wild,
        "p_placebo": p_placebo,
        "placebo_as_large": None if cells.placebo is None else cells.placebo.as_large,
        "placebo_shifts": None if cells.placebo is None else cells.placebo.n_shifts,
        "p_raw": p_raw,
        "raw_effect_bps": turn * cells.raw.mean,
        "raw_t": turn * cells.raw.t,
        "raw_p": cells.raw.p,
        "hedged_effect_bps": turn * cells.hedged.mean,
        "hedged_standard_error_bps": cells.hedged.standard_error,
        "hedged_t": turn * cells.hedged.t,
        "hedged_p": cells.hedged.p,
        "block_signs": ["".join(line) for line in marks],
        "blocks_agreeing": cells.agreeing.astype(np.int32),
        "heterogeneity_p": cells.heterogeneity_p,
        "leave_one_out_t": cells.leave_one_out_t,
        "recent_t": cells.recent_t,
        "leave_one_symbol_out_t": cells.leave_one_symbol_out_t,
        "largest_block_share": cells.largest_share,
        "mde_bps": minimum_detectable_effect(
            mean.standard_error, level=spec.level, power=spec.power, alternative=template.alternative
        ),
    }


def _frame(parts: Sequence[Mapping[str, object]], count: int) -> pl.DataFrame:
    """Rows of all parts, each of ``count``; one frame, because making one costs more than a part's statistics."""
    if not parts:
        return _empty()
    return pl.DataFrame(
        [_column(name, dtype, [part.get(name) for part in parts], count) for name, dtype in _SCHEMA.items()]
    )


def _column(name: str, dtype: pl.DataType, values: Sequence[object], count: int) -> pl.Series:
    arrays = [value for value in values if isinstance(value, np.ndarray)]
    if len(arrays) == len(values):
        return pl.Series(name, np.concatenate(arrays), nan_to_null=True).cast(dtype)
    said: list[object] = []
    for value in values:
        if isinstance(value, np.ndarray):
            value = value.tolist()
        said += value if isinstance(value, list) else [value] * count
    return pl.Series(name, said, dtype=dtype)


def _is_mirrored(template: TemplateSpec) -> bool:
    return template.label not in ("pullback_return", "target_stop")


def _first_of_cluster(blocks: Longs, clusters: Longs) -> Longs:
    """Give all rows of a cluster the smallest block among them."""
    if blocks.size == 0:
        return blocks
    _, place = np.unique(clusters, return_inverse=True)
    lowest = np.full(int(place.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(lowest, place, blocks)
    first: Longs = lowest[place]
    return first


def _cell_means(rows: EventRows, values: Floats) -> Floats:
    cell, row = rows.pairs
    seen = ~np.isnan(values[row])
    count = np.bincount(cell[seen], minlength=rows.n_cells)
    total = np.bincount(cell[seen], weights=values[row][seen], minlength=rows.n_cells)
    result: Floats = total / count
    return result


_SCHEMA = {name: column.dtype for name, column in DiscoveryCandidates.columns().items()}


def _empty() -> pl.DataFrame:
    return pl.DataFrame(schema=_SCHEMA)


def counted_tests(candidates: pl.DataFrame, question: str | Iterable[str] = "direction") -> pl.DataFrame:
    """Rows that count as tests of one or several questions: alias groups once, cells large enough."""
    questions = [question] if isinstance(question, str) else list(question)
    return candidates.filter(pl.col("tested") & pl.col("counted") & pl.col("question").cast(pl.String).is_in(questions))
