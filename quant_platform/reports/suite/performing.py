"""Sections of a tear sheet that show how it went: returns, falls, months, and what changed over time."""

from __future__ import annotations

from quant_platform.reports.charts import builders
from quant_platform.reports.charts.builders import Field
from quant_platform.reports.charts.markup import Html
from quant_platform.reports.charts.pages import (
    beside,
    definitions,
    figures,
)
from quant_platform.reports.charts.tables import number_cell, table
from quant_platform.reports.drawdowns import drawdown_table, monthly
from quant_platform.reports.suite.figures import below_the_high, cumulative_return
from quant_platform.reports.suite.over_time import over_time
from quant_platform.reports.suite.sheet import SHOWN_FALLS, Sheet


def performance_section(sheet: Sheet) -> Html:
    """Cumulative return, underwater, months and the deepest falls."""
    cumulative = cumulative_return(
        sheet.daily,
        sheet.words(
            "Cumulative return",
            f"Compounded net return of {sheet.reference} over {sheet.daily.height} sessions.",
            sheet.query("session, cumret", "suite.daily", more="\norder by session"),
            note="after costs, compounded from the first trade",
        ),
    )
    below = below_the_high(
        sheet.daily,
        sheet.words(
            "Underwater",
            f"Loss of {sheet.reference} from the last high of its compounded value.",
            sheet.query("session, drawdown", "suite.daily", more="\norder by session"),
            note="the start is the first high",
        ),
    )
    months = builders.months(
        monthly(sheet.daily),
        sheet.words(
            "Months",
            "Compounded net return of every calendar month; the first and the last may be partial.",
            sheet.query(
                "date_trunc('month', session) as month, product(1 + net) - 1 as ret",
                "suite.daily",
                more="\ngroup by 1 order by 1",
            ),
        ),
        month=Field("month", "month", "date"),
        value=Field("ret", "net return", "percent"),
    )
    row = sheet.overall[sheet.reference]
    numbers = definitions(
        {
            "Net return a year: mean per session times sessions per year": number_cell(
                row["ann_return_net"], 2, percent=True
            ),
            "Gross return a year: before costs": number_cell(row["ann_return_gross"], 2, percent=True),
            "Volatility a year: standard deviation of net returns, divisor n - 1": number_cell(
                row["ann_volatility"], 2, percent=True
            ),
            "Costs a year": number_cell(row["ann_cost"], 2, percent=True),
            "Deepest drawdown: from the peak of compounded net returns": number_cell(
                row["max_drawdown_net"], 1, percent=True
            ),
            "Positive sessions": number_cell(row["positive_days"], 1, percent=True),
            "Turnover per session: buys and sells of both legs over capital, not halved": number_cell(
                row["turnover"], 3
            ),
            "Break-even cost: one way, bps": number_cell(
                sheet.measured("break_even_bps"), 1, missing="no cost brings it to nothing, or none is needed"
            ),
        }
    )
    return sheet.part(
        "performance",
        f"The variant that is judged, {sheet.reference}. The long leg adds to 1 and the short leg to -1 of a "
        "constant capital; nothing is halved.",
        beside(figures([cumulative, below], whole=True), numbers),
        figures([months], wide=True),
        table(drawdown_table(sheet.daily, SHOWN_FALLS)),
    )


def over_time_section(sheet: Sheet) -> Html:
    """Whether the edge was there all along, and what it took to hold it."""
    return sheet.part(
        "over_time",
        "A result of one good year shows here, whatever its average is.",
        figures(
            over_time(sheet.daily, sheet.words, sheet.daily_rows, sessions_per_year=sheet.sessions_per_year), wide=True
        ),
    )
