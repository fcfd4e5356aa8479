"""The one clock: what time it is for everything that decides data.

``QUANT_NOW`` sets it, so that a simulated market that goes on can be driven by simulated time. A source that is not
simulated refuses to be opened under it (`quant_platform.pipeline.sources`).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime

from quant_platform.contracts.errors import SettingsError

VARIABLE = "QUANT_NOW"


def is_set() -> bool:
    """Whether the time is a stated one and not that of the machine."""
    return bool(os.environ.get(VARIABLE))


def now() -> datetime:
    """The current time in UTC: that of the machine, or the stated one.

    Raises
    ------
    SettingsError
        When ``QUANT_NOW`` is no time with a zone.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return datetime.now(UTC)
    try:
        stated = datetime.fromisoformat(text)
    except ValueError:
        stated = None
    if stated is None or stated.tzinfo is None:
        raise SettingsError(
            f"{VARIABLE} is {text!r}, which is no time with a zone",
            where="the environment",
            action=f"write it as 2024-03-28T07:00:00+01:00, or unset {VARIABLE}",
        )
    return stated.astimezone(UTC)
