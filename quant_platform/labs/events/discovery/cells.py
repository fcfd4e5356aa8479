"""The cells of one event: which of its rows belong to which symbol and state, and what each row's outcome is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.labs.events.discovery.labels import LabelStore, LabelTable
from quant_platform.labs.events.discovery.segments import Segment
from quant_platform.market.perp_panel import BARS_PER_DAY, PricePanel
from quant_platform.specification.discovery import TemplateSpec
from quant_platform.statistics import CellIndex, index_cells
from quant_platform.statistics.checks import Floats, Longs

ALL = "ALL"
"""Symbol of the cells over all symbols, and dimension and state of the cells over all states."""


@dataclass(frozen=True)
class EventRows:
    """Accepted onsets of one event inside one segment.

    Attributes
    ----------
    symbols, positions, directions
        ``[n]`` row of the panel, bar of the panel, -1, 0 or 1.
    days
        ``[n]`` UTC day of the event's bar, counted from the start of the panel.
    cell_symbol, cell_dimension, cell_state
        ``[C]`` what each cell is about.
    pairs
        ``[2, M]`` cell and row of every membership.
    """

    symbols: Longs
    positions: Longs
    directions: Longs
    days: Longs
    cell_symbol: tuple[str, ...]
    cell_dimension: tuple[str, ...]
    cell_state: tuple[str, ...]
    pairs: Longs

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.cell_symbol)

    def index(self, clusters: Longs) -> CellIndex:
        """Membership sorted for one choice of clusters."""
        return index_cells(self.pairs[0], self.pairs[1], clusters, self.n_cells)


def event_rows(events: pl.DataFrame, panel: PricePanel, segment: Segment, dimensions: Sequence[str]) -> EventRows:
    """Place the rows of one event on the panel and sort them into cells.

    Parameters
    ----------
    events
        Rows of ``events.events`` of one event.
    panel
        Prices; events of symbols or times that it does not hold are an error.
    segment
        Only events whose bar lies in it are taken.
    dimensions
        State columns whose values split the events; each cell is one value of one of them, or all events.

    Raises
    ------
    SchemaViolation
        If a symbol or bar is not in the panel, or a state column is missing.
    """
    missing = [name for name in dimensions if name not in events.columns]
    if missing:
        raise SchemaViolation(f"the state {missing[0]!r} is not a column of the events", where="events.events")
    # Sums of floats depend on their order: results must not depend on how the rows came.
    events = events.sort("bar", "symbol")
    number = {symbol: row for row, symbol in enumerate(panel.symbols)}
    symbols = np.array([number.get(name, -1) for name in events["symbol"].to_list()], dtype=np.int64)
    positions = panel.positions(events["bar"])
    foreign = (symbols < 0) | (positions < 0) | (positions >= panel.periods)
    if foreign.any():
        raise SchemaViolation(
            "events lie outside the price panel",
            where="events.events",
            how_many=f"{int(foreign.sum())} of {foreign.size} rows",
            rows=events.filter(pl.Series(foreign)).select("symbol", "bar"),
            cause="events and prices were read for different symbols or months",
        )
    inside = (positions >= segment.bars.start) & (positions < segment.bars.stop)
    kept = events.filter(pl.Series(inside))
    symbols, positions = symbols[inside], positions[inside]
    # Zero is the schema's "no direction"; a template that needs one does not take such an event.
    directions = kept["direction"].cast(pl.Int64).fill_null(0).to_numpy()
    rows = np.arange(positions.size)

    names: list[tuple[str, str, str]] = []
    cells: list[Longs] = []
    members: list[Longs] = []
    for dimension in (ALL, *dimensions):
        labels = [ALL] * rows.size if dimension == ALL else kept[dimension].cast(pl.String).to_list()
        states = sorted({label for label in labels if label is not None}) or ([ALL] if dimension == ALL else [])
        place = {state: i for i, state in enumerate(states)}
        code = np.array([place.get(label, -1) if label is not None else -1 for label in labels], dtype=np.int64)
        known = rows[code >= 0]
        for symbol in (ALL, *panel.symbols):
            own = known if symbol == ALL else known[symbols[known] == number[symbol]]
            cells.append(code[own] + len(names))
            members.append(own)
            names.extend((symbol, dimension, state) for state in states)
    return EventRows(
        symbols=symbols,
        positions=positions,
        directions=directions.astype(np.int64),
        days=positions // BARS_PER_DAY,
        cell_symbol=tuple(symbol for symbol, _, _ in names),
        cell_dimension=tuple(dimension for _, dimension, _ in names),
        cell_state=tuple(state for _, _, state in names),
        pairs=np.vstack([np.concatenate(cells), np.concatenate(members)]),
    )


@dataclass(frozen=True)
class Outcomes:
    """What followed each event row under one test and horizon, in bps; NaN where there is no outcome.

    Attributes
    ----------
    values, hedged, funding, cost
        ``[n]``; ``cost`` is of all sides and legs, at 1.0x, with what unknown funding is charged. Funding is of no
        meaning where there is no outcome.
    tracks, positions
        ``[n]`` where each row looks its outcome up in a series, positions counted from the segment's first bar.
    table, segment
        Where the outcomes are from.
    """

    values: Floats
    hedged: Floats
    funding: Floats
    cost: Floats
    tracks: Longs
    positions: Longs
    table: LabelTable
    segment: Segment

    def series(self, *, hedged: bool = False) -> Floats:
        """``[track, bar]`` outcomes at every bar of the segment, for placebo shifts."""
        values = self.table.values if not hedged else self.table.hedged
        if values is None:
            values = np.broadcast_to(np.nan, self.table.values.shape)
        return self.table.tracks(values, self.segment.bars)


def outcomes(
    store: LabelStore, rows: EventRows, template: TemplateSpec, horizon: int, lag: int, segment: Segment
) -> Outcomes:
    """Look up what followed the events, within the segment: what ends after it is left out."""
    table = store.table(template, horizon, lag)
    where = rows.symbols, rows.positions, rows.directions
    taken = store.takes(template, *where)
    counts = taken & (rows.positions + table.reach < segment.bars.stop)
    nothing = np.full(rows.positions.size, np.nan)
    tracks = rows.symbols if table.layout == "undirected" else 2 * rows.symbols + (rows.directions > 0)
    no_track = len(store.panel.symbols) * (1 if table.layout == "undirected" else 2)
    sides = 2.0 * template.legs
    return Outcomes(
        values=np.where(counts, table.at(table.values, *where), np.nan),
        hedged=nothing if table.hedged is None else np.where(counts, table.at(table.hedged, *where), np.nan),
        funding=store.funding(table, *where),
        cost=sides * store.cost[rows.symbols, rows.positions] + store.unknown_funding(table, *where),
        tracks=np.where(taken, tracks, no_track).astype(np.int64),
        positions=rows.positions - segment.bars.start,
        table=table,
        segment=segment,
    )
