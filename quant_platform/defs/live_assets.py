"""The live lab: setups of a session by the replay's own functions, and what became of open ones."""

from datetime import date

import dagster as dg
import numpy as np
import polars as pl

from quant_platform.defs.frame_assets import market_sessions, note_rows, reads, reads_all, table_asset
from quant_platform.defs.partitions import days
from quant_platform.defs.resources import HomeResource
from quant_platform.labs.equity.setups.live import evaluate_open_setups, scan
from quant_platform.labs.equity.setups.momentum import momentum_rank
from quant_platform.market.stated_facts import applied_actions
from quant_platform.market.universe import member_sessions
from quant_platform.pipeline.home import Home
from quant_platform.specification.activation import ActivationSpec
from quant_platform.specification.replay import ReplaySpec
from quant_platform.specification.setups import SetupSpec

SPECS = ("activation.yaml", "replay/equity.yaml", "setups/equity.yaml", "features/equity*.yaml")
FOLLOWED = ("replay/equity.yaml",)


def build_live_assets(home: Home) -> list[dg.AssetsDefinition]:
    """The scan of a session and the outcomes of open setups; a run over several sessions reads the bars once."""
    by_day = days(home.spec, home.universe.exchange)

    @table_asset(
        home,
        "live.scan",
        rooms=("labs/equity/setups",),
        specs=SPECS,
        kinds={"numba", "parquet"},
        partitions_def=by_day,
        backfill_policy=dg.BackfillPolicy.single_run(),
        ins={
            "bars": reads_all("clean.equity_bars"),
            "features": reads_all("features.equity"),
            "securities": reads("raw.securities"),
        },
    )
    def live_scan(
        context: dg.AssetExecutionContext,
        home: HomeResource,
        bars: pl.LazyFrame,
        features: pl.LazyFrame,
        securities: pl.LazyFrame,
    ) -> pl.DataFrame:
        opened = home.open()
        sessions = market_sessions(opened)
        at = np.array(context.partition_keys, dtype="datetime64[D]")
        members = member_sessions(securities.collect(), opened.universe.name, at)
        wanted = pl.col("session").is_in(pl.Series(at, dtype=pl.Date).implode())
        momentum = features.select("ticker", "session", "momentum_12_1").filter(wanted).collect()
        ranks = momentum_rank(momentum, at, sessions, members=members)
        by_ticker = _by_ticker(bars, members["ticker"].unique().to_list())
        setups, replay = opened.load("setups/equity.yaml", SetupSpec), opened.load("replay/equity.yaml", ReplaySpec)
        gate = opened.load("activation.yaml", ActivationSpec)
        found = []
        for day in (date.fromisoformat(key) for key in context.partition_keys):
            present = members.filter(pl.col("session") == day)["ticker"]
            chosen = {ticker: by_ticker[ticker] for ticker in present if ticker in by_ticker}
            rank = ranks.filter(pl.col("date_sig") == day)
            found.append(scan(day, chosen, setups, replay, gate, sessions=sessions, momentum=rank))
        frame = pl.concat(found)
        note_rows(context, frame, "day")
        return frame

    @table_asset(
        home,
        "live.outcomes",
        rooms=("labs/equity/setups",),
        specs=FOLLOWED,
        kinds={"numba", "parquet"},
        partitions_def=by_day,
        backfill_policy=dg.BackfillPolicy.single_run(),
        ins={
            "scans": reads_all("live.scan"),
            "bars": reads_all("clean.equity_bars"),
            "actions": reads_all("clean.corporate_actions"),
        },
    )
    def live_outcomes(
        context: dg.AssetExecutionContext,
        home: HomeResource,
        scans: pl.LazyFrame,
        bars: pl.LazyFrame,
        actions: pl.LazyFrame,
    ) -> pl.DataFrame:
        opened, setups = home.open(), scans.collect()
        waiting = setups.filter("qualified")["ticker"].unique().to_list()
        by_ticker = _by_ticker(bars, waiting)
        ends = applied_actions(actions).filter(pl.col("kind") == "delisting").select("ticker", "value").collect()
        frame = pl.concat(
            evaluate_open_setups(
                date.fromisoformat(key),
                setups,
                by_ticker,
                opened.load("replay/equity.yaml", ReplaySpec),
                sessions=market_sessions(opened),
                delisting_returns=dict(ends.iter_rows()),
            )
            for key in context.partition_keys
        )
        note_rows(context, frame, "day")
        return frame

    return [live_scan, live_outcomes]


def _by_ticker(bars: pl.LazyFrame, tickers: list[str]) -> dict[str, pl.DataFrame]:
    frame = bars.filter(pl.col("ticker").is_in(tickers)).sort("ticker", "session").collect()
    return {str(key[0]): part for key, part in frame.partition_by("ticker", as_dict=True).items()}
