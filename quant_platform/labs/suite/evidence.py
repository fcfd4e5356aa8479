"""What a signal says about returns, apart from any portfolio: ICs by horizon and lag, and the fractile table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.labs.suite.kernels import group_mean_rows
from quant_platform.labs.suite.panel import Panel
from quant_platform.labs.suite.ranking import Ranked, shifted_ic, shifted_ics
from quant_platform.specification.suite import SuiteSpec
from quant_platform.statistics.ewc_columns import ewc_tests
from quant_platform.statistics.monotonicity import Monotonicity, monotonicity_test
from quant_platform.statistics.overlap import ewc_test, nonoverlapping_test
from quant_platform.statistics.sharpe_interval import half_life

Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int16]

IC_SCHEMA = {
    "horizon_sessions": pl.Int64,
    "n": pl.Int64,
    "n_independent": pl.Int64,
    "mean": pl.Float64,
    "sd": pl.Float64,
    "icir": pl.Float64,
    "t_nonoverlapping": pl.Float64,
    "p_nonoverlapping": pl.Float64,
    "t_ewc": pl.Float64,
    "p_ewc": pl.Float64,
}


@dataclass(frozen=True)
class Fractiles:
    """Mean returns of the groups of a signal.

    Attributes
    ----------
    table
        ``fractile`` (1 lowest), ``names`` per date, ``mean_bps`` per session with its EWC t and p, ``ann_return``.
    by_date
        ``[T, Q]`` mean return of each group over the session after.
    spread_mean_bps, spread_t, spread_p
        Top less bottom group, not halved, with its EWC test.
    monotonicity
        Test that means rise from group to group.
    trend_t, trend_p
        EWC test of the slope of the group means over the group's number.
    """

    table: pl.DataFrame
    by_date: Floats
    spread_mean_bps: float
    spread_t: float
    spread_p: float
    monotonicity: Monotonicity
    trend_t: float
    trend_p: float


def ic_table(
    ranked: Ranked, panel: Panel, forwards: Mapping[int, Ranked], spec: SuiteSpec, *, lag: int
) -> tuple[pl.DataFrame, Floats]:
    """ICs of a signal by horizon, and the daily series of the first horizon.

    Parameters
    ----------
    ranked
        The signal on the rows on which it can be traded.
    panel
        Its length.
    forwards
        Horizon to the ranks of the compound return of so many rows after each row.
    spec
        Minimum of names.
    lag
        Rows that entry waits.

    Returns
    -------
    tuple
        One line per horizon: mean IC, standard deviation, their ratio, the primary test on non-overlapping windows and
        the EWC test on all; and ``[T]`` the ICs of the first horizon by row.
    """
    lines, first = [], np.full(panel.shape[0], np.nan)
    for place, (horizon, forward) in enumerate(forwards.items()):
        ic = shifted_ic(ranked, forward, lag, min_names=spec.min_names)
        if place == 0:
            first = ic
        thinned = nonoverlapping_test(ic, horizon)
        cosine = ewc_test(ic, overlap=horizon)
        seen = ic[~np.isnan(ic)]
        sd = float(seen.std(ddof=1)) if seen.size > 1 else math.nan
        icir = thinned.mean / sd if sd > 0.0 else math.nan
        lines.append(
            (
                horizon,
                thinned.n,
                thinned.n_independent,
                thinned.mean,
                sd,
                icir,
                thinned.t,
                thinned.p,
                cosine.t,
                cosine.p,
            )
        )
    return pl.DataFrame(lines, schema=IC_SCHEMA, orient="row"), first


def ic_decay(ranked: Ranked, next_return: Ranked, spec: SuiteSpec) -> pl.DataFrame:
    """Mean IC, and its standard error, with the return of the single session 0, 1, 2, ... beyond the first."""
    lines = []
    lags = range(spec.ic_decay_lags + 1)
    for lag, ic in zip(lags, shifted_ics(ranked, next_return, lags, min_names=spec.min_names), strict=True):
        seen = ic[~np.isnan(ic)]
        mean = float(seen.mean()) if seen.size else math.nan
        error = float(seen.std(ddof=1)) / math.sqrt(seen.size) if seen.size > 1 else math.nan
        lines.append((lag, mean, error, int(seen.size)))
    schema = {"lag": pl.Int64, "mean": pl.Float64, "standard_error": pl.Float64, "n": pl.Int64}
    return pl.DataFrame(lines, schema=schema, orient="row")


def decay_half_life(decay: pl.DataFrame) -> float:
    """Half-life of the IC in sessions; NaN where there is no IC whose decay could be measured.

    It is measured only where the IC of the first lags, taken together, is three standard errors from zero.
    """
    means, errors = decay["mean"].to_numpy(), decay["standard_error"].to_numpy()
    head = slice(0, max(1, len(means) // 4))
    if not np.isfinite(means[head]).all():
        return math.nan
    error = math.sqrt(float(np.mean(errors[head] ** 2)) / len(means[head]))
    if not abs(float(means[head].mean())) > 3.0 * error:
        return math.nan
    return half_life(means, decay["lag"].to_numpy())


def rank_autocorrelation(ranked: Ranked, lags: tuple[int, ...], spec: SuiteSpec) -> pl.DataFrame:
    """Mean correlation of the signal's ranks with its ranks some rows later."""
    lines = []
    for lag, found in zip(lags, shifted_ics(ranked, ranked, lags, min_names=spec.min_names), strict=True):
        seen = found[~np.isnan(found)]
        lines.append((lag, float(seen.mean()) if seen.size else math.nan))
    return pl.DataFrame(lines, schema={"lag": pl.Int64, "mean": pl.Float64}, orient="row")


def fractile_groups(ranked: Ranked, spec: SuiteSpec) -> Codes:
    """Return the fractile of each name on each row, 0 lowest, -1 without a signal."""
    return ranked.groups([100.0 * k / spec.fractiles for k in range(1, spec.fractiles)])


def fractile_table(
    groups: Codes, forward: Floats, spec: SuiteSpec, *, lag: int, periods_per_year: int, rng: np.random.Generator
) -> Fractiles:
    """Mean return per group of the signal over the session after it is traded.

    Parameters
    ----------
    groups
        Of :func:`fractile_groups`, on the rows on which the signal can be traded.
    forward
        ``[T, N]`` return of the row after.
    spec, periods_per_year
        Numbers.
    lag
        Rows that entry waits.
    rng
        Of the monotonicity test.

    Notes
    -----
    Groups are formed over every name that has a signal on the row, whether its return will be known or not: nothing
    that comes later decides who is compared.
    """
    count = spec.fractiles
    dates = forward.shape[0]
    means, names = np.full((dates, count), np.nan), np.zeros((dates, count), dtype=np.int64)
    if lag < dates:
        kept = slice(0, dates - lag)
        group_mean_rows(groups[kept], forward[lag:], count, spec.min_names, means[kept], names[kept])
    present = ~np.isnan(means).all(axis=1)
    centred = np.arange(count) - (count - 1) / 2.0
    contrasts = np.column_stack([means, means[:, -1] - means[:, 0], means @ centred / (centred @ centred)])
    tests = ewc_tests(contrasts)
    own = slice(0, count)
    table = pl.DataFrame(
        {
            "fractile": np.arange(1, count + 1),
            "names": names[present].mean(axis=0) if present.any() else np.full(count, np.nan),
            "mean_bps": 1e4 * tests.mean[own],
            "t_ewc": tests.t[own],
            "p_ewc": tests.p[own],
            "ann_return": tests.mean[own] * periods_per_year,
        }
    )
    order = monotonicity_test(means, rng=rng, draws=spec.bootstrap_draws, block_length=spec.bootstrap_block_sessions)
    return Fractiles(
        table=table,
        by_date=means,
        spread_mean_bps=1e4 * float(tests.mean[count]),
        spread_t=float(tests.t[count]),
        spread_p=float(tests.p[count]),
        monotonicity=order,
        trend_t=float(tests.t[count + 1]),
        trend_p=float(tests.p[count + 1]),
    )


def forward_ranks(panel: Panel, spec: SuiteSpec) -> Mapping[int, Ranked]:
    """Ranks of the compound returns of each horizon of the spec; the one-session ranks are shared with the panel."""
    longer = [horizon for horizon in spec.ic_horizons_sessions if horizon != 1]
    found = dict(zip(longer, panel.forward_ranked(longer), strict=True))
    return {horizon: panel.next_ranked if horizon == 1 else found[horizon] for horizon in spec.ic_horizons_sessions}
