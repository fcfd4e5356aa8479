"""The equity signal lab: its assets, jobs, schedules and sensors."""

from __future__ import annotations

from typing import Any

from quant_platform.defs import partitions
from quant_platform.defs.automation import build_schedules, build_sensors
from quant_platform.defs.factor_assets import build_factor_assets
from quant_platform.defs.jobs import EQUITY_JOBS, build_jobs
from quant_platform.defs.live_assets import build_live_assets
from quant_platform.defs.market_assets import build_market_assets
from quant_platform.defs.parts import Parts
from quant_platform.defs.replay_assets import build_replay_assets
from quant_platform.defs.ticker_assets import ticker_asset
from quant_platform.pipeline.equity import CANDIDATES, CLEAN, CLEAN_FUNDAMENTALS, FEATURES, RAW_FUNDAMENTALS, RAW_MARKET
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import Stage
from quant_platform.specification.features import load_equity_features


def equity_lab(home: Home) -> Parts:
    """Make the equity lab of a home; its specs decide partitions, schedules and code versions."""
    factors, sweeps = partitions.factors(home), partitions.sweeps(home)
    described = {name: feature.description for name, feature in load_equity_features(home.specs).features.items()}

    def tickers(stage: Stage, group: str, kinds: set[str], **options: Any) -> Any:
        return ticker_asset(
            stage,
            group=group,
            kinds=kinds,
            code_version=stage.code_version(home),
            schedules=home.schedules,
            open_ended=home.spec.last_session is None,
            **options,
        )

    adjusted = ("open", "high", "low", "close", "volume")
    lineage = {name: [("raw.equity_bars", name), ("raw.corporate_actions", "value")] for name in adjusted}
    assets = [
        tickers(RAW_MARKET, "raw", {home.spec.source, "parquet"}, from_source=True),
        tickers(RAW_FUNDAMENTALS, "raw", {home.spec.source, "parquet"}, from_source=True),
        tickers(CLEAN, "clean", {"numpy", "parquet"}, lineage=lineage),
        tickers(CLEAN_FUNDAMENTALS, "clean", {"numpy", "parquet"}),
        tickers(FEATURES, "features", {"numba", "parquet"}, extra_columns=described),
        tickers(CANDIDATES, "replay", {"numba", "parquet"}),
        *build_market_assets(home),
        *build_factor_assets(home, factors),
        *build_replay_assets(home, sweeps),
        *build_live_assets(home),
    ]
    jobs = build_jobs(EQUITY_JOBS)
    return Parts(
        assets=assets,
        jobs=list(jobs.values()),
        schedules=build_schedules(home, jobs),
        sensors=build_sensors(home, jobs, factors.get_partition_keys(), sweeps.get_partition_keys()),
    )
