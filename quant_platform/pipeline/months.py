"""Keys of the symbol-month tables."""

from __future__ import annotations

SymbolMonth = tuple[str, str]


def month_before(month: str) -> str:
    """The calendar month before, ``YYYY-MM``."""
    number = int(month[:4]) * 12 + int(month[5:]) - 2
    return f"{number // 12:04d}-{number % 12 + 1:02d}"
