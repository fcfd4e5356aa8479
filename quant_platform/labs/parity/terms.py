"""On what terms a case is traded, said once for every framework."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Terms:
    """Everything about a run that is neither bars, decisions, capital nor the commission rate.

    Attributes
    ----------
    fill
        ``next_open`` or ``same_close``, as the engine's.
    per_unit, per_order, minimum
        Commission per unit, per order, and the least per order, in money.
    slippage_rate, slippage_fixed
        What a market order and a stop lose, as a fraction of the price and in money per unit.
    slip_targets
        Whether targets lose it too.
    exits_from
        Whether stops and targets stand from the ``next_bar`` or from the ``entry_bar``.
    trigger
        ``touch``: levels are met inside the bar; ``close``: they are compared with closes and left at the next open.
    lot
        Quantities are rounded down to whole lots of this many units; None trades any fraction.
    participation
        Largest share of a bar's volume; None for no limit.
    calendar, frequency
        Sessions the bars stand on (``XNYS``, or ``24/7`` for every day), and ``daily`` or ``minute``.
    """

    fill: Literal["next_open", "same_close"] = "next_open"
    per_unit: float = 0.0
    per_order: float = 0.0
    minimum: float = 0.0
    slippage_rate: float = 0.0
    slippage_fixed: float = 0.0
    slip_targets: bool = False
    exits_from: Literal["next_bar", "entry_bar"] = "next_bar"
    trigger: Literal["touch", "close"] = "touch"
    lot: float | None = None
    participation: float | None = None
    calendar: Literal["XNYS", "24/7"] = "XNYS"
    frequency: Literal["daily", "minute"] = "daily"

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)
