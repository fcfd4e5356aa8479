"""Running one stage over a chunk of partitions: skip what is current, isolate what fails, write the rest.

The procedure for each key:

1. the names of the versions of its inputs are read from the lake (:func:`_input_versions`);
2. a key whose outputs were made from those versions, by this code, under these specs, is left alone;
3. ``compute`` makes one frame per output table;
4. a :class:`PlatformError` is kept with its key and the chunk goes on; nothing of that key is written;
5. what was computed is written as new versions, while the next key is computed.

The bits of a partition depend on its inputs only, never on the chunk it was computed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import polars as pl

from quant_platform.contracts.errors import (
    CorruptFile,
    PlatformError,
    SourceRateLimited,
    SourceUnavailable,
    StoreUnavailable,
)
from quant_platform.contracts.tables import Table, table
from quant_platform.lake.keys import Key, shown_key
from quant_platform.lake.lake import Version, Writes
from quant_platform.lake.provenance import Provenance
from quant_platform.pipeline.closure import code_hash
from quant_platform.pipeline.home import Home
from quant_platform.specification.ontology import spec_hash

# Errors of a source that may be gone when it is asked again.
PASSING = (SourceRateLimited, SourceUnavailable)
Frames = Mapping[str, pl.DataFrame]
Columns = Callable[[Home], Mapping[str, str]]


class Compute(Protocol):
    """What a stage does for one partition: a ticker, or a symbol and a month."""

    def __call__(self, home: Home, key: Any, /, *, refresh: bool) -> Frames:
        """Make one frame per output table; ``refresh`` asks a source for everything again."""
        ...


@dataclass(frozen=True)
class StageBase:
    """What every kind of stage says about itself.

    Attributes
    ----------
    outputs
        Tables it writes; their dimensions say how it is partitioned.
    compute
        The function whose import closure is the code part of the cache key.
    specs
        Spec files (globs below ``specs/``) that decide the result.
    kinds
        What it is made with, as the UI shows it; ``{source}`` and ``{perps}`` stand for the sources of the home.
    columns
        Columns and descriptions that the specs add to an open table, by table.
    """

    outputs: tuple[str, ...]
    compute: Callable[..., Any]
    specs: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("parquet",)
    columns: Mapping[str, Columns] = field(default_factory=dict)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables it writes."""
        return tuple(table(name) for name in self.outputs)

    @property
    def table(self) -> Table:
        """The first table it writes."""
        return self.tables[0]

    def code_version(self, home: Home) -> str:
        """Hash of the code and the validated specs that decide the result, 16 hexadecimal digits."""
        content = code_hash(self.compute) + home.validated(self.specs)
        if not _BY_MONTH.intersection(self.table.dimensions):
            content += spec_hash(home.dates)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


# Partitions of perpetuals say their months themselves; the sessions of a home of equities decide nothing about them.
_BY_MONTH = frozenset({"month", "cutoff"})


@dataclass(frozen=True, kw_only=True)
class Stage(StageBase):
    """One computation over partitions that do not depend on each other: tickers, or symbols and months.

    Attributes
    ----------
    inputs
        Tables of which it reads the partition of the same key; a missing partition is an error.
    shared_inputs
        Unpartitioned tables it reads.
    neighbours_of
        For a key, further partitions it reads where they exist, for example those of the month before.
    upstream
        Tables those partitions are of, where they are not among ``inputs``.
    always
        True for a stage that reads the outside world: it is skipped as current in the run that made it only.
    lineage
        For a column of the first output, the (table, column) pairs it comes from.
    versions_of
        For a key, what its inputs are, in place of the versions of those partitions.
    priority
        Of the stages of a run that could begin, the one of the highest priority does.
    """

    inputs: tuple[str, ...] = ()
    shared_inputs: tuple[str, ...] = ()
    neighbours_of: Callable[[Home, Any], Sequence[tuple[str, Key]]] | None = None
    upstream: tuple[str, ...] = ()
    always: bool = False
    lineage: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    versions_of: Callable[[Home, Any], dict[str, str]] | None = None
    priority: int = 0


@dataclass(frozen=True, kw_only=True)
class BatchStage(StageBase):
    """A computation that makes many partitions in one pass and skips by itself what is current.

    ``compute(home, keys, *, run_id, refresh, workers)`` returns one :class:`Done` per key.

    Attributes
    ----------
    upstream
        Tables it reads.
    """

    upstream: tuple[str, ...]


@dataclass(frozen=True)
class Reads:
    """An input of a frame stage.

    Attributes
    ----------
    table
        Its name.
    partitions
        ``same``: those that the partition schemes pair up; ``all``: every one; ``dimension``: every partition of a
        table of two dimensions that shares the one this stage is partitioned by.
    required
        Whether at least one partition must have been made. Where not, a table that was never made is read as one
        without rows, and the stage says itself what that leaves out.
    """

    table: str
    partitions: Literal["same", "all", "dimension"] = "same"
    required: bool = True


@dataclass(frozen=True)
class Made:
    """A frame with what a person should see beside it.

    Attributes
    ----------
    frame
        Rows of the output.
    files
        Pages and other files that were written, by name.
    notes
        Short texts, by name.
    """

    frame: pl.DataFrame
    files: Mapping[str, Path] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FrameStage(StageBase):
    """A computation over whole tables: ``compute(home, keys, **frames)`` makes the rows of all keys in one frame.

    Attributes
    ----------
    inputs
        By the parameter of ``compute`` that takes it, as a lazy frame over the current versions.
    deps
        Tables that ``compute`` reads by itself.
    from_source
        True for a stage that reads the outside world: it is tried again later where the source may come back.
    together
        Whether one run makes many partitions; otherwise a backfill is one run per partition.
    running
        Whether it may be run over a session that is not over yet.
    """

    inputs: Mapping[str, Reads] = field(default_factory=dict)
    deps: tuple[str, ...] = ()
    from_source: bool = False
    together: bool = False
    running: bool = False


@dataclass(frozen=True)
class Done:
    """What happened to one key."""

    key: Key
    state: Literal["written", "current", "failed"]
    rows: Mapping[str, int] = field(default_factory=dict)
    error: str = ""
    passing: bool = False
    """Whether the source may deliver it when it is asked again later."""


def run_stage(stage: Stage, home: Home, keys: Sequence[Key], *, run_id: str, refresh: bool = False) -> list[Done]:
    """Run a stage over some tickers.

    Parameters
    ----------
    stage
        The computation.
    home
        The market.
    keys
        Tickers, or pairs of symbol and month.
    run_id
        Goes into the provenance of every file; of a re-executed run the id of the first one.
    refresh
        Compute also what is current, unless this very run made it before it was interrupted or went on.

    Returns
    -------
    list of Done
        One per key, in the order of ``keys``.

    Raises
    ------
    StoreUnavailable
        When the store of the lake cannot be reached, which is no key's own failure; what was written stays.
    """
    return run_taken(stage, home, keys, ahead=keys, run_id=run_id, refresh=refresh)


def run_taken(
    stage: Stage, home: Home, keys: Iterable[Key], *, ahead: Sequence[Key], run_id: str, refresh: bool
) -> list[Done]:
    """Run a stage over keys that are only known one after the other, each when the one before it was begun.

    Parameters
    ----------
    ahead
        Those it is likely to be: from object storage, what they read is fetched at once.
    stage, home, keys, run_id, refresh
        As of `run_stage`, which says what is returned and raised.
    """
    run = _Run(stage, home, run_id, refresh)
    tables = {*stage.outputs, *stage.inputs, *stage.shared_inputs, *stage.upstream}
    with home.lake.listed(tables), home.lake.overlapping() as writes:
        home.lake.prefetch((name, key) for key in ahead for name in stage.outputs)
        home.lake.prefetch(partition for key in ahead for partition in run.needed_at_first(key))
        under_way = [(key, run.start(key, writes)) for key in keys]
    return [_finished(key, started) for key, started in under_way]


@dataclass(frozen=True)
class _Started:
    """Writes of one key under way, by table."""

    versions: Mapping[str, Future[Version]]


class _Run:
    """One run of a stage: what its keys share."""

    def __init__(self, stage: Stage, home: Home, run_id: str, refresh: bool) -> None:
        self.stage, self.home, self.run_id, self.refresh = stage, home, run_id, refresh
        self.code_version = stage.code_version(home)
        self.ontology = home.ontology(stage.specs)
        self.simulated = home.simulated

    def start(self, key: Key, writes: Writes) -> _Started | Done:
        """Compute a key and start its writes, or say that it is current or why it failed."""
        try:
            inputs = _input_versions(self.stage, self.home, key)
            if self._made_before(key, inputs):
                return Done(key, "current", _row_counts(self.stage, self.home, key))
            frames = self.stage.compute(self.home, key, refresh=self.refresh)
            if self.stage.always and not self.refresh and self._unchanged(key, frames):
                return Done(key, "current", {name: frames[name].height for name in self.stage.outputs})
        except StoreUnavailable:
            raise
        except PlatformError as error:
            return _failed(key, error)
        return _Started(
            {name: writes.put(name, key, frames[name], self._provenance(name, inputs)) for name in self.stage.outputs}
        )

    def needed_at_first(self, key: Key) -> list[tuple[str, Key]]:
        """What a key of which an output was never made will read."""
        if all(self.home.lake.version_name(name, key) for name in self.stage.outputs):
            return []
        try:
            return _partitions_read(self.stage, self.home, key)
        except PlatformError:
            return []  # It is raised again, and kept with its key, when the key is begun.

    def _made_before(self, key: Key, inputs: Mapping[str, str]) -> bool:
        """Whether its outputs were made from these inputs, and need not be made again in this run."""
        lake, outputs = self.home.lake, self.stage.outputs
        if not all(lake.is_current(name, key, self.code_version, self.ontology.hash, inputs) for name in outputs):
            return False
        return not (self.refresh or self.stage.always) or _made_by(self.stage, self.home, key, self.run_id)

    def _unchanged(self, key: Key, frames: Frames) -> bool:
        """Whether a source delivered what is already stored, so that nothing downstream needs to be made again."""
        return all(_stored_equals(self.home, name, key, frames[name]) for name in self.stage.outputs)

    def _provenance(self, name: str, inputs: Mapping[str, str]) -> Provenance:
        return Provenance(
            asset=name,
            code_version=self.code_version,
            ontology_hash=self.ontology.hash,
            ontology_files=dict(self.ontology.files),
            run_id=self.run_id,
            inputs=inputs,
            simulated=self.simulated,
        )


def _finished(key: Key, started: _Started | Done) -> Done:
    if isinstance(started, Done):
        return started
    try:
        return Done(key, "written", {name: version.result().rows for name, version in started.versions.items()})
    except StoreUnavailable:
        raise
    except PlatformError as error:
        return _failed(key, error)


def _failed(key: Key, error: PlatformError) -> Done:
    return Done(key, "failed", error=str(error), passing=isinstance(error, PASSING))


def _input_versions(stage: Stage, home: Home, key: Key) -> dict[str, str]:
    if stage.versions_of is not None:
        return stage.versions_of(home, key)
    return {
        f"{name}/{shown_key(partition)}" if partition else name: home.lake.version_name(name, partition)
        for name, partition in _partitions_read(stage, home, key)
    }


def _partitions_read(stage: Stage, home: Home, key: Key) -> list[tuple[str, Key]]:
    return [
        *((name, key) for name in stage.inputs),
        *((name, None) for name in stage.shared_inputs),
        *(stage.neighbours_of(home, key) if stage.neighbours_of is not None else ()),
    ]


def _stored_equals(home: Home, name: str, key: Key, frame: pl.DataFrame) -> bool:
    if not home.lake.version_name(name, key):
        return False
    try:
        stored = home.lake.read(name, [key], missing="ignore")
    except CorruptFile:
        return False
    return stored.equals(frame.select(stored.columns).sort(*home.lake.table(name).primary_key))


def _made_by(stage: Stage, home: Home, key: Key, run_id: str) -> bool:
    versions = [home.lake.current(name, key) for name in stage.outputs]
    return all(version is not None and version.provenance.run_id == run_id for version in versions)


def _row_counts(stage: Stage, home: Home, key: Key) -> dict[str, int]:
    counts = {}
    for name in stage.outputs:
        version = home.lake.current(name, key)
        counts[name] = version.rows if version else 0
    return counts
