"""The studies that look back over everything, for their own assets and for the report of a past week.

The assets of these studies hold what the data say now. The report of a week shows that where nothing came later; the
report of a past week judges again what was there at its last session, so that making it years later changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from quant_platform.contracts.errors import StatisticError
from quant_platform.labs.equity.factors.information_coefficient import study_universe
from quant_platform.labs.equity.replay.sweep import activation_sweeps
from quant_platform.labs.equity.replay.trials import equity_trials
from quant_platform.market.stated_facts import applied_actions
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import FrameStage, Reads
from quant_platform.specification.activation import ActivationSpec
from quant_platform.specification.factors import FactorSpec
from quant_platform.specification.replay import ReplaySpec, load_sweeps

FACTOR_SPECS = ("factors/equity.yaml", "features/equity*.yaml")
JUDGED = ("activation.yaml", "replay/equity.yaml", "setups/equity.yaml", "features/equity*.yaml")
SWEPT = (*JUDGED, "sweeps/*.yaml")
EVERYTHING = (*SWEPT, "factors/equity.yaml", "cleaning/equity.yaml")


@dataclass(frozen=True)
class StudyTables:
    """The tables that factors are judged on."""

    features: pl.LazyFrame
    bars: pl.LazyFrame
    actions: pl.LazyFrame
    securities: pl.LazyFrame

    def until(self, session: date) -> StudyTables:
        """What was there at the close of a session; membership keeps its dates, which are read by session."""
        return StudyTables(
            self.features.filter(pl.col("session") <= session),
            self.bars.filter(pl.col("session") <= session),
            self.actions.filter(pl.col("ex_date") <= session),
            self.securities,
        )


def study_factors(home: Home, names: Sequence[str], market: StudyTables) -> pl.DataFrame:
    """Judge some factors under the specs of a home: rows of ``factors.information_coefficient``."""
    return study_universe(
        names,
        features=market.features.select("ticker", "session", *names).collect(),
        bars=market.bars.select("ticker", "session", "close").collect(),
        actions=market.actions.collect(),
        securities=market.securities.collect(),
        universe=home.universe.name,
        spec=home.load("factors/equity.yaml", FactorSpec),
        spec_hash=home.ontology(FACTOR_SPECS).hash,
    )


def sweep_gate(home: Home, names: Sequence[str], judged: pl.DataFrame, as_of_week: date | None = None) -> pl.DataFrame:
    """Move the gate's numbers as some sweeps say: rows of ``replay.activation_sweep``, known at a week or now."""
    found = load_sweeps(home.specs / "sweeps")
    gate = home.load("activation.yaml", ActivationSpec)
    spec = home.load("replay/equity.yaml", ReplaySpec)
    return activation_sweeps(names, found, judged, gate, spec, as_of_week=as_of_week)


def trial_ledger(
    home: Home, keys: Sequence[str], *, swept: pl.LazyFrame, factors: pl.LazyFrame, bars: pl.LazyFrame
) -> pl.DataFrame:
    """Everything that was evaluated now, beside what the ledger of the home holds already.

    A market that is too young for a factor to be judged has trials of its gates only.
    """
    del keys
    seen = bars.select(pl.col("session").max()).collect().item()
    if seen is None:
        raise StatisticError("no bar is stored, so the trials have no date", where="clean.equity_bars")
    return equity_trials(
        swept.collect(),
        factors.collect(),
        seen_until=seen,
        spec_hash=home.ontology(EVERYTHING).hash,
        earlier=home.lake.read("replay.trials", missing="ignore"),
    )


def factor_study(
    home: Home,
    keys: Sequence[str],
    *,
    features: pl.LazyFrame,
    bars: pl.LazyFrame,
    actions: pl.LazyFrame,
    securities: pl.LazyFrame,
) -> pl.DataFrame:
    """Information coefficients of some factors over all that is stored; the market is read once."""
    return study_factors(home, keys, StudyTables(features, bars, applied_actions(actions), securities))


def sweep_study(home: Home, keys: Sequence[str], *, judged: pl.LazyFrame) -> pl.DataFrame:
    """Some sweeps over all that is stored."""
    return sweep_gate(home, keys, judged.collect())


FACTORS = FrameStage(
    outputs=("factors.information_coefficient",),
    compute=factor_study,
    specs=FACTOR_SPECS,
    kinds=("numba", "parquet"),
    inputs={
        "features": Reads("features.equity", "all"),
        "bars": Reads("clean.equity_bars", "all"),
        "actions": Reads("clean.corporate_actions", "all"),
        "securities": Reads("raw.securities"),
    },
    together=True,
)
SWEEPS = FrameStage(
    outputs=("replay.activation_sweep",),
    compute=sweep_study,
    specs=SWEPT,
    kinds=("numpy", "parquet"),
    inputs={"judged": Reads("replay.qualified", "all")},
    together=True,
)
TRIALS = FrameStage(
    outputs=("replay.trials",),
    compute=trial_ledger,
    specs=EVERYTHING,
    kinds=("polars", "parquet"),
    inputs={
        "swept": Reads("replay.activation_sweep", "all"),
        "factors": Reads("factors.information_coefficient", "all"),
        "bars": Reads("clean.equity_bars", "all"),
    },
)
STAGES = (FACTORS, SWEEPS, TRIALS)
