"""The best names by a score, held in equal parts from one rebalance to the next."""

from __future__ import annotations

import numpy as np

from quant_platform.contracts.errors import SpecError
from quant_platform.engine.bars import Bars
from quant_platform.engine.decisions import Weights
from quant_platform.engine.layout import Bools, Floats, Integers
from quant_platform.expressions import Formula
from quant_platform.specification.strategies import TopDecisions
from quant_platform.strategies.panels import evaluate_on_bars


def top(bars: Bars, rule: TopDecisions, members: Bools | None = None) -> Weights:
    """Hold the ``count`` names with the highest score.

    Parameters
    ----------
    bars
        The market.
    rule
        Score, count, rebalances, gross.
    members
        Shape of the bars: who may be held, as known at each bar. None for everybody.

    Returns
    -------
    Weights
        ``gross / count`` for each chosen name, zero for all others; where fewer can be ranked the rest is cash.

    Raises
    ------
    ExpressionError
        The score is not valid.
    SpecError
        The score is a condition, or no rebalance lies within the bars.

    Notes
    -----
    **Timing.** A rebalance is decided with the close of its bar: the first bar of a week or month is known when it is
    there, the last one would need the calendar. **Missing values.** A name without a score or without a close on that
    bar is not ranked. Of equal scores the asset that stands first wins.
    """
    score = evaluate_on_bars(bars, {"score": Formula(rule.score, tuple(rule.params.items()))}, dict(rule.definitions))[
        "score"
    ]
    if score.dtype == np.bool_:
        raise SpecError("a number is needed, and this expression is a condition", where="decisions.score")
    ranked = np.where(np.isnan(bars.close), np.nan, score).astype(np.float64)
    if members is not None:
        if members.shape != bars.shape:
            raise SpecError(f"members of shape {members.shape} for bars of {bars.shape}", where="members")
        ranked[~members] = np.nan
    at = rebalances(bars, rule.rebalance)
    known = (~np.isnan(ranked[at])).any(axis=1)
    if not known.any():
        raise SpecError(
            "the score is known on no rebalance",
            where="decisions.score",
            how_many=f"0 of {at.size} rebalances",
            cause="its windows are longer than the bars, or nobody is a member",
        )
    # Before the first score there is nothing to say; a later rebalance without one closes everything.
    at = at[np.argmax(known) :]
    return Weights(at, _equal_parts(ranked[at], rule.count, rule.gross, rule.lowest))


def rebalances(bars: Bars, every: str | int) -> Integers:
    """Bars that decide: the first of each week or month, or one in so many."""
    if isinstance(every, int):
        return np.arange(0, len(bars.stamps), every)
    unit = {"week": "datetime64[W]", "month": "datetime64[M]"}[every]
    days = bars.stamps.astype("datetime64[ns]")
    if every == "week":
        # Weeks of numpy begin on Thursdays, as 1970 did.
        days = days + np.timedelta64(3, "D")
    period = days.astype(unit).astype(np.int64)
    return np.flatnonzero(np.diff(period, prepend=period[0] - 1) != 0)


def _equal_parts(ranked: Floats, count: int, gross: float, lowest: int) -> Floats:
    weights = np.zeros_like(ranked)
    part = gross / (count + lowest)
    for row, values in enumerate(ranked):
        known = np.flatnonzero(~np.isnan(values))
        best = known[np.argsort(-values[known], kind="stable")]
        chosen = best[:count]
        weights[row, chosen] = part
        rest = best[len(chosen) :]
        if lowest:
            weights[row, rest[::-1][:lowest]] = -part
    return weights
