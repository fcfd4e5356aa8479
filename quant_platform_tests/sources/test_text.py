"""How vendors write tables: separators, decimals, missing texts, headers, packed files."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from quant_platform.contracts.errors import SourceMalformed
from quant_platform.sources.files.text import LINE, parse_csv, read_csv, to_numbers
from quant_platform.specification.sources import TextTable


def style(**keys: Any) -> TextTable:
    return TextTable.model_validate(keys)


def numbers(*texts: str | None, suffixes: bool = False, **keys: Any) -> list[float | None]:
    frame = pl.DataFrame({"x": pl.Series(texts, dtype=pl.String)})
    found: list[float | None] = to_numbers(frame, ["x"], "a file", style(**keys), suffixes=suffixes)["x"].to_list()
    return found


@pytest.mark.parametrize(
    ("text", "keys", "value"),
    [
        ("1234.5", {}, 1234.5),
        (" -1e3 ", {}, -1000.0),
        ("1,234.5", {"thousands": ","}, 1234.5),
        ("1234.5", {"thousands": ","}, 1234.5),
        ("1.234.567,89", {"thousands": ".", "decimal": ",", "separator": ";"}, 1234567.89),
        ("48,5", {"decimal": ",", "separator": ";"}, 48.5),
        ("1 234,5", {"thousands": " ", "decimal": ",", "separator": ";"}, 1234.5),
        ("1\u00a0234,5", {"thousands": " ", "decimal": ",", "separator": ";"}, 1234.5),
        ("1'234.5", {"thousands": "'"}, 1234.5),
        ("$1,234.50", {"thousands": ",", "number_signs": "$"}, 1234.5),
        ("12.5 \u20ac", {"number_signs": "\u20ac"}, 12.5),
    ],
)
def test_numbers_as_vendors_write_them(text: str, keys: dict[str, Any], value: float) -> None:
    assert numbers(text, **keys) == [value]


@pytest.mark.parametrize("text", [None, "", " ", "null", "NULL", "NaN", "N/A", "n/a", "#N/A", "None", "-", "--", "."])
def test_texts_that_say_nothing_are_null(text: str | None) -> None:
    assert numbers(text, "1") == [None, 1.0]


def test_the_missing_texts_are_those_of_the_spec() -> None:
    assert numbers("k.A.", missing=["k.A."]) == [None]
    with pytest.raises(SourceMalformed, match="not a number"):
        numbers("null", missing=["k.A."])


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("1,23", {"thousands": ","}),
        ("12,34", {}),
        ("1.234", {"decimal": ",", "separator": ";"}),
        ("12,3456", {"thousands": ","}),
        ("0,345", {"thousands": ","}),
        ("-0.345", {"thousands": ".", "decimal": ",", "separator": ";"}),
        ("inf", {}),
        ("12%", {}),
        ("1.2K", {}),
    ],
)
def test_a_number_written_another_way_is_refused_never_guessed(text: str, keys: dict[str, Any]) -> None:
    with pytest.raises(SourceMalformed, match=r"not a number[\s\S]*`decimal`, `thousands`"):
        numbers(text, **keys)


def test_volumes_may_have_a_suffix() -> None:
    assert numbers("45.3M", "1K", "2b", "7", None, suffixes=True) == [45_300_000.0, 1000.0, 2e9, 7.0, None]


def test_columns_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(SourceMalformed, match="holds Boolean, not numbers"):
        to_numbers(pl.DataFrame({"x": [True]}), ["x"], "a file")


def test_blank_lines_are_passed_over_counted_and_leave_the_line_numbers() -> None:
    table = parse_csv(b"a,b\n1,2\n\n3,4\n,\n \n", "f.csv")
    assert table.frame.select("a", LINE).rows() == [("1", 2), ("3", 4)]
    (found,) = table.findings
    assert (found.kind, found.rows, found.total, found.severity) == ("blank_lines", 3, 5, "info")
    assert found.examples == ("line 3", "line 5", "line 6")


YFINANCE = b"Price,Close,High\nTicker,AAA,AAA\nDate,,\n2024-01-02,1,2\n"


def test_the_three_line_header_of_yfinance_is_known_by_its_shape() -> None:
    table = parse_csv(YFINANCE, "f.csv")
    assert table.tickers == ("AAA",)
    assert table.frame.rows() == [("2024-01-02", "1", "2", 4)]
    # Of group_by="ticker" the two lines have changed places.
    swapped = parse_csv(b"Ticker,AAA,AAA\r\nPrice,Close,High\r\nDate,,\r\n2024-01-02,1,2\r\n", "f.csv")
    assert (swapped.tickers, swapped.frame.columns[:3]) == (("AAA",), ["Price", "Close", "High"])
    assert swapped.frame.rows() == [("2024-01-02", "1", "2", 4)]
    # A row that begins with Ticker is data where the third line is none of a header.
    assert parse_csv(b"Price,Close\nTicker,1\nOther,2\n", "f.csv").frame.height == 2


def test_headers_further_down_and_lines_below_them() -> None:
    text = b"Export of 2024\nall prices in EUR\ndate,close\n,EUR\n2024-01-02,5\n"
    table = parse_csv(text, "f.csv", style(header_line=3, lines_after_header=1))
    assert table.frame.rows() == [("2024-01-02", "5", 5)]
    with pytest.raises(SourceMalformed, match="header is on line 9"):
        parse_csv(text, "f.csv", style(header_line=9))


def test_the_note_of_a_spreadsheet_is_no_header() -> None:
    assert parse_csv(b"sep=;\r\na;b\r\n1;2\r\n", "f.csv", style(separator=";")).frame.rows() == [("1", "2", 3)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_names_the_encoding(encoding: str) -> None:
    assert parse_csv("h\u00f6he,b\n1,2\n".encode(encoding), "f.csv").frame.columns[:2] == ["h\u00f6he", "b"]


def test_utf_16_is_said_where_the_spec_says_otherwise() -> None:
    content = "a,b\n1,2\n".encode("utf-16")
    (said,) = parse_csv(content, "f.csv").findings
    assert (said.kind, said.severity) == ("another_encoding", "info")
    assert parse_csv(content, "f.csv", style(encoding="utf-16")).findings == ()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a,b,c\n1,2,3\n4,5\n", 3),
        ("a,b,c\n\n1,2,\n4", 4),
        ('a,b,c\n"x,y",2,\n"x,y",2\n', 3),
        ("a;b;c\r\n1;2;3\r\n4;5\r\n", 3),
        ("sep=,\na,b,c\n1,2\n", 3),
    ],
)
def test_a_row_that_ends_too_early_is_named(text: str, line: int) -> None:
    with pytest.raises(SourceMalformed, match=f"fewer fields than the header[\\s\\S]*f.csv, line {line}\n"):
        parse_csv(text.encode(), "f.csv", style(separator=";" if ";" in text else ","))


@pytest.mark.parametrize(
    "text", ["a,b,c\n1,2,\n", 'a,b\n"1,2",\n', 'a,b\n1,""\n', "a,b,\n1,2\n", "a,b\n1,2\n\n\n", "a,b\n,\n1,2"]
)
def test_a_row_with_empty_fields_is_whole(text: str) -> None:
    assert parse_csv(text.encode(), "f.csv").frame.height == 1


def test_a_file_without_a_header_has_no_short_rows_either() -> None:
    with pytest.raises(SourceMalformed, match=r"fewer fields[\s\S]*line 2"):
        parse_csv(b"1,2\n3\n", "f.csv", names=("a", "b"))


def test_other_encodings_are_named_by_the_spec() -> None:
    content = "h\u00f6he,b\n1,2\n".encode("latin-1")
    with pytest.raises(SourceMalformed, match=r"not text in utf-8[\s\S]*`encoding`"):
        parse_csv(content, "f.csv")
    assert parse_csv(content, "f.csv", style(encoding="latin-1")).frame.columns[0] == "h\u00f6he"


def test_lines_of_an_old_macintosh() -> None:
    assert parse_csv(b"a,b\r1,2\r3,4\r", "f.csv").frame.rows() == [("1", "2", 2), ("3", "4", 3)]


def test_quoted_numbers_with_a_decimal_comma_between_commas() -> None:
    frame = parse_csv(b'a,b\n"1.234,5","0,25"\n', "f.csv", style(decimal=",", thousands=".")).frame
    assert to_numbers(frame, ["a", "b"], "f.csv", style(decimal=",", thousands=".")).row(0)[:2] == (1234.5, 0.25)


def test_parquet_under_another_name_is_called_so() -> None:
    with pytest.raises(SourceMalformed, match="Parquet under the name of a CSV"):
        parse_csv(b"PAR1xxxxPAR1", "f.csv")


def _zipped(content: bytes, members: int = 1) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(members):
            archive.writestr(f"{number}.csv", content)
    return made.getvalue()


def test_an_archive_of_several_files_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.zip"
    path.write_bytes(_zipped(b"a,b\n1,2\n", 2))
    with pytest.raises(SourceMalformed, match="holds 2 files, and one is needed"):
        read_csv(path)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, _zipped])
def test_packed_files_are_read_whatever_their_name(tmp_path: Path, pack: Any) -> None:
    path = tmp_path / "x.csv.gz"
    path.write_bytes(pack(b"a,b\n1,2\n"))
    table = read_csv(path)
    assert table.frame.rows() == [("1", "2", 2)]
    # The name says gzip: what is packed otherwise is told.
    assert [said.kind for said in table.findings] == ([] if pack is gzip.compress else ["packed_file"])
    path.write_bytes(pack(b"a,b\n" * 4000)[:40])
    with pytest.raises(SourceMalformed, match="could not be read"):
        read_csv(path)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"decimal": ".", "separator": "."}, "separator and decimal"),
        ({"decimal": ",", "thousands": ",", "separator": ";"}, "thousands and decimal"),
        ({"time_zone": "Berlin"}, "no IANA zone"),
        ({"date_format": "yyyy"}, "has no %"),
    ],
)
def test_a_style_that_cannot_be_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        style(**keys)
