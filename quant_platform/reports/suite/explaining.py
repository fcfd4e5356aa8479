"""Sections of a tear sheet that explain: what it predicts, what is its own, what it can carry."""

from __future__ import annotations

import polars as pl

from quant_platform.reports.charts import builders
from quant_platform.reports.charts.builders import Field
from quant_platform.reports.charts.figures import Figure
from quant_platform.reports.charts.markup import Html
from quant_platform.reports.charts.pages import (
    beside,
    definitions,
    figures,
)
from quant_platform.reports.charts.tables import Cell, Column, Row, Table, number_cell, table
from quant_platform.reports.queries import literal
from quant_platform.reports.suite.over_time import cost_sweep, distribution_of_ics
from quant_platform.reports.suite.sheet import AUTOCORRELATION_LAGS, NOT_HELD, Sheet


def prediction_section(sheet: Sheet) -> Html:
    """Fractiles and the decay of the IC."""
    fractiles = sheet.fractiles.with_columns(pl.col("fractile").cast(pl.String))
    bars = builders.bars(
        fractiles.select("fractile", "mean_bps", "t_ewc"),
        sheet.words(
            "Return by fractile",
            "Mean return of the session after, by fractile of the signal; 1 is the lowest.",
            sheet.query("fractile, mean_bps, t_ewc", "suite.fractiles", more="\norder by fractile"),
        ),
        row=Field("fractile", "fractile", "category"),
        value=Field("mean_bps", "mean return, bps"),
        tips=[Field("t_ewc", "t", digits=2)],
        width=420,
    )
    decay = sheet.diagnostics.filter((pl.col("variant") == sheet.reference) & (pl.col("measure") == "ic_decay")).select(
        pl.col("at").alias("lag"), pl.col("value").alias("ic")
    )
    faded = builders.lines(
        decay.sort("lag"),
        sheet.words(
            "Decay of the IC",
            "Mean rank IC with the one-session return that begins this many sessions later.",
            sheet.query('"at" as lag, value as ic', "suite.diagnostics", more=" and measure = 'ic_decay'\norder by 1"),
        ),
        x=Field("lag", "sessions of further lag", "count"),
        y=Field("ic", "mean rank IC", signed=True),
        at=0.0,
        width=420,
    )
    rows = tuple(
        Row(
            (
                Cell(row["fractile"]),
                number_cell(row["names"], 1, missing="no session"),
                number_cell(row["mean_bps"], 2, signed=True, missing="no session"),
                number_cell(row["t_ewc"], 2, signed=True, missing="too few sessions"),
                number_cell(row["ann_return"], 1, percent=True, signed=True, missing="no session"),
            )
        )
        for row in fractiles.iter_rows(named=True)
    )
    spread, tested = sheet.measured("fractile_spread_bps", sheet.reference), "too few sessions"
    return sheet.part(
        "prediction",
        "Names are sorted by the signal on each session; means are over sessions, before costs. t allows for "
        "returns that depend on each other (EWC).",
        figures([bars, faded, *distribution_of_ics(sheet.daily, sheet.words, sheet.daily_rows)], wide=True),
        table(
            Table(
                caption="Fractiles",
                columns=(
                    Column("Fractile", "1 is the lowest signal"),
                    Column("Names", "mean per session"),
                    Column("Mean", "bps per session"),
                    Column("t", "EWC"),
                    Column("A year", "mean times sessions"),
                ),
                rows=rows,
                empty="too few names for fractiles",
            )
        ),
        definitions(
            {
                "Highest minus lowest fractile, bps per session": number_cell(spread, 2, signed=True, missing=tested),
                "Its t": number_cell(
                    sheet.measured("fractile_spread_t", sheet.reference), 2, signed=True, missing=tested
                ),
                "p that some step does not rise": number_cell(
                    sheet.measured("monotonicity_p_broken", sheet.reference), 3, missing=tested
                ),
                "Half-life of the IC: sessions of further lag": number_cell(
                    sheet.measured("ic_half_life_sessions", sheet.reference),
                    1,
                    missing="it does not fall to half within the lags tried, or is not above zero",
                ),
                **{
                    f"Rank autocorrelation over {lag} session{'s' if lag > 1 else ''}": number_cell(
                        sheet.measured(f"rank_autocorrelation_{lag}", sheet.reference), 2, missing=tested
                    )
                    for lag in AUTOCORRELATION_LAGS
                },
            }
        ),
    )


def uniqueness_section(sheet: Sheet) -> Html:
    """Correlations with the baselines and what is left once they are known."""
    rows = tuple(
        Row(
            (
                Cell(row["baseline"]),
                number_cell(row["signal_correlation"], 2, signed=True, missing="no common session"),
                number_cell(row["pnl_correlation"], 2, signed=True, missing="no common session"),
                number_cell(row["baseline_sharpe_net"], 2, signed=True, missing="it does not trade"),
                number_cell(row["baseline_ic"], 3, signed=True, missing="it predicts nothing that is known"),
                number_cell(row["sessions"], 0),
            )
        )
        for row in sheet.correlations.iter_rows(named=True)
    )
    return sheet.part(
        "uniqueness",
        "A signal whose profits are those of a known one is not a new one.",
        table(
            Table(
                caption="Baselines",
                columns=(
                    Column("Baseline", numeric=False),
                    Column("Ranks", "mean correlation over sessions"),
                    Column("Net profits", "correlation with the judged variant"),
                    Column("Net Sharpe ratio", "of the baseline"),
                    Column("IC", "of the baseline"),
                    Column("Sessions", "both have"),
                ),
                rows=rows,
                empty="the preset has no baselines, or none could be computed",
            )
        ),
        definitions(
            {
                "Partial IC: of what is left of the ranks once the baselines' are known": number_cell(
                    sheet.measured("partial_ic"), 4, signed=True, missing="there is no baseline"
                ),
                "Its p": number_cell(sheet.measured("partial_ic_p"), 3, missing="there is no baseline"),
            }
        ),
    )


def capacity_section(sheet: Sheet) -> Html:
    """Net Sharpe ratio against capital, and what a search costs."""
    curve = sheet.diagnostics.filter(pl.col("measure") == "capacity_sharpe_net").select(
        pl.col("at").alias("capital"), pl.col("value").alias("sharpe")
    )
    drawn: list[Figure] = []
    if curve.height:
        where = (
            f"where signal = {literal(sheet.origin.signal)} and snapshot_id = {literal(sheet.origin.snapshot_id)} "
            "and measure = 'capacity_sharpe_net'"
        )
        drawn.append(
            builders.lines(
                curve.sort("capital"),
                sheet.words(
                    "Capacity",
                    "Net Sharpe ratio of the judged variant under the impact model, by capital.",
                    f'select "at" as capital, value as sharpe\nfrom suite.diagnostics\n{where}\norder by 1',
                ),
                x=Field("capital", "capital, listing currency", "money", log=True, digits=0),
                y=Field("sharpe", "net Sharpe ratio"),
                at=0.0,
                width=620,
            )
        )
    unknown = "no capital of the grid passes, or traded values are not known"
    numbers: dict[str, Cell] = {
        "Capital at which the net Sharpe ratio falls to the floor of red": number_cell(
            sheet.measured("capacity_capital"), 0, missing=unknown
        ),
        "Trials of this signal that were counted": number_cell(sheet.measured("trials"), 0),
        "Independent trials they are worth": number_cell(sheet.measured("effective_trials"), 1),
        "Probability of overfitting (CSCV)": number_cell(
            sheet.measured("overfitting_probability"), 2, missing="too few sessions or variants"
        ),
        "Years of record that would show a ratio above zero": number_cell(
            sheet.measured("minimum_track_record_years"), 1, missing="no length would"
        ),
        "Names held: mean of both legs": number_cell(sheet.measured("held_names"), 1, missing=NOT_HELD),
        "Median value that a held name trades a day": number_cell(
            sheet.measured("held_median_adv"), 0, missing="traded values are not known"
        ),
        "Median market cap of held names": number_cell(
            sheet.measured("held_median_market_cap"), 0, missing="market caps are not known"
        ),
        "Largest position over the value its name trades a day": number_cell(
            sheet.measured("held_largest_position_over_adv"), 2, percent=True, missing="traded values are not known"
        ),
    }
    return sheet.part(
        "capacity",
        "Impact grows with the traded share of a name's daily value; the model is in specs/suite/costs.yaml.",
        beside(figures(drawn, whole=True, empty="the data have no traded values"), definitions(numbers)),
        figures(
            [cost_sweep(sheet.daily, sheet.words, sheet.daily_rows, sessions_per_year=sheet.sessions_per_year)],
            wide=True,
        ),
    )
