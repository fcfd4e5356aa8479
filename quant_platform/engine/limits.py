"""Risk inside a run: the layers between what is wanted and what is granted, and the switches that stop opening.

The layers are those of :mod:`quant_platform.engine.allocator` for one account: each name, everything, and what one bar
adds, in this order; what takes something off a position always passes. The switches are those of
:mod:`quant_platform.engine.kill_switches` that the account alone decides: fall from the peak, and within a day. Both
write down what they did, so that a run can be checked against the two modules.
"""

from __future__ import annotations

import math

from quant_platform.contracts.compiled import compiled_part, inlined
from quant_platform.engine.fills import lots_of, units_of
from quant_platform.engine.layout import (
    ADDED,
    ADDED_BAR,
    ALLOTTED,
    BEFORE,
    CLIP_AFTER,
    CLIP_ASSET,
    CLIP_BAR,
    CLIP_BEFORE,
    CLIP_LAYER,
    CLIPS,
    DAY,
    DAY_START,
    DRAWDOWN_SWITCH,
    EQUITY,
    GROSS,
    HALTED,
    LAYER_NEW,
    LAYER_PORTFOLIO,
    LAYER_SYMBOL,
    LOSS_SWITCH,
    MARK,
    OVERFLOW,
    PEAK,
    POSITION,
    ROUNDING,
    SHORT_REFUSED,
    TRIP_BAR,
    TRIP_BOUND,
    TRIP_SWITCH,
    TRIP_VALUE,
    TRIPS,
    Book,
    Events,
    Floats,
    Market,
    Rules,
)  # fmt: skip


@compiled_part
def note_clip(t: int, a: int, layer: int, before: float, after: float, book: Book) -> None:
    """Write down that a layer made a weight smaller."""
    if not abs(after) < abs(before):
        return
    row = book.sizes[CLIPS]
    if row >= book.clips.shape[0]:
        book.sizes[OVERFLOW] = 1
        return
    numbers = book.clips[row]
    numbers[CLIP_BAR], numbers[CLIP_ASSET], numbers[CLIP_LAYER] = t, a, layer
    numbers[CLIP_BEFORE], numbers[CLIP_AFTER] = before, after
    book.sizes[CLIPS] = row + 1


@compiled_part
def allot(t: int, layer: int, row: int, weights: Floats, market: Market, rules: Rules, book: Book) -> None:
    """Pass the target weights of a rebalance through the layers, into ``state[:, ALLOTTED]``.

    A name without a weight stays as it is and uses up the room it takes.
    """
    equity, share = book.account[EQUITY], 1.0 - rules.cash_buffer
    gross, unstated = 0.0, 0.0
    for a in range(weights.shape[1]):
        state, weight = book.state[a], weights[row, a]
        if math.isnan(weight):
            unstated += _held(a, t, layer, share * equity, market, book)
        elif weight < 0.0 and not rules.allow_short:
            book.sizes[SHORT_REFUSED] += 1
            weight = 0.0
        elif abs(weight) > rules.symbol_limit:
            capped = math.copysign(rules.symbol_limit, weight)
            note_clip(t, a, LAYER_SYMBOL, weight, capped, book)
            weight = capped
        state[ALLOTTED] = weight
        if not math.isnan(weight):
            gross += abs(weight)
    room = max(0.0, rules.portfolio_limit - unstated)
    factor = room / gross if gross > room else 1.0
    added = 0.0
    for a in range(weights.shape[1]):
        state = book.state[a]
        weight = state[ALLOTTED] * factor
        if math.isnan(weight):
            continue
        note_clip(t, a, LAYER_PORTFOLIO, state[ALLOTTED], weight, book)
        state[ALLOTTED] = weight
        added += abs(weight) - _kept(a, t, layer, weight, share * equity, market, book)
    if not added > rules.new_exposure_limit:
        return
    factor = rules.new_exposure_limit / added
    for a in range(weights.shape[1]):
        weight = book.state[a, ALLOTTED]
        if math.isnan(weight):
            continue
        kept = _kept(a, t, layer, weight, share * equity, market, book)
        granted = math.copysign(kept + (abs(weight) - kept) * factor, weight)
        note_clip(t, a, LAYER_NEW, weight, granted, book)
        book.state[a, ALLOTTED] = granted


@inlined
def _held(a: int, t: int, layer: int, equity: float, market: Market, book: Book) -> float:
    """Size of a position as a weight, at the price at which the rebalance looks at it."""
    position = book.state[a, POSITION]
    if position == 0.0 or equity <= 0.0:
        return 0.0
    price = market.bars[layer, t, a]
    if math.isnan(price):
        price = book.state[a, MARK]
    return float(abs(units_of(position, a, market)) * price / equity)


@inlined
def _kept(a: int, t: int, layer: int, weight: float, equity: float, market: Market, book: Book) -> float:
    """What of a target is held already; nothing of one on the other side."""
    if weight * book.state[a, POSITION] <= 0.0:
        return 0.0
    return min(abs(weight), _held(a, t, layer, equity, market, book))


@compiled_part
def limited(t: int, a: int, lots: float, price: float, market: Market, rules: Rules, book: Book) -> float:
    """Lots of a single order that the layers leave, in the order in which orders are filled."""
    account = book.account
    equity = account[EQUITY]
    if equity <= 0.0:
        return 0.0
    if book.sizes[ADDED_BAR] != t:
        book.sizes[ADDED_BAR], account[ADDED] = t, 0.0
    held = abs(units_of(book.state[a, POSITION], a, market)) * price
    for layer, room in (
        (LAYER_SYMBOL, rules.symbol_limit * equity - held),
        (LAYER_PORTFOLIO, rules.portfolio_limit * equity - account[GROSS]),
        (LAYER_NEW, rules.new_exposure_limit * equity - account[ADDED]),
    ):
        if room == math.inf:
            continue
        allowed = lots_of(max(0.0, room) / price, a, market)
        if allowed < lots * (1.0 - ROUNDING):
            before, after = units_of(lots, a, market) * price, units_of(allowed, a, market) * price
            note_clip(t, a, layer, before / equity, after / equity, book)
            lots = allowed
    return lots


@inlined
def watch(t: int, events: Events, rules: Rules, book: Book) -> None:
    """Look at the account at the close of a bar and trip what must; it acts from the next bar on."""
    account, sizes = book.account, book.sizes
    equity = account[EQUITY]
    if events.day[t] != sizes[DAY]:
        sizes[DAY], account[DAY_START] = events.day[t], account[BEFORE]
    account[BEFORE], account[PEAK] = equity, max(account[PEAK], equity)
    fall = 1.0 - equity / account[PEAK] if account[PEAK] > 0.0 else math.inf
    loss = 1.0 - equity / account[DAY_START] if account[DAY_START] > 0.0 else math.inf
    if fall > rules.kill_drawdown and sizes[HALTED] & DRAWDOWN_SWITCH == 0:
        _trip(t, DRAWDOWN_SWITCH, fall, rules.kill_drawdown, book)
    if loss > rules.kill_daily_loss and sizes[HALTED] & LOSS_SWITCH == 0:
        _trip(t, LOSS_SWITCH, loss, rules.kill_daily_loss, book)


@compiled_part
def _trip(t: int, switch: int, value: float, bound: float, book: Book) -> None:
    book.sizes[HALTED] |= switch
    # Each of the two switches trips once, and the table holds two rows.
    numbers = book.trips[book.sizes[TRIPS]]
    numbers[TRIP_BAR], numbers[TRIP_SWITCH], numbers[TRIP_VALUE], numbers[TRIP_BOUND] = t, switch, value, bound
    book.sizes[TRIPS] += 1
