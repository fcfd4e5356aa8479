"""The stages over all names at a session: membership, the accounting of rows, momentum ranks, the gate's verdicts."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from quant_platform.contracts.errors import SettingsError
from quant_platform.labs.equity.replay.qualified import qualified
from quant_platform.labs.equity.setups.momentum import momentum_rank
from quant_platform.lake.opening import open_catalogue
from quant_platform.market.universe import member_sessions
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sessions import market_sessions, on_sessions, signal_sessions
from quant_platform.pipeline.sources import source_of, tickers_of
from quant_platform.pipeline.stage import FrameStage, Reads
from quant_platform.specification.activation import ActivationSpec

_ACCOUNTING = """
    with raw_counts as (select ticker, count(*) as raw_rows from raw.equity_bars group by ticker),
    clean_counts as (
        select ticker,
               count(*) filter (where missing_reason is null) as clean_rows,
               count(*) filter (where missing_reason is not null) as missing_sessions,
               min(session) as first_session,
               max(session) as last_session
        from clean.equity_bars group by ticker
    ),
    quarantine_counts as (select ticker, count(*) as quarantined_rows from clean.equity_quarantine group by ticker)
    select ticker,
           coalesce(raw_rows, 0) as raw_rows,
           coalesce(clean_rows, 0) as clean_rows,
           coalesce(quarantined_rows, 0) as quarantined_rows,
           coalesce(raw_rows, 0) - coalesce(clean_rows, 0) - coalesce(quarantined_rows, 0) as unaccounted_rows,
           coalesce(missing_sessions, 0) as missing_sessions,
           first_session,
           last_session
    from raw_counts
    full join clean_counts using (ticker)
    full join quarantine_counts using (ticker)
    order by ticker
"""


def securities(home: Home, keys: Sequence[str]) -> pl.DataFrame:
    """Intervals of membership in the universe, each name with its asset class.

    Raises
    ------
    SettingsError
        When the universe spec states the class of a name that the source does not know.
    """
    del keys
    found, universe = source_of(home).securities(), home.universe
    known = {*found["ticker"].to_list(), *tickers_of(home)}
    unknown = sorted(set(universe.asset_classes) - known)
    if unknown:
        raise SettingsError(
            f"asset_classes names what the source {home.spec.source} does not know: {', '.join(unknown[:10])}",
            where=str(home.specs / "universe" / f"{home.spec.universe}.yaml"),
            how_many=f"{len(unknown)} of {len(universe.asset_classes)} names",
            action="correct the tickers, which are upper-case, or take them out",
        )
    classes = [universe.class_of(ticker) for ticker in found["ticker"].to_list()]
    return found.with_columns(asset_class=pl.Series(classes, dtype=pl.String))


def accounting(home: Home, keys: Sequence[str]) -> pl.DataFrame:
    """Where every raw row of a ticker went, counted in SQL over the views."""
    del keys
    home.follow_catalogue()
    with open_catalogue(home.settings.catalogue) as connection:
        counted: pl.DataFrame = connection.sql(_ACCOUNTING).pl()
    return counted


def momentum_ranks(
    home: Home, keys: Sequence[str], *, features: pl.LazyFrame, securities: pl.LazyFrame
) -> pl.DataFrame:
    """12-1 momentum and percentile of every member at the last session of some weeks."""
    at = signal_sessions(home, keys)
    return momentum_rank(
        features.select("ticker", "session", "momentum_12_1").filter(on_sessions("session", at)).collect(),
        at,
        market_sessions(home),
        members=member_sessions(securities.collect(), home.universe.name, at),
    )


def gate_verdicts(
    home: Home, keys: Sequence[str], *, candidates: pl.LazyFrame, ranks: pl.LazyFrame, securities: pl.LazyFrame
) -> pl.DataFrame:
    """The gate's verdict on every candidate of some weeks, with each reason for a refusal."""
    at = signal_sessions(home, keys)
    return qualified(
        candidates.filter(on_sessions("date_sig", at)).collect(),
        ranks.collect(),
        home.load("activation.yaml", ActivationSpec),
        members=member_sessions(securities.collect(), home.universe.name, at),
    )


SECURITIES = FrameStage(
    outputs=("raw.securities",),
    compute=securities,
    specs=("sources/{source}.yaml", "universe/{universe}.yaml"),
    kinds=("{source}", "parquet"),
    from_source=True,
)
ACCOUNTING = FrameStage(
    outputs=("clean.equity_accounting",),
    compute=accounting,
    kinds=("duckdb", "sql"),
    deps=("raw.equity_bars", "clean.equity_bars", "clean.equity_quarantine"),
)
MOMENTUM_RANK = FrameStage(
    outputs=("signals.momentum_rank",),
    compute=momentum_ranks,
    specs=("features/equity*.yaml",),
    kinds=("polars", "parquet"),
    inputs={"features": Reads("features.equity", "all"), "securities": Reads("raw.securities")},
    together=True,
)
QUALIFIED = FrameStage(
    outputs=("replay.qualified",),
    compute=gate_verdicts,
    specs=("activation.yaml",),
    kinds=("polars", "parquet"),
    inputs={
        "candidates": Reads("replay.candidates", "all"),
        "ranks": Reads("signals.momentum_rank"),
        "securities": Reads("raw.securities"),
    },
    together=True,
)
STAGES = (SECURITIES, ACCOUNTING, MOMENTUM_RANK, QUALIFIED)
