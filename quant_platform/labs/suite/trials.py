"""The suite's ledger: every cell that was ever evaluated, and what it makes of the best of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from quant_platform.labs.suite.backtest import BacktestResult
from quant_platform.specification.ontology import spec_hash
from quant_platform.statistics.overfitting import Overfitting, backtest_overfitting
from quant_platform.statistics.sharpe import DeflatedSharpe, deflated_sharpe, minimum_track_record
from quant_platform.statistics.sharpe_interval import SharpeEstimate, sharpe_estimate

TRIAL_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "trial_id": pl.String,
    "signal": pl.String,
    "variant": pl.String,
    "snapshot_id": pl.String,
    "signal_hash": pl.String,
    "config": pl.String,
    "sharpe_net": pl.Float64,
    "sessions": pl.Int64,
    "evaluated_at": pl.Datetime("us", "UTC"),
}


@dataclass(frozen=True)
class Selection:
    """What is left of the reference variant's Sharpe ratio once the search for it is paid for.

    Attributes
    ----------
    estimate
        Net Sharpe ratio of the reference per period, with its moments.
    deflated
        Probability that it is above the best of as many worthless trials.
    trials, effective_trials
        Trials of this signal in the ledger, and the independent ones they are worth.
    trial_variance
        Variance of the Sharpe ratios across trials that was used, per period.
    minimum_years
        Track record after which the ratio exceeds zero with the stated confidence; infinite if it does not.
    overfitting
        CSCV over the variants of this run.
    """

    estimate: SharpeEstimate
    deflated: DeflatedSharpe
    trials: int
    effective_trials: float
    trial_variance: float
    minimum_years: float
    overfitting: Overfitting


def trial_rows(results: Iterable[BacktestResult], *, signal_hash: str, evaluated_at: datetime) -> pl.DataFrame:
    """Return one ledger row per variant that was evaluated.

    The id hashes signal, its content, snapshot and config: the same evaluation made twice is one trial, and on other
    data, or of a changed signal, another.
    """
    rows = []
    for result in results:
        config = result.config.model_dump_json()
        key = spec_hash([result.signal, signal_hash, result.snapshot_id, config])[:32]
        net = sharpe_estimate(result.book.net[result.book.first :])
        rows.append(
            (
                key,
                result.signal,
                result.variant,
                result.snapshot_id,
                signal_hash,
                config,
                None if math.isnan(net.ratio) else net.ratio,
                net.n,
                evaluated_at,
            )
        )
    return pl.DataFrame(rows, schema=TRIAL_SCHEMA, orient="row").sort("trial_id")


def merge_ledger(earlier: pl.DataFrame | None, made: pl.DataFrame) -> pl.DataFrame:
    """Add rows to the ledger; a trial that is known keeps the time at which it was first made."""
    if earlier is None or earlier.height == 0:
        return made
    known = earlier.select(pl.col(name).cast(dtype) for name, dtype in TRIAL_SCHEMA.items())
    return pl.concat([known, made.join(known, on="trial_id", how="anti")]).sort("trial_id")


def select(
    reference: BacktestResult,
    results: Iterable[BacktestResult],
    ledger: pl.DataFrame,
    *,
    confidence: float,
    blocks: int,
    periods_per_year: int,
) -> Selection:
    """Deflate the reference's Sharpe ratio by every trial of its signal in the ledger.

    Parameters
    ----------
    reference
        The variant that is judged.
    results
        All variants of this run, the reference included.
    ledger
        All trials so far, this run's included.
    confidence
        Of the minimum track record.
    blocks
        Of CSCV.
    periods_per_year
        For years.

    Notes
    -----
    **Effective trials.** Variants of one signal are nearly one bet: M trials whose profits correlate by rho on average
    count as ``rho + (1 - rho) M``. The correlation is that of this run's variants.

    **Variance across trials.** That of the ledger, but at least ``1 / T``, what the ratios of worthless trials show by
    chance: variants that agree with each other say nothing about luck they share.

    References
    ----------
    Bailey and Lopez de Prado (2014), Journal of Portfolio Management 40(5):94-107, and its appendix for rho.
    """
    estimate = sharpe_estimate(reference.book.net[reference.book.first :])
    mine = ledger.filter(pl.col("signal") == reference.signal)
    count = max(1, mine["trial_id"].n_unique())
    # A variant that never traded begins after the end, and would leave no row of the others.
    variants = [result for result in results if result.book.first < result.book.net.size] or [reference]
    first = max(result.book.first for result in variants)
    matrix = np.column_stack([result.book.net[first:] for result in variants])
    rho = _mean_correlation(matrix)
    effective = min(float(count), max(1.0, rho + (1.0 - rho) * count))
    ratios = mine["sharpe_net"].drop_nulls().to_numpy()
    spread = float(np.var(ratios, ddof=1)) if ratios.size > 1 else 0.0
    variance = max(spread, 1.0 / max(estimate.n, 1))
    if math.isnan(estimate.ratio):
        deflated, years = DeflatedSharpe(math.nan, math.nan, effective), math.inf
    else:
        moments = {"skewness": estimate.skewness, "kurtosis": max(estimate.kurtosis, 1.0 + estimate.skewness**2)}
        deflated = deflated_sharpe(estimate.ratio, estimate.n, n_trials=effective, trial_variance=variance, **moments)
        years = minimum_track_record(estimate.ratio, level=confidence, **moments) / periods_per_year
    enough = matrix.shape[0] >= 2 * blocks
    overfitting = (
        backtest_overfitting(matrix, blocks=blocks)
        if enough
        else Overfitting(math.nan, np.empty(0), matrix.shape[1], blocks)
    )
    return Selection(estimate, deflated, count, effective, variance, years, overfitting)


def _mean_correlation(matrix: np.ndarray) -> float:
    """Mean correlation of the columns; 1 for a single one, at least 0."""
    varying = matrix[:, matrix.std(axis=0) > 0.0] if matrix.size else matrix[:, :0]
    if varying.shape[1] < 2:
        return 1.0
    found = np.corrcoef(varying, rowvar=False)
    off = found[~np.eye(found.shape[0], dtype=bool)]
    return max(0.0, float(off.mean()))
