"""What becomes of a strategy that is resampled, changed and run again, or looked at state by state."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import numpy as np
import polars as pl

from quant_platform.labs.events.backtest.runs import STATES
from quant_platform.specification.event_backtest import BootstrapSpec
from quant_platform.specification.events import EventSpec
from quant_platform.statistics.bootstrap import stationary_bootstrap_indices
from quant_platform.statistics.checks import Floats

COUNTS = ("bars", "hold", "lookback")
"""Parameters of events that count bars: a tenth of a bar is no threshold."""
Row = dict[str, object]
Change = tuple[str, str, Callable[[], pl.DataFrame | str]]


def summary(kind: str, variant: str, trades: pl.DataFrame, initial_cash: float) -> Row:
    """A run in a row of ``backtest.robustness``; closed trades only.

    The drawdown is of the sums of closed trades, so that runs of other folds and samples compare.
    """
    closed = trades.filter(pl.col("exit_bar").is_not_null()).sort("exit_bar", maintain_order=True)
    money = np.cumsum(closed["net_pnl"].to_numpy())
    equity = initial_cash + np.concatenate([[0.0], money])
    return {
        "kind": kind,
        "variant": variant,
        "n": closed.height,
        "net_bps": float(closed["net_bps"].to_numpy().mean()) if closed.height else None,
        "total_return": float(equity[-1] / initial_cash - 1.0),
        "max_drawdown": float(np.max(1.0 - equity / np.maximum.accumulate(equity))),
    }


def perturbed(changes: Iterable[Change], initial_cash: float) -> list[Row]:
    """Rows of changes: kind, variant, and what makes the trades of the re-run or says why there are none."""
    rows = []
    for kind, variant, rerun in changes:
        found = rerun()
        if isinstance(found, str):
            rows.append({"kind": kind, "variant": variant, "n": 0, "not_available": found})
        else:
            rows.append(summary(kind, variant, found, initial_cash))
    return rows


def bootstrapped(returns: Floats, spec: BootstrapSpec) -> list[Row]:
    """Total return and deepest drawdown of stationary block bootstrap samples of the daily returns.

    References
    ----------
    Politis and Romano (1994), JASA 89:1303-1313.
    """
    known = returns[~np.isnan(returns)]
    if known.size < 2:
        return [{"kind": "bootstrap", "variant": "daily", "n": known.size, "not_available": "fewer than two days"}]
    rng = np.random.default_rng(spec.seed)
    chosen = stationary_bootstrap_indices(known.size, spec.mean_block_days, rng=rng, draws=spec.draws)
    paths = np.cumprod(1.0 + known[chosen], axis=1)
    peaks = np.maximum(np.maximum.accumulate(paths, axis=1), 1.0)
    totals, falls = paths[:, -1] - 1.0, (1.0 - paths / peaks).max(axis=1)
    ends = (0.5 - spec.level / 2.0, 0.5 + spec.level / 2.0)
    return [
        {
            "kind": "bootstrap",
            "variant": name,
            "n": known.size,
            "total_return": float(np.median(values)) if name == "total_return" else None,
            "max_drawdown": float(np.median(values)) if name == "max_drawdown" else None,
            "low": float(np.quantile(values, ends[0])),
            "high": float(np.quantile(values, ends[1])),
        }
        for name, values in (("total_return", totals), ("max_drawdown", falls))
    ]


def by_state(trades: pl.DataFrame, initial_cash: float) -> list[Row]:
    """The whole run by the states of volatility, funding and trend at the event."""
    rows = []
    for name in STATES:
        for (value,), part in sorted(trades.partition_by(name, as_dict=True).items(), key=lambda pair: str(pair[0][0])):
            rows.append(summary("state", f"{name}={value if value is not None else 'not known'}", part, initial_cash))
    return rows


def scaled_thresholds(event: EventSpec, factor: float) -> EventSpec | None:
    """An event with every threshold multiplied; None where it has none.

    Of a quantile (a parameter that stands as the second argument of ``pq`` or ``quantile``) the tail is what is
    multiplied, so that it stays one: 0.99 times 1.1 is 0.989. Parameters that count bars stay.
    """
    texts = " ".join([event.condition, event.direction, event.intensity, *event.definitions.values()])
    changed = {}
    for name, value in event.params.items():
        if name in COUNTS:
            continue
        is_quantile = re.search(rf"\b(?:pq|quantile)\([^;]*?,\s*{re.escape(name)}\s*,", texts) is not None
        if is_quantile:
            changed[name] = 1.0 - (1.0 - value) * factor if value > 0.5 else value * factor
        else:
            changed[name] = value * factor
    if not changed:
        return None
    return event.model_copy(update={"params": {**event.params, **changed}})


def keep_at_random(events: int, dropped_share: float, seed: int) -> np.ndarray:
    """Which events stay when a share of them is dropped; the same seed drops the same."""
    rng = np.random.default_rng([seed, events])
    kept = np.ones(events, dtype=np.bool_)
    kept[rng.choice(events, round(dropped_share * events), replace=False)] = False
    return kept
