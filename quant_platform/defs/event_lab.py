"""The event lab: perpetuals from the source to the joined market, and what is built on it."""

from __future__ import annotations

from quant_platform.defs import partitions
from quant_platform.defs.discovery_assets import build_discovery_assets
from quant_platform.defs.event_assets import build_event_assets
from quant_platform.defs.jobs import PERP_JOBS, build_jobs
from quant_platform.defs.parts import Parts
from quant_platform.defs.ticker_assets import ticker_asset
from quant_platform.pipeline.discovery import CANDIDATES, EVENTS
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.perpetuals import CLEAN_PERPS, MARKET, RAW_PERPS
from quant_platform.specification.event_lab import load_event_lab


def event_lab(home: Home) -> Parts:
    """Make the event lab of a home; its specs decide partitions and code versions."""
    scheme = partitions.symbol_months(home.perps)
    assets = [
        ticker_asset(
            stage,
            group=group,
            kinds=kinds,
            code_version=stage.code_version(home),
            schedules=home.schedules,
            from_source=from_source,
            partitions_def=scheme,
        )
        for stage, group, kinds, from_source in (
            (RAW_PERPS, "raw", {home.perps.source, "parquet"}, True),
            (CLEAN_PERPS, "clean", {"numpy", "parquet"}, False),
            (MARKET, "clean", {"polars", "parquet"}, False),
        )
    ]
    events = partitions.event_cutoffs(list(load_event_lab(home.specs).active), home.perps)
    cells = [
        ticker_asset(
            stage,
            group=group,
            kinds=kinds,
            code_version=stage.code_version(home),
            schedules=home.schedules,
            partitions_def=events,
        )
        for stage, group, kinds in (
            (EVENTS, "events", {"polars", "parquet"}),
            (CANDIDATES, "discovery", {"numba", "parquet"}),
        )
    ]
    return Parts(
        assets=[*assets, *build_event_assets(home), *cells, *build_discovery_assets(home)],
        jobs=list(build_jobs(PERP_JOBS).values()),
    )
