"""One simulated world through the platform's own path: source, cleaning, features, factor study."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
from scipy import stats

from quant_platform.expressions import Plan
from quant_platform.labs.equity.factors.information_coefficient import study_universe
from quant_platform.labs.equity.features.equity import compute_equity_features, factor_names, feature_plan
from quant_platform.market.calendar import session_array
from quant_platform.market.cleaning import clean_bars
from quant_platform.sources import open_source
from quant_platform.sources.simulated import SimulatedSource
from quant_platform.specification.cleaning import CleaningSpec
from quant_platform.specification.factors import FactorSpec
from quant_platform.specification.features import FeatureSet, load_equity_features
from quant_platform.specification.loading import load_spec
from quant_platform.specification.sources import SimulatedSpec, SourceSpec

SPECS = Path(__file__).resolve().parents[2] / "specs"
ORACLE = "oracle"
World = Literal["null", "planted"]

# What a row of the tables says about one factor in one world; p_naive is for comparison and shown nowhere else.
COLUMNS = (
    "seed",
    "factor",
    "n_weeks",
    "n_independent",
    "ic",
    "spread",
    "t_nonoverlapping",
    "p_nonoverlapping",
    "p_ewc",
    "p_naive",
)


@dataclass(frozen=True)
class Design:
    """What all worlds of a run share, from the specs in force."""

    source: SourceSpec
    cleaning: CleaningSpec
    features: FeatureSet
    plan: Plan
    factors: FactorSpec

    @property
    def market(self) -> SimulatedSpec:
        """The section of the simulated market."""
        if self.source.simulated is None:
            raise ValueError("specs/sources/simulated.yaml has no section 'simulated'")
        return self.source.simulated

    @property
    def names(self) -> list[str]:
        """The factors that are judged."""
        return factor_names(self.features)


def load_design(*, names: int | None = None, years: int | None = None) -> Design:
    """Read the specs; a smaller market where asked for.

    Only the headline horizon is evaluated: the decay table asks another question and would take five times as long.
    """
    source = load_spec(SPECS / "sources" / "simulated.yaml", SourceSpec)
    assert source.simulated is not None
    smaller: dict[str, object] = {
        "names": names or source.simulated.names,
        "years": years or source.simulated.years,
        # A world of one market factor; docs/evidence/replay.md has those with industries.
        "industries": type(source.simulated.industries)(),
        "industry_volatility_daily": 0.0,
    }
    features = load_equity_features(SPECS)
    factors = load_spec(SPECS / "factors" / "equity.yaml", FactorSpec)
    return Design(
        source=source.model_copy(update={"simulated": source.simulated.model_copy(update=smaller)}),
        cleaning=load_spec(SPECS / "cleaning" / "equity.yaml", CleaningSpec),
        features=features,
        plan=feature_plan(features),
        factors=factors.model_copy(update={"decay_horizons_sessions": (factors.horizon_sessions,)}),
    )


def open_world(design: Design, world: World, seed: int) -> SimulatedSource:
    """The simulated source with another world and seed."""
    market = design.market.model_copy(update={"world": world, "seed": seed})
    source = open_source(design.source.model_copy(update={"simulated": market}))
    assert isinstance(source, SimulatedSource)
    return source


def study_world(design: Design, world: World, seed: int, *, adjusted: bool = True) -> pl.DataFrame:
    """Judge every factor in one world.

    Parameters
    ----------
    design
        From :func:`load_design`.
    world, seed
        Which market.
    adjusted
        False withholds splits and dividends from the cleaning, as a vendor would who has none; delistings stay known.

    Returns
    -------
    polars.DataFrame
        ``COLUMNS``, one row per factor at the headline horizon. In the planted world with adjusted prices also
        ``oracle``: the expected return of the session after ``date_sig``, which is known at the close of ``date_sig``.
    """
    source = open_world(design, world, seed)
    oracle = source.market.oracle
    days = session_array(source.spec.exchange, *oracle["session"].sort().gather([0, -1]).to_list())
    bars, features, actions = [], [], []
    for ticker in source.tickers():
        found = source.actions(ticker)
        clean = clean_bars(source.bars(ticker), found if adjusted else found.clear(), design.cleaning, days).bars
        bars.append(clean)
        features.append(compute_equity_features(clean, design.features, design.plan))
        actions.append(found)
    signals, names = pl.concat(features), design.names
    if world == "planted" and adjusted:
        ahead = oracle.sort("ticker", "session").select(
            "ticker", "session", pl.col("expected_return").shift(-1).over("ticker").alias(ORACLE)
        )
        signals, names = signals.join(ahead, on=["ticker", "session"], how="left"), [*names, ORACLE]
    rows = study_universe(
        names,
        features=signals,
        bars=pl.concat(bars),
        actions=pl.concat(actions),
        securities=source.securities(),
        universe=source.spec.universe,
        spec=design.factors,
        spec_hash=f"evidence|{world}|{seed}",
    )
    naive = {
        factor: naive_p(rows.filter(pl.col("kind") == "rebalance", pl.col("factor") == factor)["ic"])
        for factor in names
    }
    return (
        rows.filter(pl.col("kind") == "summary")
        .with_columns(seed=pl.lit(seed), p_naive=pl.col("factor").replace_strict(naive, return_dtype=pl.Float64))
        .select(pl.col("seed").cast(pl.Int64), *COLUMNS[1:])
    )


def naive_p(ic: pl.Series) -> float:
    """Two-sided p of the t that takes overlapping ICs for independent: what this platform does not show."""
    mean, sd, n = ic.mean(), ic.std(), ic.len()
    if not isinstance(mean, float) or not isinstance(sd, float) or sd == 0.0:
        return math.nan
    return float(2.0 * stats.t.sf(abs(mean) / sd * math.sqrt(n), n - 1))
