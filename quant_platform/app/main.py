"""What Streamlit runs: the list of pages. ``quant app`` starts it."""

from __future__ import annotations

import streamlit as st

from quant_platform.app.views import equity, events, history, jobs, operations, results, run

PAGES = {
    "Research suite": [
        st.Page(run.show, title="Run", icon=":material/play_arrow:", default=True),
        st.Page(results.show, title="Results", url_path="results", icon=":material/traffic:"),
        st.Page(history.show, title="History", url_path="history", icon=":material/history:"),
    ],
    "Labs": [
        st.Page(equity.show, title="Equity", url_path="equity", icon=":material/candlestick_chart:"),
        st.Page(events.show, title="Events", url_path="events", icon=":material/bolt:"),
        st.Page(operations.show, title="Operations", url_path="operations", icon=":material/receipt_long:"),
    ],
    "House": [st.Page(jobs.show, title="Jobs", url_path="jobs", icon=":material/schedule:")],
}

st.set_page_config(page_title="quant_platform", layout="wide")
st.navigation(PAGES).run()
