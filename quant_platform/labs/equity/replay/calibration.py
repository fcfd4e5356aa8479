"""Whether the stated target probabilities come true, and whether a correction made from the past would help."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl

from quant_platform.contracts.tables import table
from quant_platform.labs.equity.replay.trades import counted_weeks, judged_until, weeks_of
from quant_platform.specification.replay import ReplaySpec
from quant_platform.statistics.calibration import calibration_report
from quant_platform.statistics.checks import Floats, Longs
from quant_platform.statistics.recalibration import (
    OutOfSampleRecalibration,
    Recalibration,
    fit_recalibration,
    out_of_sample_recalibration,
)

_SCHEMA = table("replay.calibration").schema

SUMMARY = -1
STATED, RECALIBRATED = "stated", "recalibrated"


def calibration(as_of_week: date, qualified: pl.DataFrame, spec: ReplaySpec) -> pl.DataFrame:
    """Judge the target probability of every trade known at the as-of week.

    Parameters
    ----------
    as_of_week
        Monday of the week; only weeks in which every outcome is known count.
    qualified
        Rows of ``replay.qualified``, qualified or not: the model claims all of them.
    spec
        Bins, folds and intervals.

    Returns
    -------
    DataFrame
        Schema ``replay.calibration``: bins from 0 and a summary row (bin -1) for the stated model, and the same for the
        recalibrated one over the trades it could be judged on out of sample.

    Notes
    -----
    The event is that the target came first; time-outs and delistings count as misses. The correction
    ``logit p = a + b logit p0`` of a fold is fitted on outcomes resolved before it. The coefficients in the summary
    row, a proposal for the future, are fitted on everything. Probabilities of exactly 0 or 1 have no log odds and are
    left out of the recalibrated rows. Intervals allow for trades that overlap
    (:mod:`quant_platform.statistics.period_sums`).
    """
    trades = judged_until(qualified, as_of_week).trades.sort("date_sig", "ticker", "direction")
    probability = trades["target_probability"].to_numpy()
    hit = (trades["outcome"] == "target").cast(pl.Float64).to_numpy()
    weeks = weeks_of(trades)
    rows = _model_rows(STATED, probability, hit, weeks, spec)

    open_ = (probability > 0.0) & (probability < 1.0)
    judged = _walk_forward(trades.filter(pl.Series(open_)), probability[open_], hit[open_], spec)
    corrected = np.array([]) if judged is None else judged.probability
    scored = ~np.isnan(corrected)
    recalibrated = _model_rows(
        RECALIBRATED,
        corrected[scored],
        hit[open_][: corrected.size][scored],
        weeks[open_][: corrected.size][scored],
        spec,
    )
    recalibrated[-1] |= _proposal(probability[open_], hit[open_], judged)
    return pl.DataFrame(
        [{"as_of_week": as_of_week, **row} for row in (*rows, *recalibrated)], schema=_SCHEMA.create_empty().schema
    ).sort("model", "bin")


def _model_rows(model: str, p: Floats, y: Floats, weeks: Longs, spec: ReplaySpec) -> list[dict[str, Any]]:
    """Bins, then the summary row."""
    if p.size == 0:
        return [{"model": model, "bin": SUMMARY, "n": 0}]
    report = calibration_report(p, y, bins=spec.calibration.bins, periods=weeks, counted=counted_weeks(spec))
    bins = report.bins
    rows = [
        _without_nan(
            {
                "model": model,
                "bin": k,
                "n": int(bins.count[k]),
                "mean_probability": float(bins.mean_p[k]),
                "observed_rate": float(bins.observed[k]),
                "observed_low": float(bins.low[k]),
                "observed_high": float(bins.high[k]),
            }
        )
        for k in range(bins.count.size)
    ]
    summary = {
        "model": model,
        "bin": SUMMARY,
        "n": report.n,
        "mean_probability": report.mean_p,
        "observed_rate": report.base_rate,
        "observed_low": report.rate.low if report.rate else None,
        "observed_high": report.rate.high if report.rate else None,
        "brier": report.parts.brier,
        "reliability": report.parts.reliability,
        "resolution": report.parts.resolution,
        "uncertainty": report.parts.uncertainty,
        "expected_calibration_error": report.ece,
        "spiegelhalter_z": report.spiegelhalter_z,
    }
    return [*rows, _without_nan(summary)]


def _walk_forward(trades: pl.DataFrame, p: Floats, y: Floats, spec: ReplaySpec) -> OutOfSampleRecalibration | None:
    """Fit before each fold and judge within it; None while there are too few weeks."""
    weeks = trades["week"].unique().sort()
    later = weeks[spec.calibration.minimum_train_weeks :]
    if later.len() == 0:
        return None
    size = -(-later.len() // spec.calibration.folds)
    starts = later.gather_every(size)
    return out_of_sample_recalibration(
        p,
        y,
        decided_at=_days(trades["date_sig"]),
        resolved_at=_days(trades["resolved_at"]),
        fold_starts=_days(starts),
        periods=weeks_of(trades),
        counted=counted_weeks(spec),
    )


def _proposal(p: Floats, y: Floats, judged: OutOfSampleRecalibration | None) -> dict[str, Any]:
    fit = fit_recalibration(p, y)
    found: dict[str, Any] = {}
    if isinstance(fit, Recalibration):
        found = {"intercept": fit.intercept, "slope": fit.slope}
    if judged is not None and judged.brier_change is not None:
        change = judged.brier_change
        found |= {
            "brier_change": change.estimate,
            "brier_change_low": change.low,
            "brier_change_high": change.high,
        }
    return _without_nan(found)


def _days(dates: pl.Series) -> Floats:
    return dates.to_physical().cast(pl.Float64).to_numpy()


def _without_nan(row: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and value != value else value for name, value in row.items()}
