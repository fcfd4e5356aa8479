"""The promises of the lake, kept by real processes: no failed write, no failed or torn read, whatever is killed."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import duckdb
import pytest

from quant_platform.contracts.errors import StorageFailed
from quant_platform.lake import CatalogueKeeper, Lake, check, connect, open_catalogue, vacuum
from quant_platform.lake.places import COPY_OF
from quant_platform_tests.lake.frames import BARS, bars, provenance
from quant_platform_tests.lake.objects import Place, on_every_store
from quant_platform_tests.lake.workers import (
    ROWS_OF_GENERATION,
    generation_frame,
    write_and_die,
    write_missing,
    write_to_objects_and_die,
    write_while_read,
    write_with_small_files,
)

PARTITIONS, PARTITIONS_OF_OBJECTS = 500, 60
READ_EVERY_SECONDS = 0.05
KILLS = 20
KILLED_PARTITIONS = 24
SEED = 20260205

BY_TICKER = "SELECT ticker, count(*), min(close), max(close) FROM clean.equity_bars GROUP BY ticker"


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["quant_platform_tests.lake.workers"])
    return context


@contextmanager
def worker(
    context: ForkServerContext, function: Callable[..., None], *arguments: object
) -> Iterator[tuple[ForkServerProcess, Connection]]:
    ours, theirs = context.Pipe()
    process = context.Process(target=function, args=(*arguments, theirs))
    process.start()
    theirs.close()
    try:
        yield process, ours
    finally:
        process.kill()
        process.join(30)
        process.close()
        ours.close()


def receive(pipe: Connection) -> Any:
    assert pipe.poll(60), "the worker is silent"
    return pipe.recv()


def generations(rows: list[tuple[Any, ...]]) -> dict[str, int]:
    """Return the generation of each partition; fails for one that is not whole."""
    found = {}
    for ticker, count, low, high in rows:
        assert low == high, f"{ticker} mixes two versions"
        assert count == ROWS_OF_GENERATION + low, f"{ticker} is torn: {count} rows of generation {low}"
        found[ticker] = int(low)
    return found


def query(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    return generations(connection.execute(BY_TICKER).fetchall())


@pytest.mark.long
@on_every_store
def test_two_writers_and_a_reader(place: Place, processes: ForkServerContext) -> None:
    """On object storage each of the three has a home of its own, as on three machines."""
    lake = place.open()
    catalogue = place.home / "quant.duckdb"
    tickers = [f"T{i:03d}" for i in range(PARTITIONS if place.is_a_file_system else PARTITIONS_OF_OBJECTS)]
    lake.write_many(BARS, {ticker: generation_frame(ticker, 1) for ticker in tickers}, provenance("1"))
    CatalogueKeeper(lake, catalogue, dt.timedelta(0)).refresh()
    # Both write the fifty in the middle.
    shares = (tickers[: len(tickers) // 2 + 25], tickers[len(tickers) // 2 - 25 :])
    debounce = dt.timedelta(seconds=0.5)
    mixed = reads = 0
    homes = place.elsewhere("first"), place.elsewhere("second")
    own = CatalogueKeeper(lake, catalogue, dt.timedelta(0))
    with (
        worker(processes, write_while_read, homes[0], shares[0], 2, debounce) as (first, first_pipe),
        worker(processes, write_while_read, homes[1], shares[1], 3, debounce) as (second, second_pipe),
        open_catalogue(catalogue) as old,
    ):
        assert [receive(first_pipe), receive(second_pipe)] == ["ready", "ready"]
        first_pipe.send("go")
        second_pipe.send("go")
        while not (first_pipe.poll() and second_pipe.poll()):
            if not place.is_a_file_system:
                own.refresh()
            with open_catalogue(catalogue) as new:
                seen = query(new)
            assert sorted(seen) == tickers
            assert set(seen.values()) <= {1, 2, 3}
            mixed += len(set(seen.values())) > 1
            reads += 1
            if reads % 5 == 0:
                assert query(old) == dict.fromkeys(tickers, 1), "an old catalogue shows complete, older versions"
            time.sleep(READ_EVERY_SECONDS)
        (seconds, builds), (other_seconds, other_builds) = receive(first_pipe), receive(second_pipe)
        first.join(30)
        second.join(30)
        assert (first.exitcode, second.exitcode) == (0, 0), "no write failed"
    assert mixed, "the catalogue was swapped while the writers were at work"
    assert builds + other_builds >= 2
    rate = (len(shares[0]) + len(shares[1])) / max(seconds, other_seconds)
    print(f"{rate:.0f} partitions/s by two writers, {reads} reads, {builds + other_builds} catalogues")

    CatalogueKeeper(lake, catalogue, dt.timedelta(0)).refresh(force=True)
    with open_catalogue(catalogue) as new:
        final = query(new)
    assert {final[ticker] for ticker in set(shares[0]) - set(shares[1])} == {2}
    assert {final[ticker] for ticker in set(shares[1]) - set(shares[0])} == {3}
    assert {len(lake.versions(BARS, ticker)) for ticker in set(shares[0]) & set(shares[1])} == {3}


@pytest.mark.long
@on_every_store
def test_kill_at_random_moments(place: Place, processes: ForkServerContext) -> None:
    lake, writers = place.open(), place.elsewhere("writers")
    tickers = [f"T{i:02d}" for i in range(KILLED_PARTITIONS)]
    lake.write_many(BARS, {ticker: generation_frame(ticker, 0) for ticker in tickers}, provenance("0"))
    before = dict.fromkeys(tickers, 0)
    moments = random.Random(SEED)
    broken_off = 0
    for generation in range(1, KILLS + 1):
        many = generation % 4 == 0
        after_partitions, after_seconds = moments.randrange(KILLED_PARTITIONS), moments.uniform(0, 0.015)
        with worker(processes, write_missing, writers, tickers, generation, many) as (process, pipe):
            assert receive(pipe) == "ready"
            for _ in range(0 if many else after_partitions):
                receive(pipe)
            time.sleep(after_seconds)
            process.kill()
            process.join(30)
            assert process.exitcode == -signal.SIGKILL
        found = current_generations(lake)
        assert all(found[ticker] in (before[ticker], generation) for ticker in tickers), "each is the old or the new"
        if not many:
            assert list(found.values())[:after_partitions] == [generation] * after_partitions
        broken_off += len(set(found.values())) > 1
        before = found
    assert {finding.kind for finding in check(lake)} <= {"temporary"}, "every version that any of them left is whole"
    assert broken_off >= KILLS // 2, "the moments lie within the work"

    done = sum(generation == KILLS for generation in before.values())
    with worker(processes, write_missing, writers, tickers, KILLS, False) as (_, pipe):
        assert receive(pipe) == "ready"
        messages = [receive(pipe) for _ in range(KILLED_PARTITIONS - done + 1)]
    assert messages[-1] == KILLED_PARTITIONS - done, "what was done is not done again"
    assert set(current_generations(lake).values()) == {KILLS}
    vacuum(lake, dt.timedelta(0), None, temporary_age=dt.timedelta(0))
    assert check(lake) == []
    names = [path.name for path in lake.root.rglob("*") if path.is_file() and path.name != COPY_OF]
    assert len(names) == KILLED_PARTITIONS


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("in the middle of the content", 1),
        ("before the content is on the disk", 1),
        ("before the rename", 1),
        ("after the rename", 2),
    ],
)
def test_kill_at_every_step_of_a_write(tmp_path: Path, processes: ForkServerContext, step: str, expected: int) -> None:
    lake = Lake(tmp_path / "lake")
    lake.write(BARS, "A", generation_frame("A", 1), provenance("1"))
    with worker(processes, write_and_die, lake.root, 2, step) as (process, pipe):
        assert receive(pipe) == "ready"
        process.join(30)
        assert process.exitcode == -signal.SIGKILL
    assert current_generations(lake) == {"A": expected}
    with connect(tmp_path) as connection:
        assert query(connection) == {"A": expected}
    assert [finding.kind for finding in check(lake)] == ["temporary"] * (expected == 1)
    lake.write(BARS, "A", generation_frame("A", 2), provenance("2"))
    assert current_generations(lake) == {"A": 2}


@pytest.mark.parametrize("place", ["objects"], indirect=True)
@pytest.mark.parametrize(
    ("step", "expected"), [("before the put", 1), ("after the put", 2), ("in the middle of the copy", 2)]
)
def test_kill_at_every_step_of_a_write_to_objects(
    place: Place, processes: ForkServerContext, step: str, expected: int
) -> None:
    lake, writer = place.open(), place.elsewhere("writer")
    lake.write(BARS, "A", generation_frame("A", 1), provenance("1"))
    with worker(processes, write_to_objects_and_die, writer, 2, step) as (process, pipe):
        assert receive(pipe) == "ready"
        process.join(30)
        assert process.exitcode == -signal.SIGKILL
    assert current_generations(lake) == {"A": expected}
    assert current_generations(writer.open()) == {"A": expected}, "what the dead one left half is read by nobody"
    assert check(lake) == []
    lake.write(BARS, "A", generation_frame("A", 2), provenance("2"))
    assert current_generations(lake) == {"A": 2}


@pytest.mark.long
def test_a_file_system_that_refuses_a_large_file(tmp_path: Path, processes: ForkServerContext) -> None:
    lake = Lake(tmp_path / "lake")
    old = lake.write(BARS, "A", bars("A", [1.0]), provenance())
    with worker(processes, write_with_small_files, lake.root, 20_000) as (process, pipe):
        errors = [receive(pipe), receive(pipe)]
        process.join(30)
        assert process.exitcode == 0
    for error in errors:
        assert isinstance(error, StorageFailed)
        assert "File too large" in str(error)
        assert "nothing that existed was changed" in str(error)
    assert [path for path in lake.root.rglob("*") if path.is_file()] == [old.path]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lake", "quant.duckdb.lock"]
    assert lake.read(BARS)["close"].to_list() == [1.0]


def current_generations(lake: Lake) -> dict[str, int]:
    frame = lake.read(BARS)
    rows = [
        (part["ticker"][0], part.height, part["close"].min(), part["close"].max())
        for part in frame.partition_by("ticker", maintain_order=True)
    ]
    return generations(rows)
