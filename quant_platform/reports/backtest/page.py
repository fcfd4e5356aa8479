"""The page of one backtest: equity and drawdown, months, rolling Sharpe, exposure, costs, falls, trades."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from quant_platform.reports.backtest.series import cost_parts, daily, rolling_sharpe
from quant_platform.reports.charts import builders, formatting
from quant_platform.reports.charts.builders import Field
from quant_platform.reports.charts.figures import Words
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
    tiles,
)
from quant_platform.reports.charts.tables import Cell, Column, Row, Table, number_cell, table, text_cell
from quant_platform.reports.drawdowns import drawdown_table, monthly

SECTIONS = {
    "performance": "Performance",
    "exposure": "Exposure",
    "costs": "Where the result comes from",
    "trades": "Trades",
    "counted": "What did not go as decided",
    "strategy": "Strategy",
}
SHOWN_FALLS, SHOWN_TRADES = 5, 300
ROLLING_DAYS = 63
FIGURES = {
    "annual_return": ("Return a year, compounded", 1, True),
    "annual_volatility": ("Volatility a year", 1, True),
    "turnover": ("Turnover a year: bought and sold over mean equity", 2, False),
    "hit_rate": ("Trades that earned something after costs", 1, True),
    "profit_factor": ("Gains over losses of closed trades", 2, False),
    "mean_bars_held": ("Bars held, mean of closed trades", 1, False),
    "mean_gross": ("Gross exposure, mean multiple of equity", 2, False),
    "cost_bps": ("Costs, bps of what was traded", 2, False),
    "break_even_bps": ("Costs at which nothing is left, bps of what was traded", 2, False),
}


@dataclass(frozen=True)
class Subject:
    """What a page is about.

    Attributes
    ----------
    title, description
        Of the strategy.
    days_per_year
        Days a year has for annual figures: 252 for sessions, 365 around the clock.
    initial_cash
        Money at the start.
    simulated
        Whether the market is made up.
    relations
        What stands after ``from`` in the SQL of ``equity``, ``exposures`` and ``trades``.
    settings
        What was assumed, by name.
    sentence
        The result in one sentence; made from the figures where it is empty.
    """

    title: str
    description: str
    days_per_year: float
    initial_cash: float
    simulated: bool
    relations: Mapping[str, str] = field(
        default_factory=lambda: {name: f"'{name}.parquet'" for name in ("equity", "exposures", "trades")}
    )
    settings: Mapping[str, Any] = field(default_factory=dict)
    sentence: str = ""


def render_backtest(
    frames: Mapping[str, pl.DataFrame],
    metrics: Mapping[str, float | None],
    counts: Mapping[str, int],
    subject: Subject,
) -> str:
    """Draw the page of one run.

    Parameters
    ----------
    frames
        ``equity``, ``exposures`` and ``trades`` of a result.
    metrics
        Its figures; None or NaN where there is too little to say.
    counts
        How often something did not go as decided.
    subject
        What it is about.

    Returns
    -------
    str
        HTML that loads nothing.
    """
    sheet = _Sheet(frames, metrics, counts, subject)
    title = f"Backtest of {subject.title}"
    return page(
        title,
        heading("Backtest", title, subject.sentence or sheet.sentence()),
        contents(SECTIONS),
        tiles(sheet.headline()),
        sheet.performance(),
        sheet.exposure(),
        sheet.costs(),
        sheet.trades(),
        sheet.counted(),
        sheet.strategy(),
        simulated=subject.simulated,
    )


class _Sheet:
    """The sections of one page; they share its days."""

    def __init__(
        self,
        frames: Mapping[str, pl.DataFrame],
        metrics: Mapping[str, float | None],
        counts: Mapping[str, int],
        subject: Subject,
    ) -> None:
        self.frames, self.metrics, self.counts, self.subject = frames, metrics, counts, subject
        self.days = daily(frames["equity"], frames["exposures"], subject.initial_cash)
        self.closed = frames["trades"].filter(pl.col("exit_stamp").is_not_null())

    def words(self, title: str, description: str, sql: str, note: str = "") -> Words:
        """Words of a figure of this page."""
        return Words(title, description, note=note, sql=sql, simulated=self.subject.simulated)

    def by_day(self, name: str, columns: str) -> str:
        """SQL of the last value of every day."""
        picked = ", ".join(f"last({column} order by stamp) as {column}" for column in columns.split(", "))
        return f"select stamp::date as session, {picked}\nfrom {self.subject.relations[name]}\ngroup by 1 order by 1"

    def part(self, anchor: str, explanation: str, *blocks: Html | None) -> Html:
        """A section."""
        return section(SECTIONS[anchor], explanation, *blocks, anchor=anchor, simulated=self.subject.simulated)

    def sentence(self) -> str:
        """The result in one sentence."""
        total = formatting.percent(self.metrics["total_return"] or 0.0, signed=True)
        sharpe, error = (formatting.finite(self.metrics[name]) for name in ("sharpe", "sharpe_error"))
        ratio = (
            "too short for a Sharpe ratio"
            if sharpe is None or error is None
            else f"Sharpe ratio {formatting.number(sharpe, 2)} with a standard error of {formatting.number(error, 2)}"
        )
        first, last = self.days["session"][0], self.days["session"][-1]
        return f"{total} after costs from {first} to {last}, {ratio}."

    def headline(self) -> list[Tile]:
        """The numbers that everybody asks for first."""
        error = formatting.finite(self.metrics["sharpe_error"])
        return [
            Tile("Return after costs", number_cell(self.metrics["total_return"], 1, percent=True, signed=True)),
            Tile(
                "Sharpe ratio",
                number_cell(self.metrics["sharpe"], 2, missing="too few returns"),
                f"standard error {formatting.number(error, 2)}; annual, no risk-free rate" if error is not None else "",
            ),
            Tile("Deepest drawdown", number_cell(self.metrics["max_drawdown"], 1, percent=True), "from the last high"),
            Tile("Closed trades", number_cell(self.metrics["trades"], 0)),
            Tile(
                "Break-even cost",
                number_cell(self.metrics["break_even_bps"], 1, missing="nothing was traded"),
                "bps of what was traded, at which nothing is left",
            ),
        ]

    def performance(self) -> Html:
        """Equity, underwater, months, rolling Sharpe, falls."""
        x = Field("session", "day", "date")
        equity = builders.lines(
            self.days.select("session", "equity"),
            self.words(
                "Equity",
                f"Equity at the end of {self.days.height} days, after all costs.",
                self.by_day("equity", "equity"),
            ),
            x=x,
            y=Field("equity", "equity, money", "money", digits=0),
            at=self.subject.initial_cash,
            width=620,
        )
        below = builders.underwater(
            self.days.select("session", "drawdown"),
            self.words(
                "Underwater",
                "Deepest loss of each day from the last high of equity.",
                "select stamp::date as session, -max(drawdown) as drawdown\n"
                f"from {self.subject.relations['equity']}\ngroup by 1 order by 1",
                note="the money at the start is the first high",
            ),
            x=x,
            y=Field("drawdown", "below the last high", "percent"),
            width=620,
        )
        ends = self.by_day("equity", "equity").replace("\n", " ").removesuffix(" order by 1")
        returns = (
            "select session, equity / lag(equity, 1, "
            f"{self.subject.initial_cash!r}) over (order by session) - 1 as net\nfrom ({ends})"
        )
        # A day that begins without equity has no return: nothing was there to be lost or won.
        months = builders.months(
            monthly(self.days.with_columns(pl.col("net").fill_null(0.0))),
            self.words(
                "Months",
                "Compounded return after costs of every calendar month; the first and the last may be partial.",
                "select date_trunc('month', session) as month, product(1 + net) - 1 as ret\n"
                f"from ({returns})\ngroup by 1 order by 1",
            ),
            month=Field("month", "month", "date"),
            value=Field("ret", "return after costs", "percent"),
        )
        sharpe = builders.lines(
            rolling_sharpe(self.days, ROLLING_DAYS, self.subject.days_per_year).drop_nulls(),
            self.words(
                "Rolling Sharpe ratio",
                f"Of the last {ROLLING_DAYS} days, annual.",
                f"select session, avg(net) over w / stddev(net) over w * sqrt({self.subject.days_per_year!r}) "
                "as sharpe\n"
                f"from ({returns})\nwindow w as (order by session rows {ROLLING_DAYS - 1} preceding)\n"
                f"qualify count(*) over w = {ROLLING_DAYS} order by session",
                note=f"its own standard error is about {(self.subject.days_per_year / ROLLING_DAYS) ** 0.5:.1f}",
            ),
            x=x,
            y=Field("sharpe", "annual Sharpe ratio", digits=2, signed=True),
            at=0.0,
            width=620,
        )
        numbers = definitions(
            {
                words: number_cell(self.metrics[name], digits, percent=percent, missing="too little to say")
                for name, (words, digits, percent) in FIGURES.items()
            }
        )
        return self.part(
            "performance",
            "All figures are after costs. A day's value is that of its last bar.",
            beside(figures([equity, below], whole=True), numbers),
            figures([months, sharpe], wide=True),
            table(drawdown_table(self.days, SHOWN_FALLS, "day")),
        )

    def exposure(self) -> Html:
        """Gross and net, and how many assets are held."""
        x = Field("session", "day", "date")
        both = self.days.select("session", pl.col("gross"), pl.col("net_exposure").alias("net")).unpivot(
            index="session", variable_name="kind", value_name="exposure"
        )
        sizes = builders.lines(
            both,
            self.words(
                "Exposure",
                "Value held long and short together (gross) and the difference (net), in multiples of equity.",
                self.by_day("exposures", "gross, net"),
            ),
            x=x,
            y=Field("exposure", "multiple of equity", digits=2),
            series=Field("kind", "kind", "category"),
            at=0.0,
            width=620,
        )
        held = builders.lines(
            self.days.select("session", "held"),
            self.words("Assets held", "At the end of each day.", self.by_day("exposures", "held")),
            x=x,
            y=Field("held", "assets", "count"),
            at=0.0,
            width=620,
        )
        return self.part("exposure", "What was at risk at the end of each day.", figures([sizes, held], wide=True))

    def costs(self) -> Html:
        """Parts of the result, and of each asset."""
        parts = cost_parts(self.frames["trades"], self.metrics.get("interest") or 0.0)
        columns = ("price_pnl", "commission", "spread", "impact", "funding", "borrow", "dividends")
        sums = ", ".join(f"sum({name}) as {name}" for name in columns)
        drawn = builders.bars(
            parts,
            self.words(
                "Parts of the result",
                "; ".join(f"{row['part']} {formatting.number(row['money'], 0)}" for row in parts.iter_rows(named=True)),
                f"select {sums}\nfrom {self.subject.relations['trades']}",
                note="open trades are marked at their last price",
            ),
            row=Field("part", "part", "category"),
            value=Field("money", "result, money", "money", digits=0, signed=True),
        )
        traded = (
            self.frames["trades"].group_by("asset").agg(pl.len().alias("n"), pl.col("net_pnl", *columns[1:4]).sum())
        )
        by_asset = traded.sort("net_pnl", descending=True, maintain_order=True)
        shown = by_asset if by_asset.height <= 20 else pl.concat([by_asset.head(10), by_asset.tail(10)])
        rows = tuple(
            Row(
                (
                    Cell(row["asset"]),
                    number_cell(row["n"], 0),
                    number_cell(row["net_pnl"], 0, signed=True),
                    number_cell(row["commission"] + row["spread"] + row["impact"], 0),
                )
            )
            for row in shown.iter_rows(named=True)
        )
        return self.part(
            "costs",
            "Price is what the positions earned at the prices the market showed; every other part is what it cost or "
            "brought to hold and to trade them.",
            figures([drawn], wide=True),
            table(
                Table(
                    caption="Assets that earned and lost most",
                    columns=(
                        Column("Asset", numeric=False),
                        Column("Trades"),
                        Column("Net", "money"),
                        Column("Commission, spread, impact", "money"),
                    ),
                    rows=rows,
                    note=f"{shown.height} of {by_asset.height} assets" if shown.height < by_asset.height else "",
                    empty="nothing was traded",
                )
            ),
        )

    def trades(self) -> Html:
        """Distribution and table."""
        drawn = builders.histogram(
            self.closed.with_columns(bps=1e4 * pl.col("net_pnl") / (pl.col("quantity") * pl.col("entry_price"))).select(
                "bps"
            ),
            self.words(
                "Trades",
                f"Net result of {self.closed.height} closed trades, bps of the entry's value.",
                "select 1e4 * net_pnl / (quantity * entry_price) as bps\n"
                f"from {self.subject.relations['trades']}\nwhere exit_stamp is not null",
            ),
            value=Field("bps", "net, bps of the entry's value", digits=0),
            at=0.0,
            width=620,
        )
        ordered = (
            self.frames["trades"].sort(pl.col("net_pnl").abs(), descending=True, maintain_order=True).head(SHOWN_TRADES)
        )
        rows = tuple(
            Row(
                (
                    Cell(row["asset"]),
                    Cell(str(row["side"])),
                    Cell(_moment(row["entry_stamp"])),
                    text_cell(_moment(row["exit_stamp"]), missing="open at the end"),
                    Cell(str(row["exit_reason"]) if row["exit_stamp"] is not None else "open"),
                    number_cell(row["quantity"], 4),
                    number_cell(row["entry_price"], 4),
                    number_cell(row["exit_price"], 4, missing="open at the end"),
                    number_cell(row["net_pnl"], 2, signed=True),
                    number_cell(row["mae"], 2, percent=True, signed=True),
                    number_cell(row["mfe"], 2, percent=True, signed=True),
                )
            )
            for row in ordered.iter_rows(named=True)
        )
        total = self.frames["trades"].height
        return self.part(
            "trades",
            "A trade is a position from flat to flat. The worst and the best price while held are against its average "
            "entry.",
            figures([drawn], wide=True),
            table(
                Table(
                    caption="Trades, the largest results first",
                    columns=(
                        Column("Asset", numeric=False),
                        Column("Side", numeric=False),
                        Column("Entry", numeric=False),
                        Column("Exit", numeric=False),
                        Column("Left by", numeric=False),
                        Column("Units"),
                        Column("Entry price"),
                        Column("Exit price"),
                        Column("Net", "money"),
                        Column("Worst"),
                        Column("Best"),
                    ),
                    rows=rows,
                    note=f"{len(rows)} of {total} trades; the file of trades holds all" if len(rows) < total else "",
                    empty="nothing was traded",
                )
            ),
        )

    def counted(self) -> Html:
        """Counts that are not zero."""
        rows = tuple(
            Row((Cell(name.replace("_", " ")), number_cell(count, 0))) for name, count in self.counts.items() if count
        )
        return self.part(
            "counted",
            "Decisions that were cut, refused or ignored, and costs that were not known and charged at a stated "
            "pessimistic number. What each means stands in docs/explanation/execution.md.",
            table(
                Table(
                    caption="Counts",
                    columns=(Column("What", numeric=False), Column("How often")),
                    rows=rows,
                    empty="everything went as decided, with known costs",
                )
            ),
        )

    def strategy(self) -> Html:
        """What was assumed."""
        cells = {name: text_cell(value, missing="none") for name, value in self.subject.settings.items()}
        return self.part("strategy", self.subject.description, definitions(cells))


def _moment(stamp: Any) -> str:
    """A day, with its time where it has one."""
    if stamp is None:
        return ""
    written: str = stamp.strftime("%Y-%m-%d %H:%M")
    return written.removesuffix(" 00:00")
