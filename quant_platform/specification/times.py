"""Time zones and cron expressions as spec files write them."""

from __future__ import annotations

import re
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator

# Of the five fields of a cron expression: what it is, its least and its greatest number, and names that stand for them.
_FIELDS: tuple[tuple[str, int, int, str], ...] = (
    ("minute", 0, 59, ""),
    ("hour", 0, 23, ""),
    ("day of the month", 1, 31, ""),
    ("month", 1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"),
    ("day of the week", 0, 7, "sun mon tue wed thu fri sat"),
)
_PART = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/([0-9]+))?", re.ASCII)


def known_zone(name: str) -> str:
    """Refuse a time zone that the system does not know."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name!r}; an IANA name such as Europe/Berlin is needed") from error
    return name


def known_cron(text: str) -> str:
    """Refuse what is no cron expression of five fields: numbers, names, ``*``, lists, ranges and steps.

    References
    ----------
    POSIX.1-2017, ``crontab``; steps, and names of months and days, as in Vixie's cron.
    """
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"a cron expression has five fields and this has {len(fields)}; '0 7 * * *' is every day at 7")
    for field, (name, least, greatest, words) in zip(fields, _FIELDS, strict=True):
        numbers = {word: least + k for k, word in enumerate(words.split())}
        for part in field.split(","):
            found = _PART.fullmatch(part)
            ends = [numbers.get(end.lower(), end) for end in found.groups()[:2] if end] if found else ["?"]
            known = all(str(end).isdecimal() and least <= int(end) <= greatest for end in ends)
            ordered = len(ends) < 2 or int(ends[0]) <= int(ends[1])
            if not (found and known and ordered and found.group(3) != "0"):
                raise ValueError(f"the {name} of a cron expression is {least} to {greatest}; it was {part!r}")
    return text


Zone = Annotated[str, AfterValidator(known_zone)]
Cron = Annotated[str, AfterValidator(known_cron)]
