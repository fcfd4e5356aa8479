"""Composites: signals made of signals, fitted on a snapshot and registered like any other."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import SpecError
from quant_platform.labs.suite.api import panel_of
from quant_platform.labs.suite.build import contract_rows
from quant_platform.labs.suite.composite import Composite, composite
from quant_platform.labs.suite.panel import Panel, SignalPanel, signal_panel
from quant_platform.lake.data_catalog import DataCatalog
from quant_platform.lake.manifest import region_of
from quant_platform.lake.snapshots import list_snapshots
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.submissions import Submission, registered_rows, submit, validate_file
from quant_platform.pipeline.suite_market import declared_baselines, snapshot_baselines
from quant_platform.pipeline.suite_snapshots import snapshots_folder
from quant_platform.specification.loading import load_spec
from quant_platform.specification.suite import CompositeSpec, load_suite


@dataclass(frozen=True)
class Composed:
    """A composite that is registered.

    Attributes
    ----------
    said
        Its registration.
    made
        Its values and models.
    snapshot_id
        What it was fitted on.
    """

    said: Submission
    made: Composite
    snapshot_id: str


def composite_spec(home: Home, name: str) -> CompositeSpec:
    """Read ``specs/suite/composites/<name>.yaml``.

    Raises
    ------
    SpecError
        When there is none, with the closest name.
    """
    folder = home.specs / "suite" / "composites"
    if not (folder / f"{name}.yaml").is_file():
        known = sorted(path.stem for path in folder.glob("*.yaml"))
        close = get_close_matches(name, known, n=1)
        raise SpecError(
            f"no composite {name!r} is declared",
            where=str(folder),
            action=f"did you mean {close[0]!r}?" if close else f"declare it in {folder / name}.yaml",
        )
    return load_spec(folder / f"{name}.yaml", CompositeSpec)


def compose(home: Home, spec: CompositeSpec, snapshot_id: str, *, name: str | None = None) -> Composed:
    """Fit a composite on a snapshot and register its values under a name.

    Parameters
    ----------
    home
        The market.
    spec
        Members, folds, penalties.
    snapshot_id
        The data that it is fitted on, fold by fold.
    name
        Of the signal; that of the spec when not given. On later data it has more rows and needs another one.

    Raises
    ------
    UnknownSignal, SignalChanged
        When a member is neither a baseline nor a registered signal, or is no longer what was.
    NotAvailable
        When a member has no values on the snapshot, or the sample is too short for one fold.
    SignalEmpty, SignalTaken, StorageFailed
        As `submissions.submit` raises them.
    """
    catalog = DataCatalog(snapshot_id, region_of(snapshot_id), home.settings.home)
    numbers = load_suite(home.specs)
    panel = panel_of(catalog, numbers.suite)
    members = _members(home, [member.signal for member in spec.members], catalog, panel)
    made = composite(spec, members, panel, numbers.suite)
    models = made.models.with_columns(pl.lit(snapshot_id).alias("snapshot_id"))
    with tempfile.TemporaryDirectory(prefix="quant-composite-") as folder:
        path = Path(folder) / f"{spec.name}.parquet"
        contract_rows(made.signal, panel).write_parquet(path)
        said = submit(
            home,
            path,
            validate_file(home, path),
            name=name or spec.name,
            author=spec.author,
            region=region_of(snapshot_id),
            version=snapshot_id,
            models=models,
        )
    return Composed(said, made, snapshot_id)


def last_snapshot(home: Home) -> str | None:
    """The last whole snapshot of a home; None without one. A lightweight one is never taken by itself."""
    found = [one for one in list_snapshots(snapshots_folder(home)) if one.selection is None]
    return found[-1].snapshot_id if found else None


def _members(home: Home, names: Sequence[str], catalog: DataCatalog, panel: Panel) -> dict[str, SignalPanel]:
    found: dict[str, SignalPanel] = {}
    wanted = [
        name for name in names if name in declared_baselines(home.specs, perpetuals=not home.has_equities).baselines
    ]
    if wanted:
        signals, _ = snapshot_baselines(home.specs, catalog, panel, wanted)
        found = {signal.name: signal for signal in signals}
    for name in names:
        if name not in wanted:
            rows = registered_rows(home, name)[1].require_rows().good
            found[name] = signal_panel(rows, panel, name=name)
    return found
