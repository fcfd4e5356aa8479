"""Names that match nothing are named; bars that do not fit their name are warned of; readers for newcomers."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from quant_platform.contracts.errors import SourceMalformed
from quant_platform.contracts.findings import Finding
from quant_platform.contracts.schemas.raw import RawCorporateActions, RawEquityBars
from quant_platform.market.calendar import sessions
from quant_platform.sources import Source, open_source
from quant_platform.sources.protocol import reading_report
from quant_platform.specification.sources import SourceSpec

DAYS = sessions("XNYS", date(2015, 1, 2), date(2019, 12, 31))
COLUMNS = {name: name for name in ("open", "high", "low", "close", "volume")} | {"session": "date"}


def spec(exchange: str = "XNYS", **files: Any) -> SourceSpec:
    bars = {"path": "*.csv", "columns": COLUMNS} | files.pop("bars", {})
    content = {"layout": "file_per_ticker", "max_future_days": 0, "bars": bars} | files
    return SourceSpec.model_validate(
        {
            "name": "own",
            "description": "x",
            "kind": "files",
            "exchange": exchange,
            "universe": "own",
            "adjustment": "none",
            "files": content,
        }
    )


def bars(folder: Path, ticker: str, days: list[date], volume: int = 1000) -> None:
    rows = [f"{day},10,11,9,10,{volume}" for day in days]
    (folder / f"{ticker}.csv").write_text("\n".join(["date,open,high,low,close,volume", *rows]) + "\n")


def opened(folder: Path, **files: Any) -> Source:
    sub = folder / "x"
    sub.mkdir(exist_ok=True)
    return open_source(spec(**files), {"data": folder, "side": sub})


def by_kind(source: Source) -> dict[str, Finding]:
    return {found.kind: found for found in reading_report(source)}


ACTIONS = {"path": "a.txt", "location": "side", "ticker": "t", "ex_date": "d", "kind": "k", "value": "v"}


def actions(folder: Path, *rows: str) -> None:
    (folder / "x").mkdir(exist_ok=True)
    (folder / "x" / "a.txt").write_text("\n".join(["t,d,k,v", *rows]) + "\n")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("AAA.US", "AAA.US (AAA?)"),
        ("BRK/B", "BRK/B (BRK-B?)"),
        ("BRK.B", "BRK.B (BRK-B?)"),
        ("BRKB", "BRKB (BRK-B?)"),
        ("NYSE:AAA", "NYSE:AAA (AAA?)"),
        ("ZZZ", "ZZZ"),
    ],
)
def test_actions_of_another_spelling_are_refused_with_the_name_that_was_meant(
    tmp_path: Path, name: str, hint: str
) -> None:
    bars(tmp_path, "AAA", DAYS[:3])
    bars(tmp_path, "BRK-B", DAYS[:3])
    actions(tmp_path, f"{name},2015-01-05,split,2", "AAA,2015-01-05,split,2")
    with pytest.raises(SourceMalformed) as error:
        reading_report(opened(tmp_path, actions=ACTIONS))
    assert "1 of 2 rows, 1 of 2 names: " + hint in error.value.how_many
    found = by_kind(opened(tmp_path, actions=ACTIONS | {"unmatched": "allow"}))["unmatched_action"]
    assert (found.rows, found.total, found.examples) == (1, 2, (hint,))


def test_a_rule_of_its_own_spells_one_file(tmp_path: Path) -> None:
    bars(tmp_path, "BRK-B", DAYS[:3])
    actions(tmp_path, "BRK/B US,2015-01-05,split,2:1")
    source = opened(tmp_path, actions=ACTIONS | {"ticker_rule": {"replace": {"/": "-", " US": ""}}})
    assert reading_report(source) == ()
    assert source.actions("BRK-B")["value"].to_list() == [2.0]


@pytest.mark.parametrize(("text", "value"), [("4:1", 4.0), ("1/190", 1 / 190), ("3 : 2", 1.5), ("2", 2.0)])
def test_ratios_of_splits(tmp_path: Path, text: str, value: float) -> None:
    bars(tmp_path, "AAA", DAYS[:3])
    actions(tmp_path, f"AAA,2015-01-05,split,{text}")
    assert opened(tmp_path, actions=ACTIONS).actions("AAA")["value"].to_list() == pytest.approx([value])


def test_an_action_without_a_ticker_names_the_line(tmp_path: Path) -> None:
    bars(tmp_path, "AAA", DAYS[:3])
    actions(tmp_path, "AAA,2015-01-05,split,2", ",2015-01-06,split,2")
    with pytest.raises(SourceMalformed, match=r"actions have no ticker[\s\S]*a\.txt, line 3[\s\S]*1 of 2 rows"):
        opened(tmp_path, actions=ACTIONS).actions("AAA")


def test_semicolons_and_decimal_commas_in_every_section(tmp_path: Path) -> None:
    bars(tmp_path, "AAA", DAYS[:3])
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.txt").write_text("t;d;k;v\nAAA;05.01.2015;cash_dividend;0,25\n\n")
    (tmp_path / "x" / "m.txt").write_text("t;s;e\nAAA;02.01.2015;\n")
    style = {"separator": ";", "decimal": ",", "date_format": "%d.%m.%Y"}
    member = {"path": "m.txt", "location": "side", "ticker": "t", "start_date": "s", "end_date": "e"}
    source = opened(tmp_path, actions=ACTIONS | style, membership=member | style | {"end_is_first_day_out": False})
    assert source.actions("AAA").select("ex_date", "value").rows() == [(date(2015, 1, 5), 0.25)]
    assert source.securities()["start_date"].to_list() == [date(2015, 1, 2)]
    assert by_kind(source)["blank_lines"].rows == 1


MEMBERS = {
    "path": "m.txt",
    "location": "side",
    "ticker": "t",
    "start_date": "s",
    "end_date": "e",
    "end_is_first_day_out": False,
}


def test_bars_that_do_not_fit_the_member_are_warned_of(tmp_path: Path) -> None:
    bars(tmp_path, "GOOD", DAYS, 1_000_000)
    bars(tmp_path, "FINE", DAYS, 2_000_000)
    bars(tmp_path, "LATE", [day for day in DAYS if day.year >= 2018], 1_000_000)
    bars(tmp_path, "GONE", [day for day in DAYS if day.year <= 2016], 1_000_000)
    bars(tmp_path, "TINY", DAYS, 1_000)
    (tmp_path / "x").mkdir()
    rows = [f"{name},2015-01-02," for name in ("GOOD", "FINE", "LATE", "GONE", "TINY")] + ["NONE,2015-01-02,"]
    (tmp_path / "x" / "m.txt").write_text("\n".join(["t,s,e", *rows]) + "\n")
    found = by_kind(opened(tmp_path, membership=MEMBERS))
    assert found["bars_after_membership"].examples == ("LATE member 2015-01-02, bars 2018-01-02",)
    assert found["bars_end_before_membership"].examples == ("GONE bars to 2016-12-30, member to now",)
    assert found["small_for_a_member"].examples == ("TINY 10,000 a session",)
    assert (found["unmatched_member"].rows, found["unmatched_member"].total) == (1, 6)


def test_a_membership_of_which_nothing_matches_is_refused(tmp_path: Path) -> None:
    bars(tmp_path, "AAA", DAYS[:3])
    bars(tmp_path, "BBB", DAYS[:3])
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "m.txt").write_text("t,s,e\nAAA.UN,2015-01-02,\nBBB.UN,2015-01-02,\n")
    with pytest.raises(SourceMalformed, match=r"members are of names without bars[\s\S]*2 of 2 names"):
        reading_report(opened(tmp_path, membership=MEMBERS))


def test_actions_in_columns_of_the_bars(tmp_path: Path) -> None:
    (tmp_path / "AAA.csv").write_text(
        "date,open,high,low,close,volume,div,split\n2015-01-02,1,2,1,2,5,0,0\n2015-01-05,1,2,1,2,5,0.5,1\n"
        "2015-01-06,1,2,1,2,5,,4:1\n"
    )
    source = opened(tmp_path, bars={"action_columns": {"split": "split", "cash_dividend": "div"}})
    found = RawCorporateActions.validate(source.actions("AAA"))
    assert found.select("ex_date", "kind", "value").rows() == [
        (date(2015, 1, 5), "cash_dividend", 0.5),
        (date(2015, 1, 6), "split", 4.0),
    ]


def test_columns_of_our_own_names_and_one_for_all_prices(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "permno": [10107, 10107, 10108],
            "date": [date(2015, 1, 2), date(2015, 1, 5), date(2015, 1, 2)],
            "close": [1.0, 2.0, 3.0],
            "volume": [1, 2, 3],
            **{name: ["x", "y", "z"] for name in ("ticker", "source_row", "session", "source", "adjustment", "__line")},
        }
    )
    frame.write_parquet(tmp_path / "all.parquet")
    columns = dict.fromkeys(("open", "high", "low", "close"), "close")
    source = opened(
        tmp_path,
        layout="long_file",
        bars={
            "path": "all.parquet",
            "columns": columns | {"ticker": "permno", "session": "date", "volume": "volume"},
        },
    )
    assert source.tickers() == ["10107", "10108"]
    found = RawEquityBars.validate(source.bars("10107"))
    assert found.select("source_row", "open", "high", "low", "close").rows() == [(0, 1, 1, 1, 1), (1, 2, 2, 2, 2)]


def test_a_file_whose_header_names_another_ticker_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "AAA.csv").write_text(
        "Price,Close,High,Low,Open,Volume\nTicker,BBB,BBB,BBB,BBB,BBB\nDate,,,,,\n2015-01-02,1,2,1,2,5\n"
    )
    columns = {name: name.capitalize() for name in ("open", "high", "low", "close", "volume")} | {"session": "Price"}
    found = by_kind(opened(tmp_path, bars={"columns": columns}))
    assert "says that the bars are of BBB" in found["header_names_another_ticker"].what


def test_several_tickers_side_by_side_are_refused(tmp_path: Path) -> None:
    (tmp_path / "AAA.csv").write_text("date,open,high,low,close,close,volume\n2015-01-02,1,2,1,2,3,5\n")
    with pytest.raises(SourceMalformed, match=r"'close' more than once[\s\S]*side by side"):
        opened(tmp_path).bars("AAA")


def test_rows_without_a_price_are_kept_and_counted(tmp_path: Path) -> None:
    (tmp_path / "AAA.csv").write_text(
        "date,open,high,low,close,volume\n2015-01-02,1,2,1,2,5\n2015-01-05,null,null,null,null,null\n"
    )
    source = opened(tmp_path)
    assert source.bars("AAA")["close"].to_list() == [2.0, None]
    found = by_kind(source)["rows_without_prices"]
    assert (found.rows, found.total, found.examples) == (1, 2, ("AAA 2015-01-05",))


def test_a_pattern_does_not_leave_the_folder(tmp_path: Path) -> None:
    bars(tmp_path, "AAA", DAYS[:3])
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(ValueError, match="leaves the folder"):
        open_source(spec(bars={"path": "../*.csv"}), inner).tickers()
