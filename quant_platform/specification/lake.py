"""The spec of the lake: retention, the pace of the catalogue, and where a home keeps its files."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from quant_platform.specification.loading import SpecModel, load_spec


class LakeSpec(SpecModel):
    """How long the lake keeps what is no longer current, and how often the catalogue follows the files."""

    superseded_versions_days: float = Field(
        gt=0,
        description="Days a version stays after a newer one: longer than the longest query or notebook session.",
    )
    temporary_files_hours: float = Field(
        gt=0, description="Hours after which a temporary file is taken for the remains of a killed process."
    )
    catalogue_debounce_seconds: float = Field(
        ge=0, description="Seconds for which a fresh catalogue is not built again while a run writes."
    )

    @property
    def keep(self) -> timedelta:
        """How long a superseded version stays."""
        return timedelta(days=self.superseded_versions_days)

    @property
    def temporary_age(self) -> timedelta:
        """From which age a temporary file is removed."""
        return timedelta(hours=self.temporary_files_hours)

    @property
    def debounce(self) -> timedelta:
        """For how long a catalogue is fresh."""
        return timedelta(seconds=self.catalogue_debounce_seconds)


def lake_spec(specs: Path) -> LakeSpec:
    """Load ``lake.yaml`` from the specs folder; raises SpecError."""
    return load_spec(specs / "lake.yaml", LakeSpec)


LAKE_FILE = "lake.yaml"


class LakePlace(SpecModel):
    """``lake.yaml`` of a home: where its partition files and snapshots are, in place of the home's own folder."""

    lake: str = Field(
        pattern=r"^s3://[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9](/[^/\s]+)*$",
        description="s3://bucket/prefix, no slash at the end; credentials and endpoint stand in the environment.",
    )


def lake_address(home: Path) -> str | None:
    """Where a home keeps its files, or None where that is its own folder; raises SpecError."""
    path = home / LAKE_FILE
    return load_spec(path, LakePlace).lake if path.is_file() else None
