"""The setups of the week: qualified, nearly qualified, refused, and why."""

from __future__ import annotations

import re
from collections.abc import Sequence

from quant_platform.reports.charts import builders, formatting, theme
from quant_platform.reports.charts.builders import Field
from quant_platform.reports.charts.fields import Fields, fields, rows, value_of
from quant_platform.reports.charts.figures import Figure, Words
from quant_platform.reports.charts.markup import Html
from quant_platform.reports.charts.pages import Tile, figures, section
from quant_platform.reports.charts.tables import Cell, Column, Row, Table, number_cell, table, text_cell
from quant_platform.reports.queries import literal

BELOW = re.compile(r"^(\w+) (\S+) is below \w+ (\S+)$")
NOT_KNOWN = "the report holds no setups of its week"
COLUMNS = (
    Column("Ticker", numeric=False),
    Column("Side", numeric=False),
    Column("Entry", "close"),
    Column("Stop"),
    Column("Target"),
    Column("Risk", "bps of entry"),
    Column("R : R", "target / risk"),
    Column("P(target)", "stated"),
    Column("Expected", "R before cost"),
    Column("Confidence"),
    Column("Momentum", "percentile"),
)
KINDS = {
    "qualified": ("Qualified", "no setup passed every rule of the gate"),
    "nearly": ("Nearly: one rule alone refused", "no setup was refused by one rule alone"),
    "refused": ("Refused by several rules", "no setup was refused by several rules"),
}


def setups_tile(report: Fields) -> Tile:
    """How many setups the week has, for the head of the page."""
    setups = fields(report, "setups")
    counts = [value_of(setups, f"n_{name}") for name in KINDS]
    if None in counts:
        return Tile("Setups that qualify this week", Cell("", missing=NOT_KNOWN))
    qualified, nearly, refused = (formatting.count(count or 0.0) for count in counts)
    return Tile(
        "Setups that qualify this week",
        Cell(qualified, counts[0]),
        f"{nearly} more were refused by one rule alone, {refused} by several",
    )


def setups_section(report: Fields, *, anchor: str) -> Html:
    """The tables of the three kinds, and the rules that refuse."""
    setups = fields(report, "setups")
    listed = rows(setups, "rows")
    explanation = (
        "What the close of the week offers, in the order of confidence. A setup qualifies when no rule "
        "of the gate refuses it. Levels are adjusted prices at that close; a trade enters at the next open. Whether "
        "such setups have paid is said below: read that first."
    )
    blocks = [table(_table(setups, name, [row for row in listed if row.get("verdict") == name])) for name in KINDS]
    return section(
        "This week's setups",
        explanation,
        *blocks,
        figures(rule_figures(report), wide=True, empty="no rule refused a setup"),
        anchor=anchor,
        simulated=bool(report.get("simulated")),
    )


def _table(setups: Fields, name: str, listed: Sequence[Fields]) -> Table:
    caption, empty = KINDS[name]
    total = value_of(setups, f"n_{name}")
    with_reason = name != "qualified"
    short = total is not None and len(listed) < total
    return Table(
        caption=caption,
        columns=(*COLUMNS, *((Column("Why", numeric=False, wrap=True),) if with_reason else ())),
        rows=tuple(_row(row, with_reason=with_reason) for row in listed),
        note=f"The first {len(listed)} of {formatting.count(total or 0.0)}." if short else "",
        empty=NOT_KNOWN if total is None else empty,
    )


def _row(row: Fields, *, with_reason: bool) -> Row:
    because = "the candidates of the week do not hold it"
    reasons = [str(reason) for reason in row.get("refusals") or ()]
    cells = (
        text_cell(row.get("ticker")),
        text_cell(row.get("direction")),
        *(number_cell(row.get(name), 2, missing=because) for name in ("entry_reference", "stop", "target")),
        number_cell(row.get("stop_distance_bps"), 0, missing=because),
        number_cell(row.get("rr"), 2),
        number_cell(row.get("target_probability"), 1, percent=True),
        number_cell(row.get("expected_value_r"), signed=True),
        number_cell(row.get("confidence"), 0),
        number_cell(row.get("momentum_percentile"), 0, missing="no momentum: less than a year of prices"),
    )
    why = (text_cell("; ".join(map(_short, reasons)), missing="no reason was stored"),) if with_reason else ()
    return Row((*cells, *why), marked=not with_reason)


def _short(reason: str) -> str:
    """A reason as the page writes it: ``rr 0.8951 is below min_rr 1.2`` reads ``rr 0.90 < 1.2``."""
    found = BELOW.match(reason)
    if not found:
        return reason
    number = formatting.number(float(found[2]), 2) if found[2] != "missing" else found[2]
    return f"{found[1].replace('_', ' ')} {number} < {found[3]}"


def rule_figures(report: Fields) -> list[Figure]:
    """How many setups of the week each rule refuses, and how many it alone refuses."""
    counted = rows(fields(report, "setups"), "rules")
    return [_rule_figure(report, counted, key) for key in ("refused", "alone") if counted]


def _rule_figure(report: Fields, counted: Sequence[Fields], key: str) -> Figure:
    alone = key == "alone"
    placed = [{**row, "written": formatting.count(value_of(row, key) or 0.0)} for row in counted]
    condition = " and len(refusals) = 1" if alone else ""
    return builders.bars(
        placed,
        Words(
            "Setups that a rule alone refused" if alone else "Setups that each rule refused",
            "; ".join(f"{row['rule']} {row['written']}" for row in placed),
            note="one rule between them and the gate" if alone else "a setup may be refused by several",
            sql=(
                "-- a reason holds the setup's own number, which is taken out here\n"
                "select regexp_replace(split_part(reason, ':', 1), '^(\\w+) \\S+ is below ', '\\1 below ') as rule,\n"
                f"  count(*) as {key}\n"
                "from (\n  select unnest(refusals) as reason from replay.qualified\n"
                f"  where week = {literal(report.get('as_of_week'))}{condition}\n)\n"
                f"group by rule\norder by {key} desc, rule"
            ),
            simulated=bool(report.get("simulated")),
        ),
        row=Field("rule", "", "category"),
        value=Field(key, "setups", "count"),
        written=Field("written", "", "category"),
        colour=theme.LIGHT.second if alone else theme.LIGHT.first,
    )
