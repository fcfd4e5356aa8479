"""The scenarios of ``make cluster-test``, each compared with the same graph in one process on files and SQLite.

1. One process, its lake in files and its runs in SQLite: the hashes everything else is held against. Beside it the
   same graph in one process on Postgres and S3.
2. What cannot work is refused in words: drivers, passwords, a database of another home, a second service, a bucket
   that is not there, a store that does not answer.
3. ``quant up`` on Postgres: a backfill goes through web server, queue, daemon and code server to worker processes.
4. A Ray cluster without a worker: the run is refused before it exists.
5. Two Ray workers that share nothing but Postgres and an S3 server. One is killed while its step computes, and then a
   step of the other is told to end: the whole graph is made, and nothing is missing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quant_platform.contracts.errors import PlatformError
from quant_platform.defs import instances
from quant_platform.defs.executors import kubernetes_config
from quant_platform.defs.jobs import job_named
from quant_platform.specification.deployment import POSTGRES_VARIABLE, KubernetesSpec, postgres_address
from quant_platform_tests.benchmarks.machine import load_average
from quant_platform_tests.cluster import evidence, postgres, ray_cluster
from quant_platform_tests.cluster.bench import (
    Bench,
    Differs,
    backfill,
    bench,
    in_environment,
    require,
    require_same,
    service,
    until,
)

NAMES = 24
LONGEST_SECONDS = 900
LIBRARIES = ("dagster", "dagster-postgres", "psycopg2-binary", "SQLAlchemy", "dagster-ray", "ray", "obstore", "moto")


def one_process(made: Bench) -> Mapping[str, str]:
    """One process on files and SQLite, and one on Postgres and S3 beside it; the content hash of every partition."""
    made.say("the graph in one process, on files and SQLite, and beside it on Postgres and S3")
    files, elsewhere, url = made.home("files"), made.home("bucket", bucket="one"), made.server.make("one")
    homes = ((files, None), (elsewhere, url))
    processes = [made.start_graph(home, address, "--in-process") for home, address in homes]
    plain, found = (made.finish_graph(process, home) for process, (home, _) in zip(processes, homes, strict=True))
    wanted: Mapping[str, str] = plain["hashes"]
    require(len(wanted) > 10 * made.names, f"only {len(wanted)} partitions were made")
    made.show("one process, files and SQLite", **_seen(plain))
    require_same(found["hashes"], wanted)
    require_recorded(made, "one", elsewhere, found)
    made.show("one process, S3 and Postgres", **_seen(found))
    return wanted


def require_recorded(made: Bench, database: str, home: Path, found: Mapping[str, Any]) -> None:
    """Require that runs and materialisations are in the database, none of them in files, and the password nowhere."""
    require(not list((home / "dagster").rglob("*.db")), "runs were written into files of the home too")
    counted = int(made.server.ask(database, "select count(*) from runs where status = 'SUCCESS'"))
    require(counted == len(found["runs"]), f"the database knows {counted} of {len(found['runs'])} runs")
    events = "select count(*) from event_logs where dagster_event_type = 'ASSET_MATERIALIZATION'"
    require(int(made.server.ask(database, events)) == found["partitions"], "materialisations are missing")
    text = (home / "dagster" / "dagster.yaml").read_text()
    require(postgres.PASSWORD not in text and "geheim" not in text, "the password stands in a file")


def refusals(made: Bench, wanted: Mapping[str, str]) -> None:
    """What cannot work says so, without the password."""
    del wanted
    server, home = made.server, made.opened(made.work / "files")
    plain = server.url("one").replace("+psycopg2", "")
    cases = {
        "psycopg 3": (server.url("one").replace("psycopg2", "psycopg"), "NOTIFY"),
        "no driver": (plain, "psycopg 3"),
        "another database": (server.url("one").replace("postgresql+psycopg2", "mysql"), "mysql is not Postgres"),
        "wrong password": (server.url("one", "wrong"), "refuses the password"),
        "no password": (f"postgresql+psycopg2://{postgres.USER}@127.0.0.1:{server.port}/one", "wants a password"),
        "no such database": (server.url("nothing"), "createdb"),
        "no server": (server.url("one").replace(f":{server.port}/", ":1/"), "no database answers"),
        "no such host": (server.url("one").replace("127.0.0.1", "nowhere.invalid"), "nowhere.invalid"),
        "another home": (server.url("one"), "the runs of another home"),
    }
    for name, (url, words) in cases.items():
        with in_environment({POSTGRES_VARIABLE: url}):
            _refused(made, name, words, lambda: instances.instance_of(home).__enter__())
    _second_service(made)
    # A machine without keys asks the cloud it may be in for its role; nothing listens there.
    role = "http://127.0.0.1:9/169.254.169.254"
    nobody = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_METADATA_ENDPOINT": role}
    for name, address, more, words in (
        ("no such bucket", "s3://nobucket/x", {}, "there is no bucket 'nobucket'"),
        ("no S3 server", "s3://lake/x", {"QUANT_S3_ENDPOINT": "http://127.0.0.1:9"}, "does not answer"),
        ("no credentials", "s3://lake/x", nobody, "nothing says who asks for the lake"),
    ):
        folder = made.home(name.replace(" ", "-"))
        (folder / "lake.yaml").write_text(f"lake: {address}\n", encoding="utf-8")
        with in_environment({**made.s3, **more}):
            _refused(made, name, words, lambda at=folder: made.opened(at).lake.partitions("raw.equity_bars"))


def _refused(made: Bench, name: str, words: str, attempt: Callable[[], object]) -> None:
    began = time.monotonic()
    try:
        attempt()
    except PlatformError as error:
        text = str(error)
    else:
        raise Differs(f"{name}: it was taken")
    require(words in text and "next: " in text, f"{name}: {text}")
    require("geheim" not in text and ":wrong" not in text, f"{name}: the password is shown: {text}")
    made.show(f"refused: {name}", seconds=time.monotonic() - began, says=text.splitlines()[0])


def _second_service(made: Bench) -> None:
    with in_environment({POSTGRES_VARIABLE: made.server.url("one")}):
        own = made.opened(made.work / "bucket")
        with instances.only_service(own):
            _refused(made, "a second quant up", "serves this database", lambda: instances.only_service(own).__enter__())
        with instances.only_service(own):
            pass
        require(postgres_address(own.settings) is not None, "the variable was not read")


def kubernetes(made: Bench, wanted: Mapping[str, str]) -> None:
    """The settings that a deployment gives to dagster-k8s are settings that it takes; no cluster is asked."""
    from dagster._config import validate_config
    from dagster_k8s import k8s_job_executor

    del wanted
    spec = KubernetesSpec(
        image="registry.example/quant:1", service_account="quant", secrets=("database",), kubeconfig=Path("/etc/kube")
    )
    kind = k8s_job_executor.config_schema.as_field().config_type
    given = kubernetes_config(spec)
    require(bool(validate_config(kind, given).success), "dagster-k8s refuses the settings")
    require(not validate_config(kind, {**given, "job_imaje": "x"}).success, "dagster-k8s takes anything")
    made.show("settings of dagster-k8s", says="taken by its schema; no cluster was asked")


def through_quant_up(made: Bench, wanted: Mapping[str, str]) -> None:
    """A backfill through `quant up`: its runs and events go to Postgres from every process that takes part."""
    made.say("a backfill through `quant up` on Postgres")
    home, url = made.home("service", name="fork_server", workers=2), made.server.make("service")
    made.graph(home, url, "--job", "securities", "--in-process")
    began = time.monotonic()
    with service(made, home, url) as (process, port):
        answers = time.monotonic() - began
        backfill(port, "ticker_graph")
        query = "select count(*) from runs where status = 'SUCCESS' and pipeline_name = 'ticker_graph'"
        log = home / "up.log"
        until(lambda: made.server.ask("service", query) == "1", process, "the run of a backfill to succeed", log)
    found = made.hashes(home, job_named("ticker_graph").tables)
    require(len(found) > 10 * made.names, f"only {len(found)} partitions were made")
    require_same(found, {key: wanted[key] for key in found})
    require(not list((home / "dagster").rglob("*.db")), "runs were written into files of the home too")
    steps = "select count(*) from event_logs where dagster_event_type = 'STEP_SUCCESS' and step_key like '%work[%'"
    chunks = int(made.server.ask("service", steps))
    require(chunks >= 2 * 6, f"the run was not shared out: {chunks} steps over chunks")
    made.show("a backfill through quant up, Postgres", seconds_to_answer=answers, partitions=len(found), chunks=chunks)


def on_ray(made: Bench, wanted: Mapping[str, str]) -> None:
    """Two workers that share Postgres and an S3 server and nothing else; before there are any, a run."""
    made.say("a Ray cluster without a worker")
    url = made.server.make("ray")
    others = [made.home(f"ray-worker{number}", bucket="ray") for number in (1, 2, 3)]
    with ray_nodes(made, made.work / "ray-head", url) as (nodes, executor):
        home = made.home("ray", bucket="ray", **executor)
        _refused_without_worker(made, home, url)
        made.say("two Ray workers start")
        first, second = nodes.start_workers(*((place.name, {"QUANT_HOME": str(place)}) for place in others[:2]))
        made.say("the graph on them; the second is killed as soon as a step of it computes")
        running, log = made.start_graph(home, url), home / "said.log"
        lost = frozen_while_computing(made, second, running, log)
        second.kill()
        killed = time.monotonic()
        third = nodes.start_worker(others[2].name, QUANT_HOME=str(others[2]))
        made.say(f"killed while it computed {lost}; a third starts, and a step of the first is told to end")
        told = frozen_while_computing(made, first, running, log)
        first.end_step(told)
        first.thaw()
        made.say(f"told {told} to end; the rest of the graph")
        found = made.finish_graph(running, home)
        after = time.monotonic() - killed
        require(first.process.poll() is None, "the first worker has ended too")
        took_part = third.process.poll() is None
    require_same(found["hashes"], wanted)
    require_recorded(made, "ray", home, found)
    repeated = [text for one in found["runs"] for text in one["repeated"]]
    gone = {lost, told}
    require(gone <= {text.split(":")[0] for text in repeated}, f"lost {gone}, and repeated was {repeated}")
    # Each machine has worked in a folder of its own, and no run is anywhere but in the database.
    require((others[0] / "lake" / "raw").is_dir(), "the worker that was left has computed nothing")
    require(not any(list(place.rglob("*.db")) for place in others), "a worker has written runs into files")
    made.show(
        "two Ray workers, S3 and Postgres, one killed, a step of the other ended",
        **_seen(found),
        seconds_of_ticker_graph=next(one["seconds"] for one in found["runs"] if one["job"] == "ticker_graph"),
        killed_while=lost,
        third_worker="took part" if took_part else "did not start",
        told_to_end=told,
        repeated=repeated,
        seconds_after_the_kill=after,
    )


def frozen_while_computing(made: Bench, node: ray_cluster.Node, running: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until a step over a chunk computes on a node, and freeze the node in the middle of it; the step."""
    ends = "('STEP_SUCCESS', 'STEP_FAILURE', 'STEP_UP_FOR_RETRY')"

    def under_way(step: str) -> bool:
        counts = [f"count(*) filter (where dagster_event_type {kind})" for kind in ("= 'STEP_START'", f"in {ends}")]
        said = made.server.ask("ray", f"select {', '.join(counts)} from event_logs where step_key = '{step}'")
        began, ended = map(int, said.split("|"))
        return began > ended

    found: list[str] = []

    def computes() -> bool:
        for step in node.computing():
            if ".work[" in step and under_way(step):
                node.freeze()
                # What it had sent before has arrived by then.
                time.sleep(0.3)
                if step in node.computing() and under_way(step):
                    found.append(step)
                    return True
                node.thaw()
        return False

    until(computes, running, f"a step that computes on {node.name}", log, 180)
    return found[0]


@contextmanager
def ray_nodes(made: Bench, folder: Path, url: str) -> Iterator[tuple[ray_cluster.Cluster, dict[str, Any]]]:
    """A Ray cluster without a worker until the block ends; yields it, and the executor of a deployment on it."""
    folder.mkdir()
    with (
        tempfile.TemporaryDirectory(prefix="qray", ignore_cleanup_errors=True) as name,
        ray_cluster.cluster(Path(sys.executable).parent, Path(name), made.environment(folder, url)) as nodes,
    ):
        ray = {"address": nodes.address, "cpus": 1}
        yield nodes, {"name": "ray", "workers": 2, "health_check_seconds": 3, "ray": ray}


def _refused_without_worker(made: Bench, home: Path, url: str) -> None:
    began = time.monotonic()
    process = made.start_graph(home, url, "--job=ticker_graph")
    require(made.finish(process, "a run without a worker", 120) != 0, "a run without a worker was taken")
    text = (home / "said.log").read_text(errors="replace")
    require("no worker is connected to the Ray cluster" in text, text[-2_000:])
    runs = made.server.ask("ray", "select count(*) from runs")
    require(runs == "0", "the run that was refused exists")
    made.show("refused: no Ray worker", seconds=time.monotonic() - began)


def _seen(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "partitions": found["partitions"],
        "hashes": len(found["hashes"]),
        "seconds": found["seconds"],
        "cpu_seconds": found["cpu_seconds"],
    }


SCENARIOS: Mapping[str, Callable[[Bench, Mapping[str, str]], None]] = {
    scenario.__name__: scenario for scenario in (refusals, kubernetes, through_quant_up, on_ray)
}


def main() -> int:
    """Play the scenarios; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="a .json file for the result, and a page beside it")
    parser.add_argument("--only", action="append", default=[], choices=SCENARIOS, help="one of the scenarios")
    parser.add_argument("--names", type=int, default=NAMES)
    given = parser.parse_args()
    began, load = time.monotonic(), load_average()
    try:
        with bench(given.names, LONGEST_SECONDS) as made:
            wanted = one_process(made)
            for name in given.only or SCENARIOS:
                SCENARIOS[name](made, wanted)
            database = made.server.ask("postgres", "show server_version")
    except (Differs, ray_cluster.NodesLate) as error:
        print(f"cluster-test: FAILED: {error}", *getattr(error, "__notes__", []), sep="\n")
        return 1
    result = {
        **evidence.made_by("make cluster-test", load, database, LIBRARIES),
        "names": given.names,
        "seconds": time.monotonic() - began,
        "shown": made.shown,
    }
    if given.out is not None:
        evidence.write(given.out, "test", result)
    print(f"cluster-test: everything held, {result['seconds']:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
