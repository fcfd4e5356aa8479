"""Decisions in, fills out: the compiled walk over the bars.

Algorithm, for each session t = 0, 1, ...:

1. ``_carry``: what was held at the last close pays borrow and margin interest for the time since, at the last mark.
2. ``_events``: a delisted asset leaves at its recovery, without costs; splits change quantities, levels and waiting
   orders; dividends are paid on the ex day; funding is paid at its settlement, all to what was held before.
3. At the open, first what leaves: ``_leave`` fills the exits decided before, then ``_gaps`` those whose open is at or
   beyond stop or target. An asset without an open, or with a volume of zero, does nothing at all.
4. ``_execute`` fills the waiting orders at the open: all that reduce first, then all that open or enlarge, in the order
   in which they were decided and within one session in the order of the assets. Buying is cut to what cash affords
   (or refused), exposure to the stated leverage, a fill to the stated share of the bar's volume; the rest of it waits.
5. ``_inside``: stop, then target, against low and high, for positions opened before this bar.
6. ``_close``: excursions and trailing levels take the bar in; levels that look at closes and horizons decide who leaves
   at the next open. Everything is marked at its close, a missing one at the last.
7. An account without equity is ruined: everything leaves, and nothing is opened any more. Where limits or switches are
   set (:mod:`quant_platform.engine.limits`), a switch that trips at this close stops what opens from the next bar on.
8. The decisions of t are read with the positions of its close, sized, and wait for the next open.

With ``same_close`` steps 3 (exits decided) and 4 happen after the decisions of step 8, at the close of t, which is then
marked again. Nothing in steps 1 to 7 reads a decision of t or later.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from quant_platform.contracts.compiled import compiled_part, compiled_walk, inlined
from quant_platform.engine import barriers, cost_law, fills, layout, limits
from quant_platform.engine.barriers import (
    NOTHING,
    REACHED,
    STOPPED,
    excursions_at_exit,
    judge,
    judge_extremes,
    last_bar_inside,
)  # fmt: skip
from quant_platform.engine.cost_law import affordable
from quant_platform.engine.fills import close_trade, fill, lots_of, refresh_levels, units_of
from quant_platform.engine.layout import (
    ACTIVE,
    ADDED,
    ADDED_BAR,
    ADDITION,
    ALLOTTED,
    AVERAGE,
    BEFORE,
    BELOW_MINIMUM,
    BEST,
    BORROW,
    CANCELLED,
    CASH,
    CASH_AMOUNT,
    CASH_FRACTION,
    CLOSE,
    CONFLICTING,
    CRUMB,
    CURVE_CASH,
    CURVE_EQUITY,
    CURVE_HELD,
    CURVE_LONG,
    CURVE_SHORT,
    CUT_TO_CASH,
    CUT_TO_EXPOSURE,
    DAY,
    DAY_START,
    DELISTING,
    DIVIDEND,
    DIVIDENDS,
    DROP_PASSED_TARGET,
    ENTRY,
    ENTRY_BAR,
    ENTRY_UNITS,
    EQUITY,
    EQUITY_FRACTION,
    EXIT,
    EXIT_UNITS,
    EXTREME,
    FEE_CHARGED,
    FEE_RAW,
    FLAGS,
    FLOW,
    FROM_SIGNAL,
    FROM_TRADE,
    FROM_WEIGHTS,
    FUNDING_PAID,
    GROSS,
    HALTED,
    HIGH,
    IGNORED,
    INTEREST,
    LEAVING,
    LIST,
    LISTED,
    LONG_ENTRY,
    LONG_EXIT,
    LOW,
    MARK,
    MINIMUM_NOTIONAL,
    NO,
    NO_REASON,
    NONE,
    OPEN,
    ORDER_ASSET,
    ORDER_BAR,
    ORDER_FLAGS,
    ORDER_FLOATS,
    ORDER_SIGNAL,
    ORDER_TIME,
    OVERFLOW,
    PARTLY_FILLED,
    PEAK,
    POSITION,
    QUANTITY,
    QUEUED,
    REASON_DELISTED,
    REASON_RUIN,
    REASON_STOP,
    REASON_TARGET,
    REASON_TIME,
    REDUCE_ONLY,
    REDUCTION,
    REFUSED,
    REVERSAL,
    ROUNDING,
    RUINED,
    SHORT_ENTRY,
    SHORT_EXIT,
    SHORT_REFUSED,
    SPLIT,
    STOP,
    STOP_DISTANCE,
    STOP_FIXED,
    STOP_LEVEL,
    STOP_PRICE,
    STOPPED_BY_SWITCH,
    TARGET,
    TARGET_DISTANCE,
    TARGET_FIXED,
    TARGET_LEVEL,
    TARGET_PRICE,
    TIME_AT_CLOSE,
    TIME_BARS,
    TOTAL_BORROW,
    TOTAL_DIVIDENDS,
    TOTAL_FUNDING,
    TRAIL,
    TRAIL_DISTANCE,
    TRIGGER_AT_CLOSE,
    UNFILLED_AT_END,
    UNITS,
    UNKNOWN_FUNDING,
    UNKNOWN_RECOVERY,
    UNKNOWN_VOLUME,
    USED_VOLUME,
    VOID,
    VOLUME,
    VOLUME_BAR,
    WAIT_ASSET,
    WAIT_DONE,
    WAIT_FEE_CHARGED,
    WAIT_FEE_RAW,
    WAIT_FLAGS,
    WAIT_FLOATS,
    WAIT_INTEGERS,
    WAIT_KIND,
    WAIT_LOTS,
    WAIT_ORDER,
    WAIT_SIDE,
    WAIT_TIME,
    WAITED_FOR_A_HALT,
    WAITING,
    WHOLE,
    WITHIN_TOLERANCE,
    WORST,
    YES,
    ZERO,
    Book,
    Events,
    Floats,
    Integers,
    Market,
    Rules,
)  # fmt: skip
from quant_platform.engine.limits import allot, limited, watch

_USES = (layout, barriers, cost_law, fills, limits)


@inlined
def _tradable(t: int, a: int, price: float, market: Market, rules: Rules) -> bool:
    if math.isnan(price):
        return False
    return not (rules.has_volume and rules.zero_volume_halts and market.bars[VOLUME, t, a] == 0.0)


@compiled_part
def _within_volume(t: int, a: int, lots: float, market: Market, rules: Rules, book: Book) -> float:
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
def _exit(
    t: int, a: int, price: float, reason: int, rests: int, adverse: float, market: Market, rules: Rules, book: Book
) -> None:
    """Close a position, or as much of it as the bar's volume allows; the rest of a market order goes on leaving.

    ``adverse`` is the mirrored extreme that lies before an exit at a target inside the bar, NaN for any other exit.
    """
    state, places = book.state[a], book.places[a]
    held = abs(state[POSITION])
    side = 1.0 if state[POSITION] > 0.0 else -1.0
    lots = _within_volume(t, a, held, market, rules, book)
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
def _leave(t: int, layer: int, market: Market, rules: Rules, book: Book) -> None:
    for j in range(book.sizes[ACTIVE]):
        a = book.places[j, LIST]
        if book.state[a, POSITION] == 0.0 or book.places[a, LEAVING] == 0:
            continue
        if _tradable(t, a, market.bars[layer, t, a], market, rules):
            _exit(t, a, market.bars[layer, t, a], book.places[a, LEAVING], NO, math.nan, market, rules, book)
        else:
            book.sizes[WAITED_FOR_A_HALT] += 1


@inlined
def _gaps(t: int, market: Market, rules: Rules, book: Book) -> None:
    for j in range(book.sizes[ACTIVE]):
        a = book.places[j, LIST]
        state, places = book.state[a], book.places[a]
        if state[POSITION] == 0.0 or places[LEAVING] != 0 or places[FLAGS] & TRIGGER_AT_CLOSE:
            continue
        price = market.bars[OPEN, t, a]
        side = 1.0 if state[POSITION] > 0.0 else -1.0
        found = judge(side * price, state[STOP_LEVEL], state[TARGET_LEVEL])
        if found != NOTHING and _tradable(t, a, price, market, rules):
            reason = REASON_STOP if found == STOPPED else REASON_TARGET
            _exit(t, a, price, reason, YES if found == REACHED else NO, math.nan, market, rules, book)


@inlined
def _inside(t: int, market: Market, rules: Rules, book: Book) -> None:
    for j in range(book.sizes[ACTIVE]):
        a = book.places[j, LIST]
        state, places = book.state[a], book.places[a]
        if state[POSITION] == 0.0 or places[LEAVING] != 0 or places[FLAGS] & TRIGGER_AT_CLOSE:
            continue
        if places[ENTRY_BAR] == t and not rules.exits_from_entry_bar:
            continue
        side = 1.0 if state[POSITION] > 0.0 else -1.0
        adverse = side * market.bars[LOW if side > 0.0 else HIGH, t, a]
        favourable = side * market.bars[HIGH if side > 0.0 else LOW, t, a]
        found = judge_extremes(adverse, favourable, state[STOP_LEVEL], state[TARGET_LEVEL])
        if found == NOTHING or not _tradable(t, a, market.bars[OPEN, t, a], market, rules):
            continue
        if found == STOPPED:
            _exit(t, a, side * state[STOP_LEVEL], REASON_STOP, NO, math.nan, market, rules, book)
        else:
            _exit(t, a, side * state[TARGET_LEVEL], REASON_TARGET, YES, adverse, market, rules, book)


@inlined
def _carry(years: float, market: Market, rules: Rules, book: Book) -> None:
    account = book.account
    if account[CASH] < 0.0 and rules.margin_rate > 0.0:
        interest = -account[CASH] * rules.margin_rate * years
        account[CASH] -= interest
        account[INTEREST] += interest
    if rules.borrow_rate > 0.0:
        for j in range(book.sizes[ACTIVE]):
            a = book.places[j, LIST]
            state = book.state[a]
            if state[POSITION] < 0.0:
                paid = -units_of(state[POSITION], a, market) * state[MARK] * rules.borrow_rate * years
                account[CASH] -= paid
                account[TOTAL_BORROW] += paid
                state[BORROW] += paid


@compiled_part
def _event(t: int, a: int, kind: int, value: float, market: Market, rules: Rules, book: Book) -> None:
    state, account = book.state[a], book.account
    if kind in (DELISTING, SPLIT):
        for j in range(book.sizes[QUEUED]):
            if book.wait_places[j, WAIT_ASSET] == a and book.wait_places[j, WAIT_DONE] == 0:
                if kind == DELISTING:
                    _cancel(j, book)
                else:
                    _split_order(j, a, value, market, book)
    if state[POSITION] == 0.0:
        return
    long = state[POSITION] > 0.0
    if kind == DELISTING:
        recovery = value
        if math.isnan(recovery):
            book.sizes[UNKNOWN_RECOVERY] += 1
            recovery = rules.unknown_recovery if long else 1.0
        side = 1.0 if long else -1.0
        price = state[MARK] * recovery
        state[WORST], state[BEST] = excursions_at_exit(state[WORST], state[BEST], side * price, math.nan)
        fill(t, a, -state[POSITION], price, REASON_DELISTED, NONE, NO, 0.0, 0.0, market, rules, book)
    elif kind == SPLIT:
        _split(a, value, market, book)
    elif kind == DIVIDEND:
        paid = units_of(state[POSITION], a, market) * value
        account[CASH] += paid
        account[TOTAL_DIVIDENDS] += paid
        state[DIVIDENDS] += paid
    else:
        notional = units_of(state[POSITION], a, market) * state[MARK]
        if math.isnan(value):
            book.sizes[UNKNOWN_FUNDING] += 1
            paid = abs(notional) * rules.unknown_funding
        else:
            paid = notional * value
        account[CASH] -= paid
        account[TOTAL_FUNDING] += paid
        state[FUNDING_PAID] += paid


@compiled_part
def _cancel(j: int, book: Book) -> None:
    if book.wait_places[j, WAIT_DONE] == 0:
        _finish(j, CANCELLED, book)


@compiled_part
def _split_order(j: int, a: int, ratio: float, market: Market, book: Book) -> None:
    wait = book.wait[j]
    wait[QUANTITY] *= ratio
    lots = wait[WAIT_LOTS] * ratio
    wait[WAIT_LOTS] = np.floor(lots + ROUNDING) if market.traits[a, WHOLE] > 0.0 else lots
    wait[STOP_PRICE] /= ratio
    wait[TARGET_PRICE] /= ratio


@compiled_part
def _split(a: int, ratio: float, market: Market, book: Book) -> None:
    """Change a position's units; a part of a lot is paid out at the last mark, split as well."""
    state = book.state[a]
    state[MARK] /= ratio
    lots = state[POSITION] * ratio
    whole = lots
    if market.traits[a, WHOLE] > 0.0:
        whole = math.copysign(np.floor(abs(lots) + ROUNDING), lots)
        paid = units_of(lots - whole, a, market) * state[MARK]
        book.account[CASH] += paid
        state[FLOW] += paid
    state[POSITION] = whole
    state[ENTRY_UNITS] *= ratio
    state[EXIT_UNITS] *= ratio
    for column in (AVERAGE, WORST, BEST, EXTREME, STOP_FIXED, TARGET_FIXED):
        state[column] /= ratio
    if whole == 0.0:
        close_trade(NONE, a, math.copysign(1.0, lots), REDUCTION, market, book)
    else:
        refresh_levels(a, market, book)


@inlined
def _value(t: int, layer: int, market: Market, rules: Rules, book: Book) -> None:
    """Equity and gross exposure at the prices at which orders are about to be filled."""
    equity, gross = book.account[CASH], 0.0
    for j in range(book.sizes[ACTIVE]):
        a = book.places[j, LIST]
        if book.state[a, POSITION] != 0.0:
            price = (
                market.bars[layer, t, a]
                if _tradable(t, a, market.bars[layer, t, a], market, rules)
                else book.state[a, MARK]
            )
            worth = units_of(book.state[a, POSITION], a, market) * price
            equity += worth
            gross += abs(worth)
    book.account[EQUITY], book.account[GROSS] = equity, gross


@compiled_part
def _sized(t: int, a: int, side: float, price: float, wait: Floats, market: Market, rules: Rules, book: Book) -> float:
    """Lots of an entry by the sizing rule, or NaN where no price is known yet."""
    if not math.isnan(wait[QUANTITY]):
        return lots_of(wait[QUANTITY], a, market)
    if rules.sizing == UNITS:
        return lots_of(rules.size, a, market)
    if math.isnan(price):
        return math.nan
    cash, equity = book.account[CASH], book.account[EQUITY]
    if rules.sizing == CASH_AMOUNT:
        return lots_of(rules.size / price, a, market)
    if rules.sizing == CASH_FRACTION:
        money = max(0.0, cash * rules.size)
        if side > 0.0:
            return lots_of(affordable(money, price, t, a, 0.0, 0.0, market, rules, book.sizes), a, market)
        return lots_of(money / price, a, market)
    money = max(0.0, equity * rules.size)
    if rules.sizing == EQUITY_FRACTION:
        return lots_of(money / price, a, market)
    risk = math.inf
    if not math.isnan(wait[STOP]):
        risk = price * wait[STOP]
    if not math.isnan(wait[TRAIL]):
        risk = min(risk, price * wait[TRAIL])
    if not math.isnan(wait[STOP_PRICE]):
        risk = min(risk, side * (price - wait[STOP_PRICE]))
    return lots_of(money / risk, a, market) if risk > 0.0 else 0.0


@compiled_part
def _queue(
    a: int, side: float, kind: int, lots: float, order: int, orders: Floats, places: Integers, book: Book
) -> int:
    """Put an order at the end of those that wait."""
    j = book.sizes[QUEUED]
    if j >= book.wait.shape[0]:
        book.sizes[OVERFLOW] = 1
        return -1
    book.sizes[QUEUED] = j + 1
    wait, names = book.wait[j], book.wait_places[j]
    names[WAIT_TIME], names[WAIT_FLAGS] = 0, 0
    stated = kind != FROM_WEIGHTS
    for column in range(ORDER_FLOATS):
        wait[column] = orders[order, column] if stated else math.nan
    if stated:
        names[WAIT_TIME], names[WAIT_FLAGS] = places[order, ORDER_TIME], places[order, ORDER_FLAGS]
    wait[WAIT_LOTS], wait[WAIT_FEE_RAW], wait[WAIT_FEE_CHARGED] = lots, 0.0, 0.0
    names[WAIT_ASSET], names[WAIT_SIDE], names[WAIT_KIND], names[WAIT_ORDER] = a, int(side), kind, order
    names[WAIT_DONE] = 0
    return int(j)


@compiled_part
def _decide(t: int, order: int, orders: Floats, places: Integers, market: Market, rules: Rules, book: Book) -> None:
    """Read one order with the position of this close (step 8)."""
    a, bits = places[order, ORDER_ASSET], places[order, ORDER_SIGNAL]
    state, counts = book.state[a], book.sizes
    position = state[POSITION]
    if book.sizes[RUINED]:
        counts[CANCELLED] += 1
        return
    if bits == 0:
        quantity = orders[order, QUANTITY]
        lots = lots_of(abs(quantity), a, market)
        if lots == 0.0:
            counts[BELOW_MINIMUM] += 1
        else:
            j = _queue(a, math.copysign(1.0, quantity), FROM_TRADE, lots, order, orders, places, book)
            shrinks = quantity * position < 0.0 and lots <= abs(position)
            if j >= 0 and (shrinks or (quantity < 0.0 and not rules.allow_short)):
                book.wait_places[j, WAIT_FLAGS] |= REDUCE_ONLY
        return
    enters_long, enters_short = bits & LONG_ENTRY != 0, bits & SHORT_ENTRY != 0
    if enters_short and not rules.allow_short:
        counts[SHORT_REFUSED] += 1
        enters_short = False
    held = position if position != 0.0 else _waiting_side(a, book)
    leaves = (held > 0.0 and bits & LONG_EXIT != 0) or (held < 0.0 and bits & SHORT_EXIT != 0)
    reverses = (held > 0.0 and enters_short) or (held < 0.0 and enters_long)
    side = 0.0
    if held == 0.0:
        if enters_long and enters_short:
            counts[CONFLICTING] += 1
        elif enters_long or enters_short:
            side = 1.0 if enters_long else -1.0
        else:
            counts[IGNORED] += 1
    elif reverses:
        side = -1.0 if held > 0.0 else 1.0
    elif not leaves:
        same = (held > 0.0 and enters_long) or (held < 0.0 and enters_short)
        if same and rules.accumulate and book.places[a, LEAVING] == 0:
            side = 1.0 if held > 0.0 else -1.0
        else:
            counts[IGNORED] += 1
    if leaves or reverses:
        _drop_entries(a, book)
        if position != 0.0 and book.places[a, LEAVING] == 0:
            book.places[a, LEAVING] = REVERSAL if reverses else EXIT
    if side != 0.0:
        price = market.bars[CLOSE, t, a]
        if math.isnan(price) and position != 0.0:
            price = state[MARK]
        j = _queue(a, side, FROM_SIGNAL, math.nan, order, orders, places, book)
        if j >= 0:
            book.places[a, WAITING] += 1
            if not rules.size_at_fill:
                book.wait[j, WAIT_LOTS] = _sized(t, a, side, price, book.wait[j], market, rules, book)


@compiled_part
def _waiting_side(a: int, book: Book) -> float:
    """Side of the latest entry that waits, zero for none; trades may have left entries of both sides waiting."""
    side = 0.0
    if book.places[a, WAITING] > 0:
        for j in range(book.sizes[QUEUED]):
            names = book.wait_places[j]
            if names[WAIT_ASSET] == a and names[WAIT_KIND] == FROM_SIGNAL and names[WAIT_DONE] == 0:
                side = float(names[WAIT_SIDE])
    return side


@compiled_part
def _drop_entries(a: int, book: Book) -> None:
    if book.places[a, WAITING] == 0:
        return
    for j in range(book.sizes[QUEUED]):
        if book.wait_places[j, WAIT_ASSET] == a and book.wait_places[j, WAIT_KIND] == FROM_SIGNAL:
            _cancel(j, book)


@compiled_part
def _rebalance(
    t: int, layer: int, row: int, weights: Floats, orders: Floats, places: Integers, market: Market, rules: Rules,
    book: Book,
) -> None:  # fmt: skip
    """Turn target weights into orders; what is left of an older rebalance is cancelled."""
    for j in range(book.sizes[QUEUED]):
        if book.wait_places[j, WAIT_KIND] == FROM_WEIGHTS:
            _cancel(j, book)
    equity = max(0.0, book.account[EQUITY])
    if rules.has_limits:
        allot(t, layer, row, weights, market, rules, book)
    for a in range(weights.shape[1]):
        weight = book.state[a, ALLOTTED] if rules.has_limits else weights[row, a]
        position = book.state[a, POSITION]
        if math.isnan(weight) or (weight == 0.0 and position == 0.0):
            continue
        if book.places[a, LEAVING] != 0 or book.sizes[RUINED]:
            book.sizes[IGNORED] += 1
            continue
        if weight < 0.0 and not rules.allow_short:
            book.sizes[SHORT_REFUSED] += 1
            weight = 0.0
        price = market.bars[layer, t, a]
        if math.isnan(price):
            if position == 0.0:
                book.sizes[WAITED_FOR_A_HALT] += 1
                continue
            price = book.state[a, MARK]
        wanted = weight * (1.0 - rules.cash_buffer) * equity
        now = units_of(position, a, market) * price
        if weight != 0.0 and abs(wanted - now) < rules.tolerance * equity:
            book.sizes[WITHIN_TOLERANCE] += 1
            continue
        target = math.copysign(lots_of(abs(wanted) / price, a, market), wanted)
        change = target - position
        if change != 0.0:
            _queue(a, math.copysign(1.0, change), FROM_WEIGHTS, abs(change), row, orders, places, book)


@inlined
def _execute(t: int, layer: int, market: Market, rules: Rules, book: Book) -> None:
    """Fill the waiting orders, reductions first (step 4), and keep what is left."""
    if book.sizes[QUEUED] == 0:
        return
    _value(t, layer, market, rules, book)
    for j in range(book.sizes[QUEUED]):
        names = book.wait_places[j]
        if names[WAIT_DONE] == 0 and names[WAIT_KIND] != FROM_SIGNAL:
            _reduce(t, j, market.bars[layer, t, names[WAIT_ASSET]], market, rules, book)
    for j in range(book.sizes[QUEUED]):
        names = book.wait_places[j]
        if names[WAIT_DONE] == 0:
            if _tradable(t, names[WAIT_ASSET], market.bars[layer, t, names[WAIT_ASSET]], market, rules):
                _enlarge(t, j, market.bars[layer, t, names[WAIT_ASSET]], market, rules, book)
            else:
                book.sizes[WAITED_FOR_A_HALT] += 1
    kept = 0
    for j in range(book.sizes[QUEUED]):
        if book.wait_places[j, WAIT_DONE] == 0:
            if kept != j:
                for column in range(WAIT_FLOATS):
                    book.wait[kept, column] = book.wait[j, column]
                for column in range(WAIT_INTEGERS):
                    book.wait_places[kept, column] = book.wait_places[j, column]
            kept += 1
    book.sizes[QUEUED] = kept


@inlined
def _reduce(t: int, j: int, price: float, market: Market, rules: Rules, book: Book) -> None:
    wait, names = book.wait[j], book.wait_places[j]
    a = names[WAIT_ASSET]
    state = book.state[a]
    side = float(names[WAIT_SIDE])
    if side * state[POSITION] >= 0.0 or not _tradable(t, a, price, market, rules):
        return
    lots = _within_volume(t, a, min(wait[WAIT_LOTS], abs(state[POSITION])), market, rules, book)
    if lots > 0.0:
        mirrored = price if state[POSITION] > 0.0 else -price
        state[WORST], state[BEST] = excursions_at_exit(state[WORST], state[BEST], mirrored, math.nan)
        wait[WAIT_FEE_RAW], wait[WAIT_FEE_CHARGED] = fill(
            t, a, side * lots, price, REDUCTION, names[WAIT_ORDER], False, wait[WAIT_FEE_RAW], wait[WAIT_FEE_CHARGED],
            market, rules, book,
        )  # fmt: skip
        wait[WAIT_LOTS] -= lots
    if wait[WAIT_LOTS] <= 0.0:
        _done(j, book)


@inlined
def _enlarge(t: int, j: int, price: float, market: Market, rules: Rules, book: Book) -> None:
    wait, names = book.wait[j], book.wait_places[j]
    a, side = names[WAIT_ASSET], float(names[WAIT_SIDE])
    state = book.state[a]
    if side * state[POSITION] < 0.0:
        return
    if names[WAIT_FLAGS] & REDUCE_ONLY:
        _finish(j, CANCELLED if rules.allow_short else SHORT_REFUSED, book)
        return
    if book.sizes[HALTED]:
        _finish(j, STOPPED_BY_SWITCH, book)
        return
    if _is_void(side, price, wait, names):
        _finish(j, VOID, book)
        return
    if math.isnan(wait[WAIT_LOTS]):
        wait[WAIT_LOTS] = _sized(t, a, side, price, wait, market, rules, book)
    wanted = wait[WAIT_LOTS]
    smallest = max(market.traits[a, MINIMUM_NOTIONAL], CRUMB * book.account[EQUITY])
    if wanted <= 0.0 or units_of(wanted, a, market) * price < smallest:
        _finish(j, BELOW_MINIMUM, book)
        return
    lots = _affordable_lots(t, j, wanted, price, market, rules, book)
    short_of = lots < wanted
    # What rounding leaves of a limit that is used up is no order.
    if short_of and (lots <= ROUNDING * wanted or rules.refuse_when_short_of_cash):
        _finish(j, REFUSED, book)
        return
    if units_of(lots, a, market) * price < market.traits[a, MINIMUM_NOTIONAL]:
        _finish(j, BELOW_MINIMUM, book)
        return
    taken = _within_volume(t, a, lots, market, rules, book)
    if taken <= 0.0:
        return
    _take_levels(a, wait, names, book)
    reason = ENTRY if state[POSITION] == 0.0 else ADDITION
    wait[WAIT_FEE_RAW], wait[WAIT_FEE_CHARGED] = fill(
        t, a, side * taken, price, reason, names[WAIT_ORDER], False, wait[WAIT_FEE_RAW], wait[WAIT_FEE_CHARGED],
        market, rules, book,
    )  # fmt: skip
    refresh_levels(a, market, book)
    book.account[ADDED] += units_of(taken, a, market) * price
    wait[WAIT_LOTS] -= taken
    if short_of:
        wait[WAIT_LOTS] = lots - taken
    if wait[WAIT_LOTS] <= 0.0:
        _done(j, book)


@compiled_part
def _finish(j: int, count: int, book: Book) -> None:
    book.sizes[count] += 1
    _done(j, book)


@inlined
def _done(j: int, book: Book) -> None:
    names = book.wait_places[j]
    names[WAIT_DONE] = 1
    if names[WAIT_KIND] == FROM_SIGNAL:
        book.places[names[WAIT_ASSET], WAITING] -= 1


@inlined
def _is_void(side: float, price: float, wait: Floats, names: Integers) -> bool:
    """Whether the levels that were stated as prices no longer stand on both sides of the entry."""
    if barriers.is_stopped(side * price, side * wait[STOP_PRICE]):
        return True
    if barriers.has_reached(side * price, side * wait[TARGET_PRICE]):
        if names[WAIT_FLAGS] & DROP_PASSED_TARGET == 0:
            return True
        wait[TARGET_PRICE] = math.nan
    return False


@compiled_part
def _affordable_lots(t: int, j: int, lots: float, price: float, market: Market, rules: Rules, book: Book) -> float:
    wait, a = book.wait[j], book.wait_places[j, WAIT_ASSET]
    account, counts = book.account, book.sizes
    if rules.has_limits and book.wait_places[j, WAIT_KIND] != FROM_WEIGHTS:
        lots = limited(t, a, lots, price, market, rules, book)
    if rules.leverage < math.inf:
        room = max(0.0, rules.leverage * account[EQUITY] - account[GROSS]) / price
        allowed = lots_of(room, a, market)
        if allowed < lots * (1.0 - ROUNDING):
            counts[CUT_TO_EXPOSURE] += 1
            lots = allowed
    if rules.leverage <= 1.0 and book.wait_places[j, WAIT_SIDE] > 0 and lots > 0.0:
        units = affordable(
            account[CASH], price, t, a, wait[WAIT_FEE_RAW], wait[WAIT_FEE_CHARGED], market, rules, counts
        )
        if units < units_of(lots, a, market):
            allowed = lots_of(units, a, market)
            if market.traits[a, WHOLE] > 0.0 and units_of(allowed, a, market) > units:
                allowed -= 1.0
            if allowed < lots:
                counts[CUT_TO_CASH] += 1
                lots = allowed
    return lots


@compiled_part
def _take_levels(a: int, wait: Floats, names: Integers, book: Book) -> None:
    """Give a position the levels of an order; what an order that adds to it does not state stays as it was."""
    state, places = book.state[a], book.places[a]
    for given, column in (
        (STOP, STOP_DISTANCE), (TARGET, TARGET_DISTANCE), (TRAIL, TRAIL_DISTANCE), (STOP_PRICE, STOP_FIXED),
        (TARGET_PRICE, TARGET_FIXED),
    ):  # fmt: skip
        if not math.isnan(wait[given]) or state[POSITION] == 0.0:
            state[column] = wait[given]
    if state[POSITION] == 0.0:
        places[TIME_BARS], places[FLAGS] = names[WAIT_TIME], names[WAIT_FLAGS]


@inlined
def _close(t: int, market: Market, rules: Rules, book: Book) -> None:
    """Let the bar into excursions and trailing levels, and decide who leaves next (step 6)."""
    for j in range(book.sizes[ACTIVE]):
        a = book.places[j, LIST]
        state, places = book.state[a], book.places[a]
        if state[POSITION] == 0.0:
            continue
        side = 1.0 if state[POSITION] > 0.0 else -1.0
        price = market.bars[CLOSE, t, a]
        trades = _tradable(t, a, price, market, rules)
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
                    _exit(t, a, price, REASON_TIME, NO, math.nan, market, rules, book)
                else:
                    places[LEAVING] = REASON_TIME


@inlined
def _mark(t: int, market: Market, rules: Rules, book: Book, curve: Floats) -> None:
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
        if rules.same_close and _tradable(t, a, market.bars[CLOSE, t, a], market, rules):
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
def _is_quiet(t: int, market: Market, rules: Rules, book: Book) -> bool:
    """Whether steps 1 to 7 do nothing to anything held but mark it, so that their walks can be left out."""
    if rules.borrow_rate > 0.0 or book.account[CASH] < 0.0:
        return False
    for j in range(book.sizes[ACTIVE]):
        a = book.places[j, LIST]
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
        if not math.isnan(book.state[a, TRAIL_DISTANCE]) and favourable > book.state[a, EXTREME]:
            return False
    return True


@inlined
def _mark_quiet(t: int, market: Market, book: Book, curve: Floats) -> None:
    """Excursions and marks of a bar on which nothing else happens; the sums are those of ``_mark``."""
    long, short = 0.0, 0.0
    for j in range(book.sizes[ACTIVE]):
        a = book.places[j, LIST]
        position, price = book.state[a, POSITION], market.bars[CLOSE, t, a]
        low, high = market.bars[LOW, t, a], market.bars[HIGH, t, a]
        adverse, favourable = (low, high) if position > 0.0 else (-high, -low)
        book.state[a, MARK] = price
        book.state[a, WORST] = min(book.state[a, WORST], adverse)
        book.state[a, BEST] = max(book.state[a, BEST], favourable)
        book.state[a, EXTREME] = max(book.state[a, EXTREME], favourable)
        worth = units_of(position, a, market) * price
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


@compiled_part
def _ruin(book: Book) -> None:
    """Let everything leave and call every order back (step 7)."""
    book.sizes[RUINED] = 1
    for j in range(book.sizes[ACTIVE]):
        if book.places[book.places[j, LIST], LEAVING] == 0:
            book.places[book.places[j, LIST], LEAVING] = REASON_RUIN
    for j in range(book.sizes[QUEUED]):
        _cancel(j, book)


@compiled_walk(*_USES)
def simulate(
    orders: Floats, places: Integers, rebalances: Integers, weights: Floats, market: Market, events: Events,
    rule: Any, book: Book, curve: Floats,
) -> None:  # fmt: skip
    """Walk over all bars; the book and the curve are written.

    Parameters
    ----------
    orders, places
        Shape (m, ``ORDER_FLOATS``) and (m, ``ORDER_INTEGERS``), sorted by bar and asset.
    rebalances, weights
        Bars of the rebalances, ascending, shape (r,), and target weights, shape (r, assets).
    market, events, rule
        What happened, and the configuration as an array of one record.
    book
        Empty tables; ``sizes[OVERFLOW]`` is 1 where one was too small, and then nothing in them counts.
    curve
        Shape (sessions, ``CURVE_WIDTH``).
    """
    rules = rule[0]
    sessions = market.bars.shape[1]
    sizes, account = book.sizes, book.account
    order, row, event, due = ZERO, ZERO, ZERO, NONE
    t = 0
    while t < sessions:
        if sizes[OVERFLOW]:
            return
        if sizes[ACTIVE] == 0 and sizes[QUEUED] == 0 and due < 0 and not account[CASH] < 0.0:
            following = sessions
            if order < places.shape[0]:
                following = min(following, places[order, ORDER_BAR])
            if row < rebalances.shape[0]:
                following = min(following, rebalances[row])
            while t < following:
                curve[t, CURVE_CASH], curve[t, CURVE_EQUITY] = account[CASH], account[CASH]
                curve[t, CURVE_LONG], curve[t, CURVE_SHORT], curve[t, CURVE_HELD] = 0.0, 0.0, 0.0
                t += 1
            while event < events.bar.shape[0] and events.bar[event] < t:
                event += 1
            if t == sessions:
                break
        happens = event < events.bar.shape[0] and events.bar[event] == t
        quiet = sizes[QUEUED] == 0 and due < 0 and not happens and _is_quiet(t, market, rules, book)
        if quiet:
            _mark_quiet(t, market, book, curve)
        else:
            _carry(events.years[t], market, rules, book)
            while event < events.bar.shape[0] and events.bar[event] == t:
                _event(t, events.asset[event], events.kind[event], events.value[event], market, rules, book)
                event += 1
            if not rules.same_close:
                _leave(t, OPEN, market, rules, book)
            _gaps(t, market, rules, book)
            if not rules.same_close:
                if due >= 0:
                    _value(t, OPEN, market, rules, book)
                    _rebalance(t, OPEN, due, weights, orders, places, market, rules, book)
                    due = NONE
                _execute(t, OPEN, market, rules, book)
            _inside(t, market, rules, book)
            _close(t, market, rules, book)
            _mark(t, market, rules, book, curve)
        first, first_row = order, row
        while order < places.shape[0] and places[order, ORDER_BAR] == t:
            _decide(t, order, orders, places, market, rules, book)
            order += 1
        if row < rebalances.shape[0] and rebalances[row] == t:
            if rules.size_at_fill and not rules.same_close:
                due = row
            else:
                _rebalance(t, CLOSE, row, weights, orders, places, market, rules, book)
            row += 1
        if rules.same_close and not (quiet and order == first and row == first_row):
            _leave(t, CLOSE, market, rules, book)
            _execute(t, CLOSE, market, rules, book)
            _mark(t, market, rules, book, curve)
        if rules.has_switches:
            watch(t, events, rules, book)
        t += 1
    book.sizes[UNFILLED_AT_END] += sizes[QUEUED]
    for j in range(sizes[ACTIVE]):
        a = book.places[j, LIST]
        if book.state[a, POSITION] != 0.0:
            close_trade(NONE, a, math.copysign(1.0, book.state[a, POSITION]), NO_REASON, market, book)


def empty_book(assets: int, fills_: int, waiting: int, trades: int, initial_cash: float, clips: int = 0) -> Book:
    """Tables of a run before it has begun; rows that are never written cost no memory."""
    state = np.zeros((assets, layout.STATE_FLOATS))
    state[:, [STOP_DISTANCE, TARGET_DISTANCE, TRAIL_DISTANCE, STOP_FIXED, TARGET_FIXED, STOP_LEVEL, TARGET_LEVEL]] = (
        np.nan
    )
    places = np.zeros((assets, layout.STATE_INTEGERS), dtype=np.int64)
    places[:, [ENTRY_BAR, VOLUME_BAR]] = -1
    account = np.zeros(layout.ACCOUNT_FLOATS)
    account[[CASH, EQUITY, PEAK, DAY_START, BEFORE]] = initial_cash
    sizes = np.zeros(layout.SIZES, dtype=np.int64)
    sizes[[DAY, ADDED_BAR]] = -1
    return Book(
        state=state,
        places=places,
        wait=np.empty((waiting, layout.WAIT_FLOATS)),
        wait_places=np.empty((waiting, layout.WAIT_INTEGERS), dtype=np.int64),
        account=account,
        sizes=sizes,
        fills=np.empty((fills_, layout.FILL_WIDTH)),
        trades=np.empty((trades, layout.TRADE_WIDTH)),
        clips=np.empty((clips, layout.CLIP_WIDTH)),
        trips=np.empty((len(layout.SWITCHES), layout.TRIP_WIDTH)),
    )
