"""The market the benchmarks run on: seeded, with late listings and delistings, no oracle needed."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SESSIONS = 1260
NAMES = 500
SEED = 20260102


def weekdays(count: int, start: date = date(2018, 1, 1)) -> list[date]:
    """The first ``count`` weekdays from a date: enough like sessions for a timing."""
    days = (start + timedelta(days=k) for k in range(2 * count))
    return [day for day in days if day.weekday() < 5][:count]


def closes(sessions: int = SESSIONS, names: int = NAMES, *, complete: bool = True, seed: int = SEED) -> Floats:
    """``[sessions, names]`` closes of a one-factor market with Student t(5) shocks.

    With ``complete`` every name lives throughout, so that libraries which treat delistings differently do the same work
    and must agree; without it 5 % are delisted and 20 % are listed late.
    """
    rng = np.random.default_rng(seed)
    market = 0.008 * rng.standard_t(5, sessions)
    own = 0.018 * rng.standard_t(5, (sessions, names))
    panel: Floats = 50.0 * np.exp(np.cumsum(market[:, None] + own - 0.0003, axis=0))
    if not complete:
        late, dead = names // 5, names // 20
        for name in range(late):
            panel[: rng.integers(20, sessions // 2), name] = np.nan
        for name in range(late, late + dead):
            panel[rng.integers(sessions // 2, sessions - 1) :, name] = np.nan
    return panel


def ohlcv(close: Floats, seed: int = SEED) -> dict[str, Floats]:
    """Open, high, low and volume around some closes, consistent bar by bar."""
    rng = np.random.default_rng(seed + 1)
    previous = np.vstack([close[:1], close[:-1]])
    opened = previous * np.exp(0.004 * rng.standard_normal(close.shape))
    reach = np.abs(rng.standard_normal((2, *close.shape))) * 0.008
    high = np.maximum(opened, close) * np.exp(reach[0])
    low = np.minimum(opened, close) * np.exp(-reach[1])
    return {"open": opened, "high": high, "low": low, "volume": rng.lognormal(13, 0.5, close.shape)}
