"""What the page of a backtest reads out of the curves of a run."""

from __future__ import annotations

import math

import polars as pl

from quant_platform.contracts.errors import StatisticError


def daily(equity: pl.DataFrame, exposures: pl.DataFrame, initial_cash: float) -> pl.DataFrame:
    """One row per calendar day: what a page can hold and an eye can tell apart.

    Parameters
    ----------
    equity
        ``stamp, equity, drawdown`` by bar; the drawdown is positive.
    exposures
        ``stamp, gross, net, held`` by bar.
    initial_cash
        Equity before the first bar.

    Returns
    -------
    polars.DataFrame
        ``session, equity, net`` (the day's return), ``drawdown`` (the deepest of the day, negative), and of its last
        bar ``gross, net_exposure, held``. A day without equity at its beginning has no return.
    """
    bars = equity.select("stamp", "equity", "drawdown").join(
        exposures.select("stamp", "gross", pl.col("net").alias("net_exposure"), "held"), on="stamp", validate="1:1"
    )
    days = (
        bars.sort("stamp")
        .group_by(pl.col("stamp").dt.date().alias("session"), maintain_order=True)
        .agg(
            pl.col("equity").last(),
            -pl.col("drawdown").max(),
            pl.col("gross", "net_exposure", "held").last(),
        )
    )
    before = pl.col("equity").shift(1).fill_null(initial_cash)
    return days.with_columns(net=pl.when(before > 0.0).then(pl.col("equity") / before - 1.0))


def rolling_sharpe(days: pl.DataFrame, window: int, days_per_year: float) -> pl.DataFrame:
    """Annualised Sharpe ratio of the last ``window`` days, ``session, sharpe``; null before there are so many.

    Raises
    ------
    StatisticError
        When the window holds fewer than three days.
    """
    if window < 3:
        raise StatisticError(f"window was {window}, at least 3 days are needed", where="rolling_sharpe")
    mean, spread = pl.col("net").rolling_mean(window), pl.col("net").rolling_std(window)
    ratio = pl.when(spread > 1e-14).then(mean / spread * math.sqrt(days_per_year))
    return days.select("session", ratio.alias("sharpe"))


def cost_parts(trades: pl.DataFrame, interest: float) -> pl.DataFrame:
    """Where the result comes from: ``part, money``; the last row is the sum of the others.

    Costs are negative, dividends positive; interest on cash below zero belongs to no trade.
    """
    names = ("commission", "spread", "impact", "funding", "borrow")
    sums = {"price": float(trades["price_pnl"].sum()), "dividends": float(trades["dividends"].sum())}
    sums |= {name: -float(trades[name].sum()) for name in names} | {"margin interest": -interest}
    sums["net"] = math.fsum(sums.values())
    return pl.DataFrame({"part": list(sums), "money": list(sums.values())})
