"""Whether the market that a strategy enters in can carry its orders. What is not known refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from quant_platform.specification.event_backtest import AcceptanceSpec
from quant_platform.statistics.checks import Floats


@dataclass(frozen=True, eq=False)
class Entries:
    """What the market showed at each entry, ``[n]``, NaN where it is not known.

    Attributes
    ----------
    spread_bps
        Quoted spread.
    depth_usd
        Resting value on the side that is hit.
    impact_bps
        Impact that the run charged.
    participation
        Value of the order over the quote volume of its bar.
    order_usd
        Value of the order.
    """

    spread_bps: Floats
    depth_usd: Floats
    impact_bps: Floats
    participation: Floats
    order_usd: Floats


def accept(entries: Entries, spec: AcceptanceSpec) -> list[dict[str, object]]:
    """Rows of ``backtest.acceptance`` without their key, one per check.

    Notes
    -----
    **Missing values.** A check with more unknown entries than ``max_unknown_share`` is refused whatever the known ones
    say; so is one without an entry.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        orders = entries.depth_usd / entries.order_usd
    checks: tuple[tuple[str, Floats, float, Literal["most", "least"], str], ...] = (
        ("spread", entries.spread_bps, spec.max_spread_bps, "most", "bps"),
        ("depth", orders, spec.min_depth_orders, "least", "orders"),
        ("impact", entries.impact_bps, spec.max_impact_bps, "most", "bps"),
        ("participation", entries.participation, spec.max_participation, "most", "of the bar's volume"),
    )
    return [_judged(*check, spec) for check in checks]


def _judged(
    name: str, values: Floats, bound: float, side: Literal["most", "least"], unit: str, spec: AcceptanceSpec
) -> dict[str, object]:
    known = values[np.isfinite(values)]
    unknown = values.size - known.size
    row: dict[str, object] = {"check": name, "n": values.size, "n_unknown": unknown, "bound": bound}
    if not values.size:
        return row | {"accepted": False, "reason": "nothing was entered"}
    if unknown > spec.max_unknown_share * values.size:
        reason = f"not known at {unknown} of {values.size} entries"
        return row | {"accepted": False, "reason": reason, "median": _median(known)}
    quantile = spec.quantile if side == "most" else 1.0 - spec.quantile
    judged = float(np.quantile(known, quantile))
    accepted = judged <= bound if side == "most" else judged >= bound
    text = f"{quantile:.0%} quantile {judged:.4g} {unit}, at {side} {bound:g}"
    return row | {"median": _median(known), "judged": judged, "accepted": accepted, "reason": text}


def _median(known: Floats) -> float | None:
    return float(np.median(known)) if known.size else None
