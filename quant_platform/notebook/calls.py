"""Signals in a notebook: check a frame, run one variant, run a suite. Nothing is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from quant_platform.labs.suite import api
from quant_platform.labs.suite.backtest import BacktestResult
from quant_platform.labs.suite.contract import Validated, validate
from quant_platform.labs.suite.experiments import Registration, development_panel
from quant_platform.labs.suite.frames import suite_frames
from quant_platform.labs.suite.panel import SignalPanel, signal_panel
from quant_platform.labs.suite.sessions import session_clock
from quant_platform.labs.suite.suite import SuiteResult
from quant_platform.labs.suite.suite import run_suite as judge
from quant_platform.lake.atomic import atomic_text
from quant_platform.lake.content_hash import content_hash
from quant_platform.lake.data_catalog import DataCatalog
from quant_platform.notebook.frames import as_polars, html_of
from quant_platform.notebook.home import Home
from quant_platform.pipeline.experiments import registration_of
from quant_platform.pipeline.submissions import validate_frame
from quant_platform.pipeline.suite import DEFAULT_PRESET
from quant_platform.pipeline.suite_evaluation import locked_from, prepared, said_of
from quant_platform.reports.charts.figures import Words
from quant_platform.reports.suite.beside import drawn_here
from quant_platform.reports.suite.figures import cumulative_return
from quant_platform.specification.loading import load_spec
from quant_platform.specification.settings import settings
from quant_platform.specification.suite import BacktestConfig, ContractSpec, load_preset, load_suite

_SUMMARY = ("sharpe_net", "sharpe_net_low", "sharpe_net_high", "sharpe_gross", "ann_return_net", "turnover")


@dataclass(frozen=True, eq=False)
class SignalCheck:
    """What the contract says of a frame of signals.

    Attributes
    ----------
    validated
        The good rows, the rejects, and the summary by code.
    """

    validated: Validated

    @property
    def clean(self) -> bool:
        """Whether every row was taken."""
        return self.validated.clean

    @property
    def good(self) -> pl.DataFrame:
        """The rows that satisfy the contract."""
        return self.validated.good

    @property
    def rejects(self) -> pl.DataFrame:
        """The others, each with the code of the first rule it broke."""
        return self.validated.rejects

    def to_frame(self) -> pl.DataFrame:
        """One row per code that occurred: how many of how many, examples, likely cause, next action."""
        return self.validated.summary

    def plot(self) -> Any:
        """Draw the names of each date: coverage over time."""
        from quant_platform.reports.charts import builders
        from quant_platform.reports.charts.builders import Field

        counts = self.good.group_by("date_sig").agg(pl.len().alias("names")).sort("date_sig")
        return builders.lines(
            counts,
            Words("Coverage", f"Names per date over {counts.height} dates."),
            x=Field("date_sig", "date_sig", "date"),
            y=Field("names", "names"),
        ).chart

    def _repr_html_(self) -> str:
        kept = f"{self.good.height:,} of {self.validated.rows:,} rows were taken"
        return html_of("Signal", kept, self.to_frame().select("code", "count", "of", "unit", "cause", "action"))


@dataclass(frozen=True, eq=False)
class Backtest:
    """One variant of one signal on a snapshot.

    Attributes
    ----------
    result
        Everything the lab computed: book, ICs, fractiles, diagnostics.
    check
        What the contract said of the signal.
    """

    result: BacktestResult
    check: SignalCheck

    @property
    def config(self) -> BacktestConfig:
        """The variant."""
        return self.result.config

    @property
    def summary(self) -> pl.DataFrame:
        """Annual figures, overall and by slice, in the columns of ``suite.results``."""
        return self.result.summary

    @property
    def daily(self) -> pl.DataFrame:
        """Daily series, in the columns of ``suite.daily``."""
        return self.result.daily

    @property
    def fractiles(self) -> pl.DataFrame | None:
        """Mean returns by fractile; None where too few names made any."""
        return None if self.result.fractiles is None else self.result.fractiles.table

    @property
    def ic(self) -> pl.DataFrame:
        """Rank ICs, one row per horizon."""
        return self.result.ic

    def to_frame(self) -> pl.DataFrame:
        """Return the daily series."""
        return self.daily

    def plot(self) -> Any:
        """Draw the compounded net return."""
        words = Words(
            f"Cumulative return of {self.result.signal}",
            f"Net, compounded, {self.result.variant} on {self.result.snapshot_id}.",
            simulated=self.result.simulated,
        )
        return cumulative_return(self.daily, words).chart

    def _repr_html_(self) -> str:
        where = f"{self.result.variant} on {self.result.snapshot_id}{' (SIMULATED)' if self.result.simulated else ''}"
        return html_of(self.result.signal, where, self.summary.select("slice_kind", "slice", "sessions", *_SUMMARY))


@dataclass(frozen=True, eq=False)
class Suite:
    """A whole suite, computed and not stored: its trials are not in the ledger.

    Attributes
    ----------
    result
        Everything the lab computed.
    check
        What the contract said of the signal.
    frames
        Rows as the tables ``suite.*`` would hold them, by table.
    names
        How the securities of the snapshot were chosen, in words.
    """

    result: SuiteResult
    check: SignalCheck
    frames: dict[str, pl.DataFrame]
    names: str

    @property
    def verdict(self) -> str:
        """``green``, ``yellow`` or ``red``."""
        return self.result.verdict.colour

    @property
    def because(self) -> tuple[str, ...]:
        """The reasons that decided it."""
        return tuple(self.result.verdict.because)

    def to_frame(self) -> pl.DataFrame:
        """Return the summary of all variants, in the columns of ``suite.results``."""
        return self.frames["suite.results"]

    def plot(self) -> Any:
        """Draw the compounded net return of every variant."""
        daily = self.frames["suite.daily"]
        words = Words(
            f"Cumulative return of {self.result.signal}",
            f"Net, compounded, {daily['variant'].n_unique()} variants on {self.result.snapshot_id}.",
            simulated=self.result.simulated,
        )
        return cumulative_return(daily, words, by="variant").chart

    @cached_property
    def tear_sheet(self) -> str:
        """The page, as HTML that loads nothing."""
        said = said_of(
            self.result,
            author="not registered",
            submitted_at="never",
            signal_hash=self._hash,
            names=self.names,
        )
        return drawn_here(self.frames, *said)()

    def save(self, path: Path | str) -> Path:
        """Write the page into a file and return where it is."""
        target = Path(path)
        atomic_text(target, self.tear_sheet)
        return target

    @property
    def _hash(self) -> str:
        return content_hash(self.check.good)

    def _repr_html_(self) -> str:
        overall = self.to_frame().filter(pl.col("slice_kind") == "overall").select("variant", *_SUMMARY)
        said = f"{self.verdict.upper()} on {self.result.snapshot_id}: {'; '.join(self.because) or 'every rule holds'}"
        return html_of(self.result.signal, said, overall)


def validate_signal(frame: Any, home: Home | DataCatalog | None = None, *, exchange: str = "XNYS") -> SignalCheck:
    """Check a signal against the contract; nothing is stored.

    Parameters
    ----------
    frame
        Polars or pandas frame, Arrow table, or the path of a file.
    home
        Whose securities the signal may name; a home or a snapshot. Without one every security is taken as known.
    exchange
        ISO 10383 code of the calendar, where no home says it.

    Raises
    ------
    SignalInvalid
        Where there is nothing to judge row by row.
    """
    source = frame if isinstance(frame, (str, Path)) else as_polars(frame, "a signal")
    if isinstance(home, Home):
        return SignalCheck(validate_frame(home.market, source))
    contract = load_spec(settings().specs / "suite" / "contract.yaml", ContractSpec)
    if isinstance(home, DataCatalog):
        known = home.get_retfile()["ticker"].unique().to_list()
        exchange = str(home.get_datefile()["exchange"][0])
    else:
        rows = source if isinstance(source, pl.DataFrame) else pl.DataFrame({"security_id": []})
        known = rows["security_id"].drop_nulls().cast(pl.String).str.strip_chars().unique().to_list()
    return SignalCheck(
        validate(source, session_clock(exchange), known, contract=contract, today=datetime.now(UTC).date())
    )


def run_backtest(
    signal: Any,
    config: BacktestConfig | None = None,
    catalog: DataCatalog | Home | None = None,
    *,
    name: str = "signal",
) -> Backtest:
    """Compute one variant of one signal.

    Parameters
    ----------
    signal
        Polars or pandas frame in the format of the contract, or what :func:`validate_signal` returned. Rows that break
        the contract are left out and stand in ``check.rejects``.
    config
        The variant; its defaults when not given.
    catalog
        A snapshot, or a home, whose newest one is taken.
    name
        Of the signal.

    Raises
    ------
    SignalEmpty, NotAvailable, SnapshotInvalid
        When there is nothing to trade, or the data cannot carry the variant.

    Notes
    -----
    Nothing is stored and nothing is counted: neither a trial nor a look at a holdout is on record.
    """
    home, snapshot = _where(catalog)
    check = signal if isinstance(signal, SignalCheck) else validate_signal(signal, snapshot)
    specs = load_suite(home.market.specs if home is not None else settings().specs)
    panel = api.panel_of(snapshot, specs.suite)
    locked = locked_from(_registered(home, name))
    if locked is not None:
        panel = development_panel(panel, locked)
    spread = _spread(check, panel, name)
    return Backtest(api.run_backtest(spread, config or BacktestConfig(), panel, specs=specs, name=name), check)


def run_suite(
    signal: Any,
    catalog: DataCatalog | Home | None = None,
    preset: str = DEFAULT_PRESET,
    *,
    name: str = "signal",
    allow_look_ahead: bool = False,
) -> Suite:
    """Judge a signal beside the baselines, without storing anything.

    Parameters
    ----------
    signal
        As for :func:`run_backtest`.
    catalog
        A snapshot, or a home, whose newest snapshot is taken and whose ledger is read: earlier trials of a signal of
        this name count. The trials of this call are not added to it; ``quant signal submit`` and ``quant suite`` do.
    preset
        ``STANDARD``, ``QUICK`` or ``DEEP``.
    name
        Of the signal.
    allow_look_ahead
        Go on with a signal that the audit has found guilty, for looking at it; its verdict is then red.

    Raises
    ------
    LookAheadFound
        When the audit stops the signal.
    NotAvailable, SignalEmpty
        When the panel cannot carry it, or no date has enough names.
    """
    home, snapshot = _where(catalog)
    check = signal if isinstance(signal, SignalCheck) else validate_signal(signal, snapshot)
    folder = home.market.specs if home is not None else settings().specs
    chosen = load_preset(folder, preset)
    registration = _registered(home, name)
    ready = prepared(folder, snapshot, chosen, locked_from(registration))
    found = judge(
        _spread(check, ready.bench.panel, name),
        ready.baselines,
        ready.bench,
        chosen,
        ready.specs,
        signal_hash=content_hash(check.good),
        evaluated_at=datetime.now(UTC),
        ledger=home.market.lake.read("suite.trials", missing="ignore") if home is not None else None,
        allow_look_ahead=allow_look_ahead,
        registration=registration,
    )
    return Suite(found, check, suite_frames(found), ready.names)


def _where(catalog: DataCatalog | Home | None) -> tuple[Home | None, DataCatalog]:
    if catalog is None:
        from quant_platform.notebook.home import open_home

        catalog = open_home()
    return (catalog, catalog.snapshot()) if isinstance(catalog, Home) else (None, catalog)


def _registered(home: Home | None, name: str) -> Registration | None:
    """The experiment of a signal of this name; its locked sessions are locked here too."""
    return registration_of(home.market, name) if home is not None else None


def _spread(check: SignalCheck, panel: Any, name: str) -> SignalPanel:
    rows = check.validated.require_rows()
    return signal_panel(rows.good, panel, name=rows.name or name)
