"""Text tables with errors that name file, line, column and value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from quant_platform.contracts.errors import SourceMalformed, SourceNotFound

LINE = "__line"


def read_csv_text(
    path: Path, *, separator: str = ",", names: Sequence[str] | None = None, may_have_no_rows: bool = False
) -> pl.DataFrame:
    """Read a CSV file as text, with the line of each row in the column `LINE`.

    Parameters
    ----------
    names
        Column names of a file without a header; by default the first line holds them.
    may_have_no_rows
        Whether a header alone is an answer: there are none.

    Raises
    ------
    SourceNotFound
        When there is no such file.
    SourceMalformed
        When it is empty, not text, or has rows with more fields than the header.
    """
    require_file(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceMalformed(f"the file could not be read: {error}", where=str(path)) from error
    return parse_csv_text(content, str(path), separator=separator, names=names, may_have_no_rows=may_have_no_rows)


def parse_csv_text(
    content: bytes,
    where: str,
    *,
    separator: str = ",",
    names: Sequence[str] | None = None,
    may_have_no_rows: bool = False,
) -> pl.DataFrame:
    """Parse the bytes of a CSV file as text; see `read_csv_text`."""
    header = names is None
    if not content.strip():
        raise SourceMalformed("the file is empty", where=where, action="fetch it again, or remove it")
    try:
        content.decode("utf-8")
        frame = pl.read_csv(
            content,
            separator=separator,
            has_header=header,
            infer_schema=False,
            new_columns=list(names) if names is not None else None,
            raise_if_empty=False,
        )
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise SourceMalformed(
            f"the file is not a readable CSV table: {str(error).splitlines()[0]}",
            where=where,
            cause="a row with more fields than the header, a truncated download, or another format under this name",
        ) from error
    if names is not None and frame.width != len(names):
        raise SourceMalformed(
            f"the rows have {frame.width} fields, not {len(names)}",
            where=where,
            cause=f"expected {', '.join(names)}",
        )
    if frame.height == 0 and not may_have_no_rows:
        raise SourceMalformed("the file has a header and no rows", where=where, action="fetch it again, or remove it")
    return frame.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).add(2 if header else 1).alias(LINE))


def require_file(path: Path) -> None:
    """Raise ``SourceNotFound`` when there is no such file."""
    if not path.is_file():
        raise SourceNotFound(
            "the file does not exist",
            where=str(path),
            action="check the location, and the path in the source spec",
        )


def require_columns(found: Sequence[str], wanted: Sequence[str], where: str, ignored: Sequence[str] = ()) -> None:
    """Check the columns of a file against those the spec names.

    Raises
    ------
    SourceMalformed
        When one is missing; the message lists what is there instead.
    """
    missing = [name for name in wanted if name not in found]
    if missing:
        spare = [name for name in found if name not in wanted and name not in ignored and name != LINE]
        raise SourceMalformed(
            f"the file does not have the column{'s' if len(missing) > 1 else ''} {', '.join(map(repr, missing))}",
            where=where,
            how_many=f"{len(missing)} of {len(wanted)} columns",
            cause=f"columns it has and nobody asked for: {', '.join(map(repr, spare)) or 'none'}",
            action="correct the names in the source spec, or fetch the file again",
        )


def to_numbers(frame: pl.DataFrame, columns: Sequence[str], where: str) -> pl.DataFrame:
    """Turn text columns into Float64; an empty field is null, NaN too; numeric columns are only cast.

    Raises
    ------
    SourceMalformed
        When a field is not a number; five rows with line and value are shown.
    """
    parsed = frame.with_columns(
        (pl.col(name).str.strip_chars().replace("", None) if frame[name].dtype == pl.String else pl.col(name))
        .cast(pl.Float64, strict=False)
        .fill_nan(None)
        .alias(name)
        for name in columns
    )
    for name in columns:
        if frame[name].dtype != pl.String:
            continue
        text = frame[name].str.strip_chars()
        wrong = parsed[name].is_null() & text.is_not_null() & (text != "") & (text.str.to_lowercase() != "nan")
        if wrong.any():
            _refuse(frame, wrong, name, f"the column {name!r} holds text that is not a number", where)
    return parsed


def to_dates(frame: pl.DataFrame, column: str, date_format: str, where: str, *, nullable: bool = False) -> pl.DataFrame:
    """Turn a text column into Date by a strptime format; date and datetime columns are only cast.

    Raises
    ------
    SourceMalformed
        When a field does not have the format, or is empty and may not be.
    """
    dtype = frame[column].dtype
    if dtype != pl.String:
        if not dtype.is_temporal():
            raise SourceMalformed(
                f"the column {column!r} holds {dtype}, not dates", where=where, action="correct the source spec"
            )
        parsed = frame.with_columns(pl.col(column).cast(pl.Date))
    else:
        text = pl.col(column).str.strip_chars().replace("", None)
        parsed = frame.with_columns(text.str.to_date(date_format, strict=False).alias(column))
    wrong = parsed[column].is_null()
    if nullable and dtype == pl.String:
        wrong = wrong & frame[column].is_not_null() & (frame[column].str.strip_chars() != "")
    elif nullable:
        wrong = wrong & frame[column].is_not_null()
    if wrong.any():
        _refuse(frame, wrong, column, f"the column {column!r} holds dates that are not {date_format!r}", where)
    return parsed


def _refuse(frame: pl.DataFrame, wrong: pl.Series, column: str, what: str, where: str) -> None:
    rows = frame.filter(wrong)
    shown = rows.select(
        *([pl.col(LINE).alias("line")] if LINE in rows.columns else []),
        pl.lit(column).alias("column"),
        pl.col(column).alias("value"),
    )
    first = f", line {shown['line'][0]}" if "line" in shown.columns else ""
    raise SourceMalformed(
        what,
        where=f"{where}{first}",
        how_many=f"{rows.height} of {frame.height} rows",
        rows=shown,
        cause="shifted columns, another date format than the spec states, or a damaged file",
        action="correct the source spec, or the file",
    )
