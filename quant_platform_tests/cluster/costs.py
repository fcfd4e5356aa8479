"""``python -m quant_platform_tests.cluster --costs``: what 1,000 partitions cost, by where runs, lake and steps are.

The ticker tables of the equity graph are made again and again, each time in a new home with a new database and a new
prefix of the bucket, and each time the content hashes have to be those of the first way. Processor seconds are counted
for the processes of the run and what they start, of Ray, of the database server and of the S3 server.
The kernels are compiled before, when the package is installed by ``make``.

Two ways to use two processes are compared through ``quant up``: one run whose chunks are steps, and a backfill that is
split into runs by range (``BackfillPolicy.multi_run``), each run in one process. The product has the first; for the
second its policy is replaced in the processes of the measurement alone (:data:`SPLIT`).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quant_platform.defs.jobs import job_named
from quant_platform_tests.benchmarks.machine import load_average
from quant_platform_tests.cluster import evidence
from quant_platform_tests.cluster.bench import (
    TICKER_JOBS,
    Bench,
    Differs,
    backfill,
    bench,
    require,
    require_same,
    service,
    until,
)
from quant_platform_tests.cluster.environment import ROOT
from quant_platform_tests.cluster.processes import descendants, metered
from quant_platform_tests.cluster.ray_cluster import NodesLate
from quant_platform_tests.cluster.scenarios import LIBRARIES, ray_nodes

TABLES = tuple(name for job in TICKER_JOBS for name in job_named(job).tables)
JOBS = ("--no-hashes", *(f"--job={job}" for job in TICKER_JOBS))
NAMES = 40
LONGEST_SECONDS = 3_000
JOB = "ticker_graph"
SPLIT = """import dagster
dagster.BackfillPolicy.single_run = staticmethod(lambda: dagster.BackfillPolicy.multi_run({}))
"""


@dataclass
class Measured:
    """The bench, and what every way has cost."""

    made: Bench
    store: int
    ways: list[dict[str, Any]] = field(default_factory=list)
    wanted: dict[str, str] = field(default_factory=dict)

    def database(self, name: str) -> str:
        """A new database."""
        return self.made.server.make(name)

    def add(self, way: str, seconds: float, cpu: Mapping[str, float], home: Path, **more: int) -> None:
        """Keep what a way has cost, when it has given what the first one gave."""
        found = self.made.hashes(home, TABLES)
        if not self.wanted:
            require(len(found) > 10 * self.made.names, f"only {len(found)} partitions were made")
            self.wanted = found
        require_same(found, self.wanted)
        self.ways.append({"way": way, "wall_seconds": seconds, "cpu_seconds": dict(cpu), **more})
        self.made.say(f"{way}: {seconds:.1f} s, CPU {', '.join(f'{k} {v:.1f}' for k, v in cpu.items())}, {more}")

    @contextmanager
    def clock(self, *roots: int, ray: tuple[int, ...] = (), database: bool, store: bool) -> Iterator[dict[str, float]]:
        """Measure a block: the dictionary is full when it has ended."""
        cpu: dict[str, float] = {}
        before = self.made.server.cpu_seconds() if database else 0.0
        with metered(*roots) as run, metered(*ray) as nodes, metered(self.store) as bucket:
            yield cpu
        cpu["run"] = run.seconds()
        if ray:
            cpu["ray"] = nodes.seconds()
        if database:
            cpu["database"] = self.made.server.cpu_seconds() - before
        if store:
            cpu["store"] = bucket.seconds()


def direct(measured: Measured, way: str, name: str, *, elsewhere: bool, workers: int) -> None:
    """One run of the command line: in its own process, or with its chunks in worker processes."""
    made = measured.made
    home = made.home(name, bucket=name if elsewhere else None)
    url = measured.database(name) if elsewhere else None
    options = ["--in-process"] if workers == 1 else ["--workers", str(workers)]
    began = time.monotonic()
    process = made.start_graph(home, url, *options, *JOBS)
    with measured.clock(process.pid, database=elsewhere, store=elsewhere) as cpu:
        found = made.finish_graph(process, home)
    seconds = time.monotonic() - began
    measured.add(way, seconds, cpu, home, runs=len(found["runs"]), steps=_steps(found))


def on_ray(measured: Measured, way: str, name: str) -> None:
    """One run whose chunks are computed by two Ray workers with homes of their own."""
    made, url = measured.made, measured.database(name)
    others = [made.home(f"{name}-worker{number}", bucket=name) for number in (1, 2)]
    with ray_nodes(made, made.work / f"{name}-head", url) as (nodes, executor):
        home = made.home(name, bucket=name, **executor)
        nodes.start_workers(*((place.name, {"QUANT_HOME": str(place)}) for place in others))
        began = time.monotonic()
        process = made.start_graph(home, url, *JOBS)
        ray = tuple(node.process.pid for node in nodes.nodes)
        with measured.clock(process.pid, ray=ray, database=True, store=True) as cpu:
            found = made.finish_graph(process, home)
        seconds = time.monotonic() - began
    measured.add(way, seconds, cpu, home, runs=len(found["runs"]), steps=_steps(found))


def through_quant_up(measured: Measured, way: str, name: str, *, runs: int) -> None:
    """A backfill: as one run with two worker processes, or as several runs of one process each, two at a time."""
    made, url = measured.made, measured.database(name)
    executor: dict[str, Any] = {"name": "fork_server", "workers": 2} if runs == 1 else {"name": "in_process"}
    home = made.home(name, bucket=name, **executor)
    made.graph(home, url, "--job=securities", "--in-process")
    more = {}
    if runs > 1:
        (home / "split").mkdir()
        (home / "split" / "sitecustomize.py").write_text(SPLIT.format(-(-made.names // runs)), encoding="utf-8")
        more = {"PYTHONPATH": f"{home / 'split'}{os.pathsep}{ROOT}"}
    succeeded = f"select count(*) from runs where status = 'SUCCESS' and pipeline_name = '{JOB}'"
    with service(made, home, url, **more) as (process, port):
        began = time.monotonic()
        with measured.clock(process.pid, database=True, store=True) as cpu:
            backfill(port, JOB)
            until(
                lambda: made.server.ask(name, succeeded) == str(runs),
                process,
                f"{runs} runs of a backfill to succeed",
                home / "up.log",
            )
        seconds = time.monotonic() - began
    steps = "select count(*) from event_logs where dagster_event_type = 'STEP_SUCCESS'"
    measured.add(way, seconds, cpu, home, runs=runs, steps=int(made.server.ask(name, steps)))


def ways(measured: Measured) -> Iterator[None]:
    """Measure every way, one after the other."""
    direct(measured, "one process; files, SQLite", "files1", elsewhere=False, workers=1)
    yield
    direct(measured, "one process; S3, Postgres", "bucket1", elsewhere=True, workers=1)
    yield
    on_ray(measured, "two Ray workers; S3, Postgres", "ray")
    yield
    for runs, way in (
        (1, "`quant up`, one run, its chunks in two processes; S3, Postgres"),
        (2, "`quant up`, split into 2 runs of one process, both at a time; S3, Postgres"),
    ):
        through_quant_up(measured, way, f"up{runs}", runs=runs)
        yield
    direct(measured, "two processes of one machine; S3, Postgres", "bucket2", elsewhere=True, workers=2)
    yield


def _steps(found: Mapping[str, Any]) -> int:
    return sum(one["events"]["STEP_SUCCESS"] for one in found["runs"])


def _store() -> int:
    """The process of the S3 server that the bench has started."""
    for pid in descendants(os.getpid()):
        if b"moto.server" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    raise Differs("the S3 server is no process of this one")


def main() -> int:
    """Measure; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=evidence.FILE, help="the .json file of the evidence")
    parser.add_argument("--names", type=int, default=NAMES)
    given = parser.parse_args()
    load = load_average()
    try:
        with bench(given.names, LONGEST_SECONDS) as made:
            measured = Measured(made, _store())
            database = made.server.ask("postgres", "show server_version")
            for _ in ways(measured):
                # What was measured stays where a later way fails.
                made_by = evidence.made_by("python -m quant_platform_tests.cluster --costs", load, database, LIBRARIES)
                found = {"names": given.names, "partitions": len(measured.wanted), "ways": measured.ways}
                evidence.write(given.out, "costs", {**made_by, **found})
    except (Differs, NodesLate) as error:
        print(f"costs: FAILED: {error}", *getattr(error, "__notes__", []), sep="\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
