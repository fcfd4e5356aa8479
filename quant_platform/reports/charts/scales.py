"""From data to pixels: round ticks for numbers, decades for counts, calendar starts for dates."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

ScaleKind = Literal["linear", "log", "date"]

DAYS_PER_YEAR = 365.2425
MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120, 240)


@dataclass(frozen=True)
class Tick:
    """One mark of an axis: its position in data units and its label."""

    position: float
    label: str


@dataclass(frozen=True)
class Scale:
    """Maps ``[low, high]`` in data units to ``[start, end]`` in pixels, linearly or in the logarithm."""

    low: float
    high: float
    start: float
    end: float
    kind: ScaleKind = "linear"

    def __call__(self, value: float) -> float:
        """Pixel of a value; a log scale needs values above zero."""
        low, high, at = self.low, self.high, value
        if self.kind == "log":
            low, high, at = math.log(low), math.log(high), math.log(value)
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def holds(self, value: float) -> bool:
        """Whether the value lies on the scale, ends included."""
        return self.low <= value <= self.high


def domain(
    values: Iterable[float], kind: ScaleKind, *, margin: float = 0.05, fallback: float = 1.0
) -> tuple[float, float]:
    """Range that holds all values with a margin on both sides; a single value stands in the middle.

    Parameters
    ----------
    values
        Finite values; for a log scale those above zero count.
    kind
        Of the scale.
    margin
        Share of the range (of its logarithm) added on each side.
    fallback
        Half width where all values are equal and zero.
    """
    held = [value for value in values if kind != "log" or value > 0]
    if not held:
        return (1.0, 10.0) if kind == "log" else (0.0, 1.0)
    low, high = min(held), max(held)
    if kind == "log":
        spread = max(math.log(high / low), math.log(2.0))
        middle = math.sqrt(low * high)
        factor = math.exp(spread * (0.5 + margin))
        return middle / factor, middle * factor
    if low == high:
        half = abs(low) * 0.5 or fallback
        return low - half, high + half
    room = (high - low) * margin
    return low - room, high + room


def linear_ticks(low: float, high: float, most: int = 6) -> tuple[list[float], int]:
    """Multiples of 1, 2, 2.5 or 5 times a power of ten inside the range, and the decimals their labels need.

    Examples
    --------
    >>> linear_ticks(0.0, 1.0, 6)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], 1)
    """
    raw = (high - low) / most
    power = math.floor(math.log10(raw))
    # The rounding error of a division must not push an exact step to the next one.
    mantissa = next(step for step in (1.0, 2.0, 2.5, 5.0, 10.0) if step * 10.0**power >= raw * (1.0 - 1e-9))
    step = mantissa * 10.0**power
    decimals = max(0, -power + (1 if mantissa == 2.5 else 0) - (1 if mantissa == 10.0 else 0))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)], decimals


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Powers of ten inside the range, with their 2 and 5 fold (and all digits) where that still fits.

    A range that holds fewer than three of them has round even steps instead.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3), (1,)):
        found = [digit * 10.0**power for power in decades for digit in digits if low <= digit * 10.0**power <= high]
        if len(found) <= most:
            break
    return found if len(found) >= 3 else [at for at in linear_ticks(low, high, most)[0] if at > 0]


def date_ticks(low: float, high: float, most: int = 6) -> list[Tick]:
    """Starts of months or years inside a range of day ordinals, years as ``2012``, months as ``2012-04``.

    A range too short to hold two of them has two whole dates instead.
    """
    months = (high - low) / DAYS_PER_YEAR * 12.0
    step = next((step for step in MONTH_STEPS if months / step <= most), MONTH_STEPS[-1])
    begin = datetime.date.fromordinal(math.ceil(low))
    end = datetime.date.fromordinal(math.floor(high))
    ticks = []
    for month in range(begin.year * 12, end.year * 12 + 12, step if step < 12 else 12):
        year = month // 12
        at = datetime.date(year, month % 12 + 1, 1)
        if begin <= at <= end and (step <= 12 or year % (step // 12) == 0):
            ticks.append(Tick(float(at.toordinal()), str(year) if step >= 12 else f"{year}-{at.month:02d}"))
    if len(ticks) >= 2:
        return ticks
    inner = sorted({round(low + share * (high - low)) for share in (0.2, 0.8)})
    return [Tick(float(at), datetime.date.fromordinal(at).isoformat()) for at in inner]
