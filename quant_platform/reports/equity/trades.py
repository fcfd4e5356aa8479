"""What became of the setups: hit rates and expectancy, and what moving one threshold of the gate would have done."""

from __future__ import annotations

from quant_platform.reports.charts import builders, formatting, theme
from quant_platform.reports.charts.builders import Field
from quant_platform.reports.charts.fields import Fields, rows, value_of
from quant_platform.reports.charts.figures import Figure, Words
from quant_platform.reports.charts.markup import Html, join
from quant_platform.reports.charts.pages import figures, section
from quant_platform.reports.charts.tables import (
    Cell,
    Column,
    Row,
    Table,
    interval_cell,
    number_cell,
    p_cell,
    table,
    text_cell,
)
from quant_platform.reports.equity.survivorship import survivorship_warning
from quant_platform.reports.queries import as_of, literal

STAR = "★"
OFF = -1.0
NO_TRADES = "no resolved trade in this group"
READABLE_TRADES = 30


def hit_rate_section(report: Fields, *, anchor: str) -> Html:
    """Tables of all, qualified, by direction and by year, and expectancy by year as a figure."""
    found = rows(report, "hit_rate")
    overall = [row for row in found if row.get("group") in ("all", "qualified")]
    direction = [row for row in found if row.get("group") == "direction"]
    year = sorted((row for row in found if row.get("group") == "year"), key=_by_year)
    explanation = (
        "A hit is a trade whose target came before its stop and before the time limit. R is the planned risk of a "
        "trade, so +0.100 R earns a tenth of what was at stake. Trades of neighbouring weeks share their market, so "
        "both intervals come from weekly sums and their long-run variance; in too few weeks there is none. A hit rate "
        "alone says nothing: near targets are hit often and pay little."
    )
    return section(
        "Hit rate and expectancy",
        explanation,
        survivorship_warning(report),
        table(_hit_rate_table("All candidates and those the gate let through", overall)),
        table(_hit_rate_table("By direction", direction)),
        figures(year_figures(report, year), wide=True) if year else None,
        table(_hit_rate_table("By year of the signal", year)),
        anchor=anchor,
        simulated=bool(report.get("simulated")),
    )


def _hit_rate_table(caption: str, found: list[Fields]) -> Table:
    return Table(
        caption=caption,
        columns=(
            Column("Group", numeric=False),
            Column("n", "trades"),
            Column("n", "weeks"),
            Column("No entry", "setups"),
            Column("Hit rate", "target first"),
            Column("95% interval", "overlap allowed for"),
            Column("Expectancy", "R after cost"),
            Column("95% interval", "R, overlap allowed for"),
            Column("Profit factor", "gains / losses"),
            Column("Held", "sessions, mean"),
        ),
        rows=tuple(_hit_rate_row(row) for row in found),
        empty=NO_TRADES,
    )


def _hit_rate_row(row: Fields) -> Row:
    resolved = value_of(row, "n") or 0.0
    no_loss = "no losing trade" if resolved else NO_TRADES
    no_interval = "too few weeks" if resolved else NO_TRADES
    return Row(
        cells=(
            text_cell(_group(row)),
            number_cell(row.get("n"), 0),
            number_cell(row.get("n_weeks"), 0),
            number_cell(row.get("n_no_entry"), 0),
            number_cell(row.get("hit_rate"), 1, percent=True, missing=NO_TRADES),
            interval_cell(row.get("hit_rate_low"), row.get("hit_rate_high"), 1, percent=True, missing=NO_TRADES),
            number_cell(row.get("expectancy_r"), signed=True, missing=NO_TRADES),
            interval_cell(row.get("expectancy_low"), row.get("expectancy_high"), signed=True, missing=no_interval),
            number_cell(row.get("profit_factor"), 2, missing=no_loss),
            number_cell(row.get("mean_bars_held"), 1, missing=NO_TRADES),
        ),
        marked=str(row.get("value")).partition(":")[0] == "qualified",
    )


def _group(row: Fields) -> str:
    """``qualified:2012`` reads ``2012, qualified``; a plain value stays."""
    scope, colon, member = str(row.get("value") or row.get("group") or "").partition(":")
    return f"{member}, {scope}" if colon else scope


def year_figures(report: Fields, year: list[Fields]) -> list[Figure]:
    """Expectancy and hit rate by year with their intervals, all beside qualified."""
    money = Field("expectancy_r", "R after cost", limits=_limits(year, "n"), signed=True)
    return [
        _year_figure(report, year, money, "expectancy", "Expectancy by year", at=0.0),
        _year_figure(report, year, Field("hit_rate", "target first", "percent"), "hit_rate", "Hit rate by year"),
    ]


def _year_figure(
    report: Fields, year: list[Fields], y: Field, prefix: str, title: str, at: float | None = None
) -> Figure:
    placed = [
        {**row, "year": member, "setups": scope}
        for row in year
        for member, scope in (_by_year(row),)
        if member.isdigit()
    ]
    return builders.points(
        placed,
        Words(
            title,
            "; ".join(f"{_group(row)}: {_outcome(row)}" for row in year),
            note="95% intervals that allow for overlapping trades",
            sql=(
                "select split_part(value, ':', 2) as year, split_part(value, ':', 1) as setups,\n"
                f"  {y.name}, {prefix}_low, {prefix}_high, n\nfrom replay.hit_rate\n"
                f"where as_of_week = {literal(report.get('as_of_week'))} and \"group\" = 'year'\norder by year, setups"
            ),
            simulated=bool(report.get("simulated")),
        ),
        x=Field("year", "year of the signal", "category"),
        y=y,
        low=Field(f"{prefix}_low", "low, 95%", y.kind, signed=y.signed),
        high=Field(f"{prefix}_high", "high, 95%", y.kind, signed=y.signed),
        series=Field("setups", "setups", "category", order=("all", "qualified")),
        at=at,
        tips=[Field("n", "trades", "count")],
        colours=(theme.LIGHT.faint, theme.LIGHT.first),
        width=460,
        height=280,
    )


def _by_year(row: Fields) -> tuple[str, str]:
    scope, _, member = str(row.get("value")).partition(":")
    return member, scope


def _outcome(row: Fields, n_key: str = "n") -> str:
    mean, low, high = (value_of(row, key) for key in ("expectancy_r", "expectancy_low", "expectancy_high"))
    n = value_of(row, n_key)
    written = "n/a" if mean is None else f"{formatting.number(mean, signed=True)} R"
    if low is not None and high is not None:
        written += f" [{formatting.number(low, signed=True)}, {formatting.number(high, signed=True)}]"
    return f"{written}, n {'n/a' if n is None else formatting.count(n)}"


def sweep_section(report: Fields, *, anchor: str) -> Html:
    """Every sweep as a figure and a table; the threshold in force is starred."""
    sweeps = rows(report, "sweeps")
    explanation = (
        "The gate applied again to the same stored candidates with one threshold moved, all else as in force. Each dot "
        f"is one threshold: how many setups it lets through, and what they earned; {STAR} is the one in force. These "
        "cells are not trials of fresh data: the best of many looks better than it is, so the p-value is adjusted for "
        "the gates of all sweeps together (Holm), and a peak whose neighbours do not share it is noise."
    )
    blocks: list[Html] = []
    if sweeps:
        blocks.append(figures([sweep_figure(report, sweep) for sweep in sweeps]))
        blocks.extend(table(_sweep_table(sweep)) for sweep in sweeps)
    else:
        blocks.append(table(Table("Sweeps", (), (), empty="no sweep was run")))
    return section(
        "Threshold sweeps", explanation, join(*blocks), anchor=anchor, simulated=bool(report.get("simulated"))
    )


def sweep_figure(report: Fields, sweep: Fields) -> Figure:
    """Expectancy with its interval against the number of qualified setups, one dot per threshold."""
    cells = sorted(rows(sweep, "rows"), key=lambda row: value_of(row, "threshold") or 0.0)
    name = str(sweep.get("parameter") or sweep.get("sweep"))
    return builders.points(
        [{**row, "at": _threshold(row)} for row in cells],
        Words(
            name,
            "; ".join(f"{_threshold(row)}: {_outcome(row, 'n_resolved')}" for row in cells),
            note=f"{len(cells)} thresholds, labels are their values",
            sql=(
                f"{as_of(report)}select n_qualified, expectancy_r, expectancy_low, expectancy_high, is_current,\n"
                f"  threshold, n_resolved\nfrom replay.activation_sweep\nwhere parameter = {literal(name)}\n"
                "order by threshold"
            ),
            simulated=bool(report.get("simulated")),
        ),
        x=Field("n_qualified", "setups qualified", "count", log=True),
        y=Field("expectancy_r", "expectancy, R after cost", limits=_limits(cells, "n_resolved"), signed=True),
        low=Field("expectancy_low", "low, 95%", signed=True),
        high=Field("expectancy_high", "high, 95%", signed=True),
        starred=Field("is_current", "in force", "flag"),
        label=Field("at", "threshold", "category"),
        joined=True,
        at=0.0,
        tips=[Field("threshold", f"{name}, -1 is off", digits=2), Field("n_resolved", "trades", "count")],
        height=240,
    )


def _sweep_table(sweep: Fields) -> Table:
    cells = sorted(rows(sweep, "rows"), key=lambda row: value_of(row, "threshold") or 0.0)
    name = str(sweep.get("parameter") or sweep.get("sweep"))
    return Table(
        caption=f"Sweep of {name}",
        columns=(
            Column("Threshold", numeric=False),
            Column("Qualified", "setups"),
            Column("n", "trades"),
            Column("n", "weeks"),
            Column("Hit rate", "target first"),
            Column("Expectancy", "R after cost"),
            Column("95% interval", "R, overlap allowed for"),
            Column("p", "same error"),
            Column("p adjusted", "Holm, all sweeps"),
        ),
        rows=tuple(_sweep_row(row) for row in cells),
        empty="the sweep has no cell",
    )


def _sweep_row(row: Fields) -> Row:
    current = row.get("is_current") is True
    nothing = "no qualified setup has a known outcome"
    too_few = "too few weeks" if value_of(row, "n_resolved") else nothing
    return Row(
        cells=(
            Cell(_threshold(row) + (f" {STAR}" if current else "")),
            number_cell(row.get("n_qualified"), 0),
            number_cell(row.get("n_resolved"), 0),
            number_cell(row.get("n_weeks"), 0),
            number_cell(row.get("hit_rate"), 1, percent=True, missing=nothing),
            number_cell(row.get("expectancy_r"), signed=True, missing=nothing),
            interval_cell(row.get("expectancy_low"), row.get("expectancy_high"), signed=True, missing=too_few),
            p_cell(row.get("p_value"), missing=too_few),
            p_cell(row.get("p_adjusted"), missing=too_few),
        ),
        marked=current,
    )


def _threshold(row: Fields) -> str:
    value = value_of(row, "threshold")
    if value is None:
        return "n/a"
    return "off" if value == OFF else f"{value:g}".replace("-", formatting.MINUS)


def _limits(cells: list[Fields], n_key: str) -> tuple[float, float] | None:
    """Range of every mean and of the whiskers of groups with enough trades, so that a tiny group cannot flatten all."""
    ends = [value_of(row, "expectancy_r") for row in cells]
    for row in cells:
        if (value_of(row, n_key) or 0.0) >= READABLE_TRADES:
            ends += [value_of(row, "expectancy_low"), value_of(row, "expectancy_high")]
    return builders.limits_of(ends, room=0.08)
