"""The files of a home on object storage: conditional creates instead of renames, and copies to read from.

1. A file is one object, named like its path below the home: ``<prefix>/lake/clean/equity_bars/ticker=A/<version>``.
2. A new version is put under a name that is later than every name listed, on condition that there is none of that name
   (``If-None-Match: *``). The put is one request, so an object is there whole or not at all (`ObjectStore.append`).
3. Whoever reads a file gets a copy at the same path below its own home: fetched once, because files never change, held
   against the SHA-256 that was put beside it, written beside its place, flushed and renamed (`ObjectStore.fetch`).
   A writer keeps what it wrote as such a copy.
4. What only one may do at a time is done under a lease (`quant_platform.lake.leases`).

Nothing is renamed, appended to or written twice under ``lake`` and ``snapshots``, so a partition is its old version or
its new one, whatever dies when.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, TypeVar

from quant_platform.contracts.errors import CorruptFile, SettingsError
from quant_platform.lake import leases
from quant_platform.lake.partition_files import (
    SUFFIX,
    TEMPORARY_PREFIX,
    newest_among,
    next_version,
    storage_failures,
    write_flushed,
)
from quant_platform.lake.places import COPY_OF
from quant_platform.lake.store import Kind, Listing
from quant_platform.specification.lake import LAKE_FILE

IN_FLIGHT = 16
"""Requests that one call has under way at a time; most of a request is waiting."""
FEW = 8
"""Tables of one schema that are listed one by one; more are listed with the schema."""
COLLECTED = ".collected.json"
_MAGIC = b"PAR1"

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Stored:
    """An object: its content, the SHA-256 its writer put beside it ('' for none), and the tag of this state of it."""

    content: bytes
    sha256: str
    tag: str


class Objects(Protocol):
    """What object storage does, below one address; names have slashes and stand for nothing else."""

    def below(self, folder: str) -> Mapping[str, str]:
        """Every object below a folder: its name, and the tag of its state."""
        ...

    def children(self, folder: str) -> tuple[list[str], list[str]]:
        """Names directly in a folder: of folders, and of objects."""
        ...

    def create(self, name: str, content: bytes | memoryview, sha256: str) -> bool:
        """Put an object unless there is one of this name; says whether it was put."""
        ...

    def put(self, name: str, content: bytes, sha256: str) -> None:
        """Put an object, over one of this name."""
        ...

    def swap(self, name: str, content: bytes, tag: str | None) -> str | None:
        """Put an object in the place of the one with this tag, or of none; returns the new tag, None where refused."""
        ...

    def get(self, name: str) -> Stored | None:
        """Read an object; None where there is none."""
        ...

    def size(self, name: str) -> int:
        """Bytes of an object, 0 where there is none."""
        ...

    def delete(self, names: Sequence[str]) -> None:
        """Remove objects; one that is gone is no error."""
        ...


def open_objects(home: Path, address: str) -> ObjectStore:
    """Open the store of a home that names an address, and make sure that its lake folder holds copies from there.

    Raises
    ------
    SettingsError
        When the folder holds a lake of its own, or copies from another address.
    StoreUnavailable
        When obstore is not installed.
    """
    mark_copies(home, address)
    objects: Objects = import_module("quant_platform.lake.s3").S3Objects(address)
    return ObjectStore(home, address, objects)


def mark_copies(home: Path, address: str) -> None:
    """Write into the lake folder what it holds copies of; raises SettingsError where it holds something else."""
    folder = home / "lake"
    mark = folder / COPY_OF
    try:
        said = mark.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        said = ""
    if said == address:
        return
    if said or (folder.is_dir() and any(not child.name.startswith(".") for child in folder.iterdir())):
        raise SettingsError(
            f"the folder {folder} holds {f'copies of {said}' if said else 'a lake of its own'}",
            where=str(home / LAKE_FILE),
            cause=f"the file says that the lake is at {address}",
            action="remove the folder: it is made again from the copies that are read"
            if said
            else f"copy it to {address}/lake, and {home / 'snapshots'} to {address}/snapshots, then move it away; or "
            f"remove {LAKE_FILE}",
        )
    with storage_failures(mark):
        _place(mark, address.encode())


class ObjectStore:
    """See the module; implements `quant_platform.lake.store.Store`.

    Parameters
    ----------
    home
        The home, below which this machine keeps its copies.
    address
        Where the objects are, for people.
    objects
        Object storage.
    lease_seconds
        After how long a holder that says nothing has lost its lease.
    """

    writers = IN_FLIGHT

    def __init__(
        self, home: Path, address: str, objects: Objects, *, lease_seconds: float = leases.LEASE_SECONDS
    ) -> None:
        self.home, self.address = Path(home).resolve(), address
        self.objects, self.lease_seconds = objects, lease_seconds

    def name(self, path: Path) -> str:
        """Name of the object of a path below the home."""
        text, above = str(path), f"{self.home}{os.sep}"
        if not text.startswith(above):
            text = str(path.resolve())
        if not text.startswith(above):
            raise ValueError(f"{path} is not below {self.home}")
        return text.removeprefix(above).replace(os.sep, "/")

    def names(self, folder: Path) -> list[str]:
        """See `Listing`."""
        folders, files = self.objects.children(self.name(folder))
        return [*folders, *files]

    def kind(self, path: Path) -> Kind:
        """See `Listing`."""
        folders, _ = self.objects.children(self.name(path.parent))
        return "folder" if path.name in folders else "file"

    def listing(self, folders: Iterable[Path]) -> Listing:
        """List every folder once; many in one folder by listing that one."""
        asked = [self.name(folder) for folder in folders]
        together = Counter(name.rpartition("/")[0] for name in asked)
        above = {name: name.rpartition("/")[0] for name in asked}
        wanted = list(dict.fromkeys(above[name] if together[above[name]] > FEW else name for name in asked))
        return _Listed(self, wanted, [name for found in self._each(self.objects.below, wanted) for name in found])

    def note(self, path: Path) -> None:
        """What is written is there."""

    def append(self, folder: Path, content: memoryview) -> tuple[Path, bool]:
        """See `Store`."""
        newest = newest_among(self.names(folder))
        digest = hashlib.sha256(content).hexdigest()
        path = folder / next_version(newest)
        while not self.objects.create(self.name(path), content, digest):
            path = folder / next_version(newest)
        self._keep(path, content)
        return path, newest is None

    def settle(self, folders: Iterable[Path], root: Path) -> None:
        """An object that was put has reached the disks."""

    def fetch(self, paths: Iterable[Path]) -> None:
        """Copy what this machine does not have yet."""
        missing = [path for path in dict.fromkeys(paths) if not path.is_file()]
        for problem in self._each(self._copy, missing):
            if problem is not None:
                raise problem

    def renew(self, paths: Iterable[Path]) -> Mapping[Path, str]:
        """Copy again; of what is not sound in the store no copy is kept."""
        wanted = list(dict.fromkeys(paths))
        for path in wanted:
            path.unlink(missing_ok=True)
        problems = zip(wanted, self._each(self._copy, wanted), strict=True)
        return {path: problem.what for path, problem in problems if problem is not None}

    def create(self, path: Path, content: bytes) -> None:
        """See `Store`."""
        name, digest = self.name(path), hashlib.sha256(content).hexdigest()
        if not self.objects.create(name, content, digest):
            found = self.objects.get(name)
            # The answer to a put may be lost on the way, and the put be sent again: then it finds itself.
            if found is None or found.content != content:
                raise FileExistsError(path)
        self._keep(path, content)

    def put(self, path: Path, content: bytes) -> None:
        """See `Store`."""
        self.objects.put(self.name(path), content, hashlib.sha256(content).hexdigest())

    def get(self, path: Path) -> bytes:
        """See `Store`."""
        found = self.objects.get(self.name(path))
        if found is None:
            raise FileNotFoundError(path)
        problem = self._problem(self.name(path), found)
        if problem is not None:
            raise problem
        return found.content

    def size(self, paths: Iterable[Path]) -> int:
        """See `Store`."""
        return sum(self._each(self.objects.size, [self.name(path) for path in paths]))

    def remove(self, paths: Iterable[Path]) -> None:
        """Remove objects and the copies of this machine; those of others stay until they vacuum."""
        gone = list(paths)
        self.objects.delete([self.name(path) for path in gone])
        for path in gone:
            with storage_failures(path):
                path.unlink(missing_ok=True)

    def clear(self, folder: Path) -> None:
        """See `Store`."""
        self.objects.delete(list(self.objects.below(self.name(folder))))
        shutil.rmtree(folder, ignore_errors=True)

    def publish(self, paths: Iterable[Path]) -> None:
        """See `Store`."""
        for path in paths:
            self.put(path, path.read_bytes())

    def collect(self, folder: Path) -> None:
        """Copy what has another state than when it was copied last; a file beside the copies says which that was."""
        record = folder / COLLECTED
        known = json.loads(record.read_bytes()) if record.is_file() else {}
        found = self.objects.below(self.name(folder))
        changed = [name for name, tag in found.items() if known.get(name) != tag]
        for problem in self._each(self._copy, [self.home / name for name in changed]):
            if problem is not None:
                raise problem
        if changed:
            with storage_failures(record):
                _place(record, json.dumps(dict(found)).encode())

    def exclusive(self, path: Path) -> AbstractContextManager[Callable[[], None]]:
        """See `Store` and `quant_platform.lake.leases`."""
        return leases.held(self.objects, f"leases/{self.name(path)}", self.address, seconds=self.lease_seconds)

    def _copy(self, path: Path) -> CorruptFile | None:
        """Copy one object; says what is wrong with it."""
        name = self.name(path)
        found = self.objects.get(name)
        if found is None:
            return None
        problem = self._problem(name, found)
        if problem is None:
            with storage_failures(path):
                _place(path, found.content)
        return problem

    def _problem(self, name: str, found: Stored) -> CorruptFile | None:
        if found.sha256:
            sound = hashlib.sha256(found.content).hexdigest() == found.sha256
        else:
            # Put there by another program. Its Parquet says at both ends that it is whole.
            sound = not name.endswith(SUFFIX) or found.content[:4] == found.content[-4:] == _MAGIC
        if sound:
            return None
        return CorruptFile(
            "the object is not what was written",
            where=f"{self.address}/{name}",
            how_many=f"{len(found.content)} bytes",
            action="restore it from a backup or another version of the bucket, or materialise the partition again",
        )

    def _keep(self, path: Path, content: bytes | memoryview) -> None:
        # The object is there; without a copy it is fetched when it is read, and then a full disk is an error.
        with contextlib.suppress(OSError):
            _place(path, content)

    def _each(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        if len(items) < 2:
            return [function(item) for item in items]
        with ThreadPoolExecutor(min(IN_FLIGHT, len(items))) as pool:
            return list(pool.map(function, items))


class _Listed:
    """What was below some folders when they were listed, and what was noted since; other folders are asked for."""

    def __init__(self, store: ObjectStore, folders: Sequence[str], names: Iterable[str]) -> None:
        self._store, self._folders = store, tuple(f"{folder}/" for folder in folders)
        self._children: dict[str, set[str]] = {}
        for name in names:
            self._add(name)

    def names(self, folder: Path) -> list[str]:
        """See `Listing`."""
        name = self._store.name(folder)
        return list(self._children.get(name, ())) if self._covers(name) else self._store.names(folder)

    def kind(self, path: Path) -> Kind:
        """See `Listing`."""
        name = self._store.name(path)
        if not self._covers(name):
            return self._store.kind(path)
        return "folder" if name in self._children else "file"

    def listing(self, folders: Iterable[Path]) -> Listing:
        """Itself where it has them."""
        wanted = list(folders)
        return self if all(self._covers(self._store.name(folder)) for folder in wanted) else self._store.listing(wanted)

    def note(self, path: Path) -> None:
        """See `Listing`."""
        name = self._store.name(path)
        if self._covers(name):
            self._add(name)

    def _covers(self, name: str) -> bool:
        return f"{name}/".startswith(self._folders)

    def _add(self, name: str) -> None:
        while name:
            folder, _, last = name.rpartition("/")
            children = self._children.setdefault(folder, set())
            if last in children:
                return
            children.add(last)
            name = folder


def _place(path: Path, content: bytes | memoryview) -> None:
    """Put a copy in its place, whole; another process may be doing the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        write_flushed(temporary, memoryview(content))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
