"""The weekly equity report as one HTML file: evidence first, its uncertainty beside it, its provenance at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quant_platform.contracts.findings import DataChecks
from quant_platform.reports.charts import formatting
from quant_platform.reports.charts.fields import Fields, fields, plain_cell, rows, value_of, words
from quant_platform.reports.charts.figures import SIMULATED
from quant_platform.reports.charts.markup import Html, element
from quant_platform.reports.charts.pages import Tile, contents, definitions, heading, page, paragraph, section, tiles
from quant_platform.reports.charts.tables import Cell, number_cell, text_cell
from quant_platform.reports.data_checks import ANCHOR, data_checks_section
from quant_platform.reports.equity.calibration import calibration_section
from quant_platform.reports.equity.factors import decay_section, edge_section, series_section
from quant_platform.reports.equity.setups import setups_section, setups_tile
from quant_platform.reports.equity.survivorship import survivorship_tile
from quant_platform.reports.equity.trades import NO_TRADES, hit_rate_section, sweep_section

ANCHORS = {
    "setups": "This week's setups",
    "signal-edge": "Signal edge",
    "ic-decay": "IC by horizon",
    "ic-series": "IC over time",
    "calibration": "Calibration",
    "hit-rate": "Hit rate and expectancy",
    "sweeps": "Threshold sweeps",
    "universe": "Universe",
    ANCHOR: "Data checks",
    "provenance": "Provenance",
}

NO_MEMBERSHIP = "the source has no record of membership"
# Key of the report's universe: its term, whether it is a share, why it may be missing.
UNIVERSE_TERMS = {
    "n_names": ("Names with bars", False, "not counted"),
    "n_ended": ("of them, names whose bars ended", False, "not counted"),
    "survivorship_share": ("Survivorship share: names with bars that still trade", True, "there is no name"),
    "n_members_ever": ("Names that were ever members", False, NO_MEMBERSHIP),
    "n_members_without_bars": ("of them, names without any bar", False, NO_MEMBERSHIP),
    "missing_share": ("Missing share: members without any bar", True, NO_MEMBERSHIP),
}


def render_equity_report(report: Mapping[str, Any], checks: DataChecks | None = None) -> str:
    """Render the weekly equity report.

    Parameters
    ----------
    report
        The dict of ``replay.report.build_report``: ``headline``, ``as_of_week``, ``date_sig``, ``simulated``,
        ``spec_hash``, ``trial_count``, ``universe``, ``setups``, ``horizon_sessions``, ``signal_edge``,
        ``decay``, ``ic_series``, ``calibration``, ``hit_rate``, ``sweeps`` and ``conventions``. Rows have the column
        names of their tables.
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
    is estimated here. The page shows the numbers of the report, rounded, with full precision behind them; the only ones
    it derives are running sums of ICs.
    """
    simulated = bool(report.get("simulated"))
    week = formatting.day(report.get("as_of_week")) or "n/a"
    return page(
        f"Equity signal report, week of {week}",
        heading(
            "Weekly equity signal report",
            f"Equity signals, week of {week}",
            str(report.get("headline") or "n/a (the report has no headline)"),
            tiles(_headline_tiles(report)),
            contents(ANCHORS),
        ),
        element(
            "main",
            setups_section(report, anchor="setups"),
            edge_section(report, anchor="signal-edge"),
            decay_section(report, anchor="ic-decay"),
            series_section(report, anchor="ic-series"),
            calibration_section(report, anchor="calibration"),
            hit_rate_section(report, anchor="hit-rate"),
            sweep_section(report, anchor="sweeps"),
            _universe_section(report),
            data_checks_section(checks, simulated=simulated),
        ),
        element("footer", _provenance_section(report)),
        simulated=simulated,
    )


def _headline_tiles(report: Fields) -> list[Tile]:
    overall = {
        str(row.get("group")): row for row in rows(report, "hit_rate") if row.get("group") in ("all", "qualified")
    }
    edge = rows(report, "signal_edge")
    stated = fields(fields(fields(report, "calibration"), "stated"), "summary")
    qualified, every = overall.get("qualified", {}), overall.get("all", {})
    reliable = sum(row.get("reliable") is True for row in edge)
    return [
        setups_tile(report),
        Tile(
            "Expectancy, qualified (R after cost)",
            number_cell(qualified.get("expectancy_r"), signed=True, missing=NO_TRADES),
            _interval_note(qualified, "expectancy", zero_matters=True),
        ),
        Tile(
            "Expectancy, all candidates (R after cost)",
            number_cell(every.get("expectancy_r"), signed=True, missing=NO_TRADES),
            _interval_note(every, "expectancy", zero_matters=True),
        ),
        Tile(
            "Hit rate, qualified",
            number_cell(qualified.get("hit_rate"), 1, percent=True, missing=NO_TRADES),
            _interval_note(qualified, "hit_rate"),
        ),
        Tile(
            "Calibration error (ECE)",
            number_cell(stated.get("expected_calibration_error"), missing="no calibration this week"),
            _count_note(stated, "stated probability"),
        ),
        Tile(
            "Reliable factors",
            Cell(f"{reliable} of {len(edge)}") if edge else Cell("", missing="no factor was judged"),
            "by the number of independent windows, not by size",
        ),
        Tile(
            "Cells evaluated",
            number_cell(report.get("trial_count"), 0),
            "trials behind this page: the best of many looks better than it is",
        ),
        survivorship_tile(report),
    ]


def _interval_note(row: Fields, name: str, *, zero_matters: bool = False) -> str:
    low, high = value_of(row, f"{name}_low"), value_of(row, f"{name}_high")
    if low is None or high is None:
        return _count_note(row, "no interval")
    if name == "hit_rate":
        interval = f"[{formatting.percent(low)}, {formatting.percent(high)}]"
    else:
        interval = f"[{formatting.number(low, signed=True)}, {formatting.number(high, signed=True)}]"
    zero = ", holds zero" if zero_matters and low <= 0.0 <= high else ""
    return _count_note(row, f"95% {interval}{zero}")


def _count_note(row: Fields, text: str) -> str:
    n, weeks = value_of(row, "n"), value_of(row, "n_weeks")
    counted = "" if n is None else f"; n = {formatting.count(n)}"
    return text + counted + ("" if weeks is None else f" in {formatting.count(weeks)} weeks")


def _universe_section(report: Fields) -> Html:
    universe = fields(report, "universe")
    explanation = (
        "A universe made only of names that still trade flatters every long signal. Over many years a survivorship "
        "share near 100% means that the dead are missing from the data, and that the results are an upper bound."
    )
    terms = {
        label: number_cell(universe.get(key), 1 if share else 0, percent=share, missing=missing)
        for key, (label, share, missing) in UNIVERSE_TERMS.items()
    }
    terms |= {words(key): plain_cell(key, value) for key, value in universe.items() if key not in UNIVERSE_TERMS}
    return section(
        "Universe and survivorship",
        explanation,
        definitions(terms),
        anchor="universe",
        simulated=bool(report.get("simulated")),
    )


def _provenance_section(report: Fields) -> Html:
    simulated = bool(report.get("simulated"))
    terms = {
        "As-of week (Monday)": text_cell(formatting.day(report.get("as_of_week"))),
        "Last session seen (date_sig)": text_cell(formatting.day(report.get("date_sig"))),
        "Data": text_cell(f"{SIMULATED} market" if simulated else "real market data"),
        "Specification hash": text_cell(report.get("spec_hash")),
        "Cells evaluated (trials)": number_cell(report.get("trial_count"), 0),
    }
    terms |= {words(key): plain_cell(key, value) for key, value in fields(report, "conventions").items()}
    explanation = (
        "Everything on this page follows from the data up to the last session seen and from the specification with "
        "this hash; another hash is another experiment."
    )
    return section(
        "Provenance and conventions",
        explanation,
        definitions(terms),
        paragraph("Intervals are 95% unless stated. R is the planned risk, the distance from entry reference to stop."),
        anchor="provenance",
        simulated=simulated,
    )
