"""The jobs, each declared once: its tables, whose dimensions are its partition scheme, and what it follows.

A Dagster run covers one partition scheme, so a pipeline over several schemes is a chain of jobs: a success sensor
starts those that follow. Each job also runs alone, from the UI or with ``quant run``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TypeAlias

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from quant_platform.contracts.errors import PlatformError
from quant_platform.defs.schemes import Scheme, scheme_of
from quant_platform.defs.tags import ALONE_TAG, REFRESH_TAG
from quant_platform.pipeline import (
    audit,
    cross_section,
    discovery,
    equity,
    event_backtest,
    live,
    marks,
    operations,
    operations_dashboard,
    operations_fills,
    operations_weekly,
    parity,
    perpetuals,
    replay,
    studies,
    suite,
    suite_panel,
    tracking,
    verdicts,
)
from quant_platform.pipeline.changed import reads_of
from quant_platform.pipeline.events import EVENT_TABLES
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sql import sql_stages
from quant_platform.pipeline.stage import FrameStage, StageBase

# What define_asset_job returns; Dagster exports the function and not the type.
AssetJob: TypeAlias = UnresolvedAssetJobDefinition

ALL = -1
# What the demo shows of operations: eight weeks.
SIMULATED_WEEKS = 8
SIMULATED_SESSIONS = 5 * SIMULATED_WEEKS


class UnknownJob(PlatformError, LookupError):
    """A job of this name does not exist."""

    code = "unknown_job"


@dataclass(frozen=True)
class Job:
    """Some tables that are made in one run.

    Attributes
    ----------
    name
        What ``quant run`` and the UI call it.
    stages
        What it runs; their outputs are its tables.
    description
        One sentence.
    follows
        Jobs whose success starts this one.
    whole
        How many of its last partitions belong to the whole graph of a market: :data:`ALL`, or 0 for a job that repeats
        what others make.
    simulated
        The same for a simulated market that has ended, where it is another number.
    refresh
        Whether it makes again what is current.
    every_days
        Days between two of its runs where a schedule is on; None for a job that nothing starts by itself.
    """

    name: str
    stages: tuple[StageBase, ...]
    description: str
    follows: tuple[str, ...] = ()
    whole: int = 0
    simulated: int | None = None
    refresh: bool = False
    every_days: int | None = None

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables it makes."""
        return tuple(output for stage in self.stages for output in stage.outputs)

    @property
    def reads(self) -> frozenset[str]:
        """The tables that its stages read, its own among them where one reads what another makes."""
        return frozenset(name for stage in self.stages for name in reads_of(stage))

    @property
    def scheme(self) -> Scheme:
        """How its tables are partitioned."""
        return scheme_of(table for stage in self.stages for table in stage.tables)

    def runs_over(self, keys: Sequence[str]) -> list[tuple[str, ...]]:
        """One run over all of some consecutive keys, or one for each where the job makes one partition at a time."""
        single = any(isinstance(stage, FrameStage) and not stage.together for stage in self.stages)
        return [(key,) for key in keys] if single and keys else [tuple(keys)]

    def asset_job(self) -> AssetJob:
        """Define it for Dagster."""
        keys = (dg.AssetKey(name.split(".")) for name in self.tables)
        return dg.define_asset_job(
            self.name,
            selection=dg.AssetSelection.assets(*keys),
            description=self.description,
            tags={REFRESH_TAG: "true"} if self.refresh else {ALONE_TAG: self.name} if self.scheme.period else None,
        )


EQUITY_JOBS = (
    Job(
        "securities",
        (cross_section.SECURITIES,),
        "Membership intervals of the universe.",
        follows=("daily_pipeline",),
        whole=ALL,
        every_days=1,
    ),
    Job(
        "daily_pipeline",
        (equity.RAW_MARKET, equity.CLEAN, equity.FEATURES),
        "New bars and actions, clean bars and features of every ticker; membership and the scan follow.",
        every_days=1,
    ),
    Job(
        "weekly_fundamentals",
        (equity.RAW_FUNDAMENTALS, equity.CLEAN_FUNDAMENTALS),
        "Published fundamentals of every ticker.",
        every_days=7,
    ),
    Job(
        "weekly_replay",
        (equity.CANDIDATES,),
        "Candidates of the finished week; the weekly evidence follows.",
        every_days=7,
    ),
    Job(
        "ticker_graph",
        equity.STAGES,
        "Every ticker table, from the source to the candidates; what is current is skipped.",
        whole=ALL,
    ),
    Job(
        "data_backfill",
        equity.STAGES,
        "Fetch the full window of every ticker again and rebuild what depends on it, whatever is current. "
        "Idempotent: a re-run after an interruption completes it.",
        refresh=True,
    ),
    Job(
        "row_accounting",
        (cross_section.ACCOUNTING,),
        "Where every raw row went, counted in SQL over the catalogue.",
        follows=("daily_pipeline",),
        whole=ALL,
        every_days=1,
    ),
    Job(
        "equity_audit",
        (audit.EQUITY_AUDIT,),
        "What was kept out, contradicted, unmatched or left empty, in words.",
        follows=("row_accounting",),
        whole=ALL,
        every_days=1,
    ),
    Job(
        "weekly_cross_section",
        (cross_section.MOMENTUM_RANK, cross_section.QUALIFIED),
        "Momentum ranks and the gate's verdicts of some weeks.",
        follows=("weekly_replay",),
        whole=ALL,
        every_days=7,
    ),
    Job(
        "factor_study",
        (studies.FACTORS,),
        "Information coefficients of the factors.",
        follows=("weekly_cross_section",),
        whole=ALL,
        every_days=7,
    ),
    Job(
        "sweep_study",
        (studies.SWEEPS,),
        "Activation sweeps over the stored candidates.",
        follows=("factor_study",),
        whole=ALL,
        every_days=7,
    ),
    Job(
        "trial_ledger",
        (studies.TRIALS,),
        "Every factor and gate that was tried, beside those of before.",
        follows=("sweep_study",),
        whole=ALL,
        every_days=7,
    ),
    Job(
        "weekly_report",
        replay.STAGES,
        "Hit rate, calibration and the report as of a week.",
        follows=("sweep_study",),
        whole=1,
        every_days=7,
    ),
    Job(
        "live_scan",
        live.STAGES,
        "Setups of a session and the outcome of open ones.",
        follows=("securities",),
        whole=3,
        simulated=SIMULATED_SESSIONS,
        every_days=1,
    ),
    Job("live_outcomes", (live.OUTCOMES,), "The outcome of open setups."),
    Job(
        "intraday_pipeline",
        (marks.MARKS,),
        "Last price and R so far of every open setup in the running session; no new signals.",
        whole=1,
        every_days=1,
    ),
)
EVENT_JOBS = (
    Job(
        "perp_graph",
        perpetuals.STAGES,
        "Perpetuals and spot from the source to one joined row per bar; what is current is skipped.",
        whole=ALL,
    ),
    Job(
        "perp_daily",
        perpetuals.STAGES,
        "New bars of the running month, of one that has just ended, and of every month not made yet; events follow.",
        every_days=1,
    ),
    Job(
        "perp_audit",
        (audit.PERP_AUDIT,),
        "What was kept out of the perpetuals, what is missing and what is not known, in words.",
        follows=("perp_daily",),
        whole=ALL,
        every_days=1,
    ),
    Job(
        "event_graph",
        (EVENT_TABLES,),
        "Features, context, states and event flags of every symbol and month.",
        follows=("perp_daily",),
        whole=ALL,
        every_days=1,
    ),
    Job(
        "event_study",
        discovery.STAGES,
        "Accepted onsets of every event up to a cutoff, and the cells evaluated on them.",
        whole=ALL,
    ),
    Job(
        "monthly_discovery",
        discovery.STAGES,
        "Accepted onsets and cells up to the end of every month not studied yet; the verdicts follow.",
        every_days=31,
    ),
    Job(
        "discovery",
        verdicts.STAGES,
        "Hypotheses, the out-of-sample bridge, blueprints, the trial ledger and the report of a cutoff.",
        follows=("monthly_discovery",),
        whole=1,
        every_days=31,
    ),
    Job(
        "event_backtest",
        (event_backtest.BACKTESTS,),
        "Blueprints and refused cells traded: trades, walk-forward, robustness, promotions, capital, the report.",
        follows=("discovery",),
        whole=1,
        every_days=31,
    ),
)
SUITE_JOBS = (
    Job("suite_dates", (suite_panel.DATES,), "Sessions of the research suite, with their hours."),
    Job("suite_panel", (suite_panel.PANEL,), "Returns, liquidity and exposures of every name by year."),
    Job("suite_signals", (suite.SIGNALS,), "Registered signals and the rows of them that were left out."),
    Job("suite", (suite.SUITE,), "A signal judged on a snapshot: variants, baselines, trials, verdict, tear sheet."),
    Job(
        "suite_tracking",
        (tracking.TRACKING,),
        "The run of MLflow that shows a suite, with its artifacts.",
        follows=("suite",),
    ),
)
OPERATIONS_JOBS = (
    Job(
        "operations_daily",
        (operations.DAILY,),
        "Paper fills of a session, and the orders for the next open; what was not sent says why.",
        follows=("live_scan",),
        whole=3,
        simulated=SIMULATED_SESSIONS,
        every_days=1,
    ),
    Job(
        "operations_fills",
        (operations_fills.FILLS,),
        "Imported fills, and in a simulated market those of a simulated venue.",
        follows=("operations_daily",),
        whole=ALL,
        every_days=1,
    ),
    Job(
        "operations_sweep",
        operations_weekly.BY_NAME,
        "Routing thresholds of every name over stored candidates, and the ledger of what was tried.",
        follows=("weekly_cross_section",),
        whole=ALL,
        every_days=7,
    ),
    Job(
        "operations_weekly",
        operations_weekly.BY_WEEK,
        "Costs, hours, sleeves and proposals as known at the end of some weeks.",
        follows=("operations_sweep",),
        whole=1,
        simulated=SIMULATED_WEEKS,
        every_days=7,
    ),
    Job(
        "operations_dashboard",
        (operations_dashboard.DASHBOARD,),
        "The outputs of a session: account, skips, costs, sleeves, proposals, growth, alerts.",
        follows=("operations_fills",),
        whole=1,
        every_days=1,
    ),
)
PARITY_JOBS = (
    Job("parity_decisions", (parity.DECISIONS,), "Decisions of the parity cases, made once."),
    Job("parity", (parity.RUNS,), "Parity cases through the engine and every framework that is installed, compared."),
)
JOBS: Mapping[str, Job] = {
    job.name: job for job in (*EQUITY_JOBS, *EVENT_JOBS, *SUITE_JOBS, *PARITY_JOBS, *OPERATIONS_JOBS)
}


# A home of perpetuals has no paper account: fills that were imported, or that a simulated venue gave to what the event
# lab promoted, and what they cost by week and hour.
PERP_OPERATIONS_JOBS = (
    replace(JOBS["operations_fills"], follows=("event_backtest",), every_days=None),
    replace(
        JOBS["operations_weekly"],
        stages=(operations_weekly.COSTS, operations_weekly.WINDOWS),
        description="Costs and hours as known at the end of some weeks.",
        follows=("operations_fills",),
        every_days=None,
    ),
)
_OF_PERPETUALS: Mapping[str, Job] = {job.name: job for job in PERP_OPERATIONS_JOBS}


def sql_jobs(home: Home) -> tuple[Job, ...]:
    """One job for each table in SQL, which makes all of its partitions; it follows what makes its inputs."""
    held = [job for job in JOBS.values() if job.whole]
    found: list[Job] = []
    for stage in sql_stages(home):
        reads = set(stage.upstream)
        before = [job.name for job in (*held, *found) if reads & set(job.tables)]
        name = stage.table.name.replace(".", "_")
        description = f"{stage.table.description.rstrip('.')}: specs/{stage.specs[0]}."
        found.append(Job(name, (stage,), description, follows=tuple(before[-1:]), whole=ALL))
    return tuple(found)


def jobs_of(home: Home) -> Mapping[str, Job]:
    """Every job by name, those of the home's tables in SQL at the end."""
    return {**JOBS, **{job.name: job for job in sql_jobs(home)}}


def job_named(name: str, home: Home | None = None) -> Job:
    """Look a job up; of a table in SQL also by the name of the table.

    Parameters
    ----------
    name
        Its name.
    home
        The home whose tables in SQL have jobs too; that of the environment when not given.

    Raises
    ------
    UnknownJob
        With the closest name.
    """
    if name in _OF_PERPETUALS and home is not None and not home.has_equities:
        return _OF_PERPETUALS[name]
    if name in JOBS:
        return JOBS[name]
    known = jobs_of(Home.from_environment() if home is None else home)
    plain = name.replace(".", "_")
    if plain not in known:
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UnknownJob(f"there is no job {name!r}", action=f"{hint}choose one of: {', '.join(known)}")
    return known[plain]


def job_making(table_name: str) -> str:
    """The job to name to a person who lacks a table: the first of those that make it."""
    return next((job.name for job in JOBS.values() if table_name in job.tables), table_name)


def days_between(table_name: str) -> int | None:
    """Days between two runs that make a table where every schedule is on; None where none makes it."""
    found = [job.every_days for job in JOBS.values() if table_name in job.tables and job.every_days is not None]
    return min(found) if found else None


def stages_of(jobs: Iterable[Job]) -> list[StageBase]:
    """Every stage of some jobs, each once."""
    return list({id(stage): stage for job in jobs for stage in job.stages}.values())
