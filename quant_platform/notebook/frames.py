"""Frames of others: what a notebook hands in may be Polars, pandas or Arrow."""

from __future__ import annotations

from html import escape
from typing import Any

import polars as pl

from quant_platform.contracts.errors import SchemaViolation

_SHOWN_ROWS = 12


def as_polars(frame: Any, what: str) -> pl.DataFrame:
    """Return a frame as Polars; an index of pandas that has a name becomes a column.

    Raises
    ------
    SchemaViolation
        For anything that is no frame.
    """
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if isinstance(frame, pl.DataFrame):
        return frame
    names = getattr(getattr(frame, "index", None), "names", None)
    if names is not None and any(name is not None for name in names):
        frame = frame.reset_index()
    if hasattr(frame, "__arrow_c_stream__"):
        return pl.DataFrame(frame)
    raise SchemaViolation(
        f"{what} cannot be made of a {type(frame).__name__}", action="give a Polars or pandas frame, or an Arrow table"
    )


def html_of(title: str, sentence: str, frame: pl.DataFrame) -> str:
    """A heading, a sentence and the first rows of a frame, as a notebook shows a result."""
    shown = frame.head(_SHOWN_ROWS)
    heads = "".join(f"<th>{escape(name)}</th>" for name in shown.columns)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>" for row in shown.iter_rows())
    more = f"<p>{frame.height - shown.height:,} more rows in .to_frame()</p>" if frame.height > shown.height else ""
    return (
        f"<h4>{escape(title)}</h4><p>{escape(sentence)}</p>"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{more}"
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))
