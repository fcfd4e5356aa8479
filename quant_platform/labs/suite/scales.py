"""Marks of a scale that was fitted to the whole sample: statistics that come out exact at the end of a file.

Whoever standardises, ranks or cuts the values of a name over all its dates leaves a number behind that no day-by-day
computation has, for nearly every name at once, and on the whole sample only:

1. the mean is zero: a z-score, a residual of a regression over the sample;
2. the standard deviation is the same number for all: a division by it;
3. the median is zero, and no common value: a robust z-score;
4. the smallest and the largest value are the same two numbers, each taken once: a min-max scale; or one of them is: a
   share of the highest price, a distance from the lowest;
5. the sorted values have equal steps: a rank over time;
6. a few values are taken equally often: quantiles over time.

Signals that are computed day by day may have such a number too: a trailing rank lies between 0 and 1, a counter has
equal steps. They have it in the first half as well as in the whole. Marks 2 to 6 are taken only where the first half of
the sample does not show them, that of one end where one of the halves does not.

What it does not catch: a scale over the sample that was hidden by another step (a rank across names, a cap); parameters
fitted to the sample.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from quant_platform.specification.suite import AuditSpec

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# Every so many names are looked at: shares of names need no more.
_MOST_NAMES = 200
# A mark that chance may set on a name must stand on nearly all.
_NEARLY_ALL = 0.9
# Files hold few digits, so that steps which were equal differ a little.
_STEP_TOLERANCE = 0.3
_MOST_BUCKETS, _SMALLEST_BUCKET = 20, 10


def whole_sample_scale(values: Floats, spec: AuditSpec) -> str | None:
    """Say which statistic of the names over all dates gives a scale over the whole sample away.

    Parameters
    ----------
    values
        Signal by date and name, shape (t, n); NaN where there is none.
    spec
        ``scale_min_dates``, ``scale_tolerance``, ``scale_names_share``.

    Returns
    -------
    str or None
        What was seen, in words; None where nothing was.
    """
    # Halves are those of the dates that have a value: a signal may cover a part of the panel only.
    values = values[~np.isnan(values).all(axis=1)]
    judged = np.flatnonzero((~np.isnan(values)).sum(axis=0) >= spec.scale_min_dates)
    judged = judged[:: max(1, -(-judged.size // _MOST_NAMES))]
    if judged.size == 0:
        return None
    whole = np.sort(values[:, judged], axis=0)
    half = np.sort(values[: values.shape[0] // 2, judged], axis=0)
    vary = _spread(whole) > 0.0
    whole, half = whole[:, vary], half[:, vary]
    names = whole.shape[1]
    if names == 0:
        return None
    zero = np.abs(_mean(whole)) <= spec.scale_tolerance * _spread(whole)
    if zero.sum() / names >= spec.scale_names_share:
        unit = float(np.median(np.abs(_spread(whole)[zero] - 1.0))) < 1e-3
        return f"the mean over the whole sample is zero for {int(zero.sum())} of {names} names" + (
            ", and the standard deviation one" if unit else ""
        )
    marks: tuple[tuple[str, float, Callable[[Floats, float], Bools]], ...] = (
        ("the standard deviation over the whole sample is the same", spec.scale_names_share, _same_spread),
        ("the median over the whole sample is zero", spec.scale_names_share, _zero_median),
        ("the smallest and the largest value are the same two numbers", _NEARLY_ALL, _same_ends),
        ("the sorted values have equal steps, as ranks over all dates have,", _NEARLY_ALL, _equal_steps),
        ("a few values are taken equally often, as quantiles over all dates are,", _NEARLY_ALL, _equal_buckets),
    )
    for what, needed, mark in marks:
        seen = mark(whole, spec.scale_tolerance)
        share = float(seen.mean())
        if share >= needed and float(mark(half, spec.scale_tolerance)[seen].mean()) < 0.5:
            return f"{what} for {int(seen.sum())} of {names} names"
    return _one_end(whole, half, np.sort(values[values.shape[0] // 2 :, judged], axis=0)[:, vary], spec.scale_tolerance)


def _one_end(whole: Floats, early: Floats, late: Floats, tolerance: float) -> str | None:
    """Say that the names share their largest or smallest value, which is taken once, so in one half only.

    A value that is the same for all names of a date has its largest at the same date, and its second largest as well.
    """
    first, last = _ends(whole)
    near, columns = tolerance * (last - first), np.arange(whole.shape[1])
    below, above = whole[np.maximum(_count(whole) - 2, 0), columns], whole[min(1, whole.shape[0] - 1)]
    for what, mark, beside in (("largest", _same_largest, below), ("smallest", _same_smallest, above)):
        seen = mark(whole, tolerance)
        if float(_same(beside, near).mean()) > 0.5:
            continue
        in_halves = [float(mark(half, tolerance)[seen].mean()) for half in (early, late) if seen.any()]
        if float(seen.mean()) >= _NEARLY_ALL and min(in_halves) <= 0.5:
            return f"the {what} value is the same number for {int(seen.sum())} of {seen.size} names"
    return None


def _count(ordered: Floats) -> npt.NDArray[np.int64]:
    count: npt.NDArray[np.int64] = (~np.isnan(ordered)).sum(axis=0)
    return count


def _mean(ordered: Floats) -> Floats:
    mean: Floats = np.nansum(ordered, axis=0) / np.maximum(_count(ordered), 1)
    return mean


def _spread(ordered: Floats, ddof: int = 0) -> Floats:
    squares = np.nansum(np.square(ordered - _mean(ordered)), axis=0)
    spread: Floats = np.sqrt(squares / np.maximum(_count(ordered) - ddof, 1))
    return spread


def _ends(ordered: Floats) -> tuple[Floats, Floats]:
    """Smallest and largest value of each name."""
    last = np.maximum(_count(ordered) - 1, 0)
    return ordered[0], ordered[last, np.arange(ordered.shape[1])]


def _same(numbers: Floats, tolerance: Floats | float) -> Bools:
    same: Bools = np.abs(numbers - np.nanmedian(numbers)) <= tolerance
    return same


def _same_spread(ordered: Floats, tolerance: float) -> Bools:
    by_degrees = [_spread(ordered, ddof) for ddof in (0, 1)]
    found = [_same(spread, tolerance * spread) & (spread > 0.0) for spread in by_degrees]
    return max(found, key=lambda one: int(one.sum()))


def _zero_median(ordered: Floats, tolerance: float) -> Bools:
    count, columns = _count(ordered), np.arange(ordered.shape[1])
    low, high = (ordered[np.maximum(place, 0), columns] for place in ((count - 1) // 2, count // 2))
    near = tolerance * _spread(ordered)
    common = (np.abs(ordered) <= near).sum(axis=0) > 2
    median: Bools = (np.abs(low + high) / 2.0 <= near) & ~common & (count > 2)
    return median


def _same_ends(ordered: Floats, tolerance: float) -> Bools:
    both: Bools = _same_smallest(ordered, tolerance) & _same_largest(ordered, tolerance)
    return both


def _same_largest(ordered: Floats, tolerance: float) -> Bools:
    first, last = _ends(ordered)
    near = tolerance * (last - first)
    largest: Bools = _same(last, near) & ((ordered >= last - near).sum(axis=0) == 1)
    return largest


def _same_smallest(ordered: Floats, tolerance: float) -> Bools:
    first, last = _ends(ordered)
    near = tolerance * (last - first)
    smallest: Bools = _same(first, near) & ((ordered <= first + near).sum(axis=0) == 1)
    return smallest


def _equal_steps(ordered: Floats, _: float) -> Bools:
    first, last = _ends(ordered)
    count = _count(ordered)
    step = (last - first) / np.maximum(count - 1, 1)
    off = np.abs(np.diff(ordered, axis=0) - step)
    equal: Bools = (np.where(np.isnan(off), 0.0, off).max(axis=0) <= _STEP_TOLERANCE * step) & (step > 0.0)
    return equal & (count > _MOST_BUCKETS)


def _equal_buckets(ordered: Floats, _: float) -> Bools:
    found = np.zeros(ordered.shape[1], dtype=np.bool_)
    for name in range(ordered.shape[1]):
        column = ordered[:, name]
        taken = np.unique(column[~np.isnan(column)], return_counts=True)[1]
        found[name] = (
            2 <= taken.size <= _MOST_BUCKETS and taken.min() >= _SMALLEST_BUCKET and taken.max() - taken.min() <= 1
        )
    return found
