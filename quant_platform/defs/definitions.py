"""Everything Dagster loads: the one place where the labs, their checks and the resources meet."""

from __future__ import annotations

import dagster as dg

from quant_platform.defs.automation import build_failure_log, build_schedules, build_sensors
from quant_platform.defs.checks import build_checks
from quant_platform.defs.dropped import build_inbox_sensor
from quant_platform.defs.event_storage import batch_events
from quant_platform.defs.executors import build_executor
from quant_platform.defs.labs import labs_of
from quant_platform.defs.resources import CatalogueResource, HomeResource, LakeIOManager, sharing_resource
from quant_platform.pipeline.home import Home
from quant_platform.specification.deployment import deployment
from quant_platform.specification.settings import Settings


def build_definitions(home: Home) -> dg.Definitions:
    """Make the definitions of one home: the labs whose markets it holds."""
    labs = labs_of(home)
    assets = [asset for lab in labs for asset in lab.assets(home)]
    declared = [job for lab in labs for job in lab.jobs]
    jobs = {job.name: job.asset_job() for job in declared}
    made = {".".join(key.path) for asset in assets for key in asset.keys}
    return dg.Definitions(
        assets=assets,
        asset_checks=build_checks([found for name, found in home.tables.items() if name in made]),
        jobs=list(jobs.values()),
        schedules=build_schedules(home, declared, jobs),
        sensors=[
            *build_sensors(home, declared, jobs),
            *([build_inbox_sensor(jobs)] if "suite" in jobs else []),
            build_failure_log(),
        ],
        resources=build_resources(home),
        executor=build_executor(deployment(home.settings).executor),
    )


def build_resources(home: Home) -> dict[str, object]:
    """The home, the I/O manager over its lake, and the catalogue for SQL."""
    where = HomeResource(home=str(home.settings.home), specs=str(home.settings.specs))
    return {
        "home": where,
        "io_manager": LakeIOManager(home=where),
        "sharing": sharing_resource,
        "catalogue": CatalogueResource(database=str(home.settings.catalogue)),
    }


def definitions_of(where: Settings) -> dg.Definitions:
    """The definitions of a home: the ones of this module when it is the home they were made for, with its SQL files."""
    home = Home(where)
    return defs if where == _HOME.settings and home.sql == _HOME.sql else build_definitions(home)


# The processes of `quant up` and of a deployment load this module, whoever started them.
batch_events()
_HOME = Home.from_environment()
defs = build_definitions(_HOME)
