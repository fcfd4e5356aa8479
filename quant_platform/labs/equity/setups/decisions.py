"""Setups of the replay as orders of one account, for the engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.engine.bars import Bars
from quant_platform.engine.decisions import Orders


@dataclass(frozen=True, eq=False)
class SetupOrders:
    """Orders, and how many setups gave none because the other direction stood at the same close."""

    orders: Orders
    conflicting: int


def setup_orders(setups: pl.DataFrame, bars: Bars, horizon_sessions: int) -> SetupOrders:
    """Enter each setup at the next open with its own stop, target and horizon.

    Parameters
    ----------
    setups
        ``ticker, date_sig, direction, stop, target`` of any candidates; levels are prices of their session.
    bars
        Daily bars of the same tickers, adjusted as the setups were.
    horizon_sessions
        Sessions after which a position leaves at the close, the entry's the first.

    Returns
    -------
    SetupOrders
        An entry signal per setup. What one account does differently from the replay, which judges each setup by itself:
        a setup of a side that is held is ignored, one of the other side turns the position, and cash may not suffice.

    Raises
    ------
    SchemaViolation
        When a setup is of a ticker or session that the bars do not hold.

    Notes
    -----
    **Timing.** A setup has seen the close of ``date_sig``. As in the replay, an order whose open has passed its stop or
    target is void. Setups of both directions at one close are neither, and counted.
    """
    column = {name: place for place, name in enumerate(bars.assets)}
    stamps = setups["date_sig"].cast(pl.Datetime("ns")).to_physical().to_numpy()
    row = np.searchsorted(bars.stamps, stamps)
    known = bars.stamps[np.minimum(row, len(bars.stamps) - 1)] == stamps
    asset = np.array([column.get(name, -1) for name in setups["ticker"].to_list()], dtype=np.int64)
    foreign = ~known | (asset < 0)
    if foreign.any():
        raise SchemaViolation(
            "setups lie outside the bars",
            where="setups",
            how_many=f"{int(foreign.sum())} of {foreign.size} rows",
            rows=setups.filter(pl.Series(foreign)).select("ticker", "date_sig"),
            cause="bars and setups were read for different tickers or sessions",
        )
    double = setups.select(pl.struct("ticker", "date_sig").is_duplicated()).to_series().to_numpy()
    kept = setups.filter(pl.Series(~double))
    orders = Orders.build(
        row[~double],
        asset[~double],
        np.where((kept["direction"].cast(pl.String) == "long").to_numpy(), "long_entry", "short_entry"),
        stop_price=kept["stop"].to_numpy(),
        target_price=kept["target"].to_numpy(),
        time_bars=horizon_sessions,
        time_at_close=True,
    )
    return SetupOrders(orders, int(double.sum()))
