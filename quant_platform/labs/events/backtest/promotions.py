"""Which strategies are promoted, with every reason against.

Ratios are of daily returns on days after the training segment. Strategies are looked at in the order of their deflated
Sharpe ratio, the best first; one that moves with one promoted before is refused. A refused cell is never promoted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from quant_platform.engine.metrics import sharpe_with_error
from quant_platform.labs.events.backtest.market import DAYS_PER_YEAR
from quant_platform.specification.event_backtest import PromotionSpec
from quant_platform.statistics.checks import Floats
from quant_platform.statistics.sharpe import deflated_sharpe, probabilistic_sharpe

SMALLEST_DEVIATION = 1e-12


@dataclass(frozen=True, eq=False)
class Evidence:
    """What promotion looks at.

    Attributes
    ----------
    strategy_id, status
        Whose.
    returns
        Daily returns after training, on the days that all strategies share; NaN where there is none.
    n_trades
        Closed trades of the whole run.
    trades
        Trades of the whole run, for the regimes.
    positive_folds
        Share of anchored folds that earned; None where none traded.
    accepted
        Checks of the market that refused, with the reason.
    max_drawdown, total_return
        Of the whole run.
    """

    strategy_id: str
    status: str
    returns: Floats
    n_trades: int
    trades: pl.DataFrame
    positive_folds: float | None
    refused_checks: tuple[str, ...]
    max_drawdown: float
    total_return: float


@dataclass(frozen=True)
class Ratios:
    """Sharpe ratios of daily returns; NaN where there are too few days or nothing moved."""

    sharpe: float
    error: float
    psr: float
    dsr: float
    n_days: int


def ratios(returns: Floats, n_trials: int, trial_variance: float) -> Ratios:
    """Annual Sharpe ratio with its error, and the probabilities that the true one is above zero, and above luck."""
    known = returns[~np.isnan(returns)]
    sharpe, error = sharpe_with_error(known, DAYS_PER_YEAR)
    if math.isnan(sharpe):
        return Ratios(math.nan, math.nan, math.nan, math.nan, known.size)
    centred = (known - known.mean()) / known.std()
    skewness, kurtosis = float(np.mean(centred**3)), float(np.mean(centred**4))
    daily = sharpe / math.sqrt(DAYS_PER_YEAR)
    psr = probabilistic_sharpe(daily, known.size, skewness=skewness, kurtosis=kurtosis)
    deflated = deflated_sharpe(
        daily,
        known.size,
        n_trials=max(1, n_trials),
        trial_variance=trial_variance,
        skewness=skewness,
        kurtosis=kurtosis,
    )
    return Ratios(sharpe, error, psr, deflated.probability, known.size)


def promote(found: Sequence[Evidence], n_trials: int, spec: PromotionSpec) -> list[dict[str, object]]:
    """Rows of ``backtest.promotions`` without their cutoff.

    Parameters
    ----------
    found
        Every strategy that was run.
    n_trials
        Cells that discovery looked at on these days: what the best of was chosen from.
    spec
        Thresholds.

    Notes
    -----
    The variance of worthless trials is that of a Sharpe ratio per day without an edge, ``1 / (T - 1)``: of the many
    cells only the few that are run have a ratio to take a variance of.
    """
    judged = []
    for one in found:
        days = int((~np.isnan(one.returns)).sum())
        judged.append((one, ratios(one.returns, n_trials, 1.0 / max(1, days - 1))))
    judged.sort(key=lambda pair: (-(pair[1].dsr if not math.isnan(pair[1].dsr) else -1.0), pair[0].strategy_id))
    promoted: list[Evidence] = []
    rows = []
    for one, measured in judged:
        correlation = max((correlated(one.returns, other.returns) for other in promoted), default=math.nan)
        share = regime_share(one.trades)
        reasons = _against(one, measured, correlation, share, spec)
        if not reasons:
            promoted.append(one)
        rows.append(
            {
                "strategy_id": one.strategy_id,
                "status": one.status,
                "was_run": True,
                "n_trades": one.n_trades,
                "n_days": measured.n_days,
                "sharpe": _none(measured.sharpe),
                "sharpe_error": _none(measured.error),
                "psr": _none(measured.psr),
                "dsr": _none(measured.dsr),
                "n_trials": n_trials,
                "largest_correlation": _none(correlation),
                "regime_share": _none(share),
                "positive_folds": one.positive_folds,
                "max_drawdown": one.max_drawdown,
                "total_return": one.total_return,
                "promoted": not reasons,
                "reasons": reasons,
            }
        )
    return rows


def correlated(first: Floats, second: Floats) -> float:
    """Correlation on the days that both have; NaN where one of them does not move."""
    both = ~np.isnan(first) & ~np.isnan(second)
    a, b = first[both], second[both]
    if a.size < 3 or min(float(np.std(a)), float(np.std(b))) < SMALLEST_DEVIATION:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])


def regime_share(trades: pl.DataFrame) -> float:
    """Largest share of the net result from one volatility regime; NaN where the whole did not earn.

    More than one where the other regimes lost.
    """
    total = float(trades["net_pnl"].sum())
    if total <= 0.0:
        return math.nan
    parts = trades.group_by(pl.col("vol_regime").fill_null("not known")).agg(pl.col("net_pnl").sum())
    return float(parts["net_pnl"].to_numpy().max()) / total


def _against(one: Evidence, measured: Ratios, correlation: float, share: float, spec: PromotionSpec) -> list[str]:
    reasons = []
    if one.status == "refused":
        reasons.append("discovery refused the cell")
    if one.n_trades < spec.min_trades:
        reasons.append(f"{one.n_trades} trades, {spec.min_trades} are needed")
    asked: Mapping[str, tuple[float, float]] = {
        "probabilistic Sharpe ratio": (measured.psr, spec.min_psr),
        "deflated Sharpe ratio": (measured.dsr, spec.min_dsr),
    }
    for name, (value, least) in asked.items():
        if math.isnan(value):
            reasons.append(f"{name} not known: too few days, or nothing moved")
        elif value < least:
            reasons.append(f"{name} {value:.3f}, {least:.2f} is needed")
    if correlation > spec.max_pnl_correlation:
        reasons.append(
            f"correlation {correlation:.2f} with one promoted before, {spec.max_pnl_correlation:.2f} at most"
        )
    if math.isnan(share):
        reasons.append("nothing was earned over the whole run")
    elif share > spec.max_regime_share:
        reasons.append(f"{share:.0%} of the result from one volatility regime, {spec.max_regime_share:.0%} at most")
    if one.positive_folds is None:
        reasons.append("no fold of the walk-forward traded")
    elif one.positive_folds < spec.min_positive_folds:
        reasons.append(f"{one.positive_folds:.0%} of the folds earned, {spec.min_positive_folds:.0%} are needed")
    reasons += [f"market refused: {text}" for text in one.refused_checks]
    return reasons


def _none(value: float) -> float | None:
    return None if math.isnan(value) else value
