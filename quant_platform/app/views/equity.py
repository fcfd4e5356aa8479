"""Equity: what the last weekly report says, drawn with its own figures; the gate in force and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import streamlit as st

from quant_platform.app import parts
from quant_platform.pipeline.home import Home
from quant_platform.reports.charts.fields import fields, rows
from quant_platform.reports.equity.calibration import calibration_figure
from quant_platform.reports.equity.factors import decay_figures, series_figures
from quant_platform.reports.equity.setups import rule_figures
from quant_platform.reports.equity.trades import sweep_figure
from quant_platform.specification.activation import ActivationSpec

_SETUPS = (
    "ticker", "direction", "confidence", "rr", "momentum_percentile", "entry_reference", "stop", "target",
    "expected_value_r", "qualified", "refusals",
)  # fmt: skip
_EDGE = (
    "factor", "ic", "half_width", "n_independent", "t_nonoverlapping", "p_adjusted", "t_ewc", "reliable", "precise",
    "starred", "unreliable_because",
)  # fmt: skip


def show() -> None:
    """Draw the page."""
    home = parts.opened("Equity signals")
    weeks = home.lake.partitions("replay.report")
    if not weeks:
        parts.nothing(
            "There is no weekly report yet.",
            "`quant run everything` makes one; a home of perpetuals alone has none.",
        )
        return
    with parts.said_to_people():
        week = str(st.selectbox("Week of (Monday)", list(reversed(weeks)), key="week"))
        row = home.lake.read("replay.report", [week]).row(0, named=True)
        report: dict[str, Any] = json.loads(row["json"])
        st.markdown(f"**{parts.plain(row['headline'])}**")
        left, right = st.columns(2)
        left.download_button("Report (JSON)", row["json"], f"{week}.json", "application/json", key="json")
        page = home.settings.home / row["html_path"]
        if page.is_file():
            right.download_button("Report (HTML)", page.read_bytes(), page.name, "text/html", key="html")
        _setups(report)
        _edge(report)
        _calibration(report)
        _sweeps(report)
        _gate(home, report)


def _setups(report: dict[str, Any]) -> None:
    st.subheader("Setups of the week")
    found = _frame(rows(fields(report, "setups"), "rows"))
    if found.height:
        first = [name for name in _SETUPS if name in found.columns]
        parts.table(found.select(*first, pl.exclude(first)), key="setups", height=320)
    else:
        parts.nothing("The week has no setup.", "`quant run weekly_cross_section` judges the candidates of a week.")


def _edge(report: dict[str, Any]) -> None:
    st.subheader("Signal edge")
    st.caption("Thin factors are grey: too few independent windows to read their mean IC at all. Stars are Holm's.")
    found = _frame(rows(report, "signal_edge"))
    if not found.height:
        parts.nothing("No factor was judged.", "`quant run factor_study` judges them.")
        return
    shown = found.select(name for name in _EDGE if name in found.columns)
    styled = shown.to_pandas().style.apply(_grey, axis=1)
    st.dataframe(styled, hide_index=True, width="stretch", key="edge-table")
    columns = st.columns(2)
    for place, figure in enumerate([*decay_figures(report), *series_figures(report)]):
        with columns[place % 2]:
            parts.draw(figure)


def _grey(row: Any) -> list[str]:
    return ["" if row["reliable"] else "color: #9a9a9a"] * len(row)


def _calibration(report: dict[str, Any]) -> None:
    st.subheader("Calibration")
    models = fields(report, "calibration")
    columns = st.columns(2)
    for place, name in enumerate(models):
        with columns[place % 2]:
            parts.draw(calibration_figure(report, name, fields(models, name)))
    if not models:
        parts.nothing("No probability was calibrated.", "`quant run weekly_report` does that.")


def _sweeps(report: dict[str, Any]) -> None:
    st.subheader("Threshold sweeps")
    st.caption("The gate with one number moved; the star marks the one in force.")
    found = rows(report, "sweeps")
    columns = st.columns(2)
    for place, sweep in enumerate(found):
        with columns[place % 2]:
            parts.draw(sweep_figure(report, sweep))
    if not found:
        parts.nothing("No threshold was swept.", "`quant run sweep_study` does that.")


def _gate(home: Home, report: dict[str, Any]) -> None:
    st.subheader("Activation thresholds")
    spec = home.load("activation.yaml", ActivationSpec)
    st.json(spec.model_dump(mode="json"), expanded=2)
    st.caption("specs/activation.yaml; what each rule refuses this week:")
    for figure in rule_figures(report):
        parts.draw(figure)


def _frame(found: Any) -> pl.DataFrame:
    """Rows of a report as a frame; what is nested is written as text."""
    plain = [
        {name: json.dumps(value) if isinstance(value, list | dict) else value for name, value in row.items()}
        for row in found
    ]
    return pl.DataFrame(plain, infer_schema_length=None) if plain else pl.DataFrame()
