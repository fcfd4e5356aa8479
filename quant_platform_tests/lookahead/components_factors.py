"""The factor study: a rebalance's row stands at the session that ends its window."""

from __future__ import annotations

import polars as pl

from quant_platform.labs.equity.factors.information_coefficient import study_universe
from quant_platform.specification.factors import FactorSpec
from quant_platform.specification.loading import load_spec
from quant_platform_tests.lookahead.components_universe import (
    UNIVERSE,
    actions_known,
    calendar,
    features_of,
    securities_known,
    universe_bars,
)
from quant_platform_tests.lookahead.harness import Component
from quant_platform_tests.market.builders import SPECS

FACTORS = ("momentum_3_1", "reversal_1m")


def study() -> list[Component]:
    """IC, spreads and counts of every rebalance, delistings announced."""
    return [study_known("factor study", announced=True, sessions_later=0)]


def factor_spec() -> FactorSpec:
    """The spec in force for a small universe and one horizon, with a stated return for ends nobody tells of.

    Left out, such windows would have no number that could come too early.
    """
    spec = load_spec(SPECS / "factors" / "equity.yaml", FactorSpec)
    changes = {
        "decay_horizons_sessions": (spec.horizon_sessions,),
        "min_names": 5,
        "bootstrap_draws": 200,
        "unknown_delisting_return": 0.0,
    }
    return spec.model_copy(update=changes)


def study_known(name: str, *, announced: bool, sessions_later: int) -> Component:
    """The study, its rows claimed to be known some sessions after the end of their windows.

    Below zero it is a control that must be caught. Without the announcement the study infers a delisting from bars
    that stopped ``ended_after_sessions`` ago, and rows whose windows end in between are settled only then.
    """
    spec = factor_spec()
    later = spec.entry_lag_sessions + spec.horizon_sessions + sessions_later
    days = calendar()
    known = pl.DataFrame({"date_sig": days, "session": days.shift(-later)})

    def function(frame: pl.DataFrame) -> pl.DataFrame:
        actions = actions_known(frame)
        rows = study_universe(
            FACTORS,
            features=features_of(frame, *FACTORS),
            bars=frame,
            actions=actions if announced else actions.clear(),
            securities=securities_known(frame),
            universe=UNIVERSE,
            spec=spec,
            spec_hash="lookahead",
        )
        return (
            rows.filter(pl.col("kind") == "rebalance")
            .join(known, on="date_sig", how="inner")
            .filter(pl.col("session").is_not_null())
            .select("session", "date_sig", "factor", "n_names", "n_delisted", "ic", "ic_log", "spread", "log_spread")
        )

    keys = ("date_sig", "factor")
    return Component(name, function, universe_bars, time="session", keys=keys, most_cuts=20)
