"""What processes of this machine cost, and which of them are left: read from ``/proc``."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Process:
    """One process as it was at one moment.

    Attributes
    ----------
    pid, parent
        Its number and that of who started it, or of who took it over.
    started
        When, in ticks since the machine was started: with the number it names a process for good.
    ticks
        Processor time of its own.
    alive
        Whether it is more than an entry that nobody has read.
    """

    pid: int
    parent: int
    started: int
    ticks: int
    alive: bool


def look() -> dict[int, Process]:
    """Every process there is."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                # The name of the program stands in brackets and may hold anything.
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                pid, ticks = int(folder.name), int(fields[11]) + int(fields[12])
                found[pid] = Process(pid, int(fields[1]), int(fields[19]), ticks, fields[0] not in "ZX")
    return found


def descendants(root: int) -> list[int]:
    """Processes that a process has started, and those that they have, as far as they are there."""
    everything = look()
    found = [root]
    for pid in found:
        found += [one.pid for one in everything.values() if one.parent == pid]
    return found[1:]


class Meter:
    """Adds up the processor time of some processes and of all they start, also of those that have ended meanwhile.

    It looks five times a second, so what a process does after the last look before its end is missed.

    Parameters
    ----------
    roots
        Processes; what they have used before does not count.
    """

    def __init__(self, *roots: int) -> None:
        self._before: dict[tuple[int, int], int] = {}
        self._ticks: dict[tuple[int, int], int] = {}
        self._roots, self._first = set(roots), True
        self.look()

    def look(self) -> None:
        """Look once."""
        everything = look()
        known = {pid for pid, started in self._ticks if pid in everything and everything[pid].started == started}
        new = (known | self._roots) & everything.keys()
        mine = set(new)
        while new := {one.pid for one in everything.values() if one.parent in new} - mine:
            mine |= new
        for one in (everything[pid] for pid in mine):
            name = (one.pid, one.started)
            if self._first:
                self._before[name] = one.ticks
            self._ticks[name] = max(one.ticks, self._ticks.get(name, 0))
        # A number may be given again, to a process that is none of ours.
        self._first, self._roots = False, set()

    def seconds(self) -> float:
        """Processor seconds up to the last look."""
        return (sum(self._ticks.values()) - sum(self._before.values())) / TICKS


@contextmanager
def metered(*roots: int) -> Iterator[Meter]:
    """Measure some processes until the block ends."""
    meter, stop = Meter(*roots), threading.Event()

    def run() -> None:
        while not stop.wait(LOOK_SECONDS):
            meter.look()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield meter
    finally:
        stop.set()
        thread.join()
        meter.look()


def named(words: str) -> dict[int, str]:
    """Living processes, this one apart, in whose command or environment some words stand: number and command."""
    found = {}
    for one in look().values():
        if one.alive and one.pid != os.getpid():
            with contextlib.suppress(OSError):
                command, environment = (Path(f"/proc/{one.pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
                if words.encode() in command + environment:
                    found[one.pid] = command.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def end(pids: Iterator[int] | list[int]) -> None:
    """End processes at once; one that is gone is no error."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def left(words: str, seconds: float = 10.0) -> dict[int, str]:
    """What `named` still finds after some seconds of waiting for it to end."""
    deadline = time.monotonic() + seconds
    while (found := named(words)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found
