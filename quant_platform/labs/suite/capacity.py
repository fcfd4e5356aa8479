"""How much money a signal carries, and how much cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.labs.suite.backtest import PreparedSignal
from quant_platform.labs.suite.book import Book, run_book
from quant_platform.labs.suite.panel import Panel
from quant_platform.specification.suite import BacktestConfig, SuiteSpec
from quant_platform.statistics.sharpe_interval import sharpe_estimate

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Capacity:
    """Net Sharpe ratio against capital under the impact model.

    Attributes
    ----------
    curve
        ``capital, sharpe_net, ann_return_net, ann_cost``.
    capital
        Where the net Sharpe ratio falls to ``floor``, interpolated in the log of capital; 0 where it is below it from
        the start, infinite where the curve ends above it.
    floor
        That ratio.
    holdings
        Means over sessions: ``names``, ``median_adv``, ``median_market_cap`` of what is held, and the largest share of
        a name's ADV that a position is, ``largest_position_over_adv``, at the config's capital. NaN where unknown.
    """

    curve: pl.DataFrame
    capital: float
    floor: float
    holdings: dict[str, float]


def break_even_bps(book: Book) -> float:
    """One-way cost in bps of traded notional at which the book earns nothing: mean gross over mean traded."""
    traded = float(book.traded[book.first :].mean()) if book.first < book.traded.size else 0.0
    return 1e4 * float(book.gross[book.first :].mean()) / traded if traded > 0.0 else math.nan


def capacity(prepared: PreparedSignal, config: BacktestConfig, spec: SuiteSpec, *, floor: float) -> Capacity:
    """Run a variant under the impact model, once, and read every capital off it.

    Raises
    ------
    NotAvailable
        When no traded values are known.
    """
    bench = prepared.bench
    impact = config.model_copy(update={"tc_model": "impact"})
    book = run_book(
        prepared.targets(impact),
        bench.panel,
        bench.rates(impact),
        lag=impact.lag,
        capital=impact.capital,
        from_open=impact.from_open,
        max_age=spec.max_signal_age_sessions,
        keep_held=True,
    )
    rows = slice(book.first, None)
    per_year = bench.panel.periods_per_year
    lines = []
    for capital in spec.capacity_capitals:
        net = book.net_at(capital)[rows]
        ratio = sharpe_estimate(net).annual(per_year)[0]
        cost = float((book.gross[rows] - net).mean()) * per_year if net.size else math.nan
        lines.append((capital, ratio, float(net.mean()) * per_year if net.size else math.nan, cost))
    schema = dict.fromkeys(("capital", "sharpe_net", "ann_return_net", "ann_cost"), pl.Float64)
    curve = pl.DataFrame(lines, schema=schema, orient="row")
    return Capacity(curve, _crossing(curve, floor), floor, _holdings(book, bench.panel, config.capital))


def _crossing(curve: pl.DataFrame, floor: float) -> float:
    capital, ratio = curve["capital"].to_numpy(), curve["sharpe_net"].to_numpy()
    below = np.flatnonzero(~(ratio > floor))
    if below.size == 0:
        return math.inf
    k = int(below[0])
    if k == 0 or not np.isfinite(ratio[k]):
        return 0.0
    part = (ratio[k - 1] - floor) / (ratio[k - 1] - ratio[k])
    return float(np.exp(np.log(capital[k - 1]) + part * (np.log(capital[k]) - np.log(capital[k - 1]))))


def _holdings(book: Book, panel: Panel, capital: float) -> dict[str, float]:
    held = np.zeros(panel.shape, dtype=np.bool_) if book.held is None else book.held != 0.0
    rows = np.flatnonzero(held.any(axis=1))[::5]
    if book.held is None or rows.size == 0:
        return dict.fromkeys(("names", "median_adv", "median_market_cap", "largest_position_over_adv"), math.nan)
    inside = held[rows]
    adv = np.where(inside, panel.adv[rows], np.nan)
    cap = np.where(inside, panel.market_cap[rows], np.nan) if panel.market_cap is not None else np.full((1, 1), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.abs(book.held[rows]) * capital / adv
    return {
        "names": float(inside.sum(axis=1).mean()),
        "median_adv": float(np.nanmedian(adv)) if np.isfinite(adv).any() else math.nan,
        "median_market_cap": float(np.nanmedian(cap)) if np.isfinite(cap).any() else math.nan,
        "largest_position_over_adv": float(np.nanmax(share)) if np.isfinite(share).any() else math.nan,
    }
