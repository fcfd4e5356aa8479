"""The expression language a second time, in plain pandas: expressions are evaluated as Python over Series.

Nothing of the code under test is used but the texts of the specs. Windows are pandas' own, with 90 % of their values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from quant_platform.specification.event_lab import EventLab

Series = pd.Series


def _clean(x: Any) -> Any:
    return x.replace([np.inf, -np.inf], np.nan) if isinstance(x, Series) and x.dtype != bool else x


def _rolling(x: Series, n: int) -> Any:
    return x.rolling(n, min_periods=n if n < 10 else math.ceil(0.9 * n))


def lag(x: Series, k: int = 1) -> Series:
    return x.shift(k, fill_value=False) if x.dtype == bool else x.shift(k)


def log(x: Any) -> Any:
    return np.log(x.where(x > 0)) if isinstance(x, Series) else math.log(x)


def sqrt(x: Any) -> Any:
    return np.sqrt(x.where(x >= 0)) if isinstance(x, Series) else math.sqrt(x)


def quantile(x: Series, p: float, n: int) -> Series:
    return _rolling(x, n).quantile(p)


def _pair(x: Series, y: Series, n: int) -> tuple[Any, Any]:
    both = x.notna() & y.notna()
    return x.where(both), y.where(both)


def corr(x: Series, y: Series, n: int) -> Series:
    a, b = _pair(x, y, n)
    return _rolling(a, n).corr(b)


def beta(y: Series, x: Series, n: int) -> Series:
    a, b = _pair(x, y, n)
    return _rolling(a, n).cov(b) / _rolling(a, n).var()


def rank(x: Series, n: int) -> Series:
    return _rolling(x, n).rank(pct=True)


def nscore(x: Series, n: int) -> Series:
    count = x.rolling(n, min_periods=1).count()
    return pd.Series(norm.ppf((rank(x, n) * count - 0.5) / count), index=x.index)


def todmed(x: Series, days: int) -> Series:
    table = pd.concat([x.shift(288 * k) for k in range(1, days + 1)], axis=1)
    enough = table.notna().sum(axis=1) >= (days if days < 10 else math.ceil(0.9 * days))
    return table.median(axis=1).where(enough)


def run(c: Series) -> Series:
    return c.groupby((~c).cumsum()).cumsum().astype(float)


def anyn(c: Series, n: int) -> Series:
    return c.astype(float).rolling(n, min_periods=1).max() > 0


def past(x: Series, c: Series, k: int, n: int) -> Series:
    place = pd.Series(np.arange(len(x), dtype=float), index=x.index)
    held = place[c.to_numpy()].to_numpy()
    counts = c.cumsum().shift(1, fill_value=0).to_numpy()
    there = counts >= k
    found = np.where(there, held[np.maximum(counts - k, 0)] if held.size else 0, np.nan)
    values = np.full(len(x), np.nan)
    usable = there & (place.to_numpy() - found <= n)
    values[usable] = x.to_numpy()[found[usable].astype(int)]
    return pd.Series(values, index=x.index)


def where(c: Series, x: Any, y: Any) -> Series:
    return pd.Series(np.where(c, x, y), index=c.index)


WORDS: Mapping[str, Callable[..., Any]] = {
    "lag": lag,
    "d": lambda x, k: x - lag(x, k),
    "dlog": lambda x, k: log(x) - lag(log(x), k),
    "sma": lambda x, n: _rolling(x, n).mean(),
    "sd": lambda x, n: _rolling(x, n).std(),
    "sumn": lambda x, n: _rolling(x, n).sum(),
    "hi": lambda x, n: _rolling(x, n).max(),
    "lo": lambda x, n: _rolling(x, n).min(),
    "phi": lambda x, n: lag(_rolling(x, n).max(), 1),
    "plo": lambda x, n: lag(_rolling(x, n).min(), 1),
    "pmed": lambda x, n: lag(_rolling(x, n).median(), 1),
    "pq": lambda x, p, n: lag(quantile(x, p, n), 1),
    "rz": lambda x, n: (
        (x - lag(_rolling(x, n).median(), 1)) / ((lag(quantile(x, 0.75, n), 1) - lag(quantile(x, 0.25, n), 1)) / 1.349)
    ),
    "rank": rank,
    "nscore": nscore,
    "corr": corr,
    "beta": beta,
    "todmed": todmed,
    "run": run,
    "anyn": anyn,
    "pany": lambda c, n: lag(anyn(c, n), 1),
    "xup": lambda x, t: (x >= t) & (x.shift(1) < t),
    "past": past,
    "where": where,
    "sgn": np.sign,
    "abs": abs,
    "log": log,
    "sqrt": sqrt,
    "max2": lambda x, y: np.maximum(x, y),
    "min2": lambda x, y: np.minimum(x, y),
    "ncdf": lambda x: pd.Series(norm.cdf(x), index=x.index),
}


def evaluate(text: str, names: Mapping[str, Any]) -> Any:
    """Value of an expression; infinite results are missing."""
    joined = text.replace("\n", " ")
    for chained, plain in (
        ("(lo_r<=pull_down<=hi_r)", "((lo_r<=pull_down)&(pull_down<=hi_r))"),
        ("(lo_r<=pull_up<=hi_r)", "((lo_r<=pull_up)&(pull_up<=hi_r))"),
    ):
        joined = joined.replace(chained, plain)
    with np.errstate(all="ignore"):
        return _clean(eval(joined, {"__builtins__": {}}, {**WORDS, **names}))


def features(lab: EventLab, columns: Mapping[str, Series]) -> dict[str, Series]:
    """Every feature, in the order of the file, which names nothing before it is defined."""
    names: dict[str, Any] = dict(columns)
    for name, text in lab.features.definitions.items():
        names[name] = evaluate(text, names)
    for name, feature in lab.features.features.items():
        names[name] = evaluate(feature.expression, names)
    return {name: names[name] for name in lab.features.features}


def accepted(lab: EventLab, event_id: str, names: Mapping[str, Any]) -> tuple[list[int], Series, Series]:
    """Rows of accepted onsets of one event, bar after bar as the rule is told, with direction and intensity."""
    event = lab.events[event_id]
    known = {**names, **event.params, **{k: int(v) for k, v in event.params.items() if float(v).is_integer()}}
    for word, text in event.definitions.items():
        known[word] = evaluate(text, known)
    rows = len(names["close"])
    condition, direction, intensity = (
        pd.Series(np.broadcast_to(evaluate(text, known), rows))
        for text in (event.condition, event.direction, event.intensity)
    )
    holds = (condition & direction.notna() & intensity.notna()).tolist()
    found, last = [], None
    for i, now in enumerate(holds):
        begins = now and (event.onset == "level" or (i > 0 and not holds[i - 1]))
        if begins:
            if last is None or i - last > event.cooldown_bars:
                found.append(i)
            last = i
    return found, np.sign(direction), intensity
