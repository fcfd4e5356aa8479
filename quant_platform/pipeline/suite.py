"""The stages of the research suite: registered signals as tables, and a signal judged on a snapshot.

A suite sees data through :class:`DataCatalog` and nothing else. It is current while the signal, the snapshot, the
preset that was asked for, the specs and the code are those it was made with. The trial ledger is no input: a verdict
counts the trials that were known when it was made, and later ones do not change it behind anybody's back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform import __version__
from quant_platform.contracts.errors import NotAvailable, SnapshotInvalid
from quant_platform.labs.suite.api import panel_of
from quant_platform.labs.suite.backtest import BacktestResult, PreparedSignal, Workbench
from quant_platform.labs.suite.build import baseline_signals
from quant_platform.labs.suite.contract import Validated
from quant_platform.labs.suite.experiments import (
    MEANING,
    UNREGISTERED,
    Looks,
    Registration,
    development_panel,
    holdout_row,
    holdout_start,
    look_rows,
    looks_at,
    merge_looks,
)
from quant_platform.labs.suite.frames import composite_frame, rejects_frame, signal_frame, suite_frames
from quant_platform.labs.suite.panel import signal_panel
from quant_platform.labs.suite.suite import SuiteResult, prepare_baselines, run_suite
from quant_platform.labs.suite.trials import merge_ledger
from quant_platform.lake import snapshots
from quant_platform.lake.atomic import atomic_text
from quant_platform.lake.data_catalog import DATES, EXPOSURES, RETURNS, DataCatalog
from quant_platform.lake.manifest import Selection, file_path, region_of
from quant_platform.lake.provenance import Provenance
from quant_platform.pipeline.experiments import registration_of
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import BatchStage, Done
from quant_platform.pipeline.submissions import Submission, registered_models, registered_rows
from quant_platform.pipeline.suite_panel import MARKET, market_tables, stored_rows
from quant_platform.specification.loading import load_spec
from quant_platform.specification.ontology import Ontology
from quant_platform.specification.suite import (
    BaselinesFile,
    LightweightSpec,
    PresetSpec,
    SuiteSpec,
    SuiteSpecs,
    load_preset,
    load_suite,
)

SNAPSHOT_TABLES = (*MARKET, DATES, RETURNS, EXPOSURES)
SIGNAL_TABLES = ("suite.signals", "suite.rejects", "suite.composite")
# The verdict is written last: where it stands, everything else does.
SUITE_TABLES = (
    "suite.looks",
    "suite.results",
    "suite.daily",
    "suite.fractiles",
    "suite.diagnostics",
    "suite.correlations",
    "suite.trials",
    "suite.experiments",
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
    naming = [one for one in snapshots.list_snapshots(snapshots_folder(home)) if one.selection is None]
    for snapshot in reversed(naming):
        held = {
            table.name: {str(file_path(home.lake, file)) for file in table.files}
            for table in snapshot.tables
            if table.name in now
        }
        if snapshot.region == region and held == now:
            return snapshot.snapshot_id
    return None


def make_lightweight_snapshot(
    home: Home, region: str, *, names: int | None = None, since: date | None = None, name: str | None = None
) -> str:
    """Write a small snapshot: the names that traded most, from a day on.

    Parameters
    ----------
    home
        The market.
    region
        Part of the snapshot's name.
    names
        How many securities: those with the highest median ADV over the sessions since the day; the number in
        ``specs/suite/lightweight.yaml`` when not given.
    since
        First session of the panel, that of the specs when not given. Bars, actions and fundamentals keep their
        history: baselines look back a year.
    name
        Of the snapshot; the next free one when not given.

    Returns
    -------
    str
        The id, which every number of a suite on it carries.

    Raises
    ------
    SnapshotInvalid
        When the panel of the suite is not in the lake, or holds no traded value since the day.

    Notes
    -----
    The names are chosen with hindsight, so that a suite on them is for trying out; pages and commands say so.
    """
    stated = home.load("suite/lightweight.yaml", LightweightSpec)
    most, since = names or stated.names, since or stated.since
    lacking = [table for table in SNAPSHOT_TABLES if not home.lake.partitions(table)]
    if lacking:
        raise SnapshotInvalid(
            f"the lake does not hold {', '.join(lacking)}",
            where=str(home.lake.root),
            action="make the panel of the suite first: quant run suite_dates, then quant run suite_panel",
        )
    traded = (
        home.lake.scan(RETURNS)
        .filter(pl.col("priced") & (pl.col("session") >= since) & pl.col("adv").is_not_null())
        .group_by("ticker")
        .agg(pl.col("adv").median())
        .sort(["adv", "ticker"], descending=[True, False])
        .collect()
    )
    if traded.height == 0:
        raise SnapshotInvalid(
            f"no security has a traded value from {since} on", where=RETURNS, action="name an earlier day with --since"
        )
    chosen = sorted(traded["ticker"].head(most).to_list())
    selection = Selection(
        rule=f"the {len(chosen)} of {traded.height} names with the highest median ADV from {since} on, chosen with "
        "hindsight",
        securities=tuple(chosen),
        considered=traded.height,
        since=since,
        cut=(DATES, RETURNS, EXPOSURES),
    )
    made = snapshots.create(
        home.lake, snapshots_folder(home), region, tables=SNAPSHOT_TABLES, snapshot_id=name, selection=selection
    )
    return made.snapshot_id


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
        inputs = {"signal": said.signal_hash, "rejects": said.rejects_hash, "models": said.models_hash}
        current = all(home.lake.is_current(name, key, version, ontology.hash, inputs) for name in SIGNAL_TABLES)
        if refresh or not current:
            models = composite_frame(key, registered_models(home, said))
            made = (signal_frame(key, validated), rejects_frame(key, validated), models)
            frames = dict(zip(SIGNAL_TABLES, made, strict=True))
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
        registration = registration_of(home, key[0])
        inputs = {"signal": said.signal_hash, "snapshot": catalog.snapshot.sha256, "preset": preset.name}
        if registration is not None:
            inputs["experiment"] = f"{registration.hash} {'locked' if locked_from(registration) else 'opened'}"
        current = tear_sheet_path(home, key).is_file() and all(
            home.lake.is_current(name, key, version, ontology.hash, inputs) for name in SUITE_TABLES
        )
        if refresh or not current:
            ready = home.shared(
                "suite bench",
                f"{key[1]} {ontology.hash} {preset.name} {locked_from(registration)}",
                partial(prepared, home.specs, catalog, preset, locked_from(registration)),
            )
            at = datetime.now(UTC)
            extra = {"evaluated_at": at.isoformat(), "platform": __version__}
            known = ledgers(home)
            if registration is not None and registration.opening is not None:
                # The look is on record before anything of the holdout is computed.
                looked = known.of(key).with_look(ready, said, preset, registration, at).looks
                stamp = _stamp("suite.looks", version, ontology, run_id, inputs, catalog.simulated, extra)
                home.lake.write("suite.looks", key, looked, stamp)
            found = evaluated(ready, said, validated, preset, known, at, registration)
            keep_specs(home, ontology)
            atomic_text(tear_sheet_path(home, key), found.page)
            home.lake.store.publish([tear_sheet_path(home, key)])
            for name in SUITE_TABLES:
                stamp = _stamp(name, version, ontology, run_id, inputs, catalog.simulated, extra)
                home.lake.write(name, key, found.frames[name], stamp)
        done.append(Done(key, "written" if refresh or not current else "current", stored_rows(home, SUITE_TABLES, key)))
    return done


@dataclass(frozen=True)
class Prepared:
    """What every suite on a snapshot under one preset shares.

    ``sessions`` are all of them, the locked ones too; ``names`` says how the securities were chosen.
    """

    bench: Workbench
    baselines: Mapping[str, tuple[PreparedSignal, BacktestResult]]
    specs: SuiteSpecs
    locked_from: date | None
    sessions: npt.NDArray[np.datetime64]
    names: str


@dataclass(frozen=True)
class Ledgers:
    """What was tried and looked at so far: rows of ``suite.trials`` and ``suite.looks``."""

    trials: pl.DataFrame
    looks: pl.DataFrame

    def until(self, at: datetime) -> Ledgers:
        """As they were at a time, what was made at that very moment left out."""
        return Ledgers(self.trials.filter(pl.col("evaluated_at") < at), self.looks.filter(pl.col("looked_at") < at))

    def of(self, key: SignalSnapshot) -> Ledgers:
        """The rows of one suite."""
        mine = (pl.col("signal") == key[0]) & (pl.col("snapshot_id") == key[1])
        return Ledgers(self.trials.filter(mine), self.looks.filter(mine))

    def with_look(
        self, ready: Prepared, said: Submission, preset: PresetSpec, registration: Registration | None, at: datetime
    ) -> Ledgers:
        """The same, with the look that a suite is."""
        made = look_rows(
            signal=said.name,
            signal_hash=said.signal_hash,
            snapshot_id=ready.bench.panel.snapshot_id,
            preset=preset.name,
            sessions=ready.bench.panel.sessions,
            registration=registration,
            looked_at=at,
            looked_by=said.author,
        )
        return Ledgers(self.trials, merge_looks(self.looks, made))


def ledgers(home: Home) -> Ledgers:
    """Read both ledgers of a home."""
    trials, looks = (home.lake.read(name, missing="ignore") for name in ("suite.trials", "suite.looks"))
    return Ledgers(trials, looks)


def locked_from(registration: Registration | None) -> date | None:
    """First session that nothing may be computed on; None where all are open."""
    return registration.holdout_from if registration is not None and registration.opening is None else None


@dataclass(frozen=True)
class Evaluated:
    """Everything a suite is: the rows of its tables, and its page."""

    frames: Mapping[str, pl.DataFrame]
    page: str


def prepared(specs: Path, catalog: DataCatalog, preset: PresetSpec, locked: date | None = None) -> Prepared:
    """Read a snapshot and run the baselines on it.

    Parameters
    ----------
    specs
        Folder of the specs.
    catalog
        The snapshot.
    preset
        The matrix.
    locked
        First session of a locked holdout: the panel ends before it.

    Raises
    ------
    SnapshotInvalid
        When the snapshot does not hold what a suite reads.
    NotAvailable
        When every session of the snapshot is locked.
    """
    lacking = [name for name in SNAPSHOT_TABLES if name not in catalog.tables]
    if lacking:
        raise SnapshotInvalid(
            f"the snapshot does not hold {', '.join(lacking)}",
            where=catalog.snapshot_id,
            action="leave out --snapshot: quant suite makes one that does",
        )
    numbers = load_suite(specs)
    whole = panel_of(catalog, numbers.suite)
    if locked is not None and holdout_row(whole, locked) == 0:
        raise NotAvailable(
            f"every session of the snapshot is locked, from {locked} on",
            where=catalog.snapshot_id,
            action="judge the signal on a snapshot that begins earlier, or open the holdout",
        )
    panel = whole if locked is None else development_panel(whole, locked)
    bench = Workbench(panel, numbers.suite, numbers.costs)
    file = load_spec(specs / "suite" / "baselines.yaml", BaselinesFile)
    signals, _ = baseline_signals(market_tables(catalog.read), panel, numbers.suite, file)
    return Prepared(
        bench, prepare_baselines(signals, bench, preset), numbers, locked, whole.sessions, names_of(catalog)
    )


def names_of(catalog: DataCatalog) -> str:
    """Which securities a snapshot holds, in words."""
    return catalog.snapshot.selection.rule if catalog.snapshot.selection is not None else "all of the lake"


def evaluated(
    ready: Prepared,
    said: Submission,
    validated: Validated,
    preset: PresetSpec,
    known: Ledgers,
    at: datetime,
    registration: Registration | None = None,
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
    known
        The trials and looks that were known before.
    at
        Time of the run, UTC: trials and looks that are new get it.
    registration
        The experiment of the signal, with its opening where there was one.
    """
    panel, rows = ready.bench.panel, validated.require_rows().good
    if ready.locked_from is not None:
        rows = rows.filter(pl.col("date_sig") < ready.locked_from)
    found = run_suite(
        signal_panel(rows, panel, name=said.name),
        ready.baselines,
        ready.bench,
        preset,
        ready.specs,
        signal_hash=said.signal_hash,
        evaluated_at=at,
        ledger=known.trials,
        registration=registration,
    )
    frames = suite_frames(found)
    mine = known.of((said.name, panel.snapshot_id)).with_look(ready, said, preset, registration, at)
    frames["suite.trials"] = merge_ledger(mine.trials, found.trials)
    frames["suite.looks"] = mine.looks
    page = tear_sheet_of(
        found,
        frames,
        author=said.author,
        submitted_at=said.submitted_at,
        signal_hash=said.signal_hash,
        looks=_holdout_looks(
            known.with_look(ready, said, preset, registration, at).looks,
            ready.sessions,
            ready.specs.suite.holdout_share,
            registration,
        ),
        names=ready.names,
    )
    return Evaluated(frames, page)


def stored_registration(verdict: pl.DataFrame) -> str:
    """What stands beside the colour of a stored suite; nothing was registered when older ones were made.

    Parameters
    ----------
    verdict
        Rows of ``suite.verdict`` of one suite.
    """
    state = verdict["registration"][0]
    return UNREGISTERED if state is None else str(state)


def stored_looks(home: Home, key: SignalSnapshot, registration: Registration | None) -> Looks:
    """Count the looks at the holdout of a suite that are on record by now.

    Raises
    ------
    SnapshotInvalid
        When the snapshot is gone.
    """
    sessions = DataCatalog(key[1], region_of(key[1]), home.settings.home).get_datefile()["session"].sort().to_numpy()
    share = home.load("suite/suite.yaml", SuiteSpec).holdout_share
    return _holdout_looks(ledgers(home).looks, sessions, share, registration)


def _holdout_looks(
    looks: pl.DataFrame, sessions: npt.NDArray[np.datetime64], share: float, registration: Registration | None
) -> Looks:
    """The looks at the holdout of the experiment, or at the last part of the sample where there is none."""
    last: date = sessions[-1].astype("datetime64[D]").item()
    if registration is None:
        return looks_at(looks, holdout_start(sessions, share), last)
    opened = registration.opening
    return looks_at(
        looks, registration.holdout_from, opened.holdout_to if opened else max(last, registration.holdout_from)
    )


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
    found: SuiteResult,
    frames: Mapping[str, pl.DataFrame],
    *,
    author: str,
    submitted_at: str,
    signal_hash: str,
    names: str,
    looks: Looks | None = None,
) -> str:
    """Draw the page of a suite.

    Parameters
    ----------
    found, frames
        The suite, and its rows by table.
    author, submitted_at, signal_hash
        What is known of the registration of the signal.
    names
        How the securities of the snapshot were chosen, in words.
    looks
        How often the holdout was looked at; None for a suite that is not recorded.
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
            names=names,
            meaning=MEANING[found.outcome.state],
            looks=looks.sentence if looks is not None else "not counted: this page was made without recording it",
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
