"""The gate's verdict on every stored candidate of the point-in-time universe."""

from __future__ import annotations

from datetime import date

import polars as pl

from quant_platform.contracts.tables import table
from quant_platform.labs.equity.setups.gate import apply_gate
from quant_platform.specification.activation import ActivationSpec

_COLUMNS = table("replay.qualified").schema.column_names()


def qualified(
    candidates: pl.DataFrame,
    ranks: pl.DataFrame,
    activation: ActivationSpec,
    *,
    members: pl.DataFrame | None = None,
    week: date | None = None,
) -> pl.DataFrame:
    """Attach the momentum percentile to candidates and apply the gate; any number of weeks at once.

    Parameters
    ----------
    candidates
        Rows of ``replay.candidates`` of all tickers.
    ranks
        Rows of ``signals.momentum_rank``; a candidate without one has no percentile attached.
    activation
        The gate.
    members
        Ticker and session of the point-in-time members. Candidates of other tickers are left out, because a name's bars
        before it joined belong to a later winner; None keeps all.
    week
        Monday of the only week wanted; None takes every week.

    Returns
    -------
    DataFrame
        Schema ``replay.qualified``, sorted by week, ticker, date_sig and direction.
    """
    rows = candidates.with_columns(week=pl.col("date_sig").dt.truncate("1w"))
    if week is not None:
        rows = rows.filter(pl.col("week") == week)
    if members is not None:
        dated = members.select("ticker", pl.col("session").alias("date_sig"))
        rows = rows.join(dated, on=["ticker", "date_sig"], how="semi")
    attached = rows.join(ranks.select("ticker", "date_sig", "percentile"), on=["ticker", "date_sig"], how="left")
    return apply_gate(attached, activation).select(_COLUMNS).sort("week", "ticker", "date_sig", "direction")
