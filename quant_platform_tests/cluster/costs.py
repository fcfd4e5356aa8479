"""``python -m quant_platform_tests.cluster --costs``: what 1,000 partitions cost, by where runs, lake and steps are.

The ticker tables of the equity graph are made again and again, each time in a new home with a new database and a new
prefix of the bucket, and each time the content hashes have to be those of the first way. Processor seconds are counted
for the processes of the run and what they start, of Ray, of the database server and of the S3 server.
The kernels are compiled before, when the package is installed by ``make``.

The ways to use two processes of one machine are compared by `quant_platform_tests.cluster.backfills`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
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
    bench,
    require,
    require_same,
)
from quant_platform_tests.cluster.processes import descendants, metered
from quant_platform_tests.cluster.ray_cluster import NodesLate
from quant_platform_tests.cluster.scenarios import LIBRARIES, ray_nodes

TABLES = tuple(name for job in TICKER_JOBS for name in job_named(job).tables)
JOBS = ("--no-hashes", *(f"--job={job}" for job in TICKER_JOBS))
NAMES = 40
LONGEST_SECONDS = 3_000


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
def clocked(
    made: Bench, *roots: int, ray: Sequence[int] = (), database: bool = True, store: int | None = None
) -> Iterator[dict[str, float]]:
    """Measure the processor seconds of a block; the dictionary is full when it has ended.

    Parameters
    ----------
    made
        The bench, whose database server counts if ``database`` says so.
    roots, ray
        Processes of the run, and of the nodes of Ray; what they start counts too.
    database
        Whether the database server has a part in it.
    store
        The process of the S3 server, where it has one.
    """
    cpu: dict[str, float] = {}
    before = made.server.cpu_seconds() if database else 0.0
    bucket = () if store is None else (store,)
    with metered(*roots) as run, metered(*ray) as nodes, metered(*bucket) as objects:
        yield cpu
    cpu["run"] = run.seconds()
    if ray:
        cpu["ray"] = nodes.seconds()
    if database:
        cpu["database"] = made.server.cpu_seconds() - before
    if bucket:
        cpu["store"] = objects.seconds()


def direct(measured: Measured, way: str, name: str, *, elsewhere: bool, workers: int) -> None:
    """One run of the command line: in its own process, or with its chunks in worker processes."""
    made = measured.made
    home = made.home(name, bucket=name if elsewhere else None)
    url = measured.database(name) if elsewhere else None
    options = ["--in-process"] if workers == 1 else ["--workers", str(workers)]
    began = time.monotonic()
    process = made.start_graph(home, url, *options, *JOBS)
    with clocked(made, process.pid, database=elsewhere, store=measured.store if elsewhere else None) as cpu:
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
        with clocked(made, process.pid, ray=ray, store=measured.store) as cpu:
            found = made.finish_graph(process, home)
        seconds = time.monotonic() - began
    measured.add(way, seconds, cpu, home, runs=len(found["runs"]), steps=_steps(found))


def ways(measured: Measured) -> Iterator[None]:
    """Measure every way, one after the other."""
    direct(measured, "one process; files, SQLite", "files1", elsewhere=False, workers=1)
    yield
    direct(measured, "one process; S3, Postgres", "bucket1", elsewhere=True, workers=1)
    yield
    on_ray(measured, "two Ray workers; S3, Postgres", "ray")
    yield


def _steps(found: Mapping[str, Any]) -> int:
    return sum(one["events"]["STEP_SUCCESS"] for one in found["runs"])


def store_of_bench() -> int:
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
            measured = Measured(made, store_of_bench())
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
