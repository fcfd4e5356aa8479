"""Reading a submitted signal file: CSV of any dialect, Parquet or Arrow, told apart by content; pickle never."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import polars as pl

from quant_platform.contracts.errors import SignalEmpty, SignalTooLarge, SignalUnreadable
from quant_platform.specification.suite import ContractSpec

_DELIMITERS = ",;\t|"
_SNIFFED_BYTES = 65_536
_SOMETHING = re.compile(rb"[!-~]")

# What a file begins with, and what to do instead.
_FOREIGN = (
    (b"\x80", "a Python pickle", "a pickle runs code when it is read and is never opened; write Parquet or CSV"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save the sheet as CSV"),
    (b"\x1f\x8b", "a gzip archive", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "unpack it"),
    (b"\x89HDF", "an HDF5 file", "write Parquet or CSV"),
    (b"\x93NUMPY", "a NumPy array", "write Parquet or CSV"),
    (b"%PDF", "a PDF", "write Parquet or CSV"),
    (b"SQLite format 3", "a SQLite database", "write Parquet or CSV"),
)


def read_signal_file(path: Path, contract: ContractSpec) -> pl.DataFrame:
    """Read a signal file as it is; nothing is judged yet.

    Parameters
    ----------
    path
        The file; its name and extension do not matter.
    contract
        Bounds of size.

    Returns
    -------
    polars.DataFrame
        All columns of the file. Those of a CSV are text, with a decimal comma made a point where the fields are
        separated by semicolons.

    Raises
    ------
    SignalTooLarge
        Before anything is read.
    SignalUnreadable
        It is something else, or damaged.
    SignalEmpty
        There is no byte or no row.
    """
    where = path.name
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_SNIFFED_BYTES)
    except OSError as error:
        raise SignalUnreadable(f"the file could not be opened: {error.strerror}", where=where) from error
    if size > contract.max_bytes:
        raise SignalTooLarge(
            f"the file has {size / 1e6:,.0f} MB, at most {contract.max_bytes / 1e6:,.0f} MB are taken",
            where=where,
            action="write it as Parquet, which is about five times smaller, or split it by name of signal",
        )
    if not head:
        raise SignalEmpty("the file is empty", where=where, action="write a header and rows")
    for magic, what, action in _FOREIGN:
        if head.startswith(magic):
            raise SignalUnreadable(f"the file is {what}", where=where, action=action)
    frame = _read(path, head, contract, where)
    if frame.height == 0:
        raise SignalEmpty("the file has a header and no row", where=where)
    if frame.height > contract.max_rows:
        raise _too_many(frame.height, contract, where)
    return frame


def _read(path: Path, head: bytes, contract: ContractSpec, where: str) -> pl.DataFrame:
    rows = 0
    try:
        if head.startswith(b"PAR1"):
            # The number of rows stands in the footer: a file that unpacks to more is not unpacked.
            rows = int(pl.scan_parquet(path).select(pl.len()).collect().item())
            if rows <= contract.max_rows:
                return pl.read_parquet(path)
        if head.startswith(b"ARROW1"):
            return pl.read_ipc(path)
        if head.startswith(b"\xff\xff\xff\xff"):
            return pl.read_ipc_stream(path)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise SignalUnreadable(
            f"the file is damaged: {_first_line(error)}", where=where, cause="a write that was cut off"
        ) from error
    if rows:
        raise _too_many(rows, contract, where)
    return _read_csv(path, head, where)


def _read_csv(path: Path, head: bytes, where: str) -> pl.DataFrame:
    content, encoding = _text(path, head, where)
    delimiter = _delimiter(content[:_SNIFFED_BYTES].decode(errors="ignore"), where)
    try:
        frame = pl.read_csv(
            content,
            separator=delimiter,
            infer_schema=False,
            truncate_ragged_lines=False,
        )
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise SignalUnreadable(
            f"the file is not CSV with a header: {_first_line(error)}",
            where=f"{where}, fields separated by {delimiter!r}, {encoding}",
            cause="a row with more fields than the header, or an unclosed quote",
        ) from error
    renamed = frame.rename({name: name.strip().lower() for name in frame.columns}) if _distinct(frame) else frame
    if delimiter == ";" and "signal" in renamed.columns:
        signal = pl.col("signal")
        if renamed["signal"].str.contains(",", literal=True).any():
            # Beside decimal commas a point stands between thousands, or is a slip: 1.234 is not guessed to be 1234.
            doubtful = signal.str.contains(".", literal=True)
            return renamed.with_columns(
                pl.when(doubtful)
                .then(pl.concat_str(signal, pl.lit(" (a point in a file of decimal commas)")))
                .otherwise(signal.str.replace(",", ".", literal=True))
                .alias("signal")
            )
    return renamed


def _distinct(frame: pl.DataFrame) -> bool:
    names = [name.strip().lower() for name in frame.columns]
    return len(set(names)) == len(names)


def _text(path: Path, head: bytes, where: str) -> tuple[bytes, str]:
    """The whole file as UTF-8 whose lines end in a line feed, and what it was; UTF-16 by its mark, else UTF-8."""
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        content = path.read_bytes()
        if encoding == "utf-16" or not content.isascii():
            # A file of plain ASCII is text as it stands: making one of it would copy it twice.
            content = content.decode(encoding).encode()
    except (UnicodeDecodeError, OSError) as error:
        raise SignalUnreadable(
            "the file is neither UTF-8 nor UTF-16 text, Parquet nor Arrow",
            where=where,
            cause="another encoding (often Windows-1252), or another kind of file",
            action="save it as UTF-8",
        ) from error
    if b"\x00" in content:
        raise SignalUnreadable("the file holds zero bytes", where=where, cause="a binary file, or a damaged one")
    if _SOMETHING.search(content) is None and not content.decode().strip():
        raise SignalEmpty("the file holds nothing but white space", where=where)
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in content else content, encoding


def _delimiter(text: str, where: str) -> str:
    header = text.split("\n", 1)[0]
    counts = {mark: header.count(mark) for mark in _DELIMITERS}
    best = max(counts, key=lambda mark: counts[mark])
    if counts[best] == 0:
        raise SignalUnreadable(
            "the first line has no comma, semicolon, tab or bar",
            where=where,
            cause=f"it reads {header[:60]!r}",
            action="begin with a header: security_id,date_sig,date_avail,signal",
        )
    try:
        next(csv.reader([header], delimiter=best))
    except csv.Error as error:
        raise SignalUnreadable(f"the header is not CSV: {error}", where=where) from error
    return best


def _too_many(rows: int, contract: ContractSpec, where: str) -> SignalTooLarge:
    return SignalTooLarge(
        f"the file has {rows:,} rows, at most {contract.max_rows:,} are taken",
        where=where,
        action="submit one signal per file",
    )


def _first_line(error: Any) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:160]
