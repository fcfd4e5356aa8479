"""Where a partition came from, carried inside its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from quant_platform.contracts.errors import CorruptFile

METADATA_KEY = "quant_platform"
"""The key of the Parquet key-value metadata that holds the record, as JSON."""


@dataclass(frozen=True)
class Provenance:
    """What produced a partition.

    Attributes
    ----------
    asset
        Name of the asset or command that wrote it.
    code_version
        Version of the computation; a change means the result is out of date.
    ontology_hash, ontology_files
        Hash over the spec files the result depends on, and the hash of each.
    run_id
        The run that wrote it.
    inputs
        Version of each input partition, keyed ``table/key``.
    simulated
        True where the data comes from a simulated market.
    extra
        Anything else worth keeping, as JSON values.
    """

    asset: str
    code_version: str
    ontology_hash: str
    ontology_files: Mapping[str, str] = field(default_factory=dict)
    run_id: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    simulated: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FileRecord:
    """What a file says about itself: table, partition as text, rows, content hash, time of writing, provenance."""

    table: str
    partition: str | None
    rows: int
    content_hash: str
    created_at: datetime
    provenance: Provenance


def metadata_of(record: FileRecord) -> dict[str, str]:
    """Return the key-value metadata to store in a Parquet file."""
    provenance = record.provenance
    content = {
        "table": record.table,
        "partition": record.partition,
        "rows": record.rows,
        "content_hash": record.content_hash,
        "created_at": record.created_at.astimezone(UTC).isoformat(),
        "asset": provenance.asset,
        "code_version": provenance.code_version,
        "ontology_hash": provenance.ontology_hash,
        "ontology_files": dict(provenance.ontology_files),
        "run_id": provenance.run_id,
        "inputs": dict(provenance.inputs),
        "simulated": provenance.simulated,
        "extra": dict(provenance.extra),
    }
    return {METADATA_KEY: json.dumps(content, sort_keys=True)}


def read_record(path: Path) -> FileRecord:
    """Read the record from the footer of a partition file.

    Raises
    ------
    CorruptFile
        When the footer is broken (a torn file) or holds no record of ours (a foreign file).
    """
    return record_of_metadata(path, read_footer(path))


def read_footer(path: Path) -> dict[str, str]:
    """Read the key-value metadata of a Parquet file; raises CorruptFile where the footer is broken."""
    try:
        return pl.read_parquet_metadata(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise CorruptFile(
            "the Parquet footer could not be read",
            where=str(path),
            cause=f"the file was cut off, damaged or removed ({str(error).splitlines()[0]})",
            action="run `quant lake check`; restore the file from a backup or materialise the partition again",
        ) from error


def record_of_metadata(path: Path, footer: Mapping[str, str]) -> FileRecord:
    """Read the record from the key-value metadata of `path`; raises CorruptFile where it is not one of ours."""
    try:
        content = json.loads(footer[METADATA_KEY])
        return FileRecord(
            table=content["table"],
            partition=content["partition"],
            rows=content["rows"],
            content_hash=content["content_hash"],
            created_at=datetime.fromisoformat(content["created_at"]),
            provenance=Provenance(
                asset=content["asset"],
                code_version=content["code_version"],
                ontology_hash=content["ontology_hash"],
                ontology_files=content["ontology_files"],
                run_id=content["run_id"],
                inputs=content["inputs"],
                simulated=content["simulated"],
                extra=content["extra"],
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptFile(
            "the file carries no record of this platform",
            where=str(path),
            cause="it was written by another program, or by hand",
            action="move it out of the lake; write tables through quant_platform.lake.Lake",
        ) from error
