"""The terms of an order: what its fills cost and how long it is held, written down when it is sent.

A broker does not charge a past fill anew because somebody changes a spec today, and neither does the paper account: an
order carries its terms, and its position is left under them too. Orders that carry none, sent before there were terms,
go by what is in force.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import polars as pl

from quant_platform.specification.operations import RoutingSpec
from quant_platform.specification.replay import ReplaySpec
from quant_platform.specification.strategies import StrategyCosts


@dataclass(frozen=True)
class Terms:
    """What an order trades under until its position is left.

    Attributes
    ----------
    capital, leverage, currency
        Of the account.
    horizon_sessions, delisted_after_sessions
        How long a setup is held, and after how many sessions without a bar its name counts as gone.
    costs
        The cost model of its asset class.
    """

    capital: float
    leverage: float
    currency: str
    horizon_sessions: int
    delisted_after_sessions: int
    costs: StrategyCosts

    def text(self) -> str:
        """As an order carries them; equal terms give equal texts."""
        return json.dumps(vars(self) | {"costs": self.costs.model_dump()}, sort_keys=True)

    @classmethod
    def read(cls, text: str) -> Terms:
        """Terms as an order carries them."""
        content = json.loads(text)
        return cls(**content | {"costs": StrategyCosts.model_validate(content["costs"])})


def terms_of(routing: RoutingSpec, replay: ReplaySpec, asset_class: str) -> Terms:
    """The terms that are in force for an asset class."""
    return Terms(
        capital=routing.account.capital,
        leverage=routing.account.leverage,
        currency=routing.account.currency,
        horizon_sessions=replay.horizon_sessions,
        delisted_after_sessions=replay.delisted_after_sessions,
        costs=routing.costs_of(asset_class),
    )


def with_terms(orders: pl.DataFrame, routing: RoutingSpec, replay: ReplaySpec) -> pl.DataFrame:
    """Orders in the order of strategy, day and ticker, each with the terms of the position that it opens or leaves.

    Parameters
    ----------
    orders
        Rows of ``ops.orders``; what is null in ``terms`` of an entry is what is in force, and an order that leaves goes
        by the terms of the last entry of its strategy and name.
    routing, replay
        What is in force.
    """
    kinds = orders["asset_class"].unique().to_list()
    today = pl.col("asset_class").replace_strict(
        {kind: terms_of(routing, replay, kind).text() for kind in kinds}, return_dtype=pl.String
    )
    enters = pl.col("action").cast(pl.String) == "enter"
    carried = pl.when(enters).then(pl.coalesce("terms", today))
    last = carried.forward_fill().over("strategy", "ticker", order_by="day")
    return orders.with_columns(terms=pl.coalesce(last, today)).sort("strategy", "day", "ticker")
