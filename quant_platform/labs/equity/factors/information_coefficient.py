"""Information coefficients of factors, per rebalance and summarised by horizon.

The procedure for one universe:

1. closes and factor values become ``[sessions, names]`` panels (:func:`.panel.panel`);
2. rebalances are the last sessions of the ISO weeks; the cross-section of each is the members on that date;
3. for each horizon the forward return runs from the close one entry lag after the signal
   (:func:`quant_platform.labs.equity.factors.panel.forward_returns`);
4. per rebalance: Spearman IC, the correlation of the rank with the log return, the quantile spread of simple and of log
   returns (:func:`study`);
5. per horizon: mean, dispersion, the t over non-overlapping windows and its second opinion
   (:func:`quant_platform.statistics.summarise_ic`).
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from quant_platform.contracts.tables import table
from quant_platform.labs.equity.factors.panel import (
    Axes,
    Bools,
    Floats,
    ForwardReturns,
    Longs,
    axes_of,
    forward_returns,
    panel,
    rebalances_per_window,
    week_last_rows,
)
from quant_platform.market.universe import membership
from quant_platform.specification.factors import FactorSpec
from quant_platform.statistics import percentile_rank, quantile_spread, rank_ic, summarise_ic

TABLE = "factors.information_coefficient"


@dataclass(frozen=True)
class Market:
    """What every factor of a universe is judged against.

    Attributes
    ----------
    axes
        Sessions and names of the panels.
    rows
        ``[R]`` positions of the rebalances.
    member
        ``[R, N]`` True where the name belonged to the universe on the rebalance date.
    forward
        Horizon in sessions to the forward returns ``[R, N]``.
    """

    axes: Axes
    rows: Longs
    member: Bools
    forward: Mapping[int, ForwardReturns]


def market(
    axes: Axes, close: Floats, member: Bools, *, ended: Bools, delisting_return: Floats, spec: FactorSpec
) -> Market:
    """Prepare the forward returns of all horizons once for all factors.

    Parameters
    ----------
    axes
        Sessions and names.
    close
        ``[T, N]`` adjusted closes.
    member
        ``[T, N]`` True where the name belonged to the universe on the session.
    ended, delisting_return
        ``[N]``, see :func:`quant_platform.labs.equity.factors.panel.forward_returns`.
    spec
        Horizons and entry lag.
    """
    rows = week_last_rows(axes.sessions)
    forward = {
        horizon: forward_returns(
            close,
            rows,
            horizon_sessions=horizon,
            entry_lag_sessions=spec.entry_lag_sessions,
            ended=ended,
            delisting_return=delisting_return,
            unknown_delisting_return=(
                math.nan if spec.unknown_delisting_return is None else spec.unknown_delisting_return
            ),
        )
        for horizon in spec.horizons
    }
    return Market(axes, rows, member[rows], forward)


def study(factor: str, signal: Floats, against: Market, spec: FactorSpec, rng: np.random.Generator) -> pl.DataFrame:
    """Judge one factor at every horizon.

    Parameters
    ----------
    factor
        Name of the factor.
    signal
        ``[T, N]`` values known at the close of each session; NaN where unknown.
    against
        From :func:`market`.
    spec
        Thresholds.
    rng
        For the block bootstrap of the spread; seed it from the factor's name and the spec hash.

    Returns
    -------
    polars.DataFrame
        Rows of ``factors.information_coefficient``: one per rebalance at the headline horizon, a summary per horizon.

    Notes
    -----
    **Timing.** ``date_sig`` is the session the signal has seen; its return starts ``entry_lag_sessions`` later.
    **Missing values.** A name counts on a date when it is a member, has a signal and a known forward return. A date
    with fewer than ``min_names`` has no IC, and leaves a gap in the series instead of being skipped over.
    """
    values = signal[against.rows]
    parts = []
    for horizon in spec.horizons:
        returns = against.forward[horizon]
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log1p(returns.simple)
        logs[~np.isfinite(logs)] = np.nan
        valid = against.member & ~np.isnan(values) & ~np.isnan(returns.simple)
        names = valid.sum(axis=1).astype(np.float64)
        delisted = (valid & returns.ended).sum(axis=1).astype(np.float64)
        unknown_ends = (against.member & ~np.isnan(values) & returns.untold).sum(axis=1).astype(np.float64)
        ic = rank_ic(values, returns.simple, against.member, min_names=spec.min_names)
        ic_log = row_correlation(percentile_rank(np.where(valid, values, np.nan), valid), logs, spec.min_names)
        options = {"quantiles": spec.quantiles, "min_names": spec.min_names}
        spread = quantile_spread(values, returns.simple, against.member, **options)
        log_spread = quantile_spread(values, logs, against.member, **options)
        dates = [against.axes.sessions[row] for row in against.rows]
        used = ~np.isnan(ic)
        if horizon == spec.horizon_sessions:
            parts.append(
                pl.DataFrame(
                    {
                        "factor": factor,
                        "kind": "rebalance",
                        "horizon_sessions": horizon,
                        "date_sig": dates,
                        "n_names": names,
                        "n_delisted": delisted,
                        "n_unknown_end": unknown_ends,
                        "ic": ic,
                        "ic_log": ic_log,
                        "spread": spread,
                        "log_spread": log_spread,
                    }
                ).filter(pl.Series(used))
            )
        if not used.any():
            continue
        found = summarise_ic(
            ic,
            spread,
            rebalances_per_window(against.rows, horizon),
            rng=rng,
            min_independent=spec.min_independent_windows,
            max_half_width=spec.max_half_width,
            min_for_error=spec.min_windows_for_error,
            draws=spec.bootstrap_draws,
            level=spec.confidence,
        )
        parts.append(
            pl.DataFrame(
                {
                    "factor": factor,
                    "kind": "summary",
                    "horizon_sessions": horizon,
                    "date_sig": [max(day for day, known in zip(dates, used, strict=True) if known)],
                    "n_names": names[used].mean(),
                    "n_delisted": delisted[used].sum(),
                    "n_unknown_end": unknown_ends[used].sum(),
                    "ic": found.mean,
                    "ic_log": float(np.nanmean(ic_log[used])),
                    "spread": found.spread_mean,
                    "log_spread": float(np.nanmean(log_spread[used])),
                    "n_weeks": found.n,
                    "n_independent": found.n_independent,
                    "ic_sd": found.sd,
                    "icir": found.icir,
                    "t_nonoverlapping": found.t_nonoverlapping,
                    "p_nonoverlapping": found.p_nonoverlapping,
                    "t_ewc": found.t_ewc,
                    "p_ewc": found.p_ewc,
                    "spread_low": found.spread_low,
                    "spread_high": found.spread_high,
                    "t_blocks": found.t_blocks,
                    "p_blocks": found.p_blocks,
                    "half_width": found.half_width,
                    "reliable": found.reliable,
                    "unreliable_because": found.why_thin or None,
                    "precise": found.precise,
                    "imprecise_because": found.why_imprecise or None,
                }
            )
        )
    return conform(pl.concat(parts, how="diagonal_relaxed"))


def row_correlation(left: Floats, right: Floats, min_names: int) -> Floats:
    """Pearson correlation of two ``[R, N]`` panels row by row over the pairs that are both known."""
    both = ~np.isnan(left) & ~np.isnan(right)
    counts = both.sum(axis=1)
    enough = counts >= min_names
    scale = np.where(enough, np.maximum(counts, 1), 1)
    x, y = np.where(both, left, 0.0), np.where(both, right, 0.0)
    x = np.where(both, x - (x.sum(axis=1) / scale)[:, None], 0.0)
    y = np.where(both, y - (y.sum(axis=1) / scale)[:, None], 0.0)
    norm = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    result: Floats = np.divide((x * y).sum(axis=1), norm, out=np.full(counts.size, math.nan), where=enough & (norm > 0))
    return result


def conform(frame: pl.DataFrame) -> pl.DataFrame:
    """Give a frame the columns and types of the table, NaN as null: a statistic that does not exist is not a number."""
    columns = table(TABLE).schema.columns()
    known = [name for name in columns if name in frame.columns]
    absent = [pl.lit(None).alias(name) for name in columns if name not in frame.columns]
    cast = frame.select(*known).with_columns(*absent).select(list(columns))
    typed = cast.cast({name: column.dtype for name, column in columns.items()})
    return typed.with_columns(pl.col(pl.Float64).fill_nan(None))


def study_universe(
    factors: Sequence[str],
    *,
    features: pl.DataFrame,
    bars: pl.DataFrame,
    actions: pl.DataFrame,
    securities: pl.DataFrame,
    universe: str,
    spec: FactorSpec,
    spec_hash: str,
) -> pl.DataFrame:
    """Judge several factors of one universe against the same forward returns.

    Parameters
    ----------
    factors
        Columns of ``features``.
    features
        Ticker, session and the factors.
    bars
        Ticker, session and the adjusted close.
    actions
        ``raw.corporate_actions``, for the delistings and their returns.
    securities
        ``raw.securities``, for the point-in-time membership.
    universe
        Name of the universe.
    spec, spec_hash
        Thresholds, and the hash that seeds the bootstrap together with the factor's name.

    Notes
    -----
    A name counts as delisted when an action says so, or when its bars end more than ``spec.ended_after_sessions``
    before the market's: vendors often lack the action, and calling such a name a hole would drop the losers.
    """
    axes = axes_of(bars)
    close = panel(bars, "close", axes)
    ends = actions.filter(pl.col("kind").cast(pl.String) == "delisting").select("ticker", "ex_date", "value")
    delistings = {ticker: value for ticker, _, value in ends.iter_rows()}
    # Bars after a delisting are those of another company under the same ticker; the first one's life has ended.
    for ticker, ex_date, _ in ends.iter_rows():
        if ticker in axes.tickers:
            close[bisect_right(axes.sessions, ex_date) :, axes.tickers.index(ticker)] = np.nan
    seen = ~np.isnan(close)
    last = close.shape[0] - 1 - seen[::-1].argmax(axis=0)
    stopped = seen.any(axis=0) & (last < close.shape[0] - spec.ended_after_sessions)
    told = np.array([ticker in delistings for ticker in axes.tickers])
    against = market(
        axes,
        close,
        membership(securities, universe, np.array(axes.sessions, dtype="datetime64[D]"), axes.tickers),
        ended=told | stopped,
        delisting_return=np.array([delistings.get(ticker, math.nan) for ticker in axes.tickers]),
        spec=spec,
    )
    parts = []
    for factor in factors:
        seed = int.from_bytes(hashlib.sha256(f"{TABLE}|{factor}|{spec_hash}".encode()).digest()[:8], "big")
        parts.append(study(factor, panel(features, factor, axes), against, spec, np.random.default_rng(seed)))
    return pl.concat(parts)
