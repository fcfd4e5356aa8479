"""Four layers between what strategies want and what they get; reductions always pass.

1. **Strategy**: the gross weight of each strategy stays within its limit.
2. **Symbol**: the gross weight of each symbol over all strategies stays within its limit.
3. **Portfolio**: the gross weight of everything stays within one limit.
4. **New exposure**: what a bar adds to positions that exist, or opens, stays within one limit. Only the adding parts
   are scaled; what a target takes off a position passes in full.

Layers 1 to 3 scale the group that offends in proportion. After layer 4 nothing is larger than after layer 3, so the
limits before it still hold. Volatility targets, drawdown rules and other overlays multiply targets before layer 1, with
what was known at the bar before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.engine.config import BacktestInvalid
from quant_platform.engine.layout import Floats

Layer = Literal["strategy", "symbol", "portfolio", "new_exposure"]


@dataclass(frozen=True)
class RiskLimits:
    """Limits as fractions of equity; infinity for none, zero for ``new_exposure`` halts whatever adds risk."""

    strategy: float = math.inf
    symbol: float = math.inf
    portfolio: float = math.inf
    new_exposure: float = math.inf

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= 0.0:
                raise BacktestInvalid(f"{name} was {value}, at least zero is needed", where=f"RiskLimits.{name}")


@dataclass(frozen=True, eq=False)
class Allocation:
    """What was granted, and what each layer took.

    Attributes
    ----------
    weights
        Shape (strategies, symbols), signed.
    clips
        One row per layer, strategy and symbol whose target it made smaller: ``layer``, ``strategy``, ``symbol``,
        ``before``, ``after``.
    """

    weights: Floats
    clips: pl.DataFrame


def allocate(targets: npt.ArrayLike, actual: npt.ArrayLike, limits: RiskLimits) -> Allocation:
    """Pass target weights through the four layers.

    Parameters
    ----------
    targets
        Shape (strategies, symbols), signed fractions of equity.
    actual
        What is really held, of the same shape.
    limits
        The limits.

    Raises
    ------
    BacktestInvalid
        If the shapes differ or a number is missing.

    Notes
    -----
    No sign is turned, nothing grows beyond its target, the order of the strategies does not matter, and scaling weights
    and limits alike scales the answer.
    """
    wanted, held = np.asarray(targets, dtype=np.float64), np.asarray(actual, dtype=np.float64)
    if wanted.ndim != 2 or wanted.shape != held.shape or not (np.isfinite(wanted).all() and np.isfinite(held).all()):
        raise BacktestInvalid(
            f"targets have shape {wanted.shape}, positions {held.shape}; complete arrays [strategy, symbol] are needed",
            where="allocate",
        )
    clips: list[dict[str, object]] = []
    weights = wanted * _shrink(np.abs(wanted).sum(axis=1, keepdims=True), limits.strategy)
    _log(clips, "strategy", wanted, weights)
    before = weights
    weights = before * _shrink(np.abs(before).sum(axis=0, keepdims=True), limits.symbol)
    _log(clips, "symbol", before, weights)
    before = weights
    weights = before * _shrink(np.abs(before).sum(keepdims=True), limits.portfolio)
    _log(clips, "portfolio", before, weights)
    before = weights
    kept = np.where(before * held > 0.0, np.minimum(np.abs(before), np.abs(held)), 0.0)
    added = np.abs(before) - kept
    weights = np.sign(before) * (kept + added * _shrink(added.sum(keepdims=True), limits.new_exposure))
    _log(clips, "new_exposure", before, weights)
    schema = {"layer": pl.String, "strategy": pl.Int64, "symbol": pl.Int64, "before": pl.Float64, "after": pl.Float64}
    return Allocation(weights, pl.DataFrame(clips, schema=schema))


def _shrink(gross: Floats, limit: float) -> Floats:
    """Factor that brings a gross weight down to its limit, one where it is within."""
    over = gross > limit
    return np.where(over, limit / np.where(over, gross, 1.0), 1.0)


def _log(clips: list[dict[str, object]], layer: Layer, before: Floats, after: Floats) -> None:
    for strategy, symbol in zip(*np.nonzero(np.abs(after) < np.abs(before)), strict=True):
        clips.append(
            {
                "layer": layer,
                "strategy": int(strategy),
                "symbol": int(symbol),
                "before": float(before[strategy, symbol]),
                "after": float(after[strategy, symbol]),
            }
        )
