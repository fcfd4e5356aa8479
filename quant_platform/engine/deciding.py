"""The decisions of a close, sized and queued (step 8)."""

from __future__ import annotations

import math

from quant_platform.contracts.compiled import compiled_part
from quant_platform.engine.cost_law import affordable
from quant_platform.engine.fills import lots_of, units_of
from quant_platform.engine.layout import (
    ALLOTTED,
    BELOW_MINIMUM,
    CANCELLED,
    CASH,
    CASH_AMOUNT,
    CASH_FRACTION,
    CLOSE,
    CONFLICTING,
    EQUITY,
    EQUITY_FRACTION,
    EXIT,
    FROM_SIGNAL,
    FROM_TRADE,
    FROM_WEIGHTS,
    IGNORED,
    LEAVING,
    LONG_ENTRY,
    LONG_EXIT,
    MARK,
    ORDER_ASSET,
    ORDER_SIGNAL,
    POSITION,
    QUANTITY,
    QUEUED,
    REDUCE_ONLY,
    REVERSAL,
    RUINED,
    SHORT_ENTRY,
    SHORT_EXIT,
    SHORT_REFUSED,
    STOP,
    STOP_PRICE,
    TRAIL,
    UNITS,
    WAIT_FLAGS,
    WAIT_KIND,
    WAIT_LOTS,
    WAITED_FOR_A_HALT,
    WAITING,
    WITHIN_TOLERANCE,
    Book,
    Floats,
    Integers,
    Market,
    Rules,
)
from quant_platform.engine.limits import allot
from quant_platform.engine.queue import cancel, drop_entries, enqueue, waiting_side


@compiled_part
def sized(t: int, a: int, side: float, price: float, wait: Floats, market: Market, rules: Rules, book: Book) -> float:
    """Lots of an entry by the sizing rule, or NaN where no price is known yet."""
    if not math.isnan(wait[QUANTITY]):
        return lots_of(wait[QUANTITY], a, market)
    if rules.sizing == UNITS:
        return lots_of(rules.amount, a, market)
    if math.isnan(price):
        return math.nan
    cash, equity = book.account[CASH], book.account[EQUITY]
    if rules.sizing == CASH_AMOUNT:
        return lots_of(rules.amount / price, a, market)
    if rules.sizing == CASH_FRACTION:
        money = max(0.0, cash * rules.amount)
        if side > 0.0:
            return lots_of(affordable(money, price, t, a, 0.0, 0.0, market, rules, book.sizes), a, market)
        return lots_of(money / price, a, market)
    money = max(0.0, equity * rules.amount)
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
def decide(t: int, order: int, orders: Floats, places: Integers, market: Market, rules: Rules, book: Book) -> None:
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
            j = enqueue(a, math.copysign(1.0, quantity), FROM_TRADE, lots, order, orders, places, book)
            shrinks = quantity * position < 0.0 and lots <= abs(position)
            if j >= 0 and (shrinks or (quantity < 0.0 and not rules.allow_short)):
                book.wait_places[j, WAIT_FLAGS] |= REDUCE_ONLY
        return
    enters_long, enters_short = bits & LONG_ENTRY != 0, bits & SHORT_ENTRY != 0
    if enters_short and not rules.allow_short:
        counts[SHORT_REFUSED] += 1
        enters_short = False
    held = position if position != 0.0 else waiting_side(a, book)
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
        drop_entries(a, book)
        if position != 0.0 and book.places[a, LEAVING] == 0:
            book.places[a, LEAVING] = REVERSAL if reverses else EXIT
    if side != 0.0:
        price = market.bars[CLOSE, t, a]
        if math.isnan(price) and position != 0.0:
            price = state[MARK]
        j = enqueue(a, side, FROM_SIGNAL, math.nan, order, orders, places, book)
        if j >= 0:
            book.places[a, WAITING] += 1
            if not rules.size_at_fill:
                book.wait[j, WAIT_LOTS] = sized(t, a, side, price, book.wait[j], market, rules, book)


@compiled_part
def rebalance(
    t: int, layer: int, row: int, weights: Floats, orders: Floats, places: Integers, market: Market, rules: Rules,
    book: Book,
) -> None:  # fmt: skip
    """Turn target weights into orders; what is left of an older rebalance is cancelled."""
    for j in range(book.sizes[QUEUED]):
        if book.wait_places[j, WAIT_KIND] == FROM_WEIGHTS:
            cancel(j, book)
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
            enqueue(a, math.copysign(1.0, change), FROM_WEIGHTS, abs(change), row, orders, places, book)
