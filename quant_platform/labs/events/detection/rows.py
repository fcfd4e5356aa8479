"""Accepted onsets as rows: ``events.events``, what everything after detection reads."""

from __future__ import annotations

import polars as pl

from quant_platform.contracts.schemas.events import STATE_COLUMNS, EventsEvents
from quant_platform.labs.events.detection.grid import BAR
from quant_platform.specification.events import EventSpec


def event_rows(flags: pl.DataFrame, states: pl.DataFrame, event: EventSpec, cutoff: str) -> pl.DataFrame:
    """Rows of one event up to a cutoff.

    Parameters
    ----------
    flags
        ``events.event_flags`` of any symbols and months; the three columns of the event and the key are enough.
    states
        ``features.states_5m`` of the same bars.
    event
        Its spec.
    cutoff
        Last month to use, YYYY-MM. Later rows are not looked at.

    Returns
    -------
    polars.DataFrame
        ``events.events``, sorted by symbol and bar; empty where nothing was accepted or the event is not available.

    Notes
    -----
    **Timing.** ``event_ts`` is the close of the bar that completed the pattern, never earlier, also when the phenomenon
    began before. ``entry_bar`` is ``entry_lag_bars`` bars after it, at whose open one may enter at the earliest.
    """
    found = flags.filter((pl.col("month") <= cutoff) & (pl.col(event.id) == 1.0))
    rows = found.select(
        pl.lit(event.id).alias("event_id"),
        pl.lit(cutoff).alias("cutoff"),
        "symbol",
        "bar",
        (pl.col("bar") + BAR).alias("event_ts"),
        (pl.col("bar") + event.entry_lag_bars * BAR).alias("entry_bar"),
        pl.col(f"{event.id}__direction").cast(pl.Int8).alias("direction"),
        pl.col(f"{event.id}__intensity").alias("intensity"),
        pl.lit(event.family).alias("family"),
    )
    labels = states.select("symbol", "bar", *STATE_COLUMNS)
    joined = rows.join(labels, on=["symbol", "bar"], how="left", validate="1:1")
    return joined.select(EventsEvents.column_names()).sort("symbol", "bar")
