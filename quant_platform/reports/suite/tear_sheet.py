"""The tear sheet of a signal on a snapshot: verdict, variants, performance, prediction, uniqueness, capacity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from quant_platform.reports.charts import builders, formatting
from quant_platform.reports.charts.builders import Field
from quant_platform.reports.charts.figures import Figure, Words
from quant_platform.reports.charts.markup import Html
from quant_platform.reports.charts.pages import (
    Tile,
    beside,
    contents,
    definitions,
    figures,
    heading,
    page,
    section,
    sentences,
    tiles,
)
from quant_platform.reports.charts.tables import Cell, Column, Row, Table, interval_text, number_cell, table, text_cell
from quant_platform.reports.drawdowns import drawdown_table, monthly
from quant_platform.reports.queries import literal
from quant_platform.reports.suite.figures import below_the_high, cumulative_return
from quant_platform.reports.suite.over_time import cost_sweep, distribution_of_ics, over_time

SECTIONS = {
    "verdict": "Verdict",
    "registration": "Registration",
    "variants": "Variants",
    "performance": "Performance",
    "over_time": "Over time",
    "slices": "By year and slice",
    "prediction": "Prediction",
    "uniqueness": "Uniqueness",
    "capacity": "Capacity",
    "origin": "Where it comes from",
}
SHOWN_FALLS = 5
AUTOCORRELATION_LAGS = (1, 5, 21, 63)
NOT_HELD = "not among the results"


@dataclass(frozen=True)
class Origin:
    """What a tear sheet says about where it comes from.

    Attributes
    ----------
    signal, snapshot_id
        What was judged, on what.
    author, submitted_at, signal_hash
        Of the registration.
    preset
        The matrix.
    simulated
        Whether any of the data is simulated.
    names
        How the securities of the snapshot were chosen.
    meaning
        What it means that the experiment was or was not registered.
    looks
        How often the holdout was looked at, in words.
    """

    signal: str
    snapshot_id: str
    author: str
    submitted_at: str
    signal_hash: str
    preset: str
    simulated: bool
    names: str
    meaning: str
    looks: str


@dataclass(frozen=True)
class Findings:
    """What a suite says in words and no table holds.

    Attributes
    ----------
    because
        The reasons that decided the colour.
    to_next
        What stands between it and the next colour.
    what_would_change
        Assumptions that would move it.
    not_available
        Variant to the cause why it was not computed.
    """

    because: Sequence[str]
    to_next: Sequence[str]
    what_would_change: Sequence[str]
    not_available: Mapping[str, str]


def render_tear_sheet(frames: Mapping[str, pl.DataFrame], findings: Findings, origin: Origin) -> str:
    """Draw the page of one suite.

    Parameters
    ----------
    frames
        Rows of ``suite.results``, ``daily``, ``fractiles``, ``diagnostics``, ``correlations``, ``experiments`` and
        ``verdict`` of one signal on one snapshot, by table name.
    findings
        What it says in words.
    origin
        Where it comes from.

    Returns
    -------
    str
        HTML that loads nothing.
    """
    sheet = _Sheet(frames, findings, origin)
    title = f"Tear sheet of {origin.signal}"
    sentence = (
        f"{sheet.colour.upper()} on {origin.snapshot_id}, judged on {sheet.reference}: "
        f"{'; '.join(findings.because) or 'every rule is satisfied'}. {sheet.registered.capitalize()}."
    )
    return page(
        title,
        heading("Research suite", title, sentence),
        contents(SECTIONS),
        tiles(sheet.headline()),
        sheet.verdict(),
        sheet.registration(),
        sheet.variants(),
        sheet.performance(),
        sheet.over_time(),
        sheet.slices(),
        sheet.prediction(),
        sheet.uniqueness(),
        sheet.capacity(),
        sheet.where(),
        simulated=origin.simulated,
    )


class _Sheet:
    """The sections of one page; they share the rows of the variant that is judged."""

    def __init__(self, frames: Mapping[str, pl.DataFrame], findings: Findings, origin: Origin) -> None:
        self.results, self.verdicts = frames["suite.results"], frames["suite.verdict"]
        self.colour, self.reference = str(self.verdicts["verdict"][0]), str(self.verdicts["reference"][0])
        self.registered = str(self.verdicts["registration"][0])
        self.criteria = frames["suite.experiments"]
        judged = pl.col("variant") == self.reference
        self.daily = frames["suite.daily"].filter(judged).sort("session")
        self.fractiles = frames["suite.fractiles"].filter(judged).sort("fractile")
        self.diagnostics, self.correlations = frames["suite.diagnostics"], frames["suite.correlations"]
        self.findings, self.origin = findings, origin
        overall = self.results.filter(pl.col("slice_kind") == "overall")
        self.overall = {row["variant"]: row for row in overall.iter_rows(named=True)}
        self.best = max(self.overall, key=lambda name: formatting.finite(self.overall[name]["sharpe_net"]) or -1e9)

    def measured(self, measure: str, variant: str = "") -> float | None:
        """One number of ``suite.diagnostics``."""
        rows = self.diagnostics.filter((pl.col("measure") == measure) & (pl.col("variant") == variant))
        return formatting.finite(rows["value"][0]) if rows.height else None

    def query(self, columns: str, name: str, *, more: str = "") -> str:
        """SQL that gives the rows of the judged variant."""
        return (
            f"select {columns}\nfrom {name}\nwhere signal = {literal(self.origin.signal)} "
            f"and snapshot_id = {literal(self.origin.snapshot_id)}"
            f"\n  and variant = {literal(self.reference)}{more}"
        )

    def words(self, title: str, description: str, sql: str, note: str = "") -> Words:
        """Words of a figure of this page."""
        return Words(title, description, note=note, sql=sql, simulated=self.origin.simulated)

    def part(self, anchor: str, explanation: str, *blocks: Html | None) -> Html:
        """A section."""
        return section(SECTIONS[anchor], explanation, *blocks, anchor=anchor, simulated=self.origin.simulated)

    def headline(self) -> list[Tile]:
        """Numbers of the judged variant, and the best one of all."""
        row, best = self.overall[self.reference], self.overall[self.best]
        interval = interval_text(row["sharpe_net_low"], row["sharpe_net_high"], 2)
        return [
            Tile("Verdict", Cell(self.colour.upper()), f"judged on {self.reference}"),
            Tile("Registration", Cell(self.registered), self.origin.meaning),
            Tile("Net Sharpe ratio", number_cell(row["sharpe_net"], 2), f"95% {interval}; annual, no risk-free rate"),
            Tile("Best of all variants", number_cell(best["sharpe_net"], 2), f"{self.best}: what a search would show"),
            Tile(
                "Net return a year",
                number_cell(row["ann_return_net"], 1, percent=True),
                "mean per session times sessions per year",
            ),
            Tile(
                "Deflated probability",
                number_cell(self.measured("deflated_probability"), 3),
                "that it beats the best of as many worthless trials",
            ),
        ]

    def verdict(self) -> Html:
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
            for rule in self.verdicts.sort("rule").iter_rows(named=True)
        )
        ahead = [*(f"To the next colour: {text}" for text in self.findings.to_next), *self.findings.what_would_change]
        return self.part(
            "verdict",
            "Red rules are asked first; a rule of red or caution that holds is against the signal, a green one that "
            "does not hold is missing. The numbers asked for stand in specs/suite/verdict.yaml.",
            sentences([*self.findings.because, *ahead]),
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

    def registration(self) -> Html:
        """What was stated beforehand, what the locked holdout said of it, and how often it was looked at."""
        return self.part(
            "registration",
            "An experiment that is registered states hypothesis, sign, variants and criteria before its signal is "
            "judged. The last part of the sample is locked then and opened once; criteria of the variant that was "
            "named first decide, on these sessions alone.",
            sentences([f"{self.registered}: {self.origin.meaning}", f"Looks at the holdout: {self.origin.looks}"]),
            *(self._stated() if self.criteria.height else ()),
        )

    def _stated(self) -> tuple[Html, Html]:
        first = self.criteria.row(0, named=True)
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
            for row in self.criteria.sort("decides", "variant", "metric", descending=[True, False, False]).iter_rows(
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

    def variants(self) -> Html:
        """All variants, gross and net, and those that could not be computed."""
        rows = [
            Row(_summary_cells(Cell(name), row), marked=name == self.reference) for name, row in self.overall.items()
        ]
        rows += [
            Row((Cell(name), *(Cell("", missing=cause) for _ in range(8))), muted=True)
            for name, cause in self.findings.not_available.items()
        ]
        return self.part(
            "variants",
            "Each variant was computed and counts as a trial. lag: sessions that entry waits beyond the earliest; "
            "resid: what was taken out of the signal. The marked one is judged.",
            table(_summary_table("Variants over the whole sample", "Variant", rows)),
        )

    def performance(self) -> Html:
        """Cumulative return, underwater, months and the deepest falls."""
        cumulative = cumulative_return(
            self.daily,
            self.words(
                "Cumulative return",
                f"Compounded net return of {self.reference} over {self.daily.height} sessions.",
                self.query("session, cumret", "suite.daily", more="\norder by session"),
                note="after costs, compounded from the first trade",
            ),
        )
        below = below_the_high(
            self.daily,
            self.words(
                "Underwater",
                f"Loss of {self.reference} from the last high of its compounded value.",
                self.query("session, drawdown", "suite.daily", more="\norder by session"),
                note="the start is the first high",
            ),
        )
        months = builders.months(
            monthly(self.daily),
            self.words(
                "Months",
                "Compounded net return of every calendar month; the first and the last may be partial.",
                self.query(
                    "date_trunc('month', session) as month, product(1 + net) - 1 as ret",
                    "suite.daily",
                    more="\ngroup by 1 order by 1",
                ),
            ),
            month=Field("month", "month", "date"),
            value=Field("ret", "net return", "percent"),
        )
        row = self.overall[self.reference]
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
                    self.measured("break_even_bps"), 1, missing="no cost brings it to nothing, or none is needed"
                ),
            }
        )
        return self.part(
            "performance",
            f"The variant that is judged, {self.reference}. The long leg adds to 1 and the short leg to -1 of a "
            "constant capital; nothing is halved.",
            beside(figures([cumulative, below], whole=True), numbers),
            figures([months], wide=True),
            table(drawdown_table(self.daily, SHOWN_FALLS)),
        )

    @property
    def sessions_per_year(self) -> float:
        """What a mean per session was multiplied by: read back from the stored figures, so that it cannot differ."""
        mean, annual = self.daily["net"].mean(), formatting.finite(self.overall[self.reference]["ann_return_net"])
        return float(round(annual / mean)) if isinstance(mean, float) and mean and annual else math.nan

    def daily_rows(self, columns: str) -> str:
        """SQL that gives columns of the daily rows of the judged variant."""
        return self.query(columns, "suite.daily")

    def over_time(self) -> Html:
        """Whether the edge was there all along, and what it took to hold it."""
        return self.part(
            "over_time",
            "A result of one good year shows here, whatever its average is.",
            figures(
                over_time(self.daily, self.words, self.daily_rows, sessions_per_year=self.sessions_per_year), wide=True
            ),
        )

    def slices(self) -> Html:
        """The judged variant by year, cap bucket, industry and regime."""
        rows = [
            Row(_summary_cells(Cell(f"{row['slice_kind']} {row['slice']}"), row))
            for row in self.results.filter(
                (pl.col("variant") == self.reference) & (pl.col("slice_kind") != "overall")
            ).iter_rows(named=True)
        ]
        return self.part(
            "slices",
            "Years and regimes are parts of the sample; cap buckets and industries are contributions of the names in "
            "them to the same book.",
            table(_summary_table(f"{self.reference} in parts", "Part", rows)),
        )

    def prediction(self) -> Html:
        """Fractiles and the decay of the IC."""
        fractiles = self.fractiles.with_columns(pl.col("fractile").cast(pl.String))
        bars = builders.bars(
            fractiles.select("fractile", "mean_bps", "t_ewc"),
            self.words(
                "Return by fractile",
                "Mean return of the session after, by fractile of the signal; 1 is the lowest.",
                self.query("fractile, mean_bps, t_ewc", "suite.fractiles", more="\norder by fractile"),
            ),
            row=Field("fractile", "fractile", "category"),
            value=Field("mean_bps", "mean return, bps"),
            tips=[Field("t_ewc", "t", digits=2)],
            width=420,
        )
        decay = self.diagnostics.filter(
            (pl.col("variant") == self.reference) & (pl.col("measure") == "ic_decay")
        ).select(pl.col("at").alias("lag"), pl.col("value").alias("ic"))
        faded = builders.lines(
            decay.sort("lag"),
            self.words(
                "Decay of the IC",
                "Mean rank IC with the one-session return that begins this many sessions later.",
                self.query(
                    '"at" as lag, value as ic', "suite.diagnostics", more=" and measure = 'ic_decay'\norder by 1"
                ),
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
        spread, tested = self.measured("fractile_spread_bps", self.reference), "too few sessions"
        return self.part(
            "prediction",
            "Names are sorted by the signal on each session; means are over sessions, before costs. t allows for "
            "returns that depend on each other (EWC).",
            figures([bars, faded, *distribution_of_ics(self.daily, self.words, self.daily_rows)], wide=True),
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
                    "Highest minus lowest fractile, bps per session": number_cell(
                        spread, 2, signed=True, missing=tested
                    ),
                    "Its t": number_cell(
                        self.measured("fractile_spread_t", self.reference), 2, signed=True, missing=tested
                    ),
                    "p that some step does not rise": number_cell(
                        self.measured("monotonicity_p_broken", self.reference), 3, missing=tested
                    ),
                    "Half-life of the IC: sessions of further lag": number_cell(
                        self.measured("ic_half_life_sessions", self.reference),
                        1,
                        missing="it does not fall to half within the lags tried, or is not above zero",
                    ),
                    **{
                        f"Rank autocorrelation over {lag} session{'s' if lag > 1 else ''}": number_cell(
                            self.measured(f"rank_autocorrelation_{lag}", self.reference), 2, missing=tested
                        )
                        for lag in AUTOCORRELATION_LAGS
                    },
                }
            ),
        )

    def uniqueness(self) -> Html:
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
            for row in self.correlations.iter_rows(named=True)
        )
        return self.part(
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
                        self.measured("partial_ic"), 4, signed=True, missing="there is no baseline"
                    ),
                    "Its p": number_cell(self.measured("partial_ic_p"), 3, missing="there is no baseline"),
                }
            ),
        )

    def capacity(self) -> Html:
        """Net Sharpe ratio against capital, and what a search costs."""
        curve = self.diagnostics.filter(pl.col("measure") == "capacity_sharpe_net").select(
            pl.col("at").alias("capital"), pl.col("value").alias("sharpe")
        )
        drawn: list[Figure] = []
        if curve.height:
            where = (
                f"where signal = {literal(self.origin.signal)} and snapshot_id = {literal(self.origin.snapshot_id)} "
                "and measure = 'capacity_sharpe_net'"
            )
            drawn.append(
                builders.lines(
                    curve.sort("capital"),
                    self.words(
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
                self.measured("capacity_capital"), 0, missing=unknown
            ),
            "Trials of this signal that were counted": number_cell(self.measured("trials"), 0),
            "Independent trials they are worth": number_cell(self.measured("effective_trials"), 1),
            "Probability of overfitting (CSCV)": number_cell(
                self.measured("overfitting_probability"), 2, missing="too few sessions or variants"
            ),
            "Years of record that would show a ratio above zero": number_cell(
                self.measured("minimum_track_record_years"), 1, missing="no length would"
            ),
            "Names held: mean of both legs": number_cell(self.measured("held_names"), 1, missing=NOT_HELD),
            "Median value that a held name trades a day": number_cell(
                self.measured("held_median_adv"), 0, missing="traded values are not known"
            ),
            "Median market cap of held names": number_cell(
                self.measured("held_median_market_cap"), 0, missing="market caps are not known"
            ),
            "Largest position over the value its name trades a day": number_cell(
                self.measured("held_largest_position_over_adv"), 2, percent=True, missing="traded values are not known"
            ),
        }
        return self.part(
            "capacity",
            "Impact grows with the traded share of a name's daily value; the model is in specs/suite/costs.yaml.",
            beside(figures(drawn, whole=True, empty="the data have no traded values"), definitions(numbers)),
            figures(
                [cost_sweep(self.daily, self.words, self.daily_rows, sessions_per_year=self.sessions_per_year)],
                wide=True,
            ),
        )

    def where(self) -> Html:
        """What it was computed from."""
        origin = self.origin
        return self.part(
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
