"""Decisions in, fills out: the compiled walk over the bars.

Algorithm, for each session t = 0, 1, ...:

1. ``carry``: what was held at the last close pays borrow and margin interest for the time since, at the last mark.
2. ``happen``: a delisted asset leaves at its recovery, without costs; splits change quantities, levels and waiting
   orders; dividends are paid on the ex day; funding is paid at its settlement, all to what was held before.
3. ``stir`` lists those held to which this bar may do more than mark them; steps 3 and 5 walk over no others. At the
   open, first what leaves: ``leave_as_decided`` fills the exits decided before, then ``leave_at_gaps`` those
   whose open is at or beyond stop or target. An asset without an open, or with a volume of zero, does nothing at all.
4. ``execute`` fills the waiting orders at the open: all that reduce first, then all that open or enlarge, in the order
   in which they were decided and within one session in the order of the assets. Buying is cut to what cash affords
   (or refused), exposure to the stated leverage, a fill to the stated share of the bar's volume; the rest of it waits.
5. ``leave_inside``: stop, then target, against low and high, for positions opened before this bar.
6. ``close_bar``: excursions and trailing levels take the bar in; levels that look at closes and horizons decide who
   leaves at the next open. ``mark`` values everything at its close, a missing one at the last.
7. An account without equity is ruined: everything leaves, and nothing is opened any more. Where limits or switches are
   set (:mod:`quant_platform.engine.limits`), a switch that trips at this close stops what opens from the next bar on.
8. ``decide`` and ``rebalance``: the decisions of t are read with the positions of its close, sized, and wait for the
   next open.

With ``same_close`` steps 3 (exits decided) and 4 happen after the decisions of step 8, at the close of t, which is then
marked again. Nothing in steps 1 to 7 reads a decision of t or later.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from quant_platform.contracts.compiled import compiled_walk
from quant_platform.engine import (
    barriers,
    closing,
    cost_law,
    deciding,
    filling,
    fills,
    happening,
    layout,
    leaving,
    limits,
    queue,
)
from quant_platform.engine.closing import close_bar, is_quiet, mark, mark_quiet, stir
from quant_platform.engine.deciding import decide, rebalance
from quant_platform.engine.filling import execute, value_at
from quant_platform.engine.fills import close_trade
from quant_platform.engine.happening import carry, happen
from quant_platform.engine.layout import (
    ACTIVE,
    ADDED_BAR,
    BEFORE,
    BUSIED,
    BUSY,
    CASH,
    CLOSE,
    CURVE_CASH,
    CURVE_EQUITY,
    CURVE_HELD,
    CURVE_LONG,
    CURVE_SHORT,
    DAY,
    DAY_START,
    ENTRY_BAR,
    EQUITY,
    LIST,
    NO_REASON,
    NONE,
    OPEN,
    ORDER_BAR,
    OVERFLOW,
    PEAK,
    POSITION,
    QUEUED,
    STIRRED,
    STOP_DISTANCE,
    STOP_FIXED,
    STOP_LEVEL,
    TARGET_DISTANCE,
    TARGET_FIXED,
    TARGET_LEVEL,
    TRAIL_DISTANCE,
    UNFILLED_AT_END,
    VOLUME_BAR,
    ZERO,
    Book,
    Events,
    Floats,
    Integers,
    Market,
)
from quant_platform.engine.leaving import leave_as_decided, leave_at_gaps, leave_inside
from quant_platform.engine.limits import watch

_USES = (layout, barriers, cost_law, fills, limits, leaving, queue, happening, deciding, filling, closing)


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
        quiet = sizes[QUEUED] == 0 and due < 0 and not happens and is_quiet(t, market, rules, book)
        if quiet:
            mark_quiet(t, market, book, curve)
        else:
            carry(events.years[t], market, rules, book)
            while event < events.bar.shape[0] and events.bar[event] == t:
                happen(t, events.asset[event], events.kind[event], events.value[event], market, rules, book)
                event += 1
            stir(t, due >= 0, market, rules, book)
            known = sizes[ACTIVE]
            if not rules.same_close:
                leave_as_decided(t, OPEN, BUSY, sizes[BUSIED], market, rules, book)
            leave_at_gaps(t, market, rules, book)
            if not rules.same_close:
                if due >= 0:
                    value_at(t, OPEN, market, rules, book)
                    rebalance(t, OPEN, due, weights, orders, places, market, rules, book)
                    due = NONE
                execute(t, OPEN, market, rules, book)
            leave_inside(t, known, market, rules, book)
            close_bar(t, market, rules, book)
            mark(t, market, rules, book, curve)
        first, first_row = order, row
        while order < places.shape[0] and places[order, ORDER_BAR] == t:
            decide(t, order, orders, places, market, rules, book)
            order += 1
        if row < rebalances.shape[0] and rebalances[row] == t:
            if rules.size_at_fill and not rules.same_close:
                due = row
            else:
                rebalance(t, CLOSE, row, weights, orders, places, market, rules, book)
            row += 1
        if rules.same_close and not (quiet and order == first and row == first_row):
            leave_as_decided(t, CLOSE, LIST, sizes[ACTIVE], market, rules, book)
            execute(t, CLOSE, market, rules, book)
            mark(t, market, rules, book, curve)
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
    places[:, [ENTRY_BAR, VOLUME_BAR, STIRRED]] = -1
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
