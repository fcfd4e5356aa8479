from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from quant_platform.lake import Lake, object_store
from quant_platform_tests.lake.objects import ADDRESS, WITH_SERVER, Place, declare, opener
from quant_platform_tests.lake.server import BUCKET, environment_of, s3_on_loopback


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an S3 server on loopback, with one bucket."""
    if os.environ.get(WITH_SERVER) != "1":
        pytest.skip(f"needs moto and obstore: make cluster-test, or {WITH_SERVER}=1 where both are installed")
    with s3_on_loopback(tmp_path_factory.mktemp("s3") / "server.log") as endpoint:
        yield endpoint


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A new home on the store that a test is parametrised with, by default a file system."""
    kind, home = getattr(request, "param", "files"), tmp_path / "home"
    if kind == "objects":
        declare(home, ADDRESS)
        monkeypatch.setattr(object_store, "open_objects", opener(tmp_path / "bucket"))
        return Place(home, tmp_path / "bucket")
    if kind == "s3":
        environment = environment_of(request.getfixturevalue("s3_server"))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        declare(home, f"s3://{BUCKET}/{uuid.uuid4().hex}")
        return Place(home, environment=environment)
    return Place(home)


@pytest.fixture
def lake(place: Place) -> Lake:
    return place.open()
