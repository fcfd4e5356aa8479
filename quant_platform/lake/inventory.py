"""What the lake holds right now: one row per partition, from the footers of the current files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from quant_platform.lake.keys import shown_key
from quant_platform.lake.known_files import record_of
from quant_platform.lake.lake import Lake
from quant_platform.lake.reading import types_of_file


@dataclass(frozen=True)
class InventoryRow:
    """One current partition file.

    ``columns`` lists what the file holds, each as ``name: type``; ``created_at`` is UTC without a zone, as it stands in
    the catalogue; ``path`` is below the home, so that a home can be moved.
    """

    table_name: str
    key: str | None
    version: str
    rows: int
    created_at: datetime
    asset: str
    code_version: str
    ontology_hash: str
    run_id: str
    simulated: bool
    content_hash: str
    bytes: int
    path: str
    columns: tuple[str, ...]

    @property
    def column_names(self) -> list[str]:
        """Names of the columns in the file."""
        return [column.split(": ", 1)[0] for column in self.columns]


INVENTORY_COLUMNS: Mapping[str, tuple[pl.DataType, str]] = {
    "table_name": (pl.String(), "Stable name of the table."),
    "key": (pl.String(), "Partition key; several dimensions are joined by '/'; null for an unpartitioned table."),
    "version": (pl.String(), "Name of the current version: ordered UTC stamp and a unique suffix."),
    "rows": (pl.Int64(), "Rows in the partition."),
    "created_at": (pl.Datetime("us"), "When it was written, UTC."),
    "asset": (pl.String(), "What wrote it."),
    "code_version": (pl.String(), "Version of the computation."),
    "ontology_hash": (pl.String(), "Hash of the spec files it depends on."),
    "run_id": (pl.String(), "The run that wrote it."),
    "simulated": (pl.Boolean(), "True where the data is simulated."),
    "content_hash": (pl.String(), "SHA-256 of the data, whatever the layout of the file."),
    "bytes": (pl.Int64(), "Size of the file."),
    "path": (pl.String(), "The file, below the home."),
    "columns": (pl.List(pl.String()), "Columns in the file, each as 'name: type'."),
}


def inventory(lake: Lake, known: Mapping[str, InventoryRow] | None = None) -> list[InventoryRow]:
    """List the current partitions of every table.

    Parameters
    ----------
    lake
        The lake to list.
    known
        Rows of an earlier inventory by their path: a version never changes, so its footer is not read again.

    Raises
    ------
    CorruptFile
        For a torn or foreign file.
    """
    known, home = known or {}, lake.root.parent
    with lake.listed(lake.tables):
        current = [(name, key, path) for name in lake.tables for key, path in lake.current_by_key(name).items()]
    lake.store.fetch(path for _, _, path in current if path_below(home, path) not in known)
    return [
        known.get(path_below(home, path)) or inventory_row(name, shown_key(key), path, home)
        for name, key, path in current
    ]


def path_below(home: Path, path: Path) -> str:
    """Return how the catalogue names a file: by its path below the home, with slashes."""
    # Far cheaper than `Path.relative_to`, and asked for every partition of a lake.
    return str(path).removeprefix(f"{home}{os.sep}").replace(os.sep, "/")


def inventory_row(table_name: str, key: str | None, path: Path, home: Path) -> InventoryRow:
    """Make one row of a file that is somewhere below ``home``, from its footer; raises CorruptFile."""
    record = record_of(path)
    return InventoryRow(
        table_name=table_name,
        key=key,
        version=path.stem,
        rows=record.rows,
        created_at=record.created_at.astimezone(UTC).replace(tzinfo=None),
        asset=record.provenance.asset,
        code_version=record.provenance.code_version,
        ontology_hash=record.provenance.ontology_hash,
        run_id=record.provenance.run_id,
        simulated=record.provenance.simulated,
        content_hash=record.content_hash,
        bytes=path.stat().st_size,
        path=path_below(home, path),
        columns=tuple(
            f"{name}: {'Enum' if dtype == pl.Enum else dtype}" for name, dtype in types_of_file(path).items()
        ),
    )


def inventory_frame(rows: Sequence[InventoryRow]) -> pl.DataFrame:
    """Return the rows as a frame with the columns of `INVENTORY_COLUMNS`."""
    schema = {name: dtype for name, (dtype, _) in INVENTORY_COLUMNS.items()}
    columns = {name: [getattr(row, name) for row in rows] for name in schema}
    columns["columns"] = [list(row.columns) for row in rows]
    return pl.DataFrame(columns, schema=schema)
