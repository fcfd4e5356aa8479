"""Dagster's storage on Postgres, of which each home has a database of its own.

The address in Dagster's settings has no password: those settings travel to workers, in files and in arguments of
commands. Each process takes the password from its own environment, as libpq does (``PGPASSWORD``, ``~/.pgpass``), or
from ``QUANT_POSTGRES_URL``.

Nothing is imported from here where runs are kept in SQLite files: the packages are an extra.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2
from dagster import DagsterInstance, EventLogEntry
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
from sqlalchemy import create_engine, make_url

from quant_platform.contracts.errors import DatabaseUnavailable
from quant_platform.defs.lean_events import LeanEventLog, short
from quant_platform.specification.deployment import POSTGRES_VARIABLE, PostgresAddress
from quant_platform.specification.lake import lake_address
from quant_platform.specification.settings import Settings

CONNECT_SECONDS = 5
OVERFLOW = 20
_LAKE_OF_DATABASE = "quant_platform/lake"
_ONE_SERVICE = 7_245_001


class PostgresEventLog(LeanEventLog, PostgresEventLogStorage):
    """The event log in Postgres."""

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events about assets in one statement, without what repeats the name of their step."""
        super().store_event_batch([short(event) for event in events])


class PostgresStorage(DagsterPostgresStorage):
    """Runs, events and schedules in Postgres; the password comes from the environment of the process."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        url = with_password(postgres_url)
        super().__init__(url, inst_data=inst_data)
        self._event_log_storage = PostgresEventLog(url)
        # Dagster opens a connection for every query, for which the server starts a process. One stays open here, of
        # all three; more are opened while threads ask at the same time.
        self._kept = create_engine(
            url, isolation_level="AUTOCOMMIT", pool_size=1, max_overflow=OVERFLOW, pool_pre_ping=True
        )
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = self._kept

    def dispose(self) -> None:
        """Close every connection."""
        super().dispose()
        self._kept.dispose()

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> PostgresStorage:
        """Build the storage Dagster's settings ask for."""
        return cls(config_value["postgres_url"], inst_data)


def with_password(url: str) -> str:
    """An address with the password of ``QUANT_POSTGRES_URL``, where that states one."""
    said = os.environ.get(POSTGRES_VARIABLE, "").strip()
    password = make_url(said).password if said else None
    parsed = make_url(url)
    return (parsed if password is None else parsed.set(password=str(password))).render_as_string(hide_password=False)


@contextmanager
def connected(address: PostgresAddress) -> Iterator[Any]:
    """Connect to a database once; the connection closes with the block.

    Raises
    ------
    DatabaseUnavailable
        With what the server, or libpq, says.
    """
    dsn = make_url(with_password(address.url)).set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        connection = psycopg2.connect(dsn, connect_timeout=CONNECT_SECONDS)
    except psycopg2.OperationalError as error:
        raise _refused(address, " ".join(str(error).split())) from error
    try:
        yield connection
    finally:
        connection.close()


def _refused(address: PostgresAddress, said: str) -> DatabaseUnavailable:
    """What a person should do about a refusal; libpq gives words alone, which are those of the server's language."""
    url = make_url(address.url)
    if "no password supplied" in said:
        what = "the database wants a password"
        action = f"state it in {POSTGRES_VARIABLE}, PGPASSWORD or ~/.pgpass"
    elif "password authentication failed" in said:
        what = "the database refuses the password"
        action = f"correct it in {POSTGRES_VARIABLE}, PGPASSWORD or ~/.pgpass"
    elif f'database "{url.database}" does not exist' in said:
        what = "the database does not exist"
        action = f"make it: createdb --host {url.host or 'HOST'} --port {url.port or 5432} {url.database}"
    elif "FATAL" in said:
        what = "the database refuses the connection"
        action = "see what the server says above"
    else:
        what = "no database answers"
        action = "start the server, or correct host and port of the address"
    return DatabaseUnavailable(what, where=f"{address.url}, said in {address.said_in}", cause=said, action=action)


def require_own(instance: DagsterInstance, where: Settings) -> None:
    """Keep a database for one lake: two homes in one would count each other's partitions and runs as theirs.

    Raises
    ------
    DatabaseUnavailable
        When it holds the history of another lake.
    """
    own = lake_address(where.home) or str(where.lake)
    known = instance.run_storage.get_cursor_values({_LAKE_OF_DATABASE})
    before = known.get(_LAKE_OF_DATABASE)
    if before is None:
        instance.run_storage.set_cursor_values({_LAKE_OF_DATABASE: own})
    elif before != own:
        raise DatabaseUnavailable(
            "the database holds the runs of another home",
            where=f"lake {own}",
            cause=f"its runs are those of the lake {before}",
            action="name another database: each home has its own; after a home was moved: "
            f"delete from kvs where key = '{_LAKE_OF_DATABASE}'",
        )


@contextmanager
def only_service(address: PostgresAddress) -> Iterator[None]:
    """Be the only ``quant up`` of a database, on whatever machine, while the block lasts.

    Raises
    ------
    DatabaseUnavailable
        When another one is there.
    """
    with connected(address) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("select pg_try_advisory_lock(%s)", (_ONE_SERVICE,))
            (alone,) = cursor.fetchone()
        if not alone:
            raise DatabaseUnavailable(
                "another `quant up` serves this database",
                where=address.url,
                cause="two daemons on one database would start every schedule twice",
                action="stop the other one, which may be on another machine",
            )
        yield
