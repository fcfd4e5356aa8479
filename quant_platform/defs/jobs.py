"""The jobs, and which one follows which.

A Dagster run covers one partition scheme, so a pipeline over several schemes is a chain of jobs: a success sensor
starts the next one (:data:`FOLLOWERS`). Each job also runs alone, from the UI or with ``quant run``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from quant_platform.defs.ticker_assets import REFRESH_TAG

# What define_asset_job returns; Dagster exports the function and not the type.
AssetJob: TypeAlias = UnresolvedAssetJobDefinition

RAW_MARKET = ("raw.equity_bars", "raw.corporate_actions")
CLEAN = ("clean.equity_bars", "clean.equity_quarantine", "clean.equity_suspects", "clean.corporate_actions")

RAW_PERPS = ("raw.perp_bars", "raw.spot_bars", "raw.funding", "raw.open_interest", "raw.liquidations", "raw.book")
CLEAN_PERPS = (
    "clean.perp_bars_5m",
    "clean.spot_bars_5m",
    "clean.perp_quarantine",
    "clean.funding",
    "clean.open_interest",
    "clean.liquidations",
    "clean.book",
    "clean.perp_fact_quarantine",
)
CLEAN_FUNDAMENTALS = ("clean.fundamentals", "clean.fundamentals_quarantine")

SELECTIONS: Mapping[str, tuple[str, ...]] = {
    "securities": ("raw.securities",),
    "row_accounting": ("clean.equity_accounting",),
    "daily_pipeline": (*RAW_MARKET, *CLEAN, "features.equity"),
    "intraday_pipeline": (*RAW_MARKET, *CLEAN),
    "weekly_fundamentals": ("raw.fundamentals", *CLEAN_FUNDAMENTALS),
    "weekly_replay": ("replay.candidates",),
    "ticker_graph": (
        *RAW_MARKET,
        "raw.fundamentals",
        *CLEAN,
        *CLEAN_FUNDAMENTALS,
        "features.equity",
        "replay.candidates",
    ),
    "data_backfill": (
        *RAW_MARKET,
        "raw.fundamentals",
        *CLEAN,
        *CLEAN_FUNDAMENTALS,
        "features.equity",
        "replay.candidates",
    ),
    "weekly_cross_section": ("signals.momentum_rank", "replay.qualified"),
    "factor_study": ("factors.information_coefficient",),
    "sweep_study": ("replay.activation_sweep",),
    "weekly_report": ("replay.hit_rate", "replay.calibration", "replay.report"),
    "live_scan": ("live.scan", "live.outcomes"),
    "live_outcomes": ("live.outcomes",),
    "perp_graph": (*RAW_PERPS, *CLEAN_PERPS, "clean.market_5m"),
    "event_graph": ("features.market_5m", "features.context_5m", "features.states_5m", "events.event_flags"),
    "event_study": ("events.events", "discovery.candidates"),
    "discovery": (
        "discovery.hypotheses",
        "discovery.trials",
        "discovery.bridge",
        "discovery.blueprints",
        "discovery.report",
    ),
}

DESCRIPTIONS: Mapping[str, str] = {
    "securities": "Membership intervals of the universe.",
    "row_accounting": "Where every raw row went, counted in SQL over the catalogue.",
    "daily_pipeline": "New bars and actions, clean bars and features of every ticker; the scan of the session follows.",
    "intraday_pipeline": "Bars of the running session; the outcome of open setups follows.",
    "weekly_fundamentals": "Published fundamentals of every ticker.",
    "weekly_replay": "Candidates of every ticker; ranks, gate, factors, sweeps and the report of the week follow.",
    "ticker_graph": "Every ticker table, from the source to the candidates; what is current is skipped.",
    "data_backfill": "Fetch the full window of every ticker again and rebuild what depends on it, whatever is current. "
    "Idempotent: a re-run after an interruption completes it.",
    "weekly_cross_section": "Momentum ranks and the gate's verdicts of some weeks.",
    "factor_study": "Information coefficients of the factors.",
    "sweep_study": "Activation sweeps over the stored candidates.",
    "weekly_report": "Hit rate, calibration and the report as of a week.",
    "live_scan": "Setups of a session and the outcome of open ones.",
    "live_outcomes": "The outcome of open setups.",
    "perp_graph": "Perpetuals and spot from the source to one joined row per bar; what is current is skipped.",
    "event_graph": "Features, context, states and event flags of every symbol and month.",
    "event_study": "Accepted onsets of every event up to a cutoff, and the cells evaluated on them.",
    "discovery": "Hypotheses, the out-of-sample bridge, blueprints, the trial ledger and the report of a cutoff.",
}

FOLLOWERS: Mapping[str, tuple[str, ...]] = {
    "daily_pipeline": ("live_scan", "row_accounting"),
    "intraday_pipeline": ("live_outcomes",),
    "weekly_replay": ("weekly_cross_section",),
    "weekly_cross_section": ("factor_study",),
    "factor_study": ("sweep_study",),
    "sweep_study": ("weekly_report",),
}

TICKER_JOBS = (
    "daily_pipeline",
    "intraday_pipeline",
    "weekly_fundamentals",
    "weekly_replay",
    "ticker_graph",
    "data_backfill",
)
SYMBOL_MONTH_JOBS = ("perp_graph", "event_graph")
EVENT_JOBS = ("event_study",)
CUTOFF_JOBS = ("discovery",)
UNPARTITIONED_JOBS = ("securities", "row_accounting")
WEEK_JOBS = ("weekly_cross_section", "weekly_report")
DAY_JOBS = ("live_scan", "live_outcomes")
FACTOR_JOBS = ("factor_study",)
SWEEP_JOBS = ("sweep_study",)


PERP_JOBS = (*SYMBOL_MONTH_JOBS, *EVENT_JOBS, *CUTOFF_JOBS)
EQUITY_JOBS = tuple(name for name in SELECTIONS if name not in PERP_JOBS)


def job_making(table_name: str) -> str:
    """The job to name to a person who lacks a table: the first of those that make it."""
    return next(job for job, tables in SELECTIONS.items() if table_name in tables)


def build_jobs(names: Sequence[str]) -> dict[str, AssetJob]:
    """One asset job per name; the backfill ignores what is current."""
    return {
        name: dg.define_asset_job(
            name,
            selection=dg.AssetSelection.assets(*(dg.AssetKey(table.split(".")) for table in tables)),
            description=DESCRIPTIONS[name],
            tags={REFRESH_TAG: "true"} if name == "data_backfill" else None,
        )
        for name, tables in ((name, SELECTIONS[name]) for name in names)
    }
