"""What every page shares: the home, the heading with SIMULATED, what an empty page says, figures, tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
import streamlit as st

from quant_platform.contracts.errors import PlatformError
from quant_platform.pipeline.home import Home
from quant_platform.reports.charts.figures import Figure

COLOURS = {"green": "green", "yellow": "orange", "red": "red"}


def opened(title: str) -> Home:
    """Draw the heading of a page and open the home of this server; a market that is made up says so first."""
    home = Home.from_environment()
    st.title(title)
    if home.simulated:
        st.warning(f"{home.title}. Every number on this page is made up.", icon=":material/science:")
    else:
        st.caption(home.title)
    return home


def nothing(what: str, action: str) -> None:
    """Say that there is nothing to show, and what to do about it."""
    st.info(f"{what}\n\n{action}", icon=":material/info:")


@contextmanager
def said_to_people() -> Iterator[None]:
    """Show an error of ours as a paragraph instead of a traceback."""
    try:
        yield
    except PlatformError as error:
        st.error(f"```\n{error}\n```", icon=":material/error:")


def draw(figure: Figure) -> None:
    """A figure of the reports with its words."""
    st.markdown(f"**{plain(figure.words.title)}**")
    if figure.words.note:
        st.caption(plain(figure.words.note))
    st.altair_chart(figure.chart, theme=None, width="stretch")
    with st.expander("Query"):
        st.code(figure.words.sql or "drawn from the report", language="sql")


def table(frame: pl.DataFrame, *, key: str, height: int | None = None) -> None:
    """A table whose columns sort, with a download of all its rows as CSV; times are written with their zone."""
    shown = frame.with_columns(_written(name, kind) for name, kind in frame.schema.items())
    st.dataframe(shown, hide_index=True, width="stretch", height=height or "auto", key=f"{key}-table")
    flat = shown.select(name for name, kind in shown.schema.items() if not kind.is_nested())
    st.download_button("CSV", flat.write_csv(), f"{key}.csv", "text/csv", key=f"{key}-csv")


def _written(name: str, kind: pl.DataType) -> pl.Expr:
    if isinstance(kind, pl.Datetime) and kind.time_zone:
        return pl.col(name).dt.strftime("%Y-%m-%d %H:%M:%S %Z")
    return pl.col(name).cast(pl.String) if kind == pl.Enum else pl.col(name)


def plain(text: object) -> str:
    """A text of a file or a person in Markdown that means nothing there: shown as it is."""
    return "".join(f"\\{sign}" if sign in r"\`*_{}[]<>()#+-.!|$:~" else sign for sign in str(text))


def verdict_badge(colour: str) -> None:
    """The traffic light."""
    st.markdown(f":{COLOURS.get(colour, 'gray')}-badge[{colour.upper()}]")
