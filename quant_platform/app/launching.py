"""Work that a page starts and that outlives it: a command in a process of its own, with a record and a log.

``<home>/app/<id>/`` holds ``job.json`` (what was asked, and when), ``log`` (what the command says) and, once it has
ended, ``ended.json`` (its exit code). Whether it runs is told by a lock that its keeper holds, not by a number of a
process, which may be somebody else's by now. A page that is reloaded or opened on another day reads the same folder.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from quant_platform.contracts.errors import SettingsError
from quant_platform.lake.atomic import atomic_text
from quant_platform.lake.locks import exclusive

State = Literal["running", "done", "failed", "cancelled", "died"]
# What a command says that was stopped, and one that was stopped before it could say anything.
INTERRUPTED = (130, -signal.SIGINT)
_STARTS_WITHIN = timedelta(seconds=20)
_JOB, _LOG, _ENDED, _LOCK, _KEEPER = "job.json", "log", "ended.json", "alive.lock", "keeper.json"


@dataclass(frozen=True)
class Work:
    """A command that was started from a page.

    Attributes
    ----------
    id
        Name of its folder; a later one sorts after an earlier one.
    title
        What a person reads.
    command
        Arguments of ``quant``.
    started_at
        UTC, ISO 8601.
    """

    id: str
    title: str
    command: tuple[str, ...]
    started_at: str


def works_folder(home: Path) -> Path:
    """Where the records of a home are."""
    return home / "app"


def start(home: Path, title: str, command: Sequence[str]) -> Work:
    """Start ``quant COMMAND`` so that it outlives this process, and return its record at once.

    Parameters
    ----------
    home
        The home; the command gets it by the environment.
    title
        For people.
    command
        Arguments of ``quant``.
    """
    now = datetime.now(UTC)
    made = Work(
        f"{now:%Y%m%dT%H%M%S%f}-{secrets.token_hex(3)}", title, tuple(command), now.isoformat(timespec="seconds")
    )
    folder = works_folder(home) / made.id
    atomic_text(folder / _JOB, json.dumps(asdict(made), indent=1))
    with (folder / _LOG).open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "quant_platform.app.keeper", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "QUANT_HOME": str(home)},
        )
    return made


def works(home: Path, limit: int = 20) -> list[Work]:
    """The last works, newest first."""
    found = sorted(works_folder(home).glob(f"*/{_JOB}"), reverse=True)[:limit]
    return [_read(path) for path in found]


def state_of(home: Path, work: Work) -> State:
    """What has become of it."""
    folder = works_folder(home) / work.id
    ended = folder / _ENDED
    if not ended.is_file():
        with exclusive(folder / _LOCK, wait=False) as alone:
            held = not alone
        young = datetime.now(UTC) - datetime.fromisoformat(work.started_at) < _STARTS_WITHIN
        if held or (young and not (folder / _KEEPER).is_file()):
            return "running"
        if not ended.is_file():
            return "died"
    code = json.loads(ended.read_text(encoding="utf-8"))["code"]
    return "done" if code == 0 else "cancelled" if code in INTERRUPTED else "failed"


def log_tail(home: Path, work: Work, lines: int = 40) -> str:
    """The end of what it said; a line that was written over stands as it was last."""
    path = works_folder(home) / work.id / _LOG
    if not path.is_file():
        return ""
    said = path.read_bytes().decode(errors="replace").rstrip("\n").split("\n")
    return "\n".join(line.rstrip().rpartition("\r")[2] for line in said[-lines:])


def cancel(home: Path, work: Work) -> bool:
    """Ask it to stop as Ctrl-C would; what it has written stays whole. False where it no longer runs.

    Raises
    ------
    SettingsError
        On a system without process groups.
    """
    if os.name != "posix":
        raise SettingsError("a run cannot be cancelled from here on this system", action="end it in Dagster: quant up")
    keeper = works_folder(home) / work.id / _KEEPER
    if state_of(home, work) != "running" or not keeper.is_file():
        return False
    os.killpg(json.loads(keeper.read_text(encoding="utf-8"))["group"], signal.SIGINT)
    return True


def _read(path: Path) -> Work:
    said = json.loads(path.read_text(encoding="utf-8"))
    return Work(said["id"], said["title"], tuple(said["command"]), said["started_at"])
