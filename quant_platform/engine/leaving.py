"""What leaves: exits decided before, gaps through a level, and levels inside a bar (steps 3 and 5)."""

from __future__ import annotations

import math

from quant_platform.contracts.compiled import compiled_part, inlined
from quant_platform.engine.barriers import NOTHING, REACHED, STOPPED, excursions_at_exit, judge, judge_extremes
from quant_platform.engine.fills import fill, lots_of, units_of
from quant_platform.engine.layout import (
    ACTIVE,
    BEST,
    BUSIED,
    BUSY,
    ENTRY_BAR,
    FEE_CHARGED,
    FEE_RAW,
    FLAGS,
    HIGH,
    LEAVING,
    LIST,
    LOW,
    NO,
    NONE,
    OPEN,
    PARTLY_FILLED,
    POSITION,
    REASON_STOP,
    REASON_TARGET,
    STOP_LEVEL,
    TARGET_LEVEL,
    TRIGGER_AT_CLOSE,
    UNKNOWN_VOLUME,
    USED_VOLUME,
    VOLUME,
    VOLUME_BAR,
    WAITED_FOR_A_HALT,
    WORST,
    YES,
    Book,
    Market,
    Rules,
)


@inlined
def tradable(t: int, a: int, price: float, market: Market, rules: Rules) -> bool:
    """Whether an asset can be traded at a price of this bar."""
    if math.isnan(price):
        return False
    return not (rules.has_volume and rules.zero_volume_halts and market.bars[VOLUME, t, a] == 0.0)


@compiled_part
def within_volume(t: int, a: int, lots: float, market: Market, rules: Rules, book: Book) -> float:
    """Take what the bar's volume allows out of it."""
    if rules.participation == math.inf:
        return lots
    state, places = book.state[a], book.places[a]
    if places[VOLUME_BAR] != t:
        places[VOLUME_BAR] = t
        state[USED_VOLUME] = 0.0
    volume = market.bars[VOLUME, t, a] if rules.has_volume else math.nan
    if math.isnan(volume):
        book.sizes[UNKNOWN_VOLUME] += 1
        return 0.0
    left = max(0.0, rules.participation * volume - state[USED_VOLUME])
    allowed = lots_of(left, a, market)
    if allowed < lots:
        book.sizes[PARTLY_FILLED] += 1
        lots = allowed
    state[USED_VOLUME] += units_of(lots, a, market)
    return lots


@compiled_part
def leave_position(
    t: int, a: int, price: float, reason: int, rests: int, adverse: float, market: Market, rules: Rules, book: Book
) -> None:
    """Close a position, or as much of it as the bar's volume allows; the rest of a market order goes on leaving.

    ``adverse`` is the mirrored extreme that lies before an exit at a target inside the bar, NaN for any other exit.
    """
    state, places = book.state[a], book.places[a]
    held = abs(state[POSITION])
    side = 1.0 if state[POSITION] > 0.0 else -1.0
    lots = within_volume(t, a, held, market, rules, book)
    if rests == NO:
        places[LEAVING] = reason
    if lots <= 0.0:
        return
    state[WORST], state[BEST] = excursions_at_exit(state[WORST], state[BEST], side * price, adverse)
    raw, charged = fill(
        t, a, -side * lots, price, reason, NONE, rests, state[FEE_RAW], state[FEE_CHARGED], market, rules, book
    )
    if state[POSITION] != 0.0:
        state[FEE_RAW], state[FEE_CHARGED] = raw, charged


@inlined
def leave_as_decided(t: int, layer: int, listed: int, count: int, market: Market, rules: Rules, book: Book) -> None:
    """Fill the exits that were decided before, where there is a price (step 3).

    ``listed`` is the column of the list that is walked, ``count`` its length.
    """
    for j in range(count):
        a = book.places[j, listed]
        if book.state[a, POSITION] == 0.0 or book.places[a, LEAVING] == 0:
            continue
        if tradable(t, a, market.bars[layer, t, a], market, rules):
            leave_position(t, a, market.bars[layer, t, a], book.places[a, LEAVING], NO, math.nan, market, rules, book)
        else:
            book.sizes[WAITED_FOR_A_HALT] += 1


@inlined
def leave_at_gaps(t: int, market: Market, rules: Rules, book: Book) -> None:
    """Leave at the open where it is at or beyond stop or target (step 3)."""
    for j in range(book.sizes[BUSIED]):
        a = book.places[j, BUSY]
        state, places = book.state[a], book.places[a]
        if state[POSITION] == 0.0 or places[LEAVING] != 0 or places[FLAGS] & TRIGGER_AT_CLOSE:
            continue
        price = market.bars[OPEN, t, a]
        side = 1.0 if state[POSITION] > 0.0 else -1.0
        found = judge(side * price, state[STOP_LEVEL], state[TARGET_LEVEL])
        if found != NOTHING and tradable(t, a, price, market, rules):
            reason = REASON_STOP if found == STOPPED else REASON_TARGET
            leave_position(t, a, price, reason, YES if found == REACHED else NO, math.nan, market, rules, book)


@inlined
def leave_inside(t: int, known: int, market: Market, rules: Rules, book: Book) -> None:
    """Leave at stop or target where the bar reaches it, the stop first (step 5).

    ``known`` is how many were held before orders were filled: those that were opened since stand behind them.
    """
    busy = book.sizes[BUSIED]
    for j in range(busy + book.sizes[ACTIVE] - known):
        a = book.places[j, BUSY] if j < busy else book.places[known + j - busy, LIST]
        state, places = book.state[a], book.places[a]
        if state[POSITION] == 0.0 or places[LEAVING] != 0 or places[FLAGS] & TRIGGER_AT_CLOSE:
            continue
        if places[ENTRY_BAR] == t and not rules.exits_from_entry_bar:
            continue
        side = 1.0 if state[POSITION] > 0.0 else -1.0
        adverse = side * market.bars[LOW if side > 0.0 else HIGH, t, a]
        favourable = side * market.bars[HIGH if side > 0.0 else LOW, t, a]
        found = judge_extremes(adverse, favourable, state[STOP_LEVEL], state[TARGET_LEVEL])
        if found == NOTHING or not tradable(t, a, market.bars[OPEN, t, a], market, rules):
            continue
        if found == STOPPED:
            leave_position(t, a, side * state[STOP_LEVEL], REASON_STOP, NO, math.nan, market, rules, book)
        else:
            leave_position(t, a, side * state[TARGET_LEVEL], REASON_TARGET, YES, adverse, market, rules, book)
