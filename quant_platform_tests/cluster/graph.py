"""``python -m quant_platform_tests.cluster.graph``: jobs of the equity graph in one home, as `quant run` starts them.

The environment and ``deployment.yaml`` say where runs are recorded and what executes the steps: this code knows
neither. The result is written as JSON: what it cost, what became of the runs, the content hash of every partition.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg

WEEKLY = "weekly_cross_section"
WEEKS = 12
NOTED = ("STEP_UP_FOR_RETRY", "STEP_RESTARTED", "STEP_FAILURE", "STEP_SUCCESS", "ASSET_MATERIALIZATION")


def run(jobs: list[str], *, in_process: bool | None, workers: int | None, hashed: bool = True) -> dict[str, Any]:
    """Run jobs of the home of the environment, all of the equity graph when none is named."""
    from quant_platform.defs import runs
    from quant_platform.defs.jobs import EQUITY_JOBS, job_named
    from quant_platform.pipeline.home import Home
    from quant_platform_tests.homes import hashes

    home = Home.from_environment()
    wanted = jobs or [job.name for job in EQUITY_JOBS]
    began, found, tables = time.monotonic(), [], []
    with runs.instance_of(home) as instance:
        runs.register_tickers(home, instance)
        for launch in runs.everything(home, instance):
            if launch.job not in wanted:
                continue
            keys = launch.keys[-WEEKS:] if launch.job == WEEKLY else launch.keys
            at = time.monotonic()
            run_id = runs.execute(runs.Launch(launch.job, keys), instance, in_process=in_process, workers=workers)
            found.append({"job": launch.job, "seconds": time.monotonic() - at, **_became(instance, run_id)})
            tables += job_named(launch.job, home).tables
    seconds, cpu = time.monotonic() - began, time.process_time()
    made = {f"{name} {key}": digest for (name, key), digest in hashes(home, *tables).items()} if hashed else {}
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "runs": found,
        "partitions": sum(one["events"]["ASSET_MATERIALIZATION"] for one in found),
        "hashes": made,
    }


def _became(instance: dg.DagsterInstance, run_id: str) -> dict[str, Any]:
    """What the log of a run says of it, read back from where it is kept."""
    entries = instance.all_logs(run_id)
    events = [entry.dagster_event for entry in entries if entry.dagster_event is not None]
    counted = Counter(event.event_type_value for event in events)
    record = instance.get_run_by_id(run_id)
    repeated = [event for event in events if event.event_type_value == "STEP_UP_FOR_RETRY"]
    return {
        "run": run_id,
        "status": None if record is None else record.status.value,
        "events": {kind: counted.get(kind, 0) for kind in NOTED},
        "repeated": [f"{event.step_key}: {event.step_retry_data.error.message}".strip() for event in repeated],
    }


def main() -> None:
    """Run, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--job", action="append", default=[])
    parser.add_argument("--in-process", action="store_true")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--no-hashes", action="store_true", help="leave the partitions to who has started this")
    given = parser.parse_args()
    os.environ.setdefault("DAGSTER_STEP_DELEGATING_EXECUTOR_SLEEP_SECONDS", "0.5")
    result = run(given.job, in_process=given.in_process or None, workers=given.workers, hashed=not given.no_hashes)
    given.out.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
