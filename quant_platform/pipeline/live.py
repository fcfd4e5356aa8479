"""The stages of the live lab: setups of a session by the replay's own functions, and what became of open ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl

from quant_platform.labs.equity.setups.live import evaluate_open_setups, scan_days
from quant_platform.labs.equity.setups.momentum import momentum_rank
from quant_platform.market.stated_facts import applied_actions
from quant_platform.market.universe import member_sessions
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sessions import market_sessions, on_sessions
from quant_platform.pipeline.stage import FrameStage, Reads
from quant_platform.specification.activation import ActivationSpec
from quant_platform.specification.replay import ReplaySpec
from quant_platform.specification.setups import SetupSpec


def scans(
    home: Home, keys: Sequence[str], *, bars: pl.LazyFrame, features: pl.LazyFrame, securities: pl.LazyFrame
) -> pl.DataFrame:
    """Setups of some sessions; the bars are read once."""
    sessions = market_sessions(home)
    at = np.array(keys, dtype="datetime64[D]")
    members = member_sessions(securities.collect(), home.universe.name, at)
    momentum = features.select("ticker", "session", "momentum_12_1").filter(on_sessions("session", at)).collect()
    ranks = momentum_rank(momentum, at, sessions, members=members)
    by_ticker = _by_ticker(bars, members["ticker"].unique().to_list())
    setups, replay = home.load("setups/equity.yaml", SetupSpec), home.load("replay/equity.yaml", ReplaySpec)
    gate = home.load("activation.yaml", ActivationSpec)
    present: dict[str, list[date]] = {}
    for ticker, day in members.sort("ticker", "session").select("ticker", "session").iter_rows():
        if ticker in by_ticker:
            present.setdefault(ticker, []).append(day)
    return scan_days(present, by_ticker, setups, replay, gate, sessions=sessions, momentum=ranks)


def outcomes(
    home: Home, keys: Sequence[str], *, scans: pl.LazyFrame, bars: pl.LazyFrame, actions: pl.LazyFrame
) -> pl.DataFrame:
    """What became, by each of some sessions, of the setups that were open."""
    setups = scans.collect()
    by_ticker = _by_ticker(bars, setups.filter("qualified")["ticker"].unique().to_list())
    ends = applied_actions(actions).filter(pl.col("kind") == "delisting").select("ticker", "value").collect()
    replay, sessions = home.load("replay/equity.yaml", ReplaySpec), market_sessions(home)
    returns = dict(ends.iter_rows())
    return pl.concat(
        evaluate_open_setups(
            date.fromisoformat(key), setups, by_ticker, replay, sessions=sessions, delisting_returns=returns
        )
        for key in keys
    )


def _by_ticker(bars: pl.LazyFrame, tickers: list[str]) -> dict[str, pl.DataFrame]:
    frame = bars.filter(pl.col("ticker").is_in(tickers)).sort("ticker", "session").collect()
    return {str(key[0]): part for key, part in frame.partition_by("ticker", as_dict=True).items()}


SCAN = FrameStage(
    outputs=("live.scan",),
    compute=scans,
    specs=("activation.yaml", "replay/equity.yaml", "setups/equity.yaml", "features/equity*.yaml"),
    kinds=("numba", "parquet"),
    inputs={
        "bars": Reads("clean.equity_bars", "all"),
        "features": Reads("features.equity", "all"),
        "securities": Reads("raw.securities"),
    },
    together=True,
)
OUTCOMES = FrameStage(
    outputs=("live.outcomes",),
    compute=outcomes,
    specs=("replay/equity.yaml",),
    kinds=("numba", "parquet"),
    inputs={
        "scans": Reads("live.scan", "all"),
        "bars": Reads("clean.equity_bars", "all"),
        "actions": Reads("clean.corporate_actions", "all"),
    },
    together=True,
)
STAGES = (SCAN, OUTCOMES)
