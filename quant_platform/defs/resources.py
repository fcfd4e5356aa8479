"""The lake as Dagster resources: the home, the I/O manager, the catalogue."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster as dg
import duckdb
import polars as pl
from dagster_duckdb import DuckDBResource

from quant_platform.contracts.errors import PartitionMissing
from quant_platform.contracts.tables import Table
from quant_platform.defs.jobs import job_making
from quant_platform.defs.metadata import table_metadata
from quant_platform.defs.schemes import lake_key
from quant_platform.defs.tags import GOES_ON_TAG, SOURCES_TAG
from quant_platform.defs.workers import processes_beside
from quant_platform.lake import Key, Provenance
from quant_platform.lake.opening import open_catalogue
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sharing import RunStage, shared_with
from quant_platform.specification.settings import Settings

# Metadata of an input: whether a table of which nothing was made yet stops the step.
REQUIRED = "required"

_BEHIND: set[str] = set()
"""Homes to which this process has written what their catalogue does not show."""


class HomeResource(dg.ConfigurableResource[Any]):
    """The folders of one market."""

    home: str
    specs: str

    def open(self) -> Home:
        """Open the home."""
        return Home(Settings(home=Path(self.home), specs=Path(self.specs)))

    def refresh_catalogue(self) -> None:
        """Rebuild the DuckDB catalogue, unless it is fresh; then that is done when the run, or this worker, ends."""
        if self.open().refresh_catalogue(force=False):
            _BEHIND.discard(self.home)
        else:
            _BEHIND.add(self.home)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Let the catalogue show what was written since it was rebuilt.

        Whoever starts runs with ``quant run`` rebuilds it once, after the last of them.
        """
        if self.home not in _BEHIND:
            return
        if context.run is None or GOES_ON_TAG not in context.run.tags:
            self.open().follow_catalogue()
        _BEHIND.discard(self.home)


@dg.resource(description="Runs a stage, with processes that share its partitions where the run asks for any.")
def sharing_resource(context: dg.InitResourceContext) -> Iterator[RunStage]:
    """Keep the processes for as long as the run, or in a step's own process the step, has its resources."""
    config = {} if context.run is None else context.run.run_config
    with shared_with(processes_beside(config)) as run_stage:
        yield run_stage


class CatalogueResource(DuckDBResource):
    """The catalogue as dagster-duckdb's resource, opened as the house does: read-only, and closed to other files."""

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the catalogue as it is now; one thread, so that a sum has the same bits every time."""
        with open_catalogue(Path(self.database), threads=1) as connection:
            yield connection


class LakeIOManager(dg.ConfigurableIOManager):
    """Reads and writes partition files; passes small values between the steps of one asset as JSON.

    Inputs arrive as lazy frames over exactly the current versions of the partitions that the partition mapping names.
    No pickle is read or written.
    """

    home: dg.ResourceDependency[HomeResource]

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Store a frame as new versions of its partitions, or a small value as JSON."""
        if not context.has_asset_key:
            self._put_small(context.get_identifier(), obj)
            return
        name = ".".join(context.asset_key.path)
        opened = self.home.open()
        definition = opened.lake.table(name)
        declared = context.definition_metadata or {}
        ontology = opened.ontology(declared.get(SOURCES_TAG, ()))
        provenance = Provenance(
            asset=name,
            code_version=context.asset_spec.code_version or "",
            ontology_hash=ontology.hash,
            ontology_files=dict(ontology.files),
            run_id=context.run_id,
            inputs={},
            simulated=opened.simulated,
        )
        keys: list[Key] = []
        if context.has_asset_partitions:
            keys = [lake_key(definition, key) for key in context.asset_partition_keys]
            opened.lake.write_many(name, split_by_partition(definition, obj, keys), provenance)
        else:
            opened.lake.write(name, None, obj, provenance)
        shown = table_metadata(definition, obj)
        if context.has_asset_partitions and len(keys) > 1:
            # Metadata of a materialisation is stored with every partition; this is about the run.
            context.log_event(dg.AssetObservation(context.asset_key, metadata=shown))
        else:
            context.add_output_metadata(shown)
        self.home.refresh_catalogue()

    def load_input(self, context: dg.InputContext) -> Any:
        """Scan the current versions of what the input's partitions name."""
        if not context.has_asset_key:
            upstream = context.upstream_output
            identifier = upstream.get_identifier() if upstream is not None else []
            return self._get_small(identifier)
        name = ".".join(context.asset_key.path)
        opened = self.home.open()
        if not context.has_asset_partitions:
            return opened.lake.scan(name)
        keys = [lake_key(opened.lake.table(name), key) for key in context.asset_partition_keys]
        present = set(opened.lake.partitions(name))
        wanted = [key for key in keys if key in present]
        if not wanted and not (context.definition_metadata or {}).get(REQUIRED, True):
            return opened.lake.table(name).schema.create_empty(lazy=True)
        if not wanted:
            raise _nothing_to_read(name, context.asset_partition_keys)
        if len(wanted) < len(keys) and len(keys) - len(wanted) <= 20:
            context.log.warning("%s: %d of %d partitions do not exist yet", name, len(keys) - len(wanted), len(keys))
        return opened.lake.scan(name, wanted)

    def _put_small(self, identifier: Sequence[str], value: Any) -> None:
        opened = self.home.open()
        opened.lake.store.put(_scratch(opened, identifier), json.dumps(value).encode())

    def _get_small(self, identifier: Sequence[str]) -> Any:
        opened = self.home.open()
        return json.loads(opened.lake.store.get(_scratch(opened, identifier)))


def _scratch(home: Home, identifier: Sequence[str]) -> Path:
    folder = home.lake.root.parent / "dagster" / "steps"
    return folder.joinpath(*(quote(part, safe="") for part in identifier))


def _nothing_to_read(name: str, partition_keys: Sequence[str]) -> PartitionMissing:
    return PartitionMissing(
        f"none of the partitions of {name} that this step reads has been made",
        how_many=f"{len(partition_keys)} asked for",
        rows=[{"partition": key} for key in sorted(partition_keys)],
        action=f"make them first: `quant run {job_making(name)}`",
    )


def split_by_partition(definition: Table, frame: pl.DataFrame, keys: Sequence[Key]) -> dict[Key, pl.DataFrame]:
    """Cut a frame into one frame per partition key; a key without rows has an empty frame, which replaces old rows."""
    columns = [pl.col(definition.key_column(name)).cast(pl.String).alias(f"__{name}") for name in definition.dimensions]
    names = [f"__{name}" for name in definition.dimensions]
    parts = {
        tuple(str(part) for part in key): rows.drop(names)
        for key, rows in frame.with_columns(columns).partition_by(names, as_dict=True).items()
    }
    return {key: parts.get(key if isinstance(key, tuple) else (str(key),), frame.clear()) for key in keys}
