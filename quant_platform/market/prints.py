"""False prints inside a day: a low, high or open that stands far from every price around it.

A vendor's low of 25.95 beside closes of 42 was never traded. The row's close is good, so the row stays; the field is
suspect and is missing for whoever reads it. A field is suspect where all of these hold:

1. It lies beyond every close of the row and of the few rows before it, and beyond the row's open (unless the open lies
   out there as well: then both are suspect), by ``excess``: |log(price / nearest of those)|.
2. ``excess`` is at least ``minimum_excess`` and ``range_multiple`` times the median log(high / low) of the rows before;
   from ``certain_excess`` on, ``certain_range_multiple`` times is enough.
3. The row's volume is below ``news_volume_multiple`` times the median of the rows before. News is traded on: where the
   volume jumps as well, the print is taken to be real.
4. The session is none of ``dislocations``: sessions on which such prints are known to have traded market-wide.

All of it is decided from rows up to the one judged, so a live scan decides as the replay does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant_platform.market.medians import medians_before
from quant_platform.specification.cleaning import FalsePrintRule

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Days = NDArray[np.datetime64]
Places = NDArray[np.intp]

OPEN, HIGH, LOW, CLOSE = 0, 1, 2, 3


@dataclass(frozen=True)
class Prints:
    """Per row and price, shape (n, 4): whether it is suspect, and the nearest price around it that was due at least."""

    suspect: Flags
    expected: Floats


def false_prints(stamps: Days, prices: Floats, volume: Floats, splits: Floats, rule: FalsePrintRule) -> Prints:
    """Find lows, highs and opens that stand far from every price around them.

    Parameters
    ----------
    stamps
        Sessions of good rows, ascending, ``datetime64[D]``, shape (n,).
    prices
        ``open, high, low, close`` of those rows, shape (n, 4); a field that is already suspect is NaN.
    volume
        Shares, NaN where absent, shape (n,).
    splits
        Factor per row that makes prices comparable over splits, shape (n,).
    rule
        The numbers, ``specs/cleaning/equity.yaml``.

    Notes
    -----
    **Timing.** Causal. **Missing values.** With fewer than ``minimum_rows`` rows before it the usual range is not known
    and a field must lie beyond ``certain_excess``. An unknown volume exonerates nothing.

    What it does not catch: a false print that other prices of the days around it reach, or on a day of heavy volume, or
    on a dislocation; a false close.
    """
    suspect = np.zeros((len(stamps), 4), bool)
    expected = np.full((len(stamps), 4), np.nan)
    comparable = [prices[:, field] * splits for field in (OPEN, HIGH, LOW, CLOSE)]
    floor, ceiling = _closes_around(comparable[CLOSE], rule.closes_before)
    least = min(rule.minimum_excess, rule.certain_excess)
    for field, sign, bounds in ((LOW, -1.0, floor), (HIGH, 1.0, ceiling)):
        # Few rows of thousands come this far: only for them is it asked what is usual.
        rows = np.flatnonzero(_excess(sign, comparable[field], bounds) >= least)
        if len(rows) == 0:
            continue
        usual = _usual_range(comparable[HIGH], comparable[LOW], rows, rule)
        price, opening, bound, factor = comparable[field][rows], comparable[OPEN][rows], bounds[rows], splits[rows]
        by_close = _far(sign, price, bound, usual, rule) & ~_excused(stamps, volume, splits, rows, rule)
        opened = _far(sign, opening, bound, usual, rule) & by_close
        with_open = np.fmin(bound, opening) if sign < 0 else np.fmax(bound, opening)
        found = _far(sign, price, with_open, usual, rule) & by_close | opened
        suspect[rows[found], field] = True
        expected[rows[found], field] = (np.where(opened, bound, with_open) / factor)[found]
        suspect[rows[opened], OPEN] = True
        expected[rows[opened], OPEN] = (bound / factor)[opened]
    return Prints(suspect, expected)


def _closes_around(close: Floats, rows: int) -> tuple[Floats, Floats]:
    """Lowest and highest close of each row and the few rows before it; a close that is missing counts for none."""
    floor, ceiling = close.copy(), close.copy()
    for back in range(1, rows + 1):
        np.fmin(floor[back:], close[:-back], out=floor[back:])
        np.fmax(ceiling[back:], close[:-back], out=ceiling[back:])
    return floor, ceiling


def _excess(sign: float, price: Floats, bound: Floats) -> Floats:
    """How far a price lies beyond a bound, below it (sign -1) or above it (1), as a log ratio; NaN where unknown."""
    with np.errstate(invalid="ignore", divide="ignore"):
        excess: Floats = sign * np.log(price / bound)
    return excess


def _far(sign: float, price: Floats, bound: Floats, usual: Floats, rule: FalsePrintRule) -> Flags:
    excess = _excess(sign, price, bound)
    known = np.isfinite(usual)
    ordinary = known & (excess >= np.maximum(rule.minimum_excess, rule.range_multiple * usual))
    certain = (excess >= rule.certain_excess) & (~known | (excess >= rule.certain_range_multiple * usual))
    far: Flags = ordinary | certain
    return far


def _usual_range(high: Floats, low: Floats, rows: Places, rule: FalsePrintRule) -> Floats:
    """Median log(high / low) of the rows before some rows."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return _median_before(np.log(high / low), rows, rule)


def _median_before(values: Floats, rows: Places, rule: FalsePrintRule) -> Floats:
    return medians_before(values, rows, length=rule.rows_before, required=rule.minimum_rows)


def _excused(stamps: Days, volume: Floats, splits: Floats, rows: Places, rule: FalsePrintRule) -> Flags:
    """Which of some rows are news, or lie on a dislocation."""
    with np.errstate(invalid="ignore"):
        traded = _median_before(np.where(volume > 0, volume / splits, np.nan), rows, rule)
        excused: Flags = np.nan_to_num(volume[rows] / splits[rows] / traded) >= rule.news_volume_multiple
    day = stamps[rows]
    for each in rule.dislocations:
        excused |= (day >= np.datetime64(each.first)) & (day <= np.datetime64(each.last))
    return excused
