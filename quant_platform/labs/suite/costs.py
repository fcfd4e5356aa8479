"""What one side of a trade costs per name and row, in the two parts that a book adds up, and what is held costs.

``cost = traded x linear + traded^(3/2) x root(capital) x impact``, all as fractions of capital: the square-root law
``Y sigma root(Q / V)`` per unit of notional, with ``Q = traded x capital``, makes the power 3/2. The impact part of a
whole book is therefore known at every capital once it is known at one, and the capacity curve costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.errors import NotAvailable
from quant_platform.labs.suite.panel import Panel
from quant_platform.labs.suite.ranking import row_blocks
from quant_platform.specification.suite import CostModel, CostsSpec

Floats = npt.NDArray[np.float64]
_BPS = 1e-4


@dataclass(frozen=True)
class CostRates:
    """Rates ``[T, N]`` of one cost model; ``[1, 1]`` where a rate is the same everywhere.

    Attributes
    ----------
    linear
        Cost per unit of traded notional.
    impact
        Cost per unit of traded notional to the power 3/2 at a capital of 1; multiply by ``root(capital)``.
    holding
        Cost per unit held over the row, long or short, for funding that is not known; None where none is due.
    end_loss
        Cost per unit held long when a name is gone and nobody says what was paid.
    """

    linear: Floats
    impact: Floats
    holding: Floats | None = None
    end_loss: float = 0.0


def cost_rates(model: CostModel, panel: Panel, costs: CostsSpec, *, of_spread: CostRates | None = None) -> CostRates:
    """Return the rates of a cost model on every row.

    Parameters
    ----------
    model
        ``naive``, ``spread`` or ``impact``.
    panel
        ADV and volatility.
    costs
        The numbers.
    of_spread
        Rates of ``spread`` on the same panel, where they are known: ``impact`` trades at the same spreads.

    Notes
    -----
    **Timing.** ADV and volatility end on the row before the trade: the volume of the session that is traded in is not
    known at its close auction.

    **Missing values.** A name of unknown ADV has the largest half spread, and the largest impact seen up to its date
    (before any, of the panel): unknown costs are never free. Hours of unknown funding cost both sides
    ``unknown_funding_bps`` per eight hours, whatever the model. Of a name that is gone and of which nobody says what
    its holders got, who is long gets ``unknown_recovery`` of the last price, and who is short pays it in full.

    Raises
    ------
    NotAvailable
        For impact, when no ADV is known anywhere.

    References
    ----------
    Almgren, Thum, Hauptmann and Li (2005), Risk 18(7):58-62; Toth et al. (2011), Phys. Rev. X 1:021006.
    """
    nothing, holding = np.zeros((1, 1)), _unknown_funding(panel, costs)
    end_loss = 1.0 - costs.unknown_recovery
    if model == "naive":
        return CostRates(np.full((1, 1), costs.naive_bps * _BPS), nothing, holding, end_loss)
    dates, names = panel.shape
    known_linear = of_spread is not None
    linear = of_spread.linear if of_spread is not None else np.empty((dates, names))
    impact = np.empty((dates, names)) if model == "impact" else nothing
    largest = np.zeros((dates, 1))
    for rows in row_blocks(dates, names):
        adv = _before(panel.adv, rows)
        if not known_linear:
            with np.errstate(divide="ignore", invalid="ignore"):
                half = costs.half_spread_bps * (adv / costs.reference_adv) ** (-costs.spread_elasticity)
            half = np.clip(half, costs.min_half_spread_bps, costs.max_half_spread_bps)
            linear[rows] = (costs.fee_bps + np.where(np.isfinite(half), half, costs.max_half_spread_bps)) * _BPS
        if model == "impact":
            with np.errstate(divide="ignore", invalid="ignore"):
                part = costs.impact_coefficient * _before(panel.volatility, rows) / np.sqrt(adv)
            known = np.isfinite(part)
            impact[rows] = np.where(known, part, np.nan)
            largest[rows] = np.max(np.where(known, part, -np.inf), axis=1, keepdims=True)
    if model == "spread":
        return CostRates(linear, nothing, holding, end_loss)
    if not (largest > -np.inf).any():
        raise NotAvailable("an impact model needs traded values", where="the panel", action="use naive or spread")
    worst = np.maximum.accumulate(np.maximum(largest, 0.0), axis=0)
    worst = np.where(worst > 0.0, worst, worst.max())
    np.copyto(impact, worst, where=np.isnan(impact))
    return CostRates(linear, impact, holding, end_loss)


def _unknown_funding(panel: Panel, costs: CostsSpec) -> Floats | None:
    if panel.funding_unknown_hours is None:
        return None
    # A row without a price says nothing: the hours of the next price reach back over it.
    return np.nan_to_num(panel.funding_unknown_hours) / 8.0 * costs.unknown_funding_bps * _BPS


def _before(values: Floats, rows: slice) -> Floats:
    """Rows of an array, each taken one earlier; the first of all is missing."""
    if rows.start > 0:
        return values[rows.start - 1 : rows.stop - 1]
    shifted = np.full((rows.stop, values.shape[1]), np.nan)
    shifted[1:] = values[: rows.stop - 1]
    return shifted
