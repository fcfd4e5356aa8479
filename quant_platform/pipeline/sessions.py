"""Which sessions the stages of a market see."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl

from quant_platform.market.calendar import Days, iso_week, session_array, week_last_sessions
from quant_platform.pipeline.home import Home


def market_sessions(home: Home) -> Days:
    """Sessions of the market up to the last one that has happened."""
    return session_array(home.universe.exchange, home.spec.first_session, home.spec.last_session or date.today())


def signal_sessions(home: Home, mondays: Sequence[str]) -> Days:
    """The last session of each finished week among some weeks, which are named by their Monday."""
    last = home.spec.last_session or date.today()
    ends = week_last_sessions(home.universe.exchange, home.spec.first_session, last)
    return ends[np.isin(iso_week(ends), np.array(mondays, dtype="datetime64[D]"))]


def on_sessions(column: str, days: Days) -> pl.Expr:
    """Whether a date is one of some sessions."""
    return pl.col(column).is_in(pl.Series(days, dtype=pl.Date).implode())
