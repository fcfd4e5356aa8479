"""What one side of one trade costs at every bar, and what funding a position pays while it is held."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from quant_platform.engine.cost_law import square_root_impact
from quant_platform.market.perp_panel import PricePanel
from quant_platform.specification.discovery import CostSpec
from quant_platform.statistics.checks import Floats

VOLUME_BARS = 12
BAR_SHARE_OF_EIGHT_HOURS = 5.0 / 480.0


def one_way_cost_bps(panel: PricePanel, cost: CostSpec) -> Floats:
    """Cost of one side at the close of each bar, ``[symbol, bar]`` in bps.

    ``fee + spread / 2 + Y rv12 sqrt(order / mean volume of the hour) 1e4``

    Notes
    -----
    **Timing.** Only what is known at the close of the bar enters. **Missing values.** A missing spread or volume is
    replaced by the pessimistic number of the spec, never by zero.

    References
    ----------
    Almgren, Thum, Hauptmann and Li (2005), Risk 18(7):58-62, and Toth et al. (2011), Phys. Rev. X 1:021006, for the
    concave law.
    """
    spread = panel.column("spread_bps")
    half = 0.5 * np.where(np.isnan(spread), cost.unknown_spread_bps, spread)
    mean_volume = np.vstack([_trailing_mean(row, VOLUME_BARS) for row in panel.column("quote_volume")])
    with np.errstate(divide="ignore", invalid="ignore"):
        impact = square_root_impact(cost.impact_coefficient, panel.column("rv12"), cost.order_usd, mean_volume) * 1e4
    return cost.fee_bps + half + np.where(np.isfinite(impact), impact, cost.unknown_impact_bps)


@dataclass(frozen=True)
class PaidFunding:
    """Cumulated funding up to and including each bar, ``[symbol, bar]`` in bps: differences are what a holding paid.

    ``known`` is what one unit held long has paid at settlements with a known rate; a short has received it. ``unknown``
    is what either side is charged for bars on which nobody knows whether and at which rate funding was settled.
    """

    known: Floats
    unknown: Floats


def paid_funding(panel: PricePanel, cost: CostSpec) -> PaidFunding:
    """Funding of every holding, by difference.

    A settlement counts for positions opened before it and still held at it: the difference between exit and entry bar.

    Notes
    -----
    **Missing values.** A bar without a known rate (no funding file, a rate that is too old, a settlement whose rate was
    kept out) costs both sides ``unknown_funding_bps`` per eight hours: what is not known is not free.
    """
    settle, rate = panel.column("funding_settle"), panel.column("funding_rate")
    known = np.where((settle == 1.0) & ~np.isnan(rate), rate, 0.0)
    unknown = np.isnan(settle) | ((settle == 1.0) & np.isnan(rate))
    charged = np.where(unknown, cost.unknown_funding_bps * BAR_SHARE_OF_EIGHT_HOURS, 0.0)
    return PaidFunding(np.cumsum(1e4 * known, axis=1), np.cumsum(charged, axis=1))


def _trailing_mean(values: Floats, bars: int) -> Floats:
    series = pl.Series(values, nan_to_null=True).rolling_mean(bars, min_samples=bars // 2)
    return series.fill_null(np.nan).to_numpy()
