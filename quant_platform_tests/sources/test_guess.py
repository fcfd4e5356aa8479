"""What `quant init` sees in a folder, for the ways in which vendors write one."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from quant_platform.contracts.errors import SourceMalformed, SourceNotFound
from quant_platform.market.calendar import sessions
from quant_platform.sources.files.guess import guess_folder

DAYS = sessions("XNYS", date(2024, 1, 2), date(2024, 3, 28))


def write(folder: Path, name: str, header: str, rows: list[str], *, encoding: str = "utf-8") -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", encoding=encoding)


def test_files_per_ticker_with_a_suffix_of_their_own(tmp_path: Path) -> None:
    for ticker in ("aaa", "bbb"):
        write(tmp_path, f"raw/{ticker}.us.txt", "Date,Open,High,Low,Close,Volume,OpenInt", [f"{DAYS[0]},1,2,1,2,5,0"])
    found = guess_folder(tmp_path, "XNYS")
    assert (found.layout, found.path, found.files, found.style) == ("file_per_ticker", "raw/*.us.txt", 2, {})
    assert found.columns["close"] == "Close"
    assert "ticker" not in found.columns


def test_a_german_export(tmp_path: Path) -> None:
    rows = [f"{day:%d.%m.%Y};1.234,50;1.240,00;1.200,10;1.239,99;1.000.000" for day in DAYS]
    for ticker in ("kurs_AAA", "kurs_BBB"):
        write(tmp_path, f"{ticker}.csv", "Datum;Erster;Hoch;Tief;Schlusskurs;St\u00fcck", rows, encoding="latin-1")
    found = guess_folder(tmp_path, "XETR")
    assert found.path == "kurs_*.csv"
    assert found.style == {
        "separator": ";",
        "encoding": "cp1252",
        "decimal": ",",
        "thousands": ".",
        "date_format": "%d.%m.%Y",
    }
    assert found.columns == {
        "session": "Datum",
        "open": "Erster",
        "high": "Hoch",
        "low": "Tief",
        "close": "Schlusskurs",
        "volume": "St\u00fcck",
    }


def test_a_download_with_currency_signs_and_american_dates(tmp_path: Path) -> None:
    rows = [f"{day:%m/%d/%Y},$185.64,82488670,$187.15,$188.44,$183.89" for day in DAYS]
    write(tmp_path, "AAPL.csv", "Date,Close/Last,Volume,Open,High,Low", rows)
    found = guess_folder(tmp_path, "XNYS")
    assert found.style == {"number_signs": "$", "date_format": "%m/%d/%Y"}
    assert found.columns["close"] == "Close/Last"


def test_day_and_month_are_told_apart_by_the_sessions(tmp_path: Path) -> None:
    # All days and months up to 12: only one reading gives sessions.
    days = [day for day in sessions("XNYS", date(2019, 1, 2), date(2023, 12, 29)) if day.day <= 12]
    write(tmp_path, "AAA.csv", "date,open,high,low,close,volume", [f"{day:%d/%m/%Y},1,2,1,2,5" for day in days])
    assert guess_folder(tmp_path, "XNYS").style == {"date_format": "%d/%m/%Y"}


def test_one_long_file_with_a_header_further_down_and_actions_beside_the_bars(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text(
        "Export of today\n\nPERMNO\tDate\tOpen\tHigh\tLow\tClose\tVolume\tDividends\tStock Splits\n"
        + "\n".join(f"10107\t{day}\t1\t2\t1\t2\t5\t0\t0" for day in DAYS),
        encoding="utf-8",
    )
    found = guess_folder(tmp_path, "XNYS")
    assert (found.layout, found.path) == ("long_file", "all.csv")
    assert found.style == {"separator": "\t", "header_line": 3}
    assert found.columns["ticker"] == "PERMNO"
    assert (found.split, found.dividend) == ("Stock Splits", "Dividends")


def test_what_cannot_be_guessed_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="no table of bars"):
        guess_folder(tmp_path, "XNYS")
    write(tmp_path, "a.csv", "date,kurs", ["2024-01-02,1"])
    with pytest.raises(SourceMalformed, match=r"no column looks like open, high, low, close, volume[\s\S]*date, kurs"):
        guess_folder(tmp_path, "XNYS")
    write(tmp_path, "a.csv", "date,open,high,low,close,volume", ["yesterday,1,2,1,2,5"])
    with pytest.raises(SourceMalformed, match=r"no known format[\s\S]*yesterday"):
        guess_folder(tmp_path, "XNYS")
