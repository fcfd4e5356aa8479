"""Seven factors, weekly rebalances, 30-session forward returns: ours beside alphalens-reloaded on the same closes.

The comparison is of equal work: forward returns, the IC and the quintile spread of every factor on every date. What the
platform does besides (the whole asset) is timed under names of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from quant_platform.labs.equity.factors.information_coefficient import market, study, study_universe
from quant_platform.labs.equity.factors.panel import Axes, Bools, Floats, Longs, forward_returns, week_last_rows
from quant_platform.specification.factors import FactorSpec
from quant_platform.specification.loading import load_spec
from quant_platform.statistics import quantile_spread, rank_ic
from quant_platform_tests.benchmarks import panels
from quant_platform_tests.benchmarks.panels import Shape
from quant_platform_tests.benchmarks.peer import alphalens
from quant_platform_tests.benchmarks.timing import clocked, in_turns, ratio, summary

HORIZON, LAG, QUANTILES, MIN_NAMES = 30, 1, 5, 20
SPEC = Path(__file__).resolve().parents[2] / "specs" / "factors" / "equity.yaml"
Found = dict[str, tuple[Floats, Floats]]


def factor_panels(close: Floats) -> dict[str, Floats]:
    """The seven factors as dense panels, made once; making them is timed on neither side."""
    logs = np.diff(np.log(close), axis=0, prepend=np.nan)

    def lag(k: int) -> Floats:
        return np.vstack([np.full((k, close.shape[1]), np.nan), close[:-k]])

    def windows(values: Floats, n: int, reduce: Any) -> Floats:
        out = np.full(values.shape, np.nan)
        view = np.lib.stride_tricks.sliding_window_view(values, n, axis=0)
        for row in range(view.shape[0]):
            out[n - 1 + row] = reduce(view[row], axis=-1)
        return out

    return {
        "momentum_12_1": lag(21) / lag(252) - 1,
        "momentum_6_1": lag(21) / lag(126) - 1,
        "momentum_3_1": lag(21) / lag(63) - 1,
        "reversal_1m": -(close / lag(21) - 1),
        "price_to_sma_200": close / windows(close, 200, np.mean) - 1,
        "high_52w_proximity": close / windows(close, 252, np.max),
        "low_volatility_126": -windows(logs, 126, lambda x, axis: np.std(x, axis=axis, ddof=1)),
    }


def ended(close: Floats) -> Bools:
    """Names whose closes stop before the market's."""
    gone: Bools = np.isnan(close[-1])
    return gone


def equal_work(close: Floats, factors: Mapping[str, Floats], rows: Longs, gone: Bools) -> Found:
    """Forward returns, then the IC and the quintile spread of every factor: what alphalens is asked for, too."""
    forward = forward_returns(
        close,
        rows,
        horizon_sessions=HORIZON,
        entry_lag_sessions=LAG,
        ended=gone,
        delisting_return=np.full(close.shape[1], np.nan),
        unknown_delisting_return=0.0,
    ).simple
    found = {}
    for name, values in factors.items():
        signal = values[rows]
        ic = rank_ic(signal, forward, min_names=MIN_NAMES)
        found[name] = ic, quantile_spread(signal, forward, quantiles=QUANTILES, min_names=MIN_NAMES)
    return found


def whole_study(close: Floats, factors: Mapping[str, Floats], days: list[date], spec: FactorSpec) -> pl.DataFrame:
    """What the asset computes from its panels: also log returns, both tests, the bootstrap, all horizons."""
    axes = Axes(tuple(days), tuple(panels.tickers(close.shape[1])))
    against = market(
        axes,
        close,
        np.ones(close.shape, dtype=bool),
        ended=ended(close),
        delisting_return=np.full(close.shape[1], np.nan),
        spec=spec,
    )
    return pl.concat([study(name, values, against, spec, np.random.default_rng(1)) for name, values in factors.items()])


def measure(shape: Shape) -> dict[str, Any]:
    """Time our side alone: equal work, the whole study, and the asset from its tables."""
    close, days = panels.complete_market(shape.sessions, shape.names), panels.weekdays(shape.sessions)
    factors, rows = factor_panels(close), week_last_rows(days)
    pieces = {name: clocked(piece) for name, piece in _our_pieces(close, factors, rows, days).items()}
    timed = in_turns(pieces, shape.repetitions)
    return {
        "names": shape.names,
        "sessions": shape.sessions,
        "rebalances": int(rows.size),
        "factors": list(factors),
        "horizons_of_spec": list(load_spec(SPEC, FactorSpec).horizons),
        "ours": {name: summary(samples) for name, samples in timed.items()},
        "mean_ic": {
            name: float(np.nanmean(ic)) for name, (ic, _) in equal_work(close, factors, rows, ended(close)).items()
        },
    }


def compare(shape: Shape) -> dict[str, Any]:
    """Time both sides in turns on the complete market, and say how their numbers differ on both markets."""
    complete = _compare(panels.complete_market(shape.sessions, shape.names), shape, shape.turns_with_peer)
    uneven = _compare(panels.uneven_market(shape.sessions, shape.names), shape, 0)
    timed: dict[str, Any] = complete["timed"]
    return timed | {
        "versions": complete["versions"],
        "complete": complete["differences"],
        "uneven": uneven["differences"],
    }


def _compare(close: Floats, shape: Shape, turns: int) -> dict[str, Any]:
    days = panels.weekdays(shape.sessions)
    factors, rows, gone = factor_panels(close), week_last_rows(days), ended(close)
    result: dict[str, Any] = {}
    with alphalens(_for_peer(close, factors, rows, days)) as (peer, versions):
        if turns:
            timed = in_turns(
                {
                    "ours": clocked(lambda: equal_work(close, factors, rows, gone)),
                    "alphalens": lambda: peer.sample("documented"),
                    "alphalens_shared": lambda: peer.sample("shared"),
                },
                turns,
            )
            result["timed"] = {name: summary(samples) for name, samples in timed.items()} | {
                "times_faster": ratio(timed["alphalens"], timed["ours"]),
                "times_faster_shared": ratio(timed["alphalens_shared"], timed["ours"]),
            }
        peer.ask("documented")
        result["differences"] = differences(close, factors, rows, days, peer.ask("results"))
        result["versions"] = versions
    return result


def differences(
    close: Floats, factors: Mapping[str, Floats], rows: Longs, days: list[date], theirs: dict[str, Any]
) -> dict[str, Any]:
    """Compare dates, ICs and spreads factor by factor, under our rules and under theirs.

    Their rules: a delisted name keeps its last price, a date on which two quantile edges coincide is dropped, the
    spread is halved. With those applied, what we compute must be what they compute.
    """
    dates = [days[row].isoformat() for row in rows]
    gone = ended(close)
    ours = equal_work(close, factors, rows, gone)
    filled = pl.DataFrame(close).fill_nan(None).select(pl.all().forward_fill()).to_numpy()
    as_they_do = equal_work(filled, factors, rows, np.zeros_like(gone))
    found = {}
    for name, (ic, spread) in ours.items():
        their_ic, their_spread = (_on(dates, theirs[name][key]) for key in ("ic", "spread"))
        both = ~np.isnan(ic) & ~np.isnan(their_ic)
        their_rules_ic, their_rules_spread = as_they_do[name]
        found[name] = {
            "dates": int((~np.isnan(ic)).sum()),
            "dates_alphalens": int((~np.isnan(their_ic)).sum()),
            "dates_only_alphalens": int((np.isnan(ic) & ~np.isnan(their_ic)).sum()),
            "mean_ic": float(np.nanmean(ic)),
            "mean_ic_alphalens": float(np.nanmean(their_ic)),
            "largest_ic_difference": _largest(ic - their_ic),
            "mean_spread": float(np.nanmean(spread)),
            "mean_spread_alphalens": float(np.nanmean(their_spread)),
            "mean_spread_common_dates": float(np.nanmean(spread[both])),
            "under_their_rules": {
                "largest_ic_difference": _largest(their_rules_ic - their_ic),
                "mean_ic_difference": float(
                    abs(np.nanmean(their_rules_ic[~np.isnan(their_ic)]) - np.nanmean(their_ic))
                ),
                "largest_spread_difference": _largest(their_rules_spread - 2.0 * their_spread),
            },
        }
    return found


def _our_pieces(close: Floats, factors: dict[str, Floats], rows: Longs, days: list[date]) -> dict[str, Any]:
    spec = load_spec(SPEC, FactorSpec)
    headline = spec.model_copy(update={"decay_horizons_sessions": (spec.horizon_sessions,)})
    tables = _tables(close, factors, days)
    return {
        "equal_work": lambda: equal_work(close, factors, rows, ended(close)),
        "study_headline": lambda: whole_study(close, factors, days, headline),
        "study_all_horizons": lambda: whole_study(close, factors, days, spec),
        "asset_from_tables": lambda: study_universe(list(factors), spec=spec, spec_hash="benchmark", **tables),
    }


def _tables(close: Floats, factors: Mapping[str, Floats], days: list[date]) -> dict[str, Any]:
    names = panels.tickers(close.shape[1])
    index = {
        "ticker": pl.Series(names).gather(np.tile(np.arange(len(names)), len(days))),
        "session": pl.Series(days, dtype=pl.Date).gather(np.repeat(np.arange(len(days)), len(names))),
    }
    return {
        "features": pl.DataFrame(index | {name: values.ravel() for name, values in factors.items()}),
        "bars": pl.DataFrame(index | {"close": close.ravel()}),
        "actions": pl.DataFrame(
            schema={"ticker": pl.String, "ex_date": pl.Date, "kind": pl.String, "value": pl.Float64}
        ),
        "securities": pl.DataFrame(
            {"ticker": names, "universe": "benchmark", "start_date": days[0], "end_date": None},
            schema_overrides={"start_date": pl.Date, "end_date": pl.Date},
        ),
        "universe": "benchmark",
    }


def _for_peer(close: Floats, factors: Mapping[str, Floats], rows: Longs, days: list[date]) -> dict[str, Any]:
    arrays = {f"factor_{name}": values for name, values in factors.items()}
    return {"close": close, "days": np.array(days, dtype="datetime64[ns]"), "rows": rows, **arrays}


def _on(dates: list[str], values: Mapping[str, float]) -> Floats:
    return np.array([values.get(day, np.nan) for day in dates])


def _largest(differences_by_date: Floats) -> float:
    return float(np.nanmax(np.abs(differences_by_date)))
