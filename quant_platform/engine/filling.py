"""The orders that wait, filled: all that reduce first, then all that open or enlarge (step 4)."""

from __future__ import annotations

import math

from quant_platform.contracts.compiled import compiled_part, inlined
from quant_platform.engine import barriers
from quant_platform.engine.barriers import excursions_at_exit
from quant_platform.engine.cost_law import affordable
from quant_platform.engine.deciding import sized
from quant_platform.engine.fills import fill, lots_of, refresh_levels, units_of
from quant_platform.engine.layout import (
    ACTIVE,
    ADDED,
    ADDITION,
    BELOW_MINIMUM,
    BEST,
    CANCELLED,
    CASH,
    CRUMB,
    CUT_TO_CASH,
    CUT_TO_EXPOSURE,
    DROP_PASSED_TARGET,
    ENTRY,
    EQUITY,
    FLAGS,
    FROM_SIGNAL,
    FROM_WEIGHTS,
    GROSS,
    HALTED,
    LIST,
    MARK,
    MINIMUM_NOTIONAL,
    POSITION,
    QUEUED,
    REDUCE_ONLY,
    REDUCTION,
    REFUSED,
    ROUNDING,
    SHORT_REFUSED,
    STOP,
    STOP_DISTANCE,
    STOP_FIXED,
    STOP_PRICE,
    STOPPED_BY_SWITCH,
    TARGET,
    TARGET_DISTANCE,
    TARGET_FIXED,
    TARGET_PRICE,
    TIME_BARS,
    TRAIL,
    TRAIL_DISTANCE,
    VOID,
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
    WHOLE,
    WORST,
    Book,
    Floats,
    Integers,
    Market,
    Rules,
)
from quant_platform.engine.leaving import tradable, within_volume
from quant_platform.engine.limits import limited
from quant_platform.engine.queue import done, finish


@inlined
def value_at(t: int, layer: int, market: Market, rules: Rules, book: Book) -> None:
    """Equity and gross exposure at the prices at which orders are about to be filled."""
    equity, gross = book.account[CASH], 0.0
    for j in range(book.sizes[ACTIVE]):
        a = book.places[j, LIST]
        if book.state[a, POSITION] != 0.0:
            price = (
                market.bars[layer, t, a]
                if tradable(t, a, market.bars[layer, t, a], market, rules)
                else book.state[a, MARK]
            )
            worth = units_of(book.state[a, POSITION], a, market) * price
            equity += worth
            gross += abs(worth)
    book.account[EQUITY], book.account[GROSS] = equity, gross


@inlined
def execute(t: int, layer: int, market: Market, rules: Rules, book: Book) -> None:
    """Fill the waiting orders, reductions first (step 4), and keep what is left."""
    if book.sizes[QUEUED] == 0:
        return
    value_at(t, layer, market, rules, book)
    for j in range(book.sizes[QUEUED]):
        names = book.wait_places[j]
        if names[WAIT_DONE] == 0 and names[WAIT_KIND] != FROM_SIGNAL:
            _reduce(t, j, market.bars[layer, t, names[WAIT_ASSET]], market, rules, book)
    for j in range(book.sizes[QUEUED]):
        names = book.wait_places[j]
        if names[WAIT_DONE] == 0:
            if tradable(t, names[WAIT_ASSET], market.bars[layer, t, names[WAIT_ASSET]], market, rules):
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
    if side * state[POSITION] >= 0.0 or not tradable(t, a, price, market, rules):
        return
    lots = within_volume(t, a, min(wait[WAIT_LOTS], abs(state[POSITION])), market, rules, book)
    if lots > 0.0:
        mirrored = price if state[POSITION] > 0.0 else -price
        state[WORST], state[BEST] = excursions_at_exit(state[WORST], state[BEST], mirrored, math.nan)
        wait[WAIT_FEE_RAW], wait[WAIT_FEE_CHARGED] = fill(
            t, a, side * lots, price, REDUCTION, names[WAIT_ORDER], False, wait[WAIT_FEE_RAW], wait[WAIT_FEE_CHARGED],
            market, rules, book,
        )  # fmt: skip
        wait[WAIT_LOTS] -= lots
    if wait[WAIT_LOTS] <= 0.0:
        done(j, book)


@inlined
def _enlarge(t: int, j: int, price: float, market: Market, rules: Rules, book: Book) -> None:
    wait, names = book.wait[j], book.wait_places[j]
    a, side = names[WAIT_ASSET], float(names[WAIT_SIDE])
    state = book.state[a]
    if side * state[POSITION] < 0.0:
        return
    if names[WAIT_FLAGS] & REDUCE_ONLY:
        finish(j, CANCELLED if rules.allow_short else SHORT_REFUSED, book)
        return
    if book.sizes[HALTED]:
        finish(j, STOPPED_BY_SWITCH, book)
        return
    if _is_void(side, price, wait, names):
        finish(j, VOID, book)
        return
    if math.isnan(wait[WAIT_LOTS]):
        wait[WAIT_LOTS] = sized(t, a, side, price, wait, market, rules, book)
    wanted = wait[WAIT_LOTS]
    smallest = max(market.traits[a, MINIMUM_NOTIONAL], CRUMB * book.account[EQUITY])
    if wanted <= 0.0 or units_of(wanted, a, market) * price < smallest:
        finish(j, BELOW_MINIMUM, book)
        return
    lots = _affordable_lots(t, j, wanted, price, market, rules, book)
    short_of = lots < wanted
    # What rounding leaves of a limit that is used up is no order.
    if short_of and (lots <= ROUNDING * wanted or rules.refuse_when_short_of_cash):
        finish(j, REFUSED, book)
        return
    if units_of(lots, a, market) * price < market.traits[a, MINIMUM_NOTIONAL]:
        finish(j, BELOW_MINIMUM, book)
        return
    taken = within_volume(t, a, lots, market, rules, book)
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
        done(j, book)


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
