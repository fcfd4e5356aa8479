"""Dagster's SQLite event log, cheap enough for runs over thousands of partitions.

A run over hundreds of partitions logs thousands of events. Dagster's own storage has a file for every run and an index
over all runs, writes events about assets to both, and for each builds a new SQLAlchemy engine, waits for the disk
twice, and reads the list of all dynamic partitions. Here

- every event stands once, in the index;
- one engine stays open, and SQLite's write-ahead log reaches the disk at checkpoints;
- an event goes through the connection that is open already (:meth:`~PooledSqliteEventLogStorage.store_event`);
- a batch of asset events is one transaction (:meth:`~PooledSqliteEventLogStorage.store_event_batch`; Dagster forms
  batches where ``DAGSTER_EVENT_BATCH_SIZE`` is set, which :func:`batch_events` does);
- whoever watches a run asks the index again and again, as with any other database of Dagster;
- and what :mod:`~quant_platform.defs.lean_events` says, for any database.

The tables are Dagster's own. Its stock storage reads the history of all assets from the same file, but looks for the
log of a run in a file of that run. Such files, of homes made before, are read where they are.

With ``synchronous=NORMAL`` a power failure may lose the last events of a run, never the integrity of the file; the
lake's files are flushed one by one and do not depend on it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from dagster import AssetKey, DagsterEventType, EventLogEntry, EventLogRecord, EventRecordsFilter, Field, StringSource
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS
from dagster._core.storage.event_log.polling_event_watcher import SqlPollingEventWatcher
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool

from quant_platform.defs.lean_events import LeanEventLog, planned_check, short
from quant_platform.specification.settings import settings

_Hears = Callable[[EventLogEntry, str], None]
BUSY_TIMEOUT_SECONDS = 60
OPEN_FILES = 16
PAGE_BYTES = 8_192
BATCH_SIZE = 500
_ABOUT_ASSETS = (
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.ASSET_OBSERVATION,
    DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
)
_CHECK_PLANNED = DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED
_BATCHED = (*_ABOUT_ASSETS, _CHECK_PLANNED)


class PooledSqliteEventLogStorage(LeanEventLog, SqliteEventLogStorage):
    """The event log under ``base_dir``, by default ``$DAGSTER_HOME/history/runs``, in one file."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._opened: dict[str, tuple[Engine, Connection]] = {}
        self._watcher: SqlPollingEventWatcher | None = None
        super().__init__(base_dir=base_dir, inst_data=inst_data)
        # Dagster asks for the index again while it holds it.
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
            engine, _ = self._file(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _file(self, shard: str) -> tuple[Engine, Connection]:
        """A file and its idle connection, opened where it is not; whoever asks holds the storage's lock."""
        opened = self._opened.pop(shard, None) or self._open(shard)
        # The one used last goes to the end; a web server that has read many runs must not hold all their files.
        self._opened[shard] = opened
        if len(self._opened) > OPEN_FILES:
            _close(self._opened.pop(next(iter(self._opened))))
        return opened

    def _open(self, shard: str) -> tuple[Engine, Connection]:
        """One engine per file, and one connection that keeps the file open.

        Every query has a connection of its own, as in the stock storage: a result that somebody has not read to its end
        would hold a shared one on an old state of the file. The one that stays reads nothing; it spares the checkpoint
        that closing the last connection of a file makes, and takes single events.
        """
        engine = create_engine(
            self.conn_string_for_shard(shard), poolclass=NullPool, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}
        )
        event.listen(engine, "connect", wait_for_checkpoints_only)
        if shard not in self._initialized_dbs:
            self._initdb(engine)
            self._initialized_dbs.add(shard)
        # The storage's lock keeps threads apart, and whichever evicts the file closes this connection.
        staying = create_engine(
            self.conn_string_for_shard(shard),
            poolclass=NullPool,
            connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
        )
        event.listen(staying, "connect", wait_for_checkpoints_only)
        keeper = staying.connect()
        keeper.exec_driver_sql("PRAGMA schema_version").fetchall()
        keeper.rollback()
        return engine, keeper

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        """Make the tables of a file that has none: Dagster's own way reads every migration first, to find no work."""
        event.listen(engine, "connect", _large_pages)
        with engine.connect() as connection:
            found = connection.exec_driver_sql("select 1 from sqlite_master where name = 'alembic_version'").fetchall()
            if found and connection.exec_driver_sql("select version_num from alembic_version").fetchall():
                return
        super()._initdb(engine, for_index_shard)

    def run_connection(self, run_id: str | None = None) -> AbstractContextManager[Connection]:
        """A connection to where the log of a run is: the index, unless the run is from before and has its own file."""
        own = run_id is not None and Path(self.path_for_shard(run_id)).is_file()
        return self._connect(run_id if own and run_id is not None else INDEX_SHARD_NAME)

    @property
    def is_run_sharded(self) -> bool:
        """False: the ids of all events follow each other."""
        return False

    def get_event_records(
        self, event_records_filter: EventRecordsFilter, limit: int | None = None, ascending: bool = False
    ) -> Sequence[EventLogRecord]:
        """Events of any kind over all runs, from the index."""
        return SqlEventLogStorage.get_event_records(self, event_records_filter, limit, ascending)

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event, through the connection that is open."""
        kind = event.dagster_event_type if event.is_dagster_event else None
        if kind in _BATCHED:
            self.store_event_batch([event])
            return
        row = self._event_to_row(short(event))
        with self._db_lock:
            _, index = self._file(INDEX_SHARD_NAME)
            with index.begin():
                key: Any = index.execute(SqlEventLogStorageTable.insert().values(row)).inserted_primary_key
                place = key[0]
                if kind in ASSET_EVENTS and event.get_dagster_event().asset_key:
                    self._mirror_assets(index, [(event, place)])
        if kind in ASSET_CHECK_EVENTS:
            self.store_asset_check_event(event, place)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events about assets, and planned checks, in one transaction; others one by one.

        When the index refuses it has nothing of the batch, and Dagster stores its events one by one.
        """
        if not all(event.is_dagster_event and event.dagster_event_type in _BATCHED for event in events):
            super().store_event_batch(events)
            return
        events = [short(event) for event in events]
        rows = [self._event_to_row(event) for event in events]
        with self.index_transaction() as index:
            index.execute(SqlEventLogStorageTable.insert(), rows)
            # Within the transaction nobody else writes: the ids of the rows follow each other.
            last = index.exec_driver_sql("select max(id) from event_logs").scalar_one()
            stored = list(zip(events, range(last - len(rows) + 1, last + 1), strict=True))
            self._mirror_assets(index, [one for one in stored if one[0].dagster_event_type in _ABOUT_ASSETS])
            self._plan_checks(index, [one for one in stored if one[0].dagster_event_type == _CHECK_PLANNED])

    def _mirror_assets(self, index: Connection, stored: Sequence[tuple[EventLogEntry, int]]) -> None:
        self._store_asset_event_tags(index, [event for event, _ in stored], [event_id for _, event_id in stored])
        newest = {(one.get_dagster_event().asset_key, one.dagster_event_type): (one, place) for one, place in stored}
        for one, place in newest.values():
            self._store_asset_event(index, one, place)

    def _plan_checks(self, index: Connection, stored: Sequence[tuple[EventLogEntry, int]]) -> None:
        rows = [planned_check(event, event_id) for event, event_id in stored]
        if rows:
            index.execute(AssetCheckExecutionsTable.insert(), rows)

    def wipe_asset(self, asset_key: AssetKey) -> None:
        """Forget what was made of an asset; the logs of the runs that made it stay whole."""
        SqlEventLogStorage.wipe_asset(self, asset_key)

    def watch(self, run_id: str, cursor: str | None, callback: _Hears) -> None:
        """Call back for every event of a run after a cursor."""
        if self._watcher is None:
            self._watcher = SqlPollingEventWatcher(self)
        self._watcher.watch_run(run_id, cursor, callback)

    def end_watch(self, run_id: str, handler: _Hears) -> None:
        """Stop calling back."""
        if self._watcher is not None:
            self._watcher.unwatch_run(run_id, handler)

    def dispose(self) -> None:
        """Close every connection."""
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
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


def _large_pages(connection: Any, _: Any) -> None:
    """Let a new file have pages that hold five events: of SQLite's own 4 kB a fifth stays empty, two events to a page.

    Twice as much would cost a small home as much again: two dozen tables and indexes have a page each at least.

    A file that has tables keeps the size it was made with.
    """
    connection.execute(f"PRAGMA page_size={PAGE_BYTES}")


def wait_for_checkpoints_only(connection: Any, _: Any) -> None:
    """Let a new connection to SQLite wait for the disk at checkpoints alone."""
    connection.execute("PRAGMA synchronous=NORMAL")
