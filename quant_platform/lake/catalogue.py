"""The catalogue: one DuckDB file of documented views, built beside itself and swapped in atomically.

``data/quant.duckdb`` is what `duckdb`, a notebook or a BI tool opens, read-only. Its views name exact files, which
never change, so a query is never torn, and a reader that opened the file before a swap goes on with the versions of
then: complete, only older. `vacuum` keeps those versions for a stated time.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeAlias

import duckdb

from quant_platform.contracts.errors import CatalogueUnavailable, CorruptFile
from quant_platform.contracts.tables import Table
from quant_platform.lake.inventory import INVENTORY_COLUMNS, InventoryRow, inventory
from quant_platform.lake.lake import Lake
from quant_platform.lake.locks import exclusive
from quant_platform.lake.opening import open_catalogue
from quant_platform.lake.partition_files import flush_folder, storage_failures
from quant_platform.lake.views import create_catalogue, update_catalogue
from quant_platform.specification.lake import lake_spec
from quant_platform.specification.settings import settings

SHARE = 0.02
"""Of the time that a process runs, what following the lake may take, unless it is forced."""

_TOOK: dict[Path, float] = {}
"""Seconds that this process needed for a catalogue when it last made it."""

Fill: TypeAlias = Callable[[duckdb.DuckDBPyConnection, Sequence[Table], Sequence[InventoryRow]], None]
"""Fills an empty database from the files that are to be seen in it."""


def build_catalogue(lake: Lake, path: Path) -> None:
    """Build the catalogue anew and put it in the place of the old one.

    Parameters
    ----------
    lake
        The lake whose current versions it shows.
    path
        The catalogue, for example ``data/quant.duckdb``. A file ``<name>.lock`` beside it keeps two builders apart.

    Raises
    ------
    CorruptFile
        For a torn or foreign file in the lake; the old catalogue stays.
    StorageFailed
        When the file system refuses; the old catalogue stays.

    Notes
    -----
    The views work from any working folder. Of a home that was moved they work where `open_catalogue` opens them; build
    the catalogue again for programs that open the file themselves (`quant_platform.lake.views.create_catalogue`).
    """
    with exclusive(_lock_of(path), wait=True):
        _build(lake, path)


class CatalogueKeeper:
    """Lets a catalogue follow the lake without building it at every write.

    Parameters
    ----------
    lake
        The lake.
    path
        The catalogue.
    debounce
        For how long a catalogue is fresh at least; by default as ``specs/lake.yaml`` says. A process to which making it
        is dear lets it be fresh for longer: until the last time was `SHARE` of the time since.

    Notes
    -----
    Many processes may share a catalogue: of those that want to build it at once one does, and the others go on with
    their work. So while a run writes, the catalogue may be older than the files; at its end, call `follow`, or
    ``refresh(force=True)``, which makes every view anew and not only those whose files have changed, in a copy of the
    catalogue that is there.
    """

    def __init__(self, lake: Lake, path: Path, debounce: timedelta | None = None) -> None:
        self.lake = lake
        self.path = Path(path)
        self.debounce = lake_spec(settings().specs).debounce if debounce is None else debounce

    def refresh(self, force: bool = False) -> bool:
        """Build the catalogue if it is not fresh and nobody else is at it; with `force`, wait and build in any case.

        Returns
        -------
        bool
            Whether this call built it.

        Raises
        ------
        CorruptFile, StorageFailed
            As `build_catalogue`.
        """
        if not force and self._is_fresh():
            return False
        with exclusive(_lock_of(self.path), wait=force) as alone:
            if not alone or (not force and self._is_fresh()):
                return False
            began = time.monotonic()
            if force:
                _build(self.lake, self.path)
            else:
                _follow(self.lake, self.path)
            _TOOK[self.path] = time.monotonic() - began
            return True

    def follow(self) -> None:
        """Show what is in the lake now, however fresh the catalogue is; raises as `refresh`."""
        with exclusive(_lock_of(self.path), wait=True):
            _follow(self.lake, self.path)

    def _is_fresh(self) -> bool:
        try:
            age_seconds = time.time() - self.path.stat().st_mtime
        except FileNotFoundError:
            return False
        asked = self.debounce.total_seconds()
        fresh_for = max(asked, _TOOK.get(self.path, 0.0) / SHARE) if asked else 0.0
        return 0 <= age_seconds < fresh_for


def connect(home: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Open a database in memory with the views of the catalogue, over what is current at this moment.

    Parameters
    ----------
    home
        The home folder; by default the one of the settings (``QUANT_HOME``).

    Raises
    ------
    CorruptFile
        For a torn or foreign file in the lake.
    """
    folder = Path(home) if home is not None else settings().home
    return connect_lake(Lake(folder / "lake"), known_rows(folder / "quant.duckdb"))


def connect_lake(lake: Lake, known: dict[str, InventoryRow] | None = None) -> duckdb.DuckDBPyConnection:
    """Open a database in memory with views over what is current in a lake; see `connect`."""
    connection = duckdb.connect()
    rows = inventory(lake, known)
    _fetch(lake, rows)
    create_catalogue(connection, list(lake.tables.values()), rows, lake.root.parent)
    return connection


def known_rows(path: Path) -> dict[str, InventoryRow]:
    """Return the partitions an existing catalogue knows, by path; empty where it cannot be read."""
    if not path.is_file():
        return {}
    try:
        with open_catalogue(path) as connection:
            found = connection.execute(f"SELECT {', '.join(INVENTORY_COLUMNS)} FROM lake.partitions").fetchall()
    except (duckdb.Error, CatalogueUnavailable):
        return {}
    named = (dict(zip(INVENTORY_COLUMNS, values, strict=True)) for values in found)
    rows = (InventoryRow(**{**row, "columns": tuple(row["columns"])}) for row in named)
    return {row.path: row for row in rows}


def write_database(
    path: Path, fill: Fill, tables: Sequence[Table], rows: Sequence[InventoryRow], base: Path | None = None
) -> None:
    """Build a DuckDB file under a temporary name, flush it and put it in place; raises StorageFailed, CorruptFile.

    With `base` it begins as a copy of that file.
    """
    building = path.with_name(f"{_building_prefix(path)}{os.getpid()}-{secrets.token_hex(4)}")
    with storage_failures(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if base is not None:
                shutil.copyfile(base, building)
            _fill_database(building, fill, tables, rows)
            flush_folder(building)
            building.replace(path)
            flush_folder(path.parent)
        finally:
            for left in (building, building.with_name(f"{building.name}.wal")):
                with contextlib.suppress(OSError):
                    left.unlink(missing_ok=True)


def _fill_database(building: Path, fill: Fill, tables: Sequence[Table], rows: Sequence[InventoryRow]) -> None:
    try:
        with duckdb.connect(str(building)) as connection:
            connection.begin()  # one transaction: each statement of its own would be flushed to the disk
            fill(connection, tables, rows)
            connection.commit()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        if building.name in reason:
            raise OSError(reason) from error
        raise CorruptFile(
            "the catalogue could not be built",
            where=str(building.parent),
            cause=reason,
            action="run `quant lake check`, then build it again",
        ) from error


def _build(lake: Lake, path: Path) -> None:
    for left in path.parent.glob(f"{_building_prefix(path)}*"):
        with contextlib.suppress(OSError):
            left.unlink(missing_ok=True)
    rows = inventory(lake, known_rows(path))
    _fetch(lake, rows)
    write_database(path, partial(create_catalogue, home=lake.root.parent), list(lake.tables.values()), rows)


def _follow(lake: Lake, path: Path) -> None:
    """Make anew only what has changed since the catalogue was built; build it where it cannot be followed."""
    known = known_rows(path)

    def fill(connection: duckdb.DuckDBPyConnection, tables: Sequence[Table], rows: Sequence[InventoryRow]) -> None:
        if not update_catalogue(connection, tables, rows, known.values(), lake.root.parent):
            raise _MadeForOthers

    # A catalogue that is in place never changes, so the next one may begin as a copy of it.
    with contextlib.suppress(_MadeForOthers, CorruptFile):
        if known:
            rows = inventory(lake, known)
            _fetch(lake, rows)
            write_database(path, fill, list(lake.tables.values()), rows, base=path)
            return
    _build(lake, path)


def _fetch(lake: Lake, rows: Sequence[InventoryRow]) -> None:
    """Make every file that a view names readable."""
    lake.store.fetch(lake.root.parent / row.path for row in rows)


class _MadeForOthers(Exception):
    """The catalogue that is there was made for other tables, columns or descriptions."""


def _building_prefix(path: Path) -> str:
    return f".{path.name}.building-"


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")
