"""What the processes of the reliability tests run. Messages go through a pipe; the last one says how it ended."""

from __future__ import annotations

import datetime as dt
import os
import resource
import signal
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from quant_platform.contracts.errors import PlatformError
from quant_platform.lake import CatalogueKeeper, Lake, build_catalogue, partition_files
from quant_platform_tests.lake.frames import BARS, bars, provenance
from quant_platform_tests.lake.objects import FolderObjects, Place

ROWS_OF_GENERATION = 100
"""A partition of generation g has 100 + g rows, and g as its close in each of them."""


def generation_frame(ticker: str, generation: int) -> pl.DataFrame:
    return bars(ticker, [float(generation)] * (ROWS_OF_GENERATION + generation))


def write_while_read(
    place: Place, tickers: Sequence[str], generation: int, debounce: dt.timedelta, pipe: Connection
) -> None:
    """Write one partition after the other and let the catalogue follow; report the seconds and the builds."""
    lake = place.open()
    keeper = CatalogueKeeper(lake, place.home / "quant.duckdb", debounce)
    frames = {ticker: generation_frame(ticker, generation) for ticker in tickers}
    pipe.send("ready")
    pipe.recv()
    started, builds = time.monotonic(), 0
    for ticker, frame in frames.items():
        lake.write(BARS, ticker, frame, provenance(str(generation)))
        builds += keeper.refresh()
    pipe.send((time.monotonic() - started, builds))


def write_missing(place: Place, tickers: Sequence[str], generation: int, many: bool, pipe: Connection) -> None:
    """Write the partitions that are not of this generation yet, saying so after each; then wait to be killed."""
    lake = place.open()
    missing = [ticker for ticker in tickers if not lake.is_current(BARS, ticker, str(generation), "onto", {})]
    pipe.send("ready")
    if many:
        lake.write_many(
            BARS, {ticker: generation_frame(ticker, generation) for ticker in missing}, provenance(str(generation))
        )
    else:
        for ticker in missing:
            lake.write(BARS, ticker, generation_frame(ticker, generation), provenance(str(generation)))
            pipe.send(ticker)
    pipe.send(len(missing))
    time.sleep(60)


def write_and_die(root: Path, generation: int, step: str, pipe: Connection) -> None:
    """Write a partition and kill this very process at a step of the write."""
    real_write = os.write

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def write_half_and_die(handle: int, content: memoryview) -> None:
        real_write(handle, content[: len(content) // 2])
        die()

    frame = generation_frame("A", generation)
    pipe.send("ready")
    if step == "in the middle of the content":
        os.write = write_half_and_die
    elif step == "before the content is on the disk":
        os.fsync = die
    elif step == "before the rename":
        Path.rename = die
    elif step == "after the rename":
        partition_files.flush_folder = die
    Lake(root).write(BARS, "A", frame, provenance(str(generation)))


def write_to_objects_and_die(place: Place, generation: int, step: str, pipe: Connection) -> None:
    """Write a partition to object storage and kill this very process at a step of the write."""
    real_create = FolderObjects.create

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def create_and_die(*arguments: Any) -> None:
        assert real_create(*arguments)
        die()

    lake, frame = place.open(), generation_frame("A", generation)
    pipe.send("ready")
    if step == "before the put":
        FolderObjects.create = die
    elif step == "after the put":
        FolderObjects.create = create_and_die
    elif step == "in the middle of the copy":
        os.fsync = die
    lake.write(BARS, "A", frame, provenance(str(generation)))


def write_with_small_files(root: Path, bytes_per_file: int, pipe: Connection) -> None:
    """Write a partition and a catalogue that are larger than the system lets this process write; send the errors."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_per_file, bytes_per_file))
    noise = np.random.default_rng(7).normal(size=5000).tolist()
    lake = Lake(root)
    attempts: tuple[Callable[[], object], ...] = (
        lambda: lake.write(BARS, "A", bars("A", noise), provenance()),
        lambda: build_catalogue(lake, root.parent / "quant.duckdb"),
    )
    for attempt in attempts:
        try:
            attempt()
        except PlatformError as error:
            pipe.send(error)
        else:
            pipe.send(None)
