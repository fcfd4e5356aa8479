"""Is an event what its registry entry says: how often, how clustered, and can it be traded at all.

Per event, over all symbols together:

1. *prevalence*: accepted events per 10,000 bars on which it could be judged (its flag is not null), with a Wilson
   interval, against its own bounds and those of the registry; bounds of an event that follows the funding clock are of
   contracts that settle each eight hours, and are scaled to the interval that the bars were judged under;
2. *clustering*: share of accepted events with another of the same event and symbol at most ``clustering_bars`` earlier;
3. *join rate*: share of accepted events whose entry bar has an open price, of those whose entry bar is in the market;
4. *thin symbols*: those on which it could be judged and was accepted fewer than ``min_events_per_symbol`` times, to be
   reported, not refused.

A check fails where the whole 95 % interval lies beyond its bound: one event of fifty without a price is no evidence of
a bad join. An event that never fired has passed nothing and is ``never_fired``, unless so many bars without it are
themselves too few.

What it does not catch: an event that fires at the right rate at the wrong bars.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from quant_platform.labs.events.detection.grid import BAR
from quant_platform.labs.events.detection.plan import EventPlan
from quant_platform.specification.events import EventSpec
from quant_platform.statistics import wilson_interval

Status = Literal["passed", "failed", "never_fired", "not_available", "history_too_short"]
SETTLEMENTHOURS = 8.0
"""Funding interval that bounds are of."""
BARS = 10_000
HOURS = "funding_interval_hours"


@dataclass(frozen=True)
class EventCheck:
    """Result of the registry checks of one event.

    Parameters
    ----------
    event_id, family
        The event.
    status
        ``not_available``: its columns are absent for every symbol; ``history_too_short``: they are there and no bar had
        enough rows before it; ``never_fired``: judged, and not once accepted; else whether all checks passed.
    bars
        Bars on which it could be judged.
    events
        Accepted events.
    per_10k, per_10k_low, per_10k_high
        Prevalence and its 95 % Wilson interval; without bars NaN, 0 and 10,000.
    bound_min, bound_max
        Bounds it was compared with; ``bound_min`` is 0 where too few is no failure.
    clustering
        Share of clustered events; NaN without events.
    join_rate
        Share with an entry price; NaN without events whose entry bar is in the market.
    symbols
        Symbols on which it could be judged.
    thin_symbols
        Those with few accepted events.
    reasons
        Which checks failed, with the number and the bound, or why the event could not be judged.
    """

    event_id: str
    family: str
    status: Status
    bars: int
    events: int
    per_10k: float
    per_10k_low: float
    per_10k_high: float
    bound_min: float
    bound_max: float
    clustering: float
    join_rate: float
    symbols: int
    thin_symbols: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class _Prices:
    """Bars with a price to enter at, and the last bar of each symbol."""

    priced: pl.DataFrame
    last: pl.DataFrame


def check_prevalence(
    flags: pl.DataFrame, market: pl.DataFrame, plan: EventPlan, *, known: Collection[str] | None = None
) -> list[EventCheck]:
    """Check every active event whose columns are in ``flags``.

    Parameters
    ----------
    flags
        ``events.event_flags`` of all symbols and months to be judged.
    market
        ``symbol, bar, open`` of the same symbols, from ``clean.market_5m``, and ``funding_interval_hours`` where it is
        there.
    plan
        The compiled specs, with the bounds.
    known
        Input columns that hold a value anywhere; names the cause of ``not_available``. None where nobody looked.

    Returns
    -------
    list of EventCheck
        In alphabetical order of the events.
    """
    priced = market.select("symbol", "bar", pl.col("open").fill_nan(None)).drop_nulls("open").drop("open")
    prices = _Prices(priced, market.group_by("symbol").agg(pl.col("bar").max().alias("last")))
    present = {name: event for name, event in plan.lab.active.items() if name in flags.columns}
    hours = market.select("symbol", "bar", HOURS) if HOURS in market.columns else None
    return [_check(flags, prices, event, plan, hours, known) for event in present.values()]


def checks_frame(checks: list[EventCheck]) -> pl.DataFrame:
    """The results as a table, one row per event; lists are joined by semicolons."""
    rows = [
        {**vars(check), "thin_symbols": "; ".join(check.thin_symbols), "reasons": "; ".join(check.reasons)}
        for check in checks
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _check(
    flags: pl.DataFrame,
    prices: _Prices,
    event: EventSpec,
    plan: EventPlan,
    hours: pl.DataFrame | None,
    known: Collection[str] | None,
) -> EventCheck:
    registry = plan.lab.registry
    own = flags.select("symbol", "bar", pl.col(event.id).alias("flag")).filter(pl.col("flag").is_not_null())
    hits = own.filter(pl.col("flag") == 1.0).sort("symbol", "bar")
    bounds = event.prevalence_per_10k
    faster = _settlements_per_eight_hours(own, hours) if bounds.per_settlement else 1.0
    low = faster * bounds.min if bounds.enforce_min else 0.0
    high = min(faster * bounds.max, max(1.0, faster) * registry.max_per_10k)
    bars, events = own.height, hits.height
    interval = wilson_interval(events, bars)
    counts = own.group_by("symbol").agg(pl.col("flag").sum().alias("events")).sort("symbol")
    clustered = _clustered(hits, registry.clustering_bars)
    priced, possible = _joined(hits, prices, event)
    clustering, join_rate = _rate(clustered, events), _rate(priced, possible)
    per_10k = BARS * events / bars if bars else float("nan")
    reasons = []
    if BARS * float(interval.high) < low:
        reasons.append(f"prevalence {per_10k:.2f} below {low:g} per 10,000 bars")
    if BARS * float(interval.low) > high:
        reasons.append(f"prevalence {per_10k:.2f} above {high:g} per 10,000 bars")
    if events and float(wilson_interval(clustered, events).low) > registry.max_clustering:
        reasons.append(f"{clustering:.0%} of events within {registry.clustering_bars} bars of another")
    if possible and float(wilson_interval(priced, possible).high) < registry.min_join_rate:
        reasons.append(f"join rate {join_rate:.4f} below {registry.min_join_rate:g}")
    status = _status(flags, bars, events, plan.event_memory[event.id], reasons)
    if status in ("not_available", "history_too_short"):
        reasons = [_cause(status, event, plan.event_memory[event.id], known)]
    return EventCheck(
        event_id=event.id,
        family=event.family,
        status=status,
        bars=bars,
        events=events,
        per_10k=per_10k,
        per_10k_low=BARS * float(interval.low),
        per_10k_high=BARS * float(interval.high),
        bound_min=low,
        bound_max=high,
        clustering=clustering,
        join_rate=join_rate,
        symbols=counts.height,
        thin_symbols=tuple(counts.filter(pl.col("events") < registry.min_events_per_symbol)["symbol"]),
        reasons=tuple(reasons),
    )


def _status(flags: pl.DataFrame, bars: int, events: int, memory: int, reasons: list[str]) -> Status:
    if bars:
        return "failed" if reasons else "passed" if events else "never_fired"
    longest = flags.group_by("symbol").len()["len"].max() if flags.height else 0
    return "history_too_short" if int(str(longest)) <= memory else "not_available"


def _cause(status: Status, event: EventSpec, memory: int, known: Collection[str] | None) -> str:
    if status == "history_too_short":
        return f"no symbol has more than the {memory:,} bars that must come before the first"
    if known is None:
        return "no bar has all of its inputs"
    absent = sorted(set(event.inputs) - set(known))
    return f"no value of {', '.join(absent)}" if absent else "every input is there, and no bar has all of them"


def _settlements_per_eight_hours(own: pl.DataFrame, hours: pl.DataFrame | None) -> float:
    """Mean over the bars that were judged; 1 where no interval is known."""
    if hours is None:
        return 1.0
    known = own.join(hours, on=["symbol", "bar"]).get_column(HOURS).fill_nan(None).drop_nulls()
    return float(np.mean(SETTLEMENTHOURS / known.to_numpy())) if known.len() else 1.0


def _rate(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _clustered(hits: pl.DataFrame, bars: int) -> int:
    """Events that follow another of their symbol at most ``bars`` bars later."""
    close = (pl.col("bar") - pl.col("bar").shift(1).over("symbol")) <= bars * BAR
    return int(hits.select(close.fill_null(False).sum()).item()) if hits.height else 0


def _joined(hits: pl.DataFrame, prices: _Prices, event: EventSpec) -> tuple[int, int]:
    """Events with a price at their entry, and events whose entry bar is not after the last bar."""
    entries = hits.select("symbol", (pl.col("bar") + event.entry_lag_bars * BAR).alias("bar"))
    possible = entries.join(prices.last, on="symbol").filter(pl.col("bar") <= pl.col("last"))
    # A symbol has a bar once, and the few are what a table is made of to look into.
    return prices.priced.join(possible, on=["symbol", "bar"], how="semi").height, possible.height
