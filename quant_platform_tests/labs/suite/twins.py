"""Slow plain twins of the suite's kernels: loops over dates and names, nothing shared with the code under test."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from quant_platform.labs.suite.panel import Panel


def spearman(signal: np.ndarray, forward: np.ndarray, min_names: int) -> float:
    """Spearman's correlation over complete pairs, by scipy's ranks."""
    keep = np.isfinite(signal) & np.isfinite(forward)
    if keep.sum() < min_names:
        return math.nan
    a, b = stats.rankdata(signal[keep]), stats.rankdata(forward[keep])
    if a.std() == 0 or b.std() == 0:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])


def forward(panel: Panel, horizon: int) -> np.ndarray:
    """Compound return of the following rows, name by name."""
    dates, names = panel.shape
    out = np.full(panel.shape, np.nan)
    for t in range(dates - horizon):
        for i in range(names):
            if not panel.universe[t, i]:
                continue
            window = panel.returns[t + 1 : t + 1 + horizon, i]
            gone = t + horizon > panel.last[i]
            if np.isnan(window[-1]) and not gone:
                continue
            if gone and np.isnan(panel.returns[panel.last[i] + 1, i]):
                continue
            out[t, i] = np.prod([1.0 + r for r in window if not np.isnan(r)]) - 1.0
    return out


def targets(
    values: np.ndarray, panel: Panel, fractile: tuple[float, float], mincos: int, base: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the outer fractiles by numpy's linear quantiles."""
    dates, names = panel.shape
    weights, formed = np.zeros(panel.shape), np.zeros(dates, dtype=bool)
    for t in range(dates):
        have = [i for i in range(names) if panel.universe[t, i] and np.isfinite(values[t, i])]
        if not have:
            continue
        row = values[t, have]
        low, high = np.percentile(row, fractile[0]), np.percentile(row, fractile[1])
        size = {i: 1.0 if base is None else base[t, i] for i in have}
        short = [i for i in have if values[t, i] <= low and size[i] > 0]
        long = [i for i in have if values[t, i] > high and size[i] > 0]
        if len(short) < mincos or len(long) < mincos:
            continue
        formed[t] = True
        for i in long:
            weights[t, i] = size[i] / sum(size[k] for k in long)
        for i in short:
            weights[t, i] = -size[i] / sum(size[k] for k in short)
    return weights, formed


def book(
    weights: np.ndarray,
    formed: np.ndarray,
    panel: Panel,
    returns: np.ndarray,
    *,
    lag: int,
    max_age: int,
    linear_bps: float,
    impact: np.ndarray | None = None,
    capital: float = 1.0,
    end_loss: float = 0.0,
) -> dict[str, np.ndarray]:
    """Carry positions day by day, in dictionaries."""
    dates, names = panel.shape
    out = {name: np.zeros(dates) for name in ("gross", "cost", "traded", "long", "short", "unsaid")}
    held: dict[int, float] = {}
    age = max_age + 1
    for t in range(dates):
        for i in list(held):
            r = returns[t, i]
            if not np.isnan(r):
                out["gross"][t] += held[i] * r
                held[i] *= 1.0 + r
            if t > panel.last[i]:
                if np.isnan(r):
                    out["unsaid"][t] += 1
                    out["cost"][t] += max(0.0, held[i]) * end_loss
                del held[i]
        source = t - lag
        if source >= 0 and formed[source]:
            want, age = {i: weights[source, i] for i in range(names) if weights[source, i] != 0.0}, 0
        else:
            age += 1
            want = {} if age > max_age else dict(held)
        for i in sorted(set(held) | set(want)):
            if not panel.priced[t, i] or t > panel.last[i]:
                continue
            change = abs(want.get(i, 0.0) - held.get(i, 0.0))
            out["traded"][t] += change
            out["cost"][t] += change * linear_bps * 1e-4
            if impact is not None:
                out["cost"][t] += change**1.5 * math.sqrt(capital) * impact[t, i]
            held[i] = want.get(i, 0.0)
            if held[i] == 0.0:
                del held[i]
        out["long"][t] = sum(w for w in held.values() if w > 0)
        out["short"][t] = -sum(w for w in held.values() if w < 0)
    return out


def dummies_residual(values: np.ndarray, codes: np.ndarray, exposures: list[np.ndarray]) -> np.ndarray:
    """One date: least squares on industry dummies and exposures, by numpy's lstsq."""
    out = np.full(values.shape, np.nan)
    keep = np.isfinite(values)
    for x in exposures:
        keep &= np.isfinite(x)
    columns = (
        [(codes[keep] == k).astype(float) for k in np.unique(codes[keep])] if codes.size else [np.ones(keep.sum())]
    )
    columns += [x[keep] for x in exposures]
    design = np.column_stack(columns)
    slope, *_ = np.linalg.lstsq(design, values[keep], rcond=None)
    out[keep] = values[keep] - design @ slope
    return out
