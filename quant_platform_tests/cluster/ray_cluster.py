"""A Ray cluster of one's own: a head without processors and workers with one each, each node a process group."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from quant_platform.specification.deployment import RaySpec

LOCAL = "127.0.0.1"
STORE_BYTES = 80_000_000
START_SECONDS = 120
# Without the server of Ray's client, which nothing here needs: on a busy machine it waits half a minute for the node
# and then ends the head.
_RAY = "from ray.scripts import scripts; scripts.get_ray_client_dependency_error = lambda: 'not wanted'; scripts.main()"


@dataclass
class Node:
    """A node, which is a process and all it has started."""

    name: str
    process: subprocess.Popen[bytes]

    def steps(self) -> list[str]:
        """Steps of Dagster that run on it now."""
        return sorted({_step_of(pid) for pid in descendants(self.process.pid)} - {""})

    def end_step(self, words: str) -> str:
        """Tell a step whose name has these words to end, as a cluster does before it takes a node away; its name."""
        running = {pid: _step_of(pid) for pid in descendants(self.process.pid)}
        found = {pid: step for pid, step in running.items() if words in step}
        name = next(iter(found.values()))
        for pid in (pid for pid, step in found.items() if step == name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        return name

    def kill(self) -> None:
        """End everything of it at once, as when a machine loses its power."""
        # Stopped first, so that none sees the others go and reports it.
        group = [self.process.pid, *descendants(self.process.pid)] if self.process.poll() is None else []
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in group:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        self.process.wait(timeout=30)


@dataclass
class Cluster:
    """The nodes, and how a worker is added."""

    binaries: Path
    folder: Path
    port: int
    address: str
    environment: Mapping[str, str]
    nodes: list[Node] = field(default_factory=list)

    def start_worker(self, name: str, **environment: str) -> Node:
        """Start a worker with an environment of its own."""
        return self._start(name, ["--address", f"{LOCAL}:{self.port}", "--num-cpus=1"], environment)

    def _start(self, name: str, options: list[str], environment: Mapping[str, str]) -> Node:
        command = [str(self.binaries / "python"), "-c", _RAY, "start", "--block", "--disable-usage-stats", *options]
        command += [f"--node-ip-address={LOCAL}", f"--object-store-memory={STORE_BYTES}"]
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                env={**self.environment, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                cwd=self.folder,
            )
        node = Node(name, process)
        self.nodes.append(node)
        return node

    def wait_for(self, workers: int) -> None:
        """Wait until the job server answers and has this many workers."""
        from quant_platform.defs.executors import ExecutorUnavailable
        from quant_platform.defs.ray_steps import fitting, nodes

        spec, deadline = RaySpec(address=self.address), time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(ExecutorUnavailable):
                found = nodes(spec)
                if len(found) == workers + 1 and len(fitting(found, 1.0)) == workers:
                    return
            ended = [node.name for node in self.nodes if node.process.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"Ray did not start, ended: {ended}")
            time.sleep(0.5)

    def said(self) -> str:
        """The end of what every node has said, for who looks for the cause of a failure."""
        logs = [*self.folder.glob("*.log"), *self.folder.glob("ray/session_latest/logs/dashboard*.log")]
        return "\n".join(f"== {log.name}\n{log.read_text(errors='replace')[-1_500:]}" for log in logs)


@contextmanager
def cluster(binaries: Path, folder: Path, environment: Mapping[str, str]) -> Iterator[Cluster]:
    """Start the head of a cluster; all of it ends with the block.

    Parameters
    ----------
    binaries
        Where ``ray`` is.
    folder
        For logs and sessions; short, because sockets lie below it.
    environment
        Of every node.
    """
    port, dashboard = _free_port(), _free_port()
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}
    found = Cluster(binaries, folder, port, f"http://{LOCAL}:{dashboard}", {**environment, **quiet})
    options = ["--head", "--num-cpus=0", f"--port={port}", f"--dashboard-port={dashboard}", "--dashboard-host", LOCAL]
    try:
        found._start("head", [*options, f"--temp-dir={folder / 'ray'}"], {})
        found.wait_for(0)
        yield found
    except Exception as failure:
        # Whatever failed, the nodes have said why in files that go with them.
        failure.add_note(found.said())
        raise
    finally:
        for node in reversed(found.nodes):
            if node.process.poll() is None:
                node.kill()


def descendants(root: int) -> list[int]:
    """Processes that a process has started, and those that they have, as far as they are there."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def _step_of(pid: int) -> str:
    """The step that a process executes; that of the supervisor beside it, which has the same environment, is none."""
    try:
        command, environment = (Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
    except OSError:
        return ""
    said = dict(part.split(b"=", 1) for part in environment.split(b"\0") if b"=" in part)
    return said.get(b"DAGSTER_RUN_STEP_KEY", b"").decode() if b"execute_step" in command else ""


def _free_port() -> int:
    with socket.create_server((LOCAL, 0)) as probe:
        return int(probe.getsockname()[1])
