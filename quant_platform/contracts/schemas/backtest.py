"""Decisions that a person hands over: one row per order, or one row per target weight."""

from __future__ import annotations

import dataframely as dy

ACTIONS = ("long_entry", "long_exit", "short_entry", "short_exit", "trade")


def _level(text: str) -> dy.Float64:
    return dy.Float64(nullable=True, min_exclusive=0.0, description=text)


class DecisionOrders(dy.Schema):
    """Orders: what to do with an asset, decided with the close of a session."""

    asset = dy.String(nullable=False, description="Name of the asset, as in the bars.")
    date = dy.Datetime(nullable=False, time_unit="ns", description="Bar whose close made the decision.")
    action = dy.String(
        nullable=False, description=f"One of {', '.join(ACTIONS)}; trade buys or sells a signed quantity."
    )
    quantity = dy.Float64(nullable=True, description="Units; null for the sizing rule, needed and signed for trade.")
    stop = _level("Stop as a fraction of the average entry price.")
    target = _level("Target as a fraction of the average entry price.")
    trail = _level("Trailing stop as a fraction of the best price since the entry.")
    stop_price = _level("Stop as a price.")
    target_price = _level("Target as a price.")
    time_bars = dy.Int64(nullable=True, min=1, description="Bars to hold, the entry bar the first.")


class DecisionWeights(dy.Schema):
    """Target weights: fractions of equity by asset at each rebalance; an asset without a row is to be left."""

    asset = dy.String(primary_key=True, description="Name of the asset, as in the bars.")
    date = dy.Datetime(primary_key=True, time_unit="ns", description="Bar whose close decided the rebalance.")
    weight = dy.Float64(nullable=False, description="Signed fraction of equity.")
