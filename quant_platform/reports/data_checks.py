"""The section of every page that says what the checks of the data found: the audit tables, in words and counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quant_platform.contracts.findings import DataChecks
from quant_platform.reports.charts.markup import Html
from quant_platform.reports.charts.pages import paragraph, section
from quant_platform.reports.charts.tables import Cell, Column, Row, Table, number_cell, table, text_cell

ANCHOR = "data-checks"
TITLE = "What the data checks found"
_COLUMNS = (
    Column("Finding", numeric=False),
    Column("What was found", numeric=False, wrap=True),
    Column("Rows or names"),
    Column("Share", "of all"),
    Column("First of them", numeric=False, wrap=True),
    Column("What to do", numeric=False, wrap=True),
)


def data_checks_section(checks: DataChecks | None, *, simulated: bool) -> Html:
    """The audit as a section of a page.

    Parameters
    ----------
    checks
        What the audit says; None where none was made, which the section says.
    simulated
        Whether the data are.

    Notes
    -----
    The audit is of the data as they are stored when the page is written. A page of a past week shows it too, beside
    numbers that were known then.
    """
    explanation = (
        "Rows that were kept out, facts that the prices contradict, names that nothing matched, sections that stay "
        "empty: of the data as they were stored when this page was written."
    )
    if checks is None:
        blocks = [paragraph("n/a (no audit was made before this page: `quant run equity_audit`)")]
    else:
        shown = [_row(row) for row in checks.findings.to_dicts()]
        blocks = [
            paragraph(checks.verdict),
            table(Table(TITLE, _COLUMNS, tuple(shown), empty="nothing was found that a reader must know")),
        ]
    return section(TITLE, explanation, *blocks, anchor=ANCHOR, simulated=simulated)


def _row(row: Mapping[str, Any]) -> Row:
    severity, named = str(row["severity"]), row["examples"]
    return Row(
        (
            Cell(str(row["kind"]).replace("_", " "), detail=f"{severity}; {row['where']}"),
            text_cell(row["what"]),
            number_cell(row["rows"], 0),
            number_cell(row["share"], 2, percent=True, missing="there is no sensible whole"),
            text_cell(", ".join(named), missing="it names none"),
            text_cell(row["action"], missing="nothing needs to be done"),
        ),
        muted=severity == "info",
        marked=severity == "refused",
    )
