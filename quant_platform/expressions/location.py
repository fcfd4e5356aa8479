"""Where an expression stands, and the message that points into it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from quant_platform.contracts.errors import ExpressionError

SHOWN_CHARACTERS = 160
"""Of a line that is longer, this much is shown around the place."""


@dataclass(frozen=True)
class Location:
    """Place of the first character of an expression.

    Parameters
    ----------
    file
        File, or any name of the place, as a person knows it.
    line, column
        One-based.
    """

    file: str = "expression"
    line: int = 1
    column: int = 1


@dataclass(frozen=True)
class Formula:
    """An expression as it was written: its text, the parameters it may name, and where it stands.

    Parameters
    ----------
    text
        The expression.
    parameters
        Numbers that the text may use by name, also as windows.
    location
        Where the text begins.
    """

    text: str
    parameters: tuple[tuple[str, float], ...] = ()
    location: Location = Location()

    def error(
        self, what: str, start: int = 0, end: int | None = None, *, cause: str = "", action: str = ""
    ) -> ExpressionError:
        """Error that underlines the characters from ``start`` to ``end`` of the text."""
        stop = max(start + 1, len(self.text) if end is None else end)
        line_start = self.text.rfind("\n", 0, start) + 1
        line = self.text[line_start:].split("\n", 1)[0]
        line_number = self.location.line + self.text.count("\n", 0, start)
        offset = start - line_start
        column = offset + (self.location.column if line_start == 0 else 1)
        left = max(0, offset - SHOWN_CHARACTERS // 2)
        width = max(1, min(stop, line_start + len(line), line_start + left + SHOWN_CHARACTERS) - start)
        line = ("..." if left else "") + line[left : left + SHOWN_CHARACTERS]
        caret = " " * (offset - left + (3 if left else 0)) + "^" * width
        where = f"{self.location.file}:{line_number}:{column}\n    {line}\n    {caret}"
        return ExpressionError(what, where=where, cause=cause, action=action)


def closest(name: str, known: Iterable[str]) -> str:
    """The valid name nearest to a mistyped one as a suggestion, or empty when none is near."""
    matches = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"did you mean {matches[0]!r}?" if matches else ""
