"""A strategy learnt on the days before each test window and traded in it; what it traded there is kept.

1. The days after ``first_train_share`` are cut into ``folds`` test windows of equal length.
2. Training is everything before the window (anchored) or the last ``rolling_days`` (rolling); only trades that had
   ended an embargo before the window begins count, which purges those that reach into it.
3. Training chooses the side: the strategy's own or, where its template has no levels, the opposite, whichever earned
   more per trade after costs; neither where it earned nothing or there are too few trades. The rule is not fitted.
4. The trades of that side that begin in the window are its result.

Both sides are run once over all data; no run sees a decision of its future, so a trade is the same in every fold.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import polars as pl

from quant_platform.contracts.schemas.backtest import BacktestWalkForward
from quant_platform.market.perp_panel import DAY
from quant_platform.specification.event_backtest import WalkForwardSpec

Scheme = Literal["anchored", "rolling"]
SCHEMES: tuple[Scheme, ...] = ("anchored", "rolling")


@dataclass(frozen=True, eq=False)
class Folds:
    """Rows of ``backtest.walk_forward`` without their key, and the trades out of sample by scheme."""

    rows: pl.DataFrame
    trades: dict[Scheme, pl.DataFrame]


def walk_forward(by_side: dict[int, pl.DataFrame], start: datetime, days: int, spec: WalkForwardSpec) -> Folds:
    """Walk a strategy forward.

    Parameters
    ----------
    by_side
        Side (1, -1) to its trades over all data, with ``entry_bar, exit_bar, net_bps, net_pnl``.
    start, days
        First bar and number of days of the data.
    spec
        Folds, embargo, smallest training.

    Returns
    -------
    Folds
        Trades with their ``fold``; a trade that is open at the end of the data has no result yet and is not among them.
    """
    rows: list[dict[str, object]] = []
    kept: dict[Scheme, list[pl.DataFrame]] = {scheme: [] for scheme in SCHEMES}
    first = int(days * spec.first_train_share)
    edges = np.linspace(first, days, spec.folds + 1).astype(int)
    closed = {side: trades.filter(pl.col("exit_bar").is_not_null()) for side, trades in by_side.items()}
    for scheme in SCHEMES:
        for fold in range(spec.folds):
            begins, ends = start + int(edges[fold]) * DAY, start + int(edges[fold + 1]) * DAY
            train_end = begins - spec.embargo_days * DAY
            train_start = start if scheme == "anchored" else max(start, train_end - spec.rolling_days * DAY)
            learnt = {
                side: trades.filter(pl.col("entry_bar") >= train_start, pl.col("exit_bar") <= train_end)
                for side, trades in closed.items()
            }
            means = {
                side: float(trades["net_bps"].to_numpy().mean())
                for side, trades in learnt.items()
                if trades.height >= spec.min_train_trades
            }
            side = max(means, key=lambda one: means[one]) if means else 0
            if side and means[side] <= 0.0:
                side = 0
            template = next(iter(closed.values()))
            tested = closed[side] if side else template.clear()
            tested = tested.filter(pl.col("entry_bar") >= begins, pl.col("entry_bar") < ends)
            kept[scheme].append(tested.with_columns(pl.lit(fold, pl.Int32).alias("fold")))
            train, test = means.get(side), float(tested["net_bps"].to_numpy().mean()) if tested.height else None
            rows.append(
                {
                    "scheme": scheme,
                    "fold": fold,
                    "train_start": train_start,
                    "train_end": train_end,
                    "test_start": begins,
                    "test_end": ends,
                    "side": side,
                    "n_train": learnt[side].height if side else 0,
                    "train_net_bps": train,
                    "n_test": tested.height,
                    "test_net_bps": test,
                    "test_pnl": float(tested["net_pnl"].sum()),
                    "degradation_bps": train - test if train is not None and test is not None else None,
                }
            )
    schema = {
        name: column.dtype
        for name, column in BacktestWalkForward.columns().items()
        if name not in ("cutoff", "strategy_id")
    }
    return Folds(pl.DataFrame(rows, schema=schema), {scheme: pl.concat(frames) for scheme, frames in kept.items()})


def positive_folds(rows: pl.DataFrame) -> float | None:
    """Share of the anchored folds that earned; a fold that did not trade earned nothing. None where none traded."""
    anchored = rows.filter(pl.col("scheme").cast(pl.String) == "anchored")
    if not int(anchored["n_test"].sum()):
        return None
    return float((anchored["test_pnl"] > 0.0).to_numpy().mean())
