"""Capital among promoted strategies, and all of them as one account through the risk layers.

Each gets capital in proportion to one over the volatility of its daily results after training, at most ``max_share``;
what the cap leaves stays in cash. Whenever a position of anything changes, the targets of all strategies pass through
the allocator of the engine with what was granted before as what is held, and the sum over the strategies is traded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from quant_platform.engine.allocator import RiskLimits, allocate
from quant_platform.engine.decisions import Weights
from quant_platform.engine.result import BacktestResult
from quant_platform.labs.events.backtest.market import DAYS_PER_YEAR
from quant_platform.specification.event_backtest import AllocationSpec
from quant_platform.statistics.checks import Floats

LAYERS = ("strategy", "symbol", "portfolio", "new_exposure")


@dataclass(frozen=True, eq=False)
class Composite:
    """Decisions of all strategies together, and what each layer took.

    Attributes
    ----------
    weights
        Signed fractions of equity by symbol; NaN where a moment changes nothing.
    rows
        Rows of ``backtest.allocation`` without their cutoff.
    """

    weights: Weights
    rows: list[dict[str, object]]


def shares(returns: Sequence[Floats], spec: AllocationSpec) -> list[tuple[float, float]]:
    """Share of the capital and annual volatility of each; none for one that did not move or has too few days."""
    volatility = []
    for values in returns:
        known = values[~np.isnan(values)]
        moved = known.size >= spec.min_days and float(known.std(ddof=1)) > 0.0
        volatility.append(float(known.std(ddof=1)) * DAYS_PER_YEAR**0.5 if moved else 0.0)
    inverse = np.array([1.0 / v if v > 0.0 else 0.0 for v in volatility])
    total = inverse.sum()
    parts = np.minimum(inverse / total, spec.max_share) if total > 0.0 else inverse
    return [(float(part), v) for part, v in zip(parts, volatility, strict=True)]


def composite(
    names: Sequence[str],
    results: Sequence[BacktestResult],
    capital: Sequence[tuple[float, float]],
    spec: AllocationSpec,
) -> Composite:
    """Pass the positions of some strategies through the allocator.

    Parameters
    ----------
    names, results
        Strategies and their whole runs, on the same bars.
    capital
        Share and volatility of each.
    spec
        Limits.

    Notes
    -----
    **Timing.** A position that begins or ends at the open of a bar was decided with the close before: the weights stand
    on that close. Its size is the weight that the strategy's own account had at the fill.
    """
    limits = RiskLimits(**spec.limits.model_dump())
    assets = len(results[0].bars.assets)
    moments = sorted({int(bar) for result in results for bar in result.fills["bar"].unique().to_list()})
    wanted = np.zeros((len(results), assets))
    granted = np.zeros_like(wanted)
    asked, given = np.zeros(len(results)), np.zeros(len(results))
    clipped = {layer: np.zeros(len(results), dtype=np.int64) for layer in LAYERS}
    changes = [_targets(result, share) for result, (share, _) in zip(results, capital, strict=True)]
    lines = np.full((len(moments), assets), np.nan)
    for row, bar in enumerate(moments):
        before = granted.sum(axis=0)
        for strategy, own in enumerate(changes):
            for asset, weight in own.get(bar, ()):
                wanted[strategy, asset] = weight
        found = allocate(wanted, granted, limits)
        granted = found.weights
        after = granted.sum(axis=0)
        lines[row] = np.where(after != before, after, np.nan)
        asked += np.abs(wanted).sum(axis=1)
        given += np.abs(granted).sum(axis=1)
        for layer, strategy in found.clips.select("layer", "strategy").iter_rows():
            clipped[layer][strategy] += 1
    at = np.array(moments, dtype=np.int64) - 1
    rows: list[dict[str, object]] = [
        {
            "strategy_id": name,
            "share": share,
            "volatility": volatility or None,
            "rebalances": len(moments),
            **{f"clipped_{layer}": int(clipped[layer][k]) for layer in LAYERS},
            "granted": float(given[k] / asked[k]) if asked[k] > 0.0 else None,
        }
        for k, (name, (share, volatility)) in enumerate(zip(names, capital, strict=True))
    ]
    return Composite(Weights(at[at >= 0], lines[at >= 0]), rows)


def _targets(result: BacktestResult, share: float) -> dict[int, list[tuple[int, float]]]:
    """By bar, the assets whose position changed and the weight it then has in capital."""
    last = result.fills.group_by("bar", "asset", maintain_order=True).agg(
        pl.col("position").last(), pl.col("reference_price").last()
    )
    equity = result.equity["equity"].to_numpy()
    place = {name: column for column, name in enumerate(result.bars.assets)}
    found: dict[int, list[tuple[int, float]]] = {}
    for bar, asset, position, price in last.iter_rows():
        worth = equity[max(bar - 1, 0)]
        weight = share * position * price / worth if worth > 0.0 else 0.0
        found.setdefault(int(bar), []).append((place[asset], float(weight)))
    return found
