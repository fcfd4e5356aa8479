"""The stages of the research suite: registered signals as tables, and a signal judged on a snapshot.

A suite sees data through :class:`DataCatalog` and nothing else. It is current while the signal, the snapshot, the
preset that was asked for, the specs and the code are those it was made with. The trial ledger is no input: a verdict
counts the trials that were known when it was made, and later ones do not change it behind anybody's back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import polars as pl

from quant_platform import __version__
from quant_platform.contracts.errors import SnapshotInvalid
from quant_platform.labs.suite.api import panel_of
from quant_platform.labs.suite.backtest import BacktestResult, PreparedSignal, Workbench
from quant_platform.labs.suite.build import baseline_signals
from quant_platform.labs.suite.contract import Validated
from quant_platform.labs.suite.frames import rejects_frame, signal_frame, suite_frames
from quant_platform.labs.suite.panel import signal_panel
from quant_platform.labs.suite.suite import SuiteResult, prepare_baselines, run_suite
from quant_platform.labs.suite.trials import merge_ledger
from quant_platform.lake import snapshots
from quant_platform.lake.atomic import atomic_text
from quant_platform.lake.data_catalog import DATES, EXPOSURES, RETURNS, DataCatalog
from quant_platform.lake.manifest import file_path, region_of
from quant_platform.lake.provenance import Provenance
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import BatchStage, Done
from quant_platform.pipeline.submissions import Submission, registered_rows
from quant_platform.pipeline.suite_panel import MARKET, market_tables, stored_rows
from quant_platform.specification.loading import load_spec
from quant_platform.specification.ontology import Ontology
from quant_platform.specification.suite import BaselinesFile, PresetSpec, SuiteSpecs, load_preset, load_suite

SNAPSHOT_TABLES = (*MARKET, DATES, RETURNS, EXPOSURES)
SIGNAL_TABLES = ("suite.signals", "suite.rejects")
# The verdict is written last: where it stands, everything else does.
SUITE_TABLES = (
    "suite.results",
    "suite.daily",
    "suite.fractiles",
    "suite.diagnostics",
    "suite.correlations",
    "suite.trials",
    "suite.verdict",
)
DEFAULT_PRESET = "STANDARD"
SPECS = (
    "suite/suite.yaml",
    "suite/costs.yaml",
    "suite/audit.yaml",
    "suite/verdict.yaml",
    "suite/baselines.yaml",
    "suite/presets/*.yaml",
)

SignalSnapshot = tuple[str, str]


def snapshots_folder(home: Home) -> Path:
    """Where the manifests of a home are."""
    return home.settings.home / "snapshots"


def newest_snapshot(home: Home, region: str) -> str | None:
    """The last snapshot of a region that holds what a suite reads, as the lake holds it now; None without one."""
    now = {name: {str(path) for path in home.lake.current_by_key(name).values()} for name in SNAPSHOT_TABLES}
    for snapshot in reversed(snapshots.list_snapshots(snapshots_folder(home))):
        held = {
            table.name: {str(file_path(home.lake, file)) for file in table.files}
            for table in snapshot.tables
            if table.name in now
        }
        if snapshot.region == region and held == now:
            return snapshot.snapshot_id
    return None


def make_snapshot(home: Home, region: str) -> str:
    """Name the current versions of what a suite reads."""
    return snapshots.create(home.lake, snapshots_folder(home), region, tables=SNAPSHOT_TABLES).snapshot_id


def ask_for(home: Home, key: SignalSnapshot, preset: str) -> PresetSpec:
    """Say with which preset a signal is to be judged on a snapshot, until another one is asked for.

    Raises
    ------
    SpecError
        When there is no such preset.
    """
    found = load_preset(home.specs, preset)
    atomic_text(_request(home, key), json.dumps({"preset": found.name}, indent=1))
    return found


def asked_for(home: Home, key: SignalSnapshot) -> PresetSpec:
    """The preset that was asked for last, STANDARD where nobody has asked."""
    path = _request(home, key)
    name = json.loads(path.read_text(encoding="utf-8"))["preset"] if path.is_file() else DEFAULT_PRESET
    return load_preset(home.specs, name)


def tear_sheet_path(home: Home, key: SignalSnapshot) -> Path:
    """Where the page of a suite is."""
    return home.settings.home / "reports" / "suite" / f"{'@'.join(key)}.html"


def run_signals(home: Home, keys: Sequence[str], *, run_id: str, refresh: bool, workers: int) -> list[Done]:
    """Write registered signals into the lake.

    Parameters
    ----------
    home
        The market.
    keys
        Names of signals.
    run_id
        Goes into the provenance of every file.
    refresh
        Write also what is current.
    workers
        Not used.

    Raises
    ------
    UnknownSignal, SignalChanged
        When a signal is not registered, or is no longer what was.
    """
    del workers
    version, ontology = SIGNALS.code_version(home), home.ontology(SIGNALS.specs)
    done = []
    for key in keys:
        said, validated = registered_rows(home, key)
        inputs = {"signal": said.signal_hash, "rejects": said.rejects_hash}
        current = all(home.lake.is_current(name, key, version, ontology.hash, inputs) for name in SIGNAL_TABLES)
        if refresh or not current:
            frames = dict(
                zip(SIGNAL_TABLES, (signal_frame(key, validated), rejects_frame(key, validated)), strict=True)
            )
            for name, frame in frames.items():
                home.lake.write(name, key, frame, _stamp(name, version, ontology, run_id, inputs, False))
        done.append(
            Done(key, "written" if refresh or not current else "current", stored_rows(home, SIGNAL_TABLES, key))
        )
    return done


def run_suites(home: Home, keys: Sequence[SignalSnapshot], *, run_id: str, refresh: bool, workers: int) -> list[Done]:
    """Judge signals on snapshots; what was judged before stays when a later one fails.

    Parameters
    ----------
    home
        The market.
    keys
        Pairs of signal and snapshot.
    run_id
        Goes into the provenance of every file.
    refresh
        Compute also what is current.
    workers
        Not used: a suite is one batched computation.

    Raises
    ------
    UnknownSignal, SignalChanged, SnapshotInvalid
        When an input is not there, or is not what it was.
    LookAheadFound
        When the audit stops the signal.
    NotAvailable, SignalEmpty
        When the panel cannot carry it, or no date has enough names.
    """
    del workers
    version, ontology = SUITE.code_version(home), home.ontology(SUITE.specs)
    done = []
    for key in keys:
        said, validated = registered_rows(home, key[0])
        catalog = DataCatalog(key[1], region_of(key[1]), home.settings.home)
        preset = asked_for(home, key)
        inputs = {"signal": said.signal_hash, "snapshot": catalog.snapshot.sha256, "preset": preset.name}
        current = tear_sheet_path(home, key).is_file() and all(
            home.lake.is_current(name, key, version, ontology.hash, inputs) for name in SUITE_TABLES
        )
        if refresh or not current:
            ready = home.shared(
                "suite bench",
                f"{key[1]} {ontology.hash} {preset.name}",
                partial(prepared, home.specs, catalog, preset),
            )
            at = datetime.now(UTC)
            found = evaluated(ready, said, validated, preset, home.lake.read("suite.trials", missing="ignore"), at)
            keep_specs(home, ontology)
            atomic_text(tear_sheet_path(home, key), found.page)
            extra = {"evaluated_at": at.isoformat(), "platform": __version__}
            for name in SUITE_TABLES:
                stamp = _stamp(name, version, ontology, run_id, inputs, catalog.simulated, extra)
                home.lake.write(name, key, found.frames[name], stamp)
        done.append(Done(key, "written" if refresh or not current else "current", stored_rows(home, SUITE_TABLES, key)))
    return done


@dataclass(frozen=True)
class Prepared:
    """What every suite on a snapshot under one preset shares."""

    bench: Workbench
    baselines: Mapping[str, tuple[PreparedSignal, BacktestResult]]
    specs: SuiteSpecs


@dataclass(frozen=True)
class Evaluated:
    """Everything a suite is: the rows of its tables, and its page."""

    frames: Mapping[str, pl.DataFrame]
    page: str


def prepared(specs: Path, catalog: DataCatalog, preset: PresetSpec) -> Prepared:
    """Read a snapshot and run the baselines on it.

    Raises
    ------
    SnapshotInvalid
        When the snapshot does not hold what a suite reads.
    """
    lacking = [name for name in SNAPSHOT_TABLES if name not in catalog.tables]
    if lacking:
        raise SnapshotInvalid(
            f"the snapshot does not hold {', '.join(lacking)}",
            where=catalog.snapshot_id,
            action="leave out --snapshot: quant suite makes one that does",
        )
    numbers = load_suite(specs)
    panel = panel_of(catalog, numbers.suite)
    bench = Workbench(panel, numbers.suite, numbers.costs)
    file = load_spec(specs / "suite" / "baselines.yaml", BaselinesFile)
    signals, _ = baseline_signals(market_tables(catalog.read), panel, numbers.suite, file)
    return Prepared(bench, prepare_baselines(signals, bench, preset), numbers)


def evaluated(
    ready: Prepared,
    said: Submission,
    validated: Validated,
    preset: PresetSpec,
    ledger: pl.DataFrame,
    at: datetime,
) -> Evaluated:
    """Judge one signal; the same arguments give the same bytes.

    Parameters
    ----------
    ready
        Of the snapshot.
    said, validated
        The registered signal.
    preset
        The matrix.
    ledger
        The trials that were known before.
    at
        Time of the run, UTC: trials that are new get it.
    """
    panel = ready.bench.panel
    found = run_suite(
        signal_panel(validated.require_rows().good, panel, name=said.name),
        ready.baselines,
        ready.bench,
        preset,
        ready.specs,
        signal_hash=said.signal_hash,
        evaluated_at=at,
        ledger=ledger,
    )
    frames = suite_frames(found)
    mine = ledger.filter((pl.col("signal") == said.name) & (pl.col("snapshot_id") == panel.snapshot_id))
    frames["suite.trials"] = merge_ledger(mine, found.trials)
    page = tear_sheet_of(
        found, frames, author=said.author, submitted_at=said.submitted_at, signal_hash=said.signal_hash
    )
    return Evaluated(frames, page)


def kept_specs(home: Home, ontology_hash: str) -> Path:
    """Where the spec files of a suite are kept, so that it can be computed again when they have changed."""
    return home.settings.home / "suites" / "specs" / ontology_hash[:16]


def keep_specs(home: Home, ontology: Ontology) -> None:
    """Copy the specs of the suite, once for each content that those which decide it had."""
    folder = kept_specs(home, ontology.hash)
    for path in sorted((home.specs / "suite").rglob("*.yaml")):
        target = folder / path.relative_to(home.specs)
        if not target.is_file():
            atomic_text(target, path.read_text(encoding="utf-8"))


def tear_sheet_of(
    found: SuiteResult, frames: Mapping[str, pl.DataFrame], *, author: str, submitted_at: str, signal_hash: str
) -> str:
    """Draw the page of a suite.

    Parameters
    ----------
    found, frames
        The suite, and its rows by table.
    author, submitted_at, signal_hash
        What is known of the registration of the signal.
    """
    # Drawing imports Altair; a process that only lists assets should not wait for it.
    from quant_platform.reports.suite.tear_sheet import Findings, Origin, render_tear_sheet

    verdict = found.verdict
    return render_tear_sheet(
        frames,
        Findings(verdict.because, verdict.to_next, verdict.what_would_change, found.not_available),
        Origin(
            signal=found.signal,
            snapshot_id=found.snapshot_id,
            author=author,
            submitted_at=submitted_at,
            signal_hash=signal_hash,
            preset=found.preset,
            simulated=found.simulated,
        ),
    )


def _request(home: Home, key: SignalSnapshot) -> Path:
    return home.settings.home / "suites" / f"{'@'.join(key)}.json"


def _stamp(
    name: str,
    version: str,
    ontology: Ontology,
    run_id: str,
    inputs: Mapping[str, str],
    simulated: bool,
    extra: Mapping[str, str] | None = None,
) -> Provenance:
    return Provenance(
        asset=name,
        code_version=version,
        ontology_hash=ontology.hash,
        ontology_files=dict(ontology.files),
        run_id=run_id,
        inputs=inputs,
        simulated=simulated,
        extra=extra or {},
    )


SIGNALS = BatchStage(outputs=SIGNAL_TABLES, upstream=(), compute=run_signals, kinds=("polars", "parquet"))
SUITE = BatchStage(
    outputs=SUITE_TABLES,
    upstream=("suite.signals", *SNAPSHOT_TABLES),
    compute=run_suites,
    specs=SPECS,
    kinds=("numpy", "parquet"),
)
