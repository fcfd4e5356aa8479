"""Text tables with errors that name file, line, column and value."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np
import polars as pl

from quant_platform.contracts.columns import floats_of
from quant_platform.contracts.errors import SourceMalformed, SourceNotFound
from quant_platform.contracts.findings import Finding, examples
from quant_platform.specification.sources import TextTable

LINE = "__line"
PLAIN = TextTable()

# More than this unpacked is a mistake or a trap; the largest file of daily bars met so far has 0.3 GB.
MOST_BYTES = 4 << 30


class _Packing(NamedTuple):
    name: str
    suffix: str
    mark: bytes
    open: Callable[..., BinaryIO]


def _zip_open(path: Path, _: str) -> BinaryIO:
    """The only member of a zip archive."""
    archive = zipfile.ZipFile(path)
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) != 1:
        raise zipfile.BadZipFile(f"the archive holds {len(members)} files, and one is needed: unpack it")
    return cast("BinaryIO", archive.open(members[0]))


_PACKINGS = (
    _Packing("gzip", ".gz", b"\x1f\x8b", cast("Callable[..., BinaryIO]", gzip.open)),
    _Packing("bzip2", ".bz2", b"BZh", cast("Callable[..., BinaryIO]", bz2.open)),
    _Packing("xz", ".xz", b"\xfd7zXZ\x00", cast("Callable[..., BinaryIO]", lzma.open)),
    _Packing("zip", ".zip", b"PK\x03\x04", _zip_open),
)
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_BLANKS = "\u00a0\u202f\u2009"
_SUFFIXES = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9}


@dataclass(frozen=True)
class CsvTable:
    """A CSV file as text.

    ``frame`` has the line of each row in the column `LINE`; ``findings`` says what was passed over; ``tickers`` are the
    names that the header itself gives, as in the three-line header of yfinance.
    """

    frame: pl.DataFrame
    findings: tuple[Finding, ...] = ()
    tickers: tuple[str, ...] = ()


def read_csv(
    path: Path, style: TextTable = PLAIN, *, names: Sequence[str] | None = None, may_have_no_rows: bool = False
) -> CsvTable:
    """Read a CSV file, packed by gzip, bzip2, xz or zip or not, as text.

    Parameters
    ----------
    style
        How it is written.
    names
        Column names of a file without a header; by default a line of the file holds them.
    may_have_no_rows
        Whether a header alone is an answer: there are none.

    Raises
    ------
    SourceNotFound
        When there is no such file.
    SourceMalformed
        When it is empty, not text, or has rows with more or fewer fields than the header.
    """
    require_file(path)
    content = unpacked(path)
    table = parse_csv(content, str(path), style, names=names, may_have_no_rows=may_have_no_rows)
    packing = _packing(path)
    if packing is None or path.suffix.lower() == packing.suffix:
        return table
    what = f"the file is packed by {packing.name}, which its name does not say, and was unpacked"
    said = Finding("packed_file", str(path), what, 1, severity="info")
    return replace(table, findings=(said, *table.findings))


def read_csv_text(
    path: Path, style: TextTable = PLAIN, *, names: Sequence[str] | None = None, may_have_no_rows: bool = False
) -> pl.DataFrame:
    """The rows of `read_csv`."""
    return read_csv(path, style, names=names, may_have_no_rows=may_have_no_rows).frame


def unpacked(path: Path) -> bytes:
    """Bytes of a file, unpacked where it is packed whatever its name, within `MOST_BYTES`.

    Raises
    ------
    SourceMalformed
        When it cannot be read or unpacked, or is larger than that.
    """
    try:
        packing = _packing(path)
        if packing is None:
            size = path.stat().st_size
            content = path.read_bytes() if size <= MOST_BYTES else b""
        else:
            with packing.open(path, "rb") as packed:
                content = packed.read(MOST_BYTES + 1)
            size = len(content)
    except (
        OSError,
        EOFError,
        RuntimeError,  # a zip that wants a password
        NotImplementedError,  # a zip packed in a way that Python does not know
        lzma.LZMAError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise SourceMalformed(
            f"the file could not be read: {error}",
            where=str(path),
            cause="a truncated download, or no permission to read it",
            action="fetch it again",
        ) from error
    if size > MOST_BYTES:
        raise SourceMalformed(
            f"the file holds more than {MOST_BYTES >> 30} GiB of text",
            where=str(path),
            action="split it, or turn it into Parquet",
        )
    return content


def _packing(path: Path) -> _Packing | None:
    with path.open("rb") as file:
        begin = file.read(8)
    return next((packing for packing in _PACKINGS if begin.startswith(packing.mark)), None)


def parse_csv_text(
    content: bytes,
    where: str,
    style: TextTable = PLAIN,
    *,
    names: Sequence[str] | None = None,
    may_have_no_rows: bool = False,
) -> pl.DataFrame:
    """The rows of `parse_csv`."""
    return parse_csv(content, where, style, names=names, may_have_no_rows=may_have_no_rows).frame


def parse_csv(
    content: bytes,
    where: str,
    style: TextTable = PLAIN,
    *,
    names: Sequence[str] | None = None,
    may_have_no_rows: bool = False,
) -> CsvTable:
    """Parse the bytes of a CSV file as text; see `read_csv`.

    Notes
    -----
    Lines without a single filled field are passed over and counted. The header of yfinance's ``download(...).to_csv``
    (names and a line of tickers in either order, then ``Date`` alone) is recognised by exactly that shape.
    """
    if not content.strip():
        raise SourceMalformed("the file is empty", where=where, action="fetch it again, or remove it")
    if content.startswith(b"PAR1"):
        raise SourceMalformed(
            "the file is Parquet under the name of a CSV file",
            where=where,
            action="call it .parquet, and correct the path in the source spec",
        )
    content, encoding = _as_utf8(content, where, style)
    first_line = 1
    tickers: tuple[str, ...] = ()
    if names is None:
        content, first_line, tickers = _below_header(content, where, style)
    frame = _parsed(content, where, style, names)
    frame = frame.with_columns(pl.int_range(first_line, pl.len() + first_line, dtype=pl.Int64).alias(LINE))
    fields = [name for name in frame.columns if name != LINE]
    blank = pl.all_horizontal(pl.col(name).is_null() | (pl.col(name).str.strip_chars() == "") for name in fields)
    passed = frame.filter(blank)
    _refuse_short(frame.filter(~blank), fields, _Layout(content, style.separator, first_line, names is None), where)
    findings: list[Finding] = []
    if encoding == "utf-16" != style.encoding:
        findings.append(
            Finding(
                "another_encoding",
                where,
                f"the file begins with the mark of UTF-16 and was read as that, not as {style.encoding}",
                1,
                severity="info",
            )
        )
    if passed.height:
        frame = frame.filter(~blank)
        findings.append(
            Finding(
                "blank_lines",
                where,
                "lines without a single filled field were passed over",
                passed.height,
                passed.height + frame.height,
                examples(f"line {line}" for line in passed[LINE]),
                severity="info",
            )
        )
    if tickers:
        findings.append(
            Finding(
                "three_line_header",
                where,
                "the header has the three lines that yfinance writes; the data begin on the fourth",
                1,
                examples=examples(tickers),
                severity="info",
            )
        )
    if frame.height == 0 and not may_have_no_rows:
        raise SourceMalformed("the file has a header and no rows", where=where, action="fetch it again, or remove it")
    return CsvTable(frame, tuple(findings), tickers)


def _as_utf8(content: bytes, where: str, style: TextTable) -> tuple[bytes, str]:
    """The text as UTF-8, and the encoding it was written in."""
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), style.encoding)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise SourceMalformed(
            f"the file is not a readable CSV table: {error}",
            where=where,
            cause=f"it is not text in {encoding}, or another format under this name",
            action="set `encoding` in the source spec, for example latin-1, or fetch it again",
        ) from error
    if "\n" not in text and "\r" in text:
        # Lines of an old Macintosh.
        return text.replace("\r", "\n").encode(), encoding
    return content if encoding == "utf-8" else text.encode(), encoding


def _below_header(content: bytes, where: str, style: TextTable) -> tuple[bytes, int, tuple[str, ...]]:
    """The header and what is data below it, the line of the first row, and the tickers that the header names."""
    before = style.header_line - 1
    if before == 0 and content[:4].lower() == b"sep=":
        # A spreadsheet's note to itself; a separator that differs from the spec's fails on the columns.
        before = 1
    parts = content.split(b"\n", before)
    if len(parts) <= before:
        raise SourceMalformed(
            f"the file has {len(parts)} lines, and the header is on line {style.header_line}",
            where=where,
            action="correct header_line in the source spec",
        )
    lines = parts[before].split(b"\n", 3)
    skipped = style.lines_after_header
    tickers: tuple[str, ...] = ()
    if skipped == 0:
        names_on, tickers = yfinance_header(lines, style.separator)
        if tickers and names_on == 1:
            # The line of tickers and the one of the index alone are left out; the one of the names stands first.
            return parts[before].split(b"\n", 1)[1].replace(lines[2] + b"\n", b"", 1), before + 4, tickers
        skipped = 2 if tickers else 0
    if skipped:
        header, *rest = parts[before].split(b"\n", skipped + 1)
        return header + b"\n" + (rest[-1] if len(rest) > skipped else b""), before + 2 + skipped, tickers
    return parts[before], before + 2, tickers


def yfinance_header(lines: Sequence[bytes], separator: str) -> tuple[int, tuple[str, ...]]:
    """Which of the first two lines names the columns, and the tickers of the other; none where it is not yfinance's."""
    if len(lines) < 3:
        return 0, ()
    first, second, third = ([field.strip() for field in line.decode().split(separator)] for line in lines[:3])
    if third[0] not in ("Date", "Datetime") or any(third[1:]):
        return 0, ()
    for names_on, tickers in ((0, second), (1, first)):
        names = (first, second)[names_on]
        if names[0] == "Price" and tickers[0] == "Ticker":
            return names_on, tuple(dict.fromkeys(name for name in tickers[1:] if name))
    return 0, ()


def _parsed(content: bytes, where: str, style: TextTable, names: Sequence[str] | None) -> pl.DataFrame:
    try:
        frame = pl.read_csv(
            content,
            separator=style.separator,
            has_header=names is None,
            infer_schema=False,
            new_columns=list(names) if names is not None else None,
            raise_if_empty=False,
        )
    except pl.exceptions.PolarsError as error:
        raise SourceMalformed(
            f"the file is not a readable CSV table: {str(error).splitlines()[0]}",
            where=where,
            cause="a row with more fields than the header, another separator or decimal comma than the source spec "
            "states, a truncated download, or another format under this name",
            action="correct `separator` in the source spec, or the file",
        ) from error
    if names is not None and frame.width != len(names):
        raise SourceMalformed(
            f"the rows have {frame.width} fields, not {len(names)}",
            where=where,
            cause=f"expected {', '.join(names)}",
        )
    return frame


@dataclass(frozen=True)
class _Layout:
    """The text below what stands above the header: its first row is on the line `first` of the file."""

    content: bytes
    separator: str
    first: int
    has_header: bool

    def field_counts(self) -> list[int]:
        """Fields of each row."""
        text = self.content.decode()
        if '"' in text:
            counts = [len(row) for row in csv.reader(io.StringIO(text, newline=""), delimiter=self.separator)]
        else:
            counts = [line.count(self.separator) + 1 for line in text.split("\n")]
        return counts[int(self.has_header) :]


def _refuse_short(frame: pl.DataFrame, fields: Sequence[str], layout: _Layout, where: str) -> None:
    """Raise ``SourceMalformed`` where a row ends before the last column: what is torn off would read as not known.

    A header that ends with a separator names a column that is none, and rows need not have it.
    """
    named = [name for name in fields if name and not name.startswith("_duplicated_")]
    if not named:
        return
    doubtful = frame.filter(pl.col(named[-1]).is_null())
    if doubtful.height == 0:
        return
    counts, needed = layout.field_counts(), fields.index(named[-1]) + 1
    short = doubtful.filter(pl.col(LINE).map_elements(lambda line: counts[line - layout.first] < needed, pl.Boolean))
    if short.height:
        raise SourceMalformed(
            "rows have fewer fields than the header",
            where=f"{where}, line {short[LINE][0]}",
            how_many=f"{short.height} of {frame.height} rows",
            rows=short.select(pl.col(LINE).alias("line"), *fields[:5]),
            cause="a truncated download, another separator than the source spec states, or empty fields left away at "
            "the end of a row",
            action="fetch it again; a field without a value is written as nothing between two separators",
        )


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
        When one is missing, or stands twice in the header; the message lists what is there instead.
    """
    missing = [name for name in wanted if name not in found]
    if missing:
        spare = [name for name in found if name not in wanted and name not in ignored and name != LINE]
        raise SourceMalformed(
            f"the file does not have the column{'s' if len(missing) > 1 else ''} {', '.join(map(repr, missing))}",
            where=where,
            how_many=f"{len(missing)} of {len(wanted)} columns",
            cause=f"columns it has and nobody asked for: {', '.join(map(repr, spare)) or 'none'}"
            + ("; another separator than the source spec states" if len(spare) == 1 and len(missing) > 1 else ""),
            action="correct the names in the source spec, or fetch the file again",
        )
    twice = [name for name in wanted if f"{name}_duplicated_0" in found]
    if twice:
        raise SourceMalformed(
            f"the header has {', '.join(map(repr, twice))} more than once",
            where=where,
            cause="several tickers side by side in one file",
            action="write one file per ticker, or one long file with a column of the ticker",
        )


def to_numbers(
    frame: pl.DataFrame,
    columns: Sequence[str],
    where: str,
    style: TextTable = PLAIN,
    *,
    suffixes: bool = False,
) -> pl.DataFrame:
    """Turn columns into Float64: text as the style writes it, numbers as they are; no value and NaN are null.

    Parameters
    ----------
    suffixes
        Whether K, M and B behind a number count, as for volumes.

    Raises
    ------
    SourceMalformed
        When a field is not a number; five rows with line and value are shown.
    """
    changed: list[pl.Series] = []
    for name in columns:
        dtype = frame[name].dtype
        if dtype in (pl.String, pl.Categorical, pl.Enum):
            changed.append(_text_to_numbers(frame, name, where, style, suffixes))
        elif not (dtype.is_numeric() or dtype == pl.Null):
            raise SourceMalformed(
                f"the column {name!r} holds {dtype}, not numbers", where=where, action="correct the source spec"
            )
        elif dtype != pl.Float64 or np.isnan(floats_of(frame[name])).sum() > frame[name].null_count():
            changed.append(pl.Series(name, floats_of(frame[name]), nan_to_null=True))
    return frame.with_columns(changed) if changed else frame


def _text_to_numbers(frame: pl.DataFrame, name: str, where: str, style: TextTable, suffixes: bool) -> pl.Series:
    text = plain_text(frame[name].cast(pl.String), style)
    for sign in style.number_signs:
        text = text.str.replace_all(sign, "", literal=True)
    text = text.str.strip_chars()
    scale = pl.Series([1.0], dtype=pl.Float64)
    if suffixes:
        scale = text.str.extract(r"([KMBkmb]?)$", 1).str.to_uppercase().replace_strict(_SUFFIXES, default=1.0)
        text = text.str.replace(r"\s*[KMBkmb]$", "")
    wellformed = text
    if style.thousands or style.decimal != ".":
        if style.thousands == " ":
            text = text.str.replace_all(f"[{_BLANKS}]", " ")
        between, point = f"[{style.thousands}]" if style.thousands else "", f"[{style.decimal}]"
        # Nobody writes 345 as 0,345.
        whole = rf"([1-9]\d{{0,2}}({between}\d{{3}})+|\d+)" if between else r"\d+"
        shaped = text.str.contains(rf"^[+-]?({whole})({point}\d*)?([eE][+-]?\d+)?$")
        if style.thousands:
            text = text.str.replace_all(style.thousands, "", literal=True)
        text = text.str.replace(style.decimal, ".", literal=True)
        wellformed = pl.select(pl.when(shaped).then(text)).to_series()
    number = wellformed.cast(pl.Float64, strict=False)
    number = pl.select(pl.when(number.is_finite()).then(number)).to_series()
    wrong = number.is_null() & text.is_not_null()
    if wrong.any():
        refuse_rows(
            frame,
            wrong,
            name,
            f"the column {name!r} holds text that is not a number",
            where,
            action="correct `decimal`, `thousands` or `number_signs` in the source spec, add the text to `missing` if "
            "it says that there is no value, or correct the file",
        )
    return (number * scale).alias(name)


def plain_text(text: pl.Series, style: TextTable) -> pl.Series:
    """Text without blanks around it; what says that there is no value is null."""
    stripped = text.str.strip_chars(f" \t\r\n{_BLANKS}")
    says_nothing = stripped.str.to_lowercase().is_in([word.strip().lower() for word in style.missing] + [""])
    return pl.select(pl.when(~says_nothing).then(stripped)).to_series().alias(text.name)


def refuse_rows(frame: pl.DataFrame, wrong: pl.Series, column: str, what: str, where: str, *, action: str) -> None:
    """Raise ``SourceMalformed`` with the line, column and value of the first rows marked as wrong."""
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
        cause="shifted columns, another way to write it than the spec states, or a damaged file",
        action=action,
    )
