"""How a number is written: the same quantity has the same precision on every page.

IC, ICIR, R and scores have three decimals, t two, percentages one, counts none and a comma per thousand. A minus is a
minus sign, and a value that rounds to zero has no sign. What is missing is never a number: None, NaN and infinity
give None here, and the page writes "n/a" with a reason.
"""

from __future__ import annotations

import datetime
import math
from typing import Any

from quant_platform.contracts.errors import StatisticError

MINUS = "−"
DASH = "–"


def finite(value: Any) -> float | None:
    """The value as a float, or None where there is none (None, NaN, infinite).

    Raises
    ------
    StatisticError
        When the value is not a number at all.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise StatisticError(
            f"a number was expected, was {value!r}",
            where="report",
            action="pass numbers and None; dates and texts have their own fields",
        )
    return float(value) if math.isfinite(value) else None


def number(value: float, decimals: int = 3, *, signed: bool = False) -> str:
    """Fixed decimals, a true minus sign, a plus where the sign is the question; zero has no sign.

    Examples
    --------
    >>> number(0.01234), number(-0.0004), number(0.5, 2, signed=True)
    ('0.012', '0.000', '+0.50')
    """
    written = f"{abs(value):,.{decimals}f}"
    if not any(character in "123456789" for character in written):
        return written
    if value < 0:
        return MINUS + written
    return "+" + written if signed else written


def percent(value: float, decimals: int = 1, *, signed: bool = False) -> str:
    """A share of one as a percentage, with its sign: ``0.123`` is ``12.3%``."""
    return number(100.0 * value, decimals, signed=signed) + "%"


def p_value(value: float) -> str:
    """Three decimals; what would round to zero is only said to be below one thousandth."""
    return "<0.001" if value < 0.0005 else number(value, 3)


def count(value: float) -> str:
    """A whole number with a comma per thousand."""
    return number(value, 0)


def day(value: Any) -> str:
    """A date as ISO text; texts pass as they are, None becomes the empty text."""
    if value is None:
        return ""
    if isinstance(value, datetime.date):
        return value.isoformat()[:10]
    return str(value)


def ordinal(value: Any) -> float | None:
    """Days since 0001-01-01 of a date or ISO text, for a date axis; None where there is none.

    Raises
    ------
    StatisticError
        When a text is no ISO date.
    """
    if value is None:
        return None
    try:
        return float(datetime.date.fromisoformat(day(value)[:10]).toordinal())
    except ValueError as error:
        raise StatisticError(
            f"a date was expected, was {value!r}", where="report", action="write dates as YYYY-MM-DD"
        ) from error
