"""What one fill costs: the one law. Shares of the price are fractions, not bps.

A market order pays half the spread, a share of the volatility and the square-root impact of its size; an order that
rested at its price pays none of them. Commission is counted per order, whatever number of fills it takes: the rate, the
amount per unit and the amount per order are summed over its fills, and the minimum is charged once.

References
----------
Almgren, Thum, Hauptmann and Li (2005), Risk 18(7):58-62; Toth et al. (2011), Phys. Rev. X 1:021006.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from quant_platform.contracts.compiled import compiled_part, inlined
from quant_platform.engine.layout import (
    COMMISSION_ROUNDS,
    HALF_SPREAD,
    MEAN_VOLUME,
    UNKNOWN_IMPACT,
    UNKNOWN_SPREAD,
    VOLATILITY,
    Integers,
    Market,
    Rules,
)  # fmt: skip

ALMGREN_GAMMA, ALMGREN_ETA = 0.314, 0.142


def square_root_impact(coefficient: float, volatility: Any, quantity: Any, volume: Any) -> Any:
    """Impact of an order as a fraction of the price, ``Y sigma sqrt(Q / V)``; numbers, or arrays of them.

    Volatility and volume are of one window of any length: under diffusive scaling the result is the same.
    """
    return coefficient * volatility * np.sqrt(quantity / volume)


_impact = compiled_part(square_root_impact)


@inlined
def half_spread(t: int, a: int, market: Market, rules: Rules, counts: Integers) -> float:
    """Half the spread of an asset at a bar, the stated pessimistic one where it is not known."""
    if not rules.has_spread:
        return rules.half_spread
    known = market.bars[HALF_SPREAD, t, a]
    if math.isnan(known):
        counts[UNKNOWN_SPREAD] += 1
        return rules.unknown_half_spread
    return float(known)


@inlined
def impact(t: int, a: int, units: float, market: Market, rules: Rules, counts: Integers) -> float:
    """Volatility and participation part, the stated pessimistic one where volatility or volume is not known."""
    if not rules.has_impact:
        return 0.0
    volatility, volume = market.costs[VOLATILITY, t, a], market.costs[MEAN_VOLUME, t, a]
    if math.isnan(volatility) or not volume > 0.0:
        counts[UNKNOWN_IMPACT] += 1
        return rules.unknown_impact
    size = float(_impact(rules.impact_coefficient, volatility, units, volume))
    return float(rules.volatility_share * volatility) + size


@inlined
def executed_price(side: float, reference: float, share: float, fixed: float) -> float:
    """Price of a market order; never below zero."""
    return max(0.0, reference * (1.0 + side * share) + side * fixed)


@inlined
def commission(raw_before: float, units: float, price: float, rate: float, rules: Rules) -> float:
    """Raw commission of an order after a further fill of ``units``."""
    raw = raw_before + rate * units * price + rules.per_unit * units
    return raw + rules.per_order if raw_before == 0.0 else raw


@compiled_part
def affordable(
    cash: float, reference: float, t: int, a: int, raw_before: float, charged: float, market: Market, rules: Rules,
    counts: Integers,
) -> float:  # fmt: skip
    """Most units that cash buys, costs included; zero where it buys none."""
    spread = half_spread(t, a, market, rules, counts)
    before = counts[UNKNOWN_IMPACT]
    units = max(0.0, cash / reference)
    per_order = rules.per_order if raw_before == 0.0 else 0.0
    for _ in range(COMMISSION_ROUNDS):
        price = executed_price(
            1.0, reference, spread + impact(t, a, units, market, rules, counts), rules.slippage_fixed
        )
        last = units
        units = (cash - raw_before - per_order + charged) / (price * (1.0 + rules.taker_rate) + rules.per_unit)
        if commission(raw_before, units, price, rules.taker_rate, rules) < rules.minimum_commission:
            units = (cash - rules.minimum_commission + charged) / price
        units = max(0.0, units)
        if abs(units - last) <= 1e-15 * units:
            break
    while units > 0.0 and _bill(units, reference, spread, t, a, raw_before, charged, market, rules, counts) > cash:
        units *= 1.0 - 2.3e-16
    counts[UNKNOWN_IMPACT] = before
    return units


@compiled_part
def _bill(
    units: float, reference: float, spread: float, t: int, a: int, raw_before: float, charged: float, market: Market,
    rules: Rules, counts: Integers,
) -> float:  # fmt: skip
    share = spread + impact(t, a, units, market, rules, counts)
    price = executed_price(1.0, reference, share, rules.slippage_fixed)
    raw = commission(raw_before, units, price, rules.taker_rate, rules)
    return units * price + max(raw, rules.minimum_commission) - charged


def almgren_impact(
    volatility: float, order_share: float, shares_over_volume: float, days: float
) -> tuple[float, float, float]:
    """Permanent, temporary and realised impact of a large order, as fractions of the price.

    ``I = gamma sigma (X/V) (Theta/V)^(1/4)``, ``eta sigma |X/(V T)|^(3/5)``, ``J = I/2 + temporary``: what the
    square-root law is checked against.

    Parameters
    ----------
    volatility
        Per day.
    order_share
        ``X / V``, the order over a day's volume.
    shares_over_volume
        ``Theta / V``, shares outstanding over a day's volume.
    days
        ``T``, days over which the order is worked.

    References
    ----------
    Almgren, Thum, Hauptmann and Li (2005), Risk 18(7):58-62: gamma 0.314, eta 0.142.
    """
    permanent = ALMGREN_GAMMA * volatility * order_share * shares_over_volume**0.25
    temporary = ALMGREN_ETA * volatility * abs(order_share / days) ** 0.6
    return permanent, temporary, permanent / 2.0 + temporary
