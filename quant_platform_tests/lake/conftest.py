from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from quant_platform.lake import Lake, object_store
from quant_platform_tests.lake.objects import ADDRESS, WITH_SERVER, Place, declare, opener

BUCKET = "lake"


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an S3 server on loopback, with one bucket."""
    if os.environ.get(WITH_SERVER) != "1":
        pytest.skip(f"needs moto and obstore: make cluster-test, or {WITH_SERVER}=1 where both are installed")
    log = tmp_path_factory.mktemp("s3") / "server.log"
    python = os.environ.get("QUANT_TEST_S3_PYTHON", sys.executable)
    code = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"
    port = 20_000 + os.getpid() % 20_000
    with log.open("wb") as output:
        server = subprocess.Popen([python, "-c", code, str(port)], stdout=output, stderr=output)
    try:
        endpoint = f"http://127.0.0.1:{port}"
        request = urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")
        for _ in range(300):
            assert server.poll() is None, log.read_text()
            try:
                urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5).close()
            except OSError:
                time.sleep(0.1)
            else:
                break
        yield endpoint
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A new home on the store that a test is parametrised with, by default a file system."""
    kind, home = getattr(request, "param", "files"), tmp_path / "home"
    if kind == "objects":
        declare(home, ADDRESS)
        monkeypatch.setattr(object_store, "open_objects", opener(tmp_path / "bucket"))
        return Place(home, tmp_path / "bucket")
    if kind == "s3":
        environment = {
            "QUANT_S3_ENDPOINT": request.getfixturevalue("s3_server"),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        declare(home, f"s3://{BUCKET}/{uuid.uuid4().hex}")
        return Place(home, environment=environment)
    return Place(home)


@pytest.fixture
def lake(place: Place) -> Lake:
    return place.open()
