"""Features, states and events of five-minute bars, and the context they are computed in.

One run computes everything, so everything is one component: its output has a column per feature, state and flag, and a
violation names the column. With memories of 10,000 bars a run is not free, so the cuts are drawn by
:func:`event_cuts`: at a firing of each event, and the two bars after it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import polars as pl

from quant_platform.labs.events.detection.compute import compute_symbol
from quant_platform.labs.events.detection.context import CONTEXT_MEMORY_BARS, market_context
from quant_platform.specification.states import AfterEventState
from quant_platform_tests.labs.events.detection.worlds import lab, market, plan
from quant_platform_tests.lookahead.harness import Component

ROWS = 13_500
CONTEXT_ROWS = 600
SCHEDULED = ("session_open_close", "session_close_close", "funding_time_close", "news_release", "fee_taker_bps")


@cache
def _world(seed: int) -> pl.DataFrame:
    made = market(seed, rows=ROWS)
    context = market_context(made, lab().context)["ETHUSDT"]
    return made["ETHUSDT"].hstack(context.drop("symbol", "month", "bar"))


def event_lab() -> Component:
    """Every feature, state and flag of one symbol; its context is part of the input."""

    def function(frame: pl.DataFrame) -> pl.DataFrame:
        names = market_context({"ETHUSDT": frame.head(1)}, lab().context)["ETHUSDT"].columns
        own = frame.with_columns(
            pl.lit("ETHUSDT").alias("symbol"), pl.col("bar").dt.strftime("%Y-%m").alias("month")
        ).with_columns(pl.col(name).fill_null(False) for name in SCHEDULED[:4])
        # What a check makes missing is missing, not a column that the source lacks.
        own = own.with_columns(pl.col(pl.Float64).fill_null(float("nan")))
        found = compute_symbol(own.drop(names[3:]), own.select(names), plan())
        tables = (found.features, found.states, found.flags)
        return pl.concat([own.select("bar"), *(t.drop("symbol", "month", "bar") for t in tables)], how="horizontal")

    return Component("event lab", function, _world, time="bar", memory=plan().warm_bars)


def event_cuts(output: pl.DataFrame, *, after: int = 2, seed: int = 1) -> list[Any]:
    """A firing of each event and the bars after it, and a change of each state."""
    rng = np.random.default_rng(seed)
    places: set[int] = set()
    for name in lab().active:
        fired = np.flatnonzero((output[name] == 1.0).fill_null(False).to_numpy())
        if fired.size:
            places.update(int(rng.choice(fired)) + step for step in range(after + 1))
    for name, state in lab().states.items():
        if not isinstance(state, AfterEventState):
            changed = np.flatnonzero(output[name].ne_missing(output[name].shift(1)).to_numpy())
            places.add(int(changed[-1]))
    bars = output["bar"].to_list()
    return [bars[place] for place in sorted(places) if place < len(bars) - 1]


def context() -> list[Component]:
    """``features.context_5m`` of three symbols."""

    def world(seed: int) -> pl.DataFrame:
        return pl.concat(market(seed, rows=CONTEXT_ROWS).values())

    def function(frame: pl.DataFrame) -> pl.DataFrame:
        own = frame.with_columns(pl.col(pl.Float64).fill_null(float("nan")))
        own = own.with_columns(month=pl.col("bar").dt.strftime("%Y-%m"))
        parts = {str(part["symbol"][0]): part for part in own.partition_by("symbol")}
        return pl.concat(market_context(parts, lab().context).values()).drop("month", "fee_taker_bps", "news_release")

    memory = CONTEXT_MEMORY_BARS
    keys = ("bar", "symbol")
    return [Component("event context", function, world, time="bar", keys=keys, memory=memory, most_cuts=20)]
