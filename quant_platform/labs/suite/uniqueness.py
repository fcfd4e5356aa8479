"""What a signal has that the baselines do not: correlations of ranks and profits, and the IC that is left."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.labs.suite.backtest import BacktestResult, PreparedSignal
from quant_platform.labs.suite.ranking import rank_panel, row_blocks, shifted_ic
from quant_platform.statistics.cross_section import cross_sectional_residuals
from quant_platform.statistics.overlap import ewc_test, nonoverlapping_test

Floats = npt.NDArray[np.float64]

CORRELATION_SCHEMA = {
    "baseline": pl.String,
    "signal_correlation": pl.Float64,
    "pnl_correlation": pl.Float64,
    "baseline_sharpe_net": pl.Float64,
    "baseline_ic": pl.Float64,
    "sessions": pl.Int64,
}


@dataclass(frozen=True)
class PartialIC:
    """The IC of what is left of a signal once the baselines are known.

    Attributes
    ----------
    mean, t, p
        Of the daily ICs: the non-overlapping test; NaN where nothing is left to rank.
    t_ewc, p_ewc
        Second opinion.
    ic
        Mean IC of the signal itself over the same dates and names.
    share
        ``mean / ic``; negative where what is left points the other way.
    n
        Dates with both.
    baselines
        What was partialled out.
    """

    mean: float
    t: float
    p: float
    t_ewc: float
    p_ewc: float
    ic: float
    share: float
    n: int
    baselines: tuple[str, ...]


def correlations(
    prepared: PreparedSignal,
    result: BacktestResult,
    baselines: Mapping[str, tuple[PreparedSignal, BacktestResult]],
) -> pl.DataFrame:
    """Mean rank correlation and correlation of net profits with each baseline, over the sessions both have."""
    lines = []
    min_names = prepared.bench.suite.min_names
    ranked = prepared.ranked("off", result.config.from_open)
    for name, (other, other_result) in baselines.items():
        daily = shifted_ic(ranked, other.ranked("off", result.config.from_open), 0, min_names=min_names)
        seen = daily[~np.isnan(daily)]
        first = max(result.book.first, other_result.book.first)
        mine, theirs = result.book.net[first:], other_result.book.net[first:]
        lines.append(
            (
                name,
                float(seen.mean()) if seen.size else math.nan,
                pearson(mine, theirs),
                other_result.overall("sharpe_net"),
                float(other_result.ic["mean"][0]),
                int(mine.size),
            )
        )
    return pl.DataFrame(lines, schema=CORRELATION_SCHEMA, orient="row")


def partial_ic(prepared: PreparedSignal, baselines: Mapping[str, PreparedSignal]) -> PartialIC:
    """IC of the residual of a signal's ranks on the baselines' ranks, date by date.

    Notes
    -----
    Ranks, centred, on both sides: an outlier in a baseline does not decide what is left. A name counts on a date if it
    has every baseline; a baseline that has no value at all is left out. A residual that is zero but for rounding is no
    signal: its IC is NaN, and nothing is left.

    Because ranks are not linear in each other, a monotone function of one baseline has the same ranks and leaves
    nothing; a function of two baselines may leave something.
    """
    bench = prepared.bench
    usable = {name: other for name, other in baselines.items() if int(other.ranked("off").counts.max(initial=0)) > 0}
    nothing = PartialIC(*(math.nan,) * 7, 0, tuple(usable))
    if not usable:
        return nothing
    own, forward = prepared.ranked("off"), bench.panel.next_ranked
    others = [other.ranked("off") for other in usable.values()]
    left, same = np.empty(bench.panel.shape[0]), np.empty(bench.panel.shape[0])
    for rows in row_blocks(*bench.panel.shape):
        values, known = own.rows(rows).centred(), np.stack([other.rows(rows).centred() for other in others])
        residual = cross_sectional_residuals(values[np.newaxis], known, min_names=bench.suite.min_names)[0]
        present = ~np.isnan(residual)
        # Rounding leaves 1e-13 of a rank between -1/2 and 1/2; a real residual is a thousand times that and more.
        ranked = rank_panel(np.where(np.abs(residual) < 1e-9, 0.0, residual))
        returns, min_names = forward.rows(rows), bench.suite.min_names
        left[rows] = shifted_ic(ranked, returns, 0, min_names=min_names)
        same[rows] = shifted_ic(own.rows(rows).among(present), returns, 0, min_names=min_names)
    inside = ~np.isnan(left)
    whole = float(np.nanmean(same)) if np.isfinite(same).any() else math.nan
    if inside.sum() < 2:
        return PartialIC(math.nan, math.nan, math.nan, math.nan, math.nan, whole, 0.0, 0, tuple(usable))
    thinned, cosine = nonoverlapping_test(left, 1), ewc_test(left)
    return PartialIC(
        mean=thinned.mean,
        t=thinned.t,
        p=thinned.p,
        t_ewc=cosine.t,
        p_ewc=cosine.p,
        ic=whole,
        share=thinned.mean / whole if whole else math.nan,
        n=int(inside.sum()),
        baselines=tuple(usable),
    )


def pearson(first: Floats, second: Floats) -> float:
    """Correlation of two complete series; NaN without variation."""
    if first.size < 3 or not (first.std() > 0.0 and second.std() > 0.0):
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])
