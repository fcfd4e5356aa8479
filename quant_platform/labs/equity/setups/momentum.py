"""Cross-sectional momentum ranks over the point-in-time universe, many weeks in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl

from quant_platform.labs.equity.setups.bars import Sessions, as_sessions

_KEY = ("ticker", "session")


def momentum_rank(
    features: pl.DataFrame,
    signal_sessions: Sequence[date] | Sessions,
    sessions: Sequence[date] | Sessions,
    *,
    members: pl.DataFrame | None = None,
    column: str = "momentum_12_1",
) -> pl.DataFrame:
    """Rank 12-1 momentum within the universe of each signal session.

    Parameters
    ----------
    features
        Rows of ``features.equity`` of all tickers: ticker, session and ``column``.
    signal_sessions
        Sessions to rank at, usually the last of each ISO week.
    sessions
        The market's sessions up to the last one that has happened; they give ``date_avail``.
    members
        Ticker and session of the point-in-time members; None takes every ticker with a value.
    column
        The feature that is ranked.

    Returns
    -------
    DataFrame
        Schema ``signals.momentum_rank``, sorted by week and ticker; percentile = 100 (rank - 0.5) / n, average ties.

    Notes
    -----
    **Timing.** The rank of a session has seen the closes up to it, and members as known on it. **Missing values.** A
    member without a finite momentum is not ranked and does not count in ``universe_size``.
    """
    signals = pl.Series("session", as_sessions(signal_sessions), dtype=pl.Date)
    market = pl.Series("session", as_sessions(sessions), dtype=pl.Date)
    following = pl.DataFrame({"session": market, "date_avail": market.shift(-1)})
    ranked = (
        features.lazy()
        .select(*_KEY, pl.col(column).cast(pl.Float64).alias("momentum_12_1"))
        .filter(pl.col("session").is_in(signals.implode()), pl.col("momentum_12_1").is_finite())
    )
    if members is not None:
        ranked = ranked.join(members.lazy().select(_KEY), on=_KEY, how="semi")
    return (
        ranked.with_columns(
            rank=pl.col("momentum_12_1").rank("average").over("session"),
            universe_size=pl.len().over("session").cast(pl.Int32),
        )
        .join(following.lazy(), on="session", how="left")
        .select(
            pl.col("session").dt.truncate("1w").alias("week"),
            "ticker",
            pl.col("session").alias("date_sig"),
            "date_avail",
            "momentum_12_1",
            "rank",
            (100.0 * (pl.col("rank") - 0.5) / pl.col("universe_size")).alias("percentile"),
            "universe_size",
        )
        .sort("week", "ticker", "date_sig")
        .collect()
    )
