"""The backtests of the event lab as one page: accounts, folds, perturbations, who is promoted and why not."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from quant_platform.reports.charts import builders, formatting
from quant_platform.reports.charts.builders import Field
from quant_platform.reports.charts.figures import Words
from quant_platform.reports.charts.markup import Html
from quant_platform.reports.charts.pages import Tile, contents, figures, heading, page, section, tiles
from quant_platform.reports.charts.tables import Cell, Column, Row, Table, number_cell, table, text_cell
from quant_platform.reports.queries import literal

SECTIONS = {
    "strategies": "Strategies",
    "accounts": "Accounts",
    "folds": "Walk-forward",
    "robustness": "What becomes of it when something changes",
    "market": "Can the market carry it",
    "capital": "Capital",
    "drift": "Drift",
}
SHOWN_ACCOUNTS = 5
NOT_RUN = "not run"
PERTURBED = ("base", "entry_later", "threshold", "cost", "dropped")


def render_backtests(frames: Mapping[str, pl.DataFrame], *, cutoff: str, headline: str, simulated: bool) -> str:
    """Draw the page of a cutoff.

    Parameters
    ----------
    frames
        Rows of the ``backtest.*`` tables of the cutoff, by name.
    cutoff, headline, simulated
        What it is about, and the result in one sentence.

    Returns
    -------
    str
        HTML that loads nothing.
    """
    sheet = _Sheet(frames, cutoff, simulated)
    title = f"Backtests of the event lab, data up to {cutoff}"
    return page(
        title,
        heading("Event lab: backtests", title, headline),
        contents(SECTIONS),
        tiles(sheet.headline()),
        sheet.strategies(),
        sheet.accounts(),
        sheet.folds(),
        sheet.robustness(),
        sheet.market(),
        sheet.capital(),
        sheet.drift(),
        simulated=simulated,
    )


class _Sheet:
    """The sections of one page."""

    def __init__(self, frames: Mapping[str, pl.DataFrame], cutoff: str, simulated: bool) -> None:
        self.frames = {name.removeprefix("backtest."): frame for name, frame in frames.items()}
        self.cutoff, self.simulated = cutoff, simulated

    def part(self, anchor: str, explanation: str, *blocks: Html | None) -> Html:
        """A section."""
        return section(SECTIONS[anchor], explanation, *blocks, anchor=anchor, simulated=self.simulated)

    def words(self, title: str, description: str, sql: str, note: str = "") -> Words:
        """Words of a figure of this page."""
        return Words(title, description, note=note, sql=sql, simulated=self.simulated)

    def headline(self) -> list[Tile]:
        """Counts, and the composite where there is one."""
        rows = self.frames["promotions"]
        status = pl.col("status").cast(pl.String)
        single = rows.filter(status != "composite")
        together = rows.filter(status == "composite")
        found = together.row(0, named=True) if together.height else {}
        return [
            Tile("Strategies traded", number_cell(int(single["was_run"].sum()), 0), "refused cells included"),
            Tile("Promoted", number_cell(int(single["promoted"].sum()), 0)),
            Tile(
                "Promoted together",
                number_cell(found.get("total_return"), 1, percent=True, signed=True, missing="nothing was promoted"),
                "return after costs over all data, training included",
            ),
            Tile(
                "Their Sharpe ratio",
                number_cell(found.get("sharpe"), 2, missing="nothing was promoted"),
                "annual, on days after training",
            ),
        ]

    def strategies(self) -> Html:
        """Everything that was or was not run."""
        rows = tuple(
            Row(
                (
                    Cell(row["strategy_id"]),
                    Cell(str(row["status"])),
                    Cell("yes" if row["promoted"] else "no"),
                    number_cell(row["n_trades"], 0, missing=NOT_RUN),
                    number_cell(row["total_return"], 1, percent=True, signed=True, missing=NOT_RUN),
                    number_cell(row["max_drawdown"], 1, percent=True, missing=NOT_RUN),
                    number_cell(row["sharpe"], 2, signed=True, missing="too few days, or not run"),
                    number_cell(row["psr"], 3, missing="too few days, or not run"),
                    number_cell(row["dsr"], 3, missing="too few days, or not run"),
                    number_cell(row["positive_folds"], 0, percent=True, missing="no fold traded, or not run"),
                    text_cell("; ".join(row["reasons"]), missing="nothing speaks against it"),
                ),
                marked=bool(row["promoted"]),
                muted=row["status"] == "refused" or not row["was_run"],
            )
            for row in self.frames["promotions"]
            .sort("promoted", "dsr", descending=True, nulls_last=True, maintain_order=True)
            .iter_rows(named=True)
        )
        return self.part(
            "strategies",
            "Return and drawdown are over all data, training included; ratios are of days after training. Greyed: "
            "cells that discovery refused, traded to show what refusing saves, and what was not run.",
            table(
                Table(
                    caption="Strategies",
                    columns=(
                        Column("Strategy", numeric=False, wrap=True),
                        Column("Status", numeric=False),
                        Column("Promoted", numeric=False),
                        Column("Trades"),
                        Column("Return", "after costs"),
                        Column("Drawdown"),
                        Column("Sharpe", "annual"),
                        Column("PSR"),
                        Column("DSR"),
                        Column("Folds that earned"),
                        Column("Against it", numeric=False, wrap=True),
                    ),
                    rows=rows,
                    note="Marked rows are promoted.",
                    empty="there was nothing to trade",
                )
            ),
        )

    def accounts(self) -> Html:
        """Equity of the first few, the composite among them."""
        pnl = self.frames["strategy_pnl"]
        ranked = (
            self.frames["promotions"]
            .filter("was_run")
            .sort("promoted", "dsr", descending=True, nulls_last=True, maintain_order=True)
        )
        names = ranked["strategy_id"].to_list()[:SHOWN_ACCOUNTS]
        shown = pnl.filter(pl.col("strategy_id").is_in(names)).with_columns(
            growth=pl.col("equity") / pl.col("equity").first().over("strategy_id", order_by="day") - 1.0
        )
        listed = ", ".join(literal(name) for name in names)
        drawn = builders.lines(
            shown.sort("strategy_id", "day").select("day", "strategy_id", "growth"),
            self.words(
                "Equity",
                f"Growth after costs of {len(names)} accounts, those that are promoted first.",
                "select day, strategy_id, equity / first_value(equity) over "
                "(partition by strategy_id order by day) - 1 as growth\n"
                f"from backtest.strategy_pnl\nwhere cutoff = {literal(self.cutoff)}\n  and strategy_id in ({listed})\n"
                "order by strategy_id, day",
                note="training included",
            ),
            x=Field("day", "day", "date"),
            y=Field("growth", "growth since the first day", "percent"),
            series=Field("strategy_id", "strategy", "category"),
            at=0.0,
            width=620,
        )
        parts = self.frames["attribution"].filter(pl.col("dimension") == "cost_part")
        costs = builders.bars(
            parts.group_by("value").agg(pl.col("pnl").sum()).sort("value"),
            self.words(
                "Parts of the result",
                "What prices gave and what costs took, over all strategies that were run.",
                f"select value, sum(pnl) as pnl\nfrom backtest.attribution\nwhere cutoff = {literal(self.cutoff)} "
                "and dimension = 'cost_part'\ngroup by 1 order by 1",
            ),
            row=Field("value", "part", "category"),
            value=Field("pnl", "result, money", "money", digits=0, signed=True),
        )
        return self.part(
            "accounts",
            "Each strategy trades an account of its own with the caps and costs of specs/discovery.yaml.",
            figures([drawn, costs] if names else [], wide=True, empty="nothing was traded"),
        )

    def folds(self) -> Html:
        """Results in and out of sample."""
        rows = self.frames["walk_forward"].filter(pl.col("scheme").cast(pl.String) == "anchored", pl.col("n_test") > 0)
        drawn = builders.scatter(
            rows.select("strategy_id", "train_net_bps", "test_net_bps"),
            self.words(
                "Training against test",
                "Mean result per trade of every anchored fold that traded, after costs.",
                "select strategy_id, train_net_bps, test_net_bps\nfrom backtest.walk_forward\n"
                f"where cutoff = {literal(self.cutoff)} and scheme = 'anchored' and n_test > 0",
            ),
            x=Field("train_net_bps", "training, bps per trade", digits=1),
            y=Field("test_net_bps", "test, bps per trade", digits=1),
            diagonal=True,
            tips=[Field("strategy_id", "strategy", "category")],
        )
        shown = tuple(
            Row(
                (
                    Cell(row["strategy_id"]),
                    Cell(str(row["scheme"])),
                    number_cell(row["traded"], 0),
                    number_cell(row["n_test"], 0),
                    number_cell(row["test_pnl"], 0, signed=True),
                    number_cell(row["degradation_bps"], 1, signed=True, missing="no fold traded"),
                    number_cell(row["positive"], 0, percent=True),
                )
            )
            for row in self.frames["walk_forward"]
            .group_by("strategy_id", "scheme")
            .agg(
                (pl.col("n_test") > 0).sum().alias("traded"),
                pl.col("n_test", "test_pnl").sum(),
                pl.col("degradation_bps").mean(),
                (pl.col("test_pnl") > 0.0).mean().alias("positive"),
            )
            .sort("strategy_id", "scheme")
            .iter_rows(named=True)
        )
        return self.part(
            "folds",
            "Each fold learns the side on the days before it and trades it in its own; the trades are kept in "
            "backtest.trades. Degradation is training less test, per trade.",
            figures([drawn] if rows.height else [], empty="no fold traded"),
            table(
                Table(
                    caption="Out of sample",
                    columns=(
                        Column("Strategy", numeric=False, wrap=True),
                        Column("Scheme", numeric=False),
                        Column("Folds that traded"),
                        Column("Trades"),
                        Column("Result", "money"),
                        Column("Degradation", "bps per trade"),
                        Column("Folds that earned"),
                    ),
                    rows=shown,
                    empty="there was nothing to trade",
                )
            ),
        )

    def robustness(self) -> Html:
        """Every re-run of every strategy."""
        rows = self.frames["robustness"].filter(pl.col("kind").is_in(PERTURBED))
        named = rows.select("strategy_id", (pl.col("kind") + ", " + pl.col("variant")).alias("change"), "net_bps")
        drawn = builders.heat(
            named.drop_nulls(),
            self.words(
                "Result per trade after each change",
                "Mean result per trade after costs, bps; each square is a run of its own.",
                "select strategy_id, kind || ', ' || variant as change, net_bps\nfrom backtest.robustness\n"
                f"where cutoff = {literal(self.cutoff)} and net_bps is not null\n"
                f"  and kind in ({', '.join(literal(kind) for kind in PERTURBED)})",
            ),
            x=Field("change", "change", "category"),
            y=Field("strategy_id", "strategy", "category"),
            value=Field("net_bps", "bps per trade", digits=1, signed=True),
            written=lambda bps: formatting.number(bps, 1, signed=True),
            width=900,
        )
        return self.part(
            "robustness",
            "Entries later, thresholds moved, costs higher, a tenth of the events left out: every square was run "
            "again. By state and by bootstrap: backtest.robustness.",
            figures([drawn] if named.drop_nulls().height else [], whole=True, empty="nothing was traded"),
        )

    def market(self) -> Html:
        """Bounds on spread, depth, impact and participation."""
        rows = tuple(
            Row(
                (
                    Cell(row["strategy_id"]),
                    Cell(row["check"]),
                    number_cell(row["n"], 0),
                    number_cell(row["n_unknown"], 0),
                    number_cell(row["judged"], 4, missing="not known, or nothing was entered"),
                    number_cell(row["bound"], 4),
                    Cell("yes" if row["accepted"] else "no"),
                    Cell(row["reason"]),
                ),
                marked=not row["accepted"],
            )
            for row in self.frames["acceptance"].iter_rows(named=True)
        )
        return self.part(
            "market",
            "What was quoted when each order was decided. A book that is not known refuses.",
            table(
                Table(
                    caption="Acceptance",
                    columns=(
                        Column("Strategy", numeric=False, wrap=True),
                        Column("Check", numeric=False),
                        Column("Entries"),
                        Column("Not known"),
                        Column("Judged"),
                        Column("Bound"),
                        Column("Accepted", numeric=False),
                        Column("In words", numeric=False, wrap=True),
                    ),
                    rows=rows,
                    note="Marked rows refuse.",
                    empty="there was nothing to trade",
                )
            ),
        )

    def capital(self) -> Html:
        """Shares and what the layers took."""
        layers = ("strategy", "symbol", "portfolio", "new_exposure")
        rows = tuple(
            Row(
                (
                    Cell(row["strategy_id"]),
                    number_cell(row["share"], 1, percent=True),
                    number_cell(row["volatility"], 1, percent=True, missing="too few days"),
                    *(number_cell(row[f"clipped_{layer}"], 0) for layer in layers),
                    number_cell(row["granted"], 1, percent=True, missing="nothing was asked for"),
                )
            )
            for row in self.frames["allocation"].iter_rows(named=True)
        )
        return self.part(
            "capital",
            "In proportion to one over volatility, then through the four layers of risk: how often each made a target "
            "smaller. Reductions always pass.",
            table(
                Table(
                    caption="Allocation",
                    columns=(
                        Column("Strategy", numeric=False, wrap=True),
                        Column("Share"),
                        Column("Volatility", "annual"),
                        Column("Strategy limit"),
                        Column("Symbol limit"),
                        Column("Portfolio limit"),
                        Column("New exposure"),
                        Column("Granted", "of what was asked"),
                    ),
                    rows=rows,
                    empty="nothing was promoted, so that nothing gets capital",
                )
            ),
        )

    def drift(self) -> Html:
        """Alarms only; the rest is in the table."""
        frame = self.frames["drift"]
        rows = tuple(
            Row(
                (
                    Cell(row["symbol"]),
                    Cell(row["feature"]),
                    number_cell(row["psi"], 3),
                    number_cell(row["bound"], 3),
                    number_cell(row["n_current"], 0),
                )
            )
            for row in frame.filter("alarm").iter_rows(named=True)
        )
        return self.part(
            "drift",
            f"{len(rows)} of {frame.height} features have moved since training by more than sampling explains, and by "
            "enough to matter.",
            table(
                Table(
                    caption="Alarms",
                    columns=(
                        Column("Symbol", numeric=False),
                        Column("Feature", numeric=False),
                        Column("PSI"),
                        Column("Bound", "of sampling"),
                        Column("Values", "after training"),
                    ),
                    rows=rows,
                    empty="no feature has moved",
                )
            ),
        )
