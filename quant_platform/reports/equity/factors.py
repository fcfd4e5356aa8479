"""Signal edge: what each factor's IC is worth, how it decays with the horizon, and how it came about over time."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from typing import Any

from quant_platform.reports.charts import builders, formatting, theme
from quant_platform.reports.charts.builders import Field
from quant_platform.reports.charts.fields import Fields, rows, value_of
from quant_platform.reports.charts.figures import Figure, Words
from quant_platform.reports.charts.markup import Html
from quant_platform.reports.charts.pages import figures, section
from quant_platform.reports.charts.tables import Cell, Column, Row, Table, interval_text, number_cell, table, text_cell
from quant_platform.reports.equity.survivorship import sign_remark, survivorship_warning
from quant_platform.reports.queries import as_of, literal

STAR = "★"


def edge_section(report: Fields, *, anchor: str) -> Html:
    """The IC table at the main horizon; unreliable factors are greyed and never starred."""
    horizon = report.get("horizon_sessions")
    span = f"{horizon}-session" if horizon is not None else "forward"
    spec = Table(
        caption=f"Information coefficient by factor, {span} returns",
        columns=(
            Column("Factor", numeric=False),
            Column("Mean IC", "Spearman"),
            Column("sd", "of IC"),
            Column("ICIR", "per rebalance"),
            Column("n", "weeks"),
            Column("n", "independent"),
            Column("t", "non-overlapping, mean of phases"),
            Column("p", "phases combined; Holm"),
            Column("t", "EWC"),
            Column("Q5 − Q1", "mean return, 95%"),
            Column("IC, log return", "Pearson of rank"),
            Column("Precise", numeric=False),
            Column("Reliable", numeric=False),
        ),
        rows=tuple(_edge_row(row, sign_remark(report, row)) for row in rows(report, "signal_edge")),
        note=(
            f"{STAR} significant: the p of all phases combined is small after Holm's adjustment for all factors of the "
            "table, on enough windows for a p to be believed. Greyed rows are not reliable: too few independent "
            "windows to be read, whatever the t. Precise says that two standard errors of the mean IC are small. The "
            "naive t over overlapping weeks is not shown: it rejects a true null far too often."
        ),
        empty="no factor has a summary for this week",
    )
    explanation = (
        f"Each week the names are ranked by a factor and the ranks compared with the {span} returns that followed. "
        "Neighbouring weeks share most of their return window, so the primary t uses windows that do not overlap and "
        "the cosine (EWC) t is the second opinion. A rank IC is not about means: read it beside the quintile spread "
        "and the IC of log returns; where they disagree in sign, skewness is at work, not an edge."
    )
    return section(
        "Signal edge",
        explanation,
        survivorship_warning(report),
        table(spec),
        anchor=anchor,
        simulated=bool(report.get("simulated")),
    )


def _edge_row(row: Fields, wrong_sign: str) -> Row:
    reliable = row.get("reliable") is True
    starred = reliable and row.get("starred") is True
    because = "the series is too short"
    return Row(
        cells=(
            text_cell(f"{row.get('factor') or 'unnamed'}{' ' + STAR if starred else ''}"),
            replace(number_cell(row.get("ic"), signed=True, missing="no week had enough names"), remark=wrong_sign),
            number_cell(row.get("ic_sd"), missing=because),
            number_cell(row.get("icir"), signed=True, missing=because),
            number_cell(row.get("n_weeks"), 0),
            number_cell(row.get("n_independent"), 0),
            number_cell(row.get("t_nonoverlapping"), 2, signed=True, missing=because),
            _combined_p(row, because),
            _t_cell(row, "ewc", because),
            number_cell(
                row.get("spread"),
                1,
                signed=True,
                percent=True,
                detail=interval_text(row.get("spread_low"), row.get("spread_high"), 1, signed=True, percent=True)
                or "no interval",
                missing="no week had two full quintiles",
            ),
            number_cell(row.get("ic_log"), signed=True, missing="no week had enough names"),
            text_cell("yes")
            if row.get("precise") is True
            else Cell("no", remark=str(row.get("imprecise_because") or "")),
            text_cell("yes") if reliable else Cell("no", remark=str(row.get("unreliable_because") or "")),
        ),
        muted=not reliable,
    )


def _t_cell(row: Fields, name: str, because: str) -> Cell:
    p = value_of(row, f"p_{name}")
    detail = "" if p is None else f"p {formatting.p_value(p)}"
    return number_cell(row.get(f"t_{name}"), 2, signed=True, detail=detail, missing=because)


def _combined_p(row: Fields, because: str) -> Cell:
    p, adjusted = value_of(row, "p_nonoverlapping"), value_of(row, "p_adjusted")
    if p is None:
        return Cell("", missing=because)
    return Cell(formatting.p_value(p), detail="" if adjusted is None else f"Holm {formatting.p_value(adjusted)}")


def decay_section(report: Fields, *, anchor: str) -> Html:
    """Mean IC by horizon, and the cumulative IC of each factor at the main horizon."""
    explanation = (
        "Left to right the return horizon grows. Dots are mean ICs, whiskers two standard errors (EWC), which "
        "allow for the overlap, empty dots are not reliable. The longer the horizon, the fewer the independent windows "
        "and the wider the honest whisker."
    )
    return section(
        "IC by horizon",
        explanation,
        figures(decay_figures(report), empty="no factor has a summary by horizon"),
        anchor=anchor,
        simulated=bool(report.get("simulated")),
    )


def series_section(report: Fields, *, anchor: str) -> Html:
    """Cumulative IC over time, one panel per factor on one scale."""
    explanation = (
        "The running sum of weekly ICs. A steady slope is an edge that lasted; one steep stretch is an episode. The "
        "forward windows overlap, so the line looks smoother than the evidence is: judge it by the number of "
        "independent windows on each panel."
    )
    return section(
        "IC over time",
        explanation,
        figures(series_figures(report), empty="no factor has an IC by week"),
        anchor=anchor,
        simulated=bool(report.get("simulated")),
    )


def decay_figures(report: Fields) -> list[Figure]:
    """One panel per factor: mean IC with two standard errors against the horizon, all on one scale."""
    groups = {
        factor: [_with_error(row) for row in group] for factor, group in _by_factor(rows(report, "decay")).items()
    }
    limits = builders.limits_of(row[end] for group in groups.values() for row in group for end in ("low", "high", "ic"))
    return [
        builders.decay(
            group,
            Words(
                factor,
                f"Mean IC of {factor} by horizon: " + "; ".join(_decay_words(row) for row in group),
                sql=_decay_query(report, factor),
                simulated=bool(report.get("simulated")),
            ),
            horizon=Field("horizon_sessions", "horizon, sessions", "count"),
            y=Field("ic", "mean IC", limits=limits, signed=True),
            low=Field("low", "low, 2 s.e.", signed=True),
            high=Field("high", "high, 2 s.e.", signed=True),
            hollow=Field("unreliable", "not reliable", "flag"),
            tips=[Field("n_independent", "independent windows", "count")],
        )
        for factor, group in groups.items()
    ]


def _decay_query(report: Fields, factor: str) -> str:
    return (
        f"{as_of(report)}select horizon_sessions, ic,\n"
        "  ic - half_width as low, ic + half_width as high,\n"
        "  not reliable as unreliable, n_independent\n"
        f"from factors.information_coefficient\nwhere kind = 'summary' and factor = {literal(factor)}\n"
        "order by horizon_sessions"
    )


def series_figures(report: Fields) -> list[Figure]:
    """One panel per factor: cumulative IC against the date, all on one scale; unreliable factors are grey."""
    edge = {str(row.get("factor")): row for row in rows(report, "signal_edge")}
    groups = {
        factor: [row for row in group if value_of(row, "ic") is not None]
        for factor, group in _by_factor(rows(report, "ic_series")).items()
    }
    sums = {factor: list(accumulate(value_of(row, "ic") or 0.0 for row in group)) for factor, group in groups.items()}
    limits = builders.limits_of(value for values in sums.values() for value in values)
    found = []
    for factor, group in groups.items():
        summary = edge.get(factor, {})
        total = formatting.number(sums[factor][-1], signed=True) if sums[factor] else "n/a"
        independent = value_of(summary, "n_independent")
        note = f"sum {total} over n = {formatting.count(len(group))} weeks"
        if independent is not None:
            note += f", {formatting.count(independent)} independent"
        found.append(
            builders.lines(
                [{**row, "cumulative_ic": at} for row, at in zip(group, sums[factor], strict=True)],
                Words(
                    factor,
                    f"Running sum of the weekly ICs of {factor}; {note}.",
                    note=note,
                    sql=_series_query(report, factor),
                    simulated=bool(report.get("simulated")),
                ),
                x=Field("date_sig", "date of the signal", "date"),
                y=Field("cumulative_ic", "cumulative IC", limits=limits, signed=True),
                at=0.0,
                tips=[Field("ic", "IC of the week", signed=True)],
                colour=theme.LIGHT.first if summary.get("reliable") is True else theme.LIGHT.faint,
            )
        )
    return found


def _series_query(report: Fields, factor: str) -> str:
    return (
        "select date_sig, sum(ic) over (order by date_sig) as cumulative_ic, ic\n"
        "from factors.information_coefficient\n"
        f"where kind = 'rebalance' and factor = {literal(factor)} and ic is not null\n"
        f"  and horizon_sessions = {literal(report.get('horizon_sessions') or 0)}"
        f" and date_sig <= {literal(report.get('date_sig'))}\norder by date_sig"
    )


def _with_error(row: Fields) -> dict[str, Any]:
    """The row with two standard errors around its mean IC: the rule of `precise`."""
    mean, half = value_of(row, "ic"), value_of(row, "half_width")
    return {
        "horizon_sessions": row.get("horizon_sessions"),
        "ic": mean,
        "low": None if half is None or mean is None else mean - half,
        "high": None if half is None or mean is None else mean + half,
        "unreliable": row.get("reliable") is not True,
        "n_independent": value_of(row, "n_independent"),
    }


def _decay_words(row: Fields) -> str:
    mean, low, high, n = (value_of(row, name) for name in ("ic", "low", "high", "n_independent"))
    interval = "" if low is None or high is None else f" [{formatting.number(low)}, {formatting.number(high)}]"
    written = "n/a" if mean is None else formatting.number(mean, signed=True)
    count = "" if n is None else f", n independent {formatting.count(n)}"
    return f"{row.get('horizon_sessions')} sessions: {written}{interval}{count}"


def _by_factor(found: list[Fields]) -> dict[str, list[Fields]]:
    groups: dict[str, list[Fields]] = {}
    for row in found:
        groups.setdefault(str(row.get("factor")), []).append(row)
    return groups
