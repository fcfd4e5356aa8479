"""Borrowing strength down a tree of means: what one cell shows, moderated by what its relatives show.

The model, for a tree root -> family -> event -> state of any depth: a leaf's estimate is ``x ~ N(theta, se^2)``, and
the theta of every node is ``N(theta of its parent, tau^2)`` with one ``tau^2`` per level. The root is a stated number,
zero for effects.

1. :func:`dersimonian_laird` estimates the tau^2 of a level by the method of moments, from the bottom up, pooled over
   the groups of the level because single groups have few children. (A single family is compared with the root.)
2. Up: every node sends its parent what its subtree says, ``(m, V + tau^2)``; a node adds up its children by precision.
3. Down: the prior of a child comes from its parent's prior and from its siblings, its own data left out.
4. The posterior weighs that prior, of variance V, against the estimate: ``own_weight = V / (V + se^2)``.

The posterior equals ``K (K + S)^-1 x`` of the dense Gaussian model to rounding, in time linear in the leaves.

A tau^2 of zero says that the data show no difference at that level: everything below is pooled, own weight 0.

Missing values: a leaf whose estimate or error is NaN, or whose error is zero, sends nothing and receives its prior.

References
----------
DerSimonian and Laird (1986), Controlled Clinical Trials 7:177-188. Efron and Morris (1975), JASA 70:311-319.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.checks import Alternative, Bools, Floats, Longs, as_vector
from quant_platform.statistics.overlap import one_sided_p, two_sided_p


@dataclass(frozen=True)
class RandomEffects:
    """A DerSimonian-Laird fit of one level.

    Attributes
    ----------
    tau2
        Variance of the true means within their group; zero where they differ less than their errors explain.
    heterogeneity
        Cochran's Q, summed over groups.
    degrees_of_freedom
        Of Q: children less groups.
    mean, standard_error
        ``[groups]`` mean of each group at that tau^2.
    """

    tau2: float
    heterogeneity: float
    degrees_of_freedom: int
    mean: Floats
    standard_error: Floats


@dataclass(frozen=True)
class ShrunkTree:
    """Posterior of every leaf.

    Attributes
    ----------
    tau2
        ``[levels + 1]`` variance per level, coarsest first: of the first groups around the root, ..., of the leaves
        around their group.
    prior_mean, prior_variance
        ``[n]`` what all other data say about the leaf.
    own_weight
        ``[n]`` share of the leaf's own estimate in the posterior mean, 0 to 1.
    mean, standard_deviation
        ``[n]`` of the posterior.
    """

    tau2: Floats
    prior_mean: Floats
    prior_variance: Floats
    own_weight: Floats
    mean: Floats
    standard_deviation: Floats


def dersimonian_laird(estimates: npt.ArrayLike, variances: npt.ArrayLike, groups: npt.ArrayLike) -> RandomEffects:
    """Estimate how much true means differ within their groups, sampling noise subtracted.

    ``Q_g = sum w (x - xbar)^2`` with ``w = 1 / v``, ``C_g = sum w - sum w^2 / sum w``,
    ``tau^2 = max(0, sum_g (Q_g - (k_g - 1)) / sum_g C_g)``.

    Parameters
    ----------
    estimates, variances
        ``[n]`` and their sampling variances; a child with NaN or without a positive variance is left out.
    groups
        ``[n]`` whole number of the group, 0 to the largest.
    """
    x = as_vector(estimates, "estimates")
    v = as_vector(variances, "variances", length=x.size)
    group = np.asarray(groups, dtype=np.int64)
    n_groups = int(group.max()) + 1 if group.size else 0
    seen = _usable(x, v)
    x, v, own = x[seen], v[seen], group[seen]
    weight = 1.0 / v
    sums = _sum(own, weight, n_groups)
    counts = _sum(own, np.ones(own.size), n_groups)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = _sum(own, weight * x, n_groups) / sums
        information = np.where(counts > 0, sums - _sum(own, weight * weight, n_groups) / sums, 0.0)
    heterogeneity = float(np.sum(weight * (x - centre[own]) ** 2))
    freedom = int(counts.sum() - np.count_nonzero(counts))
    total = float(information[counts > 1].sum())
    tau2 = max(0.0, (heterogeneity - freedom) / total) if total > 0.0 else 0.0
    moderated = 1.0 / (v + tau2)
    precision = _sum(own, moderated, n_groups)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = _sum(own, moderated * x, n_groups) / precision
        error = np.sqrt(1.0 / precision)
    return RandomEffects(tau2, heterogeneity, freedom, mean, np.where(counts > 0, error, np.nan))


def shrink_tree(
    estimates: npt.ArrayLike,
    standard_errors: npt.ArrayLike,
    levels: Sequence[npt.ArrayLike],
    *,
    root: float = 0.0,
    tau2: Sequence[float] | None = None,
) -> ShrunkTree:
    """Shrink the leaves of a tree toward their relatives.

    Parameters
    ----------
    estimates, standard_errors
        ``[n]`` of the leaves.
    levels
        The groups above the leaves, coarsest first (families, then events), each ``[n]`` labels of any sortable type.
        A finer label must lie in one coarser group. Empty: the leaves hang on the root.
    root
        Mean of the root.
    tau2
        Variances per level, ``len(levels) + 1``, if they are known (from earlier data); estimated by default.

    Raises
    ------
    StatisticError
        If lengths differ, a label lies in two groups, or a variance is negative.
    """
    x = as_vector(estimates, "estimates")
    se = as_vector(standard_errors, "standard_errors", length=x.size)
    if (se < 0.0).any():
        raise StatisticError("standard_errors holds negative values", where="standard_errors")
    if tau2 is not None and (len(tau2) != len(levels) + 1 or not all(v >= 0.0 for v in tau2)):
        raise StatisticError(f"tau2 must be {len(levels) + 1} numbers, none negative", where="tau2")
    parents = _parents(levels, x.size)
    depth = len(parents)

    messages: list[tuple[Floats, Floats]] = [(x, np.where(_usable(x, se * se), se * se, np.nan))]
    variances = np.zeros(depth)
    for level in range(depth - 1, -1, -1):
        mean, variance = messages[0]
        known = tau2[level] if tau2 is not None else _variance_of_level(mean, variance, parents[level], level, root)
        variances[level] = known
        if level > 0:
            n_parents = int(parents[level].max(initial=-1)) + 1
            messages.insert(0, _combined(mean, variance + known, parents[level], n_parents))

    prior_mean, prior_variance = np.array([root]), np.array([0.0])
    for level in range(depth):
        mean, variance = messages[level]
        prior_mean, prior_variance = _cavity(
            mean, variance + variances[level], parents[level], prior_mean, prior_variance, variances[level]
        )

    seen = _usable(x, se * se)
    own_weight = np.where(seen, prior_variance / (prior_variance + np.where(seen, se * se, 1.0)), 0.0)
    posterior = prior_mean + own_weight * np.where(own_weight > 0.0, x - prior_mean, 0.0)
    return ShrunkTree(
        tau2=variances,
        prior_mean=prior_mean,
        prior_variance=prior_variance,
        own_weight=own_weight,
        mean=posterior,
        standard_deviation=np.sqrt((1.0 - own_weight) * prior_variance),
    )


def shrunken_p(
    mean: npt.ArrayLike,
    standard_deviation: npt.ArrayLike,
    degrees_of_freedom: npt.ArrayLike,
    *,
    alternative: Alternative = "two-sided",
) -> Floats:
    """P of ``mean / standard_deviation`` under Student t, asking whether the posterior is away from, or above, zero.

    A posterior without spread has been pooled onto the root altogether, and its p is 1. This is **not** a valid p for
    the cell's own null: a true null in an active family is called at 5 % in up to half of the cases. Use
    :func:`conservative_p`.
    """
    m, sd = np.asarray(mean, dtype=np.float64), np.asarray(standard_deviation, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = (one_sided_p if alternative == "greater" else two_sided_p)(m / sd, degrees_of_freedom)
    result: Floats = np.where(sd == 0.0, np.where(m == 0.0, 1.0, np.nan), p)
    return result


def conservative_p(p_raw: npt.ArrayLike, p_shrunk: npt.ArrayLike) -> Floats:
    """Return ``max(p_raw, p_shrunk)``: valid whenever ``p_raw`` is, and shrinkage may only take discoveries back."""
    result: Floats = np.maximum(np.asarray(p_raw, dtype=np.float64), np.asarray(p_shrunk, dtype=np.float64))
    return result


def _parents(levels: Sequence[npt.ArrayLike], n: int) -> list[Longs]:
    """Per level, the number of the parent of each node; the first level's parent is the root, 0."""
    groups: list[Longs] = []
    for level in levels:
        labels = np.asarray(level)
        if labels.shape != (n,):
            raise StatisticError(f"a level has shape {labels.shape}, the estimates have {(n,)}", where="levels")
        groups.append(np.unique(labels, return_inverse=True)[1].astype(np.int64))
    parents: list[Longs] = []
    above = np.zeros(n, dtype=np.int64)
    for place, group in enumerate(groups):
        parent = np.zeros(int(group.max(initial=-1)) + 1, dtype=np.int64)
        parent[group] = above
        if (parent[group] != above).any():
            raise StatisticError(f"a label of level {place} lies in two groups of the level above", where="levels")
        parents.append(parent)
        above = group
    parents.append(above)
    return parents


def _variance_of_level(mean: Floats, variance: Floats, parent: Longs, level: int, root: float) -> float:
    """Estimate tau^2; a single child of the root is compared with the root, since it has no sibling."""
    seen = _usable(mean, variance)
    if level == 0 and np.count_nonzero(seen) == 1:
        return max(0.0, float((mean[seen][0] - root) ** 2 - variance[seen][0]))
    return dersimonian_laird(mean, variance, parent).tau2


def _combined(mean: Floats, variance: Floats, parent: Longs, n_parents: int) -> tuple[Floats, Floats]:
    """What the children say about each parent; NaN where none says anything."""
    precision, weighted = _precisions(mean, variance, parent, n_parents)
    spoken = np.where(precision > 0.0, precision, np.nan)
    return weighted / spoken, 1.0 / spoken


def _cavity(
    mean: Floats, variance: Floats, parent: Longs, above_mean: Floats, above_variance: Floats, tau2: float
) -> tuple[Floats, Floats]:
    """Prior of each child from its parent's prior and its siblings."""
    fixed = above_variance == 0.0
    with np.errstate(divide="ignore"):
        above = np.where(fixed, 0.0, 1.0 / above_variance)
    precision, weighted = _precisions(mean, variance, parent, above_mean.size)
    known = _usable(mean, variance)
    own = np.where(known, 1.0 / np.where(known, variance, 1.0), 0.0)
    rest = np.maximum(precision[parent] - own, 0.0) + above[parent]
    moment = weighted[parent] - own * np.where(known, mean, 0.0) + (above * above_mean)[parent]
    with np.errstate(divide="ignore", invalid="ignore"):
        prior_mean = np.where(fixed[parent], above_mean[parent], moment / rest)
        prior_variance = np.where(fixed[parent], 0.0, 1.0 / rest) + tau2
    return prior_mean, prior_variance


def _precisions(mean: Floats, variance: Floats, parent: Longs, n_parents: int) -> tuple[Floats, Floats]:
    known = _usable(mean, variance)
    weight = 1.0 / variance[known]
    return _sum(parent[known], weight, n_parents), _sum(parent[known], weight * mean[known], n_parents)


def _usable(mean: Floats, variance: Floats) -> Bools:
    result: Bools = ~np.isnan(mean) & (variance > 0.0)
    return result


def _sum(group: Longs, values: Floats, n_groups: int) -> Floats:
    return np.bincount(group, weights=values, minlength=n_groups).astype(np.float64)
