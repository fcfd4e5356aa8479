"""The equity lab's ledger of everything that was ever tried: factors at every horizon, and gates of every sweep."""

from __future__ import annotations

import hashlib
from datetime import date

import polars as pl

from quant_platform.contracts.tables import table

_SCHEMA = {name: column.dtype for name, column in table("replay.trials").schema.columns().items()}


def equity_trials(
    sweeps: pl.DataFrame,
    information_coefficients: pl.DataFrame,
    *,
    seen_until: date,
    spec_hash: str,
    earlier: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Turn what was evaluated into ledger rows, one per distinct trial.

    Parameters
    ----------
    sweeps
        Rows of ``replay.activation_sweep`` of all sweeps; the gate in force stands in each and is one trial.
    information_coefficients
        Rows of ``factors.information_coefficient`` of all factors.
    seen_until
        Last session of the data they were made from.
    spec_hash
        Ontology hash they were made under.
    earlier
        The ledger so far: what was tried under other specs, or on other data, stays.

    Returns
    -------
    DataFrame
        Schema ``replay.trials``. The id hashes specs, data and cell: the same trial made twice is one, on more data it
        is another.
    """
    gates = sweeps.select(
        study=pl.lit("sweep"),
        cell=pl.when("is_current")
        .then(pl.lit("gate in force"))
        .otherwise(pl.concat_str("parameter", pl.lit("="), pl.col("threshold").cast(pl.String))),
        horizon_sessions=pl.lit(None),
        n="n_resolved",
        n_weeks="n_weeks",
        estimate="expectancy_r",
        t="t",
        p="p_value",
    ).unique("cell", keep="first", maintain_order=True)
    factors = information_coefficients.filter(pl.col("kind").cast(pl.String) == "summary").select(
        study=pl.lit("factor"),
        cell="factor",
        horizon_sessions="horizon_sessions",
        n="n_independent",
        n_weeks="n_weeks",
        estimate="ic",
        t="t_nonoverlapping",
        p="p_nonoverlapping",
    )
    rows = pl.concat([gates, factors], how="vertical_relaxed").with_columns(
        seen_until=pl.lit(seen_until), spec_hash=pl.lit(spec_hash)
    )
    stamps = rows.select(
        pl.concat_str(
            "spec_hash",
            pl.col("seen_until").cast(pl.String),
            "study",
            "cell",
            pl.col("horizon_sessions").cast(pl.String).fill_null(""),
            separator="|",
        )
    )
    ids = [hashlib.sha256(text.encode()).hexdigest()[:32] for text in stamps.to_series().to_list()]
    made = rows.with_columns(pl.Series("trial_id", ids, dtype=pl.String)).select(
        pl.col(name).cast(dtype) for name, dtype in _SCHEMA.items()
    )
    if earlier is not None:
        known = earlier.select(pl.col(name).cast(dtype) for name, dtype in _SCHEMA.items())
        made = pl.concat([made, known.join(made, on="trial_id", how="anti")])
    return made.sort("trial_id")
