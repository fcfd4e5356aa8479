"""The stages of the suite's panel: sessions, returns and exposures, from clean bars, actions and fundamentals.

A home whose source is of kind panel has no bars: its panel is made of the files of that source.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import polars as pl

from quant_platform.contracts.errors import PartitionMissing
from quant_platform.labs.suite.build import build_panel
from quant_platform.labs.suite.frames import exposures_frame, returns_frame, sessions_frame
from quant_platform.labs.suite.own_panel import OwnFrames, own_panel, own_sessions
from quant_platform.labs.suite.panel import Panel
from quant_platform.labs.suite.perpetuals import perp_days, perp_frames
from quant_platform.labs.suite.sessions import session_clock
from quant_platform.lake.provenance import Provenance
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sources import panel_source_of
from quant_platform.pipeline.stage import BatchStage, Done, FrameStage
from quant_platform.pipeline.suite_market import (
    BARS,
    MARKET,
    PERPETUALS,
    bar_sessions,
    market_tables,
    stored_rows,
    versions_of,
)
from quant_platform.sources.panel_files import PanelSource
from quant_platform.specification.suite import SuiteSpec

PANEL_TABLES = ("suite.returns", "suite.exposures")


def run_dates(home: Home, keys: Sequence[str]) -> pl.DataFrame:
    """Sessions from the first bar, or the first return of a panel without bars, to the last.

    Raises
    ------
    PartitionMissing
        When there are no bars.
    """
    del keys
    if home.judges_on != "bars":
        clock = session_clock(home.suite_exchange)
        return sessions_frame(own_sessions(own_frames(home), clock), clock)
    return bar_sessions(home)


def own_frames(home: Home) -> OwnFrames:
    """What the files of a panel without bars hold, or the days of perpetuals."""
    if home.judges_on == "returns":
        return frames_of(panel_source_of(home))
    if not home.lake.partitions(PERPETUALS):
        raise PartitionMissing("there are no perpetuals", where=PERPETUALS, action="make them: quant run perp_graph")
    return perp_frames(perp_days(home.lake.read(PERPETUALS)), home.load("suite/suite.yaml", SuiteSpec))


def frames_of(source: PanelSource) -> OwnFrames:
    """Everything a source of kind panel has, as a panel is made of it."""
    descriptors, risk = source.panel.descriptors, source.panel.risk
    return OwnFrames(
        returns=source.returns,
        descriptors=source.descriptors,
        risk=source.risk,
        dates=source.dates,
        descriptors_age=descriptors.max_age_days if descriptors is not None else 0,
        risk_age=risk.max_age_days if risk is not None else 0,
    )


def panel_inputs(home: Home) -> dict[str, str]:
    """What a panel is made from: the current versions of the market's tables, or somebody's files and their spec."""
    if home.judges_on == "returns":
        files = panel_source_of(home).content_hashes()
        stated = hashlib.sha256(home.source_spec.model_dump_json().encode()).hexdigest()
        return {"source": stated, **{f"file {name}": digest for name, digest in files.items()}}
    return {name: versions_of(home, name) for name in (MARKET if home.judges_on == "bars" else (PERPETUALS,))}


def dates_are_current(home: Home) -> bool:
    """Whether the stored sessions are those of the bars that the lake holds now."""
    if home.lake.current("suite.dates", None) is None:
        return False
    stored = home.lake.read("suite.dates")
    made = run_dates(home, ())
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
    inputs = panel_inputs(home)
    stale = [key for key in keys if refresh or not _is_current(home, key, version, ontology.hash, inputs)]
    if stale:
        panel = _made(home)
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
    inputs = panel_inputs(home)
    return dates_are_current(home) and all(_is_current(home, key, version, ontology.hash, inputs) for key in keys)


def _made(home: Home) -> Panel:
    spec, exchange = home.load("suite/suite.yaml", SuiteSpec), home.suite_exchange
    if home.judges_on != "bars":
        return own_panel(own_frames(home), spec, exchange=exchange)
    return build_panel(
        market_tables(home.lake.read),
        spec,
        exchange=exchange,
        universe=home.universe.name,
        simulated=home.simulated,
    )


def _is_current(home: Home, key: str, version: str, ontology_hash: str, inputs: Mapping[str, str]) -> bool:
    return all(home.lake.is_current(name, key, version, ontology_hash, inputs) for name in PANEL_TABLES)


DATES = FrameStage(
    outputs=("suite.dates",),
    compute=run_dates,
    kinds=("numpy", "parquet"),
    deps=(BARS,),
)
PANEL = BatchStage(
    outputs=PANEL_TABLES,
    upstream=MARKET,
    compute=run_panel,
    specs=("suite/suite.yaml",),
    kinds=("numpy", "parquet"),
)
