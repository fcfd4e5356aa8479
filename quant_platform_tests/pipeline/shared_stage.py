"""A stage that does to a process what the environment says, once it meets a key in it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from quant_platform.contracts.errors import PartitionMissing, StoreUnavailable
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import Frames, Stage
from quant_platform_tests.lake.frames import BARS, bars

FIRST = "QUANT_TEST_FIRST_PROCESS"
MISHAP = "QUANT_TEST_MISHAP"
TOGETHER = "QUANT_TEST_TOGETHER"
"""How many processes wait for each other at the first key of each."""
TICKERS = [f"T{i:03d}" for i in range(40)]
OUT_OF_ORDER = "T039"
"""Fails by itself, wherever it is made."""
MET = "T020"
"""The first key of the second of two processes."""


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stumble() -> None:
    raise ZeroDivisionError("by accident")


def _lose_the_store() -> None:
    raise StoreUnavailable("nobody answers")


MISHAPS: Mapping[str, Callable[[], None]] = {"die": _die, "stumble": _stumble, "store": _lose_the_store}


def compute(home: Home, key: Any, /, *, refresh: bool) -> Frames:
    """One bar; what happens on the way is up to the environment."""
    del refresh
    with (home.settings.home / f"made_by_{os.getpid()}").open("a") as made:
        made.write(f"{key}\n")
    while len(list(home.settings.home.glob("made_by_*"))) < int(os.environ.get(TOGETHER, "1")):
        time.sleep(0.01)
    where, _, what = os.environ.get(MISHAP, "").partition(":")
    first = os.environ[FIRST] == str(os.getpid())
    if key == MET and where in ("everywhere", "here" if first else "there"):
        MISHAPS[what]()
    if key == OUT_OF_ORDER:
        raise PartitionMissing("this one fails by itself")
    return {BARS: bars(key, [float(key[1:]) + 1.0])}


class Unhashed(Stage):
    """Its code is none of the package, from whose files the hash is found."""

    def code_version(self, home: Home) -> str:
        """Always the same."""
        del home
        return "1"


STAGE = Unhashed(outputs=(BARS,), compute=compute)
"""Goes to another process by the name of its function."""
UNSENDABLE = Unhashed(outputs=(BARS,), compute=lambda home, key, /, *, refresh: compute(home, key, refresh=refresh))
