"""The ledger of every test ever evaluated: what deflated Sharpe ratios read their number of trials from."""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl

from quant_platform.contracts.schemas.discovery import DiscoveryTrials

_SCHEMA = {name: column.dtype for name, column in DiscoveryTrials.columns().items()}


def ledger(candidates: pl.DataFrame, earlier: pl.DataFrame | None = None) -> pl.DataFrame:
    """Turn candidates into ledger rows, one per counted test, small cells that were only reported included.

    Parameters
    ----------
    candidates
        Rows of ``discovery.candidates``.
    earlier
        The ledger so far: what was evaluated under other specs, or on other data, stays.

    Returns
    -------
    polars.DataFrame
        Rows of ``discovery.trials``. The id hashes the specs, the data window and the cell, so that the same evaluation
        made twice is one trial and one on more data is another.
    """
    counted = candidates.filter("counted")
    stamps = counted.select(
        pl.concat_str("ontology_hash", pl.col("train_start").cast(pl.String), "train_end", "alias_group", separator="|")
    )
    ids = [hashlib.sha256(text.encode()).hexdigest()[:32] for text in stamps.to_series().to_list()]
    made = counted.with_columns(
        pl.Series("trial_id", ids, dtype=pl.String),
        trade_sharpe=pl.col("t") / pl.col("n").cast(pl.Float64).sqrt(),
    ).select(pl.col(name).cast(dtype) for name, dtype in _SCHEMA.items())
    if earlier is not None:
        known = earlier.select(pl.col(name).cast(dtype) for name, dtype in _SCHEMA.items())
        made = pl.concat([made, known.join(made, on="trial_id", how="anti")])
    return made.sort(DiscoveryTrials.primary_key())


def trials_of(trials: pl.DataFrame) -> tuple[int, float]:
    """Number of distinct trials that were tested, and the variance of their ratios per trade.

    Parameters
    ----------
    trials
        Rows of ``discovery.trials`` of any number of cutoffs and runs.
    """
    tested = trials.filter("tested").unique("trial_id", keep="first", maintain_order=True)
    ratios = tested["trade_sharpe"].drop_nulls().to_numpy()
    return tested.height, float(np.var(ratios, ddof=1)) if ratios.size > 1 else 0.0
