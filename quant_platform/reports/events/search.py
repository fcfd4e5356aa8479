"""What was searched: the events against the bounds of the registry, and the funnel from cells to survivors."""

from __future__ import annotations

from quant_platform.reports.charts import builders, formatting, theme
from quant_platform.reports.charts.builders import Field
from quant_platform.reports.charts.fields import Fields, rows, value_of
from quant_platform.reports.charts.figures import Figure, Words
from quant_platform.reports.charts.markup import Html
from quant_platform.reports.charts.pages import figures, section
from quant_platform.reports.charts.tables import Cell, Column, Row, Table, interval_text, number_cell, table, text_cell
from quant_platform.reports.queries import from_report, literal

STAGES = {
    "evaluated": ("Evaluated", "cells of hypotheses that one could trade"),
    "tested": ("Tested", "enough events and days, decided without a look at outcomes"),
    "economic": ("Pays its cost", "the shrunk effect, after cost and funding"),
    "conservative": ("Pays stressed cost", "the same with the cost multiplied"),
    "pays": ("Surely pays", "the whole interval after cost, widened for the selection"),
    "stable": ("Stable in time", "blocks agree, alike, none carries it alone"),
    "own_information": ("Own information", "enough weight on the cell's own data"),
    "discovery": ("Discovery", "rejected by the two-level false discovery procedure"),
    "validated": ("Passed validation", "on data kept back, direction fixed"),
}
QUESTIONS = {"direction": "Direction of returns", "relative_value": "Relative value", "risk": "Size and cost (risk)"}
STATUS = {
    "passed": "passed",
    "failed": "failed",
    "never_fired": "never fired",
    "not_available": "not available",
    "history_too_short": "history too short",
}


def family_words(family: object) -> str:
    """A family in reading case: ``TREND_STRUCTURE`` reads ``Trend structure``."""
    return str(family or "no family").replace("_", " ").capitalize()


def funnel_section(report: Fields, *, anchor: str) -> Html:
    """From cells evaluated to cells that passed validation, and what may be said about the rest."""
    stages = rows(report, "funnel")
    explanation = (
        "Each bar is what is left of the one above. A cell is one test of one event, horizon, symbol and "
        "state; templates that read the same test are one cell. The column on the right asks for one stage alone, of "
        "the cells that were tested: where a stage lets through many alone and few are left, the stages disagree."
    )
    shape = Table(
        caption="Cells left after each stage",
        columns=(
            Column("Stage", numeric=False),
            Column("Left", "cells"),
            Column("of the stage above", "%"),
            Column("Alone", "cells"),
        ),
        rows=tuple(_stage_row(row, above) for row, above in zip(stages, [{}, *stages], strict=False)),
        empty="the report has no funnel",
    )
    counts = Table(
        caption="What may be said, by question",
        columns=(
            Column("Question", numeric=False),
            Column("Cells"),
            Column("Discovery"),
            Column("No effect", "of plausible size"),
            Column("Cannot say", "too little power"),
            Column("Not tested", "too few events"),
        ),
        rows=tuple(
            Row(
                (
                    text_cell(QUESTIONS.get(str(row.get("question")), row.get("question"))),
                    *(
                        number_cell(row.get(name), 0)
                        for name in ("cells", "discovery", "no_effect", "cannot_say", "not_tested")
                    ),
                )
            )
            for row in rows(report, "findings")
        ),
        note="Tests of one question share a false discovery rate. Risk tests size trades; none of them is a trade.",
        empty="no cell was evaluated",
    )
    return section(
        "Funnel",
        explanation,
        figures(funnel_figures(report), wide=True, empty="the report has no funnel"),
        table(shape),
        table(counts),
        anchor=anchor,
        simulated=bool(report.get("simulated")),
    )


def _stage_row(row: Fields, above: Fields) -> Row:
    name = str(row.get("stage"))
    title, detail = STAGES.get(name, (name, ""))
    left, before = value_of(row, "left"), value_of(above, "left")
    share = left / before if left is not None and before else None
    because = "there is no stage above" if not above else "nothing was left above"
    return Row(
        (
            text_cell(title, detail=detail),
            number_cell(left, 0),
            number_cell(share, 1, percent=True, missing=because),
            number_cell(row.get("alone"), 0, missing="only cells that passed every gate are taken to validation"),
        ),
        marked=name == "validated",
    )


def funnel_figures(report: Fields) -> list[Figure]:
    """What is left after each stage, and what each stage alone lets through, of the cells that were tested."""
    stages = rows(report, "funnel")
    left = [row for row in stages if row.get("stage") != "evaluated"]
    alone = [row for row in left if value_of(row, "alone") is not None]
    drawn = []
    for title, shown, key in (
        ("Cells left after each stage", left, "left"),
        ("Tested cells that pass each stage alone", alone, "alone"),
    ):
        if shown:
            drawn.append(_funnel_figure(report, title, shown, key))
    return drawn


def _funnel_figure(report: Fields, title: str, shown: list[Fields], key: str) -> Figure:
    placed = [
        {
            "stage": STAGES.get(str(row.get("stage")), (str(row.get("stage")), ""))[0],
            key: count,
            "written": "n/a" if count is None else formatting.count(count),
        }
        for row in shown
        for count in (value_of(row, key),)
    ]
    return builders.bars(
        placed,
        Words(
            title,
            "; ".join(f"{row['stage']} {row['written']}" for row in placed),
            sql=from_report(
                "discovery.report",
                "cutoff",
                report.get("cutoff"),
                "funnel",
                {"stage": "varchar", key: "bigint"},
                where=f"stage <> 'evaluated' and {key} is not null",
            ),
            simulated=bool(report.get("simulated")),
        ),
        row=Field("stage", "", "category"),
        value=Field(key, "cells", "count"),
        written=Field("written", "", "category"),
        colour=theme.LIGHT.first if key == "left" else theme.LIGHT.second,
    )


def prevalence_section(report: Fields, *, anchor: str) -> Html:
    """How often each event was accepted, against its own bounds and those of the registry."""
    checked = rows(report, "prevalence")
    explanation = (
        "Accepted events per 10,000 bars on which the event could be judged, with a 95% Wilson interval, beside the "
        "bounds it was given. An event that fires far too often or hardly ever does not measure what its name says, "
        "and no effect of it should be believed; one whose inputs the data lack is not guessed at."
    )
    spec = Table(
        caption="Events against their bounds",
        columns=(
            Column("Event", numeric=False),
            Column("Status", numeric=False),
            Column("Events", "accepted"),
            Column("per 10,000 bars", "95%"),
            Column("Bounds", "per 10,000"),
            Column("Clustered", "% of events"),
            Column("Joined", "% with entry price"),
            Column("Symbols", "thin"),
        ),
        rows=tuple(_prevalence_row(row) for row in checked),
        note="Greyed rows could not be judged. Thin symbols have few events of this kind; they are not refused.",
        empty="no event was checked",
    )
    return section(
        "Events against their bounds",
        explanation,
        figures(_prevalence_figures(report, checked), wide=True, empty="no event could be judged"),
        table(spec),
        anchor=anchor,
        simulated=bool(report.get("simulated")),
    )


def _prevalence_row(row: Fields) -> Row:
    status = str(row.get("status"))
    judged = status in ("passed", "failed", "never_fired")
    absent = [str(name) for name in row.get("missing_inputs") or ()]
    if judged or row.get("reasons"):
        why = str(row.get("reasons") or "")
    elif status == "history_too_short":
        why = "no bar has enough rows before it"
    else:
        why = f"missing: {', '.join(absent)}" if absent else "no bar has all of its inputs"
    unjudged = "the event could not be judged"
    low, high = value_of(row, "bound_min"), value_of(row, "bound_max")
    bounds = "" if low is None or high is None else f"{low:g} to {high:g}"
    judged_bars = value_of(row, "bars")
    bars = "" if judged_bars is None else f"on {formatting.count(judged_bars)} bars"
    thin = [name for name in str(row.get("thin_symbols") or "").split("; ") if name]
    return Row(
        (
            text_cell(row.get("event_id"), detail=family_words(row.get("family"))),
            text_cell(STATUS.get(status, status), detail=why),
            number_cell(row.get("events") if judged else None, 0, detail=bars, missing=unjudged),
            number_cell(
                row.get("per_10k") if judged else None,
                2,
                detail=interval_text(row.get("per_10k_low"), row.get("per_10k_high"), 2) if judged else "",
                missing=unjudged,
            ),
            text_cell(bounds, missing="no bounds in the report"),
            number_cell(row.get("clustering"), 1, percent=True, missing="there is no event"),
            number_cell(row.get("join_rate"), 1, percent=True, missing="no event has an entry bar in the data"),
            _symbols_cell(row, thin),
        ),
        muted=not judged,
        marked=status == "failed",
    )


def _symbols_cell(row: Fields, thin: list[str]) -> Cell:
    detail = "" if not thin else f"{len(thin)} thin"
    return number_cell(row.get("symbols"), 0, detail=detail)


def _prevalence_figures(report: Fields, checked: list[Fields]) -> list[Figure]:
    """Two columns of events: the bounds as a pale span, the observed rate with its interval on it."""
    shown = [row for row in checked if row.get("status") in ("passed", "failed")]
    half = (len(shown) + 1) // 2
    ends = [value for row in shown for name in ("bound_max", "per_10k") if (value := value_of(row, name))]
    limits = (0.1, 1.5 * max([*ends, 10.0]))
    return [_prevalence_figure(report, part, limits) for part in (shown[:half], shown[half:]) if part]


def _prevalence_figure(report: Fields, part: list[Fields], limits: tuple[float, float]) -> Figure:
    first, last = str(part[0].get("event_id")), str(part[-1].get("event_id"))
    numbers = ("per_10k", "per_10k_low", "per_10k_high", "bound_min", "bound_max")
    floor = limits[0]
    placed = [
        {
            "event_id": row.get("event_id"),
            "per_10k": _on_log(value_of(row, "per_10k"), floor),
            **{
                name: None if value is None else max(value, floor)
                for name in numbers[1:]
                for value in (value_of(row, name),)
            },
            "failed": row.get("status") == "failed",
        }
        for row in part
    ]
    listed = ", ".join(literal(str(row.get("event_id"))) for row in part)
    return builders.dots_by_row(
        placed,
        Words(
            f"{first} to {last}",
            "Accepted events per 10,000 bars: " + "; ".join(_prevalence_words(row) for row in part),
            note="a star fails a check; pale are the bounds; on a log scale, so an event that never fired has no dot",
            sql=from_report(
                "discovery.report",
                "cutoff",
                report.get("cutoff"),
                "prevalence",
                {"event_id": "varchar", **dict.fromkeys(numbers, "double"), "status": "varchar"},
                where=f"event_id in ({listed})",
            ),
            simulated=bool(report.get("simulated")),
        ),
        row=Field("event_id", "", "category"),
        value=Field("per_10k", "accepted events per 10,000 bars", log=True, limits=limits, digits=2),
        low=Field("per_10k_low", "low, 95%", log=True, limits=limits, digits=2),
        high=Field("per_10k_high", "high, 95%", log=True, limits=limits, digits=2),
        span=(
            Field("bound_min", "bound, least", log=True, limits=limits, digits=2),
            Field("bound_max", "bound, most", log=True, limits=limits, digits=2),
        ),
        starred=Field("failed", "failed", "flag"),
    )


def _on_log(value: float | None, low: float) -> float | None:
    return None if value is None or value < low else value


def _prevalence_words(row: Fields) -> str:
    rate = value_of(row, "per_10k")
    written = "n/a" if rate is None else formatting.number(rate, 2)
    low, high = value_of(row, "bound_min"), value_of(row, "bound_max")
    bounds = "" if low is None or high is None else f", bounds {low:g} to {high:g}"
    return f"{row.get('event_id')}: {written}{bounds}"
