"""Dagster's SQLite event log with its connections kept open.

A run over hundreds of partitions logs thousands of events, and for each Dagster's own storage builds a new SQLAlchemy
engine and waits for the disk twice: about 10 ms of CPU per materialisation, measured with 1.13. Keeping one engine per
file, and letting SQLite's write-ahead log reach the disk at checkpoints, brings that to 3 ms. The files are
Dagster's own: the stock storage reads and writes them too.

With ``synchronous=NORMAL`` a power failure may lose the last events of a run, never the integrity of the file; the
lake's files are flushed one by one and do not depend on it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import Field, StringSource
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool

from quant_platform.specification.settings import settings

BUSY_TIMEOUT_SECONDS = 60
OPEN_FILES = 16


class PooledSqliteEventLogStorage(SqliteEventLogStorage):
    """The event log under ``base_dir``, by default ``$DAGSTER_HOME/history/runs``, one engine per open file."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._opened: dict[str, tuple[Engine, Connection]] = {}
        super().__init__(base_dir=base_dir, inst_data=inst_data)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """``base_dir``, where the database files are."""
        return {"base_dir": Field(StringSource, is_required=False)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> PooledSqliteEventLogStorage:
        """Build the storage a ``dagster.yaml`` asks for."""
        # Without the variable, as in `dagster definitions validate` in a clone, the folder `quant up` would use.
        own = Path(os.environ.get("DAGSTER_HOME") or settings().home / "dagster")
        return cls(base_dir=config_value.get("base_dir") or str(_files_below(own)), inst_data=inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            opened = self._opened.pop(shard, None) or self._open(shard)
            # The one used last goes to the end; a web server that has read many runs must not hold all their files.
            self._opened[shard] = opened
            if len(self._opened) > OPEN_FILES:
                _close(self._opened.pop(next(iter(self._opened))))
            engine = opened[0]
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _open(self, shard: str) -> tuple[Engine, Connection]:
        """One engine per file, and one idle connection that keeps the file open.

        Every use has a connection of its own, as in the stock storage: a result that somebody has not read to its end
        would hold a shared one on an old state of the file. The idle one only spares the checkpoint that closing the
        last connection of a file makes.
        """
        engine = create_engine(
            self.conn_string_for_shard(shard), poolclass=NullPool, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}
        )
        event.listen(engine, "connect", _wait_for_checkpoints_only)
        # The storage's lock keeps threads apart, and whichever evicts the file closes this connection.
        keeper = create_engine(
            self.conn_string_for_shard(shard),
            poolclass=NullPool,
            connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
        ).connect()
        keeper.exec_driver_sql("PRAGMA schema_version").fetchall()
        keeper.rollback()
        return engine, keeper

    def dispose(self) -> None:
        """Close every connection."""
        for opened in self._opened.values():
            _close(opened)
        self._opened.clear()
        super().dispose()


def event_log_in(folder: Path) -> dict[str, Any]:
    """Instance settings that keep the event log in the Dagster folder given, whatever the environment says."""
    storage = {
        "module": __name__,
        "class": PooledSqliteEventLogStorage.__name__,
        "config": {"base_dir": str(_files_below(folder))},
    }
    return {"event_log_storage": storage}


def _files_below(folder: Path) -> Path:
    return folder / "history" / "runs"


def _close(opened: tuple[Engine, Connection]) -> None:
    engine, keeper = opened
    keeper.close()
    engine.dispose()


def _wait_for_checkpoints_only(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")
