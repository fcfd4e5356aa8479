"""How large what was routed may be: risk per trade, then the engine's allocator, first within each sleeve.

Only what is new is scaled: a position that stands is left alone, and what it uses of a cap is gone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from quant_platform.engine.allocator import RiskLimits, allocate
from quant_platform.engine.layout import Floats
from quant_platform.specification.operations import LimitsSpec


@dataclass(frozen=True)
class Wanted:
    """One entry that was routed.

    Attributes
    ----------
    strategy, ticker, sleeve
        Whose it is.
    direction
        +1 long, -1 short.
    weight
        Gross share of equity that is wanted, positive.
    """

    strategy: str
    ticker: str
    sleeve: str
    direction: float
    weight: float


@dataclass(frozen=True)
class Granted:
    """What the allocator left of an entry.

    Attributes
    ----------
    weight
        Gross share of equity.
    layers
        What made it smaller: ``sleeve``, ``symbol``, ``portfolio``, ``new_exposure``.
    """

    weight: float
    layers: tuple[str, ...] = field(default=())


def risk_weight(risk_per_trade: float, stop_distance: float) -> float:
    """Share of equity whose way to the stop loses ``risk_per_trade`` of equity."""
    return risk_per_trade / stop_distance


def grant(
    wanted: Sequence[Wanted],
    held: Mapping[tuple[str, str], float],
    caps: Mapping[str, float],
    limits: LimitsSpec,
) -> list[Granted]:
    """Pass what is wanted through the sleeve caps and the layers of the allocator.

    Parameters
    ----------
    wanted
        Entries of one session.
    held
        Gross share of equity by sleeve and ticker of what is held or on order, whatever the strategy.
    caps
        Largest gross share of each sleeve.
    limits
        Of a symbol, of everything, and of what one session opens.

    Returns
    -------
    list of Granted
        In the order of ``wanted``.

    Notes
    -----
    1. Within each sleeve the entries are scaled in proportion to what its cap leaves.
    2. Of what is left, each name is cut to what its limit leaves.
    3. Everything is scaled to what the portfolio's limit and the limit of new exposure leave.

    What is held is never touched: a name above its limit by drift is not sold, it is only not bought.
    """
    if not wanted:
        return []
    weights = np.array([one.direction * one.weight for one in wanted])
    layers: list[list[str]] = [[] for _ in wanted]
    by_sleeve: dict[str, list[int]] = {}
    for place, one in enumerate(wanted):
        by_sleeve.setdefault(one.sleeve, []).append(place)
    for sleeve, places in by_sleeve.items():
        used = sum(weight for (owner, _), weight in held.items() if owner == sleeve)
        _scale(weights, places, RiskLimits(portfolio=max(0.0, caps[sleeve] - used)), layers, "sleeve")
    by_ticker: dict[str, list[int]] = {}
    for place, one in enumerate(wanted):
        by_ticker.setdefault(one.ticker, []).append(place)
    for ticker, places in by_ticker.items():
        used = sum(weight for (_, name), weight in held.items() if name == ticker)
        _scale(weights, places, RiskLimits(portfolio=max(0.0, limits.symbol - used)), layers, "symbol")
    room = max(0.0, limits.portfolio - sum(held.values()))
    _scale(weights, list(range(len(wanted))), RiskLimits(portfolio=room), layers, "portfolio")
    everything = list(range(len(wanted)))
    _scale(weights, everything, RiskLimits(new_exposure=limits.new_exposure), layers, "new_exposure")
    return [Granted(float(abs(weight)), tuple(cut)) for weight, cut in zip(weights, layers, strict=True)]


def _scale(weights: Floats, places: Sequence[int], limits: RiskLimits, layers: list[list[str]], layer: str) -> None:
    targets = weights[list(places)][None, :]
    granted = allocate(targets, np.zeros_like(targets), limits).weights[0]
    for place, before, after in zip(places, targets[0], granted, strict=True):
        if abs(after) < abs(before) * (1.0 - 1e-12):
            layers[place].append(layer)
        weights[place] = after


def whole_units(weight: float, equity: float, price: float) -> float:
    """Whole units that a share of equity buys; none where equity is gone."""
    return float(math.floor(max(0.0, weight * equity) / price * (1.0 + 1e-12)))
