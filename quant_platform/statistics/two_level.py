"""Which groups of tests hold something, and which tests inside them, with false discoveries counted over the report.

Benjamini-Hochberg inside each group controls false discoveries within a group and not over the report: 600 groups of
four true nulls report 33 discoveries, all false. Two levels report none (measured, see the tests).

1. Each group gets one p: Simes, ``min_i m p_(i) / i``.
2. Benjamini-Hochberg over the G groups at level q selects R of them.
3. Inside the selected groups Benjamini-Hochberg runs at ``q R / G``.

Then the expected false discovery proportion, averaged over the selected groups, is at most q, for independent groups
or positive dependence. Missing values: a NaN p counts among the tests of its group and is never rejected; a group of
nothing but NaN counts among the groups and is never selected.

References
----------
Simes (1986), Biometrika 73:751-754. Benjamini and Bogomolov (2014), JRSS B 76:297-318.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.compiled import compiled
from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.checks import Bools, Floats, Longs, as_vector, require_open_unit
from quant_platform.statistics.multiplicity import benjamini_hochberg


@dataclass(frozen=True)
class TwoLevelSelection:
    """Decisions over grouped tests, in the order of the input.

    Attributes
    ----------
    simes_p, q_level1, selected_level1
        ``[n]`` of the test's group: its p, its adjusted p among groups, whether it was selected.
    q_level2
        ``[n]`` adjusted p inside the test's own group (what users of grouped Benjamini-Hochberg call q).
    rejected
        ``[n]`` group selected and ``q_level2 <= level_within``.
    level, level_within
        The level asked for, and ``level R / G``.
    n_groups, n_selected
        G and R.
    """

    simes_p: Floats
    q_level1: Floats
    selected_level1: Bools
    q_level2: Floats
    rejected: Bools
    level: float
    level_within: float
    n_groups: int
    n_selected: int


def simes_p(p_values: npt.ArrayLike) -> float:
    """Simes' p that all nulls of a group hold: ``min_i m p_(i) / i``; NaN counts in m, nothing but NaN gives NaN."""
    adjusted = benjamini_hochberg(p_values, level=0.5).adjusted_p
    known = adjusted[~np.isnan(adjusted)]
    return float(known.min()) if known.size else float("nan")


def grouped_benjamini_hochberg(p_values: npt.ArrayLike, groups: npt.ArrayLike) -> Floats:
    """Adjusted p of Benjamini-Hochberg run inside each group by itself.

    Shown because users of this method expect it. It does not control false discoveries over the whole report; see the
    module.
    """
    p, place = _grouped(p_values, groups)
    return _adjusted_within(p, place)


def benjamini_bogomolov(p_values: npt.ArrayLike, groups: npt.ArrayLike, *, level: float) -> TwoLevelSelection:
    """Select groups, then tests within the selected groups.

    Parameters
    ----------
    p_values
        ``[n]`` in [0, 1] or NaN.
    groups
        ``[n]`` labels of any sortable type.
    level
        q, the false discovery rate to control.
    """
    require_open_unit(level, "level")
    p, place = _grouped(p_values, groups)
    within = _adjusted_within(p, place)
    n_groups = int(place.max()) + 1 if place.size else 0
    # The smallest adjusted p of a group is its Simes p.
    simes = np.full(n_groups, np.inf)
    np.fmin.at(simes, place, np.where(np.isnan(within), np.inf, within))
    simes[np.isinf(simes)] = np.nan
    first = benjamini_hochberg(simes, level=level)
    level_within = level * first.n_rejected / n_groups if n_groups else 0.0
    selected = first.rejected[place]
    return TwoLevelSelection(
        simes_p=simes[place],
        q_level1=first.adjusted_p[place],
        selected_level1=selected,
        q_level2=within,
        rejected=selected & (within <= level_within),
        level=level,
        level_within=level_within,
        n_groups=n_groups,
        n_selected=first.n_rejected,
    )


def _grouped(p_values: npt.ArrayLike, groups: npt.ArrayLike) -> tuple[Floats, Longs]:
    p = as_vector(p_values, "p_values")
    labels = np.asarray(groups)
    if labels.shape != p.shape:
        raise StatisticError(f"groups has shape {labels.shape}, p_values have {p.shape}", where="groups")
    _, place = np.unique(labels, return_inverse=True)
    return p, place.astype(np.int64)


def _adjusted_within(p: Floats, place: Longs) -> Floats:
    """Step up inside every group at once."""
    benjamini_hochberg(p, level=0.5)  # refuses what is no p-value
    adjusted = np.full(p.size, np.nan)
    if p.size == 0:
        return adjusted
    order = np.lexsort((p, place))
    own = place[order]
    rank = np.arange(p.size) - np.searchsorted(own, own) + 1
    stepped = np.bincount(place)[own] * p[order] / rank
    _fall_within_groups(stepped, own)
    adjusted[order] = stepped
    return adjusted


@compiled
def _fall_within_groups(stepped: Floats, own: Longs) -> None:
    """Replace each value by the smallest from it to the end of its group, at most 1; NaN, last in a group, stays."""
    lowest = 1.0
    for i in range(stepped.shape[0] - 1, -1, -1):
        if i + 1 < own.shape[0] and own[i] != own[i + 1]:
            lowest = 1.0
        if stepped[i] == stepped[i]:
            lowest = min(lowest, stepped[i])
            stepped[i] = lowest
