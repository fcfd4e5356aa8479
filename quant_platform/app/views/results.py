"""Results: the verdict of a suite with its rules, variants, figures, tear sheet, links and downloads."""

from __future__ import annotations

import io

import polars as pl
import streamlit as st

from quant_platform.app import parts
from quant_platform.contracts.errors import SnapshotInvalid
from quant_platform.labs.suite.experiments import MEANING
from quant_platform.pipeline.experiments import registration_of
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.suite import tear_sheet_path
from quant_platform.pipeline.suite_evaluation import stored_looks, stored_registration
from quant_platform.pipeline.suite_history import suite_history
from quant_platform.pipeline.tracking import tracking_uri
from quant_platform.reports.charts.figures import Words
from quant_platform.reports.suite.figures import below_the_high, cumulative_return, daily_query

_FIGURES = (
    "variant", "sharpe_net", "sharpe_net_low", "sharpe_net_high", "sharpe_gross", "ann_return_net", "ann_volatility",
    "max_drawdown_net", "turnover", "ann_cost", "sessions",
)  # fmt: skip
DAGSTER = "http://localhost:3000"


def show() -> None:
    """Draw the page."""
    home = parts.opened("Results")
    with parts.said_to_people():
        known = suite_history(home)
        if not known.height:
            parts.nothing("No signal was judged in this home.", "Open Run, choose a signal and press Run.")
            return
        labels = [f"{row['signal']} on {row['snapshot_id']}" for row in known.iter_rows(named=True)]
        chosen = st.selectbox("Suite", labels, key="suite")
        _suite(home, known.row(labels.index(chosen), named=True))


def _suite(home: Home, row: dict[str, object]) -> None:
    key = (str(row["signal"]), str(row["snapshot_id"]))
    rules = home.lake.read("suite.verdict", [key])
    results = home.lake.read("suite.results", [key])
    daily = home.lake.read("suite.daily", [key])
    reference = str(rules["reference"][0])
    parts.verdict_badge(str(rules["verdict"][0]))
    state = stored_registration(rules)
    st.markdown(parts.plain(f"{state}: {MEANING[state]}"))
    st.caption(parts.plain(_looks(home, key)))
    st.caption(parts.plain(f"judged on {reference}, preset {row['preset']}, by {row['author']}, {row['evaluated_at']}"))
    judged = results.filter((pl.col("slice_kind") == "overall") & (pl.col("variant") == reference)).row(0, named=True)
    tiles = st.columns(4)
    for place, (label, value) in enumerate(
        {
            "Net Sharpe ratio": _number(judged["sharpe_net"]),
            "95 % interval": f"{_number(judged['sharpe_net_low'])} to {_number(judged['sharpe_net_high'])}",
            "Net return a year": _percent(judged["ann_return_net"]),
            "Deepest drawdown": _percent(judged["max_drawdown_net"]),
        }.items()
    ):
        tiles[place].metric(label, value)
    st.subheader("Why")
    parts.table(rules.select("colour", "code", "met", "text", "value", "threshold", "distance"), key="rules")
    st.subheader("Variants")
    parts.table(results.filter(pl.col("slice_kind") == "overall").select(_FIGURES), key="variants")
    _figures(daily, key, reference, simulated=home.simulated)
    st.subheader("By year and slice")
    parts.table(
        results.filter((pl.col("slice_kind") != "overall") & (pl.col("variant") == reference)).select(
            "slice_kind", "slice", *_FIGURES[1:]
        ),
        key="slices",
    )
    _origin(home, key, row, daily)


def _looks(home: Home, key: tuple[str, str]) -> str:
    try:
        looks = stored_looks(home, key, registration_of(home, key[0]))
    except SnapshotInvalid:
        return "looks at the holdout cannot be counted: the snapshot is gone"
    return f"looks at the holdout, by anybody: {looks.sentence}"


def _figures(daily: pl.DataFrame, key: tuple[str, str], reference: str, *, simulated: bool) -> None:
    variants = daily["variant"].unique().sort().to_list()
    left, right = st.columns(2)
    with left:
        words = Words(
            "Cumulative return",
            "Compounded net return of every variant.",
            note="after costs, compounded from the first trade",
            sql=daily_query(*key, variants, "variant, session, cumret"),
            simulated=simulated,
        )
        parts.draw(cumulative_return(daily, words, by="variant"))
    with right:
        words = Words(
            "Underwater",
            f"Loss of {reference} from its last high.",
            note=f"{reference}; the start is the first high",
            sql=daily_query(*key, [reference], "session, drawdown"),
            simulated=simulated,
        )
        parts.draw(below_the_high(daily.filter(pl.col("variant") == reference), words))


def _origin(home: Home, key: tuple[str, str], row: dict[str, object], daily: pl.DataFrame) -> None:
    st.subheader("Where it comes from")
    st.markdown(f"Dagster: [run {row['run_id']}]({DAGSTER}/runs/{row['run_id']}) (while `quant up` serves this home)")
    if row["mlflow_run_id"]:
        st.markdown(f"MLflow: run `{row['mlflow_run_id']}`")
        st.code(f"mlflow ui --backend-store-uri {tracking_uri(home)}", language="sh")
    else:
        st.caption("Not logged to MLflow; `quant suite` of this signal does that.")
    st.code(f"quant verify {row['run_id']} --home {home.settings.home}", language="sh")
    path = tear_sheet_path(home, key)
    buffer = io.BytesIO()
    daily.write_parquet(buffer)
    left, right = st.columns(2)
    right.download_button("Daily rows (Parquet)", buffer.getvalue(), f"{key[0]}_daily.parquet", key="daily")
    if not path.is_file():
        st.warning("The tear sheet is gone; `quant suite` of this signal draws it again.")
        return
    left.download_button("Tear sheet (HTML)", path.read_bytes(), path.name, "text/html", key="sheet")
    if st.toggle("Show the tear sheet", key="show-sheet"):
        st.iframe(path, height=900)


def _number(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else "n/a"


def _percent(value: object) -> str:
    return f"{100 * value:.1f} %" if isinstance(value, float) else "n/a"
