"""What was found in the rows of one table: per row, the first rule it broke."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class RowVerdict:
    """Per row: name of the rule it broke ('' where none), the column, what stood there, what was due."""

    rule: NDArray[np.str_]
    column: NDArray[np.str_]
    observed: Floats
    expected: Floats

    @classmethod
    def of(cls, rows: int) -> RowVerdict:
        """Nothing found yet in so many rows."""
        return cls(np.full(rows, "", "U24"), np.full(rows, "", "U24"), np.full(rows, np.nan), np.full(rows, np.nan))

    def note(self, name: str, bad: Flags, column: str, observed: Floats, expected: Floats | None = None) -> None:
        """Record a rule for the rows that are bad and still without a reason."""
        new = bad & (self.rule == "")
        self.rule[new], self.column[new], self.observed[new] = name, column, observed[new]
        if expected is not None:
            self.expected[new] = expected[new]

    @property
    def good(self) -> Flags:
        """Rows without a reason."""
        return np.asarray(self.rule == "", dtype=np.bool_)
