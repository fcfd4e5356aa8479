"""A stage whose lake is on object storage: how often it asks, what it skips, and what it does when nobody answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quant_platform.cli.inspect import store_findings
from quant_platform.contracts.errors import PartitionMissing, StoreUnavailable
from quant_platform.lake import object_store
from quant_platform.lake.object_store import ObjectStore
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import Frames, Stage, StageBase, run_stage
from quant_platform.specification.settings import Settings, settings
from quant_platform_tests.lake.frames import BARS, FEATURES, bars, features, provenance
from quant_platform_tests.lake.objects import ADDRESS, FolderObjects, declare, opener

TICKERS = [f"T{i:02d}" for i in range(12)]
OUT_OF_ORDER = "T03"


def compute(home: Home, key: Any, /, *, refresh: bool) -> Frames:
    if key == OUT_OF_ORDER:
        raise PartitionMissing("this one fails by itself")
    return {BARS: bars(key, home.lake.read(FEATURES, [key])["momentum"].to_list())}


STAGE = Stage(outputs=(BARS,), compute=compute, inputs=(FEATURES,))


@pytest.fixture(autouse=True)
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "open_objects", opener(tmp_path / "bucket"))
    # The hash of the code is found from the files of the package, and this stage is none of them.
    monkeypatch.setattr(StageBase, "code_version", lambda *_: "1")


def machine(folder: Path) -> Home:
    declare(folder, ADDRESS)
    return Home(Settings(home=folder, specs=settings().specs))


def asked(home: Home) -> dict[str, int]:
    assert isinstance(home.lake.store, ObjectStore)
    assert isinstance(home.lake.store.objects, FolderObjects)
    kinds = [kind for kind, _ in home.lake.store.objects.asked]
    return {kind: kinds.count(kind) for kind in set(kinds)}


def test_requests_do_not_multiply(tmp_path: Path) -> None:
    first, second, third = (machine(tmp_path / name) for name in ("first", "second", "third"))
    first.lake.write_many(FEATURES, {key: features(key, 2, momentum=1.5) for key in TICKERS}, provenance())
    made = run_stage(STAGE, second, TICKERS, run_id="one")
    assert {done.key: done.state for done in made} == {
        key: "failed" if key == OUT_OF_ORDER else "written" for key in TICKERS
    }
    # Each table is listed once, and each partition before it is put; what is read is fetched once.
    assert asked(second) == {"list": 2 + 11, "create": 11, "get": 12}
    again = run_stage(STAGE, third, TICKERS, run_id="two")
    assert [done.state for done in again].count("current") == 11
    # Of what is current only the output is fetched; the one that was never made asks for its input.
    assert asked(third) == {"list": 2, "get": 11 + 1}
    assert first.lake.read(BARS)["close"].unique().to_list() == [1.5]


def test_the_doctor_asks_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = machine(tmp_path / "home")
    assert store_findings(home) == [(True, f"lake {ADDRESS} answers")]
    assert store_findings(Home(Settings(home=tmp_path / "files", specs=settings().specs))) == []

    def refuse(*_: object) -> None:
        raise StoreUnavailable("there is no bucket 'bucket'", action="create it")

    monkeypatch.setattr(FolderObjects, "children", refuse)
    ((good, said),) = store_findings(home)
    assert not good
    assert "there is no bucket 'bucket'" in said
    assert "create it" in said


def test_a_store_that_does_not_answer_is_no_failure_of_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = machine(tmp_path / "home")
    home.lake.write_many(FEATURES, {key: features(key, 2, momentum=1.5) for key in TICKERS}, provenance())
    real = FolderObjects.create

    def create(self: FolderObjects, name: str, content: bytes | memoryview, sha256: str) -> bool:
        if "/ticker=T07/" in name:
            raise StoreUnavailable("the store does not answer as it should")
        return real(self, name, content, sha256)

    with monkeypatch.context() as patch:
        patch.setattr(FolderObjects, "create", create)
        with pytest.raises(StoreUnavailable):
            run_stage(STAGE, home, TICKERS, run_id="one")
    kept = set(home.lake.partitions(BARS))
    assert kept == set(TICKERS) - {OUT_OF_ORDER, "T07"}
    again = run_stage(STAGE, home, TICKERS, run_id="one")
    assert {str(done.key) for done in again if done.state == "written"} == {"T07"}
