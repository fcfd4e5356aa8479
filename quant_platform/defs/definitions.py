"""Everything Dagster loads: the one place where assets, checks, jobs, schedules, sensors and resources meet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from quant_platform.contracts.tables import TABLES
from quant_platform.defs import partitions
from quant_platform.defs.automation import build_schedules, build_sensors
from quant_platform.defs.checks import build_checks
from quant_platform.defs.equity_stages import CANDIDATES, CLEAN, FEATURES, RAW_FUNDAMENTALS, RAW_MARKET
from quant_platform.defs.factor_assets import build_factor_assets
from quant_platform.defs.home import Home
from quant_platform.defs.jobs import build_jobs
from quant_platform.defs.live_assets import build_live_assets
from quant_platform.defs.market_assets import build_market_assets
from quant_platform.defs.replay_assets import build_replay_assets
from quant_platform.defs.resources import HomeResource, LakeIOManager
from quant_platform.defs.ticker_assets import can_fork, ticker_asset, worker_count
from quant_platform.specification.features import load_equity_features
from quant_platform.specification.settings import Settings


def build_definitions(home: Home) -> dg.Definitions:
    """Make the definitions of one home; its specs decide partitions, schedules and code versions."""
    open_ended = home.spec.last_session is None
    factor_partitions, sweep_partitions = partitions.factors(home), partitions.sweeps(home)
    described = {name: feature.description for name, feature in load_equity_features(home.specs).features.items()}
    common: dict[str, Any] = {"schedules": home.schedules, "open_ended": open_ended}
    ticker_assets = [
        ticker_asset(
            RAW_MARKET,
            group="raw",
            kinds={home.spec.source, "parquet"},
            code_version=RAW_MARKET.code_version(home),
            from_source=True,
            **common,
        ),
        ticker_asset(
            RAW_FUNDAMENTALS,
            group="raw",
            kinds={home.spec.source, "parquet"},
            code_version=RAW_FUNDAMENTALS.code_version(home),
            from_source=True,
            **common,
        ),
        ticker_asset(
            CLEAN,
            group="clean",
            kinds={"numpy", "parquet"},
            code_version=CLEAN.code_version(home),
            lineage={
                column: [("raw.equity_bars", column), ("raw.corporate_actions", "value")]
                for column in ("open", "high", "low", "close", "volume")
            },
            **common,
        ),
        ticker_asset(
            FEATURES,
            group="features",
            kinds={"numba", "parquet"},
            code_version=FEATURES.code_version(home),
            extra_columns=described,
            **common,
        ),
        ticker_asset(
            CANDIDATES,
            group="replay",
            kinds={"numba", "parquet"},
            code_version=CANDIDATES.code_version(home),
            **common,
        ),
    ]
    frame_assets = [
        *build_market_assets(home),
        *build_factor_assets(home, factor_partitions),
        *build_replay_assets(home, sweep_partitions),
        *build_live_assets(home),
    ]
    assets = [*ticker_assets, *frame_assets]
    made = {".".join(key.path) for asset in assets for key in asset.keys}
    jobs = build_jobs()
    return dg.Definitions(
        assets=assets,
        asset_checks=build_checks([name for name in TABLES if name in made]),
        jobs=list(jobs.values()),
        schedules=build_schedules(home, jobs),
        sensors=build_sensors(
            home, jobs, factor_partitions.get_partition_keys(), sweep_partitions.get_partition_keys()
        ),
        resources=build_resources(home),
        executor=build_executor(),
    )


def build_resources(home: Home) -> dict[str, object]:
    """The home, the I/O manager over its lake, and the catalogue for SQL."""
    from dagster_duckdb import DuckDBResource

    where = HomeResource(home=str(home.settings.home), specs=str(home.settings.specs))
    return {
        "home": where,
        "io_manager": LakeIOManager(home=where),
        "catalogue": DuckDBResource(
            database=str(home.settings.catalogue), connection_config={"access_mode": "READ_ONLY"}
        ),
    }


def build_executor() -> dg.ExecutorDefinition:
    """Worker processes from a fork server that has this module loaded; one core is left to the machine.

    A run may ask for ``in_process`` (one process does every step) or another ``max_concurrent``.
    """

    def choose(config: Mapping[str, Any]) -> dict[str, Any]:
        if config["in_process"]:
            return {"in_process": {}}
        start = {"forkserver": {"preload_modules": [__name__]}} if can_fork() else {"spawn": {}}
        return {"multiprocess": {"max_concurrent": config["max_concurrent"], "start_method": start}}

    schema = {
        "in_process": dg.Field(bool, default_value=False, description="Run every step in the run's own process."),
        "max_concurrent": dg.Field(int, default_value=worker_count(), description="Worker processes at a time."),
    }
    return dg.multi_or_in_process_executor.configured(choose, config_schema=schema)


def definitions_of(where: Settings) -> dg.Definitions:
    """The definitions of a home: the ones of this module when it is the home they were made for."""
    return defs if where == _HOME.settings else build_definitions(Home(where))


_HOME = Home.from_environment()
defs = build_definitions(_HOME)
