"""The slow twin of the replay: every week from a frame cut at that week, in plain Python, from the definitions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import norm

from quant_platform.specification.activation import ActivationSpec, HighConviction
from quant_platform.specification.replay import CalibrationSpec, IntervalSpec, ReplaySpec
from quant_platform.specification.setups import ConfidenceWeights, SetupSpec


def setup_spec(**changes: Any) -> SetupSpec:
    weights = ConfidenceWeights(
        touches=0.4,
        recency=0.4,
        volume=0.2,
        touches_full=3,
        recency_half_life_bars=20.0,
        relative_volume_full=2.0,
    )
    base: dict[str, Any] = {
        "pivot_bars": 2,
        "lookback_bars": 60,
        "minimum_history_bars": 25,
        "atr_window_bars": 14,
        "cluster_atr": 0.5,
        "stop_buffer_atr": 0.25,
        "minimum_rr": 0.0,
        "minimum_stop_atr": 0.0,
        "volatility_window_bars": 20,
        "volume_window_bars": 20,
        "confidence": weights,
    }
    return SetupSpec(**{**base, **changes})


def replay_spec(**changes: Any) -> ReplaySpec:
    base: dict[str, Any] = {
        "entry": "next_open",
        "horizon_sessions": 30,
        "cost_bps": 10.0,
        "delisted_after_sessions": 5,
        "unknown_delisting_loss": 0.0,
        "interval": IntervalSpec(minimum_weeks=24),
        "calibration": CalibrationSpec(bins=5, minimum_train_weeks=20, folds=3),
    }
    return ReplaySpec(**{**base, **changes})


def activation_spec(**changes: Any) -> ActivationSpec:
    base: dict[str, Any] = {
        "min_rr": 1.2,
        "min_confidence": 55.0,
        "min_momentum_percentile": 80.0,
        "high_conviction": HighConviction(min_rr=2.0, min_confidence=70.0),
    }
    return ActivationSpec(**{**base, **changes})


def weekdays(start: date, n: int) -> list[date]:
    days, day = [], start
    while len(days) < n:
        if day.weekday() < 5:
            days.append(day)
        day += timedelta(days=1)
    return days


def week_ends(sessions: Sequence[date]) -> list[date]:
    """Last session of every ISO week that reaches its Friday."""
    last = {day.isocalendar()[:2]: day for day in sessions}
    return [day for day in last.values() if day.weekday() == 4]


def random_bars(
    seed: int,
    n: int = 250,
    *,
    start: date = date(2020, 1, 6),
    volatility: float = 0.02,
    missing: float = 0.0,
    grid: float | None = None,
    ticker: str = "AAA",
    steps: int = 8,
) -> pl.DataFrame:
    """A driftless price with ``steps`` steps within the session; ``grid`` rounds prices, so that ties occur."""
    rng = np.random.default_rng(seed)
    path = 50.0 * np.cumprod(1.0 + volatility / math.sqrt(steps + 1) * rng.standard_normal((n, steps + 1)).ravel())
    session = path.reshape(n, steps + 1)
    prices = {"open": session[:, 0], "high": session.max(1), "low": session.min(1), "close": session[:, -1]}
    if grid is not None:
        prices = {name: np.maximum(np.round(values / grid) * grid, grid) for name, values in prices.items()}
    volume = rng.lognormal(10.0, 0.5, n)
    gone = rng.random(n) < missing
    frame = {name: np.where(gone, np.nan, values) for name, values in {**prices, "volume": volume}.items()}
    return pl.DataFrame({"ticker": [ticker] * n, "session": weekdays(start, n), **frame})


def pivots(bars: Sequence[dict[str, Any]], k: int) -> list[tuple[float, int]]:
    """Price and bar of every pivot that the bars confirm."""
    found = []
    for j in range(k, len(bars) - k):
        left, right = range(j - k, j), range(j + 1, j + k + 1)
        high, low = bars[j]["high"], bars[j]["low"]
        if all(bars[i]["high"] < high for i in left) and all(bars[i]["high"] <= high for i in right):
            found.append((high, j))
        if all(bars[i]["low"] > low for i in left) and all(bars[i]["low"] >= low for i in right):
            found.append((low, j))
    return found


@dataclass
class TwinLevel:
    price: float
    touches: int
    last: int
    volumes: list[float]


def levels(away: list[tuple[float, int]], width: float, volume_of: dict[int, float]) -> list[TwinLevel]:
    """Levels from pivots that are ordered by distance from the close."""
    result, rest = [], list(away)
    while rest:
        members = []
        first = rest[0][0]
        while rest and abs(rest[0][0] - first) <= width:
            members.append(rest.pop(0))
        known = [volume_of[bar] for _, bar in members if not math.isnan(volume_of[bar])]
        result.append(
            TwinLevel(
                sum(price for price, _ in members) / len(members),
                len(members),
                max(bar for _, bar in members),
                known,
            )
        )
    return result


def probabilities(stop: float, target: float, volatility: float, horizon: int) -> tuple[float, float]:
    """Images for a short, eigenfunctions for a long horizon, both with far more terms than needed."""
    length, spread = stop + target, volatility * math.sqrt(horizon)
    if spread < 0.6 * length:

        def first(distance: float) -> float:
            return sum(
                2 * norm.sf((2 * k * length + distance) / spread)
                - 2 * norm.sf((2 * (k + 1) * length - distance) / spread)
                for k in range(12)
            )

        return first(target), first(stop)

    def tail(distance_to_other: float) -> float:
        return distance_to_other / length + sum(
            2 / (n * math.pi) * (-1) ** n * math.sin(n * math.pi * distance_to_other / length)
            * math.exp(-0.5 * (n * math.pi * spread / length) ** 2)
            for n in range(1, 40)
        )  # fmt: skip

    return tail(stop), tail(target)


def strength(level: TwinLevel, t: int, spec: SetupSpec) -> float:
    w = spec.confidence
    known = w.touches * min(1.0, level.touches / w.touches_full)
    known += w.recency * 0.5 ** ((t - level.last) / w.recency_half_life_bars)
    if not level.volumes:
        return known / (w.touches + w.recency)
    return known + w.volume * min(1.0, sum(level.volumes) / len(level.volumes) / w.relative_volume_full)


def relative_volume(bars: Sequence[dict[str, Any]], j: int, window: int) -> float:
    seen = [bar["volume"] for bar in bars[max(0, j - window + 1) : j + 1] if not math.isnan(bar["volume"])]
    if not seen or sum(seen) <= 0 or math.isnan(bars[j]["volume"]):
        return math.nan
    return float(bars[j]["volume"] / (sum(seen) / len(seen)))


def setups_on_cut_frame(frame: pl.DataFrame, day: date, spec: SetupSpec, horizon: int) -> list[dict[str, Any]]:
    """Setups of the last bar of a frame that ends on ``day``."""
    assert frame["session"].max() == day
    bars = frame.filter(pl.col("close").is_not_nan()).to_dicts()
    if not bars or bars[-1]["session"] != day or len(bars) < spec.minimum_history_bars:
        return []
    t, close = len(bars) - 1, bars[-1]["close"]
    ranges = [
        max(b["high"], a["close"]) - min(b["low"], a["close"])
        for a, b in zip(bars[-spec.atr_window_bars - 1 : -1], bars[-spec.atr_window_bars :], strict=True)
    ]
    atr = sum(ranges) / len(ranges)
    window = spec.volatility_window_bars
    steps = [
        math.log(b["close"] / a["close"]) ** 2 for a, b in zip(bars[-window - 1 : -1], bars[-window:], strict=True)
    ]
    volatility = math.sqrt(sum(steps) / window)
    if atr <= 0 or volatility <= 0:
        return []
    found = sorted(p for p in pivots(bars, spec.pivot_bars) if p[1] > t - spec.lookback_bars)
    volume_of = {bar: relative_volume(bars, bar, spec.volume_window_bars) for _, bar in found}
    width = spec.cluster_atr * atr
    above = levels([p for p in found if p[0] > close], width, volume_of)
    below = levels([p for p in reversed(found) if p[0] < close], width, volume_of)
    if not above or not below:
        return []
    confidence = min(100.0, 50.0 * (strength(above[0], t, spec) + strength(below[0], t, spec)))
    rows = []
    for direction, sign, near, far in (("long", 1, below, above), ("short", -1, above, below)):
        stop = near[0].price - sign * spec.stop_buffer_atr * atr
        risk, reward = sign * (close - stop), sign * (far[0].price - close)
        if stop <= 0 or risk < spec.minimum_stop_atr * atr or reward < spec.minimum_rr * risk:
            continue
        p_target, p_stop = probabilities(risk, reward, close * volatility, horizon)
        rows.append(
            {
                "date_sig": day,
                "direction": direction,
                "entry_reference": close,
                "stop": stop,
                "target": far[0].price,
                "target_2": far[1].price if len(far) > 1 else None,
                "atr": atr,
                "rr": reward / risk,
                "stop_distance_bps": 1e4 * risk / close,
                "volatility_daily": volatility,
                "target_probability": p_target,
                "stop_probability": p_stop,
                "confidence": confidence,
            }
        )
    for row in rows:
        row["conflict"] = len(rows) == 2
    return rows


def outcome(frame: pl.DataFrame, sessions: list[date], row: dict[str, Any], spec: ReplaySpec) -> dict[str, Any]:
    """Outcome of one setup, straight from the rules, with a dictionary of bars by session."""
    bars = {bar["session"]: bar for bar in frame.to_dicts() if not math.isnan(bar["close"])}
    start = sessions.index(row["date_sig"]) + 1
    window = sessions[start : start + spec.horizon_sessions]
    complete = len(sessions) >= start + spec.horizon_sessions
    nothing: dict[str, Any] = dict.fromkeys(
        ("date_entry", "date_exit", "gross_r", "bars_held", "mae_r", "mfe_r", "resolved_at")
    )
    if not window:
        return {**nothing, "outcome": "pending"}
    long = row["direction"] == "long"
    stop, target, risk = row["stop"], row["target"], abs(row["entry_reference"] - row["stop"])

    def beyond_stop(price: float) -> bool:
        return price <= stop if long else price >= stop

    def beyond_target(price: float) -> bool:
        return price >= target if long else price <= target

    def in_r(price: float) -> float:
        return float((price - entry) / risk if long else (entry - price) / risk)

    first = bars.get(window[0])
    if first is None or beyond_stop(first["open"]) or beyond_target(first["open"]):
        return {**nothing, "outcome": "no_entry", "resolved_at": window[0]}
    entry = first["open"]
    seen = [0.0]

    def done(name: str, day: date, price: float, resolved: date) -> dict[str, Any]:
        seen.append(in_r(price))
        return {
            "outcome": name,
            "date_entry": window[0],
            "date_exit": day,
            "gross_r": in_r(price),
            "bars_held": window.index(day) + 1,
            "mae_r": min(seen),
            "mfe_r": max(seen),
            "resolved_at": resolved,
        }

    last_day = window[0]
    for day in window:
        bar = bars.get(day)
        if bar is None:
            continue
        last_day = day
        low, high = (bar["low"], bar["high"]) if long else (bar["high"], bar["low"])
        if beyond_stop(bar["open"]):
            return done("stop", day, bar["open"], day)
        if beyond_target(bar["open"]):
            return done("target", day, bar["open"], day)
        if beyond_stop(low):
            return done("stop", day, stop, day)
        if beyond_target(high):
            seen.append(in_r(low))
            return done("target", day, target, day)
        seen += [in_r(low), in_r(high)]
    ended = sessions.index(max(bars))
    if ended < start + spec.horizon_sessions - 1:
        gone = ended + spec.delisted_after_sessions
        if gone < len(sessions):
            return done("delisted", last_day, bars[last_day]["close"], sessions[gone])
    elif complete:
        return done("timeout", last_day, bars[last_day]["close"], window[-1])
    return {**nothing, "outcome": "pending", "date_entry": window[0]}
