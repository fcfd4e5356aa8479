"""Every failure the platform can report, as one class each.

A message answers, in this order: what was wrong, where, how many, the first rows, the likely cause, the next action.
It opens with a stable code that tools may match on; the words behind the code may change between versions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import polars as pl

Rows = pl.DataFrame | Sequence[Mapping[str, Any]] | None

SHOWN_ROWS = 5


class PlatformError(Exception):
    """Base of all errors the platform raises on purpose.

    Parameters
    ----------
    what
        What was wrong, as one clause.
    where
        Table, partition, column, file and line: whatever names the place.
    how_many
        How many rows or items of how many, for example ``"3 of 252 rows"``.
    rows
        The offending rows; the first five are shown.
    cause
        The likely cause.
    action
        What to do next.
    """

    code: ClassVar[str] = "platform_error"

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        how_many: str = "",
        rows: Rows = None,
        cause: str = "",
        action: str = "",
    ) -> None:
        self.what = what
        self.where = where
        self.how_many = how_many
        self.rows: list[dict[str, Any]] = _first_rows(rows)
        self.cause = cause
        self.action = action
        super().__init__(self._message())

    def _message(self) -> str:
        lines = [f"{self.code}: {self.what}"]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.how_many:
            lines.append(f"  how many: {self.how_many}")
        if self.rows:
            lines.append("  first rows:")
            lines.extend("    " + ", ".join(f"{k}={v}" for k, v in row.items()) for row in self.rows)
        if self.cause:
            lines.append(f"  likely cause: {self.cause}")
        if self.action:
            lines.append(f"  next: {self.action}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross process boundaries whole: the default would lose the keyword arguments."""
        return (
            _rebuild,
            (type(self), self.what, self.where, self.how_many, self.rows, self.cause, self.action),
        )


def _rebuild(
    cls: type[PlatformError],
    what: str,
    where: str,
    how_many: str,
    rows: list[dict[str, Any]],
    cause: str,
    action: str,
) -> PlatformError:
    return cls(what, where=where, how_many=how_many, rows=rows, cause=cause, action=action)


def _first_rows(rows: Rows) -> list[dict[str, Any]]:
    if rows is None:
        return []
    if isinstance(rows, pl.DataFrame):
        return rows.head(SHOWN_ROWS).to_dicts()
    return [dict(row) for row in rows[:SHOWN_ROWS]]


class SpecError(PlatformError, ValueError):
    """A file under ``specs/`` does not say something the platform can obey."""

    code = "spec_invalid"


class ExpressionError(SpecError):
    """An expression uses an unknown name, a wrong arity, or anything that could see the future."""

    code = "expression_invalid"


class SettingsError(PlatformError, ValueError):
    """The environment or the home folder is not usable as it is configured."""

    code = "settings_invalid"


class DatabaseUnavailable(PlatformError, ConnectionError):
    """The database of runs and events cannot be used: packages, network, password, or another home's history in it."""

    code = "database_unavailable"


class HomeMixed(PlatformError, ValueError):
    """A home holds one market; data of another one was about to be mixed in."""

    code = "home_mixed"


class SchemaViolation(PlatformError, ValueError):
    """A table does not have the columns, types, keys or value ranges its schema declares."""

    code = "schema_violation"


class PartitionKeyInvalid(PlatformError, ValueError):
    """A partition key cannot name a folder inside its table."""

    code = "partition_key_invalid"


class PartitionMissing(PlatformError, LookupError):
    """A partition that was asked for does not exist in the lake."""

    code = "partition_missing"


class UnknownTable(PlatformError, LookupError):
    """A table name is not in the registry."""

    code = "table_unknown"


class StorageFailed(PlatformError, OSError):
    """The file system refused a write (disk full, no permission); the old version still stands."""

    code = "storage_failed"


class StoreUnavailable(StorageFailed):
    """Object storage cannot be reached, or does not let this process in; what it holds is unchanged."""

    code = "store_unavailable"


class CorruptFile(PlatformError, RuntimeError):
    """A partition file is torn, foreign, or does not match the hash that was recorded for it."""

    code = "file_corrupt"


class CatalogueUnavailable(PlatformError, OSError):
    """The catalogue is there and cannot be opened: somebody holds it, or it is no DuckDB database."""

    code = "catalogue_unavailable"


class FileTooLarge(PlatformError, ValueError):
    """A file would not fit into the memory once it is unpacked, or is no file at all."""

    code = "file_too_large"


class SnapshotInvalid(PlatformError, ValueError):
    """A snapshot does not exist, already exists, or no longer matches its manifest."""

    code = "snapshot_invalid"


class OntologyMismatch(PlatformError, RuntimeError):
    """Rows were made under another ontology hash than the one in force."""

    code = "ontology_mismatch"


class SourceNotFound(PlatformError, LookupError):
    """The source has no such file, ticker or period."""

    code = "source_not_found"


class SourceRateLimited(PlatformError, ConnectionError):
    """The source asked us to slow down, and kept asking after the stated number of retries."""

    code = "source_rate_limited"


class SourceUnavailable(PlatformError, ConnectionError):
    """The source could not be reached."""

    code = "source_unavailable"


class SourceMalformed(PlatformError, ValueError):
    """The source delivered something that does not have the stated layout."""

    code = "source_malformed"


class CalendarError(PlatformError, ValueError):
    """A date or range lies outside the exchange calendar, or the calendar is unknown."""

    code = "calendar_invalid"


class StatisticError(PlatformError, ValueError):
    """Arguments of a statistic have the wrong shape or lie outside the range it is defined on."""

    code = "statistic_invalid"


class SignalInvalid(PlatformError, ValueError):
    """A submitted signal cannot be read, or no row of it satisfies the contract."""

    code = "signal_invalid"


class LookAheadFound(PlatformError, ValueError):
    """Rows know what nobody could know on their dates: of a submitted signal, or of a table made by a query."""

    code = "look_ahead_found"


class NotAvailable(PlatformError, LookupError):
    """The data of a panel cannot carry what was asked for: no industries, no market caps, too few names."""

    code = "not_available"


class ExperimentChanged(PlatformError, ValueError):
    """A pre-registered experiment was changed, or its locked holdout was opened a second time."""

    code = "experiment_changed"


class ExperimentLate(PlatformError, ValueError):
    """An experiment was to be registered after its signal had been judged on the sessions that would be locked."""

    code = "experiment_late"


class UnknownExperiment(PlatformError, LookupError):
    """No experiment of this name, or of this signal, is registered."""

    code = "unknown_experiment"


class SignalUnreadable(SignalInvalid):
    """The file is not CSV, Parquet or Arrow, or is damaged."""

    code = "signal_unreadable"


class SignalTooLarge(SignalInvalid):
    """The file is larger, or holds more rows, than the contract allows."""

    code = "signal_too_large"


class SignalColumnsMissing(SignalInvalid):
    """A required column of the contract is absent, or a column stands twice."""

    code = "signal_columns_missing"


class SignalEmpty(SignalInvalid):
    """The file has no row, or none that satisfies the contract."""

    code = "signal_empty"


class SignalNameInvalid(SignalInvalid):
    """A name cannot be that of a signal, or a file speaks of several signals."""

    code = "signal_name_invalid"


class SignalTaken(SignalInvalid):
    """A signal of this name is registered with other rows; what is registered never changes."""

    code = "signal_taken"


class SignalChanged(SignalInvalid):
    """The registered file of a signal is not what was registered."""

    code = "signal_changed"


class UnknownSignal(PlatformError, LookupError):
    """No signal of this name is registered."""

    code = "unknown_signal"


class FillsInvalid(PlatformError, ValueError):
    """A file of fills cannot be read, or rows of it break the contract."""

    code = "fills_invalid"


class OutputDamaged(PlatformError, ValueError):
    """A JSON output of operations is not what was written."""

    code = "output_damaged"


class CircularFit(PlatformError, ValueError):
    """A cost model was about to be fitted to fills that the same model had made."""

    code = "circular_fit"


class ProposalRefused(PlatformError, RuntimeError):
    """A proposal cannot be applied or taken back: spec or evidence are not what they were."""

    code = "proposal_refused"


class UnknownProposal(PlatformError, LookupError):
    """No proposal has this id."""

    code = "unknown_proposal"
