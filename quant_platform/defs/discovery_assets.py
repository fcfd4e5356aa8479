"""Assets of discovery by cutoff: judged hypotheses, the out-of-sample bridge, blueprints, the ledger, the report."""

from collections.abc import Callable

import dagster as dg
import polars as pl

from quant_platform.contracts.tables import table
from quant_platform.defs import partitions
from quant_platform.defs.frame_assets import reads, table_asset
from quant_platform.defs.resources import HomeResource
from quant_platform.labs.events.detection.plan import event_plan
from quant_platform.labs.events.detection.registry import check_prevalence, checks_frame
from quant_platform.labs.events.discovery.blueprints import make, write_jsonl
from quant_platform.labs.events.discovery.bridge import bridge
from quant_platform.labs.events.discovery.hypotheses import judge
from quant_platform.labs.events.discovery.trials import ledger
from quant_platform.pipeline.discovery import ONTOLOGY, discovery_specs, months_until, store_of
from quant_platform.pipeline.discovery_page import write_discovery_report
from quant_platform.pipeline.home import Home
from quant_platform.specification.event_lab import load_event_lab

ROOMS = ("labs/events/discovery", "statistics")
KINDS = {"numpy", "parquet"}


def reads_events(name: str) -> dg.AssetIn:
    """All events of the cutoff, of a table that is partitioned by event and cutoff."""
    return dg.AssetIn(
        key=dg.AssetKey(name.split(".")), partition_mapping=dg.MultiToSingleDimensionPartitionMapping("cutoff")
    )


def build_discovery_assets(home: Home) -> list[dg.AssetsDefinition]:
    """Hypotheses, bridge, blueprints, trials and the report of a cutoff."""
    cutoffs = partitions.cutoffs(home.perps)

    def by_cutoff(
        name: str, ins: dict[str, dg.AssetIn], kinds: set[str] = KINDS
    ) -> Callable[[Callable[..., pl.DataFrame]], dg.AssetsDefinition]:
        return table_asset(home, name, rooms=ROOMS, specs=ONTOLOGY, kinds=kinds, partitions_def=cutoffs, ins=ins)

    @by_cutoff("discovery.hypotheses", {"candidates": reads_events("discovery.candidates")})
    def hypotheses(context: dg.AssetExecutionContext, home: HomeResource, candidates: pl.LazyFrame) -> pl.DataFrame:
        opened = home.open()
        refuse_stale_candidates(opened, context.partition_key)
        return judge(candidates.collect(), discovery_specs(opened))

    @by_cutoff("discovery.trials", {"candidates": reads_events("discovery.candidates")})
    def trials(context: dg.AssetExecutionContext, home: HomeResource, candidates: pl.LazyFrame) -> pl.DataFrame:
        earlier = home.open().lake.read("discovery.trials", [context.partition_key], missing="ignore")
        return ledger(candidates.collect(), earlier)

    @by_cutoff("discovery.bridge", {"judged": reads("discovery.hypotheses"), "events": reads_events("events.events")})
    def bridged(
        context: dg.AssetExecutionContext, home: HomeResource, judged: pl.LazyFrame, events: pl.LazyFrame
    ) -> pl.DataFrame:
        opened = home.open()
        store = store_of(opened, context.partition_key)
        return bridge(judged.collect(), events.collect(), store, discovery_specs(opened))

    @by_cutoff("discovery.blueprints", {"judged": reads("discovery.hypotheses"), "bridged": reads("discovery.bridge")})
    def blueprints(
        context: dg.AssetExecutionContext, home: HomeResource, judged: pl.LazyFrame, bridged: pl.LazyFrame
    ) -> pl.DataFrame:
        opened = home.open()
        made = make(
            judged.collect(),
            bridged.collect(),
            discovery_specs(opened),
            symbols=opened.perps.symbols,
            simulated=opened.simulated,
        )
        path = opened.settings.home / "reports" / "discovery" / f"{context.partition_key}.blueprints.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_jsonl(made, path)
        context.add_output_metadata({"blueprints": dg.MetadataValue.path(str(path))})
        return made

    @by_cutoff(
        "discovery.report",
        {
            "candidates": reads_events("discovery.candidates"),
            "judged": reads("discovery.hypotheses"),
            "bridged": reads("discovery.bridge"),
            "blueprinted": reads("discovery.blueprints"),
            "counted": reads("discovery.trials"),
        },
        {"html", "parquet"},
    )
    def report(
        context: dg.AssetExecutionContext,
        home: HomeResource,
        candidates: pl.LazyFrame,
        judged: pl.LazyFrame,
        bridged: pl.LazyFrame,
        blueprinted: pl.LazyFrame,
        counted: pl.LazyFrame,
    ) -> pl.DataFrame:
        opened = home.open()
        row, page = write_discovery_report(
            opened,
            context.partition_key,
            checks=registry_checks(opened, context.partition_key),
            candidates=candidates.collect(),
            hypotheses=judged.collect(),
            bridge=bridged.collect(),
            blueprints=blueprinted.collect(),
            trials=every_trial(opened, context.partition_key, counted.collect()),
        )
        context.add_output_metadata({"page": dg.MetadataValue.path(str(page)), "headline": row["headline"][0]})
        return row

    return [hypotheses, trials, bridged, blueprints, report]


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
    wanted = ["symbol", "bar", "open", *(["funding_interval_hours"] if "funding_interval_hours" in here else [])]
    market = scanned.select(wanted).collect()
    inputs = sorted({name for event in plan.lab.active.values() for name in event.inputs})
    held = scanned.select(pl.col(name).is_not_null().any() for name in inputs if name in here).collect()
    # What the lab makes itself is not the source's to lack.
    made = set(table("features.context_5m").schema.column_names())
    known = {name for name in inputs if name in made or (name in held.columns and bool(held[name][0]))}
    return checks_frame(check_prevalence(flags, market, plan, known=known))
