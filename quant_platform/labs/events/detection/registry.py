"""Is an event what its registry entry says: how often, how clustered, and can it be traded at all.

Per event, over all symbols together:

1. *prevalence*: accepted events per 10,000 bars on which it could be judged (its flag is not null), with a Wilson
   interval, against its own bounds and those of the registry;
2. *clustering*: share of accepted events with another of the same event and symbol at most ``clustering_bars`` earlier;
3. *join rate*: share of accepted events whose entry bar has an open price, of those whose entry bar is in the market;
4. *thin symbols*: those on which it could be judged and was accepted fewer than ``min_events_per_symbol`` times, to be
   reported, not refused.

What it does not catch: an event that fires at the right rate at the wrong bars.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from quant_platform.labs.events.detection.grid import BAR
from quant_platform.labs.events.detection.plan import EventPlan
from quant_platform.specification.events import EventSpec
from quant_platform.statistics import wilson_interval

Status = Literal["passed", "failed", "not_available", "history_too_short"]
BARS = 10_000


@dataclass(frozen=True)
class EventCheck:
    """Result of the registry checks of one event.

    Parameters
    ----------
    event_id, family
        The event.
    status
        ``not_available``: its columns are absent for every symbol; ``history_too_short``: they are there and no bar had
        enough rows before it; else whether all checks passed.
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
        Which checks failed, with the number and the bound.
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


def check_prevalence(flags: pl.DataFrame, market: pl.DataFrame, plan: EventPlan) -> list[EventCheck]:
    """Check every active event whose columns are in ``flags``.

    Parameters
    ----------
    flags
        ``events.event_flags`` of all symbols and months to be judged.
    market
        ``symbol, bar, open`` of the same symbols, from ``clean.market_5m``.
    plan
        The compiled specs, with the bounds.

    Returns
    -------
    list of EventCheck
        In alphabetical order of the events.
    """
    prices = market.select("symbol", "bar", pl.col("open").fill_nan(None))
    present = {name: event for name, event in plan.lab.active.items() if name in flags.columns}
    return [_check(flags, prices, event, plan) for event in present.values()]


def checks_frame(checks: list[EventCheck]) -> pl.DataFrame:
    """The results as a table, one row per event; lists are joined by semicolons."""
    rows = [
        {**vars(check), "thin_symbols": "; ".join(check.thin_symbols), "reasons": "; ".join(check.reasons)}
        for check in checks
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _check(flags: pl.DataFrame, prices: pl.DataFrame, event: EventSpec, plan: EventPlan) -> EventCheck:
    registry = plan.lab.registry
    own = flags.select("symbol", "bar", pl.col(event.id).alias("flag")).filter(pl.col("flag").is_not_null())
    hits = own.filter(pl.col("flag") == 1.0).sort("symbol", "bar")
    bounds = event.prevalence_per_10k
    low = bounds.min if bounds.enforce_min else 0.0
    high = min(bounds.max, registry.max_per_10k)
    bars, events = own.height, hits.height
    interval = wilson_interval(events, bars)
    counts = own.group_by("symbol").agg(pl.col("flag").sum().alias("events")).sort("symbol")
    clustering, join_rate = _clustering(hits, registry.clustering_bars), _join_rate(hits, prices, event)
    per_10k = BARS * events / bars if bars else float("nan")
    reasons = []
    if per_10k < low:
        reasons.append(f"prevalence {per_10k:.2f} below {low:g} per 10,000 bars")
    if per_10k > high:
        reasons.append(f"prevalence {per_10k:.2f} above {high:g} per 10,000 bars")
    if clustering > registry.max_clustering:
        reasons.append(f"{clustering:.0%} of events within {registry.clustering_bars} bars of another")
    if join_rate < registry.min_join_rate:
        reasons.append(f"join rate {join_rate:.4f} below {registry.min_join_rate:g}")
    return EventCheck(
        event_id=event.id,
        family=event.family,
        status=_status(flags, bars, plan.event_memory[event.id], reasons),
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


def _status(flags: pl.DataFrame, bars: int, memory: int, reasons: list[str]) -> Status:
    if bars:
        return "failed" if reasons else "passed"
    longest = flags.group_by("symbol").len()["len"].max() if flags.height else 0
    return "history_too_short" if int(str(longest)) <= memory else "not_available"


def _clustering(hits: pl.DataFrame, bars: int) -> float:
    """Share of events that follow another of their symbol at most ``bars`` bars later."""
    if not hits.height:
        return float("nan")
    close = (pl.col("bar") - pl.col("bar").shift(1).over("symbol")) <= bars * BAR
    return float(hits.select(close.fill_null(False).sum()).item()) / hits.height


def _join_rate(hits: pl.DataFrame, prices: pl.DataFrame, event: EventSpec) -> float:
    """Share of events with a price at their entry, of those whose entry bar is not after the last bar."""
    last = prices.group_by("symbol").agg(pl.col("bar").max().alias("last"))
    entries = hits.select("symbol", (pl.col("bar") + event.entry_lag_bars * BAR).alias("bar"))
    possible = entries.join(last, on="symbol").filter(pl.col("bar") <= pl.col("last"))
    if not possible.height:
        return float("nan")
    priced = possible.join(prices.drop_nulls("open"), on=["symbol", "bar"], how="semi")
    return priced.height / possible.height
