"""What happens to what is held: carrying costs, delistings, splits, dividends, funding (steps 1 and 2)."""

from __future__ import annotations

import math

import numpy as np

from quant_platform.contracts.compiled import compiled_part, inlined
from quant_platform.engine.barriers import excursions_at_exit
from quant_platform.engine.fills import close_trade, fill, refresh_levels, units_of
from quant_platform.engine.layout import (
    ACTIVE,
    AVERAGE,
    BEST,
    BORROW,
    CASH,
    DELISTING,
    DIVIDEND,
    DIVIDENDS,
    ENTRY_UNITS,
    EXIT_UNITS,
    EXTREME,
    FLOW,
    FUNDING_PAID,
    INTEREST,
    LIST,
    MARK,
    NO,
    NONE,
    POSITION,
    QUANTITY,
    QUEUED,
    REASON_DELISTED,
    REDUCTION,
    ROUNDING,
    SPLIT,
    STOP_FIXED,
    STOP_PRICE,
    TARGET_FIXED,
    TARGET_PRICE,
    TOTAL_BORROW,
    TOTAL_DIVIDENDS,
    TOTAL_FUNDING,
    UNKNOWN_FUNDING,
    UNKNOWN_RECOVERY,
    WAIT_ASSET,
    WAIT_DONE,
    WAIT_LOTS,
    WHOLE,
    WORST,
    Book,
    Market,
    Rules,
)
from quant_platform.engine.queue import cancel


@inlined
def carry(years: float, market: Market, rules: Rules, book: Book) -> None:
    """Charge margin interest and borrow fees for the time since the last close (step 1)."""
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
def happen(t: int, a: int, kind: int, value: float, market: Market, rules: Rules, book: Book) -> None:
    """Let a delisting, split, dividend or funding payment happen to what is held (step 2)."""
    state, account = book.state[a], book.account
    if kind in (DELISTING, SPLIT):
        for j in range(book.sizes[QUEUED]):
            if book.wait_places[j, WAIT_ASSET] == a and book.wait_places[j, WAIT_DONE] == 0:
                if kind == DELISTING:
                    cancel(j, book)
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
