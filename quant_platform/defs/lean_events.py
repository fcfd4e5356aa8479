"""What the event logs of the house do less of than Dagster's own, whatever database holds them.

- the dynamic partitions are read once a second, not once an event, and what the tables look like once a process;
- an event names its step once, where Dagster's own serialisation does it seven times, has its sentence once, and no
  blanks between its fields;
- a run plans its partitions in one event per asset. The partitions that fail are planned one by one when they do, so
  that the UI shows which they were (`quant_platform.defs.chunked_assets`);
- a check that looks at all partitions of a run at once is planned in one row, which its result then fills; the stock
  storages plan a row per partition, each with the whole event, which nothing ever fills.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from dagster import DagsterEventType, EventLogEntry
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._serdes import serialize_value

PARTITIONS_KNOWN_SECONDS = 1.0
_GONE_ON_FROM = (
    DagsterEventType.STEP_START,
    DagsterEventType.STEP_OUTPUT,
    DagsterEventType.STEP_SUCCESS,
    DagsterEventType.STEP_FAILURE,
    DagsterEventType.STEP_SKIPPED,
    DagsterEventType.STEP_UP_FOR_RETRY,
    DagsterEventType.STEP_RESTARTED,
    DagsterEventType.RESOURCE_INIT_FAILURE,
)


class LeanEventLog(SqlEventLogStorage):
    """Stands before one of Dagster's storages in the bases of a class; the tables are Dagster's own."""

    def __init__(self, *args: Any, **named: Any) -> None:
        self._dynamic: dict[str, tuple[float, dict[str, None]]] = {}
        self._tables: set[str] = set()
        self._columns: set[str] = set()
        self._indexes: set[str] = set()
        super().__init__(*args, **named)  # type: ignore[no-untyped-call]  # Dagster's is without types

    @property
    def supports_partition_subset_in_asset_materialization_planned_events(self) -> bool:
        """One planned event per asset of a run, not one per partition."""
        return True

    def has_table(self, table_name: str) -> bool:
        """Whether the index has a table; asked once of each that it has."""
        # The storage that follows in the bases has the method; the one named here is abstract.
        if table_name not in self._tables and super().has_table(table_name):  # type: ignore[safe-super]
            self._tables.add(table_name)
        return table_name in self._tables

    def has_asset_key_col(self, column_name: str) -> bool:
        """Whether the table of assets has a column; asked once of each that it has."""
        if column_name not in self._columns and super().has_asset_key_col(column_name):
            self._columns.add(column_name)
        return column_name in self._columns

    def has_secondary_index(self, name: str) -> bool:
        """Whether a migration of the data was made; asked once of each that was."""
        if name not in self._indexes and super().has_secondary_index(name):
            self._indexes.add(name)
        return name in self._indexes

    def _event_to_row(self, event: EventLogEntry) -> dict[str, Any]:
        found = event.dagster_event
        asset_key = None if found is None else found.asset_key
        return {
            "run_id": event.run_id,
            "event": serialize_value(event, separators=(",", ":")),
            "dagster_event_type": None if found is None else found.event_type_value,
            "timestamp": self._event_insert_timestamp(event),  # type: ignore[no-untyped-call]  # Dagster's is without types
            "step_key": event.step_key if found is None else found.step_key,
            "asset_key": None if asset_key is None else asset_key.to_string(),
            "partition": None if found is None else found.partition or None,
        }

    def _store_asset_check_evaluation_planned(self, event: EventLogEntry, event_id: int | None) -> None:
        with self.index_connection() as connection:
            connection.execute(AssetCheckExecutionsTable.insert(), [planned_check(event, event_id)])

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


def planned_check(event: EventLogEntry, event_id: int | None) -> dict[str, object]:
    """The row of a check that a run is going to make."""
    planned: Any = event.get_dagster_event().asset_check_planned_data
    return {
        "asset_key": planned.asset_key.to_string(),
        "check_name": planned.check_name,
        # The result of such a check is about the run, and names no partition either.
        "partition": None,
        "run_id": event.run_id,
        "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
        "evaluation_event": serialize_value(event),
        "evaluation_event_timestamp": datetime.fromtimestamp(event.timestamp, UTC).replace(tzinfo=None),
        "evaluation_event_storage_id": event_id,
    }


def short(event: EventLogEntry) -> EventLogEntry:
    """An event without what its log line repeats.

    The sentence stands in the event itself, and the step is named in it; only a run that goes on where another failed
    reads the handle of a step, from the events that say how the step ended.
    """
    found = event.dagster_event
    if found is None:
        return event
    leaner = found._replace(logging_tags={})
    if event.dagster_event_type not in _GONE_ON_FROM:
        leaner = leaner._replace(step_handle=None, node_handle=None)
    return event._replace(dagster_event=leaner, user_message=event.user_message if found.message is None else "")
