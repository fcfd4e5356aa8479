"""Small markets whose truth is known, as panels: returns with industries and a planted edge, or without."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quant_platform.labs.suite.panel import Panel
from quant_platform.labs.suite.sessions import session_clock

CAP_BUCKETS = ("unknown", "small", "mid", "large")


def make_panel(
    seed: int,
    *,
    names: int = 100,
    sessions: int = 600,
    industries: int = 11,
    edge: np.ndarray | None = None,
    holes: bool = False,
) -> Panel:
    """A market of idiosyncratic, industry and market shocks; ``edge[t, i]`` is added to the return of row t."""
    rng = np.random.default_rng(seed)
    clock = session_clock("XNYS")
    start = int(np.searchsorted(clock.days, np.datetime64("2012-01-03")))
    industry = rng.integers(0, industries, names).astype(np.int16)
    market = 0.01 * rng.standard_normal((sessions, 1))
    sector = 0.006 * rng.standard_normal((sessions, industries))
    returns = market + sector[:, industry] + 0.018 * rng.standard_normal((sessions, names))
    if edge is not None:
        returns = returns + edge
    intraday = 0.5
    overnight = rng.standard_normal((sessions, names)) * 0.004
    open_returns = intraday * returns + np.vstack([np.zeros((1, names)), (1 - intraday) * returns[:-1]]) + overnight
    adv = np.exp(rng.normal(np.log(2e7), 1.0, names)) * np.exp(0.05 * rng.standard_normal((sessions, names)))
    cap = np.exp(rng.normal(np.log(3e9), 1.2, names)) * np.cumprod(1 + returns, axis=0)
    order = cap.argsort(axis=1).argsort(axis=1) / names
    bucket = (1 + (order >= 0.5) + (order >= 0.8)).astype(np.int16)
    priced = np.ones((sessions, names), dtype=bool)
    last = np.full(names, sessions)
    if holes:
        late = rng.integers(0, sessions // 3, names // 5)
        for name, row in enumerate(late):
            priced[:row, name] = False
            returns[: row + 1, name] = np.nan
        for name in range(names - names // 10, names):
            last[name] = rng.integers(sessions // 2, sessions - 2)
            priced[last[name] + 1 :, name] = False
            returns[last[name] + 1, name] = -0.3
            returns[last[name] + 2 :, name] = np.nan
        gaps = rng.random((sessions, names)) < 0.003
        gaps[:2] = False
        returns[gaps & priced] = np.nan
        priced &= ~gaps
    exposures = {
        "beta": rng.standard_normal((1, names)) + 0.01 * rng.standard_normal((sessions, names)),
        "size": (np.log(cap) - np.log(cap).mean(axis=1, keepdims=True)) / np.log(cap).std(axis=1, keepdims=True),
    }
    universe = priced.copy()
    return Panel(
        sessions=clock.days[start : start + sessions],
        tickers=tuple(f"N{i:04d}" for i in range(names)),
        returns=returns,
        open_returns=np.where(np.isnan(returns), np.nan, open_returns),
        priced=priced,
        universe=universe,
        last=last,
        adv=adv,
        volatility=np.full((sessions, names), 0.02),
        market_cap=cap,
        cap_bucket=bucket,
        cap_buckets=CAP_BUCKETS,
        industry=np.broadcast_to(industry, (sessions, names)).copy(),
        industries=tuple(f"industry_{k}" for k in range(industries)),
        exposures=exposures,
        clock=clock,
        periods_per_year=252,
        snapshot_id="2020-01-01-SIM-v1",
        simulated=True,
    )


def slow_signal(seed: int, *, names: int, sessions: int, half_life: float = 10.0) -> np.ndarray:
    """A stationary AR(1) score of unit variance per name."""
    rng = np.random.default_rng([seed, 77])
    keep = 0.5 ** (1.0 / half_life)
    score = np.empty((sessions, names))
    score[0] = rng.standard_normal(names)
    for t in range(1, sessions):
        score[t] = keep * score[t - 1] + np.sqrt(1 - keep**2) * rng.standard_normal(names)
    return score


def planted_edge(score: np.ndarray, strength: float) -> np.ndarray:
    """Expected return of row t from the score two rows before: what a trade at the next close can earn."""
    edge = np.zeros_like(score)
    edge[2:] = strength * score[:-2]
    return edge


def without(panel: Panel, what: str, cause: str) -> Panel:
    """The panel, unable to carry something."""
    return replace(panel, not_available={**panel.not_available, what: cause})
