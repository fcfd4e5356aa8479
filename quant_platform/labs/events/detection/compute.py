"""Features, states, event flags and events of the five-minute bars of perpetuals.

For one symbol (:func:`compute_symbol`):

1. rows are checked to be the full grid (:func:`.grid.stamps`) and joined with their context, row by row;
2. the shared plan runs over all rows (:meth:`Plan.run`); an output whose column is absent is not available;
3. an event's condition counts only where its direction and intensity are known; ``onsets`` and ``accepted`` turn it
   into flags (:mod:`.onsets`);
4. flags of rows with fewer earlier rows than the event's memory are null: nobody can say yet whether it fired;
5. states are labelled (:mod:`.states`), windows after events last, from the accepted flags;
6. frames are built for the rows from ``since`` on.

Rows are numbered from 1970 for the plan, and every memory is finite, so a month computed with ``EventPlan.warm_bars``
rows before it equals one pass over all of history bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.expressions import Evaluation
from quant_platform.labs.events.detection.columns import COLUMNS, CONTEXT_FLAGS, CONTEXT_NUMBERS, MARKET_FLAGS
from quant_platform.labs.events.detection.context import market_context
from quant_platform.labs.events.detection.grid import BAR_US, month_start, stamps
from quant_platform.labs.events.detection.labels import Absent, Fired, state_columns
from quant_platform.labs.events.detection.onsets import accepted, onsets
from quant_platform.labs.events.detection.plan import EventPlan, event_plan, one_event_plan, part
from quant_platform.specification.event_lab import EventLab
from quant_platform.specification.events import EventSpec
from quant_platform.specification.states import AfterEventState

KEYS = ("symbol", "month", "bar")

_NOT_KNOWN = pl.Series([None], dtype=pl.Float64)

Array = npt.NDArray[np.generic]
Conditions = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SymbolEvents:
    """What was computed for one symbol, one row per bar in each frame.

    Parameters
    ----------
    symbol
        Instrument.
    features
        ``features.market_5m``: NaN where missing, null where a column is absent.
    states
        ``features.states_5m``.
    flags
        ``events.event_flags``.
    not_available
        Feature, event or state to the columns it lacks.
    """

    symbol: str
    features: pl.DataFrame
    states: pl.DataFrame
    flags: pl.DataFrame
    not_available: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class EventPanel:
    """Results of several symbols and the context they were computed in."""

    symbols: Mapping[str, SymbolEvents]
    context: Mapping[str, pl.DataFrame]


def compute_events(
    market: Mapping[str, pl.DataFrame],
    lab: EventLab,
    members: pl.DataFrame | None = None,
    *,
    since: datetime | None = None,
    workers: int = 1,
) -> EventPanel:
    """Compute everything for several symbols.

    Parameters
    ----------
    market
        Symbol to rows of ``clean.market_5m`` on the full grid, oldest first.
    lab
        Specs.
    members
        Stretches of membership in the universe, see :func:`.context.market_context`.
    since
        First bar of the result; the rows before it are memory. All rows when None.
    workers
        Threads; the compiled loops run side by side.

    Raises
    ------
    SchemaViolation
        Rows are not the full grid or columns have the wrong type.
    """
    plan = event_plan(lab)
    context = market_context(market, lab.context, members)
    done = {found.symbol: found for found in each_symbol(market, context, plan, since=since, workers=workers)}
    kept = {name: _from(frame, since) for name, frame in context.items()}
    return EventPanel(done, kept)


def compute_month(
    market: Mapping[str, pl.DataFrame], lab: EventLab, month: str, members: pl.DataFrame | None = None
) -> EventPanel:
    """Compute one month; ``market`` holds it and the ``warm_bars`` rows before it, or all there are.

    Parameters
    ----------
    market
        Symbol to rows of ``clean.market_5m``; rows after the month are not looked at.
    lab
        Specs.
    month
        ``YYYY-MM``.
    members
        As in :func:`compute_events`.
    """
    known = {name: frame.filter(pl.col("month") <= month) for name, frame in market.items()}
    return compute_events(known, lab, members, since=month_start(month))


def each_symbol(
    market: Mapping[str, pl.DataFrame],
    context: Mapping[str, pl.DataFrame],
    plan: EventPlan,
    *,
    since: datetime | None = None,
    workers: int = 1,
) -> Iterator[SymbolEvents]:
    """Compute symbol after symbol.

    Besides the one it has, a caller that lets each go before it asks for the next has no more than ``workers`` of them
    in memory. The variable of a ``for`` loop holds on to its value until the next is there; ``map`` does not.
    """
    names = [name for name in sorted(market) if name in context]
    if workers == 1:
        for name in names:
            yield compute_symbol(market[name], context[name], plan, since=since)
        return
    with ThreadPoolExecutor(workers) as pool:
        submitted = (pool.submit(compute_symbol, market[n], context[n], plan, since=since) for n in names)
        waiting = list(islice(submitted, workers))
        while waiting:
            wait(waiting[:1])
            waiting += islice(submitted, 1)
            yield waiting.pop(0).result()


def compute_symbol(
    market: pl.DataFrame, context: pl.DataFrame, plan: EventPlan, *, since: datetime | None = None
) -> SymbolEvents:
    """Compute features, states and flags of one symbol.

    Parameters
    ----------
    market
        Rows of ``clean.market_5m`` of the symbol on the full grid.
    context
        Its rows of ``features.context_5m``, the same bars.
    plan
        The compiled specs.
    since
        First bar of the result; earlier rows are memory.

    Raises
    ------
    SchemaViolation
        Rows are not the full grid, the context has other bars, or a column has the wrong type.
    """
    bars = stamps(market)
    if not context["bar"].equals(market["bar"]):
        raise SchemaViolation(
            "the context has other bars than the market",
            where="features.context_5m",
            how_many=f"{context.height} and {market.height} rows",
            action="materialise the context of the same months",
        )
    columns, absent = _columns(market, context)
    origin = int(bars[0]) // BAR_US if bars.size else 0
    result = plan.plan.run(columns, origin=origin)
    first = int(np.searchsorted(bars, _micros(since))) if since else 0
    fired = {name: _fired(name, plan, result, absent) for name in plan.lab.active}
    keys = market.select(KEYS)[first:]
    states = keys.hstack(state_columns(plan, result, absent, fired, bars)[first:])
    not_available = _not_available(plan, result)
    # From here on a frame takes the place of the arrays it is made from: together they would be the peak of memory.
    values: dict[str, Array] = dict(result.values)
    del result, columns
    features = keys.hstack(_features(plan, values, absent)[first:])
    return SymbolEvents(
        symbol=str(market["symbol"][0]) if market.height else "",
        features=features,
        states=states,
        flags=keys.hstack(_flags(values, fired, market.height)[first:]),
        not_available=not_available,
    )


def onsets_of(
    event: EventSpec, market: Mapping[str, pl.DataFrame], context: Mapping[str, pl.DataFrame], lab: EventLab
) -> pl.DataFrame:
    """Detect one event with other numbers than those of its file.

    Parameters
    ----------
    event
        An event of the lab, changed.
    market, context
        Symbol to rows of ``clean.market_5m`` and ``features.context_5m``, the same bars, oldest first.
    lab
        Specs.

    Returns
    -------
    polars.DataFrame
        Rows of ``events.event_flags`` with the columns of this event alone.
    """
    plan = one_event_plan(lab, event)
    wanted = list(plan.plan.outputs)
    frames = []
    for symbol in sorted(market):
        rows = market[symbol]
        bars = stamps(rows)
        columns, absent = _columns(rows, context[symbol])
        result = plan.plan.run(columns, wanted, origin=int(bars[0]) // BAR_US if bars.size else 0)
        fired = {event.id: _fired(event.id, plan, result, absent)}
        frames.append(rows.select(KEYS).hstack(_flags(dict(result.values), fired, rows.height)))
    return pl.concat(frames)


def _columns(market: pl.DataFrame, context: pl.DataFrame) -> tuple[dict[str, Array], Absent]:
    """Arrays by column, and for columns that are null on some rows where they are: there they are not available."""
    arrays: dict[str, Array] = {}
    partly: dict[str, Conditions] = {}
    for frame, names in (
        (market, COLUMNS.keys() - {*CONTEXT_NUMBERS, *CONTEXT_FLAGS}),
        (context, {*CONTEXT_NUMBERS, *CONTEXT_FLAGS}),
    ):
        for name in sorted(names & set(frame.columns)):
            series = frame[name]
            if series.null_count() == series.len():
                continue
            if series.null_count():
                partly[name] = series.is_null().to_numpy()
            if name in CONTEXT_FLAGS:
                arrays[name] = series.fill_null(False).to_numpy()
            else:
                numbers = series.cast(pl.Float64).fill_null(float("nan")).to_numpy()
                arrays[name] = numbers == 1.0 if name in MARKET_FLAGS else numbers
    return arrays, Absent(partly, market.height)


def _fired(name: str, plan: EventPlan, result: Evaluation, absent: Absent) -> Fired | None:
    """Accepted onsets of one event; None when a column is absent."""
    parts = [part(name, piece) for piece in ("condition", "direction", "intensity")]
    if any(p in result.not_available for p in parts):
        return None
    event = plan.lab.events[name]
    condition, direction, intensity = (result.values[p] for p in parts)
    holds = condition.astype(np.bool_, copy=False) & ~np.isnan(direction) & ~np.isnan(intensity)
    counts = accepted(onsets(holds, event.onset), event.cooldown_bars)
    known = ~absent.on(plan.event_columns[name])
    known[: plan.event_memory[name]] = False
    return Fired(counts & known, known)


def _features(plan: EventPlan, values: dict[str, Array], absent: Absent) -> pl.DataFrame:
    """Features as a frame; takes them out of ``values``, where those that are not available are absent."""
    made = []
    for name in plan.lab.features.features:
        if name not in values:
            made.append(pl.Series(name, [None], pl.Float64).new_from_index(0, absent.rows))
            continue
        series = pl.Series(name, values.pop(name), pl.Float64)
        if absent.any_of(plan.plan.columns[name]):
            series = series.set(pl.Series(absent.on(plan.plan.columns[name])), None)
        made.append(series)
    return pl.DataFrame(made)


def _flags(values: dict[str, Array], fired: Mapping[str, Fired | None], rows: int) -> pl.DataFrame:
    """Flag, direction and intensity of each event; takes the last two out of ``values``."""
    made = []
    for name, found in fired.items():
        names = (name, f"{name}__direction", f"{name}__intensity")
        if found is None:
            made += [pl.Series(column, [None], pl.Float64).new_from_index(0, rows) for column in names]
            continue
        made.append(_nullable(name, found.accepted.astype(np.float64), found.known))
        made.append(_nullable(names[1], np.sign(values.pop(part(name, "direction"))), found.accepted))
        made.append(_nullable(names[2], values.pop(part(name, "intensity")), found.accepted))
    return pl.DataFrame(made)


def _nullable(name: str, values: Array, known: Conditions) -> pl.Series:
    """Values where known, null elsewhere; the values are NaN nowhere that is known."""
    return pl.Series(name, values).zip_with(pl.Series(known), _NOT_KNOWN)


def _not_available(plan: EventPlan, result: Evaluation) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for output, absent in result.not_available.items():
        found.setdefault(output.split("|")[0], set()).update(absent)
    for name, state in plan.lab.states.items():
        if isinstance(state, AfterEventState) and all(event in found for event in state.events):
            found[name] = set().union(*(found[event] for event in state.events))
    return {name: tuple(sorted(columns)) for name, columns in found.items()}


def _from(frame: pl.DataFrame, since: datetime | None) -> pl.DataFrame:
    return frame if since is None else frame.filter(pl.col("bar") >= since)


def _micros(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000
