"""The stages of a cutoff: judged hypotheses, the out-of-sample bridge, blueprints, the trial ledger, the report."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from quant_platform.contracts.tables import table
from quant_platform.labs.events.detection.plan import event_plan
from quant_platform.labs.events.detection.registry import HOURS, check_prevalence, checks_frame
from quant_platform.labs.events.discovery.blueprints import make, write_jsonl
from quant_platform.labs.events.discovery.bridge import bridge
from quant_platform.labs.events.discovery.hypotheses import judge
from quant_platform.labs.events.discovery.trials import ledger
from quant_platform.pipeline.data_checks import PERP_RAW
from quant_platform.pipeline.discovery import ONTOLOGY, discovery_specs, months_until, store_of
from quant_platform.pipeline.discovery_page import write_discovery_report
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.stage import FrameStage, Made, Reads
from quant_platform.specification.event_lab import load_event_lab


def hypotheses(home: Home, keys: Sequence[str], *, candidates: pl.LazyFrame) -> pl.DataFrame:
    """Every cell of a cutoff, judged against all of them.

    Raises
    ------
    OntologyMismatch
        When the candidates were made under other specs than those in force.
    """
    (cutoff,) = keys
    refuse_stale_candidates(home, cutoff)
    return judge(candidates.collect(), discovery_specs(home))


def trials(home: Home, keys: Sequence[str], *, candidates: pl.LazyFrame) -> pl.DataFrame:
    """The ledger of every cell ever evaluated for a cutoff: those of earlier specs stay in it."""
    earlier = home.lake.read("discovery.trials", list(keys), missing="ignore")
    return ledger(candidates.collect(), earlier)


def bridged(home: Home, keys: Sequence[str], *, judged: pl.LazyFrame, events: pl.LazyFrame) -> pl.DataFrame:
    """Survivors on data after the embargo."""
    (cutoff,) = keys
    return bridge(judged.collect(), events.collect(), store_of(home, cutoff), discovery_specs(home))


def blueprints(home: Home, keys: Sequence[str], *, judged: pl.LazyFrame, bridged: pl.LazyFrame) -> Made:
    """What is left, as documents; also written to ``<home>/reports/discovery/<cutoff>.blueprints.jsonl``."""
    (cutoff,) = keys
    made = make(
        judged.collect(),
        bridged.collect(),
        discovery_specs(home),
        symbols=home.perps.symbols,
        simulated=home.simulated,
    )
    path = home.settings.home / "reports" / "discovery" / f"{cutoff}.blueprints.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_jsonl(made, path)
    return Made(made, {"blueprints": path})


def report(
    home: Home,
    keys: Sequence[str],
    *,
    candidates: pl.LazyFrame,
    judged: pl.LazyFrame,
    bridged: pl.LazyFrame,
    blueprinted: pl.LazyFrame,
    counted: pl.LazyFrame,
) -> Made:
    """The report of a cutoff, as a row, JSON and a page."""
    (cutoff,) = keys
    row, page = write_discovery_report(
        home,
        cutoff,
        checks=registry_checks(home, cutoff),
        candidates=candidates.collect(),
        hypotheses=judged.collect(),
        bridge=bridged.collect(),
        blueprints=blueprinted.collect(),
        trials=every_trial(home, cutoff, counted.collect()),
    )
    return Made(row, {"page": page}, {"headline": row["headline"][0]})


def every_trial(home: Home, cutoff: str, counted: pl.DataFrame) -> pl.DataFrame:
    """The trials of a cutoff and those of all cutoffs before it: what had been looked at by then."""
    earlier = [month for month in home.perps.months if month < cutoff]
    return pl.concat([counted, home.lake.read("discovery.trials", earlier, missing="ignore").select(counted.columns)])


def refuse_stale_candidates(home: Home, cutoff: str) -> None:
    """Compare the specs the candidates of a cutoff were made under with those in force, file by file.

    Only events that are declared count. What an event left in the lake whose file is gone is no input of anything, and
    no job could make it again.

    Raises
    ------
    OntologyMismatch
        Naming each file that changed.
    """
    in_force = home.ontology(ONTOLOGY)
    for event_id in discovery_specs(home).events:
        version = home.lake.current("discovery.candidates", (event_id, cutoff))
        if version is not None:
            in_force.require(version.provenance.ontology_files, what=f"discovery.candidates of {event_id}, {cutoff},")


def registry_checks(home: Home, cutoff: str) -> pl.DataFrame:
    """Prevalence, clustering and join rate of every event up to a cutoff, one row per event."""
    plan = event_plan(load_event_lab(home.specs))
    keys = months_until(home, cutoff)
    there = home.lake.scan("events.event_flags", keys, missing="ignore").collect_schema().names()
    # Direction and intensity are no part of any check, and are two thirds of the table.
    columns = ["symbol", "bar", *(name for name in plan.lab.active if name in there)]
    flags = home.lake.read("events.event_flags", keys, columns=columns, missing="ignore")
    scanned = home.lake.scan("clean.market_5m", keys, missing="ignore")
    here = scanned.collect_schema().names()
    market = scanned.select("symbol", "bar", "open", *(name for name in (HOURS,) if name in here)).collect()
    inputs = sorted({name for event in plan.lab.active.values() for name in event.inputs})
    held = scanned.select(pl.col(name).is_not_null().any() for name in inputs if name in here).collect()
    # What the lab makes itself is not the source's to lack.
    made = set(table("features.context_5m").schema.column_names())
    known = {name for name in inputs if name in made or (name in held.columns and bool(held[name][0]))}
    return checks_frame(check_prevalence(flags, market, plan, known=known))


_CANDIDATES = Reads("discovery.candidates", "dimension")
_JUDGED, _BRIDGED = Reads("discovery.hypotheses"), Reads("discovery.bridge")
_KINDS = ("numpy", "parquet")

HYPOTHESES = FrameStage(
    outputs=("discovery.hypotheses",),
    compute=hypotheses,
    specs=ONTOLOGY,
    kinds=_KINDS,
    inputs={"candidates": _CANDIDATES},
)
TRIALS = FrameStage(
    outputs=("discovery.trials",), compute=trials, specs=ONTOLOGY, kinds=_KINDS, inputs={"candidates": _CANDIDATES}
)
BRIDGE = FrameStage(
    outputs=("discovery.bridge",),
    compute=bridged,
    specs=ONTOLOGY,
    kinds=_KINDS,
    inputs={"judged": _JUDGED, "events": Reads("events.events", "dimension")},
    deps=("clean.market_5m", "features.market_5m"),
)
BLUEPRINTS = FrameStage(
    outputs=("discovery.blueprints",),
    compute=blueprints,
    specs=ONTOLOGY,
    kinds=_KINDS,
    inputs={"judged": _JUDGED, "bridged": _BRIDGED},
)
REPORT = FrameStage(
    outputs=("discovery.report",),
    compute=report,
    specs=ONTOLOGY,
    kinds=("html", "parquet"),
    inputs={
        "candidates": _CANDIDATES,
        "judged": _JUDGED,
        "bridged": _BRIDGED,
        "blueprinted": Reads("discovery.blueprints"),
        "counted": Reads("discovery.trials"),
    },
    deps=("audit.perp_findings", "events.event_flags", "clean.market_5m", *PERP_RAW),
)
STAGES = (HYPOTHESES, TRIALS, BRIDGE, BLUEPRINTS, REPORT)
