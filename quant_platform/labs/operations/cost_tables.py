"""The weekly tables of costs: by group what trading has cost, by hour when it costs more."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import polars as pl
from scipy.special import stdtrit

from quant_platform.engine.layout import Floats
from quant_platform.labs.operations.costs import (
    Estimate,
    fit_costs,
    mean_of,
    percentile,
    require_foreign,
    round_trips,
    signed_slippage,
)
from quant_platform.labs.operations.frames import rows_frame
from quant_platform.specification.operations import EvidenceSpec, RoutingSpec
from quant_platform.statistics import clustered_mean

HOURS = 24


def transaction_costs(week: date, fills: pl.DataFrame, evidence: EvidenceSpec, routing: RoutingSpec) -> pl.DataFrame:
    """What trading has cost as known at the end of a week.

    Parameters
    ----------
    week
        Monday of the week.
    fills
        Rows of ``ops.fills`` within the lookback.
    evidence
        Grouping, minima, level and percentiles.
    routing
        What the cost model assumes, to stand beside the estimates.

    Returns
    -------
    DataFrame
        Schema ``ops.transaction_costs``: per group the percentiles of the round-trip cost in bps, the fitted half
        spread in bps and impact coefficient, and the mean fee in bps. Null where a minimum is not reached.

    Raises
    ------
    CircularFit
        When a fill is of the engine's own law.
    """
    require_foreign(fills)
    rules, rows = evidence.costs, []
    for (group,), mine in fills.sort("fill_id").group_by(rules.grouping, maintain_order=True):
        trips = round_trips(mine)["cost_bps"].to_numpy()
        fit = fit_costs(mine, minimum=rules.minimum_fit, level=rules.level)
        fees = 1e4 * (mine["fees"] / (mine["price"] * mine["quantity"])).to_numpy()
        # A name has one asset class.
        costs, without_mid = routing.costs_of(mine["asset_class"][0]), mine["mid"].null_count()
        laws = sorted(mine["law"].unique().to_list())
        found: list[tuple[str, str, Estimate, float | None, int]] = [
            (f"round_trip_p{100 * share:g}", "bps", percentile(trips, share, rules.level), None, without_mid)
            for share in rules.percentiles
        ]
        found += [
            ("half_spread", "bps", _scaled(fit.half_spread, 1e4), 1e4 * costs.half_spread, fit.left_out),
            ("impact_coefficient", "", fit.impact_coefficient, costs.impact_coefficient, fit.left_out),
            ("fee", "bps", mean_of(fees, rules.level), 1e4 * costs.commission_rate, 0),
        ]
        for measure, unit, estimate, modelled, left_out in found:
            enough = estimate.n >= rules.minimum_trades
            rows.append(
                {
                    "week": week,
                    "group": group,
                    "measure": measure,
                    "unit": unit,
                    "n": estimate.n,
                    "value": estimate.value if enough else None,
                    "error": estimate.error if enough else None,
                    "low": estimate.low if enough else None,
                    "high": estimate.high if enough else None,
                    "modelled": modelled,
                    "n_left_out": left_out,
                    "laws": laws,
                }
            )
    return rows_frame("ops.transaction_costs", rows).sort("group", "measure")


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    return Estimate(
        estimate.n, *(factor * value for value in (estimate.value, estimate.error, estimate.low, estimate.high))
    )


def slippage_windows(week: date, fills: pl.DataFrame, evidence: EvidenceSpec) -> pl.DataFrame:
    """Slippage by asset class and hour as known at the end of a week.

    Parameters
    ----------
    week
        Monday of the week.
    fills
        Rows of ``ops.fills`` within the lookback; those without a middle are left out.
    evidence
        Minimum, excess and level of an hour that is proposed as a no-trade window.

    Returns
    -------
    DataFrame
        Schema ``ops.slippage_windows``, 24 rows per asset class; an hour without fills has n = 0 and no numbers.

    Notes
    -----
    Fills of one session share its market: sessions are the independent pieces of every error. The excess compares an
    hour with the other hours of its class and takes the two as independent, which makes its error too large rather than
    too small where they move together.
    """
    require_foreign(fills)
    rules, rows = evidence.windows, []
    known = fills.drop_nulls("mid")
    for (asset_class,), mine in known.sort("fill_id").group_by("asset_class", maintain_order=True):
        cost = 1e4 * signed_slippage(mine)
        hours = mine["executed_at"].dt.hour().to_numpy()
        days = mine["executed_at"].dt.date().to_numpy().astype("datetime64[D]").astype(np.int64)
        for hour in range(HOURS):
            inside = hours == hour
            here = _clustered(cost[inside], days[inside], rules.level)
            there = _clustered(cost[~inside], days[~inside], rules.level)
            excess, low = _excess(here, there, rules.level)
            enough = here.n >= rules.minimum_fills
            rows.append(
                {
                    "week": week,
                    "asset_class": asset_class,
                    "hour": hour,
                    "n": here.n,
                    "mean_bps": here.value,
                    "low_bps": here.low,
                    "high_bps": here.high,
                    "excess_bps": excess,
                    "excess_low_bps": low,
                    "proposed": bool(enough and low > rules.excess_bps),
                }
            )
    return rows_frame("ops.slippage_windows", rows).sort("asset_class", "hour")


def _clustered(values: Floats, days: Floats, level: float) -> Estimate:
    if values.size == 0:
        return Estimate(0, math.nan, math.nan, math.nan, math.nan)
    found = clustered_mean(values, np.unique(days, return_inverse=True)[1])
    if not found.standard_error > 0.0:
        return Estimate(values.size, found.mean, math.nan, math.nan, math.nan)
    half = float(stdtrit(found.degrees_of_freedom, 0.5 + level / 2.0)) * found.standard_error
    return Estimate(values.size, found.mean, found.standard_error, found.mean - half, found.mean + half)


def _excess(here: Estimate, there: Estimate, level: float) -> tuple[float, float]:
    """Difference of two means and its lower limit, normal: both sides have many sessions where it is looked at."""
    difference = here.value - there.value
    error = math.hypot(here.error, there.error)
    return difference, difference - float(stdtrit(max(1.0, here.n - 1.0), 0.5 + level / 2.0)) * error
