"""Assets of the replay: the gate's verdicts by week, what they were worth as of a week, the sweeps, the report."""

from datetime import date

import dagster as dg
import polars as pl

from quant_platform.defs import partitions
from quant_platform.defs.frame_assets import note_rows, reads, reads_all, signal_sessions, table_asset
from quant_platform.defs.resources import HomeResource
from quant_platform.labs.equity.replay.calibration import calibration
from quant_platform.labs.equity.replay.hit_rate import hit_rate
from quant_platform.labs.equity.replay.qualified import qualified
from quant_platform.market.universe import member_sessions
from quant_platform.pipeline.equity_page import last_session_of, write_report
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.studies import EVERYTHING, JUDGED, SWEPT, Market, study_factors, sweep_gate, trial_ledger
from quant_platform.specification.activation import ActivationSpec
from quant_platform.specification.replay import ReplaySpec

GATE = ("activation.yaml",)


def build_replay_assets(home: Home, sweeps: dg.StaticPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """Qualified candidates, hit rate, calibration, sweeps and the report."""
    by_week = partitions.weeks(home.spec)

    @table_asset(
        home,
        "replay.qualified",
        rooms=("labs/equity/setups/gate", "labs/equity/replay/qualified"),
        specs=GATE,
        kinds={"polars", "parquet"},
        partitions_def=by_week,
        backfill_policy=dg.BackfillPolicy.single_run(),
        ins={
            "candidates": reads_all("replay.candidates"),
            "ranks": reads("signals.momentum_rank"),
            "securities": reads("raw.securities"),
        },
    )
    def replay_qualified(
        context: dg.AssetExecutionContext,
        home: HomeResource,
        candidates: pl.LazyFrame,
        ranks: pl.LazyFrame,
        securities: pl.LazyFrame,
    ) -> pl.DataFrame:
        opened = home.open()
        at = signal_sessions(opened, context.partition_keys)
        wanted = pl.col("date_sig").is_in(pl.Series(at, dtype=pl.Date).implode())
        judged = qualified(
            candidates.filter(wanted).collect(),
            ranks.collect(),
            opened.load("activation.yaml", ActivationSpec),
            members=member_sessions(securities.collect(), opened.universe.name, at),
        )
        note_rows(context, judged, "week")
        return judged

    @table_asset(
        home,
        "replay.hit_rate",
        rooms=("labs/equity/replay", "statistics"),
        specs=JUDGED,
        kinds={"numpy", "parquet"},
        partitions_def=by_week,
        ins={"judged": reads_all("replay.qualified")},
    )
    def replay_hit_rate(context: dg.AssetExecutionContext, home: HomeResource, judged: pl.LazyFrame) -> pl.DataFrame:
        opened, as_of = home.open(), date.fromisoformat(context.partition_key)
        return hit_rate(as_of, _until(judged, as_of), opened.load("replay/equity.yaml", ReplaySpec))

    @table_asset(
        home,
        "replay.calibration",
        rooms=("labs/equity/replay", "statistics"),
        specs=JUDGED,
        kinds={"numpy", "parquet"},
        partitions_def=by_week,
        ins={"judged": reads_all("replay.qualified")},
    )
    def replay_calibration(context: dg.AssetExecutionContext, home: HomeResource, judged: pl.LazyFrame) -> pl.DataFrame:
        opened, as_of = home.open(), date.fromisoformat(context.partition_key)
        spec = opened.load("replay/equity.yaml", ReplaySpec)
        return calibration(as_of, _until(judged, as_of), spec)

    @table_asset(
        home,
        "replay.activation_sweep",
        rooms=("labs/equity/replay", "labs/equity/setups/gate", "statistics"),
        specs=SWEPT,
        kinds={"numpy", "parquet"},
        partitions_def=sweeps,
        backfill_policy=dg.BackfillPolicy.single_run(),
        ins={"judged": reads_all("replay.qualified")},
    )
    def replay_activation_sweep(
        context: dg.AssetExecutionContext, home: HomeResource, judged: pl.LazyFrame
    ) -> pl.DataFrame:
        return sweep_gate(home.open(), context.partition_keys, judged.collect())

    @table_asset(
        home,
        "replay.trials",
        rooms=("labs/equity/replay",),
        specs=EVERYTHING,
        kinds={"polars", "parquet"},
        ins={
            "swept": reads_all("replay.activation_sweep"),
            "factors": reads_all("factors.information_coefficient"),
        },
    )
    def replay_trials(
        context: dg.AssetExecutionContext, home: HomeResource, swept: pl.LazyFrame, factors: pl.LazyFrame
    ) -> pl.DataFrame:
        del context
        return trial_ledger(home.open(), swept.collect(), factors.collect())

    @table_asset(
        home,
        "replay.report",
        rooms=(
            "labs/equity/replay",
            "reports",
            "labs/equity/factors",
            "statistics",
            "labs/equity/setups/gate",
            "market/universe",
        ),
        specs=EVERYTHING,
        kinds={"html", "parquet"},
        partitions_def=by_week,
        ins={
            "hits": reads("replay.hit_rate"),
            "calibrated": reads("replay.calibration"),
            "judged": reads_all("replay.qualified"),
            "swept": reads_all("replay.activation_sweep"),
            "factors": reads_all("factors.information_coefficient"),
            "securities": reads("raw.securities"),
            "bars": reads_all("clean.equity_bars"),
            "features": reads_all("features.equity"),
            "actions": reads_all("raw.corporate_actions"),
        },
    )
    def replay_report(
        context: dg.AssetExecutionContext,
        home: HomeResource,
        hits: pl.LazyFrame,
        calibrated: pl.LazyFrame,
        judged: pl.LazyFrame,
        swept: pl.LazyFrame,
        factors: pl.LazyFrame,
        securities: pl.LazyFrame,
        bars: pl.LazyFrame,
        features: pl.LazyFrame,
        actions: pl.LazyFrame,
    ) -> pl.DataFrame:
        opened, as_of = home.open(), date.fromisoformat(context.partition_key)
        seen = last_session_of(opened, as_of)
        names, sweep_names = partitions.factors(opened).get_partition_keys(), sweeps.get_partition_keys()
        market = Market(features, bars, actions, securities)
        came_later = bool(bars.select((pl.col("session") > seen).any()).collect().item())
        priced = bars.filter(pl.col("missing_reason").is_null(), pl.col("session") <= seen)
        row, page = write_report(
            opened,
            as_of,
            EVERYTHING,
            hit_rate=hits.collect(),
            calibration=calibrated.collect(),
            sweeps=sweep_gate(opened, sweep_names, judged.collect(), as_of) if came_later else swept.collect(),
            factors=study_factors(opened, names, market.until(seen)) if came_later else factors.collect(),
            securities=securities.collect(),
            last_bars=priced.group_by("ticker").agg(last_session=pl.col("session").max()).collect(),
        )
        context.add_output_metadata({"page": dg.MetadataValue.path(str(page)), "headline": row["headline"][0]})
        return row

    return [
        replay_qualified,
        replay_hit_rate,
        replay_calibration,
        replay_activation_sweep,
        replay_trials,
        replay_report,
    ]


def _until(judged: pl.LazyFrame, as_of: date) -> pl.DataFrame:
    return judged.filter(pl.col("week") <= as_of).collect()
