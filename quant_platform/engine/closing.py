"""The close: excursions, trailing levels, who leaves next, marks, ruin (steps 6 and 7)."""

from __future__ import annotations

import math

from quant_platform.contracts.compiled import compiled_part, inlined
from quant_platform.engine.barriers import NOTHING, STOPPED, judge, judge_extremes, last_bar_inside
from quant_platform.engine.fills import refresh_levels, units_of
from quant_platform.engine.layout import (
    ACTIVE,
    BEST,
    BUSIED,
    BUSY,
    CASH,
    CLOSE,
    CURVE_CASH,
    CURVE_EQUITY,
    CURVE_HELD,
    CURVE_LONG,
    CURVE_SHORT,
    ENTRY_BAR,
    EQUITY,
    EXTREME,
    FLAGS,
    GROSS,
    HIGH,
    LEAVING,
    LIST,
    LISTED,
    LOW,
    MARK,
    NO,
    OPEN,
    POSITION,
    QUEUED,
    REASON_RUIN,
    REASON_STOP,
    REASON_TARGET,
    REASON_TIME,
    RUINED,
    STIRRED,
    STOP_LEVEL,
    TARGET_LEVEL,
    TIME_AT_CLOSE,
    TIME_BARS,
    TRAIL_DISTANCE,
    TRIGGER_AT_CLOSE,
    VOLUME,
    WAIT_ASSET,
    WORST,
    Book,
    Floats,
    Market,
    Rules,
)
from quant_platform.engine.leaving import leave_position, tradable
from quant_platform.engine.queue import cancel


@inlined
def close_bar(t: int, market: Market, rules: Rules, book: Book) -> None:
    """Let the bar into excursions and trailing levels, and decide who leaves next (step 6)."""
    for j in range(book.sizes[ACTIVE]):
        a = book.places[j, LIST]
        state, places = book.state[a], book.places[a]
        if places[STIRRED] != t:
            take_in(t, a, market, book)
            continue
        if state[POSITION] == 0.0:
            continue
        side = 1.0 if state[POSITION] > 0.0 else -1.0
        price = market.bars[CLOSE, t, a]
        trades = tradable(t, a, price, market, rules)
        if trades:
            state[MARK] = price
            adverse = side * market.bars[LOW if side > 0.0 else HIGH, t, a]
            favourable = side * market.bars[HIGH if side > 0.0 else LOW, t, a]
            state[WORST], state[BEST] = min(state[WORST], adverse), max(state[BEST], favourable)
            if places[LEAVING] == 0 and places[FLAGS] & TRIGGER_AT_CLOSE:
                found = judge(side * price, state[STOP_LEVEL], state[TARGET_LEVEL])
                if found != NOTHING:
                    places[LEAVING] = REASON_STOP if found == STOPPED else REASON_TARGET
            if rules.trail_counts_entry_bar or places[ENTRY_BAR] < t:
                state[EXTREME] = max(state[EXTREME], favourable)
                if not math.isnan(state[TRAIL_DISTANCE]):
                    refresh_levels(a, market, book)
        if places[TIME_BARS] > 0 and places[LEAVING] == 0:
            first = places[ENTRY_BAR] + 1 if rules.same_close else places[ENTRY_BAR]
            if t >= last_bar_inside(first, places[TIME_BARS]):
                if places[FLAGS] & TIME_AT_CLOSE and trades:
                    leave_position(t, a, price, REASON_TIME, NO, math.nan, market, rules, book)
                else:
                    places[LEAVING] = REASON_TIME


@inlined
def mark(t: int, market: Market, rules: Rules, book: Book, curve: Floats) -> None:
    """Value everything at its close, and take what left off the list of what is held (step 6)."""
    account = book.account
    long, short = 0.0, 0.0
    held, j = 0, 0
    while j < book.sizes[ACTIVE]:
        a = book.places[j, LIST]
        position = book.state[a, POSITION]
        if position == 0.0:
            book.places[a, LISTED] = 0
            book.sizes[ACTIVE] -= 1
            book.places[j, LIST] = book.places[book.sizes[ACTIVE], LIST]
            continue
        if rules.same_close and tradable(t, a, market.bars[CLOSE, t, a], market, rules):
            book.state[a, MARK] = market.bars[CLOSE, t, a]
        worth = units_of(position, a, market) * book.state[a, MARK]
        if worth >= 0.0:
            long += worth
        else:
            short -= worth
        held += 1
        j += 1
    account[EQUITY] = account[CASH] + long - short
    account[GROSS] = long + short
    row = curve[t]
    row[CURVE_CASH], row[CURVE_EQUITY], row[CURVE_LONG], row[CURVE_SHORT] = account[CASH], account[EQUITY], long, short
    row[CURVE_HELD] = held
    if account[EQUITY] <= 0.0 and book.sizes[RUINED] == 0:
        _ruin(book)


@inlined
def is_quiet(t: int, market: Market, rules: Rules, book: Book) -> bool:
    """Whether steps 1 to 7 do nothing to anything held but mark it, so that their walks can be left out."""
    quiet, j = not (rules.borrow_rate > 0.0 or book.account[CASH] < 0.0), 0
    while quiet and j < book.sizes[ACTIVE]:
        quiet = rests_quietly(t, book.places[j, LIST], market, rules, book)
        j += 1
    return quiet


@inlined
def rests_quietly(t: int, a: int, market: Market, rules: Rules, book: Book) -> bool:
    """Whether no decision, level, horizon, trail or missing bar does anything to what is held of an asset."""
    position = book.state[a, POSITION]
    if position == 0.0 or book.places[a, LEAVING] != 0 or math.isnan(market.bars[OPEN, t, a]):
        return False
    if book.places[a, FLAGS] & TRIGGER_AT_CLOSE or (rules.has_volume and market.bars[VOLUME, t, a] == 0.0):
        return False
    if book.places[a, TIME_BARS] > 0 and t >= last_bar_inside(book.places[a, ENTRY_BAR], book.places[a, TIME_BARS]):
        return False
    low, high = market.bars[LOW, t, a], market.bars[HIGH, t, a]
    adverse, favourable = (low, high) if position > 0.0 else (-high, -low)
    if judge_extremes(adverse, favourable, book.state[a, STOP_LEVEL], book.state[a, TARGET_LEVEL]) != NOTHING:
        return False
    return math.isnan(book.state[a, TRAIL_DISTANCE]) or favourable <= book.state[a, EXTREME]


@inlined
def stir(t: int, everything: bool, market: Market, rules: Rules, book: Book) -> None:
    """List those held to which this bar may do more than mark them: the walks of steps 3 and 5 look at no others.

    ``everything`` is for a bar that makes its orders itself, at its open: whom they concern is not known before.
    """
    for j in range(book.sizes[QUEUED]):
        book.places[book.wait_places[j, WAIT_ASSET], STIRRED] = t
    book.sizes[BUSIED] = 0
    for j in range(book.sizes[ACTIVE]):
        a = book.places[j, LIST]
        if everything or book.places[a, STIRRED] == t or not rests_quietly(t, a, market, rules, book):
            book.places[a, STIRRED] = t
            book.places[book.sizes[BUSIED], BUSY] = a
            book.sizes[BUSIED] += 1


@inlined
def mark_quiet(t: int, market: Market, book: Book, curve: Floats) -> None:
    """Excursions and marks of a bar on which nothing else happens; the sums are those of ``mark``."""
    long, short = 0.0, 0.0
    for j in range(book.sizes[ACTIVE]):
        a = book.places[j, LIST]
        take_in(t, a, market, book)
        worth = units_of(book.state[a, POSITION], a, market) * book.state[a, MARK]
        if worth >= 0.0:
            long += worth
        else:
            short -= worth
    equity = book.account[CASH] + long - short
    book.account[EQUITY], book.account[GROSS] = equity, long + short
    curve[t, CURVE_CASH], curve[t, CURVE_EQUITY] = book.account[CASH], equity
    curve[t, CURVE_LONG], curve[t, CURVE_SHORT], curve[t, CURVE_HELD] = long, short, book.sizes[ACTIVE]
    if equity <= 0.0 and book.sizes[RUINED] == 0:
        _ruin(book)


@inlined
def take_in(t: int, a: int, market: Market, book: Book) -> None:
    """Mark and excursions of what rests quietly."""
    low, high = market.bars[LOW, t, a], market.bars[HIGH, t, a]
    adverse, favourable = (low, high) if book.state[a, POSITION] > 0.0 else (-high, -low)
    book.state[a, MARK] = market.bars[CLOSE, t, a]
    book.state[a, WORST], book.state[a, BEST] = min(book.state[a, WORST], adverse), max(book.state[a, BEST], favourable)
    book.state[a, EXTREME] = max(book.state[a, EXTREME], favourable)


@compiled_part
def _ruin(book: Book) -> None:
    """Let everything leave and call every order back (step 7)."""
    book.sizes[RUINED] = 1
    for j in range(book.sizes[ACTIVE]):
        if book.places[book.places[j, LIST], LEAVING] == 0:
            book.places[book.places[j, LIST], LEAVING] = REASON_RUIN
    for j in range(book.sizes[QUEUED]):
        cancel(j, book)
