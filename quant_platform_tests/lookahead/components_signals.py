"""Setups, outcomes, momentum ranks and the gate."""

from __future__ import annotations

import polars as pl

from quant_platform.labs.equity.replay.candidates import replay_ticker
from quant_platform.labs.equity.replay.qualified import qualified
from quant_platform.labs.equity.setups.bars import traded_bars
from quant_platform.labs.equity.setups.momentum import momentum_rank
from quant_platform.labs.equity.setups.setups import find_setups
from quant_platform.market.universe import member_sessions
from quant_platform.specification.activation import ActivationSpec
from quant_platform.specification.loading import load_spec
from quant_platform.specification.replay import ReplaySpec
from quant_platform.specification.setups import ProbabilityOffset, SetupSpec
from quant_platform_tests.labs.equity.features.bars import simulated_bars
from quant_platform_tests.lookahead.components_universe import (
    UNIVERSE,
    calendar,
    features_of,
    securities_known,
    universe_bars,
)
from quant_platform_tests.lookahead.harness import Component
from quant_platform_tests.market.builders import SPECS

# The spec in force claims no edge, so its expected value is zero everywhere; with offsets it says something.
OFFSET = ProbabilityOffset(intercept=0.1, log_rr=0.2, confidence=0.3, short=-0.1)
SETUP = load_spec(SPECS / "setups" / "equity.yaml", SetupSpec).model_copy(update={"probability_offset": OFFSET})
REPLAY = load_spec(SPECS / "replay" / "equity.yaml", ReplaySpec)
ACTIVATION = load_spec(SPECS / "activation.yaml", ActivationSpec)

OUTCOME_COLUMNS = (
    "outcome",
    "date_entry",
    "entry_price",
    "date_exit",
    "exit_price",
    "gross_r",
    "realised_r",
    "bars_held",
    "mae_r",
    "mfe_r",
)
GATE_COLUMNS = ("momentum_percentile", "rr", "confidence", "target_probability", "conflict", "qualified", "refusals")


def setups() -> list[Component]:
    """Setups of both directions at every session; a pivot counts from its confirmation on.

    The calendar is given whole, as an exchange publishes it, so that ``date_avail`` is known at the last session too.
    """

    def function(frame: pl.DataFrame) -> pl.DataFrame:
        sessions = simulated_bars(0)["session"].to_list()
        found = find_setups(traded_bars(frame, sessions), frame["session"].to_list(), SETUP, REPLAY.horizon_sessions)
        return found.frame().drop("ticker").rename({"date_sig": "session"})

    # Pivots as old as the look-back, each with the volume average before it; a bar is a row where no row is missing.
    memory = SETUP.lookback_bars + max(SETUP.pivot_bars, SETUP.volume_window_bars, SETUP.volatility_window_bars) + 1
    keys = ("session", "direction")
    whole = Component("setups", function, _without_gaps, time="session", keys=keys, memory=memory, most_cuts=40)
    gaps = Component("setups with gaps", function, simulated_bars, time="session", keys=keys, most_cuts=20)
    return [whole, gaps]


def _without_gaps(seed: int) -> pl.DataFrame:
    return simulated_bars(seed, gap_share=0.0)


def outcomes() -> list[Component]:
    """Outcomes stand at the session that settles them: up to there nothing later may have been seen."""
    return [outcomes_known("outcomes", sessions_early=0)]


def outcomes_known(name: str, sessions_early: int) -> Component:
    """Outcomes, claimed to be known some sessions before ``resolved_at``; above zero a control that must be caught."""

    def function(frame: pl.DataFrame) -> pl.DataFrame:
        days = frame["session"]
        found = replay_ticker(frame, SETUP, REPLAY, signal_sessions=days[::3].to_list(), sessions=days.to_list())
        claimed = pl.DataFrame({"resolved_at": days, "session": days.shift(sessions_early)})
        settled = found.join(claimed, on="resolved_at", how="inner").filter(pl.col("session").is_not_null())
        return settled.select("date_sig", "direction", "session", *OUTCOME_COLUMNS)

    keys = ("date_sig", "direction")
    return Component(name, function, simulated_bars, time="session", keys=keys, most_cuts=40)


def ranks() -> list[Component]:
    """Momentum ranks over the members of each session, at every session."""

    def function(frame: pl.DataFrame) -> pl.DataFrame:
        return _ranks(frame, frame["session"].unique().sort()).rename({"date_sig": "session"})

    keys = ("session", "ticker")
    return [Component("momentum rank", function, universe_bars, time="session", keys=keys, memory=252, most_cuts=25)]


def _ranks(frame: pl.DataFrame, at: pl.Series) -> pl.DataFrame:
    members = member_sessions(securities_known(frame), UNIVERSE, calendar().to_numpy())
    features = features_of(frame, "momentum_12_1")
    return momentum_rank(features, at.to_list(), calendar().to_list(), members=members)


def gate() -> list[Component]:
    """``replay.qualified`` without its outcomes: setups of the members, with their ranks, through the gate."""

    def function(frame: pl.DataFrame) -> pl.DataFrame:
        days, at = calendar().to_list(), calendar()[250::4]
        found = pl.concat(
            replay_ticker(own, SETUP, REPLAY, signal_sessions=at.to_list(), sessions=days)
            for own in frame.partition_by("ticker")
        )
        members = member_sessions(securities_known(frame), UNIVERSE, calendar().to_numpy())
        rows = qualified(found, _ranks(frame, at), ACTIVATION, members=members)
        return rows.select(
            pl.col("date_sig").alias("session"),
            "ticker",
            "direction",
            *GATE_COLUMNS[:-1],
            pl.col("refusals").list.join("; "),
        )

    keys = ("session", "ticker", "direction")
    return [Component("gate", function, universe_bars, time="session", keys=keys, most_cuts=20)]
