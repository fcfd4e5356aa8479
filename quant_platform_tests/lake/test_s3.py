"""What is particular to S3: errors for people, and a writer that is killed while it sends.

All but a few need a server on loopback: `make cluster-test`, or QUANT_TEST_S3=1 with moto and obstore.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
import time
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from quant_platform.contracts.errors import PlatformError, StorageFailed, StoreUnavailable
from quant_platform.lake import Lake, s3
from quant_platform.lake.object_store import ObjectStore
from quant_platform.lake.store import Store
from quant_platform_tests.lake.frames import BARS, TEST_TABLES, bars, provenance
from quant_platform_tests.lake.objects import Place, declare

on_s3 = pytest.mark.parametrize("place", ["s3"], indirect=True)


@on_s3
def test_conditional_requests(lake: Lake) -> None:
    assert isinstance(lake.store, ObjectStore)
    assert isinstance(lake.store, Store)
    objects = lake.store.objects
    assert objects.get("a/b") is None
    assert objects.size("a/b") == 0
    assert objects.create("a/b", b"first", "00")
    assert not objects.create("a/b", b"second", "11")
    found = objects.get("a/b")
    assert found is not None
    assert (found.content, found.sha256, objects.size("a/b")) == (b"first", "00", 5)
    assert objects.swap("a/b", b"third", "no such tag") is None
    tag = objects.swap("a/b", b"third", found.tag)
    assert tag is not None
    assert objects.swap("a/b", b"fourth", found.tag) is None
    assert objects.swap("a/b", b"fourth", None) is None
    assert objects.below("a") == {"a/b": tag}
    objects.put("a/c/d", b"", "")
    assert objects.children("a") == (["c"], ["b"])
    objects.delete(["a/b", "a/never"])
    objects.delete([])
    assert list(objects.below("a")) == ["a/c/d"]


@on_s3
def test_names_are_kept_as_they_are(lake: Lake) -> None:
    assert isinstance(lake.store, ObjectStore)
    names = ["t/k=BRK%2FB/v", "t/k=a~b/v", "t/k=%2A/v", "t/k=x.y_-/v", "t/k=é [*]#?/v", "t/.hidden/v"]
    for name in names:
        assert lake.store.objects.create(name, name.encode(), "")
    assert sorted(lake.store.objects.below("t")) == sorted(names)
    assert sorted(lake.store.objects.children("t")[0]) == sorted(name.split("/")[1] for name in names)
    for name in names:
        found = lake.store.objects.get(name)
        assert found is not None
        assert found.content == name.encode()


@on_s3
def test_more_objects_than_one_answer_lists(lake: Lake) -> None:
    assert isinstance(lake.store, ObjectStore)
    names = [f"many/{i:04d}" for i in range(1_003)]
    assert all(lake.store._each(lambda name: lake.store.objects.create(name, b"", ""), names))
    assert sorted(lake.store.objects.below("many")) == names
    lake.store.clear(lake.root.parent / "many")
    assert not lake.store.objects.below("many")


@on_s3
def test_of_many_who_create_one_name_one_does(lake: Lake) -> None:
    assert isinstance(lake.store, ObjectStore)
    objects, done = lake.store.objects, []
    for round_ in range(5):
        threads = [
            threading.Thread(target=lambda i=i, r=round_: done.append(objects.create(f"one/{r}", b"%d" % i, "")))
            for i in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sorted(done) == [False] * 75 + [True] * 5


@on_s3
@pytest.mark.parametrize(
    ("environment", "address", "message"),
    [
        ({}, "s3://nobucket/x", r"there is no bucket 'nobucket'(.|\n)*lake\.yaml"),
        ({"QUANT_S3_ENDPOINT": "http://127.0.0.1:9"}, "s3://lake/x", r"does not answer(.|\n)*QUANT_S3_ENDPOINT"),
        ({"AWS_ACCESS_KEY_ID": None}, "s3://lake/x", r"no credentials(.|\n)*set AWS_ACCESS_KEY_ID and AWS_SECRET"),
        (
            {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
            "s3://lake/x",
            r"no credentials(.|\n)*or give the machine or container a role",
        ),
    ],
)
def test_errors_say_what_to_do(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    environment: dict[str, str | None],
    address: str,
    message: str,
) -> None:
    place.open()
    monkeypatch.setattr(s3, "_RETRIES", {"max_retries": 1})
    # Nothing listens there, on a machine without a role and on one in the cloud.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9/169.254.169.254")
    for name, value in environment.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    declare(tmp_path / "other", address)
    lake = Lake(tmp_path / "other" / "lake", TEST_TABLES)
    for refused in (
        lambda: lake.partitions(BARS),
        lambda: lake.read(BARS, "A"),
        lambda: lake.write(BARS, "A", bars("A", [1.0]), provenance()),
        lambda: lake.store.get(tmp_path / "other" / "x"),
        lambda: lake.store.put(tmp_path / "other" / "x", b""),
    ):
        with pytest.raises(StoreUnavailable, match=message):
            refused()


def test_a_store_that_takes_requests_and_says_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore")
    monkeypatch.setattr(s3, "_RETRIES", {"max_retries": 1, "retry_timeout": timedelta(seconds=1)})
    monkeypatch.setattr(s3, "_TIMES", {"connect_timeout": "1s", "read_timeout": "200ms", "timeout": "60s"})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("QUANT_S3_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "silent")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "silent")
        declare(tmp_path / "home", "s3://lake/x")
        lake = Lake(tmp_path / "home" / "lake", TEST_TABLES)
        for refused in (
            lambda: lake.partitions(BARS),
            lambda: lake.write(BARS, "A", bars("A", [1.0]), provenance()),
        ):
            began = time.monotonic()
            with pytest.raises(
                StoreUnavailable, match=r"did not answer in time(.|\n)*200ms(.|\n)*next: look at its load"
            ):
                refused()
            assert time.monotonic() - began < 10


class Relay:
    """A server in front of another one that stops passing a request on in its middle, and says so."""

    def __init__(self, port: int, after_bytes: int) -> None:
        self._port, self._after = port, after_bytes
        self.broken_off = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            threading.Thread(target=self._pass_on, args=(server, client), daemon=True).start()
            passed = 0
            while content := client.recv(65_536):
                passed += len(content)
                if passed > self._after:
                    server.sendall(content[: len(content) // 2])
                    self.broken_off.set()
                    client.recv(1)
                    return
                server.sendall(content)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while content := source.recv(65_536):
                target.sendall(content)
        except OSError:
            return

    def close(self) -> None:
        self._server.close()


def write_large(place: Place, pipe: Connection) -> None:
    lake = place.open()
    pipe.send("ready")
    noise = np.random.default_rng(7).normal(size=100_000).tolist()
    lake.write(BARS, "A", bars("A", noise), provenance())
    pipe.send("written")


@on_s3
def test_a_writer_that_is_killed_in_the_middle_of_a_put_leaves_the_old_version(place: Place) -> None:
    lake = place.open()
    old = lake.write(BARS, "A", bars("A", [1.0]), provenance())
    relay = Relay(int(place.environment["QUANT_S3_ENDPOINT"].rsplit(":", 1)[1]), 300_000)
    writer = place.elsewhere("writer")
    slow = Place(writer.home, environment={**place.environment, "QUANT_S3_ENDPOINT": f"http://127.0.0.1:{relay.port}"})
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=write_large, args=(slow, theirs))
    process.start()
    try:
        assert ours.poll(60)
        assert ours.recv() == "ready"
        assert relay.broken_off.wait(60), "more than the relay lets through was sent"
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join(30)
        assert process.exitcode == -signal.SIGKILL
        assert not ours.poll(), "it never knew that it had written"
    finally:
        process.kill()
        relay.close()
    assert lake.versions(BARS, "A") == [old]
    assert lake.read(BARS)["close"].to_list() == [1.0]
    lake.write(BARS, "A", bars("A", [2.0]), provenance())
    assert writer.open().read(BARS)["close"].to_list() == [2.0]


def test_without_obstore_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(s3, "import_module", refuse)
    declare(tmp_path / "home", "s3://lake/x")
    with pytest.raises(StoreUnavailable, match=r"obstore is not installed(.|\n)*quant-platform\[objectstore\]"):
        Lake(tmp_path / "home" / "lake")


def test_it_is_a_failure_of_storage_and_of_the_platform() -> None:
    assert issubclass(StoreUnavailable, StorageFailed)
    assert issubclass(StoreUnavailable, PlatformError)
