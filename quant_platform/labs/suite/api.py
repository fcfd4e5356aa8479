"""The calls that a notebook makes: a signal, a config or a preset, a catalogue."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import SignalInvalid
from quant_platform.contracts.tables import table
from quant_platform.labs.suite.backtest import BacktestResult, Workbench, run_variants
from quant_platform.labs.suite.contract import Validated
from quant_platform.labs.suite.frames import panel_of_frames
from quant_platform.labs.suite.panel import Panel, SignalPanel, signal_panel
from quant_platform.lake.data_catalog import EXPOSURES, RETURNS, DataCatalog
from quant_platform.specification.settings import settings
from quant_platform.specification.suite import BacktestConfig, SuiteSpec, SuiteSpecs, load_suite


def suite_specs(specs: Path | None = None) -> SuiteSpecs:
    """Read the numbers of the suite, from the specs in force by default."""
    return load_suite(specs if specs is not None else settings().specs)


def panel_of(catalog: DataCatalog, spec: SuiteSpec) -> Panel:
    """Read the panel of a snapshot.

    Raises
    ------
    SnapshotInvalid
        When the snapshot does not hold the suite's tables.
    """
    return panel_of_frames(
        catalog.read(RETURNS, columns=_without_year(RETURNS)),
        catalog.read(EXPOSURES, columns=_without_year(EXPOSURES)),
        catalog.get_datefile(),
        spec,
        snapshot_id=catalog.snapshot_id,
        simulated=catalog.simulated,
    )


def _without_year(name: str) -> list[str]:
    """Columns of a table but the one that every row of a partition shares, and that a panel does not need."""
    return [column for column in table(name).schema.column_names() if column != "year"]


def run_backtest(
    signal: SignalPanel | Validated | pl.DataFrame,
    config: BacktestConfig,
    catalog: DataCatalog | Panel | Workbench,
    *,
    specs: SuiteSpecs | None = None,
    name: str = "signal",
) -> BacktestResult:
    """Compute one variant of one signal.

    Parameters
    ----------
    signal
        A validated signal, a frame in the contract's format that was validated before, or a signal panel.
    config
        The variant.
    catalog
        A snapshot; or a panel or workbench made of one, to save reading it again.
    specs
        The suite's numbers; those of the specs in force by default.
    name
        Of the signal, where it does not say.

    Returns
    -------
    BacktestResult

    Raises
    ------
    SignalEmpty, NotAvailable, SnapshotInvalid
        When there is nothing to trade, or the data cannot carry the variant.
    SignalInvalid
        When the frame lacks the contract's columns.
    """
    numbers = specs if specs is not None else suite_specs()
    if isinstance(catalog, Workbench):
        bench = catalog
    else:
        panel = catalog if isinstance(catalog, Panel) else panel_of(catalog, numbers.suite)
        bench = Workbench(panel, numbers.suite, numbers.costs)
    return run_variants(_spread(signal, bench.panel, name), [config], bench)[config.variant]


def _spread(signal: SignalPanel | Validated | pl.DataFrame, panel: Panel, name: str) -> SignalPanel:
    if isinstance(signal, SignalPanel):
        return signal
    if isinstance(signal, Validated):
        return signal_panel(signal.require_rows().good, panel, name=signal.name or name)
    needed = {"security_id", "date_sig", "date_avail", "signal"}
    if not needed <= set(signal.columns):
        raise SignalInvalid(
            f"the frame lacks {', '.join(sorted(needed - set(signal.columns)))}",
            action="validate the signal first: contract.validate",
        )
    return signal_panel(signal, panel, name=name)
