"""Where a file of the public archive lies: ``data/<market>/<monthly or daily>/<kind>/<symbol>/...``."""

from __future__ import annotations

import calendar

_ROOT = {"perp": "data/futures/um", "spot": "data/spot"}


def klines(market: str, symbol: str, interval: str, period: str) -> str:
    """Bars of a month (YYYY-MM) or day (YYYY-MM-DD)."""
    return f"{_ROOT[market]}/{_span(period)}/klines/{symbol}/{interval}/{symbol}-{interval}-{period}.zip"


def futures(kind: str, symbol: str, period: str) -> str:
    """A file of fundingRate, metrics, bookTicker or bookDepth."""
    return f"{_ROOT['perp']}/{_span(period)}/{kind}/{symbol}/{symbol}-{kind}-{period}.zip"


def days(month: str) -> list[str]:
    """All days of a month, YYYY-MM-DD."""
    count = calendar.monthrange(int(month[:4]), int(month[5:]))[1]
    return [f"{month}-{day:02d}" for day in range(1, count + 1)]


def days_around(month: str) -> list[str]:
    """All days of a month, the day before and the day after: files whose edges may hold a stamp of the month."""
    before, after = months_around(month)[0], months_around(month)[2]
    return [days(before)[-1], *days(month), days(after)[0]]


def months_around(month: str) -> list[str]:
    """The month before, the month, the month after."""
    number = month_number(month)
    return [f"{m // 12:04d}-{m % 12 + 1:02d}" for m in range(number - 1, number + 2)]


def months(first: str, last: str) -> list[str]:
    """All months from the first to the last, both included."""
    numbers = range(month_number(first), month_number(last) + 1)
    return [f"{m // 12:04d}-{m % 12 + 1:02d}" for m in numbers]


def month_number(month: str) -> int:
    """Months since the year 0."""
    return int(month[:4]) * 12 + int(month[5:]) - 1


def _span(period: str) -> str:
    return "monthly" if len(period) == len("2024-01") else "daily"
