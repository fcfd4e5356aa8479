"""Object storage in a folder: what the tests of the lake run on where there is no server.

It keeps the promises that `quant_platform.lake.object_store` builds on, for several processes: a create and a swap
succeed for one of many, and an object is there whole or not at all.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from quant_platform.lake import Lake, object_store
from quant_platform.lake.object_store import ObjectStore, Stored, mark_copies
from quant_platform_tests.lake.frames import TEST_TABLES

ADDRESS = "s3://bucket/prefix"
WITH_SERVER = "QUANT_TEST_S3"
"""Set to 1 where moto and obstore are there: the tests start a server. QUANT_TEST_S3_PYTHON is the Python with moto."""
STORES = ("files", "objects", *(["s3"] if os.environ.get(WITH_SERVER) == "1" else []))
"""A file system; object storage in a folder; object storage behind a server on loopback, where there is one."""

on_every_store = pytest.mark.parametrize("place", STORES, indirect=True)


class FolderObjects:
    """Objects as files: a line that says hash and tag, then the content."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[str, str]] = []
        """Every request, as what and of which name."""
        folder.mkdir(parents=True, exist_ok=True)

    def below(self, folder: str) -> Mapping[str, str]:
        self.asked.append(("list", folder))
        found = [path for path in (self.folder / folder).rglob("*") if self._is_object(path)]
        states = ((path.relative_to(self.folder).as_posix(), path.stat()) for path in found)
        return {name: f"{state.st_ino}-{state.st_mtime_ns}" for name, state in states}

    def children(self, folder: str) -> tuple[list[str], list[str]]:
        self.asked.append(("list", folder))
        found = list((self.folder / folder).glob("*"))
        folders = [path.name for path in found if path.is_dir() and any(map(self._is_object, path.rglob("*")))]
        return folders, [path.name for path in found if self._is_object(path)]

    def create(self, name: str, content: bytes | memoryview, sha256: str) -> bool:
        self.asked.append(("create", name))
        return self._write(name, bytes(content), sha256, lambda new, place: place.hardlink_to(new)) is not None

    def put(self, name: str, content: bytes, sha256: str) -> None:
        self.asked.append(("put", name))
        self._write(name, content, sha256, lambda new, place: new.replace(place))

    def swap(self, name: str, content: bytes, tag: str | None) -> str | None:
        self.asked.append(("swap", name))
        if tag is None:
            return self._write(name, content, "", lambda new, place: place.hardlink_to(new))
        with self._alone():
            found = self.get(name)
            if found is None or found.tag != tag:
                return None
            return self._write(name, content, "", lambda new, place: new.replace(place))

    def get(self, name: str) -> Stored | None:
        self.asked.append(("get", name))
        try:
            header, content = (self.folder / name).read_bytes().split(b"\n", 1)
        except FileNotFoundError:
            return None
        return Stored(content, **json.loads(header))

    def size(self, name: str) -> int:
        found = self.get(name)
        return 0 if found is None else len(found.content)

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            self.asked.append(("delete", name))
            (self.folder / name).unlink(missing_ok=True)

    def damage(self, name: str, content: bytes) -> None:
        """Give an object other content than its writer said."""
        header, _ = (self.folder / name).read_bytes().split(b"\n", 1)
        (self.folder / name).write_bytes(header + b"\n" + content)

    def _write(self, name: str, content: bytes, sha256: str, place: Callable[[Path, Path], object]) -> str | None:
        tag, new, target = secrets.token_hex(8), self.folder / f".{secrets.token_hex(8)}", self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(json.dumps({"sha256": sha256, "tag": tag}).encode() + b"\n" + content)
        try:
            place(new, target)
        except FileExistsError:
            return None
        finally:
            new.unlink(missing_ok=True)
        return tag

    def _is_object(self, path: Path) -> bool:
        return path.is_file() and path.parent != self.folder

    @contextmanager
    def _alone(self) -> Iterator[None]:
        handle = os.open(self.folder / ".lock", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


@dataclass(frozen=True)
class Place:
    """A home for a test: where it is, and what a process has to know to reach its store."""

    home: Path
    objects: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_a_file_system(self) -> bool:
        """Whether the lake is in the home itself."""
        return not (self.home / "lake.yaml").is_file()

    def elsewhere(self, name: str) -> Place:
        """The home of another machine that shares nothing with this one but the store; itself on a file system."""
        if self.is_a_file_system:
            return self
        other = self.home.with_name(name)
        other.mkdir()
        shutil.copyfile(self.home / "lake.yaml", other / "lake.yaml")
        return replace(self, home=other)

    def open(self) -> Lake:
        """Open its lake, in this process or another one."""
        os.environ.update(self.environment)
        if self.objects is not None:
            object_store.open_objects = opener(self.objects)
        return Lake(self.home / "lake", TEST_TABLES)


def opener(folder: Path) -> Callable[[Path, str], ObjectStore]:
    """What opens, in place of S3, a store whose objects are in a folder."""

    def open_objects(home: Path, address: str) -> ObjectStore:
        mark_copies(home, address)
        return ObjectStore(home, address, FolderObjects(folder))

    return open_objects


def declare(home: Path, address: str) -> None:
    """Write the file of a home that names its store."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "lake.yaml").write_text(f"lake: {address}\n", encoding="utf-8")
