"""Features, states, event flags and events of the five-minute bars of perpetuals.

For one symbol (:func:`compute_symbol`):

1. rows are checked to be the full grid (:func:`.grid.stamps`) and joined with their context, row by row;
2. the shared plan runs over all rows (:meth:`Plan.run`); an output whose column is absent is not available;
3. as soon as the parts of an event are there, ``_detected`` finds its accepted onsets (:mod:`.onsets`), which count
   only where direction and intensity are known, and lets condition and direction go;
4. flags of rows with fewer earlier rows than the event's memory are null: nobody can say yet whether it fired;
5. states are labelled (:mod:`.states`), windows after events last, from the accepted flags;
6. frames are built for the rows from ``since`` on.

Rows are numbered from 1970 for the plan, and every memory is finite, so a month computed with ``EventPlan.warm_bars``
rows before it equals one pass over all of history bit for bit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.expressions import Evaluation, Use
from quant_platform.expressions.arrays import Arrays
from quant_platform.labs.events.detection.columns import COLUMNS, CONTEXT_FLAGS, CONTEXT_NUMBERS, MARKET_FLAGS
from quant_platform.labs.events.detection.context import market_context
from quant_platform.labs.events.detection.grid import BAR_US, month_start, stamps
from quant_platform.labs.events.detection.labels import Absent, Fired, state_columns
from quant_platform.labs.events.detection.onsets import accepted
from quant_platform.labs.events.detection.plan import EventPlan, event_plan, one_event_plan, part
from quant_platform.specification.event_lab import EventLab
from quant_platform.specification.events import EventSpec
from quant_platform.specification.states import AfterEventState

KEYS = ("symbol", "month", "bar")

_NOT_KNOWN = pl.Series([None], dtype=pl.Float64)

Array = npt.NDArray[np.generic]
Conditions = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]


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
    arrays = Arrays(market.height)
    result = _run(plan, plan.lab.active, columns, absent, origin, arrays)
    first = int(np.searchsorted(bars, _micros(since))) if since else 0
    found: dict[str, _Detected | None] = {name: result.made.get(name) for name in plan.lab.active}
    fired = {name: detected.fired if detected else None for name, detected in found.items()}
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
        flags=keys.hstack(_flags(values, found, arrays)[first:]),
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
    frames = []
    for symbol in sorted(market):
        rows = market[symbol]
        bars = stamps(rows)
        columns, absent = _columns(rows, context[symbol])
        arrays = Arrays(rows.height)
        result = _run(plan, [event.id], columns, absent, int(bars[0]) // BAR_US if bars.size else 0, arrays)
        frames.append(rows.select(KEYS).hstack(_flags(dict(result.values), dict(result.made), arrays)))
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
                arrays[name] = (series.fill_null(False) if name in partly else series).to_numpy()
            else:
                known = series.cast(pl.Float64)
                numbers = (known.fill_null(float("nan")) if name in partly else known).to_numpy()
                arrays[name] = numbers == 1.0 if name in MARKET_FLAGS else numbers
    return arrays, Absent(partly, market.height)


@dataclass(frozen=True)
class _Detected:
    """Accepted onsets of one event, and the sign of the direction on the row of each."""

    fired: Fired
    signs: Numbers


def _run(
    plan: EventPlan, events: Collection[str], columns: Mapping[str, Array], absent: Absent, origin: int, arrays: Arrays
) -> Evaluation:
    """Values of a plan without those from which events were detected, and what was detected."""
    uses = {
        name: Use(
            tuple(part(name, piece) for piece in ("condition", "direction", "intensity")),
            partial(_detected, name, plan, absent),
        )
        for name in events
    }
    gone = {output for use in uses.values() for output in use.outputs[:2]}
    return plan.plan.run(
        columns, [name for name in plan.plan.outputs if name not in gone], origin=origin, uses=uses, arrays=arrays
    )


def _detected(
    name: str, plan: EventPlan, absent: Absent, condition: Conditions, direction: Numbers, intensity: Numbers
) -> _Detected:
    event = plan.lab.events[name]
    rising = event.onset == "rising"
    rows = accepted(condition, direction, intensity, rising=rising, cooldown_bars=event.cooldown_bars)
    known = ~absent.on(plan.event_columns[name])
    known[: plan.event_memory[name]] = False
    rows = rows[known[rows]]
    return _Detected(Fired(rows, known), np.sign(direction[rows]))


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


def _flags(values: dict[str, Array], detected: Mapping[str, _Detected | None], arrays: Arrays) -> pl.DataFrame:
    """Flag, direction and intensity of each event; takes the last out of ``values``."""
    made = []
    for name, found in detected.items():
        names = (name, f"{name}__direction", f"{name}__intensity")
        if found is None:
            made += [pl.Series(column, [None], pl.Float64).new_from_index(0, arrays.rows) for column in names]
            continue
        flag, direction = arrays.zeros(), arrays.zeros()
        flag[found.fired.rows] = 1.0
        direction[found.fired.rows] = found.signs
        counts = pl.Series(found.fired.accepted)
        made.append(_nullable(name, flag, pl.Series(found.fired.known)))
        made.append(_nullable(names[1], direction, counts))
        made.append(_nullable(names[2], values.pop(part(name, "intensity")), counts))
    return pl.DataFrame(made)


def _nullable(name: str, values: Array, known: pl.Series) -> pl.Series:
    """Values where known, null elsewhere; the values are NaN nowhere that is known."""
    return pl.Series(name, values).zip_with(known, _NOT_KNOWN)


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
