"""What a framework is known not to do as the engine does, each with its reason.

``never``: the framework has no place for it. ``notyet``: it might, and does not today. ``notimpl``: it could, and our
adapter does not. Marks are strict: a run that agrees in spite of one fails until the mark goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["notimpl", "notyet", "never"]


@dataclass(frozen=True)
class Mark:
    """One difference that is known.

    Attributes
    ----------
    kind
        Whose it is.
    reason
        Why, in one sentence that ``docs`` shows.
    refuses
        Whether the adapter refuses the case; otherwise it runs as near as it goes, and differs.
    """

    kind: Kind
    reason: str
    refuses: bool = True


_PERMANENT = "A position of a delisted asset is never closed: it stays at its last price for good."

MARKS: Mapping[tuple[str, str], Mark] = {
    ("delisting", "backtrader"): Mark("never", _PERMANENT),
    ("delisting_recovery", "backtrader"): Mark("never", _PERMANENT),
    ("delisting_recovery", "zipline"): Mark(
        "never", "A delisted asset is closed at its last close, whatever is recovered."
    ),
    ("target_and_trail", "vectorbt"): Mark(
        "never", "Stop and target share one base price: the trail's extreme would move the target."
    ),
    ("levels_from_entry_bar", "vectorbt"): Mark(
        "never", "Stops and targets are tested before the entry of a bar: the entry bar itself never is."
    ),
    ("commission_per_share_minimum", "vectorbt"): Mark(
        "never", "There is no minimum fee: a fixed fee is added to the rate, whatever the size."
    ),
    ("commission_rate_minimum", "vectorbt"): Mark(
        "never", "There is no minimum fee: a fixed fee is added to the rate, whatever the size."
    ),
    ("slippage_rate_bracket", "vectorbt"): Mark("never", "One setting slips stops and targets alike."),
    ("participation", "vectorbt"): Mark(
        "never", "What a bar's volume does not take is dropped: no order is carried to the next bar."
    ),
}


def mark_of(case: str, framework: str) -> Mark | None:
    """The mark of a case and framework, None where they must agree."""
    return MARKS.get((case, framework))
