"""Figures of the judged variant that are read from its daily rows: how it went, and what more costs would do."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from quant_platform.reports.backtest.series import rolling_sharpe
from quant_platform.reports.charts import builders
from quant_platform.reports.charts.builders import Field
from quant_platform.reports.charts.figures import Figure, Words

WINDOW = 126
"""Sessions of a rolling figure: half a year."""
COST_FACTORS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0)
Query = Callable[[str], str]
Say = Callable[..., Words]

_SESSION = Field("session", "session", "date")


def over_time(daily: pl.DataFrame, say: Say, query: Query, *, sessions_per_year: float) -> list[Figure]:
    """Rolling Sharpe ratio, sum of the ICs, turnover and names held.

    Parameters
    ----------
    daily
        Rows of ``suite.daily`` of one variant in order.
    say
        Makes the words of a figure from title, description, SQL and note.
    query
        Gives the SQL of some columns of ``suite.daily``.
    sessions_per_year
        For annual ratios.

    Returns
    -------
    list of Figure
        A rolling value begins when its window is full; a session without an IC adds nothing to the sum.
    """
    ordered = "\norder by session"
    ratio = builders.lines(
        rolling_sharpe(daily, WINDOW, sessions_per_year).drop_nulls(),
        say(
            "Rolling Sharpe ratio",
            f"Net, of the last {WINDOW} sessions, annual.",
            query(f"session, avg(net) over w / stddev(net) over w * sqrt({sessions_per_year!r}) as sharpe")
            + f"\nwindow w as (order by session rows {WINDOW - 1} preceding)"
            + f"\nqualify count(*) over w = {WINDOW}{ordered}",
            note=f"its own standard error is about {(sessions_per_year / WINDOW) ** 0.5:.1f}",
        ),
        x=_SESSION,
        y=Field("sharpe", "annual Sharpe ratio", digits=2, signed=True),
        at=0.0,
        width=560,
    )
    known = daily.select("session", "ic").drop_nulls().filter(pl.col("ic").is_finite())
    summed = builders.lines(
        known.select("session", pl.col("ic").cum_sum().alias("summed")),
        say(
            "Sum of the ICs",
            "Rank IC of each session with the return it is judged on, added up: a straight line is a steady edge.",
            query("session, sum(ic) over (order by session) as summed") + f" and isfinite(ic){ordered}",
        ),
        x=_SESSION,
        y=Field("summed", "sum of rank ICs", digits=2, signed=True),
        at=0.0,
        width=560,
    )
    traded = builders.lines(
        daily.select("session", pl.col("turnover").rolling_mean(21)).drop_nulls(),
        say(
            "Turnover",
            "Bought and sold of both legs over capital, mean of 21 sessions, not halved.",
            query("session, avg(turnover) over w as turnover")
            + f"\nwindow w as (order by session rows 20 preceding)\nqualify count(*) over w = 21{ordered}",
        ),
        x=_SESSION,
        y=Field("turnover", "per session", digits=3),
        at=0.0,
        width=560,
    )
    held = builders.lines(
        daily.select("session", pl.col("names_long").alias("long"), pl.col("names_short").alias("short")).unpivot(
            index="session", variable_name="leg", value_name="names"
        ),
        say(
            "Names held",
            "Names of the long and of the short leg.",
            query("session, names_long, names_short") + ordered,
        ),
        x=_SESSION,
        y=Field("names", "names", "count"),
        series=Field("leg", "leg", "category"),
        at=0.0,
        width=560,
    )
    return [ratio, summed, traded, held]


def distribution_of_ics(daily: pl.DataFrame, say: Say, query: Query) -> list[Figure]:
    """Histogram of the session's ICs, and their quantiles over those of a normal distribution.

    Parameters are those of :func:`over_time`. Sessions without an IC are left out.
    """
    known = daily.select("ic").drop_nulls().filter(pl.col("ic").is_finite())
    sql = query("ic") + " and isfinite(ic)"
    value = Field("ic", "rank IC of a session", digits=3, signed=True)
    return [
        builders.histogram(
            known,
            say("Histogram of the IC", f"Rank ICs of {known.height} sessions.", sql),
            value=value,
            at=0.0,
            width=420,
        ),
        builders.quantiles(
            known,
            say("Q-Q of the IC", "Quantiles of the ICs over those of a normal distribution; on the line, normal.", sql),
            value=value,
            width=420,
        ),
    ]


def cost_sweep(daily: pl.DataFrame, say: Say, query: Query, *, sessions_per_year: float) -> Figure:
    """Net Sharpe ratio of the same trades at multiples of their costs.

    Parameters are those of :func:`over_time`. Where net returns do not vary there is no ratio.
    """
    year = sessions_per_year**0.5
    rows = [
        {"factor": factor, "sharpe": mean / spread * year}
        for factor in COST_FACTORS
        for net in (daily["gross"] - factor * (daily["linear_cost"] + daily["impact_cost"]),)
        for mean, spread in ((net.mean(), net.std()),)
        if isinstance(mean, float) and isinstance(spread, float) and spread > 0.0
    ]
    return builders.lines(
        rows,
        say(
            "Sharpe ratio by cost",
            "The trades of the judged variant at multiples of the costs of its model; 1 is as judged.",
            query("gross, linear_cost + impact_cost as cost"),
            note=f"mean(gross - factor x cost) / sd x sqrt({sessions_per_year:g})",
        ),
        x=Field("factor", "times the costs", digits=1),
        y=Field("sharpe", "annual Sharpe ratio", digits=2, signed=True),
        at=0.0,
        width=420,
    )
