"""The lake: writing by one and by two processes, reading a partition, aggregating all, building the catalogue."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

from quant_platform.lake import Lake, Provenance
from quant_platform.lake.catalogue import build_catalogue
from quant_platform.lake.opening import open_catalogue
from quant_platform_tests.benchmarks import panels
from quant_platform_tests.benchmarks.panels import Shape
from quant_platform_tests.benchmarks.timing import Sample, clocked, in_turns, summary

TABLE = "clean.equity_bars"
PROVENANCE = Provenance(asset="benchmark", code_version="benchmark", ontology_hash="benchmark", simulated=True)
PROCESSES = 2
READS = 50
AGGREGATE = f"""
    SELECT ticker, count(*), min(low), max(high), avg(close), sum(dollar_volume), stddev_samp(ln(close))
    FROM {TABLE} GROUP BY ticker
"""


def measure(shape: Shape, folder: Path) -> dict[str, Any]:
    """Time everything on a lake below ``folder``, which decides the disk; the lake is removed afterwards."""
    frames = _frames(shape)
    keys = sorted(frames)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as home:
        lake, catalogue = Lake(Path(home) / "lake"), Path(home) / "quant.duckdb"

        def build() -> None:
            catalogue.unlink(missing_ok=True)
            build_catalogue(lake, catalogue)

        def rebuild_after_one_write() -> Sample:
            lake.write(TABLE, keys[0], frames[keys[0]], PROVENANCE)
            return clocked(lambda: build_catalogue(lake, catalogue))()

        def aggregate() -> None:
            with open_catalogue(catalogue) as connection:
                assert len(connection.execute(AGGREGATE).fetchall()) == len(keys)

        few = max(2, shape.repetitions // 2)
        with TwoWriters(shape, lake.root) as two:
            writing = in_turns(
                {
                    "write_one_process": clocked(lambda: _write(lake, frames)),
                    "write_two_processes": two.write,
                    "write_many_one_process": clocked(lambda: lake.write_many(TABLE, frames, PROVENANCE)),
                },
                few,
            )
        build()
        reading = in_turns(
            {
                "read_one_partition": clocked(lambda: [lake.read(TABLE, [key]) for key in keys[:READS]]),
                "aggregate_all": clocked(aggregate),
                "catalogue_from_nothing": clocked(build),
                "catalogue_after_one_write": rebuild_after_one_write,
            },
            shape.repetitions,
        )
        stored = sum(path.stat().st_size for path in lake.current_files(TABLE))
    found: dict[str, Any] = {
        "partitions": len(keys),
        "rows": sum(frame.height for frame in frames.values()),
        "bytes": stored,
        "partitions_read": len(keys[:READS]),
    }
    return found | {name: summary(samples) for name, samples in (writing | reading).items()}


class TwoWriters:
    """Two processes, each with half of the partitions in memory, that write at a word; a context manager."""

    def __init__(self, shape: Shape, root: Path) -> None:
        self._shape, self._root = shape, root

    def __enter__(self) -> TwoWriters:
        # Started afresh: a fork of a process whose Polars threads run may hang.
        context = multiprocessing.get_context("spawn")
        self._pipes, self._processes = [], []
        for part in range(PROCESSES):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, self._shape, self._root, part))
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join()

    def write(self) -> Sample:
        """All partitions once: wall seconds until both are done, processor seconds of both."""
        started = time.perf_counter()
        for pipe in self._pipes:
            pipe.send("write")
        cpu = sum(pipe.recv() for pipe in self._pipes)
        return Sample(cpu, time.perf_counter() - started)


def _serve(pipe: Any, shape: Shape, root: Path, part: int) -> None:
    frames = _frames(shape)
    mine = {key: frames[key] for key in sorted(frames)[part::PROCESSES]}
    lake = Lake(root)
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        pipe.send(clocked(lambda: _write(lake, mine))().cpu)


def _write(lake: Lake, frames: dict[str, pl.DataFrame]) -> None:
    for key, frame in frames.items():
        lake.write(TABLE, key, frame, PROVENANCE)


def _frames(shape: Shape) -> dict[str, pl.DataFrame]:
    bars = panels.clean_bars(Shape(names=shape.partitions, sessions=shape.partition_rows))
    return {str(frame["ticker"][0]): frame for frame in bars}
