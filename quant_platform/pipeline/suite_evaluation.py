"""One signal judged on one snapshot: what its suites share, the ledgers, the rows of the tables, and the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.errors import NotAvailable, SnapshotInvalid
from quant_platform.labs.suite.api import panel_of
from quant_platform.labs.suite.backtest import BacktestResult, PreparedSignal, Workbench
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
from quant_platform.labs.suite.frames import suite_frames
from quant_platform.labs.suite.panel import signal_panel
from quant_platform.labs.suite.suite import SuiteResult, prepare_baselines, run_suite
from quant_platform.labs.suite.trials import merge_ledger
from quant_platform.lake.data_catalog import DataCatalog
from quant_platform.lake.manifest import region_of
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.submissions import Submission
from quant_platform.pipeline.suite_market import lacking, snapshot_baselines
from quant_platform.pipeline.suite_snapshots import names_of
from quant_platform.reports.suite.beside import Drawing, Drawn, drawn_here
from quant_platform.reports.suite.findings import Findings, Origin
from quant_platform.specification.suite import (
    PresetSpec,
    SuiteSpec,
    SuiteSpecs,
    load_suite,
)

SignalSnapshot = tuple[str, str]


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
    """Everything a suite is: the rows of its tables, and its page, which may still be drawn."""

    frames: Mapping[str, pl.DataFrame]
    page: Drawn


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
    absent = lacking(catalog.tables)
    if absent:
        raise SnapshotInvalid(
            f"the snapshot does not hold {', '.join(absent)}",
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
    signals, _ = snapshot_baselines(specs, catalog, panel)
    return Prepared(
        bench, prepare_baselines(signals, bench, preset), numbers, locked, whole.sessions, names_of(catalog)
    )


def evaluated(
    ready: Prepared,
    said: Submission,
    validated: Validated,
    preset: PresetSpec,
    known: Ledgers,
    at: datetime,
    registration: Registration | None = None,
    drawing: Drawing = drawn_here,
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
    drawing
        Who draws the page.
    """
    panel, rows = ready.bench.panel, validated.require_rows().good
    if ready.locked_from is not None:
        rows = rows.filter(pl.col("date_sig") < ready.locked_from)
    found = run_suite(
        signal_panel(rows, panel, name=said.name),
        {name: pair for name, pair in ready.baselines.items() if name != said.baseline},
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
    said_there = said_of(
        found,
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
    return Evaluated(frames, drawing(frames, *said_there))


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


def said_of(
    found: SuiteResult,
    *,
    author: str,
    submitted_at: str,
    signal_hash: str,
    names: str,
    looks: Looks | None = None,
) -> tuple[Findings, Origin]:
    """What the page of a suite says beside its rows.

    Parameters
    ----------
    found
        The suite.
    author, submitted_at, signal_hash
        What is known of the registration of the signal.
    names
        How the securities of the snapshot were chosen, in words.
    looks
        How often the holdout was looked at; None for a suite that is not recorded.
    """
    verdict = found.verdict
    findings = Findings(verdict.because, verdict.to_next, verdict.what_would_change, found.not_available)
    origin = Origin(
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
    )
    return findings, origin
