"""From total returns to prices as they trade: listings, splits, dividends, delistings, and the bar around each close.

Per session, for every name that trades (`trade`):

1. A name that lists today takes its start price as the close before.
2. Dividend payers go ex every 63 sessions; otherwise a close before above `split_above` splits, one below
   `reverse_split_below` joins shares. The close before, less the cash or divided by the ratio, is today's base.
3. Close = base x (1 + total return), to four decimals.
4. A name that has lost `failure_drawdown` from its peak in total return may fail, any name may merge; today was its
   last session, and the return after it stands in the delisting action.

Open, high and low come afterwards (`surround`): the open takes its share of the day's variance, high and low are the
extremes of a Brownian bridge from open to close.

References
----------
Karatzas and Shreve (1991), eq. 4.3.40, for the law of the maximum of a Brownian bridge:
``M = (x + sqrt(x^2 - 2 s^2 ln U)) / 2``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant_platform.sources.simulated.returns import SESSIONS_PER_YEAR, Returns
from quant_platform.specification.sources import SimulatedSpec

Floats = NDArray[np.float64]
Action = tuple[int, int, str, float]

DIVIDEND_EVERY_SESSIONS = 63
SESSIONS_PER_MONTH = 21
_DECIMALS = 4


@dataclass(frozen=True)
class Trading:
    """What traded, arrays of shape (sessions, names), NaN where a name was not listed.

    ``base`` is the close before after splits and dividends of the day; ``actions`` are (session, name, kind, value);
    ``first`` and ``last`` are the first and last session of each name, ``last`` -1 while it is listed.
    """

    base: Floats
    close: Floats
    actions: tuple[Action, ...]
    first: NDArray[np.int64]
    last: NDArray[np.int64]


@dataclass(frozen=True)
class Bars:
    """Unadjusted bars, arrays of shape (sessions, names)."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


def trade(spec: SimulatedSpec, returns: Returns, random: Mapping[str, np.random.Generator]) -> Trading:
    """Let every name trade from its listing to its delisting."""
    sessions, n = returns.total.shape
    first = _listings(spec, sessions, random["listing"])
    price = spec.start_price * np.exp(spec.start_price_log_sd * random["start_price"].normal(size=n))
    pays = random["dividends"].random(n) < spec.dividend_payer_share
    offset = random["dividends"].integers(0, DIVIDEND_EVERY_SESSIONS, n)
    chance = random["delisting"].random((sessions, 2, n))
    failure, merger = (_per_session(h) for h in (spec.truth.failure_hazard_monthly, spec.truth.merger_hazard_monthly))

    base = np.full((sessions, n), np.nan)
    close = np.full((sessions, n), np.nan)
    last = np.full(n, -1)
    actions: list[Action] = []
    index, peak = np.ones(n), np.ones(n)
    price = np.round(price, _DECIMALS)
    for t in range(sessions):
        live = (first <= t) & (last < 0)
        seasoned = live & (first < t)
        today = price.copy()
        ex = seasoned & pays & ((t - offset) % DIVIDEND_EVERY_SESSIONS == 0)
        cash = np.round(price * spec.dividend_yield_annual * DIVIDEND_EVERY_SESSIONS / SESSIONS_PER_YEAR, _DECIMALS)
        ex &= cash > 0
        today[ex] -= cash[ex]
        split = seasoned & ~ex & (price > spec.split_above)
        join = seasoned & ~ex & (price < spec.reverse_split_below)
        today[split] /= spec.split_ratio
        today[join] /= spec.reverse_split_ratio
        actions.extend((t, int(i), "cash_dividend", float(cash[i])) for i in np.flatnonzero(ex))
        actions.extend((t, int(i), "split", spec.split_ratio) for i in np.flatnonzero(split))
        actions.extend((t, int(i), "split", spec.reverse_split_ratio) for i in np.flatnonzero(join))

        base[t, live] = today[live]
        price = np.where(live, np.maximum(np.round(today * (1.0 + returns.total[t]), _DECIMALS), 1e-4), price)
        close[t, live] = price[live]

        index = np.where(live, index * (1.0 + returns.total[t]), index)
        peak = np.maximum(peak, index)
        fallen = index < (1.0 - spec.failure_drawdown) * peak
        fails = live & fallen & (chance[t, 0] < failure)
        merges = live & ~fails & (chance[t, 1] < merger)
        last[fails | merges] = t
        actions.extend((t, int(i), "delisting", spec.truth.failure_return) for i in np.flatnonzero(fails))
        actions.extend((t, int(i), "delisting", spec.truth.merger_return) for i in np.flatnonzero(merges))
    return Trading(base, close, tuple(actions), first, last)


def _listings(spec: SimulatedSpec, sessions: int, random: np.random.Generator) -> NDArray[np.int64]:
    late = random.random(spec.names) < spec.late_listing_share
    day = random.integers(1, max(2, int(0.8 * sessions)), spec.names)
    return np.where(late, day, 0)


def _per_session(monthly: float) -> float:
    """Chance per session whose compound over a month is the monthly one."""
    return float(1.0 - (1.0 - monthly) ** (1.0 / SESSIONS_PER_MONTH))


def surround(
    spec: SimulatedSpec, trading: Trading, volatility: Floats, random: Mapping[str, np.random.Generator]
) -> Bars:
    """Open, high, low and volume around each close."""
    shape = trading.close.shape
    share = spec.overnight_share
    bars, volume = random["bars"], random["volume"]
    day = np.log(trading.close / trading.base)
    overnight = share * day + np.sqrt(share * (1.0 - share)) * volatility * bars.normal(size=shape)
    opened = np.maximum(np.round(trading.base * np.exp(overnight), _DECIMALS), 1e-4)
    move = np.log(trading.close / opened)
    variance = (1.0 - share) * volatility**2
    above = (move + np.sqrt(move**2 - 2.0 * variance * np.log(1.0 - bars.random(shape)))) / 2.0
    below = (move - np.sqrt(move**2 - 2.0 * variance * np.log(1.0 - bars.random(shape)))) / 2.0
    high = np.maximum(np.round(opened * np.exp(above), _DECIMALS), np.maximum(opened, trading.close))
    low = np.minimum(np.round(opened * np.exp(below), _DECIMALS), np.minimum(opened, trading.close))
    low = np.where(np.isnan(low), np.nan, np.maximum(low, 1e-4))
    level = np.log(spec.dollar_volume) + spec.dollar_volume_log_sd * volume.normal(size=shape[1])
    busy = 0.3 * volume.normal(size=shape) + 0.4 * np.abs(day) / volatility
    shares = np.ceil(np.exp(level + busy) / trading.close)
    return Bars(opened, high, low, trading.close, shares)
