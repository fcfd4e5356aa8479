"""What the scenarios and the measurement share: homes, processes that are waited for in words and ended in any case."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import yaml

from quant_platform.pipeline.home import Home
from quant_platform.specification.deployment import POSTGRES_VARIABLE
from quant_platform.specification.lake import LAKE_FILE
from quant_platform.specification.settings import Settings
from quant_platform_tests.cluster import postgres
from quant_platform_tests.cluster.environment import ROOT
from quant_platform_tests.cluster.processes import descendants, end, left
from quant_platform_tests.homes import declare, hashes, write_specs
from quant_platform_tests.lake.server import BUCKET, environment_of, s3_on_loopback

TICKER_JOBS = ("securities", "ticker_graph")
QUANT = [sys.executable, "-c", "from quant_platform.cli import main; main()"]
RUN_SECONDS = 420
"""Longest wait for a run of the graph, and for what a run is to do."""
PREFIX = "quant-cluster-"


class Differs(AssertionError):
    """A scenario ended in another way than it has to."""


def require(holds: bool, what: str) -> None:
    """Raise `Differs` where something does not hold."""
    if not holds:
        raise Differs(what)


@dataclass
class Bench:
    """Where the scenarios are played, and what they have shown.

    Attributes
    ----------
    work
        Folder of all homes and logs.
    server
        Of Postgres.
    s3
        Environment of a process that uses the S3 server.
    specs
        Of the simulated market.
    names
        How many names it has.
    shown
        What each scenario has shown.
    """

    work: Path
    server: postgres.Server
    s3: Mapping[str, str]
    specs: Path
    names: int
    shown: dict[str, Any] = field(default_factory=dict)
    doing: str = "nothing yet"
    _began: float = field(default_factory=time.monotonic)
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def say(self, what: str) -> None:
        """Print what is done now, and since when."""
        self.doing = what
        print(f"[{time.monotonic() - self._began:4.0f} s] {what}", flush=True)

    def show(self, name: str, **found: Any) -> None:
        """Keep what a scenario has shown, and print it."""
        self.shown[name] = found
        self.say(f"held: {name}: " + ", ".join(f"{key} {_short(value)}" for key, value in found.items()))

    def home(self, name: str, /, bucket: str | None = None, **executor: Any) -> Path:
        """A new home of the market, with its lake below a name in the bucket and an executor where they are given."""
        folder = self.work / name
        declare(folder, self.specs)
        if bucket is not None:
            (folder / LAKE_FILE).write_text(f"lake: s3://{BUCKET}/{bucket}\n", encoding="utf-8")
        if executor:
            text = yaml.safe_dump({"executor": executor})
            (folder / "deployment.yaml").write_text(text, encoding="utf-8")
        return folder

    def environment(self, home: Path, url: str | None, **more: str) -> dict[str, str]:
        """The environment of a process that works on a home."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("QUANT_", "DAGSTER_", "AWS_"))}
        kept |= {"QUANT_HOME": str(home), "QUANT_SPECS": str(self.specs), "PYTHONPATH": str(ROOT), **self.s3, **more}
        return kept if url is None else {**kept, POSTGRES_VARIABLE: url}

    def start(
        self, command: Sequence[str], home: Path, url: str | None, log: str, **more: str
    ) -> subprocess.Popen[bytes]:
        """Start a process that works on a home, in a group of its own; it ends with the bench at the latest."""
        with (home / log).open("wb") as output:
            process = subprocess.Popen(
                command,
                env=self.environment(home, url, **more),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=home,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def start_graph(self, home: Path, url: str | None, *options: str) -> subprocess.Popen[bytes]:
        """Start jobs of the graph."""
        command = [sys.executable, "-m", "quant_platform_tests.cluster.graph", "--out", str(home / "result.json")]
        return self.start([*command, *options], home, url, "said.log")

    def finish_graph(self, process: subprocess.Popen[bytes], home: Path) -> dict[str, Any]:
        """Wait for jobs and read what they have written."""
        what = f"the graph in the home {home.name}"
        require(self.finish(process, what) == 0, f"{what} failed: {said(home / 'said.log')}")
        found: dict[str, Any] = json.loads((home / "result.json").read_text())
        wrong = {one["job"]: one["status"] for one in found["runs"] if one["status"] != "SUCCESS"}
        require(not wrong and bool(found["runs"]), f"{what}: runs did not succeed: {wrong}")
        return found

    def graph(self, home: Path, url: str | None, *options: str) -> dict[str, Any]:
        """Run jobs of the graph in a process of their own."""
        return self.finish_graph(self.start_graph(home, url, *options), home)

    def finish(self, process: subprocess.Popen[bytes], what: str, seconds: float = RUN_SECONDS) -> int:
        """Wait for the end of a process; its exit status."""
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Differs(f"{what} has not ended within {seconds:.0f} s") from None

    def opened(self, home: Path) -> Home:
        """A home, to look into its lake; for this the S3 server has to be in the environment (`in_environment`)."""
        return Home(Settings(home=home, specs=self.specs))

    def hashes(self, home: Path, tables: Sequence[str]) -> dict[str, str]:
        """The content hash of every partition of some tables of a home."""
        with in_environment(self.s3):
            return {f"{name} {key}": digest for (name, key), digest in hashes(self.opened(home), *tables).items()}

    def close(self) -> None:
        """End what is still running of all that was started."""
        for process in reversed(self._started):
            if process.poll() is None:
                end([*descendants(process.pid), process.pid])
                process.wait(30)


@contextmanager
def bench(names: int, longest_seconds: int) -> Iterator[Bench]:
    """Start Postgres and an S3 server; everything that was started on the way ends with the block.

    Raises
    ------
    Differs
        When the block takes too long, or when a process is left.
    """
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        work = Path(name)
        with postgres.server() as server, s3_on_loopback(work / "s3.log") as endpoint:
            made = Bench(work, server, environment_of(endpoint), write_specs(work / "specs", names), names)
            try:
                with _ending(longest_seconds, made):
                    yield made
            finally:
                made.close()
        remain = left(name)
        if remain:
            end(list(remain))
            raise Differs(f"{len(remain)} processes were left: {'; '.join(sorted(remain.values()))[:1_000]}")


@contextmanager
def _ending(seconds: int, made: Bench) -> Iterator[None]:
    """Raise where the block takes too long, and where somebody tells the process to end."""

    def late(*_: object) -> None:
        raise Differs(f"everything together took longer than {seconds} s, and this was under way: {made.doing}")

    def told(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, what) for number, what in ((signal.SIGALRM, late), (signal.SIGTERM, told))}
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def service(made: Bench, home: Path, url: str, **more: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """``quant up`` on a home until the block ends; yields its process and port when it answers."""
    port = postgres.free_port()
    process = made.start([*QUANT, "up", "--port", str(port)], home, url, "up.log", **more)
    log = home / "up.log"
    until(lambda: b"Ctrl-C stops it" in log.read_bytes(), process, "`quant up` to answer", log, 200)
    yield process, port
    # Where the block fails instead, it ends with the bench.
    process.send_signal(signal.SIGINT)
    require(made.finish(process, "`quant up`, told to stop,", 60) == 0, f"`quant up` ended badly: {said(log)}")


def backfill(port: int, job: str) -> None:
    """Ask the web server for all partitions of a job, as the page does."""
    selector = {"repositoryLocationName": "quant_platform", "repositoryName": "__repository__"}
    asked = {
        "selector": {"repositorySelector": selector, "partitionSetName": f"{job}_partition_set"},
        "allPartitions": True,
    }
    text = "mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) { __typename } }"
    body = json.dumps({"query": text, "variables": {"p": asked}}).encode()
    request = Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    with build_opener(ProxyHandler({})).open(request, timeout=60) as answer:
        found = json.load(answer)
    kind = found.get("data", {}).get("launchPartitionBackfill", {}).get("__typename")
    require(kind == "LaunchBackfillSuccess", f"the backfill of {job} was not taken: {found}")


def until(
    holds: Callable[[], bool],
    process: subprocess.Popen[bytes],
    what: str,
    log: Path,
    seconds: float = RUN_SECONDS,
) -> None:
    """Wait for something while a process runs."""
    deadline = time.monotonic() + seconds
    while not holds():
        require(process.poll() is None, f"waited for {what}: the process has ended, and says {said(log)}")
        require(time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}: {said(log)}")
        time.sleep(0.2)


def require_same(found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Require the same partitions with the same content."""
    differ = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
    require(not differ, f"{len(differ)} of {len(wanted)} partitions differ: {differ[:5]}")


@contextmanager
def in_environment(more: Mapping[str, str | None]) -> Iterator[None]:
    """Have some variables in the environment of this process, and those that are None not."""
    before = dict(os.environ)
    os.environ.update({name: value for name, value in more.items() if value is not None})
    for name in (name for name, value in more.items() if value is None):
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def said(log: Path) -> str:
    """The end of what a process has said."""
    return log.read_text(errors="replace")[-2_000:]


def _short(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
