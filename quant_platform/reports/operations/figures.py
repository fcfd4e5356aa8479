"""The figures of operations that the web app and a notebook show."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from quant_platform.reports.charts import builders, theme
from quant_platform.reports.charts.builders import Field
from quant_platform.reports.charts.figures import Figure, Words
from quant_platform.reports.queries import literal


def slippage_heat(windows: pl.DataFrame, *, simulated: bool, width: int = 620) -> Figure:
    """Mean slippage by asset class and hour; an hour without fills is a dashed square, not a zero.

    Parameters
    ----------
    windows
        Rows of ``ops.slippage_windows`` of one week, not none.
    simulated
        Whether the figure must say SIMULATED.
    width
        In pixels.
    """
    week = windows["week"][0]
    words = Words(
        "Slippage by hour",
        "Mean price paid against the middle, in bps, by hour of the day: of the exchange for what is traded there, "
        "UTC for the rest. A dashed square holds no fill.",
        sql=f"select asset_class, hour, n, mean_bps, low_bps, high_bps\nfrom ops.slippage_windows\n"
        f"where week = {literal(str(week))}\norder by asset_class, hour",
        simulated=simulated,
    )
    rows = windows.select(
        "asset_class", pl.col("hour").cast(pl.String).str.zfill(2), "n", "mean_bps", "low_bps", "high_bps"
    )
    return builders.heat(
        rows,
        words,
        x=Field("hour", "hour of the day", "category"),
        y=Field("asset_class", "asset class", "category"),
        value=Field("mean_bps", "mean slippage, bps"),
        written=lambda value: f"{value:.0f}",
        tips=(Field("n", "fills"), Field("low_bps", "lower limit"), Field("high_bps", "upper limit")),
        width=width,
    )


def account_figures(book: pl.DataFrame, *, simulated: bool, width: int = 620) -> tuple[Figure, Figure]:
    """Equity of the paper account, and how far it is below its peak.

    Parameters
    ----------
    book
        Columns day, equity and drawdown of ``ops.book``, a row a session, not none.
    simulated
        Whether the figures must say SIMULATED.
    width
        In pixels.
    """
    until = literal(str(book["day"].max()))
    query = f"select day, equity, drawdown\nfrom ops.book\nwhere day <= {until}\norder by day"
    rows = book.sort("day").select("day", "equity", below=-pl.col("drawdown"))
    day = Field("day", "session", "date")
    equity = builders.lines(
        rows,
        Words("Equity of the paper account", "Marked at each close, in the currency of the account.", sql=query,
              simulated=simulated),
        x=day,
        y=Field("equity", "equity", digits=0),
        width=width,
        height=200,
    )  # fmt: skip
    below = builders.underwater(
        rows,
        Words("Below the peak", "Fall of the equity from its last peak, a share of it.", sql=query,
              simulated=simulated),
        x=day,
        y=Field("below", "below the peak", "percent"),
        width=width,
    )  # fmt: skip
    return equity, below


def skip_reasons(counts: Mapping[str, int], day: str, *, simulated: bool, width: int = 620) -> Figure:
    """How many setups of a session were not traded, by the code of the reason.

    Parameters
    ----------
    counts
        By code, the most frequent first, not none.
    day
        The session, ISO.
    simulated
        Whether the figure must say SIMULATED.
    width
        In pixels.
    """
    words = Words(
        "Not traded, by reason",
        f"Setups and signals of {day} that became no order, or whose order was not filled.",
        sql=f"select code, count(*) as skips\nfrom ops.skips\nwhere day = {literal(day)}\ngroup by code\n"
        "order by skips desc, code",
        simulated=simulated,
    )
    rows = [{"code": code, "skips": number, "written": str(number)} for code, number in counts.items()]
    return builders.bars(
        rows,
        words,
        row=Field("code", "reason", "category"),
        value=Field("skips", "setups", "count"),
        written=Field("written", "setups", "category"),
        width=width,
    )


def cost_figure(costs: pl.DataFrame, *, simulated: bool, width: int = 560) -> Figure:
    """What trading has cost, with its interval, beside what the cost model assumes: everything that is in bps.

    Parameters
    ----------
    costs
        Rows of ``ops.transaction_costs`` of one week, not none.
    simulated
        Whether the figure must say SIMULATED.
    width
        In pixels.
    """
    week = literal(str(costs["week"][0]))
    words = Words(
        "Costs learned from fills",
        "Estimates with their intervals, and what the cost model assumes where it has such a number; all in bps of the "
        "traded value.",
        sql='select "group", measure, n, value, low, high, modelled\nfrom ops.transaction_costs\n'
        f"where week = {week} and unit = 'bps'\norder by \"group\", measure",
        simulated=simulated,
    )
    found = costs.filter(pl.col("unit") == "bps").sort("group", "measure")
    named = found.with_columns(line=pl.concat_str("group", pl.lit(" "), pl.col("measure").str.replace_all("_", " ")))
    nothing = pl.lit(None, dtype=pl.Float64)
    measured = named.select("line", "n", "value", "low", "high", made_by=pl.lit("measured"))
    assumed = named.filter(pl.col("modelled").is_not_null()).select(
        "line", pl.lit(None, dtype=pl.Int64).alias("n"), value="modelled", low=nothing, high=nothing,
        made_by=pl.lit("assumed"),
    )  # fmt: skip
    return builders.dots_by_row(
        pl.concat([measured, assumed], how="vertical_relaxed").filter(pl.col("value").is_not_null()),
        words,
        row=Field("line", "group and measure", "category", order=tuple(named["line"].to_list())),
        value=Field("value", "cost, bps"),
        low=Field("low", "lower limit"),
        high=Field("high", "upper limit"),
        series=Field("made_by", "number", "category", order=("measured", "assumed")),
        at=0.0,
        tips=(Field("n", "trips or fills", "count"),),
        width=width,
    )


def sleeve_figure(summary: pl.DataFrame, *, evidence: str, simulated: bool, width: int = 560) -> Figure:
    """Mean R of every name with its interval, the best first, coloured by its sleeve.

    Parameters
    ----------
    summary
        Rows of ``ops.sleeve_summary`` of one week with a ``mean_r``, not none.
    evidence
        ``executed`` or ``replayed``: which of the rows.
    simulated
        Whether the figure must say SIMULATED.
    width
        In pixels.
    """
    week = literal(str(summary["week"][0]))
    words = Words(
        f"Mean R by name, {evidence}",
        "Mean outcome of the closed trades in units of their risk, with an interval of the independent ones.",
        sql="select ticker, sleeve, n, mean_r, mean_r_low, mean_r_high\nfrom ops.sleeve_summary\n"
        f"where week = {week} and evidence = {literal(evidence)} and mean_r is not null\norder by mean_r desc, ticker",
        simulated=simulated,
    )
    found = summary.filter(pl.col("evidence") == evidence, pl.col("mean_r").is_not_null())
    return builders.dots_by_row(
        found.sort("mean_r", "ticker", descending=[True, False]),
        words,
        row=Field("ticker", "name", "category"),
        value=Field("mean_r", "mean R", signed=True),
        low=Field("mean_r_low", "lower limit", signed=True),
        high=Field("mean_r_high", "upper limit", signed=True),
        series=Field("sleeve", "sleeve", "category", order=("safe", "core", "spec")),
        at=0.0,
        tips=(Field("n", "closed trades", "count"),),
        width=width,
    )


def evidence_growth(closed: pl.DataFrame, wanted: int, *, simulated: bool, width: int = 620) -> Figure:
    """Closed paper trades over time, on the way to what a proposal needs.

    Parameters
    ----------
    closed
        Columns day and closed (trades closed up to then), a row a session, not none.
    wanted
        Where the dotted line stands.
    simulated
        Whether the figure must say SIMULATED.
    width
        In pixels.
    """
    words = Words(
        "Closed paper trades",
        f"Trades closed so far; from {wanted} on thresholds and sleeves may be proposed.",
        sql="select day, (select count(*) from ops.trades t where t.day <= b.day) as closed\nfrom ops.book b\n"
        f"where day <= {literal(str(closed['day'].max()))}\norder by day",
        simulated=simulated,
    )
    return builders.lines(
        closed.sort("day"),
        words,
        x=Field("day", "session", "date"),
        y=Field("closed", "closed trades", "count"),
        at=float(wanted),
        colour=theme.LIGHT.second,
        width=width,
        height=160,
    )
