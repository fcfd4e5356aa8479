"""The stages of the research suite: registered signals as tables, and a signal judged on a snapshot.

A suite sees data through :class:`DataCatalog` and nothing else. It is current while the signal, the snapshot, the
preset that was asked for, the specs and the code are those it was made with. The trial ledger is no input: a verdict
counts the trials that were known when it was made, and later ones do not change it behind anybody's back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path

from quant_platform import __version__
from quant_platform.labs.suite.frames import composite_frame, rejects_frame, signal_frame
from quant_platform.lake.atomic import atomic_text
from quant_platform.lake.data_catalog import DataCatalog
from quant_platform.lake.manifest import region_of
from quant_platform.lake.provenance import Provenance
from quant_platform.pipeline.experiments import registration_of
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import BatchStage, Done
from quant_platform.pipeline.submissions import registered_models, registered_rows
from quant_platform.pipeline.suite_evaluation import SignalSnapshot, evaluated, ledgers, locked_from, prepared
from quant_platform.pipeline.suite_market import SNAPSHOT_TABLES, stored_rows
from quant_platform.reports.suite.beside import Drawing, drawn_beside
from quant_platform.specification.ontology import Ontology
from quant_platform.specification.suite import (
    PresetSpec,
    load_preset,
)

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
    "suite/perp_baselines.yaml",
    "suite/presets/*.yaml",
)


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
    with ExitStack() as beside:
        # The process that draws starts with the first suite that is not current, and draws all of them.
        drawing = cache(lambda: beside.enter_context(drawn_beside()))
        for key in keys:
            written = _judged(home, key, version, ontology, run_id, refresh, drawing)
            done.append(Done(key, "written" if written else "current", stored_rows(home, SUITE_TABLES, key)))
    return done


def _judged(
    home: Home,
    key: SignalSnapshot,
    version: str,
    ontology: Ontology,
    run_id: str,
    refresh: bool,
    drawing: Callable[[], Drawing],
) -> bool:
    """Judge one signal where that is not current or is asked for; whether it was."""
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
    if current and not refresh:
        return False
    draw = drawing()
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
    found = evaluated(ready, said, validated, preset, known, at, registration, draw)
    keep_specs(home, ontology)
    atomic_text(tear_sheet_path(home, key), found.page())
    home.lake.store.publish([tear_sheet_path(home, key)])
    for name in SUITE_TABLES:
        stamp = _stamp(name, version, ontology, run_id, inputs, catalog.simulated, extra)
        home.lake.write(name, key, found.frames[name], stamp)
    return True


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
