"""``quant up`` as real processes: it serves its own pages, refuses those of others, and leaves nothing behind."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from quant_platform.defs import runs
from quant_platform_tests.cli.commands import QUANT
from quant_platform_tests.homes import declare, entered, write_specs

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("up")]

WIPED = dg.AssetKey(["clean", "equity_bars"])
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIPE = 'mutation { wipeAssets(assetPartitionRanges: [{assetKey: {path: ["clean", "equity_bars"]}}]) { __typename } }'


@dataclass
class Up:
    """A running ``quant up``."""

    home: Path
    specs: Path
    port: int
    process: subprocess.Popen[str]
    line: str

    def ask(self, query: str, **variables: Any) -> Any:
        """Ask as a program of the same machine does."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = json.dumps({"query": query, "variables": variables})
        connection.request("POST", "/graphql", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        assert answer.status == 200, text
        found = json.loads(text)
        assert "errors" not in found, found["errors"]
        return found["data"]

    def group(self) -> set[int]:
        """Every process that descends from the command."""
        parents = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    fields = (folder / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if fields[0] != "Z":
                    parents[int(folder.name)] = int(fields[1])
        found = {self.process.pid}
        while True:
            more = {pid for pid, parent in parents.items() if parent in found} - found
            if not more:
                return found & parents.keys()
            found |= more


def started(folder: Path, *, shell: bool = False) -> Up:
    """Start ``quant up`` on a new home; with `shell`, as a script starts it in the background."""
    specs, home = write_specs(folder / "specs"), folder / "home"
    declare(home, specs)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [*QUANT, "up", "--port", str(port)]
    if shell:
        command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    with entered(home, specs) as opened, runs.instance_of(opened) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization(WIPED))
    environment = os.environ | {"QUANT_HOME": str(home), "QUANT_SPECS": str(specs), "COLUMNS": "200"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        _, said = process.communicate(timeout=60)
        pytest.fail(f"quant up ended: {said}")
    return Up(home, specs, port, process, line)


def alive(pids: set[int]) -> set[int]:
    """Those of some processes that are not gone."""
    found = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            found.add(pid)
    return found


def gone(pids: set[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def ended(up: Up, number: signal.Signals, pids: set[int]) -> tuple[int, str, str]:
    up.process.send_signal(number)
    try:
        shown, said = up.process.communicate(timeout=90)
    except subprocess.TimeoutExpired:
        for pid in alive(pids):
            os.kill(pid, signal.SIGKILL)
        raise
    return up.process.returncode, shown, said


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    running = started(tmp_path_factory.mktemp("up"))
    pids = running.group()
    try:
        yield running
    finally:
        code, shown, said = ended(running, signal.SIGTERM, pids)
    assert (code, shown, said.strip()) == (0, "", "stopped")
    assert gone(pids, 10)


def test_one_line_says_where(up: Up) -> None:
    assert up.line == f"SIMULATED: simulated (simulated): http://127.0.0.1:{up.port}/  (Ctrl-C stops it)\n"


def test_everything_that_is_needed_runs(up: Up) -> None:
    question = """{ workspaceOrError { ... on Workspace { locationEntries { name
        locationOrLoadError { __typename } } } }
        instance { daemonHealth { allDaemonStatuses { daemonType healthy } } } }"""
    deadline = time.monotonic() + 60
    while True:
        found = up.ask(question)
        daemons = {d["daemonType"]: d["healthy"] for d in found["instance"]["daemonHealth"]["allDaemonStatuses"]}
        if all(daemons.values()) or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert {"SENSOR", "SCHEDULER", "BACKFILL", "QUEUED_RUN_COORDINATOR"} <= daemons.keys()
    assert all(daemons.values()), daemons
    assert found["workspaceOrError"]["locationEntries"] == [
        {"name": "quant_platform", "locationOrLoadError": {"__typename": "RepositoryLocation"}}
    ]


def test_a_second_one_on_the_same_home_is_refused(up: Up) -> None:
    environment = os.environ | {"QUANT_HOME": str(up.home), "QUANT_SPECS": str(up.specs)}
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    done = subprocess.run(
        [*QUANT, "up", "--port", str(port)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert done.stderr.startswith("settings_invalid: another `quant up` serves this home")


def launch(up: Up, job: str) -> str:
    selector = {"repositoryLocationName": "quant_platform", "repositoryName": "__repository__", "jobName": job}
    found = up.ask(
        "mutation($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename ... on LaunchRunSuccess "
        "{ run { runId } } ... on PythonError { message } } }",
        p={"selector": selector, "mode": "default", "runConfigData": {}},
    )["launchRun"]
    assert found["__typename"] == "LaunchRunSuccess", found
    return str(found["run"]["runId"])


def test_a_run_is_launched_through_daemon_and_code_server(up: Up) -> None:
    run_id = launch(up, "securities")
    deadline = time.monotonic() + 180
    state = ""
    while state not in ("SUCCESS", "FAILURE", "CANCELED") and time.monotonic() < deadline:
        state = up.ask("query($r: ID!) { runOrError(runId: $r) { ... on Run { status } } }", r=run_id)["runOrError"][
            "status"
        ]
        time.sleep(0.5)
    assert state == "SUCCESS"
    assert list((up.home / "lake/raw/securities").glob("*.parquet"))


FOREIGN_PAGE = """<!doctype html><title>foreign</title><script>
const there = "http://HOST:PORT", wipe = WIPE, results = {};
const settle = (name, promise) => promise.then(v => results[name] = "let in: " + v, e => results[name] = "refused");
async function attack() {
  const json = JSON.stringify({query: wipe});
  const get = there + "/graphql?query=" + encodeURIComponent(wipe);
  await settle("fetch", fetch(there + "/graphql", {method: "POST", body: json,
    headers: {"Content-Type": "application/json"}}).then(r => r.status));
  await fetch(there + "/graphql", {method: "POST", mode: "no-cors", body: json,
    headers: {"Content-Type": "text/plain"}}).catch(() => 0);
  await fetch(there + "/graphql", {method: "POST", mode: "no-cors", body: wipe,
    headers: {"Content-Type": "text/plain"}}).catch(() => 0);
  await fetch(get, {mode: "no-cors"}).catch(() => 0);
  await settle("image", new Promise((yes, no) => {
    const i = new Image(); i.onload = () => yes("loaded"); i.onerror = no; i.src = there + "/favicon.png"; }));
  await new Promise(end => { const i = new Image(); i.onload = i.onerror = end; i.src = get; });
  await settle("websocket", new Promise((yes, no) => {
    const s = new WebSocket("ws://HOST:PORT/graphql", "graphql-ws");
    s.onopen = () => yes("open"); s.onerror = no; setTimeout(no, 20000); }));
  await new Promise(end => {
    const f = document.createElement("iframe"); f.name = "into"; document.body.append(f);
    const form = document.createElement("form"); form.method = "POST"; form.target = "into";
    form.action = get; form.enctype = "text/plain"; document.body.append(form);
    f.onload = end; form.submit(); setTimeout(end, 5000); });
  return results;
}
</script><body>"""


@pytest.fixture
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: the guard is tested by its headers in test_guard.py")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as tool:
        opened = tool.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield opened
        opened.close()


@pytest.fixture
def foreign(up: Up) -> Iterator[str]:
    """A web site of somebody else, on this machine under another name, whose page attacks the server."""

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host = "127.0.0.1" if "localhost" in self.headers["Host"] else "localhost"
            page = FOREIGN_PAGE.replace("HOST", host).replace("PORT", str(up.port)).replace("WIPE", json.dumps(WIPE))
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield str(server.server_address[1])
        server.shutdown()


def materialised(up: Up) -> bool:
    with entered(up.home, up.specs) as opened, runs.instance_of(opened) as instance:
        return instance.get_latest_materialization_event(WIPED) is not None


@pytest.mark.parametrize("site", ["localhost", "127.0.0.1"])
def test_a_page_of_another_site_reaches_nothing(site: str, up: Up, browser: Any, foreign: str) -> None:
    page = browser.new_page()
    page.goto(f"http://{site}:{foreign}/")
    results = page.evaluate("attack()")
    page.close()
    assert results == {"fetch": "refused", "image": "refused", "websocket": "refused"}
    assert materialised(up)


def test_the_page_itself_works_and_its_own_mutation_is_carried_out(up: Up, browser: Any, tmp_path: Path) -> None:
    """The control of the test above: the same words, said by the page itself, do what they say."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(180_000)
    refused: list[str] = []
    page.on("response", lambda answer: refused.append(answer.url) if answer.status == 403 else None)
    page.goto(f"http://127.0.0.1:{up.port}/assets/clean/equity_bars", wait_until="load")
    page.get_by_text("equity_bars").first.wait_for()
    picture = Path(os.environ.get("QUANT_TEST_PICTURES", tmp_path)) / "up.png"
    page.screenshot(path=str(picture))
    opened = page.evaluate(
        """port => new Promise((yes, no) => { const s = new WebSocket(`ws://127.0.0.1:${port}/graphql`, "graphql-ws");
        s.onmessage = m => yes(JSON.parse(m.data).type); s.onerror = () => no("refused");
        s.onopen = () => s.send(JSON.stringify({type: "connection_init"})); })""",
        up.port,
    )
    assert opened == "connection_ack"
    wiped = page.evaluate(
        """query => fetch("/graphql", {method: "POST", headers: {"Content-Type": "application/json"},
        body: JSON.stringify({query})}).then(r => r.json())""",
        WIPE,
    )
    page.close()
    assert refused == []
    assert wiped["data"]["wipeAssets"]["__typename"] == "AssetWipeSuccess"
    assert not materialised(up)
    with entered(up.home, up.specs) as home, runs.instance_of(home) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization(WIPED))


def test_an_end_while_a_run_works_leaves_no_process(tmp_path: Path) -> None:
    """Started as a script starts it in the background, where SIGINT is ignored and Dagster would ignore SIGTERM."""
    up = started(tmp_path, shell=True)
    try:
        selector = {"repositoryLocationName": "quant_platform", "repositoryName": "__repository__"}
        found = up.ask(
            "mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) { __typename } }",
            p={
                "selector": {
                    "repositorySelector": selector,
                    "partitionSetName": "ticker_graph_partition_set",
                },
                "allPartitions": True,
            },
        )
        assert found["launchPartitionBackfill"]["__typename"] == "LaunchBackfillSuccess", found
        deadline = time.monotonic() + 180
        while not list(up.home.glob("lake/raw/*/*/*.parquet")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        pids = up.group()
        assert len(pids) > 5  # the command, three servers, the code server's child, a run
    finally:
        code, _, said = ended(up, signal.SIGTERM, up.group())
    assert (code, said.strip()) == (0, "stopped")
    assert gone(pids, 10)
