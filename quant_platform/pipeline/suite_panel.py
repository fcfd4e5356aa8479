"""The stages of the suite's panel: sessions, returns and exposures, from clean bars, actions and fundamentals."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import polars as pl

from quant_platform.labs.suite.build import build_panel
from quant_platform.labs.suite.frames import exposures_frame, returns_frame, sessions_frame
from quant_platform.labs.suite.published import MarketTables
from quant_platform.labs.suite.sessions import session_clock
from quant_platform.lake.keys import shown_key
from quant_platform.lake.provenance import Provenance
from quant_platform.market.calendar import session_array
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import BatchStage, Done, FrameStage, Reads
from quant_platform.specification.suite import SuiteSpec

MARKET = ("clean.equity_bars", "clean.corporate_actions", "clean.fundamentals", "raw.securities")
PANEL_TABLES = ("suite.returns", "suite.exposures")


def market_tables(read: Callable[[str], pl.DataFrame]) -> MarketTables:
    """What a panel is made of, from the lake or from a snapshot; actions that were refused are left out."""
    bars, actions, fundamentals, securities = (read(name) for name in MARKET)
    return MarketTables(bars, actions.filter(pl.col("applied")), fundamentals, securities)


def run_dates(home: Home, keys: Sequence[str], *, bars: pl.LazyFrame) -> pl.DataFrame:
    """Sessions from the first bar to the last."""
    del keys
    span = bars.select(pl.col("session").min().alias("first"), pl.col("session").max().alias("last")).collect()
    exchange = home.universe.exchange
    return sessions_frame(session_array(exchange, span["first"][0], span["last"][0]), session_clock(exchange))


def dates_are_current(home: Home) -> bool:
    """Whether the stored sessions are those of the bars that the lake holds now."""
    if home.lake.current("suite.dates", None) is None:
        return False
    stored = home.lake.read("suite.dates")
    made = run_dates(home, (), bars=home.lake.scan("clean.equity_bars"))
    return stored.select(made.columns).equals(made)


def run_panel(home: Home, keys: Sequence[str], *, run_id: str, refresh: bool, workers: int) -> list[Done]:
    """Compute the panel and write some of its years; every year sees the bars of all years before it.

    Parameters
    ----------
    home
        The market.
    keys
        Years.
    run_id
        Goes into the provenance of every file.
    refresh
        Compute also what is current.
    workers
        Not used: the panel is one computation.

    Returns
    -------
    list of Done
        One per year.
    """
    del workers
    version, ontology = PANEL.code_version(home), home.ontology(PANEL.specs)
    inputs = {name: versions_of(home, name) for name in MARKET}
    stale = [key for key in keys if refresh or not _is_current(home, key, version, ontology.hash, inputs)]
    if stale:
        panel = build_panel(
            market_tables(home.lake.read),
            home.load("suite/suite.yaml", SuiteSpec),
            exchange=home.universe.exchange,
            universe=home.universe.name,
            simulated=home.simulated,
        )
        for name, frame in zip(PANEL_TABLES, (returns_frame(panel), exposures_frame(panel)), strict=True):
            stamp = Provenance(
                asset=name,
                code_version=version,
                ontology_hash=ontology.hash,
                ontology_files=dict(ontology.files),
                run_id=run_id,
                inputs=inputs,
                simulated=home.simulated,
            )
            for key in stale:
                home.lake.write(name, key, frame.filter(pl.col("year") == key), stamp)
    return [Done(key, "written" if key in stale else "current", stored_rows(home, PANEL_TABLES, key)) for key in keys]


def panel_is_current(home: Home, keys: Sequence[str]) -> bool:
    """Whether the sessions and every one of some years are those of the bars that the lake holds now."""
    version, ontology = PANEL.code_version(home), home.ontology(PANEL.specs)
    inputs = {name: versions_of(home, name) for name in MARKET}
    return dates_are_current(home) and all(_is_current(home, key, version, ontology.hash, inputs) for key in keys)


def _is_current(home: Home, key: str, version: str, ontology_hash: str, inputs: Mapping[str, str]) -> bool:
    return all(home.lake.is_current(name, key, version, ontology_hash, inputs) for name in PANEL_TABLES)


def versions_of(home: Home, name: str) -> str:
    """Hash of the current versions of every partition of a table."""
    current = home.lake.current_by_key(name)
    named = sorted(f"{shown_key(key)}/{path.name}" for key, path in current.items())
    return hashlib.sha256("|".join(named).encode()).hexdigest()


def stored_rows(home: Home, names: Sequence[str], key: str | tuple[str, ...]) -> dict[str, int]:
    """Rows of the current version of a partition, by table."""
    versions = {name: home.lake.current(name, key) for name in names}
    return {name: version.rows if version else 0 for name, version in versions.items()}


DATES = FrameStage(
    outputs=("suite.dates",),
    compute=run_dates,
    kinds=("numpy", "parquet"),
    inputs={"bars": Reads("clean.equity_bars", "all")},
)
PANEL = BatchStage(
    outputs=PANEL_TABLES,
    upstream=MARKET,
    compute=run_panel,
    specs=("suite/suite.yaml",),
    kinds=("numpy", "parquet"),
)
