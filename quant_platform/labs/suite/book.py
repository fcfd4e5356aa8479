"""From a ranked signal to target weights, and from target weights to daily profit, cost and exposure.

Arithmetic of a book (`run_book`), per row t, in fractions of a constant capital:

1. ``gross[t] = sum_i p_i[t-1] r_i[t]``: the positions of the row before earn the row's return.
2. Positions drift: ``p_i <- p_i[t-1] (1 + r_i[t])``.
3. Trades go from the drifted to the target position, ``d_i = w_i - p_i``, at the close (or open) of the row.
4. ``cost[t] = sum_i linear_i |d_i| + root(capital) impact_i |d_i|^(3/2)``, paid when the trade is made.
5. Where funding is not known, holding costs too: ``sum_i |p_i[t-1]| holding_i[t]``, part of the linear cost; so does
   an end of which nobody says what it paid: ``max(p_i[t-1], 0)`` times the loss that the costs state.
6. ``net[t] = gross[t] - cost[t]``.

Profits are not reinvested: weights are fractions of the same capital every day, so that a day's profit is a return on
it, costs are linear in the traded notional, and two books add up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.errors import NotAvailable
from quant_platform.labs.suite.costs import CostRates
from quant_platform.labs.suite.kernels import book_rows, leg_weight_rows
from quant_platform.labs.suite.panel import Panel
from quant_platform.labs.suite.ranking import Ranked
from quant_platform.specification.suite import Weighting

Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Targets:
    """Target weights by the row on which they can first be traded.

    Attributes
    ----------
    weights
        ``[T, N]``, the long leg adds to 1 and the short leg to -1.
    formed
        ``[T]`` whether both legs have enough names.
    """

    weights: Floats
    formed: Bools


@dataclass(frozen=True)
class Book:
    """One book through time, in fractions of capital per row.

    Attributes
    ----------
    first
        Row of the first trade, which pays its cost and has earned nothing yet; T without any trade.
    gross, linear_cost, unit_impact_cost
        ``[T]``; impact at a capital of 1, to be multiplied by its root.
    traded
        ``[T]`` traded notional, both legs, buys and sells.
    long, short
        ``[T]`` exposure of each leg after trading, both positive.
    names_long, names_short, unpriced, untradable, unfunded, ended_unknown
        ``[T]`` names held; held without a return; wanted without a price; held over hours of unknown funding; held into
        an end of which nobody says what it paid.
    by_cap, by_industry
        ``[T, B, 3]`` gross, linear and unit impact cost by bucket; buckets add up to the book.
    capital
        Money behind the book.
    held
        ``[T, N]`` positions after trading, where they were asked for.
    """

    first: int
    gross: Floats
    linear_cost: Floats
    unit_impact_cost: Floats
    traded: Floats
    long: Floats
    short: Floats
    names_long: Longs
    names_short: Longs
    unpriced: Longs
    untradable: Longs
    unfunded: Longs
    ended_unknown: Longs
    by_cap: Floats
    by_industry: Floats
    capital: float
    held: Floats | None

    @property
    def impact_cost(self) -> Floats:
        """Impact cost at the book's capital, ``[T]``."""
        result: Floats = np.sqrt(self.capital) * self.unit_impact_cost
        return result

    @property
    def cost(self) -> Floats:
        """All costs, ``[T]``."""
        return self.linear_cost + self.impact_cost

    @property
    def net(self) -> Floats:
        """Gross less costs, ``[T]``."""
        return self.gross - self.cost

    def net_at(self, capital: float) -> Floats:
        """Net return per row had the capital been another, ``[T]``."""
        result: Floats = self.gross - self.linear_cost - np.sqrt(capital) * self.unit_impact_cost
        return result

    def net_of(self, buckets: Floats) -> Floats:
        """Net contribution of each bucket of ``by_cap`` or ``by_industry``, ``[T, B]``."""
        result: Floats = buckets[:, :, 0] - buckets[:, :, 1] - np.sqrt(self.capital) * buckets[:, :, 2]
        return result


def target_weights(
    ranked: Ranked,
    values: Floats | None,
    panel: Panel,
    *,
    weight: Weighting,
    fractile: tuple[float, float],
    mincos: int,
) -> Targets:
    """Weigh the two outer fractiles of a ranked signal.

    Parameters
    ----------
    ranked
        The signal's ranks by row.
    values
        ``[T, N]`` the signal itself; only ``weight="signal"`` reads it.
    panel
        Market caps and volatilities on the same rows.
    weight
        ``equal``; ``value`` by market cap; ``signal`` by the distance of the signal from the median of its date;
        ``risk`` by the inverse of trailing volatility.
    fractile
        Short at or below the first percentile, long above the second.
    mincos
        Fewest names of a leg.

    Raises
    ------
    NotAvailable
        For ``value`` without market caps.

    Notes
    -----
    **Missing values.** A name of a leg whose weight cannot be known is left out of it; a leg of which too few are left
    makes no portfolio on that row. **Ties** share a rank and are never torn apart: a leg may then be larger.
    """
    base, use = np.empty((1, 1)), False
    if weight == "value":
        panel.require("market_cap")
        if panel.market_cap is None:
            raise NotAvailable("the panel has no market caps", where="weight: value", action="use another weight")
        base, use = panel.market_cap, True
    elif weight == "risk":
        with np.errstate(divide="ignore"):
            base, use = 1.0 / panel.volatility, True
        base = np.where(np.isfinite(base), base, np.nan)
    elif weight == "signal" and values is not None:
        present = np.where(ranked.doubled > 0, values, np.nan)
        middle = np.full((panel.shape[0], 1), np.nan)
        some = ranked.counts > 0
        middle[some, 0] = np.nanmedian(present[some], axis=1)
        base, use = np.abs(present - middle), True
    weights = np.empty(panel.shape)
    formed = np.empty(panel.shape[0], dtype=np.bool_)
    groups = ranked.groups(fractile)
    leg_weight_rows(groups, 2, np.ascontiguousarray(base, dtype=np.float64), use, mincos, weights, formed)
    return Targets(weights, formed)


def overlap(targets: Targets, holding: int) -> Targets:
    """Average the last ``holding`` portfolios that were formed, each an equal part (Jegadeesh and Titman 1993).

    Until so many were formed, the missing ones are cash.
    """
    if holding == 1:
        return targets
    rows = np.flatnonzero(targets.formed)
    total = np.cumsum(targets.weights[rows], axis=0)
    total[holding:] = total[holding:] - total[:-holding]
    weights = np.zeros_like(targets.weights)
    weights[rows] = total / holding
    return Targets(weights, targets.formed)


def run_book(
    targets: Targets,
    panel: Panel,
    rates: CostRates,
    *,
    lag: int,
    capital: float,
    from_open: bool = False,
    max_age: int,
    keep_held: bool = False,
) -> Book:
    """Carry targets through time: drift, trade, pay; see the module for the arithmetic.

    Raises
    ------
    NotAvailable
        For trades at the open where opens are not known.

    Notes
    -----
    **Timing.** Weights of row ``t - lag`` are traded at the close of row t and earn from row t + 1 on; ``from_open``
    trades at the open of row t, and row t + 1 then holds the return from open to open.

    **Missing values.** A position in a name without a price earns nothing until its next price, which holds the whole
    move; it cannot be traded meanwhile. A delisted name is paid out with its delisting return; where that
    is missing it earns nothing more, and who is long pays ``rates.end_loss``.
    """
    returns = panel.returns
    if from_open:
        panel.require("open")
        if panel.open_returns is None:
            raise NotAvailable("the panel has no opens", where="from_open", action="trade at the close")
        returns = panel.open_returns
    dates, names = panel.shape
    totals = np.zeros((dates, 6))
    by_cap = np.zeros((dates, len(panel.cap_buckets), 3))
    by_industry = np.zeros((dates, len(panel.industries) + 1, 3))
    counted = np.zeros((dates, 5), dtype=np.int64)
    keep = keep_held or rates.holding is not None
    held = np.zeros((dates, names) if keep else (1, 1))
    book_rows(
        targets.weights,
        targets.formed,
        lag,
        max_age,
        returns,
        panel.priced,
        panel.last,
        rates.linear,
        rates.impact,
        panel.cap_bucket,
        panel.industry,
        totals,
        by_cap,
        by_industry,
        counted,
        held,
        keep,
        rates.end_loss,
    )
    unfunded = np.zeros(dates, dtype=np.int64)
    if rates.holding is not None:
        unfunded = _charge_holding(held, rates.holding, panel, totals, by_cap, by_industry)
    trades = np.flatnonzero(totals[:, 3] > 0.0)
    return Book(
        first=int(trades[0]) if trades.size else dates,
        gross=totals[:, 0],
        linear_cost=totals[:, 1],
        unit_impact_cost=totals[:, 2],
        traded=totals[:, 3],
        long=totals[:, 4],
        short=totals[:, 5],
        names_long=counted[:, 0],
        names_short=counted[:, 1],
        unpriced=counted[:, 2],
        untradable=counted[:, 3],
        unfunded=unfunded,
        ended_unknown=counted[:, 4],
        by_cap=by_cap,
        by_industry=by_industry,
        capital=capital,
        held=held if keep_held else None,
    )


def _charge_holding(
    held: Floats, holding: Floats, panel: Panel, totals: Floats, by_cap: Floats, by_industry: Floats
) -> Longs:
    """Add the cost of what was held over each row to the linear costs; how many positions pay it, ``[T]``."""
    cost = np.zeros_like(held)
    cost[1:] = np.abs(held[:-1]) * holding[1:]
    totals[:, 1] += cost.sum(axis=1)
    rows, names = np.nonzero(cost)
    due = cost[rows, names]
    np.add.at(by_cap[:, :, 1], (rows, panel.cap_bucket[rows, names].astype(np.int64)), due)
    np.add.at(by_industry[:, :, 1], (rows, panel.industry[rows, names].astype(np.int64) + 1), due)
    paying: Longs = np.count_nonzero(cost, axis=1).astype(np.int64)
    return paying
