"""Processes that end with their command, with small children in the place of the servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quant_platform.cli.processes import ServerStopped, company

# A server with a child of its own that would outlive it: it writes both numbers and waits.
SERVER = """
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
ready = pathlib.Path(sys.argv[1])
ready.with_suffix(".new").write_text(f"{os.getpid()} {child.pid}")
ready.with_suffix(".new").replace(ready)
time.sleep(600)
"""
COMMAND = """
import os, pathlib, sys
from quant_platform.cli.processes import company
with company(pathlib.Path(sys.argv[1])) as servers:
    for name in ("one", "two"):
        servers.start(name, [sys.executable, "-S", "-c", sys.argv[2], sys.argv[1] + "/" + name], os.environ)
    servers.watch()
"""


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def all_gone(pids: list[int], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(lives, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def written(*files: Path) -> list[int]:
    """Numbers of the servers and their children, in this order, when all are up."""
    deadline = time.monotonic() + 60
    while not all(file.is_file() for file in files):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pairs = [[int(word) for word in file.read_text().split()] for file in files]
    return [pair[0] for pair in pairs] + [pair[1] for pair in pairs]


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc; other systems have no death signal")


def test_a_killed_server_is_named_and_takes_the_others_with_it(tmp_path: Path) -> None:
    with company(tmp_path) as servers:
        for name in ("one", "two"):
            servers.start(name, [sys.executable, "-S", "-c", SERVER, str(tmp_path / name)], os.environ)
        pids = written(tmp_path / "one", tmp_path / "two")
        os.kill(pids[0], signal.SIGKILL)
        with pytest.raises(ServerStopped) as raised:
            servers.watch()
    assert raised.value.what == "the one ended by signal 9 (SIGKILL, perhaps for want of memory)"
    # The group of the killed one is ended too: its child is not left behind.
    assert all_gone(pids)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_everything_before_the_command(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(tmp_path), SERVER], stderr=subprocess.PIPE, start_new_session=True
    )
    pids = written(tmp_path / "one", tmp_path / "two")
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"StopAsked: {number.name}" in said.decode()
    assert not any(map(lives, pids))


def test_servers_end_with_a_command_that_is_killed(tmp_path: Path) -> None:
    """What a server has started itself must end it: Dagster's do, on the SIGTERM that the kernel sends them."""
    process = subprocess.Popen([sys.executable, "-c", COMMAND, str(tmp_path), SERVER], start_new_session=True)
    pids = written(tmp_path / "one", tmp_path / "two")
    process.kill()
    process.wait(30)
    servers, children = pids[:2], pids[2:]
    try:
        assert all_gone(servers)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
