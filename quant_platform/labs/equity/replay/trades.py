"""Which stored candidates count at an as-of week, and how their weeks are counted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from quant_platform.market.weeks import Longs, week_number
from quant_platform.specification.replay import ReplaySpec
from quant_platform.statistics import Periods

TRADED = ("target", "stop", "timeout", "delisted")

_SIX_DAYS = timedelta(days=6)


@dataclass(frozen=True)
class Judged:
    """Candidates of the weeks in which everything is known.

    ``candidates`` are all rows of those weeks, ``trades`` the ones that were entered.
    """

    candidates: pl.DataFrame

    @property
    def trades(self) -> pl.DataFrame:
        """Rows with a realised outcome."""
        return self.candidates.filter(pl.col("outcome").cast(pl.String).is_in(TRADED))


def judged_until(rows: pl.DataFrame, as_of_week: date | None) -> Judged:
    """Keep the weeks of which every outcome was known by the Sunday of the as-of week.

    Parameters
    ----------
    rows
        Rows with week, outcome and resolved_at, for example ``replay.qualified``.
    as_of_week
        Monday of the week; None stands for everything that is known.

    Notes
    -----
    A week counts as a whole or not at all. In a week that is still running, near stops are known and far targets are
    not, so counting what is resolved would lean towards losses.
    """
    known = pl.col("resolved_at").is_not_null()
    if as_of_week is not None:
        known &= pl.col("resolved_at") <= as_of_week + _SIX_DAYS
    return Judged(rows.filter(known.all().over("week")))


def weeks_of(trades: pl.DataFrame) -> Longs:
    """Number of the week of each trade's signal: consecutive weeks differ by one, and an empty one keeps its place."""
    return week_number(trades["week"].to_numpy())


def counted_weeks(spec: ReplaySpec) -> Periods:
    """How far trades overlap, and how few weeks are too few for an interval."""
    return Periods(overlap=spec.overlap_weeks, minimum=spec.interval.minimum_weeks)
