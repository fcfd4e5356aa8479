"""Where the result of a strategy comes from: each dimension adds up to all of it."""

from __future__ import annotations

import polars as pl

COST_PARTS = ("commission", "spread", "impact", "funding")


def attribution(trades: pl.DataFrame, event_id: str) -> pl.DataFrame:
    """Rows of ``backtest.attribution`` without their key.

    Parameters
    ----------
    trades
        Trades of the whole run, open ones at their last price.
    event_id
        The event they are from.

    Returns
    -------
    polars.DataFrame
        ``dimension, value, trades, pnl``: by symbol, side, event, UTC hour of the entry, segment, and cost part, where
        costs are negative and ``price`` is what is left without them.
    """
    labelled = trades.with_columns(
        pl.lit(event_id).alias("event"),
        pl.col("entry_bar").dt.hour().cast(pl.String).str.zfill(2).alias("hour"),
        pl.col("side").cast(pl.String),
    )
    frames = [
        labelled.group_by(pl.col(name).alias("value"))
        .agg(pl.len().cast(pl.Int64).alias("trades"), pl.col("net_pnl").sum().alias("pnl"))
        .select(pl.lit(name).alias("dimension"), "value", "trades", "pnl")
        for name in ("symbol", "side", "event", "hour", "segment")
    ]
    parts = {"price": float(trades["price_pnl"].sum())} | {name: -float(trades[name].sum()) for name in COST_PARTS}
    frames.append(
        pl.DataFrame(
            {
                "dimension": ["cost_part"] * len(parts),
                "value": list(parts),
                "trades": pl.Series([None] * len(parts), dtype=pl.Int64),
                "pnl": list(parts.values()),
            }
        )
    )
    return pl.concat(frames).sort("dimension", "value")
