"""The sensor of the inbox: a signal file that is dropped there is registered, and judged on current data."""

import json
from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from quant_platform.contracts.tables import table
from quant_platform.defs.jobs import AssetJob, job_named
from quant_platform.defs.resources import HomeResource
from quant_platform.defs.schemes import partition_key, range_tags, signals, suites
from quant_platform.pipeline import inbox
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.submissions import submission
from quant_platform.pipeline.suite import DEFAULT_PRESET, ask_for
from quant_platform.pipeline.suite_panel import panel_inputs, panel_is_current
from quant_platform.pipeline.suite_snapshots import default_region, make_snapshot, newest_snapshot
from quant_platform.specification import clock

_RUN_BY_IT = ("suite_dates", "suite_panel", "suite_signals", "suite")


def build_inbox_sensor(jobs: dict[str, AssetJob]) -> dg.SensorDefinition:
    """Make the sensor that looks into ``<home>/inbox``."""

    @dg.sensor(
        name="inbox_sensor",
        jobs=[jobs[name] for name in _RUN_BY_IT],
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Registers a signal file that is dropped into <home>/inbox, and judges it once the panel of the "
        "suite is current; one that breaks the contract is moved to inbox/refused with the reasons.",
    )
    def inbox_sensor(context: dg.SensorEvaluationContext, home: HomeResource) -> dg.SensorResult | dg.SkipReason:
        return tick(home.open(), context.instance, context.cursor, clock.now())

    return inbox_sensor


def tick(
    home: Home, instance: dg.DagsterInstance, cursor: str | None, now: datetime
) -> dg.SensorResult | dg.SkipReason:
    """Take what lies in the inbox, and ask for the runs that what was taken waits for.

    Parameters
    ----------
    home, instance
        The market, and where its partitions are recorded.
    cursor
        Names that were registered before and wait for a current panel, as JSON.
    now
        A time with a zone; files that changed just before it are left for the next tick.
    """
    pending = list(json.loads(cursor)) if cursor else []
    taken = [inbox.take(home, path) for path in inbox.waiting(home, now)]
    pending += [one.signal for one in taken if one.signal and one.signal not in pending]
    refused = [one.file for one in taken if not one.signal]
    if not pending:
        return dg.SkipReason(
            f"refused: {', '.join(refused)}; inbox/refused says why" if refused else "nothing new lies in the inbox"
        )
    years = job_named("suite_panel").scheme.keys(home, instance)
    if not panel_is_current(home, years):
        state = "/".join(version[:12] for version in panel_inputs(home).values())
        requests = [
            dg.RunRequest(run_key=f"inbox/dates/{state}", job_name="suite_dates"),
            dg.RunRequest(run_key=f"inbox/panel/{state}", job_name="suite_panel", tags=range_tags(years)),
        ]
        return dg.SensorResult(run_requests=requests, cursor=json.dumps(pending))
    return _judge(home, pending)


def _judge(home: Home, names: Sequence[str]) -> dg.SensorResult:
    snapshot = newest_snapshot(home, default_region(home)) or make_snapshot(home, default_region(home))
    keys = {name: partition_key(table("suite.verdict"), (name, snapshot)) for name in names}
    requests = []
    for name, key in keys.items():
        ask_for(home, (name, snapshot), DEFAULT_PRESET)
        version = submission(home, name).signal_hash[:12]
        for job, wanted in (("suite_signals", name), ("suite", key)):
            run_key = f"inbox/{job}/{wanted}/{version}"
            requests.append(dg.RunRequest(run_key=run_key, job_name=job, tags=range_tags([wanted])))
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[
            signals.build_add_request(list(keys)),
            suites.build_add_request(list(keys.values())),
        ],
        cursor=json.dumps([]),
    )
