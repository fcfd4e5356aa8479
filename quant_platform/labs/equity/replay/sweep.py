"""Threshold sweeps: the gate applied again to stored candidates with one number moved; nothing is replayed."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl

from quant_platform.contracts.tables import table
from quant_platform.labs.equity.replay.trades import generator, judged_until
from quant_platform.labs.equity.setups.gate import qualifies
from quant_platform.specification.activation import ActivationSpec
from quant_platform.specification.replay import BootstrapSpec, SweepSpec
from quant_platform.statistics.bootstrap import cluster_bootstrap_mean
from quant_platform.statistics.multiplicity import holm
from quant_platform.statistics.overlap import two_sided_p

_SCHEMA = table("replay.activation_sweep").schema

OFF = -1.0


def activation_sweep(
    name: str,
    sweep: SweepSpec,
    qualified: pl.DataFrame,
    activation: ActivationSpec,
    spec: BootstrapSpec,
    spec_hash: str,
    *,
    as_of_week: date | None = None,
) -> pl.DataFrame:
    """Expectancy of what the gate would have passed, for each threshold of one parameter.

    Parameters
    ----------
    name
        Name of the sweep, the partition key.
    sweep
        The parameter and its thresholds.
    qualified
        Rows of ``replay.qualified``: every candidate with its percentile attached, whatever the verdict was.
    activation
        The gate in force; all its other rules stay as they are.
    spec
        Draws of the bootstrap.
    spec_hash
        Ontology hash, part of the seed.
    as_of_week
        Monday of the week after which nothing is known; None stands for everything that is known.

    Returns
    -------
    DataFrame
        Schema ``replay.activation_sweep``, one row per threshold, the one in force with ``is_current``.

    Notes
    -----
    The p-value tests that the expectancy after cost is zero, with the standard error over resampled weeks and Student's
    t with weeks - 1 degrees of freedom; Holm adjusts over the cells of the sweep. Cells share most of their trades, and
    the best of them was chosen after the fact: a threshold is to be judged on weeks that came later.
    """
    judged = judged_until(qualified, as_of_week)
    current = getattr(activation, sweep.parameter)
    grid = sweep.grid(activation)
    trades = judged.trades.sort("date_sig", "ticker", "direction")
    rows = []
    for threshold in grid:
        gate = qualifies(activation.model_copy(update={sweep.parameter: threshold}))
        stored = OFF if threshold is None else threshold
        rows.append(
            {
                "sweep": name,
                "parameter": sweep.parameter,
                "threshold": stored,
                "is_current": threshold == current,
                "n_cells": len(grid),
                "n_candidates": judged.candidates.height,
                "n_qualified": int(judged.candidates.select(gate.sum()).item()),
                **_cell(trades.filter(gate), spec, generator(spec_hash, "replay.activation_sweep", name, str(stored))),
            }
        )
    adjusted = holm([row["p_value"] for row in rows], level=0.05).adjusted_p
    frame = pl.DataFrame(rows, schema=_SCHEMA.create_empty().schema)
    return (
        frame.with_columns(p_adjusted=pl.Series(adjusted))
        .with_columns(pl.selectors.float().fill_nan(None))
        .sort("threshold")
    )


def _cell(trades: pl.DataFrame, spec: BootstrapSpec, rng: np.random.Generator) -> dict[str, Any]:
    n = trades.height
    found: dict[str, Any] = {"n_resolved": n, "n_weeks": trades["week"].n_unique(), "p_value": float("nan")}
    if n == 0:
        return found
    interval = cluster_bootstrap_mean(
        trades["realised_r"].to_numpy(),
        trades["week"].to_numpy(),
        rng=rng,
        draws=spec.replications,
    )
    if interval.standard_error > 0.0:
        t = interval.estimate / interval.standard_error
        found["p_value"] = float(two_sided_p(t, interval.n_groups - 1))
    return {
        **found,
        "hit_rate": int((trades["outcome"] == "target").sum()) / n,
        "expectancy_r": interval.estimate,
        "expectancy_low": interval.low,
        "expectancy_high": interval.high,
    }
