"""Dagster's SQLite event log, cheap enough for runs over thousands of partitions.

A run over hundreds of partitions logs thousands of events, and for each Dagster's own storage builds a new SQLAlchemy
engine, waits for the disk twice, and reads the list of all dynamic partitions. Here

- one engine per file stays open, and SQLite's write-ahead log reaches the disk at checkpoints;
- a batch of asset events is one transaction per file (:meth:`~PooledSqliteEventLogStorage.store_event_batch`; Dagster
  forms batches where ``DAGSTER_EVENT_BATCH_SIZE`` is set, which :func:`batch_events` does);
- the dynamic partitions are read once a second, not once an event;
- a run plans its partitions in one event per asset. The partitions that fail are planned one by one when they do, so
  that the UI shows which they were (`quant_platform.defs.chunked_assets`).

The files are Dagster's own: the stock storage reads and writes them too.

With ``synchronous=NORMAL`` a power failure may lose the last events of a run, never the integrity of the file; the
lake's files are flushed one by one and do not depend on it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import DagsterEventType, EventLogEntry, Field, StringSource
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool

from quant_platform.specification.settings import settings

BUSY_TIMEOUT_SECONDS = 60
OPEN_FILES = 16
BATCH_SIZE = 500
PARTITIONS_KNOWN_SECONDS = 1.0
_BATCHED = (
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.ASSET_OBSERVATION,
    DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
)


class PooledSqliteEventLogStorage(SqliteEventLogStorage):
    """The event log under ``base_dir``, by default ``$DAGSTER_HOME/history/runs``, one engine per open file."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._opened: dict[str, tuple[Engine, Connection]] = {}
        self._dynamic: dict[str, tuple[float, dict[str, None]]] = {}
        super().__init__(base_dir=base_dir, inst_data=inst_data)
        # A batch holds the run's file while it writes the index.
        self._db_lock: Any = threading.RLock()

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

    @property
    def supports_partition_subset_in_asset_materialization_planned_events(self) -> bool:
        """One planned event per asset of a run, not one per partition."""
        return True

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store asset events of one run in one transaction per file; anything else one by one.

        The run's file is committed after the index: when the index refuses, neither has the batch, and Dagster stores
        its events one by one.
        """
        run_ids = {event.run_id for event in events}
        if len(run_ids) != 1 or not all(
            event.is_dagster_event and event.dagster_event_type in _BATCHED for event in events
        ):
            super().store_event_batch(events)
            return
        rows = [self._event_to_row(event) for event in events]
        with self.run_connection(run_ids.pop()) as own:
            own.execute(SqlEventLogStorageTable.insert(), rows)
            with self.index_transaction() as index:
                index.execute(SqlEventLogStorageTable.insert(), rows)
                # Within the transaction nobody else writes: the ids of the rows follow each other.
                last = index.exec_driver_sql("select max(id) from event_logs").scalar_one()
                ids = list(range(last - len(rows) + 1, last + 1))
                self._store_asset_event_tags(index, events, ids)
                newest = {
                    (event.get_dagster_event().asset_key, event.dagster_event_type): (event, event_id)
                    for event, event_id in zip(events, ids, strict=True)
                }
                for event, event_id in newest.values():
                    self._store_asset_event(index, event, event_id)

    def get_dynamic_partitions(self, partitions_def_name: str) -> Sequence[str]:
        """Keys of a dynamic partitions definition; those added elsewhere within the last second may be missing."""
        return list(self._known(partitions_def_name))

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        """Whether a dynamic partition exists; a key that is not known is looked up."""
        known = partition_key in self._known(partitions_def_name)
        return known or super().has_dynamic_partition(partitions_def_name, partition_key)

    def add_dynamic_partitions(self, partitions_def_name: str, partition_keys: Sequence[str]) -> None:
        """Add dynamic partitions."""
        super().add_dynamic_partitions(partitions_def_name, partition_keys)
        self._dynamic.pop(partitions_def_name, None)

    def delete_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> None:
        """Delete a dynamic partition."""
        super().delete_dynamic_partition(partitions_def_name, partition_key)
        self._dynamic.pop(partitions_def_name, None)

    def _known(self, name: str) -> dict[str, None]:
        read_at, keys = self._dynamic.get(name, (float("-inf"), {}))
        if time.monotonic() - read_at > PARTITIONS_KNOWN_SECONDS:
            keys = dict.fromkeys(super().get_dynamic_partitions(name))
            self._dynamic[name] = (time.monotonic(), keys)
        return keys

    def dispose(self) -> None:
        """Close every connection."""
        for opened in self._opened.values():
            _close(opened)
        self._opened.clear()
        super().dispose()


def batch_events() -> None:
    """Let this process, and those it starts, hand asset events to the storage in batches."""
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(BATCH_SIZE))


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
