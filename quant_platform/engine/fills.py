"""What one fill does to the account, to the position and to its trade.

A **trade** lasts from flat to flat: its entry and exit prices are averages over its fills. The **average price** of a
position, from which its stop and target are measured, changes when it grows and not when it shrinks.
"""

from __future__ import annotations

import math

import numpy as np

from quant_platform.contracts.compiled import compiled_part, inlined
from quant_platform.engine.barriers import trailing_stop
from quant_platform.engine.cost_law import commission, executed_price, half_spread, impact
from quant_platform.engine.layout import (
    ACTIVE,
    AVERAGE,
    BEST,
    BORROW,
    CASH,
    COMMISSION,
    DIVIDENDS,
    ENTRY_BAR,
    ENTRY_MONEY,
    ENTRY_UNITS,
    EQUITY,
    EXIT_MONEY,
    EXIT_UNITS,
    EXTREME,
    FILL_AFTER,
    FILL_ASSET,
    FILL_BAR,
    FILL_COMMISSION,
    FILL_IMPACT,
    FILL_LOTS,
    FILL_ORDER,
    FILL_PRICE,
    FILL_REASON,
    FILL_REFERENCE,
    FILL_SPREAD,
    FILLS,
    FLAGS,
    FLOW,
    FUNDING_PAID,
    GROSS,
    IMPACT,
    LEAVING,
    LIST,
    LISTED,
    LOT_DENOMINATOR,
    LOT_NUMERATOR,
    MARK,
    NO,
    OVERFLOW,
    POSITION,
    REASON_DELISTED,
    ROUNDING,
    SPREAD,
    STATE_FLOATS,
    STIRRED,
    STOP_DISTANCE,
    STOP_FIXED,
    STOP_LEVEL,
    TARGET_DISTANCE,
    TARGET_FIXED,
    TARGET_LEVEL,
    TICK,
    TIME_BARS,
    TOTAL_COMMISSION,
    TOTAL_IMPACT,
    TOTAL_SPREAD,
    TRADE_ASSET,
    TRADE_BORROW,
    TRADE_COMMISSION,
    TRADE_DIVIDENDS,
    TRADE_ENTRY_BAR,
    TRADE_ENTRY_PRICE,
    TRADE_EXIT_BAR,
    TRADE_EXIT_PRICE,
    TRADE_FUNDING,
    TRADE_IMPACT,
    TRADE_MAE,
    TRADE_MFE,
    TRADE_PRICE_PNL,
    TRADE_REASON,
    TRADE_SIDE,
    TRADE_SPREAD,
    TRADE_UNITS,
    TRADES,
    TRAIL_DISTANCE,
    USED_VOLUME,
    WHOLE,
    WORST,
    Book,
    Market,
    Rules,
)  # fmt: skip


@inlined
def units_of(lots: float, a: int, market: Market) -> float:
    """Units that a number of lots is."""
    return float(lots * market.traits[a, LOT_NUMERATOR] / market.traits[a, LOT_DENOMINATOR])


@inlined
def lots_of(units: float, a: int, market: Market) -> float:
    """Lots that a number of units holds; whole ones are rounded down, but for the rounding error of a division."""
    lots = units * market.traits[a, LOT_DENOMINATOR] / market.traits[a, LOT_NUMERATOR]
    return float(np.floor(lots + ROUNDING) if market.traits[a, WHOLE] > 0.0 else lots)


@inlined
def list_active(a: int, book: Book) -> None:
    """Put an asset on the list of those that a bar looks at."""
    if book.places[a, LISTED] == 0:
        book.places[a, LISTED] = 1
        book.places[book.sizes[ACTIVE], LIST] = a
        book.sizes[ACTIVE] += 1


@compiled_part
def refresh_levels(a: int, market: Market, book: Book) -> None:
    """Mirrored stop and target of a position: the nearer of each kind given, on a tick, away from the entry."""
    state = book.state[a]
    side = 1.0 if state[POSITION] > 0.0 else -1.0
    stop, target = math.nan, math.nan
    if not math.isnan(state[STOP_DISTANCE]):
        stop = side * state[AVERAGE] * (1.0 - side * state[STOP_DISTANCE])
    if not math.isnan(state[STOP_FIXED]):
        fixed = side * state[STOP_FIXED]
        stop = fixed if math.isnan(stop) else max(stop, fixed)
    if not math.isnan(state[TRAIL_DISTANCE]):
        trail = trailing_stop(state[EXTREME], side, state[TRAIL_DISTANCE])
        stop = trail if math.isnan(stop) else max(stop, trail)
    if not math.isnan(state[TARGET_DISTANCE]):
        target = side * state[AVERAGE] * (1.0 + side * state[TARGET_DISTANCE])
    if not math.isnan(state[TARGET_FIXED]):
        fixed = side * state[TARGET_FIXED]
        target = fixed if math.isnan(target) else min(target, fixed)
    tick = market.traits[a, TICK]
    if tick > 0.0:
        stop = np.floor(stop / tick + ROUNDING) * tick if not math.isnan(stop) else stop
        target = np.ceil(target / tick - ROUNDING) * tick if not math.isnan(target) else target
    state[STOP_LEVEL], state[TARGET_LEVEL] = stop, target


@compiled_part
def fill(
    t: int,
    a: int,
    lots: float,
    reference: float,
    reason: int,
    order: int,
    rests: int,
    raw: float,
    charged: float,
    market: Market,
    rules: Rules,
    book: Book,
) -> tuple[float, float]:
    """Trade ``lots`` (signed, never through zero) at a reference price; gives the order's raw and charged commission.

    ``rests`` marks an order that waited at its price: it pays the maker rate, and no spread or impact unless the rules
    say that targets slip.
    """
    state, places, account, sizes = book.state[a], book.places[a], book.account, book.sizes
    before = state[POSITION]
    after = before + lots
    side = 1.0 if lots > 0.0 else -1.0
    units = units_of(abs(lots), a, market)
    spread_share, impact_share, fixed = 0.0, 0.0, 0.0
    free = reason == REASON_DELISTED
    if not free and (rests == NO or rules.slip_targets):
        spread_share = half_spread(t, a, market, rules, book.sizes)
        impact_share = impact(t, a, units, market, rules, book.sizes)
        fixed = rules.slippage_fixed
    price = executed_price(side, reference, spread_share + impact_share, fixed)
    impact_cost = units * reference * impact_share
    spread_cost = side * units * (price - reference) - impact_cost
    fee = 0.0
    if not free:
        raw = commission(raw, units, price, rules.taker_rate if rests == NO else rules.maker_rate, rules)
        fee = max(raw, rules.minimum_commission) - charged
    account[CASH] -= side * units * price + fee
    account[EQUITY] -= fee + spread_cost + impact_cost
    account[TOTAL_COMMISSION] += fee
    account[TOTAL_SPREAD] += spread_cost
    account[TOTAL_IMPACT] += impact_cost
    grows = before == 0.0 or (before > 0.0) == (lots > 0.0)
    account[GROSS] += units * reference if grows else -units * reference
    state[COMMISSION] += fee
    state[SPREAD] += spread_cost
    state[IMPACT] += impact_cost
    state[FLOW] -= side * units * reference
    state[POSITION] = after
    state[MARK] = reference
    places[STIRRED] = t
    if grows:
        if before == 0.0:
            places[ENTRY_BAR] = t
            state[AVERAGE] = price
            state[WORST], state[BEST], state[EXTREME] = side * reference, side * reference, side * reference
            list_active(a, book)
        else:
            held = units_of(abs(before), a, market)
            state[AVERAGE] = (state[AVERAGE] * held + price * units) / (held + units)
        state[ENTRY_MONEY] += units * price
        state[ENTRY_UNITS] += units
    else:
        state[EXIT_MONEY] += units * price
        state[EXIT_UNITS] += units
    row = sizes[FILLS]
    if row >= book.fills.shape[0]:
        sizes[OVERFLOW] = 1
    else:
        numbers = book.fills[row]
        numbers[FILL_LOTS], numbers[FILL_PRICE], numbers[FILL_REFERENCE] = lots, price, reference
        numbers[FILL_COMMISSION], numbers[FILL_SPREAD], numbers[FILL_IMPACT] = fee, spread_cost, impact_cost
        numbers[FILL_AFTER] = after
        numbers[FILL_BAR], numbers[FILL_ASSET], numbers[FILL_REASON], numbers[FILL_ORDER] = t, a, reason, order
        sizes[FILLS] = row + 1
    if after == 0.0:
        close_trade(t, a, -side, reason, market, book)
    return raw, charged + fee


@compiled_part
def close_trade(t: int, a: int, side: float, reason: int, market: Market, book: Book) -> None:
    """Write the trade of a position, open ones with exit bar -1, and forget the position."""
    state, places, sizes = book.state[a], book.places[a], book.sizes
    row = sizes[TRADES]
    if row >= book.trades.shape[0]:
        sizes[OVERFLOW] = 1
    else:
        numbers = book.trades[row]
        entry = state[ENTRY_MONEY] / state[ENTRY_UNITS]
        numbers[TRADE_UNITS], numbers[TRADE_ENTRY_PRICE] = state[ENTRY_UNITS], entry
        numbers[TRADE_EXIT_PRICE] = state[EXIT_MONEY] / state[EXIT_UNITS] if state[EXIT_UNITS] > 0.0 else math.nan
        numbers[TRADE_PRICE_PNL] = state[FLOW] + units_of(state[POSITION], a, market) * state[MARK]
        numbers[TRADE_COMMISSION], numbers[TRADE_SPREAD] = state[COMMISSION], state[SPREAD]
        numbers[TRADE_IMPACT], numbers[TRADE_FUNDING] = state[IMPACT], state[FUNDING_PAID]
        numbers[TRADE_BORROW], numbers[TRADE_DIVIDENDS] = state[BORROW], state[DIVIDENDS]
        numbers[TRADE_MAE] = (state[WORST] - side * entry) / entry
        numbers[TRADE_MFE] = (state[BEST] - side * entry) / entry
        numbers[TRADE_ENTRY_BAR], numbers[TRADE_EXIT_BAR] = places[ENTRY_BAR], t
        numbers[TRADE_ASSET], numbers[TRADE_SIDE], numbers[TRADE_REASON] = a, side, reason
        sizes[TRADES] = row + 1
    used = state[USED_VOLUME]
    for column in range(STATE_FLOATS):
        state[column] = 0.0
    state[USED_VOLUME] = used
    for column in (STOP_DISTANCE, TARGET_DISTANCE, TRAIL_DISTANCE, STOP_FIXED, TARGET_FIXED, STOP_LEVEL, TARGET_LEVEL):
        state[column] = math.nan
    places[ENTRY_BAR], places[LEAVING], places[TIME_BARS], places[FLAGS] = -1, 0, 0, 0
