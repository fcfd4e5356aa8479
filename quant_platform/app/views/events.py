"""Events: what the last discovery report says, and the tables of the search behind it."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import streamlit as st

from quant_platform.app import parts
from quant_platform.pipeline.home import Home
from quant_platform.reports.charts.fields import rows
from quant_platform.reports.events.search import funnel_figures

_CELLS = (
    "event_id", "template", "question", "horizon_bars", "symbol", "state", "n", "n_days", "effect_bps",
    "standard_error_bps", "p_raw", "q_level1", "q_global", "shrunk_net_bps", "finding", "gates_failed",
)  # fmt: skip
SHOWN = 500


def show() -> None:
    """Draw the page."""
    home = parts.opened("Event lab")
    cutoffs = home.lake.partitions("discovery.report")
    if not cutoffs:
        parts.nothing(
            "There is no discovery report yet.",
            "`quant run everything` makes one in a home that holds perpetuals; `quant import-perps` fills one.",
        )
        return
    with parts.said_to_people():
        cutoff = str(st.selectbox("Data up to", list(reversed(cutoffs)), key="cutoff"))
        row = home.lake.read("discovery.report", [cutoff]).row(0, named=True)
        report: dict[str, Any] = json.loads(row["json"])
        st.markdown(f"**{parts.plain(row['headline'])}**")
        for sentence in report.get("verdict") or ():
            st.markdown(f"- {parts.plain(sentence)}")
        left, right = st.columns(2)
        left.download_button("Report (JSON)", row["json"], f"{cutoff}.json", "application/json", key="json")
        page = home.settings.home / row["html_path"]
        if page.is_file():
            right.download_button("Report (HTML)", page.read_bytes(), page.name, "text/html", key="html")
        columns = st.columns(2)
        for place, figure in enumerate(funnel_figures(report)):
            with columns[place % 2]:
                parts.draw(figure)
        _tables(home, cutoff, report)


def _tables(home: Home, cutoff: str, report: dict[str, Any]) -> None:
    st.subheader("Cells")
    cells = home.lake.scan("discovery.hypotheses", [cutoff])
    names = [name for name in _CELLS if name in cells.collect_schema().names()]
    counts = cells.group_by("finding").len().sort("len", "finding", descending=[True, False]).collect()
    st.caption("All cells by finding")
    parts.table(counts, key="findings")
    wanted = st.multiselect("Finding", counts["finding"].cast(pl.String).to_list(), key="finding")
    kept = cells.filter(pl.col("finding").cast(pl.String).is_in(wanted)) if wanted else cells
    shown = kept.select(names).sort("p_raw", nulls_last=True, maintain_order=True).head(SHOWN).collect()
    st.caption(f"The {shown.height} cells with the smallest p")
    parts.table(shown, key="cells", height=360)
    for name, title in (("discovery.bridge", "Out of sample"), ("discovery.blueprints", "Blueprints")):
        st.subheader(title)
        found = home.lake.read(name, [cutoff], missing="ignore")
        if found.height:
            parts.table(found, key=name)
        else:
            parts.nothing(f"{name} is empty for this cutoff.", "Nothing got that far; that is a result too.")
    st.subheader("Events against their bounds")
    checked = rows(report, "prevalence")
    if checked:
        flat = [{k: v for k, v in row.items() if not isinstance(v, list | dict)} for row in checked]
        parts.table(pl.DataFrame(flat, infer_schema_length=None), key="prevalence", height=320)
