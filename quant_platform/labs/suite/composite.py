"""A composite: several signals made one by a ridge whose penalty, weights and scale are fitted on the past alone.

Rows are those on which a value can first be traded: member values of row t are known before its open, and the return
after the close of t over ``horizon_sessions`` rows is known at the close of ``t + horizon_sessions``.

1. Each member is ranked over the universe of the row before and centred; outside its regimes it is zero
   (:func:`member_scores`).
2. Sequential residuals: in the order of the spec, each member is regressed on the earlier ones on each date, and what
   is left is scaled to unit variance (:func:`orthogonalised`). The first keeps all of itself.
3. The moments of each date are taken once: covariances of the members, of the members with the centred return, the
   variance of the return (:class:`Moments`). Every fit is a sum of these over rows.
4. Folds of ``fold_sessions`` rows follow each other from row ``first_train_sessions`` on. What decides fold k are rows
   whose returns are known ``purge_sessions`` rows before it begins (:func:`fit_fold`).
5. Within these rows the penalty is chosen by ``inner_folds`` walk-forward folds with the same purge: the one whose
   scores have the highest mean correlation with returns out of sample, the larger one where two are equal.
6. The weights are fitted on all of these rows with that penalty.
7. Score to expected return: the slope of returns on the scores of the inner folds, which were out of sample. A fold
   whose slope is not above zero abstains: it has no values (:func:`composite`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.errors import NotAvailable
from quant_platform.labs.suite.panel import Panel, SignalPanel, dense_signal
from quant_platform.labs.suite.ranking import rank_panel
from quant_platform.labs.suite.summary import REGIMES, market_regimes
from quant_platform.specification.suite import CompositeSpec, SuiteSpec

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
_NOTHING_LEFT = 1e-10
MODEL_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "fold": pl.Int64,
    "member": pl.String,
    "position": pl.Int64,
    "train_from": pl.Date,
    "train_to": pl.Date,
    "train_dates": pl.Int64,
    "predict_from": pl.Date,
    "predict_to": pl.Date,
    "penalty": pl.Float64,
    "weight": pl.Float64,
    "slope": pl.Float64,
    "inner_correlation": pl.Float64,
    "abstains": pl.Boolean,
}


@dataclass(frozen=True)
class Moments:
    """Moments of each date over the names that have scores and a return; zero where there are too few.

    Attributes
    ----------
    scores
        ``[T, K, K]`` mean products of the scores.
    returns
        ``[T, K]`` mean products of scores and centred returns.
    variance
        ``[T]`` of the returns.
    usable
        ``[T]`` whether the date counts.
    """

    scores: Floats
    returns: Floats
    variance: Floats
    usable: Bools

    def between(self, first: int, stop: int) -> tuple[Floats, Floats, int]:
        """Sums over rows from ``first`` up to ``stop``, and the dates among them."""
        rows = slice(first, stop)
        return self.scores[rows].sum(axis=0), self.returns[rows].sum(axis=0), int(self.usable[rows].sum())


@dataclass(frozen=True)
class Fold:
    """What decides the scores of some rows.

    Attributes
    ----------
    first, stop
        Rows that it scores.
    train_stop
        The row after the last one it was fitted on.
    train_dates
        Dates that it was fitted on.
    penalty, weights
        Of the ridge.
    slope
        Expected return of one unit of score.
    inner_correlation
        Mean correlation of the inner folds' scores with returns, at the penalty that was chosen.
    """

    first: int
    stop: int
    train_stop: int
    train_dates: int
    penalty: float
    weights: Floats
    slope: float
    inner_correlation: float

    @property
    def abstains(self) -> bool:
        """Whether it has no values, since its scores said nothing out of sample."""
        return not self.slope > 0.0


@dataclass(frozen=True)
class Composite:
    """A composite signal and the models behind it.

    Attributes
    ----------
    signal
        Expected return over the horizon, by the row whose close it has seen.
    folds
        In order of time.
    members
        Names, in the order of the spec.
    models
        ``MODEL_SCHEMA``: a row per fold and member.
    """

    signal: SignalPanel
    folds: tuple[Fold, ...]
    members: tuple[str, ...]
    models: pl.DataFrame


def composite(spec: CompositeSpec, members: Mapping[str, SignalPanel], panel: Panel, suite: SuiteSpec) -> Composite:
    """Fit a composite fold by fold and score every fold with what was known before it.

    Parameters
    ----------
    spec
        Members, regimes, folds, penalties.
    members
        Signals by name, aligned with the panel; every one that the spec names.
    panel
        The market.
    suite
        Numbers of the suite: fewest names of a date, age of a value, windows of the regimes.

    Raises
    ------
    NotAvailable
        When a member is missing, or the sample is too short for one fold.

    Notes
    -----
    **Timing.** Nothing of a row or later decides a score that can be traded on it: changing the future leaves every
    earlier value the same, bit for bit.
    **Missing values.** A name that lacks some members counts as average in those; one that lacks all has no value.

    References
    ----------
    Hoerl and Kennard (1970), Technometrics 12(1):55-67. Lopez de Prado (2018), Advances in Financial Machine Learning,
    section 7.4, for the purge.
    """
    names = tuple(member.signal for member in spec.members)
    missing = [name for name in names if name not in members]
    if missing:
        raise NotAvailable(
            f"the members {', '.join(missing)} have no values on this snapshot",
            where=f"composite {spec.name}",
            action="name other members, or a snapshot that holds their inputs",
        )
    scores, present = member_scores(spec, [members[name] for name in names], panel, suite)
    scores = orthogonalised(scores, present)
    some: Bools = np.asarray(present.any(axis=2))
    moments = date_moments(scores, some, panel.forward(spec.horizon_sessions), suite.min_names)
    folds = tuple(_folds(spec, moments, panel.shape[0]))
    if not folds:
        raise NotAvailable(
            f"the sample has {panel.shape[0]} sessions, the first fold begins after {spec.first_train_sessions}",
            where=f"composite {spec.name}",
            action="use a longer snapshot, or shorten first_train_sessions in the spec",
        )
    values = np.full(panel.shape, np.nan)
    for fold in folds:
        if not fold.abstains:
            rows = slice(fold.first, fold.stop)
            expected = fold.slope * (scores[rows] @ fold.weights)
            values[rows] = np.where(some[rows], expected, np.nan)
    by_date = np.full(panel.shape, np.nan)
    by_date[:-1] = values[1:]
    return Composite(dense_signal(spec.name, by_date), folds, names, _models(names, folds, panel))


def member_scores(
    spec: CompositeSpec, members: Sequence[SignalPanel], panel: Panel, suite: SuiteSpec
) -> tuple[Floats, Bools]:
    """Rank each member over the universe of the row before.

    Returns
    -------
    tuple
        ``[T, N, K]`` centred ranks with unit variance of a full cross-section, 0 where missing or outside the member's
        regimes; and whether the name has the member on the row.
    """
    known = np.zeros(panel.shape, dtype=np.bool_)
    known[1:] = panel.universe[:-1]
    regimes = market_regimes(panel, suite)
    scores = np.zeros((*panel.shape, len(members)))
    present = np.zeros((*panel.shape, len(members)), dtype=np.bool_)
    for k, (stated, member) in enumerate(zip(spec.members, members, strict=True)):
        held = carried(member.at_open, suite.max_signal_age_sessions)
        ranks = rank_panel(np.where(known, held, np.nan)).centred() * np.sqrt(12.0)
        active = np.isin(regimes, [REGIMES.index(name) for name in stated.regimes])
        present[:, :, k] = np.isfinite(ranks)
        scores[:, :, k] = np.where(np.isfinite(ranks) & active[:, np.newaxis], ranks, 0.0)
    return scores, present


def carried(values: Floats, most: int) -> Floats:
    """Carry the last row that has any value over rows without one, for ``most`` rows at most."""
    filled = np.isfinite(values).any(axis=1)
    rows = np.arange(len(values))
    last = np.maximum.accumulate(np.where(filled, rows, -1))
    usable = (last >= 0) & (rows - last <= most)
    result: Floats = np.where(usable[:, np.newaxis], values[np.maximum(last, 0)], np.nan)
    return result


def orthogonalised(scores: Floats, present: Bools) -> Floats:
    """Replace each member by its residual on the earlier ones, date by date, with unit variance.

    Parameters
    ----------
    scores
        ``[T, N, K]``, 0 where missing.
    present
        ``[T, N, K]`` whether the name has the member.

    Notes
    -----
    A member of which nothing is left on a date, since it is a mixture of the earlier ones, is zero on it.
    """
    out = scores.copy()
    counts = np.maximum(present.sum(axis=1), 1)
    for k in range(out.shape[2]):
        left = out[:, :, k]
        before = np.einsum("tn,tn->t", left, left)
        for earlier in range(k):
            base = out[:, :, earlier]
            size = np.einsum("tn,tn->t", base, base)
            along = np.divide(np.einsum("tn,tn->t", base, left), size, out=np.zeros(len(size)), where=size > 0.0)
            left = np.where(present[:, :, k], left - along[:, np.newaxis] * base, 0.0)
        size = np.einsum("tn,tn->t", left, left)
        kept = size > _NOTHING_LEFT * np.maximum(before, 1.0)
        scale = np.divide(counts[:, k], size, out=np.zeros(len(size)), where=kept)
        out[:, :, k] = left * np.sqrt(scale)[:, np.newaxis]
    return out


def date_moments(scores: Floats, inside: Bools, returns: Floats, min_names: int) -> Moments:
    """Take the moments of each date; one with fewer than ``min_names`` names counts for nothing."""
    both = inside & np.isfinite(returns)
    names = both.sum(axis=1)
    usable = names >= min_names
    weight = np.where(both & usable[:, np.newaxis], 1.0 / np.maximum(names, 1)[:, np.newaxis], 0.0)
    filled = np.where(both, returns, 0.0)
    centred = np.where(both, filled - (filled * weight).sum(axis=1, keepdims=True), 0.0)
    level = scores - np.einsum("tnk,tn->tk", scores, weight)[:, np.newaxis, :]
    return Moments(
        scores=np.einsum("tnk,tn,tnl->tkl", level, weight, level, optimize=True),
        returns=np.einsum("tnk,tn->tk", level, weight * centred),
        variance=np.einsum("tn,tn->t", weight, centred**2),
        usable=usable,
    )


def ridge(moments: Moments, first: int, stop: int, penalty: float) -> Floats:
    """Fit weights on some rows: each date counts alike, and the penalty is in units of a member's variance."""
    products, targets, dates = moments.between(first, stop)
    size = products.shape[0]
    if dates == 0:
        return np.zeros(size)
    solved = np.linalg.solve(products / dates + penalty * np.eye(size), targets / dates)
    return np.asarray(solved, dtype=np.float64)


def fit_fold(spec: CompositeSpec, moments: Moments, first: int, stop: int) -> Fold:
    """Choose the penalty, fit the weights and the slope of one fold, on rows whose returns were known before it.

    Parameters
    ----------
    spec
        Horizon, purge, inner folds, penalties.
    moments
        Of all rows; only those before the fold are read.
    first, stop
        Rows that the fold scores.
    """
    gap = spec.horizon_sessions + spec.purge_sessions
    train_stop = max(0, first - gap)
    blocks = _inner_blocks(train_stop, spec.inner_folds)
    chosen, best = spec.penalties[-1], -np.inf
    for penalty in sorted(spec.penalties, reverse=True):
        found = _inner(moments, blocks, gap, penalty)[0]
        if found > best:
            chosen, best = penalty, found
    _, slope = _inner(moments, blocks, gap, chosen)
    weights = ridge(moments, 0, train_stop, chosen)
    dates = moments.between(0, train_stop)[2]
    return Fold(first, stop, train_stop, dates, chosen, weights, slope, float(best))


def _inner(moments: Moments, blocks: Sequence[tuple[int, int]], gap: int, penalty: float) -> tuple[float, float]:
    """Mean correlation of inner scores with returns, and the slope of returns on them, all out of sample."""
    total, dates, along, size = 0.0, 0, 0.0, 0.0
    for first, stop in blocks:
        weights = ridge(moments, 0, max(0, first - gap), penalty)
        rows = slice(first, stop)
        shared = moments.returns[rows] @ weights
        spread = np.einsum("k,tkl,l->t", weights, moments.scores[rows], weights)
        scale = np.sqrt(spread * moments.variance[rows])
        counted = moments.usable[rows] & (scale > 0.0)
        total += float((shared[counted] / scale[counted]).sum())
        dates += int(counted.sum())
        along += float(shared.sum())
        size += float(spread.sum())
    return (total / dates if dates else -np.inf), (along / size if size > 0.0 else 0.0)


def _inner_blocks(train_stop: int, folds: int) -> list[tuple[int, int]]:
    """Blocks of the training rows after the first one, which only trains."""
    edges = np.linspace(0, train_stop, folds + 2).round().astype(int).tolist()
    return list(pairwise(edges[1:]))


def _folds(spec: CompositeSpec, moments: Moments, rows: int) -> list[Fold]:
    starts = range(spec.first_train_sessions, rows, spec.fold_sessions)
    return [fit_fold(spec, moments, first, min(rows, first + spec.fold_sessions)) for first in starts]


def _models(names: Sequence[str], folds: Sequence[Fold], panel: Panel) -> pl.DataFrame:
    days = panel.sessions.astype("datetime64[D]").tolist()
    rows = [
        (
            place,
            name,
            k,
            days[0],
            days[max(0, fold.train_stop - 1)],
            fold.train_dates,
            days[fold.first],
            days[fold.stop - 1],
            fold.penalty,
            float(fold.weights[k]),
            fold.slope,
            fold.inner_correlation if np.isfinite(fold.inner_correlation) else None,
            fold.abstains,
        )
        for place, fold in enumerate(folds)
        for k, name in enumerate(names)
    ]
    return pl.DataFrame(rows, schema=MODEL_SCHEMA, orient="row")
