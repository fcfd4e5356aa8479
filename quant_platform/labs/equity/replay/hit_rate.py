"""How the trades of the replay did: rates with Wilson intervals, means with intervals over weeks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import polars as pl

from quant_platform.contracts.tables import table
from quant_platform.labs.equity.replay.trades import TRADED, generator, judged_until
from quant_platform.specification.replay import BootstrapSpec
from quant_platform.statistics.bootstrap import cluster_bootstrap_mean
from quant_platform.statistics.proportions import wilson_interval

_SCHEMA = table("replay.hit_rate").schema


def hit_rate(as_of_week: date, qualified: pl.DataFrame, spec: BootstrapSpec, spec_hash: str) -> pl.DataFrame:
    """Summarise the trades known at the as-of week.

    Parameters
    ----------
    as_of_week
        Monday of the week; outcomes known by its Sunday count, and only of weeks in which all are.
    qualified
        Rows of ``replay.qualified`` up to that week.
    spec
        Draws of the bootstrap.
    spec_hash
        Ontology hash, part of the seed.

    Returns
    -------
    DataFrame
        Schema ``replay.hit_rate``: groups all, qualified, direction (``all:long``, ...) and year (``qualified:2012``,
        ...). ``all`` and ``qualified`` are there with n = 0 when nothing is known yet.

    Notes
    -----
    The Wilson interval takes trades as independent, and those of one week are not: read it as a lower bound of the
    uncertainty, and the expectancy's interval, which resamples weeks, as the one to act on.
    """
    known = judged_until(qualified, as_of_week).candidates.with_columns(
        year=pl.col("date_sig").dt.year().cast(pl.String), is_traded=pl.col("outcome").cast(pl.String).is_in(TRADED)
    )
    rows = [
        _row(as_of_week, group, value, part, spec, spec_hash)
        for selection, part in (("all", known), ("qualified", known.filter("qualified")))
        for group, value, part in _groups(selection, part)
    ]
    return pl.DataFrame(rows, schema=_SCHEMA.create_empty().schema).sort("group", "value")


def _groups(selection: str, rows: pl.DataFrame) -> Iterator[tuple[str, str, pl.DataFrame]]:
    yield selection, selection, rows
    for column, group in (("direction", "direction"), ("year", "year")):
        for (member,), part in rows.group_by(column):
            yield group, f"{selection}:{member}", part


def _row(
    as_of_week: date, group: str, value: str, rows: pl.DataFrame, spec: BootstrapSpec, spec_hash: str
) -> dict[str, object]:
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
    hits = int((trades["outcome"] == "target").sum())
    rate = wilson_interval(hits, n)
    result = trades["realised_r"]
    expectancy = cluster_bootstrap_mean(
        result.to_numpy(),
        trades["week"].to_numpy(),
        rng=generator(spec_hash, "replay.hit_rate", as_of_week.isoformat(), value),
        draws=spec.replications,
    )
    losses = -float(result.filter(result < 0.0).sum())
    return {
        **found,
        "hit_rate": float(rate.rate),
        "hit_rate_low": float(rate.low),
        "hit_rate_high": float(rate.high),
        "expectancy_r": expectancy.estimate,
        "expectancy_low": _finite(expectancy.low),
        "expectancy_high": _finite(expectancy.high),
        "profit_factor": float(result.filter(result > 0.0).sum()) / losses if losses > 0.0 else None,
        "mean_bars_held": trades["bars_held"].mean(),
    }


def _finite(value: float) -> float | None:
    return None if value != value else value
