"""Cron expressions and time zones: what cron itself takes is taken, what it refuses is named."""

from __future__ import annotations

import pytest

from quant_platform.specification.times import known_cron, known_zone


@pytest.mark.parametrize(
    "text", ["0 7 * * *", "*/15 9-16 * * 1-5", "30 2 1,15 jan-mar sun", "0 0 2-8/2 * 7", "59 23 31 12 0"]
)
def test_what_cron_takes(text: str) -> None:
    assert known_cron(text) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 7 * *", "five fields and this has 4"),
        ("every morning", "five fields"),
        ("60 7 * * *", "minute of a cron expression is 0 to 59"),
        ("0 24 * * *", "hour"),
        ("0 7 0 * *", "day of the month"),
        ("0 7 * 13 *", "month of a cron expression is 1 to 12"),
        ("0 7 * * 8", "day of the week"),
        ("0 9-7 * * *", "hour"),
        ("*/0 7 * * *", "minute"),
        ("0 7 * * mon,,tue", "day of the week"),
        ("-5 7 * * *", "minute"),
        ("0 7 * \u0661 *", "month"),
    ],
)
def test_what_cron_refuses(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        known_cron(text)


@pytest.mark.parametrize("name", ["Europe/Berlyn", "", "../etc/passwd", "x" * 300])
def test_a_zone_that_is_none(name: str) -> None:
    with pytest.raises(ValueError, match="there is no time zone"):
        known_zone(name)
