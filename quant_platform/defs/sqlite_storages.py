"""Dagster's SQLite storages of runs and schedules with their files kept open.

The daemon looks at every sensor twice a minute, and each look asks these storages a dozen times. Dagster's own build a
new engine for every question, open the file and close it again; where nobody else has it open, closing makes SQLite
write its log back and wait for the disk. And each opening of a storage reads all of Dagster's migrations, to find no
work. Here

- one connection stays open as long as the storage, and more are opened while threads ask at the same time;
- SQLite's write-ahead log reaches the disk at checkpoints (``synchronous=NORMAL``, see :mod:`.event_storage`);
- migrations are read where a file has no version yet;
- that a table or an index is there is asked once.

The tables are Dagster's own.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar

from dagster import Field, StringSource
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite import create_db_conn_string
from dagster._serdes import ConfigurableClassData
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import QueuePool

from quant_platform.defs.event_storage import BUSY_TIMEOUT_SECONDS, event_log_in, wait_for_checkpoints_only
from quant_platform.specification.settings import settings

# Threads of the daemon and of a web server that ask at the same time.
OVERFLOW = 40


class _KeptOpen:
    """Stands before one of Dagster's storages in the bases of a class."""

    database: ClassVar[str]
    folder: ClassVar[tuple[str, ...]]
    needed: ClassVar[frozenset[str]]

    def __init__(self, conn_string: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._kept: Engine | None = None
        self._built: set[str] = set()
        super().__init__(conn_string, inst_data)  # type: ignore[call-arg]  # of the storage that follows in the bases

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """``base_dir``, where the database file is."""
        return {"base_dir": Field(StringSource, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Any:
        """Build the storage a ``dagster.yaml`` asks for."""
        own = Path(os.environ.get("DAGSTER_HOME") or settings().home / "dagster")
        return cls.from_local(config_value.get("base_dir") or str(own.joinpath(*cls.folder)), inst_data)

    @classmethod
    def from_local(cls, base_dir: str, inst_data: ConfigurableClassData | None = None) -> Any:
        """Open the storage of a folder; in Dagster's own way where its file was never made, or is of an old one."""
        if not cls.needed <= _tables_in(Path(base_dir) / f"{cls.database}.db"):
            return super().from_local(base_dir, inst_data)  # type: ignore[misc]  # as above
        return cls(create_db_conn_string(base_dir, cls.database), inst_data)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection in a transaction."""
        if self._kept is None:
            self._kept = create_engine(
                self._conn_string,  # type: ignore[attr-defined]  # as above
                poolclass=QueuePool,
                pool_size=1,
                max_overflow=OVERFLOW,
                connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
            )
            event.listen(self._kept, "connect", wait_for_checkpoints_only)
        with self._kept.connect() as connection, connection.begin():
            yield connection

    def has_built_index(self, migration_name: str) -> bool:
        """Whether a migration of data was done; asked once of each that was."""
        known = migration_name in self._built
        if not known and super().has_built_index(migration_name):  # type: ignore[misc]  # as above
            self._built.add(migration_name)
        return migration_name in self._built

    def dispose(self) -> None:
        """Close every connection."""
        super().dispose()  # type: ignore[misc]  # as above
        if self._kept is not None:
            self._kept.dispose()


class PooledSqliteRunStorage(_KeptOpen, SqliteRunStorage):
    """Runs under ``base_dir``, by default ``$DAGSTER_HOME/history``."""

    database = "runs"
    folder = ("history",)
    needed = frozenset({"alembic_version", "runs", "instance_info"})


class PooledSqliteScheduleStorage(_KeptOpen, SqliteScheduleStorage):
    """Schedules and sensors under ``base_dir``, by default ``$DAGSTER_HOME/schedules``."""

    database = "schedules"
    folder = ("schedules",)
    needed = frozenset({"alembic_version", "job_ticks", "instigators"})
    _instigators = False

    def has_instigators_table(self) -> bool:
        """Whether the table of sensors and schedules is there; asked until it is."""
        return self._instigators or super().has_instigators_table()

    def _has_instigators_table(self, conn: Connection) -> bool:
        self._instigators = self._instigators or super()._has_instigators_table(conn)
        return self._instigators


def storages_in(folder: Path) -> dict[str, Any]:
    """Instance settings that keep runs, events and schedules in the Dagster folder given, whatever the environment."""
    kept: dict[str, type[_KeptOpen]] = {
        "run_storage": PooledSqliteRunStorage,
        "schedule_storage": PooledSqliteScheduleStorage,
    }
    found = {
        name: {
            "module": __name__,
            "class": storage.__name__,
            "config": {"base_dir": str(folder.joinpath(*storage.folder))},
        }
        for name, storage in kept.items()
    }
    return found | event_log_in(folder)


def _tables_in(path: Path) -> frozenset[str]:
    """Tables of a database file whose version is written down; none where there is no such file."""
    if not path.is_file():
        return frozenset()
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS)) as connection:
        names = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
        stamped = "alembic_version" in names and connection.execute("select 1 from alembic_version").fetchone()
    return frozenset(names) if stamped else frozenset()
