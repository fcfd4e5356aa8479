from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from quant_platform.contracts.errors import SourceMalformed, SourceNotFound
from quant_platform.contracts.schemas.raw import RawFundamentals
from quant_platform.sources import open_source
from quant_platform.sources.files.fundamentals import read_fundamentals
from quant_platform_tests.sources.builders import shipped

OLD = ("price", "dividend yield", "price/earnings", "book value", "market capitalization", "ebitda")
OLD_TAIL = ("price/sales", "price/book")
NEW = ("Price", "Dividend Yield", "Price/Earnings", "Book Value", "Market Cap", "EBITDA", "Price/Sales", "Price/Book")
ALL = (*OLD, *OLD_TAIL, *NEW, "Earnings/Share", "52 week low", "52 week high")


def snapshots(folder: Path, *rows: dict[str, str]) -> Path:
    schema = dict.fromkeys(("Symbol", "_commit_time", *ALL), pl.String)
    pl.DataFrame([dict.fromkeys(schema) | row for row in rows], schema=schema).write_parquet(folder / "f.parquet")
    return folder / "f.parquet"


def read(path: Path) -> pl.DataFrame:
    spec = shipped("sp500_daily")
    assert spec.files is not None
    assert spec.files.fundamentals is not None
    return RawFundamentals.validate(read_fundamentals(path, spec.files.fundamentals, spec, spec.files).rows)


def test_both_headers_become_one_metric_and_billions_are_billions(tmp_path: Path) -> None:
    path = snapshots(
        tmp_path,
        {"Symbol": "MMM", "_commit_time": "2012-12-27T20:17:58+00:00", "market capitalization": "63.802B"},
        {"Symbol": "MMM", "_commit_time": "2013-02-10T12:05:42+00:00", "Market Cap": "70.537B"},
        {"Symbol": "MMM", "_commit_time": "2013-05-05T15:45:15+01:00", "Market Cap": "74.424"},
    )
    found = read(path).filter(pl.col("metric") == "market_capitalisation")
    assert found["value"].to_list() == pytest.approx([63.802e9, 70.537e9, 74.424e9])
    assert found["known_at"].to_list() == [
        datetime(2012, 12, 27, 20, 17, 58, tzinfo=UTC),
        datetime(2013, 2, 10, 12, 5, 42, tzinfo=UTC),
        datetime(2013, 5, 5, 14, 45, 15, tzinfo=UTC),  # 15:45 at +01:00
    ]
    assert found["unit"].unique().to_list() == ["USD"]


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("EBITDA", "991.5M", 991.5e6),
        ("EBITDA", "-0.797", -0.797e9),
        ("EBITDA", "0", 0.0),
        ("ebitda", "850.2K", 850.2e3),
        ("ebitda", "0", 0.0),
        ("Price/Earnings", " 14.98 ", 14.98),
        ("Dividend Yield", "", None),
        ("dividend yield", "N/A", None),
    ],
)
def test_a_text_becomes_its_number(tmp_path: Path, column: str, text: str, value: float | None) -> None:
    path = snapshots(tmp_path, {"Symbol": "A", "_commit_time": "2013-02-10T12:05:42+00:00", column: text})
    (found,) = read(path)["value"].to_list()
    assert found == (None if value is None else pytest.approx(value))


def test_a_metric_the_header_of_the_day_lacks_gives_no_row(tmp_path: Path) -> None:
    path = snapshots(tmp_path, {"Symbol": "A", "_commit_time": "2013-02-10T12:05:42+00:00", "Price": "10"})
    assert read(path)["metric"].to_list() == ["price"]


@pytest.mark.parametrize(
    ("row", "patterns"),
    [
        ({"Price": "cheap"}, [r"values of price are not numbers", r"column 'Price'", r"Price=cheap"]),
        ({"Market Cap": "1.2X"}, [r"market_capitalisation", r"Market Cap=1\.2X"]),
        ({"Price": "1,234.5"}, [r"values of price are not numbers"]),
        ({"Price": "1", "_commit_time": "yesterday"}, [r"publication times are not ISO 8601", r"yesterday"]),
        ({"Price": "1", "Symbol": ""}, [r"values have no ticker", r"'Symbol' is empty"]),
    ],
)
def test_what_cannot_be_read_is_never_null(tmp_path: Path, row: dict[str, str], patterns: list[str]) -> None:
    path = snapshots(tmp_path, {"Symbol": "A", "_commit_time": "2013-02-10T12:05:42+00:00"} | row)
    with pytest.raises(SourceMalformed) as error:
        read(path)
    for pattern in patterns:
        assert pytest.RaisesExc(SourceMalformed, match=pattern).matches(error.value), pattern


def test_a_ticker_twice_in_a_snapshot_is_refused(tmp_path: Path) -> None:
    row = {"Symbol": "A", "_commit_time": "2013-02-10T12:05:42+00:00", "Price": "1"}
    with pytest.raises(SourceMalformed, match="twice in one snapshot"):
        read(snapshots(tmp_path, row, row))


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="does not exist"):
        read(tmp_path / "none.parquet")


@pytest.mark.real_data
def test_the_real_snapshots(shared_data: Path) -> None:
    folders = {
        "data": shared_data / "us_sp500_daily_2000_2015",
        "fundamentals": shared_data / "sp500_fundamentals_pit",
    }
    source = open_source(shipped("sp500_daily"), folders)
    frame = source.fundamentals("AAPL")
    caps = frame.filter(pl.col("metric") == "market_capitalisation").sort("known_at")
    # Apple was worth 400 to 760 billion dollars in all of these years, whatever the header of the day.
    assert caps["value"].is_between(3.5e11, 8e11).all()
    assert caps.height == frame["known_at"].n_unique() == 20
    assert open_source(shipped("sp500_daily"), folders["data"]).fundamentals("AAPL").height == 0
