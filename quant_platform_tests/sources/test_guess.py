"""What `quant init` sees in a folder, for the ways in which vendors write one."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from quant_platform.cli.init import _source_text
from quant_platform.contracts.errors import SourceMalformed, SourceNotFound
from quant_platform.market.calendar import sessions
from quant_platform.sources import open_source
from quant_platform.sources.files.guess import guess_folder
from quant_platform.specification.loading import load_spec
from quant_platform.specification.sources import SourceSpec

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


PRICES = [(12.345, 12.999, 11.5, 12.001), (1012.25, 1044.0, 999.75, 1001.5), (0.345, 0.351, 0.309, 0.333)]


def readings(folder: Path, exchange: str = "XNYS") -> pl.DataFrame:
    """What an import reads of a folder by the spec that `quant init` writes for it."""
    path = folder.parent / f"{folder.name}.yaml"
    path.write_text(_source_text("mine", exchange, "none", folder, guess_folder(folder, exchange)), encoding="utf-8")
    source = open_source(load_spec(path, SourceSpec), folder)
    return source.bars(source.tickers()[0])


def german(number: float, digits: int) -> str:
    return f"{number:,.{digits}f}".replace(",", " ").replace(".", ",").replace(" ", ".")


@pytest.mark.parametrize("prices", PRICES)
@pytest.mark.parametrize(("digits", "separator"), [(3, ";"), (2, ","), (3, ",")])
def test_a_decimal_comma_is_none_of_thousands(
    tmp_path: Path, prices: tuple[float, ...], digits: int, separator: str
) -> None:
    quote = '"' if separator == "," else ""
    line = separator.join(
        quote + text + quote for text in (*(german(p, digits) for p in prices), "545.800", "9.999.999")
    )
    header = separator.join(("Datum", "Erster", "Hoch", "Tief", "Schlusskurs", "Stuecke", "Volumen"))
    write(tmp_path / "de", "SAP.csv", header, [f"{day:%d.%m.%Y}{separator}{line}" for day in DAYS])
    read = readings(tmp_path / "de").select("open", "high", "low", "close", "volume").unique()
    assert read.rows() == [(*(round(p, digits) for p in prices), 545_800.0)]


def test_a_number_that_reads_in_two_ways_is_said(tmp_path: Path) -> None:
    rows = [f"{day};12,345;12,999;11,500;12,001;5" for day in DAYS]
    write(tmp_path, "AAA.csv", "date;open;high;low;close;volume", rows)
    found = guess_folder(tmp_path, "XNYS")
    assert found.style == {"separator": ";", "decimal": ","}
    assert found.open_questions == ("12,345 is read as 12.345; if it is 12345, correct decimal and thousands",)


NEW_YORK = ZoneInfo("America/New_York")
STAMPS = {
    "seconds of midnight in UTC": lambda d: f"{datetime.combine(d, time(), UTC).timestamp():.0f}",
    "milliseconds of the close": lambda d: f"{1000 * datetime.combine(d, time(16), NEW_YORK).timestamp():.0f}",
    "microseconds of local midnight": lambda d: f"{10**6 * int(datetime.combine(d, time(), NEW_YORK).timestamp())}",
    "nanoseconds of local midnight": lambda d: f"{10**9 * int(datetime.combine(d, time(), NEW_YORK).timestamp())}",
    "seconds with a decimal": lambda d: f"{datetime.combine(d, time(), UTC).timestamp():.1f}",
    "days of a spreadsheet": lambda d: str((d - date(1899, 12, 30)).days),
    "days since 1970": lambda d: str((d - date(1970, 1, 1)).days),
    "dots": lambda d: f"{d:%Y.%m.%d}",
    "day before month": lambda d: f"{d:%Y-%d-%m}",
    "American afternoons": lambda d: f"{d:%m/%d/%Y} 4:00:00 PM",
    "weekdays": lambda d: f'"{d:%a, %d %b %Y}"',
    "hours from UTC": lambda d: f"{datetime.combine(d, time(), NEW_YORK):%Y-%m-%d %H:%M:%S%z}"[:-2],
    "two digits of a year": lambda d: f"{d:%y%m%d}",
}


@pytest.mark.parametrize("first", [date(2024, 2, 1), date(1969, 12, 8)])
@pytest.mark.parametrize("written", STAMPS)
def test_dates_of_a_vendor_are_those_of_its_sessions(tmp_path: Path, written: str, first: date) -> None:
    days = sessions("XNYS", first, first.replace(month=first.month + 1) if first.month < 12 else date(1970, 1, 30))
    if first.year < 1970 and written in ("days of a spreadsheet", "days since 1970", "two digits of a year"):
        return  # Day 25,000 is of 1968 or of 2038, and 69 is of 2069 in strptime: nobody can tell.
    rows = [f"{STAMPS[written](day)},1,2,1,2,5" for day in days]
    write(tmp_path / "mine", "AAA.csv", "date,open,high,low,close,volume", rows)
    assert readings(tmp_path / "mine")["session"].to_list() == list(days)


def test_actions_of_alpha_vantage_stand_beside_its_bars(tmp_path: Path) -> None:
    header = "timestamp,open,high,low,close,adjusted_close,volume,dividend_amount,split_coefficient"
    rows = [f"{day},1,2,1,2,1,5,0.0000,{4.0 if day == DAYS[9] else 1.0}" for day in reversed(DAYS)]
    write(tmp_path, "IBM.csv", header, rows)
    found = guess_folder(tmp_path, "XNYS")
    assert (found.split, found.dividend) == ("split_coefficient", "dividend_amount")
    assert "adjusted_close" in found.open_questions[0]


@pytest.mark.parametrize(
    ("header", "ticker", "close"),
    [
        ("date,open,high,low,close,volume,Name", "Name", "close"),
        ("PERMNO,date,TICKER,BIDLO,ASKHI,PRC,VOL,OPENPRC", "PERMNO", "PRC"),
        ("Dates,PX_OPEN,PX_HIGH,PX_LOW,PX_LAST,PX_VOLUME", None, "PX_LAST"),
        (",1. open,2. high,3. low,4. close,5. volume", None, "4. close"),
        ("v,o,c,h,l,t,n", None, "c"),
    ],
)
def test_headers_of_vendors(tmp_path: Path, header: str, ticker: str | None, close: str) -> None:
    names = header.split(",")
    dates = {"date", "Dates", "", "t"}
    rows = [
        ",".join(
            str(day) if name in dates else company if name in ("Name", "PERMNO", "TICKER") else "2" for name in names
        )
        for company in (("10107", "14593") if ticker else ("",))
        for day in DAYS
    ]
    write(tmp_path, "x.csv", header, rows)
    found = guess_folder(tmp_path, "XNYS")
    assert (found.columns.get("ticker"), found.columns["close"]) == (ticker, close)


def test_a_name_beside_bars_of_one_company_is_no_ticker(tmp_path: Path) -> None:
    write(tmp_path, "AAPL.csv", "date,name,open,high,low,close,volume", [f"{day},Apple Inc,1,2,1,2,5" for day in DAYS])
    assert "ticker" not in guess_folder(tmp_path, "XNYS").columns


def test_what_a_person_must_look_at_is_said(tmp_path: Path) -> None:
    rows = [f"{day},2,2,2,{-2 if day == DAYS[3] else 2},100,1.0" for day in DAYS]
    write(tmp_path, "AAA.csv", "date,open,high,low,close,turnover,CFACPR", rows)
    said = " / ".join(guess_folder(tmp_path, "XNYS").open_questions)
    assert "'turnover' is read as shares: is it money?" in said
    assert "how prices are adjusted: CFACPR" in said
    assert "1 closes are below zero" in said


def test_a_line_below_the_data_is_shown(tmp_path: Path) -> None:
    rows = [*(f"{day},1,2,1,2,5" for day in DAYS), "Source: a vendor,,,,,"]
    write(tmp_path, "AAA.csv", "date,open,high,low,close,volume", rows)
    with pytest.raises(SourceMalformed, match=r"most dates are '%Y-%m-%d'[\s\S]*1 of 62[\s\S]*Source: a vendor"):
        guess_folder(tmp_path, "XNYS")


def test_a_file_of_actions_among_the_bars_is_no_ticker(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    for ticker in ("AAA", "BBB"):
        write(folder, f"{ticker}.csv", "date,open,high,low,close,volume", [f"{day},1,2,1,2,5" for day in DAYS])
    write(folder, "actions.csv", "ticker,ex_date,kind,value", [f"AAA,{DAYS[3]},split,2"])
    path = tmp_path / "mine.yaml"
    path.write_text(_source_text("mine", "XNYS", "none", folder, guess_folder(folder, "XNYS")), encoding="utf-8")
    source = open_source(load_spec(path, SourceSpec), folder)
    assert source.tickers() == ["AAA", "BBB"]
    assert source.actions("AAA")["value"].to_list() == [2.0]
