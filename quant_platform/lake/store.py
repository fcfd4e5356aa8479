"""Where the files of a home are: one small protocol, and its implementation for a file system.

A store holds files that are written once and never changed, by paths below the home. Who reads one asks the store to
fetch it and then opens the path: on a file system that path is the file itself, on object storage this machine's copy
of it (`quant_platform.lake.object_store`). So everything above the store works with paths, and neither DuckDB nor
Polars has to know where the files came from.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from quant_platform.lake import partition_files
from quant_platform.lake.locks import exclusive
from quant_platform.lake.partition_files import storage_failures

Kind = Literal["file", "folder", "link"]


class Listing(Protocol):
    """Names of files and folders, as they are now or as they were at one moment."""

    def names(self, folder: Path) -> list[str]:
        """Names directly in a folder, of files and folders, in any order; none where it does not exist."""
        ...

    def kind(self, path: Path) -> Kind:
        """What a name that was listed is."""
        ...

    def listing(self, folders: Iterable[Path]) -> Listing:
        """List everything below some folders at once, where asking for one folder after the other costs more."""
        ...

    def note(self, path: Path) -> None:
        """Add a file that the holder of this listing has just written."""
        ...


@runtime_checkable
class Store(Listing, Protocol):
    """The files of one home."""

    address: str
    """Where they are, for people."""
    writers: int
    """Writes that are worth having under way at a time."""

    def append(self, folder: Path, content: memoryview) -> tuple[Path, bool]:
        """Make content the newest version in a partition folder.

        Returns
        -------
        tuple
            The new file, and whether it is the first version: then the caller has to `settle` the folder.

        Raises
        ------
        StorageFailed
            When it is refused; the version of before is still current.
        """
        ...

    def settle(self, folders: Iterable[Path], root: Path) -> None:
        """Make sure that new partition folders below a root survive a crash."""
        ...

    def fetch(self, paths: Iterable[Path]) -> None:
        """Make files readable at their paths; one that does not exist stays absent.

        Raises
        ------
        CorruptFile
            For a file that is not what was written.
        StorageFailed
            When the store cannot be reached.
        """
        ...

    def renew(self, paths: Iterable[Path]) -> Mapping[Path, str]:
        """Make files readable as the store has them now, whatever this machine held; says what is wrong with some."""
        ...

    def create(self, path: Path, content: bytes) -> None:
        """Write a file that was not there before and never changes; raises FileExistsError, StorageFailed."""
        ...

    def put(self, path: Path, content: bytes) -> None:
        """Write a small file whole, over what was there; a reader sees the old content or the new one."""
        ...

    def get(self, path: Path) -> bytes:
        """Read a small file as it is now; raises FileNotFoundError."""
        ...

    def size(self, paths: Iterable[Path]) -> int:
        """Bytes of some files together; one that is gone has none."""
        ...

    def publish(self, paths: Iterable[Path]) -> None:
        """Let other machines see files that were written below the home, such as pages."""
        ...

    def collect(self, folder: Path) -> None:
        """Bring what other machines have published below a folder to this one."""
        ...

    def remove(self, paths: Iterable[Path]) -> None:
        """Remove files; one that is gone already is no error."""
        ...

    def clear(self, folder: Path) -> None:
        """Remove a folder with everything in it."""
        ...

    def exclusive(self, path: Path) -> AbstractContextManager[Callable[[], None]]:
        """Wait until nobody else holds this name, then hold it; a holder that dies lets go of it.

        Yields
        ------
        callable
            Call it before what must not be done twice: it raises StorageFailed where the hold was lost meanwhile.
        """
        ...


class _SeenOnce:
    """Names of folders as each was when it was first asked for, with what was noted since.

    A stage asks for the versions of a partition half a dozen times, and each time all threads may meet at the system
    call. What it notes as its input is then also what it reads, whoever writes meanwhile.
    """

    def __init__(self, files: LocalFiles) -> None:
        self._files = files
        self._seen: dict[Path, list[str]] = {}
        # Keys of a dictionary, in order; writers note from several threads, and setting one is a single step.
        self._noted: dict[Path, dict[str, None]] = {}

    def names(self, folder: Path) -> list[str]:
        """See `Listing`."""
        seen = self._seen.get(folder)
        if seen is None:
            seen = self._seen[folder] = self._files.names(folder)
        noted = self._noted.get(folder)
        return list(dict.fromkeys((*seen, *list(noted)))) if noted else seen

    def kind(self, path: Path) -> Kind:
        """See `Listing`."""
        return self._files.kind(path)

    def listing(self, folders: Iterable[Path]) -> Listing:
        """All of them are seen through this one."""
        del folders
        return self

    def note(self, path: Path) -> None:
        """See `Listing`; the folders above may be new as well."""
        for child in (path, *path.parents):
            noted = self._noted.setdefault(child.parent, {})
            if child.name in noted:
                return
            noted[child.name] = None


class LocalFiles:
    """Files of a file system that keeps the promises of rename and fsync."""

    # Flushes to one disk overlap, so this exceeds the cores.
    writers = 4

    def __init__(self, home: Path) -> None:
        self.address = str(home)

    def names(self, folder: Path) -> list[str]:
        """See `Listing`."""
        return partition_files.names_in(folder)

    def kind(self, path: Path) -> Kind:
        """See `Listing`."""
        if path.is_symlink():
            return "link"
        return "folder" if path.is_dir() else "file"

    def listing(self, folders: Iterable[Path]) -> Listing:
        """A file system is asked when it is needed, once for each folder."""
        del folders
        return _SeenOnce(self)

    def note(self, path: Path) -> None:
        """What is written is there."""

    def append(self, folder: Path, content: memoryview) -> tuple[Path, bool]:
        """See `quant_platform.lake.partition_files`."""
        return partition_files.write_version(folder, content)

    def settle(self, folders: Iterable[Path], root: Path) -> None:
        """Flush the folders above."""
        partition_files.flush_parents(folders, root)

    def fetch(self, paths: Iterable[Path]) -> None:
        """The files are where they are read."""

    def renew(self, paths: Iterable[Path]) -> Mapping[Path, str]:
        """The files are where they are read."""
        del paths
        return {}

    def create(self, path: Path, content: bytes) -> None:
        """Write beside its place, flush, and link: unlike a rename, that fails where the name is taken."""
        taken = False
        with storage_failures(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
            try:
                with temporary.open("xb") as stream:
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
                temporary.chmod(0o444)
                path.hardlink_to(temporary)
            except FileExistsError:
                taken = True
            finally:
                temporary.unlink(missing_ok=True)
            partition_files.flush_folder(path.parent)
            partition_files.flush_folder(path.parent.parent)
        if taken:
            raise FileExistsError(path)

    def put(self, path: Path, content: bytes) -> None:
        """Write beside its place and rename; not flushed, because it is read by steps of the same run."""
        with storage_failures(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
            try:
                beside.write_bytes(content)
                beside.replace(path)
            finally:
                beside.unlink(missing_ok=True)

    def get(self, path: Path) -> bytes:
        """Read the file."""
        return path.read_bytes()

    def size(self, paths: Iterable[Path]) -> int:
        """See `Store`."""
        found = 0
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                found += path.stat().st_size
        return found

    def publish(self, paths: Iterable[Path]) -> None:
        """There are no other machines."""

    def collect(self, folder: Path) -> None:
        """There are no other machines."""

    def remove(self, paths: Iterable[Path]) -> None:
        """Unlink them."""
        for path in paths:
            with storage_failures(path):
                path.unlink(missing_ok=True)

    def clear(self, folder: Path) -> None:
        """Remove the tree; what cannot be removed stays."""
        shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def exclusive(self, path: Path) -> Iterator[Callable[[], None]]:
        """Hold a lock file, which the system lets go of when the process ends."""
        with exclusive(path, wait=True):
            yield lambda: None
