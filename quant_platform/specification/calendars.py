"""The model of ``specs/calendars/<exchange>.yaml``: sessions that the calendar library does not know, or has wrong."""

from __future__ import annotations

import os
from datetime import date, time
from functools import lru_cache
from pathlib import Path

from pydantic import Field, model_validator

from quant_platform.specification.loading import SpecModel, load_spec
from quant_platform.specification.settings import Settings


class AddedSession(SpecModel):
    """A day that trades although the library says that it does not."""

    session: date = Field(description="The day.")
    close: time | None = Field(default=None, description="Closing time at the exchange; that of the session before.")
    reason: str = Field(min_length=1, description="Why, and where it is said.")


class StruckSession(SpecModel):
    """A day that does not trade although the library says that it does."""

    session: date = Field(description="The day.")
    reason: str = Field(min_length=1, description="Why, and where it is said.")


class CalendarSpec(SpecModel):
    """What is different about the calendar of one exchange."""

    exchange: str = Field(description="ISO 10383 code; the name of the file.")
    start: date | None = Field(
        default=None,
        description="First day, earlier than the library documents: weekdays without its holidays are sessions then.",
    )
    added: tuple[AddedSession, ...] = Field(default=(), description="Sessions that are added.")
    struck: tuple[StruckSession, ...] = Field(default=(), description="Sessions that are struck.")

    @model_validator(mode="after")
    def _each_day_once(self) -> CalendarSpec:
        days = [*(one.session for one in self.added), *(one.session for one in self.struck)]
        twice = sorted({str(day) for day in days if days.count(day) > 1})
        if twice:
            raise ValueError(f"sessions are named twice: {', '.join(twice)}")
        return self


def calendar_file(exchange: str) -> Path:
    """Where the changes of an exchange would stand: below ``QUANT_SPECS``, or the specs of the clone."""
    return _specs(os.environ.get("QUANT_SPECS")) / "calendars" / f"{exchange.replace('/', '_')}.yaml"


def calendar_changes(exchange: str) -> CalendarSpec | None:
    """The changes of an exchange; None where there are none.

    Raises
    ------
    SpecError
        When the file is not valid, or is about another exchange.
    """
    path = calendar_file(exchange)
    if not path.is_file():
        return None
    return load_spec(path, CalendarSpec)


@lru_cache(maxsize=4)
def _specs(named: str | None) -> Path:
    return Path(named) if named else Settings().specs
