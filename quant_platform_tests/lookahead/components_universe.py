"""A small universe with joiners, leavers, a late listing and a death, for what looks at several names at once."""

from __future__ import annotations

from functools import cache

import polars as pl

from quant_platform.expressions import Plan, evaluate_frame
from quant_platform.labs.equity.features.equity import feature_plan
from quant_platform.specification.features import load_equity_features
from quant_platform_tests.labs.equity.features.bars import simulated_bars
from quant_platform_tests.market.builders import SPECS, actions

ROWS = 420
UNIVERSE = "test"
LATE, DEAD = "T6", "T7"
LISTED_AT, DEAD_AT = 40, 370
# First and last row of each membership; None while it lasts. Changes lie where a twelve-month momentum exists.
MEMBERSHIPS: tuple[tuple[str, int, int | None], ...] = (
    ("T0", 0, 330),
    ("T1", 300, None),
    ("T2", 0, 310),
    ("T2", 350, None),
    ("T3", 0, None),
    ("T4", 0, None),
    ("T5", 0, None),
    (LATE, LISTED_AT, None),
    (DEAD, 0, DEAD_AT),
)
TICKERS = sorted({ticker for ticker, _, _ in MEMBERSHIPS})


def universe_bars(seed: int) -> pl.DataFrame:
    """Bars of every name; a name has no rows before its listing and none after its death."""
    frames = []
    for k, ticker in enumerate(TICKERS):
        first = LISTED_AT if ticker == LATE else 0
        stop = DEAD_AT + 1 if ticker == DEAD else ROWS
        frames.append(simulated_bars(100 * seed + k, rows=ROWS, ticker=ticker)[first:stop])
    return pl.concat(frames)


@cache
def calendar() -> pl.Series:
    """The sessions of every world, which are known in advance."""
    return simulated_bars(0, rows=ROWS)["session"]


def securities_known(frame: pl.DataFrame) -> pl.DataFrame:
    """``raw.securities`` as they stood at the last session of a frame: who joins or leaves later is not in them."""
    last, days = frame["session"].max(), calendar()
    rows = [
        (ticker, UNIVERSE, days[first], None if stop is None else days[stop]) for ticker, first, stop in MEMBERSHIPS
    ]
    schema = {"ticker": pl.String, "universe": pl.String, "start_date": pl.Date, "end_date": pl.Date}
    end = pl.col("end_date")
    return (
        pl.DataFrame(rows, schema=schema, orient="row")
        .filter(pl.col("start_date") <= last)
        .with_columns(pl.when(end < last).then(end).alias("end_date"))
    )


def actions_known(frame: pl.DataFrame) -> pl.DataFrame:
    """``raw.corporate_actions`` as they stood at the last session of a frame."""
    died = calendar()[DEAD_AT]
    return actions([(died, "delisting", -0.4)], DEAD).filter(pl.col("ex_date") <= frame["session"].max())


def features_of(frame: pl.DataFrame, *names: str) -> pl.DataFrame:
    """Ticker, session and some features of every name."""
    frames = [
        own.select("ticker", "session").hstack(evaluate_frame(_plan(), own, list(names))[0])
        for own in frame.partition_by("ticker")
    ]
    return pl.concat(frames)


@cache
def _plan() -> Plan:
    return feature_plan(load_equity_features(SPECS))
