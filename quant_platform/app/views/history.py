"""History: every suite of a home, filtered; two of them side by side."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date

import polars as pl
import streamlit as st

from quant_platform.app import parts
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.suite_comparison import compare_suites
from quant_platform.pipeline.suite_history import suite_history
from quant_platform.pipeline.verification import SuiteRun, stored_runs

FILTERS = {"signal": "Signal", "author": "Author", "snapshot_id": "Snapshot", "verdict": "Verdict"}


def show() -> None:
    """Draw the page."""
    home = parts.opened("History")
    with parts.said_to_people():
        known = suite_history(home)
        if not known.height:
            parts.nothing("No signal was judged in this home.", "Open Run, choose a signal and press Run.")
            return
        shown = _filtered(known)
        st.caption(f"{shown.height} of {known.height} suites; the figures are those of the variant that was judged")
        parts.table(shown, key="suites")
        st.subheader("Two runs side by side")
        _compare(home, stored_runs(home))


def _filtered(known: pl.DataFrame) -> pl.DataFrame:
    columns = st.columns(len(FILTERS) + 1)
    for place, (column, label) in enumerate(FILTERS.items()):
        choices = known[column].drop_nulls().unique().sort().to_list()
        wanted = columns[place].multiselect(label, choices, key=f"by-{column}")
        if wanted:
            known = known.filter(pl.col(column).is_in(wanted))
    since = columns[-1].date_input("Since", value=None, key="since")
    if isinstance(since, date):
        known = known.filter(pl.col("evaluated_at").dt.date() >= since)
    return known


def _compare(home: Home, runs: list[SuiteRun]) -> None:
    if len(runs) < 2:
        parts.nothing("There is one run so far.", "Run another preset, signal or snapshot to compare it with.")
        return
    labels = {
        f"{'@'.join(run.key)}, {run.preset}, {run.evaluated_at:%Y-%m-%d %H:%M:%S}, {run.run_id[:8]}": run
        for run in reversed(runs)
    }
    left, right = st.columns(2)
    first = left.selectbox("First", list(labels), index=1, key="first")
    second = right.selectbox("Second", list(labels), index=0, key="second")
    found = compare_suites(home, labels[first], labels[second])
    st.caption("How they were made")
    parts.table(found.settings, key="settings")
    st.caption("What they measured, over the whole sample")
    parts.table(found.metrics, key="metrics")
    if found.equity:
        st.caption("Their daily net returns: parts_on is the first session that differs, empty where none does")
        parts.table(pl.DataFrame([asdict(one) for one in found.equity]), key="equity")
    else:
        st.caption("They have no variant in common, so there are no books to compare.")
