"""Decisions of a strategy file on the market of a home."""

from __future__ import annotations

import numpy as np
import polars as pl

from quant_platform.contracts.errors import SourceNotFound
from quant_platform.engine.bars import Bars
from quant_platform.engine.decisions import Decisions
from quant_platform.engine.layout import Bools
from quant_platform.labs.equity.setups.decisions import setup_orders
from quant_platform.market.stated_facts import applied_actions
from quant_platform.market.universe import membership
from quant_platform.pipeline.home import Home
from quant_platform.specification.replay import ReplaySpec
from quant_platform.specification.strategies import SetupDecisions, StrategySpec, TopDecisions
from quant_platform.strategies.configuration import decide


def decide_on_home(home: Home, spec: StrategySpec, bars: Bars) -> Decisions:
    """Make the decisions of a strategy on equity bars of a home.

    Parameters
    ----------
    home
        The market; its membership decides whom a ranking may hold, its replay which setups there are.
    spec
        The strategy.
    bars
        Clean bars of the home.

    Raises
    ------
    SpecError
        When the strategy states no decisions.
    SourceNotFound
        When there is no setup.
    """
    match spec.decisions:
        case TopDecisions():
            return decide(spec, bars, members_of(home, bars))
        case SetupDecisions():
            setups = home.lake.read("replay.candidates")
            if spec.decisions.qualified:
                key = ["ticker", "date_sig", "direction"]
                judged = home.lake.read("replay.qualified")
                setups = setups.join(judged.filter("qualified"), on=key, how="semi")
            if setups.is_empty():
                raise SourceNotFound(
                    "there is no setup to trade", where="replay.candidates", action="run the weekly replay first"
                )
            horizon = home.load("replay/equity.yaml", ReplaySpec).horizon_sessions
            return setup_orders(setups, bars, horizon).orders
    return decide(spec, bars)


def known_recoveries(home: Home) -> dict[str, float]:
    """Fraction of its last close that a delisted name was worth, where the source states it."""
    actions = applied_actions(home.lake.read("clean.corporate_actions", missing="ignore"))
    ends = actions.filter(pl.col("kind").cast(pl.String) == "delisting")
    return {ticker: max(0.0, 1.0 + value) for ticker, value in ends.select("ticker", "value").iter_rows()}


def members_of(home: Home, bars: Bars) -> Bools:
    """Membership in the universe of a home, shape of the bars."""
    sessions = bars.stamps.astype("datetime64[ns]").astype("datetime64[D]")
    members: Bools = np.asarray(
        membership(home.lake.read("raw.securities"), home.universe.name, sessions, bars.assets), dtype=np.bool_
    )
    return members
