"""Baselines judged as signals: computed on a snapshot and registered, so that each has a suite of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from quant_platform.contracts.errors import NotAvailable, SignalTaken, SpecError
from quant_platform.labs.suite.api import panel_of
from quant_platform.labs.suite.build import contract_rows
from quant_platform.labs.suite.panel import Panel, SignalPanel
from quant_platform.lake.data_catalog import DataCatalog
from quant_platform.lake.manifest import region_of
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.submissions import Submission, submit, validate_file
from quant_platform.pipeline.suite_market import declared_baselines, snapshot_baselines
from quant_platform.specification.suite import load_suite

AUTHOR = "quant_platform"


def submit_baselines(
    home: Home, snapshot_id: str, names: Sequence[str] | None = None
) -> tuple[dict[str, Submission], dict[str, str]]:
    """Compute baselines on a snapshot and register each as a signal of its name.

    Parameters
    ----------
    home
        The market.
    snapshot_id
        What they are computed on.
    names
        Which; all that are declared when not given.

    Returns
    -------
    tuple
        The registrations by baseline, and by name of the others why they have no values.

    Raises
    ------
    SpecError
        When one is not declared.
    NotAvailable
        When not one has a value on the snapshot.
    SnapshotInvalid
        When the snapshot does not hold what a suite reads.

    Notes
    -----
    Where other rows are registered under the name already, as after new sessions, the name gets a number. In the suite
    of a baseline that baseline is not among those it is held against, whatever number it has.
    """
    _require_declared(home, names or ())
    catalog = DataCatalog(snapshot_id, region_of(snapshot_id), home.settings.home)
    panel = panel_of(catalog, load_suite(home.specs).suite)
    signals, missing = snapshot_baselines(home.specs, catalog, panel, names)
    if not signals:
        raise NotAvailable(
            "no baseline has a value on the snapshot",
            where=snapshot_id,
            rows=[{"baseline": name, "cause": cause} for name, cause in missing.items()],
        )
    return {one.name: _submitted(home, one, panel, snapshot_id) for one in signals}, dict(missing)


def _require_declared(home: Home, names: Sequence[str]) -> None:
    known = list(declared_baselines(home.specs, perpetuals=not home.has_equities).baselines)
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            raise SpecError(
                f"no baseline {name!r} is declared",
                where=str(home.specs / "suite"),
                action=f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}",
            )


def _submitted(home: Home, signal: SignalPanel, panel: Panel, snapshot_id: str) -> Submission:
    with tempfile.TemporaryDirectory(prefix="quant-baseline-") as folder:
        path = Path(folder) / f"{signal.name}.parquet"
        contract_rows(signal, panel).write_parquet(path)
        checked = validate_file(home, path)
        number, chosen = 1, signal.name
        while True:
            try:
                return submit(
                    home,
                    path,
                    checked,
                    name=chosen,
                    author=AUTHOR,
                    region=region_of(snapshot_id),
                    version=snapshot_id,
                    baseline=signal.name,
                )
            except SignalTaken:
                number += 1
                chosen = f"{signal.name}_{number}"
