"""The SQL under a figure gives the figure's data, run by DuckDB over the tables that it names."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from typing import Any

import duckdb
import polars as pl
import pytest

from quant_platform.reports.charts.fields import rows
from quant_platform.reports.equity.calibration import calibration_figure
from quant_platform.reports.equity.factors import decay_figures, series_figures
from quant_platform.reports.equity.trades import sweep_figure, year_figures
from quant_platform.reports.queries import from_report, literal
from quant_platform_tests.reports.sample import hit_row, sample_report

EVIL = "it's; drop table x --"


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    made = sample_report()
    for row in [*made["decay"], *made["ic_series"], *made["signal_edge"]]:
        row["factor"] = EVIL if row["factor"] == "momentum_12_1" else row["factor"]
    return made


@pytest.fixture(scope="module")
def tables(report: dict[str, Any]) -> Iterator[duckdb.DuckDBPyConnection]:
    """The tables as the house has them, from the same numbers and with rows of other weeks beside them."""
    week = report["as_of_week"]
    summaries = [row | {"kind": "summary", "date_sig": report["date_sig"]} for row in report["decay"]]
    weekly = [row | {"kind": "rebalance", "horizon_sessions": 30} for row in report["ic_series"]]
    bins = [
        bin_ | {"as_of_week": week, "model": model}
        for model, found in report["calibration"].items()
        for bin_ in [*found["bins"], {"bin": -1, "n": 1}]
    ]
    hits = [row | {"as_of_week": week} for row in report["hit_rate"]]
    hits += [hit_row("year", "all:1999", 9, 0.1, 0.1, 0.1) | {"as_of_week": datetime.date(1999, 1, 4)}]
    held = {
        "factors.information_coefficient": [*summaries, *weekly],
        "replay.calibration": bins,
        "replay.hit_rate": hits,
        "replay.activation_sweep": [row for sweep in report["sweeps"] for row in sweep["rows"]],
    }
    connection = duckdb.connect()
    for name, found in held.items():
        frame = pl.DataFrame(found, infer_schema_length=None)
        connection.execute(f"create schema if not exists {name.partition('.')[0]}")
        connection.execute(f"create table {name} as select * from frame")
        del frame
    yield connection
    connection.close()


def test_every_figure_of_the_equity_page_has_the_query_of_its_data(
    report: dict[str, Any], tables: duckdb.DuckDBPyConnection
) -> None:
    year = [row for row in rows(report, "hit_rate") if row["group"] == "year"]
    figures = [
        *decay_figures(report),
        *series_figures(report),
        *(calibration_figure(report, name, model) for name, model in report["calibration"].items()),
        *year_figures(report, sorted(year, key=lambda row: tuple(reversed(row["value"].split(":"))))),
        *(sweep_figure(report, sweep) for sweep in report["sweeps"]),
    ]
    assert len(figures) == 7 + 7 + 2 + 2 + 5
    for figure in figures:
        answer = tables.execute(figure.words.sql)
        columns = [column[0] for column in answer.description or ()]
        found = [dict(zip(columns, row, strict=True)) for row in answer.fetchall()]
        assert len(found) == len(figure.data) > 0
        shared = [name for name in columns if name in figure.data[0]]
        assert len(shared) >= 3
        for got, drawn in zip(found, figure.data, strict=True):
            for name in shared:
                value = got[name] if isinstance(got[name], int | float | bool) else str(got[name])
                assert value == pytest.approx(drawn[name]), (figure.words.title, name)


def test_rows_of_a_report_are_read_from_its_json() -> None:
    connection = duckdb.connect()
    told = json.dumps({"funnel": [{"stage": "it's", "left": 3}, {"stage": "b", "left": None}]})
    connection.execute("create schema discovery")
    connection.execute("create table discovery.report as select '2024-06' as cutoff, ? as json", [told])
    query = from_report("discovery.report", "cutoff", "2024-06", "funnel", {"stage": "varchar", "left": "bigint"})
    assert connection.execute(query).fetchall() == [("it's", 3), ("b", None)]
    other = from_report("discovery.report", "cutoff", "2024-05", "funnel", {"stage": "varchar"}, where="stage = 'b'")
    assert connection.execute(other).fetchall() == []


def test_a_text_stays_a_text_in_sql() -> None:
    assert duckdb.execute(f"select {literal(EVIL)}").fetchall() == [(EVIL,)]
