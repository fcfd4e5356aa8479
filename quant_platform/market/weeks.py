"""Which week a day lies in. Weeks start on Monday everywhere, whatever the first day of the data is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Longs = npt.NDArray[np.int64]

DAYS_PER_WEEK = 7
MONDAY_OF_EPOCH = 3
"""1970-01-01 was a Thursday: day number plus three, over seven, counts weeks from Monday."""


def week_number(days: npt.ArrayLike) -> Longs:
    """Number of the Monday-based week of each day.

    Parameters
    ----------
    days
        Days since 1970-01-01, or ``datetime64[D]``.

    Examples
    --------
    Sunday 4 January 1970 still belongs to the week of the epoch, Monday does not:

    >>> week_number([0, 3, 4]).tolist()
    [0, 0, 1]
    """
    number = np.asarray(days)
    if number.dtype.kind == "M":
        number = number.astype("datetime64[D]")
    whole: Longs = (number.astype(np.int64) + MONDAY_OF_EPOCH) // DAYS_PER_WEEK
    return whole


def monday_of(weeks: Longs) -> npt.NDArray[np.datetime64]:
    """First day of numbered weeks, ``datetime64[D]``.

    Examples
    --------
    >>> monday_of(np.array([1])).tolist()
    [datetime.date(1970, 1, 5)]
    """
    first: npt.NDArray[np.datetime64] = (weeks * DAYS_PER_WEEK - MONDAY_OF_EPOCH).astype("datetime64[D]")
    return first
