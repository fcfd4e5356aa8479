"""Kill switches of the paper account: what was known after each session, and whether it stops the orders of the next.

Every switch reads a window of the last sessions, so that a reset that a person makes stands: what tripped it long ago
does not trip it again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from quant_platform.engine.kill_switches import KillLimits, KillLog, Observation, replay
from quant_platform.engine.layout import Floats
from quant_platform.market.calendar import Days
from quant_platform.specification.operations import KillSwitchSpec, bound

WINDOW_SESSIONS = 63


@dataclass(frozen=True)
class Slippage:
    """What imported fills of a session cost, and what the cost model says of the same fills, in money."""

    realised: float
    modelled: float
    fills: int


def kill_limits(spec: KillSwitchSpec) -> KillLimits:
    """The bounds as the engine takes them; what a paper account does not have is off."""
    infinite = bound(None)
    return KillLimits(
        bars_since_data=bound(spec.stale_sessions),
        missing_last_hour=infinite,
        drawdown=bound(spec.drawdown),
        daily_loss=bound(spec.daily_loss),
        slippage_ratio=bound(spec.slippage_ratio),
        slippage_fills=spec.slippage_fills,
        reject_rate=bound(spec.reject_rate),
        reject_orders=spec.reject_orders,
        position_mismatch=infinite,
    )


def observations(
    sessions: Days,
    equity: Floats,
    priced: Days,
    orders: pl.DataFrame,
    voids: Sequence[date],
    slippage: Mapping[date, Slippage],
) -> list[Observation]:
    """What was known after each session.

    Parameters
    ----------
    sessions, equity
        The account, ``[t]``.
    priced
        Sessions on which the market has any price.
    orders
        Rows of ``ops.orders``.
    voids
        Sessions in which an order was not filled, once per order.
    slippage
        Of imported fills, by session.
    """
    days = [session.item() for session in sessions]
    newest = np.searchsorted(priced, sessions, side="right")
    place = np.searchsorted(sessions, priced)
    sent = dict(orders.filter(pl.col("action").cast(pl.String) == "enter").group_by("day").len().iter_rows())
    refused = {day: voids.count(day) for day in set(voids)}
    found = []
    for t in range(len(days)):
        window = days[max(0, t - WINDOW_SESSIONS + 1) : t + 1]
        costs = [slippage[one] for one in window if one in slippage]
        age = float(t + 1) if newest[t] == 0 else float(t - place[newest[t] - 1])
        found.append(
            Observation(
                day=t,
                equity=float(equity[t]),
                bars_since_data=age,
                realised_slippage=sum(one.realised for one in costs),
                modelled_slippage=sum(one.modelled for one in costs),
                fills=sum(one.fills for one in costs),
                # The orders of a session meet the market in the next one, so those of the last are not counted yet.
                orders=sum(sent.get(one, 0) for one in window[:-1]),
                rejects=sum(refused.get(one, 0) for one in window),
            )
        )
    return found


def tripped(log: KillLog, resets: Collection[int]) -> list[str]:
    """Switches that have tripped since the last reset, with value and bound."""
    since = max(resets, default=-1)
    return [f"{trip.switch}: {trip.value:.4g} against {trip.bound:.4g}" for trip in log.trips if trip.bar >= since]


def run_switches(seen: Sequence[Observation], spec: KillSwitchSpec, resets: Collection[int]) -> KillLog:
    """Run the switches over what was known; see :func:`quant_platform.engine.kill_switches.replay`."""
    return replay(seen, kill_limits(spec), resets)
