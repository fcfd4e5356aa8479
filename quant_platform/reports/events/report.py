"""The discovery report of the event lab as one HTML file: what was searched, what is left, and what may be said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quant_platform.contracts.findings import DataChecks
from quant_platform.reports.charts import formatting
from quant_platform.reports.charts.fields import Fields, fields, plain_cell, rows, value_of, words
from quant_platform.reports.charts.figures import SIMULATED
from quant_platform.reports.charts.markup import Html, element
from quant_platform.reports.charts.pages import (
    Tile,
    contents,
    definitions,
    heading,
    page,
    paragraph,
    section,
    sentences,
    tiles,
)
from quant_platform.reports.charts.tables import Cell, number_cell, text_cell
from quant_platform.reports.data_checks import ANCHOR, data_checks_section
from quant_platform.reports.events.effects import effect_section, heat_section
from quant_platform.reports.events.search import funnel_section, prevalence_section
from quant_platform.reports.events.survivors import blueprint_section, bridge_section, gate_section

ANCHORS = {
    "verdict": "Verdict",
    "funnel": "Funnel",
    "prevalence": "Events against their bounds",
    "heat": "q by family and horizon",
    "effects": "Effects by horizon",
    "gates": "Gates",
    "bridge": "Out of sample",
    "blueprints": "Blueprints",
    ANCHOR: "Data checks",
    "provenance": "Provenance",
}


def render_discovery_report(report: Mapping[str, Any], checks: DataChecks | None = None) -> str:
    """Render the discovery report of a cutoff.

    Parameters
    ----------
    report
        The dict of ``discovery.report.build_report``. Rows have the column names of their tables.
    checks
        What the audit of the home says when the page is written.

    Returns
    -------
    str
        A whole HTML document that loads nothing: see :func:`~quant_platform.reports.charts.pages.page`.

    Raises
    ------
    StatisticError
        When a field has another type than its table declares.

    Notes
    -----
    **Missing values.** A key or value that is missing (absent, None or NaN) is written "n/a" with the reason; nothing
    is estimated here. The page shows the numbers of the report, rounded, with full precision behind them.
    """
    simulated = bool(report.get("simulated"))
    cutoff = str(report.get("cutoff") or "n/a")
    return page(
        f"Discovery report, data up to {cutoff}",
        heading(
            "Event lab: discovery report",
            f"What follows events, data up to {cutoff}",
            str(report.get("headline") or "n/a (the report has no headline)"),
            tiles(_headline_tiles(report)),
            contents(ANCHORS),
        ),
        element(
            "main",
            _verdict_section(report),
            funnel_section(report, anchor="funnel"),
            prevalence_section(report, anchor="prevalence"),
            heat_section(report, anchor="heat"),
            effect_section(report, anchor="effects"),
            gate_section(report, anchor="gates"),
            bridge_section(report, anchor="bridge"),
            blueprint_section(report, anchor="blueprints"),
            data_checks_section(checks, simulated=simulated),
        ),
        element("footer", _provenance_section(report)),
        simulated=simulated,
    )


def _headline_tiles(report: Fields) -> list[Tile]:
    stages = {str(row.get("stage")): row for row in rows(report, "funnel")}
    checked = rows(report, "prevalence")
    passed = sum(row.get("status") == "passed" for row in checked)
    no_funnel = "the report has no funnel"

    def left(stage: str) -> Cell:
        return number_cell(stages.get(stage, {}).get("left"), 0, missing=no_funnel)

    return [
        Tile("Survivors", left("validated"), "passed every gate, and the validation data"),
        Tile("Passed every gate", left("discovery"), "on the training data"),
        Tile(
            "Discoveries",
            number_cell(stages.get("discovery", {}).get("alone"), 0, missing=no_funnel),
            f"two-level false discovery rate of {_percent(report.get('level'))}, costs aside",
        ),
        Tile("Cells tested", left("tested"), "that one could trade; each test counts once"),
        Tile(
            "Events that passed the registry",
            Cell(f"{passed} of {len(checked)}") if checked else Cell("", missing="no event was checked"),
            "as often as expected, not in clusters, with a price to enter at",
        ),
        Tile(
            "Trials in the ledger",
            number_cell(report.get("trial_count"), 0),
            "all tests made up to this cutoff, sizes and costs included: the best of many looks better than it is",
        ),
    ]


def _verdict_section(report: Fields) -> Html:
    said = report.get("verdict")
    lines = [str(line) for line in said] if isinstance(said, list | tuple) else []
    explanation = (
        "In plain words. That nothing survived is a result like any other, as long as the search could have seen "
        "something: a cell whose smallest detectable effect is larger than any plausible one says nothing."
    )
    return section(
        "Verdict",
        explanation,
        sentences(lines) if lines else paragraph("n/a (the report has no verdict)"),
        anchor="verdict",
        simulated=bool(report.get("simulated")),
    )


def _provenance_section(report: Fields) -> Html:
    simulated = bool(report.get("simulated"))
    windows = fields(report, "windows")
    terms = {
        "Cutoff (month whose end closes the data)": text_cell(report.get("cutoff")),
        "Last bar": text_cell(formatting.day(report.get("last_bar_date"))),
        "Data": text_cell(f"{SIMULATED} market" if simulated else "real market data"),
        "Training window": _window_cell(windows, "train", "no cell was evaluated"),
        "Validation window": _window_cell(windows, "validation", "no cell was taken there"),
        "Ontology hash": text_cell(report.get("ontology_hash")),
        "Snapshot": text_cell(report.get("snapshot_id"), missing="no snapshot of the data was made"),
        "Trials in the ledger": number_cell(report.get("trial_count"), 0),
        "Return tested": text_cell(report.get("test_label")),
        "False discovery rate": number_cell(value_of(report, "level"), 1, percent=True),
    }
    terms |= {words(key): plain_cell(key, value) for key, value in fields(report, "conventions").items()}
    explanation = (
        "Everything on this page follows from the data up to the last bar and from the specification with this hash; "
        "another hash is another experiment, and its trials are added to the ledger."
    )
    return section(
        "Provenance and conventions",
        explanation,
        definitions(terms),
        paragraph(
            "Effects are in basis points per trade. Intervals are 95%, their errors clustered by UTC day, by week for "
            "long horizons. One bar is five minutes; entry is at the open of a later bar than the event's."
        ),
        anchor="provenance",
        simulated=simulated,
    )


def _window_cell(windows: Fields, name: str, missing: str) -> Cell:
    start, end = (formatting.day(windows.get(f"{name}_{side}"))[:10] for side in ("start", "end"))
    return text_cell(f"{start} to {end}" if start and end else None, missing=missing)


def _percent(value: Any) -> str:
    held = formatting.finite(value)
    return "n/a" if held is None else formatting.percent(held, 0)
