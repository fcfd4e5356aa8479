"""What is left: gates with the numbers they were judged on, the bridge out of sample, and the blueprints."""

from __future__ import annotations

from collections.abc import Callable

from quant_platform.reports.charts import formatting
from quant_platform.reports.charts.fields import Fields, fields, rows, value_of
from quant_platform.reports.charts.markup import Html
from quant_platform.reports.charts.pages import cards, section
from quant_platform.reports.charts.tables import (
    Cell,
    Column,
    Row,
    Table,
    interval_text,
    number_cell,
    p_cell,
    table,
    text_cell,
)
from quant_platform.reports.events.effects import horizon_words

PASSED, FAILED = "✓", "✗"
TRACKS = {"standard": "standard", "fallback_only": "weaker bar only", "none": "none"}
# Gate: heading, and what its bar is to the number.
GATES = {
    "gate_sample": ("Events", "at least"),
    "gate_economic": ("Net", "bps, at least"),
    "gate_economic_conservative": ("Stressed", "bps, at least"),
    "gate_pays": ("Net, lower limit", "bps, at least"),
    "gate_stability": ("Blocks agree", "at least"),
    "gate_heterogeneity": ("Blocks alike", "p, at least"),
    "gate_leave_one_out": ("One left out", "t, at least"),
    "gate_recent": ("Recent", "t, at least"),
    "gate_symbols": ("Symbols", "t without one, at least"),
    "gate_concentration": ("One block's share", "at most"),
    "gate_state_information": ("Own weight", "at least"),
    "gate_discovery": ("q in its group", "at most its level, group selected"),
    "gate_power": ("Detectable", "bps, at most plausible"),
}


def cell_name(row: Fields) -> str:
    """Template, horizon, symbol and state of a cell in one line."""
    bars = value_of(row, "horizon_bars")
    symbol = "all symbols" if row.get("symbol") == "ALL" else str(row.get("symbol"))
    parts = [str(row.get("template")), "n/a" if bars is None else horizon_words(bars), symbol]
    if row.get("dimension") not in ("ALL", None):
        parts.append(f"{row.get('dimension')} = {row.get('state')}")
    return ", ".join(parts)


def gate_section(report: Fields, *, anchor: str) -> Html:
    """How many cells pass each gate, and the cells that came furthest with every number they were judged on."""
    gates = fields(report, "gates")
    explanation = (
        "Every hypothesis is held to every gate, and every gate to a number and a bar that stood before the data were "
        "looked at. Net and stressed effects are shrunk ones; the lower limit is of the effect as measured, its "
        "interval widened for having been selected. Power refuses nothing: it decides between no effect and cannot "
        "say."
    )
    return section(
        "Gates",
        explanation,
        table(_gate_counts(gates)),
        table(_gate_rows(gates)),
        anchor=anchor,
        simulated=bool(report.get("simulated")),
    )


def _gate_counts(gates: Fields) -> Table:
    bars = fields(gates, "bars")
    lines = []
    for row in rows(gates, "passed"):
        name = str(row.get("gate"))
        heading, relation = GATES.get(name, (name, ""))
        bar, passed, of = value_of(bars, name), value_of(row, "passed"), value_of(row, "of")
        lines.append(
            Row(
                (
                    text_cell(name.removeprefix("gate_").replace("_", " ").capitalize()),
                    text_cell(f"{heading}: {relation}"),
                    number_cell(bar, missing="the bar is the cell's own") if bar is None else Cell(f"{bar:g}", bar),
                    number_cell(passed, 0),
                    number_cell(passed / of if passed is not None and of else None, 1, percent=True, missing="no cell"),
                ),
                muted=name == "gate_power",
            )
        )
    return Table(
        caption="Tested cells that pass each gate",
        columns=(
            Column("Gate", numeric=False),
            Column("Judged on", numeric=False),
            Column("Bar"),
            Column("Passed", "cells"),
            Column("Share", "of tested"),
        ),
        rows=tuple(lines),
        empty="the report has no gates",
    )


def _gate_rows(gates: Fields) -> Table:
    bars, listed = fields(gates, "bars"), rows(gates, "rows")
    total = value_of(gates, "n_rows") or 0.0
    return Table(
        caption="Cells that came furthest",
        columns=(
            Column("Event", numeric=False),
            Column("Track", numeric=False),
            Column("Effect", "bps, 1 s.e."),
            Column("p", "raw and shrunk"),
            *(Column(heading, _bar_words(relation, bars.get(name))) for name, (heading, relation) in GATES.items()),
        ),
        rows=tuple(_gate_row(row) for row in listed),
        note=(
            f"{formatting.count(len(listed))} of {formatting.count(total)} tested cells, best reading of each: "
            f"survivors first, then the weaker track, then those that fail the fewest gates. {PASSED} passed, "
            f"{FAILED} failed. Being listed is no evidence: someone is always the best of many."
        ),
        empty="no cell that one could trade was tested",
    )


def _bar_words(relation: str, bar: object) -> str:
    return relation if bar is None else f"{relation} {bar:g}" if isinstance(bar, int | float) else relation


def _gate_row(row: Fields) -> Row:
    def judged(gate: str, name: str, decimals: int, *, signed: bool = False, detail: str = "") -> Cell:
        mark = PASSED if row.get(gate) is True else FAILED
        cell = number_cell(row.get(name), decimals, signed=signed, detail=detail, missing="no number, so not passed")
        if not cell.text and row.get(gate) is True:
            return Cell(mark, detail="of one symbol")
        return Cell(f"{cell.text} {mark}", cell.value, cell.detail) if cell.text else cell

    error, days = value_of(row, "standard_error_bps"), value_of(row, "n_days")
    level, group, plausible = (value_of(row, name) for name in ("level_within", "q_level1", "plausible_bps"))
    held = [
        f"{word} {formatting.number(value, decimals)}"
        for word, value, decimals in (("level", level, 4), ("group", group, 3))
        if value is not None
    ]
    track = str(row.get("track"))
    p = p_cell(row.get("p_fdr"))
    return Row(
        (
            text_cell(row.get("event_id"), detail=cell_name(row)),
            text_cell(TRACKS.get(track, track), detail=str(row.get("finding") or "").replace("_", " ")),
            number_cell(
                row.get("effect_bps"),
                1,
                signed=True,
                detail="" if error is None else f"± {formatting.number(error, 1)}",
                missing="no outcome",
            ),
            p,
            judged("gate_sample", "n", 0, detail="" if days is None else f"{formatting.count(days)} days"),
            judged("gate_economic", "shrunk_net_bps", 1, signed=True),
            judged("gate_economic_conservative", "shrunk_stressed_bps", 1, signed=True),
            judged("gate_pays", "net_low_bps", 1, signed=True),
            judged("gate_stability", "blocks_agreeing", 0),
            judged("gate_heterogeneity", "heterogeneity_p", 3),
            judged("gate_leave_one_out", "leave_one_out_t", 2, signed=True),
            judged("gate_recent", "recent_t", 2, signed=True),
            judged("gate_symbols", "leave_one_symbol_out_t", 2, signed=True),
            judged("gate_concentration", "largest_block_share", 2),
            judged("gate_state_information", "own_weight", 2),
            judged("gate_discovery", "q_level2", 3, detail=", ".join(held)),
            judged(
                "gate_power",
                "mde_bps",
                1,
                detail="" if plausible is None else f"plausible {formatting.number(plausible, 1)}",
            ),
        ),
        marked=track == "standard",
    )


def bridge_section(report: Fields, *, anchor: str) -> Html:
    """Survivors of training on data that the search has not seen."""
    listed, total = rows(report, "bridge"), value_of(report, "n_bridge") or 0.0
    explanation = (
        "What passed the gates is traded once on data kept back, an embargo after the training window, with direction, "
        "template and cell fixed. Only these few are looked at, so only these few are corrected for "
        "(false discovery rate over the standard cells). Expect the "
        "ratio of the effect here to the one in training to be below one: the best were chosen."
    )
    spec = Table(
        caption="Out of sample",
        columns=(
            Column("Event", numeric=False),
            Column("Verdict", numeric=False),
            Column("Trades", "days"),
            Column("Gross", "bps"),
            Column("Cost", "bps, with funding"),
            Column("Net", "bps, 1 s.e."),
            Column("Stressed", "bps"),
            Column("p", "one-sided, q over standard cells"),
            Column("Edge", "times cost"),
            Column("In training", "bps gross"),
            Column("Out over in"),
        ),
        rows=tuple(_bridge_row(row) for row in listed),
        note=f"{formatting.count(len(listed))} of {formatting.count(total)} rows, smallest p first.",
        empty="nothing passed the gates, so there was nothing to take there",
    )
    return section("Out of sample", explanation, table(spec), anchor=anchor, simulated=bool(report.get("simulated")))


def _bridge_row(row: Fields) -> Row:
    because = "no trade in the window"
    verdict, track = str(row.get("verdict")), str(row.get("track"))
    days, error, funding = (value_of(row, name) for name in ("n_days", "standard_error_bps", "funding_bps"))
    cost = value_of(row, "cost_bps")
    reasons = "; ".join(str(reason) for reason in row.get("reasons") or ())
    raw_p = value_of(row, "p_one_sided")
    holm = p_cell(row.get("p_adjusted"), missing=because)
    return Row(
        (
            text_cell(row.get("event_id"), detail=f"{cell_name(row)}; {row.get('window')}, {TRACKS.get(track, track)}"),
            text_cell(verdict, detail=reasons),
            number_cell(row.get("n_trades"), 0, detail="" if days is None else f"{formatting.count(days)} days"),
            number_cell(row.get("gross_bps"), 1, signed=True, missing=because),
            number_cell(None if cost is None else cost + (funding or 0.0), 1, missing=because),
            number_cell(
                row.get("net_bps"),
                1,
                signed=True,
                detail="" if error is None else f"± {formatting.number(error, 1)}",
                missing=because,
            ),
            number_cell(row.get("stressed_bps"), 1, signed=True, missing=because),
            Cell(holm.text, holm.value, "" if raw_p is None else f"alone {formatting.p_value(raw_p)}", holm.missing),
            number_cell(row.get("edge_over_cost"), 2, signed=True, missing=because),
            number_cell(row.get("in_sample_bps"), 1, signed=True),
            number_cell(row.get("out_over_in"), 2, signed=True, missing=because),
        ),
        marked=verdict == "pass" and track == "standard",
        muted=verdict == "insufficient" or track != "standard",
    )


def blueprint_section(report: Fields, *, anchor: str) -> Html:
    """One card per blueprint: what to do, what it costs, and why to believe it."""
    documents, total = rows(report, "blueprints"), value_of(report, "n_blueprints") or 0.0
    explanation = (
        "A blueprint is a hypothesis that passed the bridge, written so that it can be traded: rule, entry, exit, "
        "caps, costs and evidence. It is a candidate for paper trading, not a promise."
    )
    shown = {
        str(document.get("blueprint_id") or f"blueprint {place}"): _terms(document)
        for place, document in enumerate(documents, start=1)
    }
    if len(documents) < total:
        explanation += f" {formatting.count(len(documents))} of {formatting.count(total)} are shown."
    return section(
        "Blueprints",
        explanation,
        cards(shown, empty="nothing passed the bridge, so there is nothing to trade"),
        anchor=anchor,
        simulated=bool(report.get("simulated")),
    )


def _terms(document: Fields) -> dict[str, Cell]:
    rule, entry, leave, costs, evidence, sizing = (
        fields(document, part) for part in ("rule", "entry", "exit", "costs", "evidence", "sizing")
    )
    state = fields(rule, "state")
    side = value_of(document, "side")
    aliases = [str(name) for name in document.get("aliases") or ()]
    bars, lag = value_of(leave, "horizon_bars"), value_of(entry, "lag_bars")
    template = text_cell(document.get("template"), detail=f"also read as {', '.join(aliases)}" if aliases else "")
    return {
        "Event": text_cell(rule.get("event_id"), detail=str(rule.get("condition") or "")),
        "Template": template,
        "Side": text_cell(None if side is None else "with the impulse" if side > 0 else "against the impulse"),
        "Symbols": text_cell(", ".join(str(name) for name in document.get("symbols") or ())),
        "State": text_cell(", ".join(f"{name} = {value}" for name, value in state.items()) or "any"),
        "Entry": _sentence(
            entry.get("order"), lag, lambda at: f"{at:g} {'bar' if at == 1 else 'bars'} after the event's"
        ),
        "Exit": text_cell(None if bars is None else f"after {horizon_words(bars)}", detail=_levels(leave)),
        "Cap per trade": number_cell(sizing.get("max_weight_per_trade"), 1, percent=True),
        "Cost": number_cell(costs.get("cost_bps"), 1, detail="bps per round trip, funding aside"),
        "Training": number_cell(
            evidence.get("effect_bps"),
            1,
            signed=True,
            detail=_training_words(evidence),
        ),
        "Validation": number_cell(
            evidence.get("validation_net_bps"),
            1,
            signed=True,
            detail=_validation_words(evidence),
        ),
    }


def _sentence(order: object, value: float | None, words: Callable[[float], str]) -> Cell:
    written = str(order or "").replace("_", " ")
    return text_cell(written, detail="" if value is None else words(value))


def _levels(leave: Fields) -> str:
    named = [
        f"{name} {fields(leave, name).get('kind')}" for name in ("target", "stop") if fields(leave, name).get("kind")
    ]
    return ", ".join(named) if named else "no target, no stop"


def _training_words(evidence: Fields) -> str:
    shrunk, n, tests, p = (value_of(evidence, name) for name in ("shrunk_bps", "n", "n_tests", "p_fdr"))
    parts = ["bps before cost"]
    error, effect = value_of(evidence, "standard_error_bps"), value_of(evidence, "effect_bps")
    if error is not None and effect is not None:
        parts.append(f"one s.e. {interval_text(effect - error, effect + error, 1, signed=True)}")
    if shrunk is not None:
        parts.append(f"shrunk {formatting.number(shrunk, 1, signed=True)}")
    if n is not None:
        parts.append(f"n = {formatting.count(n)}")
    if p is not None and tests is not None:
        parts.append(f"p {formatting.p_value(p)} among {formatting.count(tests)} tests")
    return "; ".join(parts)


def _validation_words(evidence: Fields) -> str:
    trades, p, stressed = (
        value_of(evidence, name) for name in ("validation_trades", "validation_p_adjusted", "validation_stressed_bps")
    )
    parts = ["bps after cost"]
    if stressed is not None:
        parts.append(f"{formatting.number(stressed, 1, signed=True)} at stressed cost")
    if trades is not None:
        parts.append(f"{formatting.count(trades)} trades")
    if p is not None:
        parts.append(f"p {formatting.p_value(p)} corrected")
    return "; ".join(parts)
