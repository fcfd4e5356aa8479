"""What each lab contributes to the definitions: the assets of its stages, its jobs, schedules and sensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import dagster as dg

from quant_platform.defs.batch_assets import batch_asset
from quant_platform.defs.chunked_assets import chunked_asset
from quant_platform.defs.frame_assets import frame_asset
from quant_platform.defs.jobs import (
    EQUITY_JOBS,
    EVENT_JOBS,
    OPERATIONS_JOBS,
    PARITY_JOBS,
    PERP_OPERATIONS_JOBS,
    SUITE_JOBS,
    Job,
    days_between,
    sql_jobs,
    stages_of,
)
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import BatchStage, FrameStage, Stage, StageBase


@dataclass(frozen=True)
class Lab:
    """One lab.

    Attributes
    ----------
    name
        The group of its assets.
    jobs
        What it runs; the stages of these jobs are its assets.
    held
        Whether a home holds its market.
    goes_on
        Whether that market is open-ended.
    """

    name: str
    jobs: Sequence[Job]
    held: Callable[[Home], bool]
    goes_on: Callable[[Home], bool]

    def assets(self, home: Home) -> list[dg.AssetsDefinition]:
        """The assets of its stages; the specs of the home decide partitions and code versions."""
        found = [asset_of(stage, home, self.name) for stage in stages_of(self.jobs)]
        return (
            [asset.map_asset_specs(lambda spec: aging(spec, home)) for asset in found] if self.goes_on(home) else found
        )


def aging(spec: dg.AssetSpec, home: Home) -> dg.AssetSpec:
    """Attach to an asset of a market that goes on when it is called old, after the schedule that makes it.

    It warns ``freshness_days`` of ``specs/schedules.yaml`` after the run that did not come, and fails after four times
    that. A table that no schedule makes has no age.
    """
    between = days_between(".".join(spec.key.path))
    if between is None:
        return spec
    late = home.schedules.freshness_days
    warn, fail = timedelta(days=between - 1 + late), timedelta(days=between - 1 + 4 * late)
    return spec.replace_attributes(freshness_policy=dg.FreshnessPolicy.time_window(fail_window=fail, warn_window=warn))


LABS = (
    Lab("equity", EQUITY_JOBS, lambda home: home.has_bars, lambda home: home.spec.last_session is None),
    Lab("events", EVENT_JOBS, lambda home: home.has_perps, lambda home: home.perps.last_month is None),
    # A suite is run when somebody asks: its tables have no age.
    Lab("suite", SUITE_JOBS, lambda _: True, lambda _: False),
    Lab("operations", OPERATIONS_JOBS, lambda home: home.has_bars, lambda home: home.spec.last_session is None),
    Lab("operations", PERP_OPERATIONS_JOBS, lambda home: not home.has_equities, lambda _: False),
    # Parity cases bring their own bars: they belong to the engine, whatever market a home holds.
    Lab("parity", PARITY_JOBS, lambda _: True, lambda _: False),
)


def labs_of(home: Home) -> list[Lab]:
    """The labs whose markets a home holds, and its tables in SQL, which have no age of their own."""
    sql = Lab("sql", sql_jobs(home), lambda _: True, lambda _: False)
    return [lab for lab in (*LABS, sql) if lab.jobs and lab.held(home)]


def job_names_of(home: Home, labs: Sequence[str]) -> list[str]:
    """The jobs of some labs of a home, by the names of the labs."""
    return [job.name for lab in labs_of(home) if lab.name in labs for job in lab.jobs]


def asset_of(stage: StageBase, home: Home, lab: str) -> dg.AssetsDefinition:
    """The assets of a stage of any kind."""
    match stage:
        case Stage():
            return chunked_asset(stage, home, lab)
        case FrameStage():
            return frame_asset(stage, home, lab)
        case BatchStage():
            return batch_asset(stage, home, lab)
    raise TypeError(f"no asset is made of a {type(stage).__name__}")
