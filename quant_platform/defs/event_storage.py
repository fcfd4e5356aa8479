"""Dagster's SQLite event log with its connections kept open.

A run over hundreds of partitions logs thousands of events, and for each Dagster's own storage builds a new SQLAlchemy
engine and waits for the disk twice: about 10 ms of CPU per materialisation, measured with 1.13. Keeping one engine per
file, and letting SQLite's write-ahead log reach the disk at checkpoints, brings that to 1 or 2 ms. The files are
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

from quant_platform.specification.settings import settings

BUSY_TIMEOUT_SECONDS = 60
OPEN_FILES = 16


class PooledSqliteEventLogStorage(SqliteEventLogStorage):
    """The event log under ``base_dir``, by default ``$DAGSTER_HOME/history/runs``, one open engine per file."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: dict[str, Engine] = {}
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
        return cls(base_dir=config_value.get("base_dir") or str(own / "history" / "runs"), inst_data=inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engines.pop(shard, None)
            if engine is None:
                engine = create_engine(
                    self.conn_string_for_shard(shard),
                    # The lock of the storage keeps threads apart, so a connection may move between them.
                    connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
                    pool_size=1,
                )
                event.listen(engine, "connect", _wait_for_checkpoints_only)
            # The one used last goes to the end; a web server that has read many runs must not hold all their files.
            self._engines[shard] = engine
            if len(self._engines) > OPEN_FILES:
                self._engines.pop(next(iter(self._engines))).dispose()
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def dispose(self) -> None:
        """Close every connection."""
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()
        super().dispose()


def _wait_for_checkpoints_only(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")
