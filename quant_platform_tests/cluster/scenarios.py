"""The scenarios of ``make cluster-test``, each compared with the same graph in one process on SQLite.

1. One process, runs in the SQLite files of the home: the hashes everything else is held against.
2. The same on Postgres.
3. What cannot work is refused in words: drivers, passwords, a database of another home, a second service.
4. ``quant up`` on Postgres: a backfill goes through web server, queue, daemon and code server to worker processes.
5. Two Ray workers that share nothing but Postgres and an S3 server. One is killed while it computes, and a step of the
   other is told to end: the run ends, and nothing is missing.
6. No worker at all: the run is refused at once.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import yaml

from quant_platform.contracts.errors import PlatformError
from quant_platform.defs import instances
from quant_platform.defs.executors import kubernetes_config
from quant_platform.pipeline.home import Home
from quant_platform.specification.deployment import POSTGRES_VARIABLE, KubernetesSpec, postgres_address
from quant_platform.specification.lake import LAKE_FILE
from quant_platform.specification.settings import Settings
from quant_platform_tests.benchmarks.machine import load_average, machine
from quant_platform_tests.cluster import postgres, ray_cluster
from quant_platform_tests.cluster.environment import ROOT
from quant_platform_tests.cluster.page import page
from quant_platform_tests.homes import declare, write_specs
from quant_platform_tests.lake.server import BUCKET, environment_of, s3_on_loopback

NAMES = 24
TICKER_JOBS = ("securities", "ticker_graph")
LIBRARIES = ("dagster", "dagster-postgres", "psycopg2-binary", "SQLAlchemy", "dagster-ray", "ray", "obstore", "moto")
QUANT = [sys.executable, "-c", "from quant_platform.cli import main; main()"]
RUN_SECONDS = 400


class Differs(AssertionError):
    """A scenario ended in another way than it has to."""


def require(holds: bool, what: str) -> None:
    """Raise `Differs` where something does not hold."""
    if not holds:
        raise Differs(what)


@dataclass
class Bench:
    """Where the scenarios are played, and what they have shown."""

    work: Path
    server: postgres.Server
    specs: Path
    names: int = NAMES
    shown: dict[str, Any] = field(default_factory=dict)
    more: Mapping[str, str] = field(default_factory=dict)

    def home(self, name: str) -> Path:
        """A new home of the same market."""
        folder = self.work / name
        declare(folder, self.specs)
        return folder

    def environment(self, home: Path, url: str | None, **more: str) -> dict[str, str]:
        """The environment of a process that works on a home."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("QUANT_", "DAGSTER_"))}
        clean |= {"QUANT_HOME": str(home), "QUANT_SPECS": str(self.specs), "PYTHONPATH": str(ROOT), **self.more, **more}
        return clean if url is None else {**clean, POSTGRES_VARIABLE: url}

    def graph(self, home: Path, url: str | None, *options: str) -> dict[str, Any]:
        """Run jobs in a process of their own and read what it has written."""
        process = self.start_graph(home, url, *options)
        require(process.wait(RUN_SECONDS) == 0, f"the process of {home.name} failed: {self.said(home)}")
        found: dict[str, Any] = json.loads((home / "result.json").read_text())
        return found

    def start_graph(self, home: Path, url: str | None, *options: str) -> subprocess.Popen[bytes]:
        """Start jobs in a process of their own."""
        command = [sys.executable, "-m", "quant_platform_tests.cluster.graph", "--out", str(home / "result.json")]
        with (home / "said.log").open("wb") as log:
            return subprocess.Popen(
                [*command, *options], env=self.environment(home, url), stdout=log, stderr=subprocess.STDOUT
            )

    def said(self, home: Path) -> str:
        """The end of what the process of a home said."""
        return (home / "said.log").read_text(errors="replace")[-2_000:]

    def show(self, name: str, **found: Any) -> None:
        """Keep what a scenario has shown, and print it."""
        self.shown[name] = found
        print(f"{name}: " + ", ".join(f"{key} {_short(value)}" for key, value in found.items()), flush=True)


def _short(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def sqlite(bench: Bench) -> Mapping[str, str]:
    """One process on SQLite; the content hash of every partition."""
    home = bench.home("sqlite")
    found = bench.graph(home, None, "--in-process")
    _require_success(found)
    log = sum(path.stat().st_size for path in (home / "dagster" / "history" / "runs").iterdir())
    bench.show("one process, SQLite", **_cost(found), bytes_per_partition=log / max(1, found["partitions"]))
    hashes: Mapping[str, str] = found["hashes"]
    require(len(hashes) > 10 * bench.names, f"only {len(hashes)} partitions were made")
    return hashes


def on_postgres(bench: Bench, wanted: Mapping[str, str]) -> None:
    """The same on Postgres, and nothing of it in files of the home."""
    home, url = bench.home("postgres"), bench.server.make("one")
    before, empty = bench.server.cpu_seconds(), bench.server.bytes_of("one")
    found = bench.graph(home, url, "--in-process")
    served = bench.server.cpu_seconds() - before
    _require_success(found)
    _require_same(found["hashes"], wanted)
    require(not list((home / "dagster").rglob("*.db")), "runs were written into files of the home too")
    counted = int(bench.server.ask("one", "select count(*) from runs where status = 'SUCCESS'"))
    require(counted == len(found["runs"]), f"the database knows {counted} of {len(found['runs'])} runs")
    made = "select count(*) from event_logs where dagster_event_type = 'ASSET_MATERIALIZATION'"
    require(int(bench.server.ask("one", made)) == found["partitions"], "materialisations are missing")
    text = (home / "dagster" / "dagster.yaml").read_text()
    require(postgres.PASSWORD not in text and "geheim" not in text, "the password stands in a file")
    size = bench.server.bytes_of("one") - empty
    bench.show(
        "one process, Postgres",
        **_cost(found),
        server_cpu_seconds_per_1000=1_000 * served / max(1, found["partitions"]),
        bytes_per_partition=size / max(1, found["partitions"]),
        connections=int(bench.server.ask("one", "select sessions from pg_stat_database where datname = 'one'")),
    )


def refusals(bench: Bench) -> None:
    """What cannot work says so, without the password."""
    server, home = bench.server, Home(Settings(home=bench.work / "sqlite", specs=bench.specs))
    plain = server.url("one").replace("+psycopg2", "")
    cases = {
        "psycopg 3": (server.url("one").replace("psycopg2", "psycopg"), "NOTIFY"),
        "no driver": (plain, "psycopg 3"),
        "wrong password": (server.url("one", "wrong"), "refuses the password"),
        "no password": (f"postgresql+psycopg2://{postgres.USER}@127.0.0.1:{server.port}/one", "wants a password"),
        "no such database": (server.url("nothing"), "createdb"),
        "no server": (server.url("one").replace(f":{server.port}/", ":1/"), "no database answers"),
        "another home": (server.url("one"), "the runs of another home"),
    }
    for name, (url, words) in cases.items():
        began = time.monotonic()
        with _variable(url):
            try:
                with instances.instance_of(home):
                    raise Differs(f"{name}: it was taken")
            except PlatformError as error:
                said = str(error)
        require(words in said, f"{name}: {said}")
        require("geheim" not in said and "wrong" not in said, f"{name}: the password is shown: {said}")
        bench.show(f"refused: {name}", seconds=time.monotonic() - began, says=said.splitlines()[0])
    with _variable(server.url("one")):
        own = Home(Settings(home=bench.work / "postgres", specs=bench.specs))
        with instances.only_service(own):
            try:
                with instances.only_service(own):
                    raise Differs("a second service was let in")
            except PlatformError as error:
                bench.show("refused: a second quant up", says=str(error).splitlines()[0])
        with instances.only_service(own):
            pass
        require(postgres_address(own.settings) is not None, "the variable was not read")


def kubernetes(bench: Bench) -> None:
    """The settings that a deployment gives to dagster-k8s are settings that it takes; no cluster is asked."""
    from dagster._config import validate_config
    from dagster_k8s import k8s_job_executor

    spec = KubernetesSpec(
        image="registry.example/quant:1", service_account="quant", secrets=("database",), kubeconfig=Path("/etc/kube")
    )
    kind = k8s_job_executor.config_schema.as_field().config_type
    given = kubernetes_config(spec)
    require(bool(validate_config(kind, given).success), "dagster-k8s refuses the settings")
    require(not validate_config(kind, {**given, "job_imaje": "x"}).success, "dagster-k8s takes anything")
    bench.show("settings of dagster-k8s", says="taken by its schema; no cluster was asked")


@contextmanager
def _variable(url: str) -> Iterator[None]:
    before = os.environ.get(POSTGRES_VARIABLE)
    os.environ[POSTGRES_VARIABLE] = url
    try:
        yield
    finally:
        if before is None:
            del os.environ[POSTGRES_VARIABLE]
        else:
            os.environ[POSTGRES_VARIABLE] = before


def service(bench: Bench, wanted: Mapping[str, str]) -> None:
    """A backfill through `quant up`: its runs and events go to Postgres from every process that takes part."""
    home, url = bench.home("service"), bench.server.make("service")
    bench.graph(home, url, "--job", "securities", "--in-process")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    began = time.monotonic()
    with (home / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [*QUANT, "up", "--port", str(port)],
            env=bench.environment(home, url),
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=home,
        )
    try:
        _until(lambda: b"Ctrl-C stops it" in (home / "up.log").read_bytes(), process, "quant up", home / "up.log")
        answers = time.monotonic() - began
        _backfill(port)
        query = "select count(*) from runs where status = 'SUCCESS' and pipeline_name = 'ticker_graph'"
        _until(lambda: bench.server.ask("service", query) == "1", process, "the backfill", home / "up.log")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    found = bench.graph(home, url, "--job", "ticker_graph", "--in-process")
    # What the backfill made is current: the second run has only looked.
    _require_same(found["hashes"], {key: wanted[key] for key in found["hashes"]})
    steps = int(
        bench.server.ask("service", "select count(*) from event_logs where dagster_event_type = 'STEP_SUCCESS'")
    )
    require(not list((home / "dagster").rglob("*.db")), "runs were written into files of the home too")
    bench.show("quant up, Postgres", seconds_to_answer=answers, partitions=len(found["hashes"]), steps=steps)


def _backfill(port: int) -> None:
    """Ask the web server for all partitions of the ticker graph, as the page does."""
    selector = {"repositoryLocationName": "quant_platform", "repositoryName": "__repository__"}
    asked = {
        "selector": {"repositorySelector": selector, "partitionSetName": "ticker_graph_partition_set"},
        "allPartitions": True,
    }
    text = "mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) { __typename } }"
    body = json.dumps({"query": text, "variables": {"p": asked}}).encode()
    address = f"http://127.0.0.1:{port}/graphql"
    request = Request(address, body, {"Content-Type": "application/json"})
    with build_opener(ProxyHandler({})).open(request, timeout=60) as answer:
        said = json.load(answer)
    require(
        said.get("data", {}).get("launchPartitionBackfill", {}).get("__typename") == "LaunchBackfillSuccess", str(said)
    )


def _until(holds: Any, process: subprocess.Popen[bytes], what: str, log: Path, seconds: float = RUN_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        require(process.poll() is None, f"{what}: the process has ended: {log.read_text(errors='replace')[-2_000:]}")
        require(time.monotonic() < deadline, f"{what} took too long: {log.read_text(errors='replace')[-2_000:]}")
        time.sleep(0.2)


def on_ray(bench: Bench, wanted: Mapping[str, str]) -> None:
    """Two workers that share Postgres and an S3 server and nothing else; one is killed; before there are any, a run."""
    home, *others = (bench.home(name) for name in ("ray", "ray-worker1", "ray-worker2"))
    url = bench.server.make("ray")
    with (
        s3_on_loopback(bench.work / "s3.log") as endpoint,
        tempfile.TemporaryDirectory(prefix="qray", ignore_cleanup_errors=True) as name,
        ray_cluster.cluster(
            Path(sys.executable).parent, Path(name), bench.environment(home, url, **environment_of(endpoint))
        ) as nodes,
    ):
        bench.more = environment_of(endpoint)
        for place in (home, *others):
            (place / LAKE_FILE).write_text(f"lake: s3://{BUCKET}/market\n", encoding="utf-8")
        _deploy_ray(home, nodes.address)
        _refused_without_worker(bench, home, url)
        first, second = (nodes.start_worker(place.name, QUANT_HOME=str(place)) for place in others)
        nodes.wait_for(2)
        running = bench.start_graph(home, url, *(f"--job={job}" for job in TICKER_JOBS))
        log = home / "said.log"
        _until(lambda: any("__work" in step for step in second.steps()), running, "a step on the second worker", log)
        lost = second.steps()
        second.kill()
        killed = time.monotonic()
        _until(lambda: any("__work" in step for step in first.steps()), running, "a step on the first worker", log)
        told = first.end_step("__work")
        require(running.wait(RUN_SECONDS) == 0, f"the run did not end well: {bench.said(home)}")
        after = time.monotonic() - killed
        require(first.process.poll() is None, "the first worker has ended")
    found = json.loads((home / "result.json").read_text())
    _require_success(found)
    _require_same(found["hashes"], {key: wanted[key] for key in found["hashes"]})
    repeated = [text for one in found["runs"] for text in one["repeated"]]
    gone = {*lost, told}
    require(gone <= {text.split(":")[0] for text in repeated}, f"lost {gone}, repeated {repeated}")
    bench.show(
        "two Ray workers, Postgres and S3, one killed, a step of the other ended",
        partitions=len(found["hashes"]),
        killed=lost,
        told_to_end=told,
        repeated=repeated,
        steps=sum(one["events"]["STEP_SUCCESS"] for one in found["runs"]),
        seconds=found["seconds"],
        seconds_after_the_kill=after,
    )


def _deploy_ray(home: Path, address: str) -> None:
    executor = {"name": "ray", "workers": 2, "health_check_seconds": 3, "ray": {"address": address, "cpus": 1}}
    (home / "deployment.yaml").write_text(yaml.safe_dump({"executor": executor}), encoding="utf-8")


def _refused_without_worker(bench: Bench, home: Path, url: str) -> None:
    began = time.monotonic()
    process = bench.start_graph(home, url, *(f"--job={job}" for job in TICKER_JOBS))
    require(process.wait(120) != 0, "a run without a worker was taken")
    said = bench.said(home)
    require("no worker is connected to the Ray cluster" in said, said)
    bench.show("refused: no Ray worker", seconds=time.monotonic() - began)


def _require_success(found: Mapping[str, Any]) -> None:
    wrong = {one["job"]: one["status"] for one in found["runs"] if one["status"] != "SUCCESS"}
    require(not wrong and bool(found["runs"]), f"runs did not succeed: {wrong}")


def _require_same(found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    differ = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
    require(not differ, f"{len(differ)} of {len(wanted)} partitions differ: {differ[:5]}")


def _cost(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "partitions": found["partitions"],
        "seconds": found["seconds"],
        "cpu_seconds": found["cpu_seconds"],
        "cpu_seconds_per_1000": 1_000 * found["cpu_seconds"] / max(1, found["partitions"]),
    }


def main() -> int:
    """Play the scenarios; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="a .json file for the result, and a page beside it")
    parser.add_argument("--only", action="append", default=[], help="a scenario by the name of its function")
    parser.add_argument("--names", type=int, default=NAMES)
    given = parser.parse_args()
    began, load = time.monotonic(), load_average()
    with tempfile.TemporaryDirectory(prefix="quant-cluster-") as name, postgres.server() as server:
        work = Path(name)
        bench = Bench(work, server, write_specs(work / "specs", given.names), given.names)
        wanted = sqlite(bench)
        for scenario in (on_postgres, service, on_ray):
            if not given.only or scenario.__name__ in given.only:
                scenario(bench, wanted)
        if not given.only:
            refusals(bench)
            kubernetes(bench)
        postgres_version = server.ask("postgres", "show server_version")
    result = {
        "command": "make cluster-test",
        "machine": machine(),
        "load_average": {"start": load, "end": load_average()},
        "versions": {"postgres": postgres_version, **{library: version(library) for library in LIBRARIES}},
        "names": given.names,
        "seconds": time.monotonic() - began,
        "shown": bench.shown,
    }
    if given.out is not None:
        given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        given.out.with_suffix(".md").write_text(page(result), encoding="utf-8")
    print(f"cluster-test: everything held, {result['seconds']:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
