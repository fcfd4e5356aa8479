"""Strategy blueprints: what passed the bridge, as a document that says what to do, what it costs and why to believe it.

The document's JSON Schema is published as ``docs/reference/blueprint.schema.json``. One blueprint per alias group:
where two templates read one test, the one with a declared side stands for both and names the other.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from quant_platform.contracts.schemas.discovery import DiscoveryBlueprints
from quant_platform.labs.events.discovery.cells import ALL
from quant_platform.labs.events.discovery.hypotheses import GATES
from quant_platform.labs.events.discovery.ontology import require_ontology
from quant_platform.specification.discovery import DiscoverySpecs, PullbackRule, StopRule, TargetRule

SCHEMA_VERSION = "1.0"
_SCHEMA = {name: column.dtype for name, column in DiscoveryBlueprints.columns().items()}
_KEY = ["event_id", "template", "horizon_bars", "symbol", "dimension", "state"]


class _Part(BaseModel):
    """Base of every part: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Rule(_Part):
    """When to act."""

    event_id: str = Field(description="Event whose accepted onset starts a trade.")
    event_version: int = Field(description="Version of the event's rule.")
    condition: str = Field(description="The event's rule, in the expression language.")
    definitions: dict[str, str] = Field(description="Intermediate expressions of the rule.")
    params: dict[str, float] = Field(description="Numbers of the rule.")
    direction: str = Field(description="Expression whose sign is the event's direction.")
    onset: str = Field(description="rising or level.")
    cooldown_bars: int = Field(description="Quiet period before an onset counts.")
    subset: str = Field(description="Which of the events are traded: see specs/templates.yaml.")
    state: dict[str, str] = Field(description="State that must hold at the close of the event's bar; empty for any.")
    filters: list[str] = Field(description="Filter templates of the event, for the one who trades it to apply.")


class Entry(_Part):
    """How a trade begins."""

    order: Literal["market_at_open", "market_after_pullback"] = Field(description="What opens the trade.")
    lag_bars: int = Field(ge=1, description="Bars from the event's bar to the bar at whose open one enters, or waits.")
    pullback: PullbackRule | None = Field(description="Close to wait for; null where one enters at once.")


class Exit(_Part):
    """How a trade ends, whatever comes first."""

    horizon_bars: int = Field(ge=1, description="Bars after the entry at whose open the trade is closed.")
    target: TargetRule | None = Field(description="Profit target; null without one.")
    stop: StopRule | None = Field(description="Stop; null without one.")
    levels: Literal["close_then_next_open"] = Field(description="Compared with closes, acted on at the next open.")


class Sizing(_Part):
    """Caps."""

    max_weight_per_trade: float = Field(description="Largest position, as a share of equity.")
    max_weight_per_symbol: float = Field(description="Largest sum over a symbol's positions.")
    order_usd: float = Field(description="Order size for which the impact was assumed.")


class Costs(_Part):
    """What was assumed to be paid, per round trip."""

    fee_bps_per_side: float = Field(description="Fee per side and leg.")
    legs: int = Field(description="Instruments traded.")
    cost_bps: float = Field(description="Mean cost of the validation trades at 1.0x: fees, half spreads, impact.")
    funding_bps: float = Field(description="Mean funding they paid.")
    stress: float = Field(description="Multiple of the cost in the stressed result.")


class Evidence(_Part):
    """Why it is believed."""

    n: int = Field(description="Events of the training window.")
    n_days: int = Field(description="Days they lie on.")
    effect_bps: float = Field(description="Their mean outcome before cost.")
    standard_error_bps: float = Field(description="Its clustered standard error.")
    shrunk_bps: float = Field(description="The effect after shrinkage toward its relatives.")
    own_weight: float = Field(description="Weight of the cell's own data in it.")
    p_raw: float = Field(description="p before correction.")
    p_fdr: float = Field(description="p that decisions were made on.")
    q_group: float = Field(description="q inside the group alone.")
    q_level1: float = Field(description="q of the group among all groups.")
    q_global: float = Field(description="q over all tests.")
    n_tests: int = Field(description="Tests it was selected from.")
    gates: dict[str, bool] = Field(description="Every gate.")
    validation_trades: int = Field(description="Trades out of sample.")
    validation_net_bps: float = Field(description="Their expectancy after cost.")
    validation_stressed_bps: float = Field(description="Their expectancy at stressed cost.")
    validation_p_adjusted: float = Field(
        description="One-sided p of it after Benjamini-Hochberg over the standard cells."
    )
    edge_over_cost: float = Field(description="Edge out of sample in units of its cost.")


class Blueprint(_Part):
    """A strategy blueprint of the event lab."""

    schema_version: Literal["1.0"] = Field(description="Version of this layout.")
    blueprint_id: str = Field(description="Stable name.")
    cutoff: str = Field(description="Month whose end closes the data, YYYY-MM.")
    simulated: bool = Field(description="True where the data were made up.")
    template: str = Field(description="Template that is traded.")
    aliases: list[str] = Field(description="Templates that read the same test and say the same.")
    symbols: list[str] = Field(description="Symbols that may be traded.")
    side: Literal[-1, 1] = Field(description="Multiplies the event's direction.")
    rule: Rule
    entry: Entry
    exit: Exit
    sizing: Sizing
    costs: Costs
    evidence: Evidence
    snapshot_id: str | None = Field(description="Snapshot of the data; null where none was made.")
    ontology_hash: str = Field(description="SHA-256 of all specs it was made under.")


def make(
    hypotheses: pl.DataFrame,
    bridged: pl.DataFrame,
    specs: DiscoverySpecs,
    *,
    symbols: tuple[str, ...],
    simulated: bool,
    snapshot_id: str | None = None,
) -> pl.DataFrame:
    """Write a blueprint for every standard hypothesis that passed the bridge.

    Parameters
    ----------
    hypotheses, bridged
        Rows of ``discovery.hypotheses`` and, of the validation window, ``discovery.bridge``.
    specs
        The specs in force.
    symbols
        Symbols of the panel, for cells over all of them.
    simulated
        Whether the data were made up; stands in every document.
    snapshot_id
        Snapshot of the data, if one was made.

    Returns
    -------
    polars.DataFrame
        Rows of ``discovery.blueprints``; empty where nothing passed, which is a result.

    Raises
    ------
    OntologyMismatch
        If a row was made under other specs.
    """
    require_ontology(hypotheses, specs.ontology_hash, what="discovery.hypotheses")
    require_ontology(bridged, specs.ontology_hash, what="discovery.bridge")
    passed = bridged.filter(
        (pl.col("verdict").cast(pl.String) == "pass")
        & (pl.col("track").cast(pl.String) == "standard")
        & (pl.col("window") == "validation")
    )
    joined = passed.join(hypotheses, on=["cutoff", *_KEY], how="inner", suffix="_train")
    rows: list[dict[str, object]] = []
    for _, group in joined.sort(_KEY).group_by("alias_group", maintain_order=True):
        readings = sorted(
            group.iter_rows(named=True),
            key=lambda row: (specs.templates[row["template"]].side == 0, row["template"]),
        )
        blueprint = _blueprint(
            readings[0], [row["template"] for row in readings[1:]], specs, symbols, simulated, snapshot_id
        )
        rows.append(
            {
                "cutoff": blueprint.cutoff,
                "blueprint_id": blueprint.blueprint_id,
                "event_id": blueprint.rule.event_id,
                "template": blueprint.template,
                "symbols": blueprint.symbols,
                "side": blueprint.side,
                "horizon_bars": blueprint.exit.horizon_bars,
                "validation_net_bps": blueprint.evidence.validation_net_bps,
                "ontology_hash": blueprint.ontology_hash,
                "snapshot_id": blueprint.snapshot_id,
                "document": json.dumps(blueprint.model_dump(), sort_keys=True, allow_nan=False),
            }
        )
    return pl.DataFrame(rows, schema=_SCHEMA).sort(DiscoveryBlueprints.primary_key())


def blueprint_schema() -> dict[str, Any]:
    """Return the JSON Schema of a blueprint document."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Blueprint.model_json_schema()}


def write_schema(folder: Path) -> Path:
    """Write ``blueprint.schema.json`` into a folder."""
    path = folder / "blueprint.schema.json"
    path.write_text(json.dumps(blueprint_schema(), indent=2) + "\n")
    return path


def write_jsonl(blueprints: pl.DataFrame, path: Path) -> None:
    """Write one document per line, in the order of the table; an empty table gives an empty file.

    Raises
    ------
    pydantic.ValidationError
        If a document does not satisfy its schema.
    """
    documents = blueprints["document"].to_list()
    for document in documents:
        Blueprint.model_validate_json(document)
    path.write_text("".join(f"{document}\n" for document in documents))


def _blueprint(
    row: dict[str, Any],
    aliases: list[str],
    specs: DiscoverySpecs,
    symbols: tuple[str, ...],
    simulated: bool,
    snapshot_id: str | None,
) -> Blueprint:
    event, template, spec = specs.events[row["event_id"]], specs.templates[row["template"]], specs.discovery
    state = {} if row["dimension"] == ALL else {row["dimension"]: row["state"]}
    key = json.dumps([row[name] for name in _KEY] + [specs.ontology_hash])
    parts = [event.id, row["template"], str(row["horizon_bars"]), row["symbol"], row["state"]]
    lag = event.entry_lag_bars + (1 if template.subset == "confirmed" else 0)
    order: Literal["market_at_open", "market_after_pullback"] = (
        "market_at_open" if template.pullback is None else "market_after_pullback"
    )
    return Blueprint(
        schema_version=SCHEMA_VERSION,
        blueprint_id="-".join([*parts, hashlib.sha256(key.encode()).hexdigest()[:10]]),
        cutoff=row["cutoff"],
        simulated=simulated,
        template=row["template"],
        aliases=aliases,
        symbols=list(symbols) if row["symbol"] == ALL else [row["symbol"]],
        side=row["side"],
        rule=Rule(
            event_id=event.id,
            event_version=event.version,
            condition=event.condition,
            definitions=event.definitions,
            params=event.params,
            direction=event.direction,
            onset=event.onset,
            cooldown_bars=event.cooldown_bars,
            subset=template.subset,
            state=state,
            filters=list(event.filters or ()),
        ),
        entry=Entry(order=order, lag_bars=lag, pullback=template.pullback),
        exit=Exit(
            horizon_bars=row["horizon_bars"], target=template.target, stop=template.stop, levels="close_then_next_open"
        ),
        sizing=Sizing(**spec.sizing.model_dump(), order_usd=spec.cost.order_usd),
        costs=Costs(
            fee_bps_per_side=spec.cost.fee_bps,
            legs=template.legs,
            cost_bps=row["cost_bps"],
            funding_bps=row["funding_bps"],
            stress=spec.cost.stress,
        ),
        evidence=Evidence(
            n=row["n"],
            n_days=row["n_days_train"],
            effect_bps=row["effect_bps"],
            standard_error_bps=row["standard_error_bps_train"],
            shrunk_bps=row["shrunk_bps"],
            own_weight=row["own_weight"],
            p_raw=row["p_raw"],
            p_fdr=row["p_fdr"],
            q_group=row["q_group"],
            q_level1=row["q_level1"],
            q_global=row["q_global"],
            n_tests=row["n_tests"],
            gates={name: row[name] for name in (*GATES, "gate_power")},
            validation_trades=row["n_trades"],
            validation_net_bps=row["net_bps"],
            validation_stressed_bps=row["stressed_bps"],
            validation_p_adjusted=row["p_adjusted"],
            edge_over_cost=row["edge_over_cost"],
        ),
        snapshot_id=snapshot_id,
        ontology_hash=specs.ontology_hash,
    )
