"""The one door through which a suite run sees data: a snapshot, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import duckdb
import polars as pl

from quant_platform.contracts.errors import PartitionMissing, SnapshotInvalid
from quant_platform.lake.inventory import inventory_row
from quant_platform.lake.keys import Key, key_of_shown, shown_key, wanted_keys
from quant_platform.lake.lake import Lake
from quant_platform.lake.manifest import Snapshot, existing_file, file_path, lake_of, load
from quant_platform.lake.reading import TypesOfFiles, collect_files, scan_files
from quant_platform.lake.views import create_catalogue
from quant_platform.specification.settings import settings

RETURNS, EXPOSURES, DATES = "suite.returns", "suite.exposures", "suite.dates"


class DataCatalog:
    """Read the versions a snapshot names, whatever the lake holds by now.

    Parameters
    ----------
    snapshot_id
        For example ``2026-02-05-US-v1``. Put it beside every number that comes from here.
    region
        The market the caller means; has to be that of the snapshot.
    home
        The home folder, or an exported snapshot; by default the home of the settings.

    Raises
    ------
    SnapshotInvalid
        When there is no such snapshot, its manifest was changed, or it is of another region.
    """

    def __init__(self, snapshot_id: str, region: str, home: Path | None = None) -> None:
        folder = (Path(home) if home is not None else settings().home).resolve()
        self._home = folder
        self.snapshot: Snapshot = load(folder / "snapshots", snapshot_id)
        if self.snapshot.region != region:
            raise SnapshotInvalid(
                f"the snapshot is of region {self.snapshot.region!r}, {region!r} was asked for",
                where=snapshot_id,
                action="name the region of the snapshot, or another snapshot",
            )
        self._lake = lake_of(Lake(folder / "lake"), folder / "snapshots", self.snapshot)
        self._types_of = TypesOfFiles()

    @property
    def snapshot_id(self) -> str:
        """The id that every reported number carries."""
        return self.snapshot.snapshot_id

    @property
    def region(self) -> str:
        """The market."""
        return self.snapshot.region

    @property
    def simulated(self) -> bool:
        """True where any of the data is simulated."""
        return self.snapshot.simulated

    @property
    def tables(self) -> list[str]:
        """Names of the tables the snapshot holds."""
        return [table.name for table in self.snapshot.tables]

    def partitions(self, table_name: str) -> list[Key]:
        """Return the keys the snapshot holds of a table."""
        return list(self._files(table_name, None, "raise"))

    def read(
        self,
        table_name: str,
        keys: Sequence[Key] | Sequence[str] | str | None = None,
        columns: Sequence[str] | None = None,
        *,
        missing: Literal["raise", "ignore"] = "raise",
    ) -> pl.DataFrame:
        """Read partitions as the snapshot names them; arguments and rows as in `Lake.read`.

        Raises
        ------
        SnapshotInvalid
            When the snapshot does not hold the table, or a file is gone or has another size.
        PartitionMissing
            For keys the snapshot does not hold.
        """
        files = list(self._files(table_name, keys, missing).values())
        return collect_files(scan_files(self._lake.table(table_name), files, self._types_of, columns), files)

    def get_manifest(self) -> dict[str, object]:
        """Return what the snapshot says of itself.

        Its id, region, ``created_at``, source hash, whether it is simulated, and how the securities of a lightweight
        one were chosen; per table rows, securities, date range, columns and SHA-256.
        """
        snapshot, chosen = self.snapshot, self.snapshot.selection
        return {
            "snapshot_id": snapshot.snapshot_id,
            "region": snapshot.region,
            "created_at": snapshot.created_at,
            "source_hash": snapshot.source_hash,
            "simulated": snapshot.simulated,
            "selection": chosen.rule if chosen is not None else None,
            "tables": {
                found.name: {
                    "rows": found.rows,
                    "securities": found.securities,
                    "date_from": found.date_from,
                    "date_to": found.date_to,
                    "columns": list(found.columns),
                    "sha256": found.sha256,
                }
                for found in snapshot.tables
            },
        }

    def get_retfile(self, years: Sequence[str] | str | None = None) -> pl.DataFrame:
        """Return ``suite.returns``: returns, liquidity and caps by name and session; all years by default."""
        return self.read(RETURNS, years)

    def get_otherfile(self, years: Sequence[str] | str | None = None) -> pl.DataFrame:
        """Return ``suite.exposures``: industry and style exposures by name and session; all years by default."""
        return self.read(EXPOSURES, years)

    def get_datefile(self) -> pl.DataFrame:
        """Return ``suite.dates``: the sessions, their hours, and which return a signal of each can earn."""
        return self.read(DATES)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Open a database in memory whose views see this snapshot and nothing else."""
        rows = [
            inventory_row(name, shown_key(key), path, self._home)
            for name in self.tables
            for key, path in self._files(name, None, "raise").items()
        ]
        connection = duckdb.connect()
        # Else a table that the snapshot lacks would be looked for among the caller's Python variables.
        connection.execute("SET python_enable_replacements = false")
        create_catalogue(connection, [self._lake.table(name) for name in self.tables], rows, self._home)
        return connection

    def _files(
        self, table_name: str, keys: Sequence[Key] | Sequence[str] | str | None, missing: Literal["raise", "ignore"]
    ) -> dict[Key, Path]:
        table = self._lake.table(table_name)
        held = {key_of_shown(table, file.key): file for file in self.snapshot.table(table_name).files}
        wanted = list(held) if keys is None else wanted_keys(table, keys)
        absent = [key for key in wanted if key not in held]
        if absent and missing == "raise":
            raise PartitionMissing(
                f"the snapshot does not hold {', '.join(repr(shown_key(key)) for key in absent[:5])}",
                where=f"{self.snapshot_id}, {table_name}",
                how_many=f"{len(absent)} of {len(wanted)} partitions",
                action="make a new snapshot, or read with missing='ignore'",
            )
        files = {key: held[key] for key in wanted if key in held}
        self._lake.store.fetch(file_path(self._lake, file) for file in files.values())
        return {key: existing_file(self._lake, self.snapshot_id, file) for key, file in files.items()}
