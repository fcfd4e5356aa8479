"""Probability of backtest overfitting: how often the best in sample is below the median out of sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.errors import StatisticError
from quant_platform.statistics.checks import Floats, kernel_array


@dataclass(frozen=True)
class Overfitting:
    """Result of combinatorially symmetric cross-validation (CSCV).

    Attributes
    ----------
    probability
        Share of splits in which the in-sample winner is at or below the median out of sample (``logit <= 0``).
    logits
        ``[C(S, S/2)]`` ``ln(w / (1 - w))``, w the winner's relative rank out of sample.
    n_variants, n_blocks
        What was compared.
    """

    probability: float
    logits: Floats
    n_variants: int
    n_blocks: int


def backtest_overfitting(
    returns: npt.ArrayLike, *, blocks: int = 16, metric: Literal["sharpe", "mean"] = "sharpe"
) -> Overfitting:
    """Probability that choosing the best variant in sample picks one that is below the median out of sample.

    Parameters
    ----------
    returns
        ``[T, N]`` return per period and variant, complete; at least two variants. Rows beyond a multiple of ``blocks``
        are left out at the start.
    blocks
        ``S``, even; every half of the blocks is once in sample.
    metric
        What is compared: Sharpe ratio or mean.

    Returns
    -------
    Overfitting
        With NaN and no logits for fewer than two variants.

    Notes
    -----
    Variants that are nearly the same have ranks that are noise: read the probability beside the spread of the variants.
    Of variants that tie out of sample the winner has the highest rank.

    References
    ----------
    Bailey, Borwein, Lopez de Prado and Zhu (2017), Journal of Computational Finance 20(4):39-69.
    """
    panel = kernel_array(returns)
    if panel.ndim != 2:
        raise StatisticError(f"returns has {panel.ndim} dimensions, [period, variant] is needed", where="returns")
    if blocks < 2 or blocks % 2:
        raise StatisticError(f"blocks was {blocks}, an even number is needed", where="blocks")
    if not np.isfinite(panel).all():
        raise StatisticError(
            "returns hold missing values", where="returns", action="pass the periods that all variants have"
        )
    length = panel.shape[0] // blocks
    variants = panel.shape[1]
    if length < 1:
        raise StatisticError(f"{panel.shape[0]} periods do not make {blocks} blocks", where="returns")
    if variants < 2:
        return Overfitting(math.nan, np.empty(0), variants, blocks)
    kept = panel[panel.shape[0] - length * blocks :].reshape(blocks, length, variants)
    total, squares = kept.sum(axis=1), (kept * kept).sum(axis=1)
    chosen = np.zeros((math.comb(blocks, blocks // 2), blocks))
    for row, half in enumerate(combinations(range(blocks), blocks // 2)):
        chosen[row, list(half)] = 1.0
    periods = length * blocks // 2
    inside = _metric(chosen @ total, chosen @ squares, periods, metric)
    outside = _metric((1.0 - chosen) @ total, (1.0 - chosen) @ squares, periods, metric)
    best = inside.argmax(axis=1)
    mine = outside[np.arange(best.size), best][:, np.newaxis]
    rank = (outside <= mine).sum(axis=1)
    relative = rank / (variants + 1.0)
    logits = np.log(relative / (1.0 - relative))
    return Overfitting(float((logits <= 1e-12).mean()), logits, variants, blocks)


def _metric(total: Floats, squares: Floats, periods: int, metric: str) -> Floats:
    mean: Floats = total / periods
    if metric == "mean":
        return mean
    variance = np.maximum(squares / periods - mean * mean, 0.0)
    return np.divide(mean, np.sqrt(variance), out=np.zeros_like(mean), where=variance > 1e-30)
