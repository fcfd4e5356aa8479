"""A Ray cluster of one's own: a head without processors and workers with one each, each node a process group."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from quant_platform.specification.deployment import RaySpec
from quant_platform_tests.cluster.postgres import free_port
from quant_platform_tests.cluster.processes import descendants

LOCAL = "127.0.0.1"
STORE_BYTES = 80_000_000
START_SECONDS = 120
# Without the server of Ray's client, which nothing here needs: on a busy machine it waits half a minute for the node
# and then ends the head.
_RAY = "from ray.scripts import scripts; scripts.get_ray_client_dependency_error = lambda: 'not wanted'; scripts.main()"


class NodesLate(RuntimeError):
    """A cluster is not there in time."""


class NodeEnded(NodesLate):
    """A node has ended while it started."""


@dataclass
class Node:
    """A node, which is a process and all it has started."""

    name: str
    process: subprocess.Popen[bytes]

    def computing(self) -> list[str]:
        """Steps of Dagster that are over a chunk on it now: told to end, they would end without a word."""
        pids = descendants(self.process.pid)
        return sorted({_step_of(pid) for pid in pids if not _catches(pid, signal.SIGTERM)} - {""})

    def end_step(self, step: str) -> None:
        """Tell a step to end, as a cluster does before it takes a node away."""
        for pid in descendants(self.process.pid):
            if _step_of(pid) == step:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)

    def freeze(self) -> None:
        """Stop everything of it where it is, as when a machine is asleep."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let everything of it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End everything of it at once, as when a machine loses its power."""
        # Stopped first, so that none sees the others go and reports it.
        self.freeze()
        self._signal(signal.SIGKILL)
        self.process.wait(timeout=30)

    def _signal(self, number: int) -> None:
        for pid in [self.process.pid, *descendants(self.process.pid)] if self.process.poll() is None else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


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

    def start_workers(self, *names: tuple[str, Mapping[str, str]]) -> list[Node]:
        """Start workers one after the other; one that ends while it starts is started once more.

        Ray gives a node half a minute to be known, which a busy machine may not keep.
        """
        made: list[Node] = []
        for name, environment in names:
            node = self.start_worker(name, **environment)
            try:
                self.wait_for(len(made) + 1)
            except NodeEnded:
                self.nodes.remove(node)
                node = self.start_worker(name, **environment)
                self.wait_for(len(made) + 1)
            made.append(node)
        return made

    def _start(self, name: str, options: list[str], environment: Mapping[str, str]) -> Node:
        command = [str(self.binaries / "python"), "-c", _RAY, "start", "--block", "--disable-usage-stats", *options]
        command += [f"--node-ip-address={LOCAL}", f"--object-store-memory={STORE_BYTES}"]
        # Nodes of one machine would want the same port for what looks after their jobs.
        command += [f"--dashboard-agent-listen-port={free_port()}"]
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
                what = f"waited for a Ray cluster with {workers} workers"
                if ended:
                    raise NodeEnded(f"{what}: these nodes have ended: {ended}")
                raise NodesLate(f"{what}: not within {START_SECONDS} s")
            time.sleep(0.5)

    def said(self) -> str:
        """The end of what every node has said, for who looks for the cause of a failure."""
        logs = [*self.folder.glob("*.log"), *self.folder.glob("ray/session_latest/logs/raylet*.err")]
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
    port, dashboard = free_port(), free_port()
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


def _step_of(pid: int) -> str:
    """The step that a process executes; that of the supervisor beside it, which has the same environment, is none."""
    try:
        command, environment = (Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
    except OSError:
        return ""
    said = dict(part.split(b"=", 1) for part in environment.split(b"\0") if b"=" in part)
    return said.get(b"DAGSTER_RUN_STEP_KEY", b"").decode() if b"execute_step" in command else ""


def _catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process does something of its own about a signal."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return True
    caught = next(line.split()[1] for line in lines if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (number - 1) & 1)
