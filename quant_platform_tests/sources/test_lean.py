from __future__ import annotations

import zipfile
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from quant_platform.contracts.errors import PlatformError, SourceMalformed, SourceNotFound
from quant_platform.contracts.schemas.raw import RawCorporateActions, RawEquityBars, StatedSecurities
from quant_platform.sources import Source, open_source
from quant_platform_tests.sources.builders import shipped


def layout(folder: Path, *, daily: dict[str, str], maps: dict[str, str], factors: dict[str, str]) -> Source:
    for name in ("daily", "map_files", "factor_files"):
        (folder / name).mkdir(exist_ok=True)
    for ticker, text in daily.items():
        with zipfile.ZipFile(folder / "daily" / f"{ticker}.zip", "w") as archive:
            archive.writestr(f"{ticker}.csv", text)
    for kind, files in (("map_files", maps), ("factor_files", factors)):
        for ticker, text in files.items():
            (folder / kind / f"{ticker}.csv").write_text(text, encoding="utf-8")
    return open_source(shipped("lean"), folder)


def bar(day: str, close: int = 100) -> str:
    price = close * 10_000
    return f"{day} 00:00,{price},{price + 5000},{price - 5000},{price},1000\n"


@pytest.fixture
def renamed(tmp_path: Path) -> Source:
    """OLD became NEW after 2010-01-05; another company then took the ticker OLD; it pays 1.00 and splits 2:1."""
    return layout(
        tmp_path,
        daily={
            "old": bar("20100104") + bar("20100105") + bar("20100107", 7),
            "new": bar("20100104", 9) + bar("20100106", 99) + bar("20100107", 50),
        },
        maps={"new": "20100104,old,N\n20100105,old,N\n20501231,new,N\n", "old.1": "20100107,old\n20100107,old\n"},
        factors={"new": "20100104,0.99,0.5,100\n20100106,1,0.5,99\n20501231,1,1,0\n"},
    )


def test_the_bars_of_a_renamed_name_are_cut_by_tenure(renamed: Source) -> None:
    assert renamed.tickers() == ["NEW", "OLD.1"]
    bars = RawEquityBars.validate(renamed.bars("NEW"))
    assert bars.select("session", "close").rows() == [
        (date(2010, 1, 4), 100.0),
        (date(2010, 1, 5), 100.0),
        (date(2010, 1, 6), 99.0),
        (date(2010, 1, 7), 50.0),
    ]
    assert renamed.bars("OLD.1")["close"].to_list() == [7.0]


def test_factors_become_actions_on_the_next_session(renamed: Source) -> None:
    actions = RawCorporateActions.validate(renamed.actions("NEW"))
    rows = actions.select("ex_date", "kind", "value").rows()
    # p .99 -> 1 after the 4th on a price of 100: 100 x (1 - .99 / 1) = 1.00; s .5 -> 1 after the 6th: 2 for 1.
    assert [row[:2] for row in rows] == [(date(2010, 1, 5), "cash_dividend"), (date(2010, 1, 7), "split")]
    assert [row[2] for row in rows] == pytest.approx([1.0, 2.0])


def test_a_map_that_ends_is_a_delisting_and_ends_the_membership(renamed: Source) -> None:
    actions = renamed.actions("OLD.1")
    assert actions.select("ex_date", "kind", "value").rows() == [(date(2010, 1, 7), "delisting", 0.0)]
    assert actions["known_at"].dt.date().to_list() == [date(2010, 1, 8)]
    securities = StatedSecurities.validate(renamed.securities())
    assert securities.select("ticker", "start_date", "end_date").rows() == [
        ("NEW", date(2010, 1, 4), None),
        ("OLD.1", date(2010, 1, 7), date(2010, 1, 7)),
    ]


MAP = {"a": "20100104,a,N\n20501231,a,N\n"}


def test_faults_are_named(tmp_path: Path) -> None:
    source = layout(
        tmp_path, daily={"a": bar("20100104")}, maps=MAP, factors={"a": "20100104,zero,1,1\n20501231,1,1,0"}
    )
    with pytest.raises(SourceMalformed, match=r"'price_factor' holds text[\s\S]*a\.csv, line 1"):
        source.actions("A")
    with pytest.raises(SourceNotFound, match="has no ticker 'B'"):
        source.bars("B")


@pytest.mark.parametrize(
    ("daily", "maps", "message"),
    [
        ({"a": "20100104 00:00,1,2,x,1,1\n"}, MAP, "'low' holds text that is not a number"),
        ({"a": "2010-01-04,1,2,1,1,1\n"}, MAP, "'time' holds dates"),
        ({"a": "20100104 00:00,1,2,1\n"}, MAP, "4 fields, not 6|not a readable CSV"),
        ({"a": ""}, MAP, "the file is empty"),
        ({"a": bar("20490104")}, MAP, "dated after today"),
        ({"a": bar("20100104")}, {"a": "20100104,a,N\n"}, "at least two rows"),
        ({"a": bar("20100104")}, {}, "no map file has bars"),
    ],
)
def test_malformed_layouts(tmp_path: Path, daily: dict[str, str], maps: dict[str, str], message: str) -> None:
    with pytest.raises(PlatformError, match=message):
        layout(tmp_path, daily=daily, maps=maps, factors={}).tickers()


def test_a_truncated_zip(tmp_path: Path) -> None:
    source = layout(tmp_path, daily={"a": bar("20100104") * 50}, maps=MAP, factors={})
    path = tmp_path / "daily" / "a.zip"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(SourceMalformed, match="not a readable zip"):
        source.tickers()


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match=r"folder of the Lean layout"):
        open_source(shipped("lean"), tmp_path).tickers()


@pytest.mark.real_data
def test_published_dividends_and_splits_of_apple(shared_data: Path) -> None:
    source = open_source(shipped("lean"), shared_data / "us_corporate_actions_lean" / "raw" / "equity" / "usa")
    actions = source.actions("AAPL")
    found = {(row["ex_date"], row["kind"]): row["value"] for row in actions.iter_rows(named=True)}
    # As announced by the company, per share of the day.
    published = {
        (date(2012, 8, 9), "cash_dividend"): 2.65,
        (date(2014, 6, 9), "split"): 7.0,
        (date(2014, 8, 7), "cash_dividend"): 0.47,
        (date(2020, 5, 8), "cash_dividend"): 0.82,
        (date(2020, 8, 31), "split"): 4.0,
        (date(2021, 2, 5), "cash_dividend"): 0.205,
    }
    for key, value in published.items():
        assert found[key] == pytest.approx(value, rel=1e-3), key


@pytest.mark.real_data
def test_washington_mutual_is_not_waste_management(shared_data: Path) -> None:
    source = open_source(shipped("lean"), shared_data / "us_corporate_actions_lean" / "raw" / "equity" / "usa")
    bars = source.bars("WM")
    # Until 1998-07-16 as UW, until 2009-08-04 as WMI: never at the cents Washington Mutual ended with in 2008.
    assert bars.filter(pl.col("session").is_between(date(2008, 9, 1), date(2008, 10, 31)))["close"].min() > 20
    assert bars["session"].is_duplicated().sum() == 0
