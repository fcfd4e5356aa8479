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
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from quant_platform.specification.cleaning import FalsePrintRule

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Days = NDArray[np.datetime64]

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
    n = len(stamps)
    if n == 0:
        return Prints(np.zeros((0, 4), bool), np.full((0, 4), np.nan))
    comparable = prices * splits[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        span = np.log(comparable[:, HIGH] / comparable[:, LOW])
    usual = _median_before(span, rule)
    traded = _median_before(np.where(volume > 0, volume / splits, np.nan), rule)
    before = _before(comparable[:, CLOSE], rule.closes_before)
    closes = np.column_stack([comparable[:, CLOSE], before])
    floor, ceiling = np.nanmin(closes, axis=1), np.nanmax(closes, axis=1)
    excused = _excused(stamps, rule) | (np.nan_to_num(volume / splits / traded) >= rule.news_volume_multiple)

    suspect = np.zeros((n, 4), bool)
    expected = np.full((n, 4), np.nan)
    for field, sign, bound in ((LOW, -1.0, floor), (HIGH, 1.0, ceiling)):
        by_close = _far(sign, comparable[:, field], bound, usual, rule) & ~excused
        opened = _far(sign, comparable[:, OPEN], bound, usual, rule) & by_close
        with_open = np.fmin(bound, comparable[:, OPEN]) if sign < 0 else np.fmax(bound, comparable[:, OPEN])
        alone = _far(sign, comparable[:, field], with_open, usual, rule) & by_close
        suspect[:, field] = alone | opened
        suspect[:, OPEN] |= opened
        expected[:, field] = np.where(opened, bound, with_open)
        expected[opened, OPEN] = bound[opened]
    return Prints(suspect, np.where(suspect, expected / splits[:, None], np.nan))


def _far(sign: float, price: Floats, bound: Floats, usual: Floats, rule: FalsePrintRule) -> Flags:
    with np.errstate(invalid="ignore", divide="ignore"):
        excess = sign * np.log(price / bound)
        known = np.isfinite(usual)
        ordinary = known & (excess >= np.maximum(rule.minimum_excess, rule.range_multiple * usual))
        certain = (excess >= rule.certain_excess) & (~known | (excess >= rule.certain_range_multiple * usual))
    far: Flags = ordinary | certain
    return far


def _before(values: Floats, rows: int) -> Floats:
    """The values of the rows before each row, shape (n, rows), NaN where there is none."""
    padded = np.append(np.full(rows, np.nan), values[:-1])
    return sliding_window_view(padded, rows)[: len(values)]


def _median_before(values: Floats, rule: FalsePrintRule) -> Floats:
    series = pl.Series(values).fill_nan(None).shift(1)
    return series.rolling_median(rule.rows_before, min_samples=rule.minimum_rows).fill_null(np.nan).to_numpy()


def _excused(stamps: Days, rule: FalsePrintRule) -> Flags:
    inside = np.zeros(len(stamps), bool)
    for each in rule.dislocations:
        inside |= (stamps >= np.datetime64(each.first)) & (stamps <= np.datetime64(each.last))
    return inside
