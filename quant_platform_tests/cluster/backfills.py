"""``python -m quant_platform_tests.cluster --backfills``: the two native ways to share a backfill out, side by side.

A backfill of the ticker tables through ``quant up`` on Postgres and S3, asked for as the page does:

1. as one run, whose chunks are steps in two worker processes: what the product does;
2. split into two runs by range (``BackfillPolicy.multi_run``), which the queue gives to a process each, both at a time.
   The policy of the product is replaced for this in the processes of the measurement alone (:data:`SPLIT`).

Each is measured undisturbed, and then with the process that cleans bars killed (SIGKILL) while it does, a worker of the
one run and one of the two runs: how long it takes until the run is known to have failed, what is left, and what a
second backfill over everything costs. Each time the content hashes have to be those of the first way. Where the time
goes is read from the times of the events in the database.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant_platform.defs.jobs import job_named
from quant_platform_tests.benchmarks.machine import load_average
from quant_platform_tests.cluster import evidence, postgres
from quant_platform_tests.cluster.bench import Bench, Differs, backfill, bench, require, service, until
from quant_platform_tests.cluster.costs import clocked, store_of_bench
from quant_platform_tests.cluster.environment import ROOT
from quant_platform_tests.cluster.scenarios import LIBRARIES

COMMAND = "python -m quant_platform_tests.cluster --backfills"
JOB = "ticker_graph"
TABLES = job_named(JOB).tables
NAMES = 40
LONGEST_SECONDS = 3_000
WAIT_SECONDS = 900
IN_THE_MIDDLE = "clean_equity_bars.work[chunk_000]"
MATERIALIZED = "dagster_event_type = 'ASSET_MATERIALIZATION'"
SPLIT = '''"""Cut backfills into runs of {partitions} partitions; a process that loads no assets pays nothing for it."""

import sys


class Split:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "quant_platform.defs.chunked_assets":
            import dagster

            dagster.BackfillPolicy.single_run = staticmethod(lambda: dagster.BackfillPolicy.multi_run({partitions}))


sys.meta_path.insert(0, Split)
'''


@dataclass(frozen=True)
class Way:
    """A way to share a backfill out.

    Attributes
    ----------
    name
        In words.
    runs
        How many runs a backfill is.
    executor
        Of the deployment.
    """

    name: str
    runs: int
    executor: Mapping[str, Any]


ONE_RUN = Way("one run, its chunks in two processes", 1, {"name": "fork_server", "workers": 2})
TWO_RUNS = Way("two runs by range, a process each", 2, {"name": "in_process"})


@dataclass(frozen=True)
class Events:
    """What a database knows of the runs of the job."""

    server: postgres.Server
    database: str

    def runs(self) -> dict[str, str]:
        """Each run, and what became of it."""
        said = self.server.ask(self.database, f"select run_id, status from runs where pipeline_name = '{JOB}'")
        return dict(line.split("|") for line in said.splitlines())

    def ask(self, what: str, which: str, runs: Iterable[str]) -> str:
        """Ask the events of some runs."""
        of = ", ".join(f"'{run}'" for run in runs)
        return self.server.ask(self.database, f"select {what} from event_logs where {which} and run_id in ({of})")

    def count(self, which: str, runs: Iterable[str], what: str = "*") -> int:
        """Count events of some runs."""
        return int(self.ask(f"count({what})", which, runs))

    def at(self, kind: str, runs: Iterable[str], which: str = "min") -> float:
        """When the first, or the last, event of a kind was; seconds since 1970."""
        return float(self.ask(f"{which}(extract(epoch from timestamp))", f"dagster_event_type = '{kind}'", runs))

    def turns(self, asked: float, runs: Sequence[str]) -> dict[str, float]:
        """Seconds from asking for a backfill to the turns of its runs."""
        ends = ("PIPELINE_SUCCESS", "PIPELINE_FAILURE")
        which = " or ".join(f"dagster_event_type = '{kind}'" for kind in ends)
        over = float(self.ask("max(extract(epoch from timestamp))", f"({which})", runs))
        return {
            "queued_seconds": self.at("PIPELINE_ENQUEUED", runs) - asked,
            "working_seconds": self.at("PIPELINE_START", runs) - asked,
            "wall_seconds": over - asked,
        }


@dataclass
class Backfills:
    """The bench, and what was measured on it."""

    made: Bench
    store: int
    content: str | None = None
    partitions: int = 0

    def measure(self, way: Way, killed: str) -> dict[str, Any]:
        """Measure a way in a new home; what was seen.

        Parameters
        ----------
        way
            Which.
        killed
            What is killed on the way: the process of a ``"step"`` or that of the ``"run"``, or ``"nothing"``.
        """
        made, name = self.made, f"up_{way.runs}_{killed}"
        url, events = made.server.make(name), Events(made.server, name)
        home = made.home(name, bucket=name, **way.executor)
        made.graph(home, url, "--job=securities", "--in-process", "--no-hashes")
        found: dict[str, Any] = {"way": way.name, "runs": way.runs, "killed": killed}
        with service(made, home, url, **_split(home, made.names, way.runs)) as (process, port):
            log = home / "up.log"
            with clocked(made, process.pid, store=self.store) as cpu:
                asked = time.time()
                backfill(port, JOB)
                at = None if killed == "nothing" else _kill(events, process, log, killed)
                _ended(events, way.runs, process, log)
            first = events.runs()
            found |= {**events.turns(asked, list(first)), "cpu_seconds": cpu}
            failed = [run for run, status in first.items() if status != "SUCCESS"]
            require(len(failed) == (at is not None), f"{way.name}, killed {killed}: the runs are {first}")
            if at is not None:
                found["known_seconds"] = events.at("PIPELINE_FAILURE", failed) - at
                found["recorded"] = events.count(MATERIALIZED, first, "distinct asset_key || partition")
                with clocked(made, process.pid, store=self.store) as cpu:
                    asked = time.time()
                    backfill(port, JOB)
                    _ended(events, 2 * way.runs, process, log)
                second = [run for run in events.runs() if run not in first]
                kept = events.count(f"{MATERIALIZED} and event like '%\"current\"%'", second)
                recorded = events.count(MATERIALIZED, second)
                found |= {"kept": kept, "second": {**events.turns(asked, second), "cpu_seconds": cpu}}
                require(0 < kept < recorded, f"of {recorded} partitions {kept} were kept")
        hashes = made.hashes(home, TABLES)
        require(len(hashes) > 10 * made.names, f"only {len(hashes)} partitions were made")
        content = hashlib.sha256(json.dumps(sorted(hashes.items())).encode()).hexdigest()
        require(content == (self.content or content), f"{way.name}, killed {killed}: other content than the first way")
        self.content, self.partitions = content, len(hashes)
        runs = events.runs()
        require(list(runs.values()).count("SUCCESS") == len(runs) - len(failed), f"runs did not succeed: {runs}")
        found |= {"steps": events.count("dagster_event_type = 'STEP_SUCCESS'", runs), "load": load_average()[0]}
        made.say(f"{way.name}, killed {killed}: {found}")
        return found


def _split(home: Path, names: int, runs: int) -> dict[str, str]:
    """What the processes of a service have to have in their environment to cut a backfill into runs."""
    if runs == 1:
        return {}
    (home / "split").mkdir()
    text = SPLIT.format(partitions=-(-names // runs))
    (home / "split" / "sitecustomize.py").write_text(text, encoding="utf-8")
    return {"PYTHONPATH": f"{home / 'split'}{os.pathsep}{ROOT}"}


def _ended(events: Events, runs: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until there are so many runs and all of them have ended."""

    def over() -> bool:
        known = list(events.runs().values())
        return len(known) == runs and not {"QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"} & set(known)

    until(over, process, f"{runs} runs of a backfill to end", log, WAIT_SECONDS)


def _kill(events: Events, process: subprocess.Popen[bytes], log: Path, killed: str) -> float:
    """Kill a process while a step computes; when that was."""
    begun = f"dagster_event_type = 'STEP_START' and step_key = '{IN_THE_MIDDLE}'"
    computing: list[str] = []

    def computes() -> bool:
        runs = events.runs()
        computing[:] = [run for run in runs if events.count(begun, [run])]
        return bool(computing)

    until(computes, process, f"{IN_THE_MIDDLE} to begin", log, WAIT_SECONDS)
    which = begun if killed == "step" else "dagster_event_type = 'PIPELINE_START'"
    pid = events.ask("substring(event from '\"pid\": ([0-9]+)')", which, computing[:1])
    os.kill(int(pid), signal.SIGKILL)
    at = time.time()
    over = events.count(f"dagster_event_type = 'STEP_SUCCESS' and step_key = '{IN_THE_MIDDLE}'", computing[:1])
    require(over == 0, "the step that was to be killed had ended")
    return at


MEASUREMENTS = (
    (ONE_RUN, "nothing"),
    (TWO_RUNS, "nothing"),
    (ONE_RUN, "step"),
    (TWO_RUNS, "run"),
)


def main() -> int:
    """Measure; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=evidence.FILE, help="the .json file of the evidence")
    parser.add_argument("--names", type=int, default=NAMES)
    parser.add_argument(
        "--row", type=int, action="append", choices=range(len(MEASUREMENTS)), help="measure this row; the others stay"
    )
    given = parser.parse_args()
    load = load_average()
    try:
        with bench(given.names, LONGEST_SECONDS) as made:
            database = made.server.ask("postgres", "show server_version")
            known = evidence.read(given.out).get("backfills", {}) if given.row else {}
            require(known.get("names", given.names) == given.names, "the other rows are of another number of names")
            rows: list[dict[str, Any] | None] = list(known.get("rows", [])) or [None] * len(MEASUREMENTS)
            found = Backfills(made, store_of_bench(), known.get("content"))
            for place in given.row or range(len(MEASUREMENTS)):
                rows[place] = found.measure(*MEASUREMENTS[place])
                made_by = evidence.made_by(COMMAND, load, database, LIBRARIES)
                about = {"names": given.names, "partitions": found.partitions, "content": found.content}
                # What was measured stays where a later one fails.
                evidence.write(given.out, "backfills", {**made_by, **about, "rows": rows})
    except Differs as error:
        print(f"backfills: FAILED: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
