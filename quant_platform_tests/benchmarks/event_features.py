"""The event lab: every feature, state and event of a year of five-minute bars, and ten features beside two peers."""

from __future__ import annotations

import resource
import sys
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl

from quant_platform.expressions import Plan, compile_plan
from quant_platform.labs.events.detection.columns import COLUMNS
from quant_platform.labs.events.detection.compute import SymbolEvents, each_symbol
from quant_platform.labs.events.detection.context import market_context
from quant_platform_tests.benchmarks.machine import load_average
from quant_platform_tests.benchmarks.panels import SEED, Shape
from quant_platform_tests.benchmarks.timing import clocked, in_turns, ratio, summary
from quant_platform_tests.labs.events.detection.worlds import one_symbol, plan

Floats = npt.NDArray[np.float64]

# The pairs of specs/context.yaml come first, so that a small market has every column of the context.
NAMES = ("BTCUSDT", "ETHUSDT", *(f"SIM{k:02d}USDT" for k in range(3, 100)))
SHARES = (4, 2, 1)  # a quarter, half and all of the symbols
THREADS = 2
ROLLING = {
    "mean_week": "sma(close,2016)",
    "volatility_day": "sqrt(sma(ret1*ret1,288))",
    "deviation_day": "sd(ret1,288)",
    "high_day": "hi(high,288)",
    "low_8h": "lo(low,96)",
    "taker_share_8h": "sumn(2*taker_buy_volume-volume,96)/sumn(volume,96)",
    "median_week": "pmed(quote_volume,2016)",
    "quantile_week": "pq(aret,0.95,2016)",
    "rank_30d": "rank(quote_volume,8640)",
    "beta_week": "beta(ret1,bench_ret,2016)",
}
RETURNS = {"ret1": "dlog(close,1)", "aret": "abs(ret1)"}


def measure(shape: Shape) -> dict[str, Any]:
    """Time growing markets, then ten rolling features of one symbol beside pandas and polars."""
    found: dict[str, Any] = {"load_average": {"start": load_average()}}
    found |= _whole_lab(shape)
    found["rolling"] = _beside_peers(shape)
    found["load_average"]["end"] = load_average()
    return found


def market(symbols: int, rows: int) -> dict[str, pl.DataFrame]:
    """``clean.market_5m`` of some symbols with every optional column, moved in part by a common factor."""
    common = np.random.default_rng(SEED).standard_t(5, rows) * 0.001
    return {name: one_symbol(SEED + k, rows, name, common=common) for k, name in enumerate(NAMES[:symbols])}


def _whole_lab(shape: Shape) -> dict[str, Any]:
    """Smaller markets go first: a process's highest use of memory never falls again."""
    lab, everything = plan(), market(shape.event_symbols, shape.event_rows)
    few = max(1, shape.repetitions // 2)
    found: dict[str, Any] = {
        "features": len(lab.lab.features.features),
        "events": len(lab.lab.active),
        "rows_per_symbol": shape.event_rows,
        "market_mib": sum(frame.estimated_size() for frame in everything.values()) / 2**20,
        "memory_before_mib": peak_mib(),
        "by_symbols": [],
    }

    def stream(names: list[str], workers: int) -> None:
        some = {name: everything[name] for name in names}
        rows = sum(map(_rows_of, each_symbol(some, context, lab, workers=workers)))
        assert rows == len(names) * shape.event_rows

    context: dict[str, pl.DataFrame] = {}

    def join_context() -> None:
        context.update(market_context(everything, lab.lab.context, None))

    found["context"] = summary(in_turns({"context": clocked(join_context)}, few)["context"])
    for share in SHARES:
        names = list(everything)[: max(2, shape.event_symbols // share)]
        timed = summary(in_turns({"one": clocked(lambda names=names: stream(names, 1))}, few)["one"])
        rows = len(names) * shape.event_rows
        found["by_symbols"].append(
            {
                "symbols": len(names),
                "rows": rows,
                "timed": timed,
                "rows_per_cpu_second": rows / timed["cpu_seconds"],
                "peak_mib": peak_mib(),
            }
        )
    two = in_turns({"two": clocked(lambda: stream(list(everything), THREADS))}, few)["two"]
    found["two_threads"] = {"timed": summary(two), "peak_mib": peak_mib()}
    return found


def _rows_of(result: SymbolEvents) -> int:
    return result.flags.height


def _beside_peers(shape: Shape) -> dict[str, Any]:
    """The same features three times, from the same arrays in memory; what a library wants to be asked is not timed."""
    pair = market(2, shape.event_rows)
    name = NAMES[1]
    bench = market_context(pair, plan().lab.context, None)[name]["bench_ret"]
    frame = pair[name].with_columns(bench_ret=bench).select(*_columns(rolling_plan()))
    arrays = {column: frame[column].fill_null(float("nan")).to_numpy() for column in frame.columns}
    gaps_as_null = frame.with_columns(pl.all().fill_nan(None))
    series = pd.DataFrame(arrays)
    compiled = rolling_plan()
    ways = {
        "ours": lambda: compiled.run(arrays).values,
        "polars": lambda: polars_features(gaps_as_null),
        "pandas": lambda: pandas_features(series),
    }
    timed = in_turns({way: clocked(work) for way, work in ways.items()}, shape.turns_with_peer)
    mine = {feature: np.asarray(values, dtype=np.float64) for feature, values in ways["ours"]().items()}
    return {
        "rows": frame.height,
        "versions": {library: version(library) for library in ("pandas", "polars")},
        "expressions": ROLLING,
        "timed": {way: summary(samples) for way, samples in timed.items()},
        "times_faster": {way: ratio(timed[way], timed["ours"]) for way in ("polars", "pandas")},
        "differences": {
            way: {feature: difference(mine[feature], values) for feature, values in ways[way]().items()}
            for way in ("polars", "pandas")
        },
    }


def difference(ours: Floats, theirs: Floats) -> dict[str, float | int]:
    """Rows that only one side has, and the largest difference of the others as a share of the largest value."""
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    return {
        "rows_compared": int(both.sum()),
        "missing_on_one_side": int((np.isnan(ours) != np.isnan(theirs)).sum()),
        "largest": float(np.abs(ours[both] - theirs[both]).max() / np.abs(theirs[both]).max()),
    }


def rolling_plan() -> Plan:
    """The ten features in the expression language."""
    return compile_plan(ROLLING, COLUMNS, RETURNS)


def _columns(compiled: Plan) -> list[str]:
    return sorted(frozenset[str]().union(*compiled.columns.values()))


def least(window: int) -> int:
    """Values that a window needs: nine tenths of it."""
    return -(-9 * window // 10)


def polars_features(frame: pl.DataFrame) -> dict[str, Floats]:
    """The ten features as a user of polars writes them; a missing value is a null."""
    close, volume, value = pl.col("close"), pl.col("volume"), pl.col("quote_volume")
    with_returns = frame.lazy().with_columns(ret1=(close.log() - close.log().shift(1)))
    both = pl.col("ret1").is_not_null() & pl.col("bench_ret").is_not_null()
    own, bench = pl.when(both).then(pl.col("ret1")), pl.when(both).then(pl.col("bench_ret"))

    def mean(x: pl.Expr, window: int) -> pl.Expr:
        return x.rolling_mean(window, min_samples=least(window))

    covariance = pl.rolling_cov(own, bench, window_size=2016, min_samples=least(2016))
    counted = value.is_not_null().cast(pl.Float64).rolling_sum(8640, min_samples=1)
    made = with_returns.select(
        mean_week=mean(close, 2016),
        volatility_day=mean(pl.col("ret1") ** 2, 288).sqrt(),
        deviation_day=pl.col("ret1").rolling_std(288, min_samples=least(288)),
        high_day=pl.col("high").rolling_max(288, min_samples=least(288)),
        low_8h=pl.col("low").rolling_min(96, min_samples=least(96)),
        taker_share_8h=(2 * pl.col("taker_buy_volume") - volume).rolling_sum(96, min_samples=least(96))
        / volume.rolling_sum(96, min_samples=least(96)),
        median_week=value.rolling_median(2016, min_samples=least(2016)).shift(1),
        quantile_week=pl.col("ret1")
        .abs()
        .rolling_quantile(0.95, interpolation="linear", window_size=2016, min_samples=least(2016))
        .shift(1),
        rank_30d=value.rolling_rank(8640, method="average", min_samples=least(8640)) / counted,
        beta_week=covariance / bench.rolling_var(2016, min_samples=least(2016)),
    ).collect()
    return {column: made[column].cast(pl.Float64).fill_null(float("nan")).to_numpy() for column in made.columns}


def pandas_features(frame: pd.DataFrame) -> dict[str, Floats]:
    """The ten features as a user of pandas writes them."""

    def rolling(x: Any, window: int) -> Any:
        return x.rolling(window, min_periods=least(window))

    ret1 = np.log(frame["close"]).diff()
    both = ret1.notna() & frame["bench_ret"].notna()
    own, bench = ret1.where(both), frame["bench_ret"].where(both)
    volume, value = frame["volume"], frame["quote_volume"]
    made = {
        "mean_week": rolling(frame["close"], 2016).mean(),
        "volatility_day": np.sqrt(rolling(ret1 * ret1, 288).mean()),
        "deviation_day": rolling(ret1, 288).std(),
        "high_day": rolling(frame["high"], 288).max(),
        "low_8h": rolling(frame["low"], 96).min(),
        "taker_share_8h": rolling(2 * frame["taker_buy_volume"] - volume, 96).sum() / rolling(volume, 96).sum(),
        "median_week": rolling(value, 2016).median().shift(1),
        "quantile_week": rolling(ret1.abs(), 2016).quantile(0.95).shift(1),
        "rank_30d": rolling(value, 8640).rank(pct=True),
        "beta_week": rolling(own, 2016).cov(bench) / rolling(bench, 2016).var(),
    }
    return {feature: np.asarray(values, dtype=np.float64) for feature, values in made.items()}


def peak_mib() -> float:
    """The most memory this process has held so far."""
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest / (2**20 if sys.platform == "darwin" else 2**10)
