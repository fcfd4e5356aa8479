from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from quant_platform.contracts.errors import PlatformError, SourceMalformed, SourceNotFound, SpecError
from quant_platform.contracts.schemas.raw import RawCorporateActions, RawEquityBars, StatedSecurities
from quant_platform.sources import Source, open_source
from quant_platform.specification.loading import load_spec
from quant_platform.specification.perp_sources import PerpSourceSpec
from quant_platform.specification.sources import SourceSpec
from quant_platform.specification.spec_models import SPEC_MODELS
from quant_platform_tests.sources.builders import HEADER, SPECS, folder_spec, shipped

TODAY = date(2020, 6, 30)
GOOD = f"{HEADER}\n2020-01-03,10,11,9,10.5,100\n2020-01-02,9,10,8,9.5,90\n"


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def open_folder(folder: Path, spec: SourceSpec | None = None) -> Source:
    return open_source(spec or folder_spec(), folder, today=TODAY)


def test_newest_first_is_sorted_and_the_position_in_the_file_is_kept(tmp_path: Path) -> None:
    source = open_folder(write(tmp_path, aaa=GOOD))
    assert isinstance(source, Source)
    assert not source.simulated
    assert source.tickers() == ["AAA"]
    bars = RawEquityBars.validate(source.bars("AAA"))
    assert bars.select("ticker", "source_row", "session", "close", "volume", "adjustment", "source").rows() == [
        ("AAA", 1, date(2020, 1, 2), 9.5, 90.0, "none", "mine"),
        ("AAA", 0, date(2020, 1, 3), 10.5, 100.0, "none", "mine"),
    ]


def test_a_range_includes_both_ends(tmp_path: Path) -> None:
    source = open_folder(write(tmp_path, aaa=GOOD))
    assert source.bars("AAA", start=date(2020, 1, 3)).height == 1
    assert source.bars("AAA", end=date(2020, 1, 2)).height == 1
    assert source.bars("AAA", start=date(2020, 1, 4)).height == 0


@pytest.mark.parametrize(
    ("date_format", "text"),
    [("%d/%m/%Y", "03/01/2020"), ("%Y%m%d", "20200103"), ("%b %d, %Y", '"Jan 03, 2020"'), ("%d.%m.%y", "03.01.20")],
)
def test_any_stated_date_format(tmp_path: Path, date_format: str, text: str) -> None:
    write(tmp_path, aaa=f"{HEADER}\n{text},10,11,9,10.5,100\n")
    source = open_folder(tmp_path, folder_spec(date_format=date_format))
    assert source.bars("AAA")["session"].to_list() == [date(2020, 1, 3)]


def test_an_empty_price_is_null_and_left_to_cleaning(tmp_path: Path) -> None:
    write(tmp_path, aaa=f"{HEADER}\n2020-01-03,10,,9,NaN,100\n")
    assert open_folder(tmp_path).bars("AAA").select("high", "close").row(0) == (None, None)


def test_another_separator(tmp_path: Path) -> None:
    write(tmp_path, aaa=GOOD.replace(",", ";"))
    assert open_folder(tmp_path, folder_spec(separator=";")).bars("AAA").height == 2


BAD_FILES = {
    "wrong columns": (
        "Day,Open,High,Low,Last,Volume\n2020-01-02,1,1,1,1,1\n",
        [r"does not have the columns 'Date', 'Close'", r"aaa\.csv", r"2 of 6 columns", r"'Day', 'Last'"],
    ),
    "text in a price": (
        f"{HEADER}\n2020-01-02,9,10,8,9.5,90\n2020-01-03,10,eleven,9,10.5,100\n",
        [r"'High' holds text that is not a number", r"aaa\.csv, line 3", r"1 of 2 rows", r"value=eleven"],
    ),
    "duplicate keys": (
        f"{GOOD}2020-01-03,10,11,9,10.5,100\n",
        [r"same ticker and date", r"2 of 3 rows", r"2020-01-03", r"on_duplicate_key: quarantine"],
    ),
    "dates in the future": (
        f"{GOOD}2020-07-01,10,11,9,10.5,100\n",
        [r"dated after today, 2020-06-30", r"1 of 3 rows", r"session=2020-07-01"],
    ),
    "a date in another format": (
        f"{HEADER}\n02.01.2020,10,11,9,10.5,100\n",
        [r"'Date' holds dates that are not '%Y-%m-%d'", r"line 2", r"value=02\.01\.2020"],
    ),
    "an empty file": ("", [r"the file is empty", r"aaa\.csv"]),
    "a header alone": (f"{HEADER}\n", [r"a header and no rows"]),
    "too many fields": (f"{GOOD}2020-01-06,10,11,9,10.5,100,7,8\n", [r"not a readable CSV table", r"more fields"]),
    "too few fields": (f"{HEADER}\n2020-01-06\n,1\n", [r"fewer fields than the header", r"2 of 2 rows", r"line 2"]),
}


@pytest.mark.parametrize("fault", BAD_FILES)
def test_a_malformed_file_is_one_clear_error_and_harms_no_other(tmp_path: Path, fault: str) -> None:
    text, patterns = BAD_FILES[fault]
    source = open_folder(write(tmp_path, aaa=text, bbb=GOOD))
    with pytest.raises(SourceMalformed) as error:
        source.bars("AAA")
    for pattern in patterns:
        assert pytest.RaisesExc(SourceMalformed, match=pattern).matches(error.value), pattern
    assert source.bars("BBB").height == 2


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "aaa.csv").write_bytes(bytes(range(128, 256)) * 20)
    with pytest.raises(SourceMalformed, match="not a readable CSV table"):
        open_folder(tmp_path).bars("AAA")


def test_quarantine_lets_duplicates_through(tmp_path: Path) -> None:
    write(tmp_path, aaa=f"{GOOD}2020-01-03,10,11,9,10.5,100\n")
    assert open_folder(tmp_path, folder_spec(on_duplicate_key="quarantine")).bars("AAA").height == 3


@pytest.mark.parametrize("ticker", ["../../x", "/etc/passwd", "..", "", "A/B", "a b", "X" * 40, "A.", ".A"])
def test_a_ticker_that_could_leave_its_folder_is_refused(tmp_path: Path, ticker: str) -> None:
    rows = f'Ticker,{HEADER}\nAAA,2020-01-02,9,10,8,9.5,90\n"{ticker}",2020-01-02,9,10,8,9.5,90\n'
    source = open_folder(write(tmp_path, all=rows), folder_spec("long_file"))
    with pytest.raises(PlatformError, match=r"is not a ticker|have no ticker"):
        source.tickers()


@pytest.mark.parametrize("ticker", ["../../x", "ZZZ", "aaa"])
def test_an_unknown_ticker_is_not_found(tmp_path: Path, ticker: str) -> None:
    source = open_folder(write(tmp_path, aaa=GOOD))
    for ask in (source.bars, source.actions, source.fundamentals):
        with pytest.raises(SourceNotFound, match="has no ticker"):
            ask(ticker)


def test_a_missing_folder_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="folder of the source does not exist"):
        open_folder(tmp_path / "nowhere")
    with pytest.raises(SourceNotFound, match="no file matches"):
        open_folder(tmp_path).tickers()
    with pytest.raises(SourceNotFound, match="opened without a folder"):
        open_source(folder_spec())
    with pytest.raises(SourceNotFound, match="the file does not exist"):
        open_folder(tmp_path, folder_spec("long_file")).tickers()


def test_one_long_csv(tmp_path: Path) -> None:
    text = (
        f"Ticker,{HEADER}\nbrk-b,2020-01-02,9,10,8,9.5,90\naaa,2020-01-02,1,2,1,2,5\nbrk-b,2020-01-03,10,11,9,10.5,1\n"
    )
    spec = folder_spec("long_file").model_dump()
    spec["files"]["ticker"] = {"replace": {"-": "."}}
    source = open_folder(write(tmp_path, all=text), SourceSpec.model_validate(spec))
    assert source.tickers() == ["AAA", "BRK.B"]
    assert source.bars("BRK.B")["source_row"].to_list() == [0, 2]
    assert source.bars_many(["AAA", "BRK.B"]).height == 3


def test_a_long_parquet_whose_ticker_column_is_called_ticker(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "ticker": ["b", "a", "a"],
            "Date": [date(2020, 1, 2), date(2020, 1, 3), date(2020, 1, 2)],
            **{name: [1.0, 2.0, 3.0] for name in ("Open", "High", "Low", "Close")},
            "Volume": [1, 2, 3],
        }
    )
    frame.write_parquet(tmp_path / "all.parquet")
    spec = folder_spec("long_file", path="all.parquet").model_dump()
    spec["files"]["bars"]["columns"]["ticker"] = "ticker"
    bars = open_folder(tmp_path, SourceSpec.model_validate(spec)).bars("A")
    assert bars.select("source_row", "close").rows() == [(2, 3.0), (1, 2.0)]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("kept", [True, False])
def test_a_long_file_that_is_not_sorted_by_ticker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, kept: bool
) -> None:
    if not kept:
        monkeypatch.setattr("quant_platform.sources.files.bars.MOST_KEPT_BYTES", 0)
    lines = ["name,Date,Open,High,Low,Close,Volume"]
    days = ("2020-01-02", "2020-01-03", "2020-01-06")
    for position, (ticker, day) in enumerate((t, d) for d in days for t in ("bb", "aa", "cc")):
        price = 10 + position
        lines.append(f"{ticker},{day},{price},{price},{price},{price},100")
    (tmp_path / "all.csv").write_text("\n".join(lines) + "\n")
    if suffix == "parquet":
        pl.read_csv(tmp_path / "all.csv").write_parquet(tmp_path / "all.parquet")
    spec = folder_spec("long_file", path=f"all.{suffix}").model_dump()
    spec["files"]["bars"]["columns"]["ticker"] = "name"
    source = open_folder(tmp_path, SourceSpec.model_validate(spec))
    assert source.tickers() == ["AA", "BB", "CC"]
    one = source.bars("BB")
    assert one["source_row"].to_list() == [0, 3, 6]
    assert one["close"].to_list() == [10.0, 13.0, 16.0]
    some = source.bars_many(["CC", "AA"])
    assert some.select("ticker", "source_row", "close").rows() == [
        ("AA", 1, 11.0),
        ("AA", 4, 14.0),
        ("AA", 7, 17.0),
        ("CC", 2, 12.0),
        ("CC", 5, 15.0),
        ("CC", 8, 18.0),
    ]


def test_a_torn_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "all.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(SourceMalformed, match="not readable Parquet"):
        open_folder(tmp_path, folder_spec("long_file", path="all.parquet")).tickers()


def test_the_shipped_folder_spec_with_its_actions(tmp_path: Path) -> None:
    (tmp_path / "bars").mkdir()
    (tmp_path / "bars" / "aaa.csv").write_text(GOOD.replace(HEADER, HEADER.lower()), encoding="utf-8")
    write(tmp_path, actions="ticker,ex_date,kind,value\naaa,2020-01-03,split,2\naaa,2020-01-03,cash_dividend,0.5\n")
    source = open_folder(tmp_path, shipped("csv_folder"))
    actions = RawCorporateActions.validate(source.actions("AAA"))
    assert actions.select("ex_date", "kind", "value").rows() == [
        (date(2020, 1, 3), "split", 2.0),
        (date(2020, 1, 3), "cash_dividend", 0.5),
    ]
    securities = StatedSecurities.validate(source.securities())
    assert securities.select("ticker", "universe", "start_date", "end_date").rows() == [
        ("AAA", "csv_folder", date(2020, 1, 2), None)
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aaa,2020-01-03,merger,2\n", "unknown kind or no value"),
        ("aaa,2020-01-03,split,\n", "unknown kind or no value"),
        ("aaa,2020-01-03,split,2\naaa,2020-01-03,split,2\n", "stated twice"),
        ("aaa,2020-01-03,split,two\n", "not a number"),
        ("aaa,2020-01-03,split,0\n", r"ratio of a split is not above zero[\s\S]*actions.csv, line 2"),
        ("aaa,2020-01-03,cash_dividend,1\naaa,2020-01-06,split,-2\n", "not above zero[\\s\\S]*line 3"),
        ("aaa,2020-01-03,split\n", "fewer fields than the header"),
    ],
)
def test_malformed_actions(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bars").mkdir()
    (tmp_path / "bars" / "aaa.csv").write_text(GOOD.replace(HEADER, HEADER.lower()), encoding="utf-8")
    write(tmp_path, actions=f"ticker,ex_date,kind,value\n{text}")
    with pytest.raises(SourceMalformed, match=message):
        open_folder(tmp_path, shipped("csv_folder")).actions("AAA")


def test_a_header_alone_says_that_there_are_no_actions_and_no_file_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "bars").mkdir()
    write(tmp_path / "bars", aaa=GOOD)
    with pytest.raises(SourceNotFound, match=r"with its header alone if there are none"):
        open_folder(tmp_path, shipped("csv_folder")).actions("AAA")
    write(tmp_path, actions="ticker,ex_date,kind,value\n")
    actions = RawCorporateActions.validate(open_folder(tmp_path, shipped("csv_folder")).actions("AAA"))
    assert actions.height == 0


@pytest.mark.parametrize("path", sorted(SPECS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_source_spec_is_valid_and_named_as_its_file(path: Path) -> None:
    model = SPEC_MODELS.get(f"sources/{path.name}", SourceSpec)
    assert isinstance(found := load_spec(path, model), SourceSpec | PerpSourceSpec)
    assert found.name == path.stem


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("layout: file_per_ticker", "layout: long_file", "needs bars.columns.ticker"),
        ("layout: file_per_ticker", "layout: lean_zip", "needs the section 'lean'"),
        ("kind: files", "kind: yahoo", "does not use the section 'files'"),
        ("date_format:", "dateformat:", "did you mean 'date_format'"),
        ('path: "bars/*.csv"', 'path: "bars/x.csv"', r"exactly one \*"),
    ],
)
def test_a_bad_spec_says_what_is_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (SPECS / "csv_folder.yaml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "bad.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(SpecError, match=message):
        load_spec(path, SourceSpec)
