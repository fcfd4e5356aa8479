"""The simulated market with industries and shares, as the tables a panel is made of."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from quant_platform.labs.suite.published import MarketTables
from quant_platform.market.calendar import session_array
from quant_platform.market.cleaning import clean_bars
from quant_platform.sources.simulated import SimulatedSource
from quant_platform.specification.cleaning import CleaningSpec
from quant_platform.specification.loading import load_spec
from quant_platform.specification.sources import SourceSpec

SPECS = Path(__file__).resolve().parents[3] / "specs"
INDUSTRIES = tuple(f"Industry {letter}" for letter in "ABCDEFGHIJK")


def source_spec(**changes: object) -> SourceSpec:
    """The shipped spec, with industries and shares unless other changes are given."""
    spec = load_spec(SPECS / "sources" / "simulated.yaml", SourceSpec)
    assert spec.simulated is not None
    facts = {
        "industries": INDUSTRIES,
        "industry_volatility_daily": 0.006,
        "market_cap": 2.0e9,
        "market_cap_log_sd": 1.2,
        **changes,
    }
    return spec.model_copy(update={"simulated": spec.simulated.model_copy(update=facts)})


def clean_tables(source: SimulatedSource) -> MarketTables:
    """Bars as the lake would hold them after cleaning, and the raw tables beside them."""
    cleaning = load_spec(SPECS / "cleaning" / "equity.yaml", CleaningSpec)
    dates = source.market.oracle["session"]
    days = session_array(source.spec.exchange, dates.min(), dates.max())
    tickers = source.tickers()
    bars = [clean_bars(source.bars(name), source.actions(name), cleaning, days).bars for name in tickers]
    return MarketTables(
        bars=pl.concat(bars),
        actions=pl.concat([source.actions(name) for name in tickers]),
        fundamentals=pl.concat([source.fundamentals(name) for name in tickers]),
        securities=source.securities(),
    )
