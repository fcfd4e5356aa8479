"""How the trades of the replay did: rates and means, with intervals that allow for trades that overlap."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import polars as pl

from quant_platform.contracts.tables import table
from quant_platform.labs.equity.replay.trades import TRADED, counted_weeks, judged_until, weeks_of
from quant_platform.specification.replay import ReplaySpec
from quant_platform.statistics import Periods, mean_over_periods, rate_over_periods

_SCHEMA = table("replay.hit_rate").schema


def hit_rate(as_of_week: date, qualified: pl.DataFrame, spec: ReplaySpec) -> pl.DataFrame:
    """Summarise the trades known at the as-of week.

    Parameters
    ----------
    as_of_week
        Monday of the week; outcomes known by its Sunday count, and only of weeks in which all are.
    qualified
        Rows of ``replay.qualified`` up to that week.
    spec
        How long trades last, and how few weeks are too few.

    Returns
    -------
    DataFrame
        Schema ``replay.hit_rate``: groups all, qualified, direction (``all:long``, ...) and year (``qualified:2012``,
        ...). ``all`` and ``qualified`` are there with n = 0 when nothing is known yet.

    Notes
    -----
    Trades last up to the horizon, so those of neighbouring weeks share their market. Both intervals come from weekly
    sums and a long-run variance (:mod:`quant_platform.statistics.period_sums`). In fewer than
    ``spec.interval.minimum_weeks`` weeks with a trade, or without variation, there is none.
    """
    known = judged_until(qualified, as_of_week).candidates.with_columns(
        year=pl.col("date_sig").dt.year().cast(pl.String), is_traded=pl.col("outcome").cast(pl.String).is_in(TRADED)
    )
    rows = [
        _row(as_of_week, group, value, part, counted_weeks(spec))
        for selection, part in (("all", known), ("qualified", known.filter("qualified")))
        for group, value, part in _groups(selection, part)
    ]
    return pl.DataFrame(rows, schema=_SCHEMA.create_empty().schema).sort("group", "value")


def _groups(selection: str, rows: pl.DataFrame) -> Iterator[tuple[str, str, pl.DataFrame]]:
    yield selection, selection, rows
    for column, group in (("direction", "direction"), ("year", "year")):
        for (member,), part in rows.group_by(column):
            yield group, f"{selection}:{member}", part


def _row(as_of_week: date, group: str, value: str, rows: pl.DataFrame, counted: Periods) -> dict[str, object]:
    trades = rows.filter("is_traded").sort("date_sig", "ticker", "direction")
    n = trades.height
    found: dict[str, object] = {
        "as_of_week": as_of_week,
        "group": group,
        "value": value,
        "n": n,
        "n_weeks": trades["week"].n_unique(),
        "n_no_entry": rows.height - n,
    }
    if n == 0:
        return found
    weeks, result = weeks_of(trades), trades["realised_r"]
    rate = rate_over_periods((trades["outcome"] == "target").cast(pl.Float64), weeks, counted)
    expectancy = mean_over_periods(result, weeks, counted)
    losses = -float(result.filter(result < 0.0).sum())
    return {
        **found,
        "hit_rate": rate.estimate,
        "hit_rate_low": _finite(rate.low),
        "hit_rate_high": _finite(rate.high),
        "expectancy_r": expectancy.estimate,
        "expectancy_low": _finite(expectancy.low),
        "expectancy_high": _finite(expectancy.high),
        "profit_factor": float(result.filter(result > 0.0).sum()) / losses if losses > 0.0 else None,
        "mean_bars_held": trades["bars_held"].mean(),
    }


def _finite(value: float) -> float | None:
    return None if value != value else value
