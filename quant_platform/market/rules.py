"""The rules a raw bar must pass, in the order in which they are tried.

1. ``missing_value``: a price is absent (`_missing`).
2. ``non_positive``: a price is not above zero or not finite, or the volume is negative (`_non_positive`).
3. ``not_a_session``: the exchange does not trade on that day.
4. ``duplicate_key``: another good row has the same session (`_duplicates`).
5. ``decimal_shift``: some prices of the row stand at a power of ten from the others (`_shifted_fields`). Where the
   close is good and the spec says so, these fields are suspect and the row stays.
6. ``ohlc_inconsistent``: high is not the highest, or low not the lowest price of the row (`_inconsistent`).
7. ``no_trade``: no volume and one single price: a quote, not a trade.
8. ``stale``: four prices that are not all equal, and the volume, repeat the row before. A thin name that trades 500
   shares at one price on two days is not stale.
9. ``decimal_shift_row``: the close jumps by a power of ten and comes back within a few bars, or by a hundred or more
   and jumps back by as much within a year (`_shifted_rows`).
10. ``after_delisting``: the name was delisted before, and its ticker was given to another company (`after_the_end`).

Rows that pass are then looked through for false prints (`prints.false_prints`): single fields far from every price
around them, which are suspect and leave the row where it is.

No rule looks at the size of a return alone, so crashes stay: a 90 % fall that does not come back is not a shift, and
one that does come back must do so within `revert_sessions` to within `revert_tolerance`, or by a hundredfold jump.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from quant_platform.market.prints import false_prints
from quant_platform.specification.cleaning import CleaningSpec, DecimalShiftRule

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Days = NDArray[np.datetime64]

PRICES = ("open", "high", "low", "close")
_COLUMNS = (*PRICES, "volume", "session")


@dataclass(frozen=True)
class Rule:
    """Name of a rule, and whether it decides from rows up to the one judged."""

    name: str
    check_kind: Literal["causal", "repair_time"] = "causal"


RULES: tuple[Rule, ...] = (
    Rule("missing_value"),
    Rule("non_positive"),
    Rule("not_a_session"),
    Rule("duplicate_key"),
    Rule("decimal_shift"),
    Rule("ohlc_inconsistent"),
    Rule("no_trade"),
    Rule("stale"),
    Rule("decimal_shift_row", "repair_time"),
    Rule("after_delisting", "repair_time"),
)
SUSPECT_RULES: tuple[Rule, ...] = (Rule("decimal_shift"), Rule("false_print"))
# A jump is nearer to a tenfold one than to none from 10 ** 0.5 = 3.16 on.
_LEAST_JUMP = 3.0
_NUMBER = {rule.name: k for k, rule in enumerate(RULES)}


@dataclass(frozen=True)
class Verdict:
    """What was found in n rows.

    ``rule``, ``column``, ``observed``, ``expected`` have shape (n,): index into `RULES` (-1 where the row passed all),
    column judged, what stood, what was due. ``suspect`` and ``suspect_expected`` have shape (n, 4), in the order of
    `PRICES`: index into `SUSPECT_RULES` of a field of a row that stays (-1 where it is good), and what was due there.
    """

    rule: NDArray[np.int8]
    column: NDArray[np.int8]
    observed: Floats
    expected: Floats
    suspect: NDArray[np.int8]
    suspect_expected: Floats
    columns: tuple[str, ...] = _COLUMNS


def judge(stamps: Days, values: Mapping[str, Floats], splits: Floats, spec: CleaningSpec, sessions: Days) -> Verdict:
    """Judge every row.

    Parameters
    ----------
    stamps
        Session of each row, sorted; equal ones in the order of the source. Shape (n,).
    values
        ``open, high, low, close, volume`` as delivered, NaN where absent.
    splits
        Factor per row that makes closes comparable over splits (`adjustment.split_factor`).
    spec
        The tolerances.
    sessions
        Sorted sessions of the exchange.
    """
    n = len(stamps)
    # A price is one column of memory: what is asked of each row is then asked of a whole column at a time.
    prices = np.stack([values[name] for name in PRICES]).T
    volume = values["volume"]
    verdict = Verdict(
        np.full(n, -1, np.int8),
        np.zeros(n, np.int8),
        np.full(n, np.nan),
        np.full(n, np.nan),
        np.full((4, n), -1, np.int8).T,
        np.full((4, n), np.nan).T,
    )

    _note(verdict, "missing_value", np.isnan(prices), prices)
    _non_positive(verdict, prices, volume)
    days = stamps.astype(np.int64).astype(float)
    _mark(verdict, "not_a_session", ~among_sessions(stamps, sessions), "session", days)
    _duplicates(verdict, stamps, prices, volume, spec)
    _shifted_fields(verdict, prices, splits, spec.decimal_shift)
    if (verdict.suspect >= 0).any():
        prices = np.where(verdict.suspect >= 0, np.nan, prices)
    _inconsistent(verdict, prices, spec.ohlc_inconsistent.relative_tolerance)
    if spec.stale.no_trade:
        quote = (volume == 0) & (prices[:, 1] == prices[:, 2])
        _mark(verdict, "no_trade", quote, "volume", volume)
    if spec.stale.repeated:
        _stale(verdict, prices, volume)
    _shifted_rows(verdict, prices[:, 3], splits, spec.decimal_shift)
    _false_prints(verdict, stamps, prices, volume, splits, spec)
    verdict.suspect[verdict.rule >= 0] = -1
    return verdict


def after_the_end(verdict: Verdict, stamps: Days, close: Floats, last: np.datetime64 | None, around: int) -> Flags:
    """Note the rows after a delisting, where there are more than a few, and return which they are.

    A position, a mean or a rank that went on over them would join two companies.

    Parameters
    ----------
    verdict
        What was found in the rows; rows without a reason get this one.
    stamps, close
        Session and close of each row.
    last
        Session of the delisting; None where there was none.
    around
        So many rows after it may be the last of the same company.
    """
    none: Flags = np.zeros(len(stamps), dtype=np.bool_)
    if last is None:
        return none
    after: Flags = (stamps > last) & (verdict.rule < 0)
    if after.sum() <= around:
        return none
    _mark(verdict, "after_delisting", after, "session", close)
    verdict.suspect[after] = -1
    return stamps > last


def among_sessions(stamps: Days, sessions: Days) -> Flags:
    """Which stamps are sessions, shape (n,); a stamp that is missing is none.

    Parameters
    ----------
    stamps
        In any order, shape (n,).
    sessions
        In order; they may repeat.
    """
    if len(sessions) == 0:
        return np.zeros(len(stamps), dtype=np.bool_)
    # `numpy.isin` would sort both, which are sorted.
    place = np.minimum(np.searchsorted(sessions, stamps), len(sessions) - 1)
    among: Flags = sessions[place] == stamps
    return among


def _note(verdict: Verdict, name: str, bad: Flags, prices: Floats) -> None:
    """Record a rule for the rows without a reason of which a price is bad, and the first price that is."""
    new = np.flatnonzero(bad.any(axis=1) & (verdict.rule < 0))
    if len(new) == 0:
        return
    column = bad[new].argmax(axis=1)
    verdict.rule[new] = _NUMBER[name]
    verdict.column[new] = column
    verdict.observed[new] = prices[new, column]


def _mark(
    verdict: Verdict, name: str, bad: Flags, column: str, observed: Floats, expected: Floats | None = None
) -> None:
    """Record a rule for the rows that are bad and still without a reason."""
    new = np.flatnonzero(bad & (verdict.rule < 0))
    if len(new) == 0:
        return
    verdict.rule[new] = _NUMBER[name]
    verdict.column[new] = _COLUMNS.index(column)
    verdict.observed[new] = observed[new]
    if expected is not None:
        verdict.expected[new] = expected[new]


def _non_positive(verdict: Verdict, prices: Floats, volume: Floats) -> None:
    _note(verdict, "non_positive", ~(np.isfinite(prices) & (prices > 0)), prices)
    _mark(verdict, "non_positive", volume < 0, "volume", volume)


def _duplicates(verdict: Verdict, stamps: Days, prices: Floats, volume: Floats, spec: CleaningSpec) -> None:
    alive = np.flatnonzero(verdict.rule < 0)
    day = stamps[alive]
    if len(day) < 2 or not (day[1:] == day[:-1]).any():
        return
    row = np.column_stack([prices, np.nan_to_num(volume, nan=-1.0)])
    starts = np.flatnonzero(np.append(True, day[1:] != day[:-1]))
    for group in np.split(alive, starts[1:]):
        if len(group) == 1:
            continue
        same = bool((row[group] == row[group[0]]).all())
        keep = spec.duplicate_key.conflicting
        kept = group[0] if same or keep == "first" else group[-1] if keep == "last" else -1
        reference = prices[kept, 3] if kept >= 0 else np.nan
        for position in group[group != kept]:
            verdict.rule[position] = _NUMBER["duplicate_key"]
            verdict.column[position] = _COLUMNS.index("close")
            verdict.observed[position] = prices[position, 3]
            verdict.expected[position] = reference


def _shifted_fields(verdict: Verdict, prices: Floats, splits: Floats, spec: DecimalShiftRule) -> None:
    """Prices that, moved by a power of ten, fall among the other prices of their row.

    The row's own range is the trigger; the last good close before it says which of its prices are the wrong ones. A
    close below its row's high and above its low is never judged here: a fall by 90 % within one day looks the same
    until the next session is known.
    """
    low, high = prices.min(axis=1), prices.max(axis=1)
    alive = verdict.rule < 0
    with np.errstate(invalid="ignore", divide="ignore"):
        candidates = np.flatnonzero(alive & (high > spec.range_factor * low))
    if len(candidates) == 0:
        return
    good = alive.copy()
    good[candidates] = False
    for t in candidates:
        row = prices[t]
        before = np.flatnonzero(good[:t])
        reference = prices[before[-1], 3] * splits[before[-1]] / splits[t] if len(before) else float(np.median(row))
        near = np.abs(np.log(row / reference)) < np.log(spec.range_factor)
        moved = _moved_back(row, near, spec) if near.any() else np.full(4, np.nan)
        shifted = ~near & np.isfinite(moved)
        close_inside = row[2] <= row[3] <= row[1]
        if shifted.any() and not shifted[3] and spec.keep_good_close:
            verdict.suspect[t, shifted] = 0
            verdict.suspect_expected[t, shifted] = moved[shifted]
            good[t] = True
        elif shifted.any() and not (shifted[3] and close_inside):
            k = int(np.flatnonzero(shifted)[0])
            verdict.rule[t] = _NUMBER["decimal_shift"]
            verdict.column[t] = k
            verdict.observed[t] = row[k]
            verdict.expected[t] = moved[k]
        else:
            good[t] = True


def _moved_back(row: Floats, near: Flags, spec: DecimalShiftRule) -> Floats:
    """Each far price at the power of ten that brings it among the near ones, NaN where none does."""
    lowest = row[near].min() * (1 - spec.field_tolerance)
    highest = row[near].max() * (1 + spec.field_tolerance)
    powers = 10.0 ** np.concatenate([np.arange(1, spec.max_power + 1), -np.arange(1.0, spec.max_power + 1)])
    tried = row[:, None] * powers
    fits = (tried >= lowest) & (tried <= highest)
    return np.where(fits.any(axis=1), tried[np.arange(4), fits.argmax(axis=1)], np.nan)


def _inconsistent(verdict: Verdict, prices: Floats, tolerance: float) -> None:
    opened, high, low, close = prices.T
    # A suspect field is NaN here and is no witness.
    top, bottom = np.fmax(opened, close), np.fmin(opened, close)
    with np.errstate(invalid="ignore"):
        above = np.fmax(top, low) > high * (1 + tolerance)
        below = bottom < low * (1 - tolerance)
    _mark(verdict, "ohlc_inconsistent", above, "high", high, np.fmax(top, low))
    _mark(verdict, "ohlc_inconsistent", below, "low", low, bottom)


def _stale(verdict: Verdict, prices: Floats, volume: Floats) -> None:
    alive = np.flatnonzero(verdict.rule < 0)
    close = prices[alive, 3]
    # Few rows repeat the close before: the other fields are compared for these only.
    again = np.flatnonzero(close[1:] == close[:-1]) + 1
    here, before = alive[again], alive[again - 1]
    same = (prices[here] == prices[before]).all(axis=1) & (volume[here] == volume[before])
    repeated = same & (volume[here] > 0) & (prices[here, 1] > prices[here, 2])
    bad = np.zeros(len(volume), bool)
    bad[here[repeated]] = True
    _mark(verdict, "stale", bad, "close", prices[:, 3])


def _shifted_rows(verdict: Verdict, close: Floats, splits: Floats, spec: DecimalShiftRule) -> None:
    alive = np.flatnonzero(verdict.rule < 0)
    comparable = close[alive] * splits[alive]
    if len(alive) < 3:
        return
    ratio = comparable[1:] / comparable[:-1]
    if ratio.max() < _LEAST_JUMP and ratio.min() > 1.0 / _LEAST_JUMP:
        return
    jump = np.log10(ratio)
    power = np.rint(jump)
    suspicious = (power != 0) & (np.abs(power) <= spec.max_power) & (np.abs(jump - power) <= spec.close_tolerance)
    done = -1
    for start in np.flatnonzero(suspicious) + 1:
        if start <= done:
            continue
        base = comparable[start - 1]
        after = comparable[start + 1 : start + 1 + spec.revert_sessions]
        back = np.flatnonzero(np.abs(np.log(after / base)) <= spec.revert_tolerance)
        if len(back):
            end = int(start) + 1 + int(back[0])
        elif abs(power[start - 1]) >= 2:
            # In another unit: the jump back is by the same power, however far the price has moved by then.
            jumps = slice(start, start + spec.spell_sessions)
            opposite = np.flatnonzero(suspicious[jumps] & (power[jumps] == -power[start - 1]))
            if len(opposite) == 0:
                continue
            end = int(start) + 1 + int(opposite[0])
        else:
            continue
        rows = alive[start:end]
        verdict.rule[rows] = _NUMBER["decimal_shift_row"]
        verdict.column[rows] = _COLUMNS.index("close")
        verdict.observed[rows] = close[rows]
        verdict.expected[rows] = close[rows] / 10.0 ** power[start - 1]
        done = int(end)


def _false_prints(
    verdict: Verdict, stamps: Days, prices: Floats, volume: Floats, splits: Floats, spec: CleaningSpec
) -> None:
    """Note the fields of rows that passed which stand far from every price around them."""
    if spec.false_print is None:
        return
    alive = np.flatnonzero(verdict.rule < 0)
    passed = prices.T.take(alive, axis=1).T
    found = false_prints(stamps[alive], passed, volume[alive], splits[alive], spec.false_print)
    if not found.suspect.any():
        return
    rows, fields = np.nonzero(found.suspect)
    verdict.suspect[alive[rows], fields] = 1
    verdict.suspect_expected[alive[rows], fields] = found.expected[rows, fields]
