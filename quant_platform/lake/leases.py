"""A lock on object storage: one small object that its holder keeps changing, and that others may take when it stops.

1. The holder creates the object, or puts itself in the place of one that says nobody holds it, on condition that it is
   still the one it has read (``If-Match``). Of many who try one succeeds (:func:`_acquire`).
2. It puts a new state of the object every third of the lease time (:class:`_Renewal`).
3. Who waits looks at the object again and again. When it has seen one state of it for a whole lease time, by its own
   clock, the holder is taken for dead and its place is taken, on the same condition. No clock is compared with
   another one.
4. A holder that was only slow finds that its condition no longer holds, or that its time is over: ``confirm`` raises.
   It calls that before anything that must not happen twice.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from quant_platform.contracts.errors import StorageFailed

LEASE_SECONDS = 30.0
LOOKS = 30
"""Looks of who waits in one lease time."""


class State(Protocol):
    """A state of an object."""

    @property
    def content(self) -> bytes:
        """What it says."""
        ...

    @property
    def tag(self) -> str:
        """What tells it from every other state."""
        ...


class Swapping(Protocol):
    """The part of object storage that a lease needs."""

    def get(self, name: str) -> State | None:
        """Read an object; None where there is none."""
        ...

    def swap(self, name: str, content: bytes, tag: str | None) -> str | None:
        """Put an object in the place of the one with this tag, or of none; returns the new tag, None where refused."""
        ...


@contextmanager
def held(objects: Swapping, name: str, address: str, *, seconds: float = LEASE_SECONDS) -> Iterator[Callable[[], None]]:
    """Wait for a lease, and hold it until the block ends.

    Parameters
    ----------
    objects
        Object storage.
    name
        Of the lease.
    address
        Where it is, for messages.
    seconds
        The lease time.

    Yields
    ------
    callable
        ``confirm``: raises StorageFailed where the lease was lost.

    Raises
    ------
    StorageFailed
        When the store cannot be reached.
    """
    renewal = _Renewal(objects, name, seconds, *_acquire(objects, name, seconds))
    thread = threading.Thread(target=renewal.run, daemon=True)
    thread.start()

    def confirm() -> None:
        if renewal.is_lost():
            raise StorageFailed(
                "the lease was lost: this process said nothing for longer than it lasts",
                where=f"{address}/{name}",
                how_many=f"{seconds:g} seconds",
                cause="the machine was asleep or too busy, or the store could not be reached",
                action="start again; nothing was changed that another holder could have changed meanwhile",
            )

    try:
        yield confirm
    finally:
        renewal.stop.set()
        thread.join()
        if not renewal.is_lost():
            # What was to be done is done; a lease that cannot be given back ends by itself.
            with suppress(StorageFailed):
                objects.swap(name, _state(""), renewal.tag)


def _acquire(objects: Swapping, name: str, seconds: float) -> tuple[str, float]:
    """Return the tag of our state and when, by the monotonic clock, it was asked for."""
    seen, since = None, time.monotonic()
    while True:
        found, now = objects.get(name), time.monotonic()
        tag = None if found is None else found.tag
        if tag != seen:
            seen, since = tag, now
        if found is None or not json.loads(found.content)["holder"] or now - since > seconds:
            ours = _swap(objects, name, _state(_whoami()), tag)
            if ours is not None:
                return ours, now
        else:
            time.sleep(seconds / LOOKS)


class _Renewal:
    """Keeps a lease, in a thread of its own."""

    def __init__(self, objects: Swapping, name: str, seconds: float, tag: str, since: float) -> None:
        self._objects, self._name, self._seconds = objects, name, seconds
        self.tag, self._since = tag, since
        self._taken = False
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.wait(self._seconds / 3):
            now = time.monotonic()
            try:
                tag = _swap(self._objects, self._name, _state(_whoami()), self.tag)
            except StorageFailed:
                continue  # Asked again at the next turn; the time that is over meanwhile counts.
            if tag is None:
                self._taken = True
                return
            self.tag, self._since = tag, now

    def is_lost(self) -> bool:
        return self._taken or time.monotonic() - self._since > self._seconds


def _swap(objects: Swapping, name: str, content: bytes, tag: str | None) -> str | None:
    """Swap, and know a put of ours again whose answer was lost and which was therefore sent twice."""
    put = objects.swap(name, content, tag)
    if put is None:
        found = objects.get(name)
        return found.tag if found is not None and found.content == content else None
    return put


def _state(holder: str) -> bytes:
    # Never the same twice: the tag of an object may be a hash of what it says.
    return json.dumps({"holder": holder, "state": secrets.token_hex(8)}).encode()


def _whoami() -> str:
    return f"{socket.gethostname()}, process {os.getpid()}"
