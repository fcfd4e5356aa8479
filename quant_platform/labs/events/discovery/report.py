"""The discovery report of a cutoff as one plain dictionary: what `reporting` draws and what the JSON holds.

A *cell* is an alias group: one test of one event, horizon, symbol and state, however many templates read it.
Counts on the page are counts of cells, and a cell passes a stage if one of its readings has passed all stages up to it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import polars as pl

from quant_platform.contracts.schemas.discovery_report import DiscoveryReport
from quant_platform.labs.events.discovery import report_tables as tables
from quant_platform.labs.events.discovery.ontology import require_ontology
from quant_platform.labs.events.discovery.trials import trials_of
from quant_platform.specification.discovery import DiscoverySpecs

LISTED = 40
"""Rows of a long list that go into the report; how many there are is said beside them."""


@dataclass(frozen=True)
class ReportContext:
    """What the tables do not say themselves.

    Attributes
    ----------
    cutoff
        Month whose end closes the data, YYYY-MM.
    last_bar_date
        UTC day of the last bar.
    simulated
        Whether the data were made up.
    specs
        The specs in force; their hash must be that of every row.
    columns
        Columns that ``clean.market_5m`` and ``features.context_5m`` have, for any symbol: what an event misses is what
        it names beyond them.
    snapshot_id
        Snapshot of the data; None where none was made.
    conventions
        Whatever else belongs under the page: source, symbols, costs.
    """

    cutoff: str
    last_bar_date: date
    simulated: bool
    specs: DiscoverySpecs
    columns: Collection[str] = ()
    snapshot_id: str | None = None
    conventions: Mapping[str, str | float | int | bool | None] = field(default_factory=dict)


def build_report(
    context: ReportContext,
    *,
    checks: pl.DataFrame,
    candidates: pl.DataFrame,
    hypotheses: pl.DataFrame,
    bridge: pl.DataFrame,
    blueprints: pl.DataFrame,
    trials: pl.DataFrame,
) -> dict[str, Any]:
    """Put the tables of a cutoff together.

    Parameters
    ----------
    context
        Cutoff, specs and provenance.
    checks
        ``events.registry.checks_frame`` of all events; a frame without columns where none was checked.
    candidates, hypotheses, bridge, blueprints
        Rows of the cutoff of the tables with these names; any may be empty.
    trials
        Rows of ``discovery.trials`` of every cutoff and run that counts.

    Returns
    -------
    dict
        Plain values only: dates as ISO text, a missing number as None. Long lists hold the best ``LISTED`` rows.

    Raises
    ------
    OntologyMismatch
        If a row of the cutoff was made under other specs.
    """
    specs = context.specs
    named = {"candidates": candidates, "hypotheses": hypotheses, "bridge": bridge, "blueprints": blueprints}
    for name, frame in named.items():
        require_ontology(frame, specs.ontology_hash, what=f"discovery.{name}")
    judged = tables.with_kind(hypotheses, candidates)
    trial_count, _ = trials_of(trials)
    gates = tables.gate_table(judged, specs, most=LISTED)
    report = {
        "headline": headline(judged, bridge),
        "verdict": verdict(judged, bridge, checks),
        "cutoff": context.cutoff,
        "last_bar_date": context.last_bar_date,
        "simulated": context.simulated,
        "ontology_hash": specs.ontology_hash,
        "snapshot_id": context.snapshot_id,
        "trial_count": trial_count,
        "level": specs.discovery.level,
        "test_label": specs.discovery.test_label,
        "windows": _windows(candidates, bridge),
        "prevalence": tables.prevalence(checks, specs, context.columns),
        "funnel": tables.funnel(judged, bridge),
        "findings": tables.findings(judged),
        "heat": tables.heat(judged),
        "effects": tables.effects(judged, candidates),
        "gates": gates,
        "bridge": _without_keys(bridge.sort("p_adjusted", *tables.CELL, nulls_last=True).head(LISTED)),
        "n_bridge": bridge.height,
        "blueprints": [json.loads(text) for text in blueprints["document"].head(LISTED)],
        "n_blueprints": blueprints.height,
        "conventions": dict(context.conventions),
    }
    plain: dict[str, Any] = _plain(report)
    return plain


def report_row(report: Mapping[str, Any], html_path: str) -> pl.DataFrame:
    """The report as its one row of ``discovery.report``."""
    row = {
        "last_bar_date": date.fromisoformat(report["last_bar_date"]),
        "json": json.dumps(report, allow_nan=False, sort_keys=True),
        "html_path": html_path,
        **{name: report[name] for name in ("cutoff", "simulated", "ontology_hash", "trial_count", "headline")},
    }
    return pl.DataFrame([row], schema=DiscoveryReport.create_empty().schema)


def headline(judged: pl.DataFrame, bridge: pl.DataFrame) -> str:
    """The result in one sentence, which says so when nothing survived.

    Parameters
    ----------
    judged
        Rows of ``discovery.hypotheses`` from :func:`report_tables.with_kind`; what cannot be traded has no say.
    bridge
        Rows of ``discovery.bridge``.
    """
    judged = judged.filter("tradable")
    tested = tables.cells(judged.filter("tested"))
    if tested == 0:
        evaluated = tables.cells(judged)
        if evaluated == 0:
            return "Nothing was evaluated: there is no event with an outcome, so nothing can be said."
        return (
            f"Nothing can be said: none of {evaluated:,} {_plural(evaluated, 'cell')} had enough events and days to be "
            "tested."
        )
    events = judged.filter("tested")["event_id"].n_unique()
    searched = f"{tested:,} {_plural(tested, 'test')} of {events} {_plural(events, 'event')}"
    discoveries = tables.cells(judged.filter("selected"))
    if discoveries == 0:
        return (
            f"Nothing survived: of {searched}, none stands out from chance once all of them are corrected for. "
            "That is a result."
        )
    standard = tables.cells(judged.filter(pl.col("track").cast(pl.String) == "standard"))
    if standard == 0:
        return (
            f"Nothing survived: {discoveries:,} of {searched} {_plural(discoveries, 'is', 'are')} more than chance, "
            "and none of them passes every gate on cost and stability. That is a result."
        )
    validated = tables.of_track(bridge, "validation", "standard")
    if validated.is_empty():
        return (
            f"{standard:,} of {searched} passed every gate on the training data; the validation data have not been "
            "looked at, so nothing is claimed."
        )
    passed = validated.filter(pl.col("verdict").cast(pl.String) == "pass")
    survivors = tables.cells(passed)
    if survivors == 0:
        return (
            f"Nothing survived: {standard:,} of {searched} passed every gate on the training data, and none of them "
            "passed on the data kept back. That is a result."
        )
    low, high = (float(str(end)) for end in (passed["net_bps"].min(), passed["net_bps"].max()))
    earned = f"{low:+.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{low:+.1f} to {high:+.1f}"
    return f"{survivors:,} of {searched} survived: {earned} bps per trade after cost on data kept back from the search."


def verdict(judged: pl.DataFrame, bridge: pl.DataFrame, checks: pl.DataFrame) -> list[str]:
    """What may be concluded and what may not, a sentence each."""
    found = [*_registry_words(checks), *_power_words(judged), *_bridge_words(bridge)]
    weaker = tables.cells(judged.filter(pl.col("track").cast(pl.String) == "fallback_only"))
    if weaker:
        found.append(
            f"{weaker:,} {_plural(weaker, 'cell')} passed the weaker bar only: kept for a look, never promoted."
        )
    sizes = tables.cells(judged.filter(~pl.col("tradable") & pl.col("selected")))
    if sizes:
        found.append(
            f"{sizes:,} {_plural(sizes, 'discovery', 'discoveries')} about the size of moves or the cost of trading: "
            "good for sizing and for staying out, not for a trade."
        )
    looked = bridge.filter(pl.col("window") == "test").height
    found.append(
        f"The test window was looked at for {looked:,} {_plural(looked, 'hypothesis', 'hypotheses')}; "
        "it is spent for them."
        if looked
        else "The test window has not been looked at."
    )
    return found


def _registry_words(checks: pl.DataFrame) -> list[str]:
    if checks.is_empty():
        return ["No event was held against its bounds."]
    counts = dict(checks.group_by("status").len().iter_rows())
    words = f"{counts.get('passed', 0)} of {checks.height} {_plural(checks.height, 'event')} passed the registry checks"
    others = [
        f"{counts[status]} {text}"
        for status, text in (
            ("failed", "failed them and should not be trusted"),
            ("never_fired", "never fired, which is no pass"),
            ("not_available", "could not be judged for want of inputs"),
            ("history_too_short", "had too little history"),
        )
        if counts.get(status)
    ]
    return ["; ".join([words, *others]) + "."]


def _power_words(judged: pl.DataFrame) -> list[str]:
    finding = pl.col("finding").cast(pl.String)
    absent, silent, small = (
        tables.cells(judged.filter(pl.col("counted") & (finding == name)))
        for name in ("no_effect", "cannot_say", "not_tested")
    )
    words = []
    if absent:
        words.append(
            f"In {absent:,} {_plural(absent, 'cell')} an effect as large as is plausible would have been seen and "
            f"was not: there, no effect of that size is the finding."
        )
    if silent:
        words.append(
            f"In {silent:,} {_plural(silent, 'cell')} an effect as large as is plausible could have been "
            "missed, or is not ruled out: there, nothing can be said either way."
        )
    if small:
        words.append(f"{small:,} {_plural(small, 'cell')} held too few events or days and {_was(small)} not tested.")
    return words


def _bridge_words(bridge: pl.DataFrame) -> list[str]:
    rows = tables.of_track(bridge, "validation", "standard")
    if rows.is_empty():
        return []
    outcome = pl.col("verdict").cast(pl.String)
    passed = tables.cells(rows.filter(outcome == "pass"))
    groups = rows.group_by("alias_group").agg(
        failed=(outcome == "fail").any() & ~(outcome == "pass").any(),
        unsaid=(outcome == "insufficient").all(),
    )
    failed, unsaid = int(groups["failed"].sum()), int(groups["unsaid"].sum())
    return [
        f"Of {groups.height:,} {_plural(groups.height, 'cell')} taken to the validation window {passed:,} passed, "
        f"{failed:,} failed and {unsaid:,} had too few trades to say."
    ]


def _windows(candidates: pl.DataFrame, bridge: pl.DataFrame) -> dict[str, object]:
    validation = bridge.filter(pl.col("window") == "validation")
    return {
        "train_start": candidates["train_start"].min(),
        "train_end": candidates["train_end"].max(),
        "validation_start": validation["window_start"].min(),
        "validation_end": validation["window_end"].max(),
    }


def _without_keys(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows without what stands once for the whole report."""
    return frame.drop("cutoff", "ontology_hash").to_dicts()


def _plural(count: int, one: str, many: str | None = None) -> str:
    return one if count == 1 else many or f"{one}s"


def _was(count: int) -> str:
    return _plural(count, "was", "were")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if isinstance(value, date) else value
