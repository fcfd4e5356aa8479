"""Figures of a run, each with its annualisation stated, and for the Sharpe ratio its standard error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl

from quant_platform.engine import layout
from quant_platform.engine.config import EngineConfig
from quant_platform.engine.layout import Floats


class Measured(Protocol):
    """What of a run its figures are made from."""

    @property
    def config(self) -> EngineConfig:
        """How it was run."""
        ...

    @property
    def equity(self) -> pl.DataFrame:
        """One row per bar."""
        ...

    @property
    def fills(self) -> pl.DataFrame:
        """One row per fill."""
        ...

    @property
    def trades(self) -> pl.DataFrame:
        """One row per trade."""
        ...

    @property
    def totals(self) -> Mapping[str, float]:
        """Cost parts of the run."""
        ...

    @property
    def exposures(self) -> pl.DataFrame:
        """One row per bar."""
        ...


@dataclass(frozen=True)
class Metrics:
    """Figures of a run. Fractions, not percent; NaN where there is too little to say.

    Attributes
    ----------
    periods_per_year
        Bars a year is taken to have in all annual figures.
    total_return, annual_return
        Growth of equity over the run, and per year, compounded.
    annual_volatility
        Standard deviation of the returns per bar times the root of ``periods_per_year``.
    sharpe, sharpe_error
        Mean over standard deviation of the returns per bar, annualised, without a riskless rate; its standard error
        allows for skewness and fat tails and takes the returns as independent.
    max_drawdown
        Largest fall of equity from its peak, as a fraction of the peak.
    turnover
        Traded value per year over mean equity, buying and selling counted.
    trades, hit_rate, profit_factor, mean_bars_held
        Of closed trades; the profit factor is gains over losses after costs.
    mean_gross, mean_net
        Mean exposure in multiples of equity.
    commission, spread, impact, funding, borrow, interest, dividends
        Money over the run.
    cost_bps
        Commission, spread and impact over the traded value.
    break_even_bps
        What trading might have cost, over the traded value, before nothing was left.

    References
    ----------
    Mertens (2002), "Comments on variance of the IID estimator in Lo (2002)"; Lo (2002), Financial Analysts Journal
    58(4):36-52.
    """

    periods_per_year: float
    total_return: float
    annual_return: float
    annual_volatility: float
    sharpe: float
    sharpe_error: float
    max_drawdown: float
    turnover: float
    trades: int
    hit_rate: float
    profit_factor: float
    mean_bars_held: float
    mean_gross: float
    mean_net: float
    commission: float
    spread: float
    impact: float
    funding: float
    borrow: float
    interest: float
    dividends: float
    cost_bps: float
    break_even_bps: float


def sharpe_with_error(returns: Floats, periods_per_year: float) -> tuple[float, float]:
    """Annual Sharpe ratio and its standard error: ``sqrt((1 - g3 S + (g4 - 1)/4 S^2) / (T - 1))`` per period.

    Fewer than three returns, or returns that never differ, have neither (NaN).
    """
    kept = returns[~np.isnan(returns)]
    if kept.size < 3:
        return math.nan, math.nan
    deviation = float(np.std(kept, ddof=1))
    if not deviation > 1e-14 * max(1.0, float(np.abs(kept).max())):
        return math.nan, math.nan
    sharpe = float(np.mean(kept)) / deviation
    centred = (kept - np.mean(kept)) / float(np.std(kept))
    skewness, kurtosis = float(np.mean(centred**3)), float(np.mean(centred**4))
    variance = (1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe) / (kept.size - 1)
    scale = math.sqrt(periods_per_year)
    return scale * sharpe, scale * math.sqrt(variance)


def measure(result: Measured) -> Metrics:
    """Make the figures of a run."""
    config, frame = result.config, result.equity
    equity = frame["equity"].to_numpy()
    returns = frame["return"].fill_null(math.nan).to_numpy()
    growth = float(equity[-1]) / config.initial_cash
    years = len(equity) / config.periods_per_year
    sharpe, error = sharpe_with_error(returns, config.periods_per_year)
    fills, trades = result.fills, result.trades
    closed = trades.filter(trades["exit_bar"].is_not_null())
    net = closed["net_pnl"].to_numpy()
    gains, losses = float(net[net > 0.0].sum()), float(-net[net < 0.0].sum())
    traded = float((fills["quantity"].abs() * fills["reference_price"]).sum())
    totals = result.totals
    costs = totals["commission"] + totals["spread"] + totals["impact"]
    profit = float(equity[-1]) - config.initial_cash
    exposures = result.exposures
    seen = returns[~np.isnan(returns)]
    return Metrics(
        periods_per_year=config.periods_per_year,
        total_return=growth - 1.0,
        annual_return=growth ** (1.0 / years) - 1.0 if growth > 0.0 else -1.0,
        annual_volatility=float(np.std(seen, ddof=1)) * math.sqrt(config.periods_per_year)
        if seen.size > 1
        else math.nan,
        sharpe=sharpe,
        sharpe_error=error,
        max_drawdown=float(frame["drawdown"].to_numpy().max()),
        turnover=traded / years / float(np.mean(equity)),
        trades=closed.height,
        hit_rate=float((net > 0.0).mean()) if net.size else math.nan,
        profit_factor=gains / losses if losses > 0.0 else math.nan,
        mean_bars_held=float(closed["bars_held"].to_numpy().mean()) if net.size else math.nan,
        mean_gross=float(np.nanmean(exposures["gross"].fill_null(math.nan).to_numpy())),
        mean_net=float(np.nanmean(exposures["net"].fill_null(math.nan).to_numpy())),
        **{name: totals[name] for name in layout.TOTALS},
        cost_bps=1e4 * costs / traded if traded > 0.0 else math.nan,
        break_even_bps=1e4 * (profit + costs) / traded if traded > 0.0 else math.nan,
    )
