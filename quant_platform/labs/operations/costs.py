"""What trading costs, learned from fills: round trips, and half spread and impact with their errors.

``(price - mid) / mid`` of a fill, signed so that paying is positive, is ``half_spread + Y sigma sqrt(Q / V) + noise``.
Least squares gives both parameters. Their errors (HC2) do not ask for noise of one size; a few very large orders decide
the impact coefficient nearly alone, so each error is compared with Student t of as many degrees of freedom as it is
worth (Bell and McCaffrey), which is far fewer than ``n - 2`` then. Measured coverage: ``docs/evidence/operations.md``.

**Circularity.** Fills that the engine itself made (law ``modelled``) return what was put into them, whatever the truth
is. They are refused.

References
----------
Bell and McCaffrey (2002), Survey Methodology 28:169-181. Imbens and Kolesar (2016), REStat 98:701-712. Almgren, Thum,
Hauptmann and Li (2005), Risk 18(7):58-62. David and Nagaraja (2003), Order Statistics, ch. 7, for percentiles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.special import bdtr, stdtrit

from quant_platform.contracts.errors import CircularFit
from quant_platform.contracts.schemas.operations import MODELLED
from quant_platform.engine.layout import Floats


@dataclass(frozen=True)
class Estimate:
    """A number with its error; NaN where there is none."""

    n: int
    value: float
    error: float
    low: float
    high: float


@dataclass(frozen=True)
class CostFit:
    """Parameters of the cost model, ``half_spread`` as a fraction of the price."""

    half_spread: Estimate
    impact_coefficient: Estimate
    left_out: int


def require_foreign(fills: pl.DataFrame) -> None:
    """Refuse fills of the engine's own law.

    Raises
    ------
    CircularFit
        With the first of them.
    """
    own = fills.filter(pl.col("law") == MODELLED)
    if own.height:
        raise CircularFit(
            "the fills were made by the cost model that would be fitted to them",
            where="law modelled",
            how_many=f"{own.height} of {fills.height} fills",
            rows=own.select("fill_id", "ticker", "executed_at"),
            action="import a broker's fills (quant fills import), or use those of a venue with a law of its own",
        )


def signed_slippage(fills: pl.DataFrame) -> Floats:
    """``side (price - mid) / mid`` of fills that have a middle, a fraction; paying is positive."""
    side = np.where(fills["side"].cast(pl.String).to_numpy() == "buy", 1.0, -1.0)
    mid = fills["mid"].to_numpy()
    found: Floats = side * (fills["price"].to_numpy() - mid) / mid
    return found


def fit_costs(fills: pl.DataFrame, *, minimum: int, level: float) -> CostFit:
    """Fit half spread and impact coefficient.

    Parameters
    ----------
    fills
        Rows of ``ops.fills``; those without middle, volatility or volume are left out and counted.
    minimum
        Fewest fills of a fit.
    level
        Coverage of the intervals.

    Raises
    ------
    CircularFit
        When a fill is of the engine's own law.

    Notes
    -----
    Fills of one size relative to their volume cannot tell the two parameters apart: both are NaN then.
    """
    require_foreign(fills)
    known = fills.drop_nulls(["mid", "volatility_daily", "volume_daily"]).filter(pl.col("volume_daily") > 0.0)
    n, left_out = known.height, fills.height - known.height
    nothing = Estimate(n, math.nan, math.nan, math.nan, math.nan)
    if n < max(minimum, 3):
        return CostFit(nothing, nothing, left_out)
    size = known["volatility_daily"].to_numpy() * np.sqrt(
        known["quantity"].to_numpy() / known["volume_daily"].to_numpy()
    )
    design = np.column_stack([np.ones(n), size])
    if np.ptp(size) <= 1e-12 * np.abs(size).max():
        return CostFit(nothing, nothing, left_out)
    slippage = signed_slippage(known)
    inverse = np.linalg.inv(design.T @ design)
    found = inverse @ design.T @ slippage
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    kept = np.maximum(1.0 - leverage, 1e-12)
    residual = (slippage - design @ found) / np.sqrt(kept)
    weighted = design * residual[:, None]
    errors = np.sqrt(np.diag(inverse @ (weighted.T @ weighted) @ inverse))
    made = []
    for value, error, freedom in zip(found, errors, _freedom(design, inverse, leverage, kept), strict=True):
        half = float(stdtrit(freedom, 0.5 + level / 2.0)) * float(error)
        made.append(Estimate(n, float(value), float(error), float(value) - half, float(value) + half))
    return CostFit(made[0], made[1], left_out)


def _freedom(design: Floats, inverse: Floats, leverage: Floats, kept: Floats) -> list[float]:
    """Degrees of freedom of each HC2 error, by matching two moments under noise of one size.

    With ``a`` the weights of the observations in a parameter and ``M = I - H`` they are ``(sum a^2)^2`` over
    ``sum_ij (a_i a_j M_ij)^2 / (M_ii M_jj)``, whose double sum is taken through the products of the design.
    """
    found = []
    for column in range(design.shape[1]):
        a = design @ inverse[:, column]
        b = a**2 / kept
        inner = inverse @ (design.T @ (design * b[:, None]))
        squares = float((a**4).sum() + np.trace(inner @ inner) - (b**2 * leverage**2).sum())
        found.append(max(1.0, float((a**2).sum()) ** 2 / squares))
    return found


def round_trips(fills: pl.DataFrame) -> pl.DataFrame:
    """Fees and slippage of positions from flat to flat, in bps of what was bought or sold to open them.

    Parameters
    ----------
    fills
        Rows of ``ops.fills``; in the order of their time they make the position of each name.

    Returns
    -------
    DataFrame
        ``ticker, asset_class, closed_at, cost_bps``, one row per round trip. A fill through zero closes one trip and
        opens the next, its costs shared by quantity. A trip with a fill that has no middle has no row.
    """
    rows: list[dict[str, object]] = []
    ordered = fills.sort("ticker", "executed_at", "fill_id")
    for (ticker,), mine in ordered.group_by("ticker", maintain_order=True):
        position, opened, cost = 0.0, 0.0, 0.0
        for fill in mine.iter_rows(named=True):
            side = 1.0 if fill["side"] == "buy" else -1.0
            left = fill["quantity"]
            mid = math.nan if fill["mid"] is None else fill["mid"]
            each = side * (fill["price"] - mid) + fill["fees"] / fill["quantity"]
            while left > 0.0:
                closing = position * side < 0.0
                units = min(left, abs(position)) if closing else left
                cost += each * units
                opened += 0.0 if closing else units * fill["price"]
                position += side * units
                left -= units
                if closing and abs(position) <= 1e-9 * max(1.0, fill["quantity"]):
                    if not math.isnan(cost):
                        rows.append(
                            {
                                "ticker": ticker,
                                "asset_class": fill["asset_class"],
                                "closed_at": fill["executed_at"],
                                "cost_bps": 1e4 * cost / opened,
                            }
                        )
                    position, opened, cost = 0.0, 0.0, 0.0
    empty = fills.clear().select("ticker", "asset_class", closed_at="executed_at", cost_bps=pl.lit(0.0))
    return pl.DataFrame(rows, schema=empty.schema)


def percentile(values: Sequence[float] | Floats, share: float, level: float) -> Estimate:
    """A percentile with the interval that two order statistics give, whatever the distribution.

    The limits are NaN where the sample is too small for them to exist at that level: 95 % of a median needs six values.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = ordered.size
    if n == 0:
        return Estimate(0, math.nan, math.nan, math.nan, math.nan)
    tail = (1.0 - level) / 2.0
    # P(order statistic j is above the percentile) = P(Binomial(n, share) < j).
    below_one_more = bdtr(np.arange(n + 1.0), n, share)
    below = int(np.searchsorted(below_one_more, tail))
    above = int(np.searchsorted(below_one_more, 1.0 - tail)) + 1
    low = float(ordered[below - 1]) if below >= 1 else math.nan
    high = float(ordered[above - 1]) if above <= n else math.nan
    return Estimate(n, float(np.quantile(ordered, share)), math.nan, low, high)


def mean_of(values: Floats, level: float) -> Estimate:
    """A mean of independent values with Student's interval; NaN limits below two values."""
    n = values.size
    if n < 2:
        return Estimate(n, float(values.mean()) if n else math.nan, math.nan, math.nan, math.nan)
    error = float(values.std(ddof=1)) / math.sqrt(n)
    half = float(stdtrit(n - 1.0, 0.5 + level / 2.0)) * error
    mean = float(values.mean())
    return Estimate(n, mean, error, mean - half, mean + half)
