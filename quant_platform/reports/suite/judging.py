"""Sections of a tear sheet that judge: verdict, registration, variants, slices, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from quant_platform.reports.charts.markup import Html
from quant_platform.reports.charts.pages import (
    Tile,
    definitions,
    sentences,
)
from quant_platform.reports.charts.tables import Cell, Column, Row, Table, interval_text, number_cell, table, text_cell
from quant_platform.reports.suite.sheet import NOT_HELD, Sheet


def headline(sheet: Sheet) -> list[Tile]:
    """Numbers of the judged variant, and the best one of all."""
    row, best = sheet.overall[sheet.reference], sheet.overall[sheet.best]
    interval = interval_text(row["sharpe_net_low"], row["sharpe_net_high"], 2)
    return [
        Tile("Verdict", Cell(sheet.colour.upper()), f"judged on {sheet.reference}"),
        Tile("Registration", Cell(sheet.registered), sheet.origin.meaning),
        Tile("Net Sharpe ratio", number_cell(row["sharpe_net"], 2), f"95% {interval}; annual, no risk-free rate"),
        Tile("Best of all variants", number_cell(best["sharpe_net"], 2), f"{sheet.best}: what a search would show"),
        Tile(
            "Net return a year",
            number_cell(row["ann_return_net"], 1, percent=True),
            "mean per session times sessions per year",
        ),
        Tile(
            "Deflated probability",
            number_cell(sheet.measured("deflated_probability"), 3),
            "that it beats the best of as many worthless trials",
        ),
    ]


def verdict_section(sheet: Sheet) -> Html:
    """Rules with their distances."""
    rows = tuple(
        Row(
            (
                Cell(rule["code"]),
                Cell(rule["colour"]),
                Cell("yes" if rule["met"] else "no"),
                text_cell(rule["text"]),
                number_cell(rule["value"], missing=NOT_HELD),
                number_cell(rule["threshold"], missing="the rule has no number"),
                number_cell(rule["distance"], signed=True, missing="it cannot be measured"),
            ),
            marked=bool(rule["met"]) == (rule["colour"] != "green"),
        )
        for rule in sheet.verdicts.sort("rule").iter_rows(named=True)
    )
    ahead = [*(f"To the next colour: {text}" for text in sheet.findings.to_next), *sheet.findings.what_would_change]
    return sheet.part(
        "verdict",
        "Red rules are asked first; a rule of red or caution that holds is against the signal, a green one that "
        "does not hold is missing. The numbers asked for stand in specs/suite/verdict.yaml.",
        sentences([*sheet.findings.because, *ahead]),
        table(
            Table(
                caption="Every rule",
                columns=(
                    Column("Rule", numeric=False),
                    Column("About", numeric=False),
                    Column("Holds", numeric=False),
                    Column("Found", numeric=False, wrap=True),
                    Column("Measured"),
                    Column("Asked"),
                    Column("Distance", "to the better side, none at 0 or less"),
                ),
                rows=rows,
                note="Marked rows speak against the signal.",
            )
        ),
    )


def registration_section(sheet: Sheet) -> Html:
    """What was stated beforehand, what the locked holdout said of it, and how often it was looked at."""
    return sheet.part(
        "registration",
        "An experiment that is registered states hypothesis, sign, variants and criteria before its signal is "
        "judged. The last part of the sample is locked then and opened once; criteria of the variant that was "
        "named first decide, on these sessions alone.",
        sentences([f"{sheet.registered}: {sheet.origin.meaning}", f"Looks at the holdout: {sheet.origin.looks}"]),
        *(_stated(sheet) if sheet.criteria.height else ()),
    )


def _stated(sheet: Sheet) -> tuple[Html, Html]:
    first = sheet.criteria.row(0, named=True)
    opened = f"{first['opened_at']:%Y-%m-%d %H:%M} UTC by {first['opened_by']}" if first["opened_at"] else ""
    said = definitions(
        {
            "Experiment": Cell(first["experiment"]),
            "Hypothesis": Cell(first["hypothesis"]),
            "Expected sign": number_cell(first["expected_sign"], 0, signed=True),
            "Registered": Cell(f"{first['registered_at']:%Y-%m-%d %H:%M} UTC by {first['registered_by']}"),
            "Registrations of this signal so far": number_cell(first["registrations"], 0),
            "Hash of the statement": Cell(first["experiment_hash"]),
            "Locked from": Cell(str(first["holdout_from"])),
            "Looked at up to": text_cell(first["holdout_to"], missing="nothing of it"),
            "Opened": text_cell(opened or None, missing="not yet"),
        }
    )
    rows = tuple(
        Row(
            (
                Cell(row["variant"]),
                Cell("decides" if row["decides"] else "reported"),
                Cell(row["metric"]),
                number_cell(row["value"], 3, signed=True, missing="locked, or not among the results"),
                number_cell(row["above"], 3),
                text_cell(None if row["met"] is None else "yes" if row["met"] else "no", missing="locked"),
            ),
            marked=row["decides"] and row["met"] is False,
        )
        for row in sheet.criteria.sort("decides", "variant", "metric", descending=[True, False, False]).iter_rows(
            named=True
        )
    )
    return said, table(
        Table(
            caption="Criteria on the locked holdout",
            columns=(
                Column("Variant", numeric=False),
                Column("Role", numeric=False),
                Column("Metric", numeric=False),
                Column("Measured", "in the direction of the expected sign"),
                Column("Above", "what was asked for"),
                Column("Met", numeric=False),
            ),
            rows=rows,
            note="Marked rows decide and were not met.",
        )
    )


def variants_section(sheet: Sheet) -> Html:
    """All variants, gross and net, and those that could not be computed."""
    rows = [Row(_summary_cells(Cell(name), row), marked=name == sheet.reference) for name, row in sheet.overall.items()]
    rows += [
        Row((Cell(name), *(Cell("", missing=cause) for _ in range(8))), muted=True)
        for name, cause in sheet.findings.not_available.items()
    ]
    return sheet.part(
        "variants",
        "Each variant was computed and counts as a trial. lag: sessions that entry waits beyond the earliest; "
        f"resid: what was taken out of the signal. The marked one is judged."
        f"{_of_funding(sheet)}{_of_ends(sheet)}",
        table(_summary_table("Variants over the whole sample", "Variant", rows)),
    )


def _of_funding(sheet: Sheet) -> str:
    """How often funding was not known, where it is due and any of it was not."""
    share = sheet.measured("funding_unknown_share", sheet.reference)
    if not share:
        return ""
    held = sheet.measured("positions_without_funding", sheet.reference) or 0.0
    return (
        f" Over {share:.1%} of the returns funding is not known, at least in part: it is in none of them, and what is "
        f"held then pays a stated cost, long or short ({held:,.0f} positions, one a day)."
    )


def _of_ends(sheet: Sheet) -> str:
    """How many names went, nobody says at what, where there are any."""
    unknown = sheet.measured("names_gone_unknown", sheet.reference)
    if not unknown:
        return ""
    gone = sheet.measured("names_gone", sheet.reference) or unknown
    held = sheet.measured("positions_into_unknown_ends", sheet.reference) or 0.0
    return (
        f" Of {gone:,.0f} names that are gone, no source says for {unknown:,.0f} what their holders got: no statistic "
        f"has their last return, and who was long pays a stated loss ({held:,.0f} positions were held, long or short)."
    )


def slices_section(sheet: Sheet) -> Html:
    """The judged variant by year, cap bucket, industry and regime."""
    rows = [
        Row(_summary_cells(Cell(f"{row['slice_kind']} {row['slice']}"), row))
        for row in sheet.results.filter(
            (pl.col("variant") == sheet.reference) & (pl.col("slice_kind") != "overall")
        ).iter_rows(named=True)
    ]
    return sheet.part(
        "slices",
        "Years and regimes are parts of the sample; cap buckets and industries are contributions of the names in "
        "them to the same book.",
        table(_summary_table(f"{sheet.reference} in parts", "Part", rows)),
    )


def where_section(sheet: Sheet) -> Html:
    """What it was computed from."""
    origin = sheet.origin
    return sheet.part(
        "origin",
        "Every number of this page carries the id of its snapshot and can be computed again from it.",
        definitions(
            {
                "Signal": Cell(origin.signal),
                "Author": Cell(origin.author),
                "Registered": Cell(origin.submitted_at),
                "Hash of its rows": Cell(origin.signal_hash),
                "Snapshot": Cell(origin.snapshot_id),
                "Its securities": Cell(origin.names),
                "Preset": Cell(origin.preset),
            }
        ),
    )


def _summary_table(caption: str, first: str, rows: Sequence[Row]) -> Table:
    return Table(
        caption=caption,
        columns=(
            Column(first, numeric=False),
            Column("Net Sharpe", "annual, 95% interval"),
            Column("Gross Sharpe", "annual"),
            Column("Net return", "a year"),
            Column("Gross return", "a year"),
            Column("Volatility", "a year"),
            Column("Drawdown", "deepest, net"),
            Column("Turnover", "per session, both legs"),
            Column("Sessions"),
        ),
        rows=tuple(rows),
        empty="the preset has no slices",
    )


def _summary_cells(name: Cell, row: Mapping[str, Any]) -> tuple[Cell, ...]:
    missing = "not defined for this part"
    interval = interval_text(row["sharpe_net_low"], row["sharpe_net_high"], 2)
    return (
        name,
        number_cell(row["sharpe_net"], 2, signed=True, detail=interval, missing=missing),
        number_cell(row["sharpe_gross"], 2, signed=True, missing=missing),
        number_cell(row["ann_return_net"], 1, percent=True, signed=True, missing=missing),
        number_cell(row["ann_return_gross"], 1, percent=True, signed=True, missing=missing),
        number_cell(row["ann_volatility"], 1, percent=True, missing=missing),
        number_cell(row["max_drawdown_net"], 1, percent=True, missing=missing),
        number_cell(row["turnover"], 3, missing=missing),
        number_cell(row["sessions"], 0),
    )
