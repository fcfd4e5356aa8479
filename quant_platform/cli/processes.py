"""Processes that live as long as the command that started them, and not longer.

Each is the head of a process group of its own, so that a Ctrl-C in the terminal reaches the command alone, which then
ends them in order; what a process has started (a run, its workers) is in its group and ends with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from quant_platform.contracts.errors import PlatformError

GRACE_SECONDS = 15.0
KILLED_SECONDS = 5.0
_POLL_SECONDS = 0.1
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class ServerStopped(PlatformError, RuntimeError):
    """A process that was to serve has ended."""

    code = "server_stopped"


class StopAsked(Exception):
    """Somebody asked this command to end."""


@dataclass(frozen=True)
class Started:
    """A process of this command.

    Parameters
    ----------
    name
        As a person knows it.
    process
        The process.
    log
        Where it writes.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path


@dataclass
class Company:
    """The processes of one command, in the order they were started.

    Parameters
    ----------
    logs
        Folder of their logs; the log of the last start is kept as ``<name>.old.log``.
    """

    logs: Path
    members: list[Started] = field(default_factory=list)

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Started:
        """Start a process whose output goes to its log."""
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{name}.log"
        if log.is_file():
            log.replace(log.with_suffix(".old.log"))
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_prepared() if os.name == "posix" else None,
            )
        started = Started(name, process, log)
        self.members.append(started)
        return started

    def require_all(self) -> None:
        """Raise `ServerStopped` when one of the processes has ended."""
        for member in self.members:
            code = member.process.poll()
            if code is not None:
                raise ServerStopped(
                    f"the {member.name} ended {_how(code)}",
                    where=str(member.log),
                    cause=_last_line(member.log),
                    action="read the log; the other processes were stopped, start the command again",
                )

    def wait_until(self, ready: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait for something, as long as every process lives.

        Raises
        ------
        ServerStopped
            When a process has ended, or the time is over.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            self.require_all()
            if time.monotonic() > deadline:
                raise ServerStopped(
                    f"{what} did not answer within {seconds:.0f} s",
                    where=str(self.members[-1].log),
                    cause="a machine with much other work, or an error in the log",
                    action="read the log, then start the command again",
                )
            time.sleep(_POLL_SECONDS)

    def watch(self) -> None:
        """Stay until a process ends, which raises `ServerStopped`, or `StopAsked` comes from outside."""
        while True:
            self.require_all()
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """End every process and all that it started, the last one first; returns when none is left."""
        for member in reversed(self.members):
            _signal_group(member, signal.SIGTERM)
            deadline = time.monotonic() + GRACE_SECONDS
            while _lives(member) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
        for member in self.members:
            if _lives(member):
                _signal_group(member, signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                member.process.wait(KILLED_SECONDS)
        self.members.clear()


@contextlib.contextmanager
def company(logs: Path) -> Iterator[Company]:
    """Processes that end with the block, whatever ends it; SIGTERM, SIGHUP and Ctrl-C inside raise `StopAsked`."""

    def asked(number: int, _: FrameType | None) -> None:
        raise StopAsked(signal.Signals(number).name)

    wanted = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.signal(number, asked) for number in wanted}
    made = Company(logs)
    try:
        yield made
    finally:
        for number in wanted:
            # A second Ctrl-C does not leave processes behind.
            signal.signal(number, signal.SIG_IGN)
        made.stop()
        for number, handler in before.items():
            signal.signal(number, handler)


def _prepared() -> Callable[[], None]:
    """What a process does between its birth and its program.

    It takes the usual answer to SIGINT back: a shell that starts a command in the background has it ignored, and
    Dagster's code server then ignores SIGTERM as well. On Linux it dies with the command even where that is killed.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if library is not None:
            library.prctl(_DIE_WITH_PARENT, signal.SIGTERM)

    return prepare


def _signal_group(member: Started, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(member.process.pid, number)
        else:
            member.process.send_signal(number)


def _lives(member: Started) -> bool:
    """Whether the process or anything it started is there."""
    if member.process.poll() is None:
        return True
    if os.name != "posix":
        return False
    try:
        os.killpg(member.process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _how(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    name = signal.Signals(-code).name
    return f"by signal {-code} ({name}{', perhaps for want of memory' if -code == signal.SIGKILL else ''})"


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")
