"""Entries and exits by rule: a moving-average crossover is two of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant_platform.contracts.errors import SpecError
from quant_platform.engine.bars import Bars
from quant_platform.engine.decisions import ACTIONS, ExitRule, Signals
from quant_platform.expressions import Formula
from quant_platform.specification.strategies import SignalDecisions
from quant_platform.strategies.panels import evaluate_on_bars


@dataclass(frozen=True)
class Crossover:
    """Long while a fast mean of closes is above a slow one, optionally short while it is below.

    Attributes
    ----------
    fast, slow
        Bars of the two means.
    both_sides
        Whether the crossing back is a short entry as well as an exit.
    """

    fast: int
    slow: int
    both_sides: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.fast < self.slow:
            raise SpecError(f"fast must be below slow, was {self.fast} and {self.slow}", where="Crossover")

    def rule(self) -> SignalDecisions:
        """The same as a rule of a strategy file."""
        above = f"sma(close,{self.fast})>sma(close,{self.slow})"
        below = f"sma(close,{self.fast})<sma(close,{self.slow})"
        return SignalDecisions(
            kind="signals",
            long_entry=f"run({above})==1",
            long_exit=below,
            short_entry=f"run({below})==1" if self.both_sides else None,
            short_exit=above if self.both_sides else None,
        )


def crossover(bars: Bars, fast: int, slow: int, *, both_sides: bool = False) -> Signals:
    """Signals of a moving-average crossover.

    Parameters
    ----------
    bars
        The market.
    fast, slow, both_sides
        As :class:`Crossover`.

    Notes
    -----
    **Timing.** Enters on the first close with the fast mean above the slow one, after one on which it was not known or
    not above; leaves on a close with it below.
    """
    return signals(bars, Crossover(fast, slow, both_sides).rule())


def signals(bars: Bars, rule: SignalDecisions) -> Signals:
    """Signals of the expressions of a strategy file.

    Raises
    ------
    ExpressionError
        An expression is not valid.
    SpecError
        An expression is a number where a condition is needed.
    """
    formulas = {
        name: Formula(text, tuple(rule.params.items())) for name in ACTIONS[:4] if (text := getattr(rule, name))
    }
    found = evaluate_on_bars(bars, formulas, dict(rule.definitions))
    numbers = [name for name, values in found.items() if values.dtype != np.bool_]
    if numbers:
        raise SpecError(
            "a condition is needed, and this expression is a number",
            where=f"decisions.{numbers[0]}",
            action="compare it with something",
        )
    exits = ExitRule(**rule.exits.model_dump())
    conditions = {name: np.asarray(values, dtype=np.bool_) for name, values in found.items()}
    return Signals(
        long_entry=conditions.get("long_entry"),
        long_exit=conditions.get("long_exit"),
        short_entry=conditions.get("short_entry"),
        short_exit=conditions.get("short_exit"),
        exits=exits,
    )
