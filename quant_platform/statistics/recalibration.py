"""Corrected probabilities, judged only on outcomes that came later.

The correction is ``logit p = a + b logit p0``: ``a`` shifts all odds, ``b`` below one pulls stated probabilities
towards the middle (they were too bold), ``b`` above one pushes them out. With ``a = 0, b = 1`` nothing changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.calibration import log_losses
from quant_platform.statistics.checks import (
    Floats,
    as_complete_vector,
    as_outcomes,
    as_probabilities,
    as_vector,
    require_at_least,
)
from quant_platform.statistics.period_sums import PeriodInterval, Periods, mean_over_periods

MAX_STEPS = 50
CONVERGED = 1e-10


@dataclass(frozen=True)
class Recalibration:
    """A fitted correction.

    Attributes
    ----------
    intercept, slope
        ``a`` and ``b``, in log odds.
    intercept_error, slope_error
        Standard errors, assuming independent outcomes.
    n
        Outcomes it was fitted on.
    """

    intercept: float
    slope: float
    intercept_error: float
    slope_error: float
    n: int

    def apply(self, probability: npt.ArrayLike) -> Floats:
        """Corrected probabilities ``[n]`` of stated ones strictly between 0 and 1."""
        corrected: Floats = expit(self.intercept + self.slope * logit(_uncertain(probability)))
        return corrected


@dataclass(frozen=True)
class NotFitted:
    """Why no correction exists.

    Attributes
    ----------
    reason
        In words and numbers.
    n
        Outcomes that were available.
    """

    reason: str
    n: int


@dataclass(frozen=True)
class RecalibrationFold:
    """One fold of the walk-forward.

    Attributes
    ----------
    start
        First decision time of the fold.
    n_train, n_test
        Outcomes resolved before the fold, forecasts made within it.
    fit
        The correction applied to the fold, or why there is none.
    """

    start: float
    n_train: int
    n_test: int
    fit: Recalibration | NotFitted


@dataclass(frozen=True)
class OutOfSampleRecalibration:
    """Corrected probabilities made with past outcomes only, and whether they are better.

    Attributes
    ----------
    probability
        ``[n]`` corrected; NaN where no correction existed yet.
    folds
        What was fitted on what.
    n_scored
        Forecasts with a correction; all scores below are over these.
    brier_before, brier_after, log_loss_before, log_loss_after
        Mean scores of the stated and of the corrected probabilities; NaN if ``n_scored`` is 0.
    brier_change, log_loss_change
        After minus before (negative is better) with the interval over periods; None if ``n_scored`` is 0.
    """

    probability: Floats
    folds: tuple[RecalibrationFold, ...]
    n_scored: int
    brier_before: float
    brier_after: float
    log_loss_before: float
    log_loss_after: float
    brier_change: PeriodInterval | None
    log_loss_change: PeriodInterval | None


def fit_recalibration(probability: npt.ArrayLike, outcome: npt.ArrayLike) -> Recalibration | NotFitted:
    """Fit ``logit p = a + b logit p0`` by maximum likelihood (Newton's method, no ridge).

    Parameters
    ----------
    probability
        ``[n]`` strictly between 0 and 1.
    outcome
        ``[n]`` of 0 and 1.

    Returns
    -------
    The fit, or :class:`NotFitted` where the likelihood has no maximum: no or equal outcomes, one single stated
    probability, or outcomes separated by the stated probability (Albert and Anderson 1984).

    References
    ----------
    Cox (1958), Biometrika 45:562-565. Albert and Anderson (1984), Biometrika 71:1-10.
    """
    p = _uncertain(probability)
    y = as_outcomes(outcome, "outcome", length=p.size)
    odds = logit(p)
    reason = _no_maximum(odds, y)
    if reason:
        return NotFitted(reason, p.size)

    # Centring makes the two equations nearly independent; without it, close probabilities ruin the solution.
    centre, scale = float(odds.mean()), float(odds.std())
    design = np.column_stack((np.ones(p.size), (odds - centre) / scale))
    beta = np.array([float(logit(y.mean())), 0.0])
    deviance = _deviance(design @ beta, y)
    for _ in range(MAX_STEPS):
        fitted = expit(design @ beta)
        information = design.T @ (design * (fitted * (1.0 - fitted))[:, np.newaxis])
        step = np.linalg.solve(information, design.T @ (y - fitted))
        # Far from the maximum a full step can overshoot; the likelihood is concave, so a shorter one improves it.
        while np.abs(step).max() > CONVERGED and _deviance(design @ (beta + step), y) > deviance * (1.0 + 1e-12):
            step = step / 2.0
        beta = beta + step
        deviance = _deviance(design @ beta, y)
        if np.abs(step).max() <= CONVERGED * (1.0 + np.abs(beta).max()):
            break
    else:
        return NotFitted(f"no maximum was reached in {MAX_STEPS} steps", p.size)
    fitted = expit(design @ beta)
    covariance = np.linalg.inv(design.T @ (design * (fitted * (1.0 - fitted))[:, np.newaxis]))
    back = np.array([[1.0, -centre / scale], [0.0, 1.0 / scale]])
    intercept, slope = back @ beta
    errors = np.sqrt(np.diag(back @ covariance @ back.T))
    return Recalibration(float(intercept), float(slope), float(errors[0]), float(errors[1]), p.size)


def out_of_sample_recalibration(
    probability: npt.ArrayLike,
    outcome: npt.ArrayLike,
    *,
    decided_at: npt.ArrayLike,
    resolved_at: npt.ArrayLike,
    fold_starts: npt.ArrayLike,
    periods: npt.ArrayLike,
    counted: Periods,
    embargo: float = 0.0,
    min_train: int = 100,
) -> OutOfSampleRecalibration:
    """Correct each fold with the outcomes known before it, and compare scores before and after.

    Parameters
    ----------
    probability, outcome
        ``[n]``, as in :func:`fit_recalibration`.
    decided_at, resolved_at
        ``[n]`` when each probability was stated and when its outcome became known, in one common unit (sessions, days);
        ``resolved_at`` is not before ``decided_at``. NaN in ``resolved_at`` is never trained on.
    fold_starts
        ``[F]`` ascending; fold f holds ``fold_starts[f] <= decided_at < fold_starts[f + 1]``, the last is open.
    periods, counted
        ``[n]`` number of the period of each decision, for instance its week, and how periods count: for the intervals
        of the score changes, which ignore that the corrections were estimated.
    embargo
        Distance kept between the last outcome trained on and the fold, in the unit of the times.
    min_train
        Fewest resolved outcomes for a fit.

    Notes
    -----
    **Timing.** A fold is fitted on forecasts with ``resolved_at < start - embargo`` only. An outcome that resolves at
    the start of the fold is not yet known.

    **Missing values.** Forecasts before the first fold, or in a fold without a fit, have no corrected probability; they
    are NaN and count in no score.
    """
    p = _uncertain(probability)
    y = as_outcomes(outcome, "outcome", length=p.size)
    decided = as_complete_vector(decided_at, "decided_at", length=p.size)
    resolved = as_vector(resolved_at, "resolved_at", length=p.size)
    starts = as_complete_vector(fold_starts, "fold_starts")
    labels = np.asarray(periods)
    _check_times(decided, resolved, starts)
    require_at_least(embargo, 0.0, "embargo")
    require_at_least(min_train, 2, "min_train")

    corrected = np.full(p.size, np.nan)
    folds = []
    for start, end in zip(starts, np.append(starts[1:], np.inf), strict=True):
        test = (decided >= start) & (decided < end)
        train = resolved < start - embargo
        n_train = int(train.sum())
        fit: Recalibration | NotFitted
        if n_train < min_train:
            fit = NotFitted(f"{n_train} resolved outcomes, {min_train} are needed", n_train)
        else:
            fit = fit_recalibration(p[train], y[train])
        if isinstance(fit, Recalibration):
            corrected[test] = fit.apply(p[test])
        folds.append(RecalibrationFold(float(start), n_train, int(test.sum()), fit))
    return _judged(p, y, corrected, labels, tuple(folds), counted)


def _judged(
    p: Floats,
    y: Floats,
    corrected: Floats,
    labels: npt.NDArray[np.generic],
    folds: tuple[RecalibrationFold, ...],
    counted: Periods,
) -> OutOfSampleRecalibration:
    scored = ~np.isnan(corrected)
    if labels.shape != p.shape:
        raise StatisticError(f"periods has shape {labels.shape}, probability has {p.shape}", where="periods")
    if not scored.any():
        return OutOfSampleRecalibration(corrected, folds, 0, math.nan, math.nan, math.nan, math.nan, None, None)
    before, after, happened = p[scored], corrected[scored], y[scored]
    brier_before, brier_after = (before - happened) ** 2, (after - happened) ** 2
    loss_before, loss_after = log_losses(before, happened), log_losses(after, happened)
    brier_change = mean_over_periods(brier_after - brier_before, labels[scored], counted)
    loss_change = mean_over_periods(loss_after - loss_before, labels[scored], counted)
    return OutOfSampleRecalibration(
        probability=corrected,
        folds=folds,
        n_scored=int(scored.sum()),
        brier_before=float(brier_before.mean()),
        brier_after=float(brier_after.mean()),
        log_loss_before=float(loss_before.mean()),
        log_loss_after=float(loss_after.mean()),
        brier_change=brier_change,
        log_loss_change=loss_change,
    )


def _uncertain(probability: npt.ArrayLike) -> Floats:
    p = as_probabilities(probability, "probability")
    certain = (p == 0.0) | (p == 1.0)
    if certain.any():
        raise StatisticError(
            "probability holds certainties, whose log odds are infinite",
            where="probability",
            how_many=f"{int(certain.sum())} of {p.size} values",
            rows=[{"row": int(i), "probability": float(p[i])} for i in np.flatnonzero(certain)[:5]],
            action="no correction can move a certainty: keep these forecasts out and count them",
        )
    return p


def _no_maximum(odds: Floats, y: Floats) -> str:
    """Say why the likelihood has no maximum, or nothing if it has one."""
    if y.size == 0:
        return "no outcome"
    if y.min() == y.max():
        return f"all {y.size} outcomes are {int(y[0])}"
    if odds.max() - odds.min() <= 1e-9 * (1.0 + np.abs(odds).max()):
        return f"all {y.size} stated probabilities are equal"
    failed, came_true = odds[y == 0.0], odds[y == 1.0]
    if failed.max() <= came_true.min() or came_true.max() <= failed.min():
        return f"a threshold on the stated probability separates the {y.size} outcomes"
    return ""


def _deviance(linear: Floats, y: Floats) -> float:
    return float(2.0 * np.sum(np.logaddexp(0.0, linear) - y * linear))


def _check_times(decided: Floats, resolved: Floats, starts: Floats) -> None:
    if starts.size == 0 or (np.diff(starts) <= 0.0).any():
        raise StatisticError("fold_starts must be given and strictly ascending", where="fold_starts")
    early = resolved < decided
    if early.any():
        raise StatisticError(
            "outcomes resolve before they were decided on",
            where="decided_at, resolved_at",
            how_many=f"{int(early.sum())} of {decided.size} rows",
            rows=[
                {"row": int(i), "decided_at": float(decided[i]), "resolved_at": float(resolved[i])}
                for i in np.flatnonzero(early)[:5]
            ],
            cause="the two columns are swapped or in different units",
        )
