"""Computing a suite again: from its snapshot, the specs it was made with and the signal, byte for byte.

1. The run is found by the id of Dagster or of MLflow, or its beginning, or as ``signal@snapshot`` (:func:`find_runs`).
2. What is not the same as then is said first: the code, the version of the platform, specs that are no longer kept.
3. The suite is computed with the ledger as it was at that time, and each table is compared by its content hash; of one
   that differs the rows are counted where they are still stored. The page is compared byte by byte.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from quant_platform import __version__
from quant_platform.contracts.errors import PartitionMissing, PlatformError
from quant_platform.contracts.tables import table
from quant_platform.lake.comparison import compare_frames
from quant_platform.lake.content_hash import content_hash
from quant_platform.lake.data_catalog import DataCatalog
from quant_platform.lake.lake import Version
from quant_platform.lake.manifest import region_of
from quant_platform.lake.validation import validated
from quant_platform.pipeline.experiments import registration_of
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.submissions import registered_rows
from quant_platform.pipeline.suite import SUITE, SUITE_TABLES, kept_specs, tear_sheet_path
from quant_platform.pipeline.suite_evaluation import SignalSnapshot, evaluated, ledgers, locked_from, prepared
from quant_platform.specification.suite import load_preset

SHORTEST_ID = 6
PAGE = "tear sheet"


class UnknownRun(PlatformError, LookupError):
    """No suite was made by a run of this id."""

    code = "unknown_run"


@dataclass(frozen=True)
class SuiteRun:
    """One suite that was made.

    Attributes
    ----------
    key
        Signal and snapshot.
    run_id, mlflow_run_id
        Of Dagster; of MLflow, empty where it was not logged.
    preset
        The matrix.
    evaluated_at
        When, UTC.
    signal_hash, code_version, ontology_hash, platform
        What it was made from.
    content_hashes
        Of its tables.
    """

    key: SignalSnapshot
    run_id: str
    mlflow_run_id: str
    preset: str
    evaluated_at: datetime
    signal_hash: str
    code_version: str
    ontology_hash: str
    platform: str
    content_hashes: Mapping[str, str]


@dataclass(frozen=True)
class Compared:
    """One artifact, then and now.

    Attributes
    ----------
    name
        Table, or the page.
    equal
        Whether every byte of its content is the same.
    says
        What differs, in words.
    """

    name: str
    equal: bool
    says: str


@dataclass(frozen=True)
class Verification:
    """What became of a suite that was computed again.

    Attributes
    ----------
    run
        Which one.
    notes
        What was not the same as then, before anything was computed.
    compared
        Every artifact.
    """

    run: SuiteRun
    notes: tuple[str, ...]
    compared: tuple[Compared, ...]

    @property
    def equal(self) -> bool:
        """Whether everything is the same."""
        return all(one.equal for one in self.compared)


def stored_runs(home: Home) -> list[SuiteRun]:
    """Every suite a home knows of, oldest first: those in the lake, and those that were logged and replaced since."""
    found: dict[tuple[SignalSnapshot, str], SuiteRun] = {}
    for row in home.lake.read("suite.tracking", missing="ignore").iter_rows(named=True):
        run = SuiteRun(
            key=(row["signal"], row["snapshot_id"]),
            run_id=row["run_id"],
            mlflow_run_id=row["mlflow_run_id"],
            preset=row["preset"],
            evaluated_at=row["evaluated_at"],
            signal_hash=row["signal_hash"],
            code_version=row["code_version"],
            ontology_hash=row["ontology_hash"],
            platform=row["platform"],
            content_hashes=json.loads(row["content_hashes"]),
        )
        found[run.key, run.run_id] = run
    for key in home.lake.partitions("suite.verdict"):
        assert isinstance(key, tuple)
        versions = {name: home.lake.current(name, key) for name in SUITE_TABLES}
        stored = {name: version for name, version in versions.items() if version is not None}
        made = stored["suite.verdict"].provenance
        pair = (key[0], key[1])
        if "evaluated_at" in made.extra and (pair, made.run_id) not in found:
            found[pair, made.run_id] = SuiteRun(
                key=pair,
                run_id=made.run_id,
                mlflow_run_id="",
                preset=made.inputs["preset"],
                evaluated_at=datetime.fromisoformat(str(made.extra["evaluated_at"])),
                signal_hash=made.inputs["signal"],
                code_version=made.code_version,
                ontology_hash=made.ontology_hash,
                platform=str(made.extra["platform"]),
                content_hashes={name: version.content_hash for name, version in stored.items()},
            )
    return sorted(found.values(), key=lambda run: run.evaluated_at)


def find_runs(home: Home, wanted: str) -> list[SuiteRun]:
    """Every suite a run made; one run of Dagster may have judged several signals.

    Parameters
    ----------
    home
        The market.
    wanted
        Id of Dagster's or MLflow's run or at least six characters of its beginning, or ``signal@snapshot`` for the last
        run of that suite.

    Raises
    ------
    UnknownRun
        When there is none, or the beginning is that of several.
    """
    known = stored_runs(home)
    pair = [run for run in known if "@".join(run.key) == wanted]
    if pair:
        return pair[-1:]
    ids = {name for run in known for name in (run.run_id, run.mlflow_run_id) if name}
    long_enough = len(wanted) >= SHORTEST_ID
    matching = sorted(name for name in ids if name == wanted or (long_enough and name.startswith(wanted)))
    if len(matching) > 1:
        raise UnknownRun(
            f"{wanted!r} is the beginning of {len(matching)} runs", where=", ".join(matching), action="give more of it"
        )
    found = [run for run in known if matching and matching[0] in (run.run_id, run.mlflow_run_id)]
    if not found:
        close = get_close_matches(wanted, [*ids, *("@".join(run.key) for run in known)], n=1)
        raise UnknownRun(
            f"no suite of this home was made by a run {wanted[:80]!r}",
            where=str(home.settings.home),
            how_many=f"it knows {len(known)}",
            action=f"did you mean {close[0]!r}?" if close else "quant suite NAME makes one and prints its run",
        )
    return found


def verify_run(home: Home, run: SuiteRun) -> Verification:
    """Compute a suite again and compare it with what was stored.

    Raises
    ------
    UnknownSignal, SignalChanged, SnapshotInvalid
        When an input is gone, or is not what it was.
    """
    said, rows = registered_rows(home, run.key[0])
    specs, notes = _specs_then(home, run)
    if said.signal_hash != run.signal_hash:
        notes.append("the signal has other rows than then")
    catalog = DataCatalog(run.key[1], region_of(run.key[1]), home.settings.home)
    preset = load_preset(specs, run.preset)
    registration = registration_of(home, run.key[0], at=run.evaluated_at)
    locked = locked_from(registration)
    ready = home.shared(
        "verified bench",
        f"{run.key[1]} {specs} {run.preset} {locked}",
        lambda: prepared(specs, catalog, preset, locked),
    )
    known = ledgers(home).until(run.evaluated_at)
    again = evaluated(ready, said, rows, preset, known, run.evaluated_at, registration)
    compared = [_table(home, run, name, again.frames[name]) for name in run.content_hashes]
    compared.append(_page(home, run, again.page()))
    return Verification(run, tuple(notes), tuple(compared))


def stored_rows_of(home: Home, run: SuiteRun, name: str) -> pl.DataFrame:
    """Rows of a table as a run wrote them, also where a later run has replaced them.

    Raises
    ------
    PartitionMissing
        When they were removed since.
    """
    version = _stored(home, run, name)
    if version is None:
        raise PartitionMissing(
            f"the rows of the run {run.run_id} are no longer stored",
            where=f"{name}, {'@'.join(run.key)}",
            cause="a later run replaced them, and `quant lake vacuum` removed the old files",
            action=f"quant verify {run.run_id} computes them again",
        )
    return pl.read_parquet(version.path)


def _specs_then(home: Home, run: SuiteRun) -> tuple[Path, list[str]]:
    """The folder of the specs a suite was made with, and what is not as it was."""
    notes = []
    if run.code_version != SUITE.code_version(home):
        notes.append(
            f"other code: the suite was made by version {run.code_version} (quant_platform {run.platform}), this is "
            f"{SUITE.code_version(home)} (quant_platform {__version__}); differences below may come from that"
        )
    kept = kept_specs(home, run.ontology_hash)
    now = home.ontology(SUITE.specs)
    if run.ontology_hash == now.hash:
        return home.specs, notes
    if kept.is_dir():
        notes.append("the specs were changed since; it is computed with those of then, which were kept")
        return kept, notes
    notes.append("the specs were changed since, and those of then are gone: it is computed with those of now")
    return home.specs, notes


def _table(home: Home, run: SuiteRun, name: str, frame: pl.DataFrame) -> Compared:
    ready = validated(table(name), run.key, frame)
    if content_hash(ready) == run.content_hashes[name]:
        return Compared(name, True, f"{ready.height} rows, equal")
    if _stored(home, run, name) is None:
        return Compared(name, False, "differs; the rows of then are no longer stored")
    own = {table(name).key_column(dimension) for dimension in table(name).dimensions}
    keys = [column for column in table(name).primary_key if column not in own]
    then = stored_rows_of(home, run, name).select(ready.columns)
    found = compare_frames(then.drop(own), ready.drop(own), keys)
    columns = ", ".join(found.cells["column"].unique().sort().to_list())
    return Compared(
        name,
        False,
        f"differs: {found.changed} rows changed{f' ({columns})' if columns else ''}, {found.only_first} only then, "
        f"{found.only_second} only now, {found.same} equal",
    )


def _stored(home: Home, run: SuiteRun, name: str) -> Version | None:
    return next((one for one in home.lake.versions(name, run.key) if one.provenance.run_id == run.run_id), None)


def _page(home: Home, run: SuiteRun, text: str) -> Compared:
    current = home.lake.current("suite.verdict", run.key)
    path = tear_sheet_path(home, run.key)
    if current is None or current.provenance.run_id != run.run_id or not path.is_file():
        return Compared(PAGE, True, "not compared: a later run has replaced it")
    stored = path.read_bytes()
    made = text.encode()
    if stored == made:
        return Compared(PAGE, True, f"{len(made)} bytes, equal")
    first = next((k for k, (one, other) in enumerate(zip(stored, made, strict=False)) if one != other), len(made))
    return Compared(PAGE, False, f"differs from byte {first} on ({len(stored)} bytes then, {len(made)} now)")
