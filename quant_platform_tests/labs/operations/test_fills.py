"""The contract of fills: each way in which a file can be wrong is one clear error, and nothing of it is stored."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from quant_platform.contracts.errors import FillsInvalid
from quant_platform.labs.operations.fills import STORED, Expected, ReadFills, check_fills, day_of, read_fills

GOOD: dict[str, Any] = {
    "fill_id": "b1",
    "ticker": "AAA",
    "side": "buy",
    "quantity": "100",
    "price": "10.01",
    "mid": "10.00",
    "fees": "0.1",
    "currency": "USD",
    "executed_at": "2024-03-04T14:30:05+00:00",
}
NONE = pl.DataFrame(schema=STORED)


def expected(known: pl.DataFrame = NONE) -> Expected:
    return Expected(
        classes={"AAA": "US_EQUITY", "EURUSD": "FX", "BTCUSDT": "CRYPTO_PERPETUAL"},
        currencies={"AAA": "USD", "EURUSD": "USD", "BTCUSDT": "USDT"},
        sessions={date(2024, 3, 4), date(2024, 3, 5)},
        zone="America/New_York",
        now=datetime(2024, 3, 10, 12, 0, tzinfo=UTC),
        known=known,
    )


def check(*rows: dict[str, Any], known: pl.DataFrame = NONE) -> ReadFills:
    return check_fills(pl.DataFrame(list(rows), infer_schema_length=None), expected(known), "fills.csv")


def test_a_good_row_is_taken_as_it_stands() -> None:
    row = check(GOOD).new.row(0, named=True)
    assert (row["quantity"], row["price"], row["mid"], row["fees"], row["law"]) == (100.0, 10.01, 10.0, 0.1, "venue")
    assert row["executed_at"] == datetime(2024, 3, 4, 14, 30, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2024-03-04T14:30:05Z", 14),
        ("2024-03-04 14:30:05+00:00", 14),
        ("2024-03-04T09:30:05-05:00", 14),
        ("2024-03-04T09:30:05.250-0500", 14),
    ],
)
def test_times_with_an_offset_are_read(text: str, hour: int) -> None:
    assert check({**GOOD, "executed_at": text}).new["executed_at"][0].hour == hour


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"quantity": "many"}, "quantity is no number"),
        ({"price": "inf"}, "price is no number"),
        ({"fees": None}, "fees is no number"),
        ({"mid": "n/a"}, "mid is no number"),
        ({"executed_at": "2024-03-04T14:30:05"}, "no time with an offset"),
        ({"executed_at": "yesterday"}, "no time with an offset"),
        ({"fill_id": " "}, "a fill has no id"),
        ({"side": "hold"}, "side is neither buy nor sell"),
        ({"quantity": "0"}, "quantity is not above zero"),
        ({"price": "-1"}, "price is not above zero"),
        ({"law": "modelled"}, "law is neither venue nor simulated"),
        ({"ticker": "ZZZ"}, "a name is not in the universe"),
        ({"currency": "EUR"}, "the currency is not that in which the name is settled, USD"),
        ({"ticker": "BTCUSDT"}, "the currency is not that in which the name is settled, USD or USDT"),
        ({"executed_at": "2024-03-11T14:30:05+00:00"}, "a fill is later than now"),
        ({"executed_at": "2024-03-03T14:30:05+00:00"}, "a day without a session"),
        ({"mid": "1000"}, "price and mid are more than 20% apart"),
        ({"fees": "1001.5"}, "fees are more than the value"),
    ],
)
def test_a_row_that_breaks_a_rule_is_named_with_its_line(change: dict[str, Any], says: str) -> None:
    with pytest.raises(FillsInvalid) as raised:
        check({**GOOD, "fill_id": "b0", "law": None}, {**GOOD, "law": None, **change})
    assert says in str(raised.value)
    assert "1 of 2 rows" in str(raised.value)
    assert "line=3" in str(raised.value)


def test_a_morning_east_of_utc_is_of_its_own_session() -> None:
    # Sydney opens at 10:00 on Monday 4 March, which is 23:00 UTC of Sunday; on Saturday it is closed.
    sydney = replace(expected(), zone="Australia/Sydney")
    monday = pl.DataFrame([{**GOOD, "executed_at": "2024-03-03T23:05:00+00:00"}])
    assert check_fills(monday, sydney, "fills.csv").new.height == 1
    saturday = pl.DataFrame([{**GOOD, "executed_at": "2024-03-01T23:05:00+00:00"}])
    with pytest.raises(FillsInvalid, match="a day without a session"):
        check_fills(saturday, sydney, "fills.csv")
    stamps = pl.Series([datetime(2024, 3, 3, 23, 5, tzinfo=UTC)] * 2)
    assert day_of(stamps, pl.Series([True, False]), "Australia/Sydney").to_list() == [
        date(2024, 3, 4),
        date(2024, 3, 3),
    ]


@pytest.mark.parametrize(("price", "taken"), [("1001", False), ("10.5", True), ("0.1", False), ("40", True)])
def test_a_price_in_pence_is_told_by_the_close_of_its_day(price: str, taken: bool) -> None:
    closes = pl.DataFrame({"ticker": ["AAA"], "session": [date(2024, 3, 4)], "close": [10.0]})
    row = pl.DataFrame([{**GOOD, "price": price, "mid": None}])
    held = replace(expected(), closes=closes)
    if taken:
        assert check_fills(row, held, "fills.csv").new.height == 1
        return
    with pytest.raises(FillsInvalid, match="the close of its day"):
        check_fills(row, held, "fills.csv")


def test_names_that_trade_around_the_clock_need_no_session() -> None:
    sunday = {**GOOD, "executed_at": "2024-03-03T14:30:05+00:00"}
    perpetual = {**sunday, "ticker": "btcusdt", "currency": "USDT", "fill_id": "b2"}
    assert check({**sunday, "ticker": "EURUSD"}, perpetual).new.height == 2


def test_the_day_of_a_fill_is_that_of_the_exchange() -> None:
    """Half past midnight on Wednesday, UTC, is Tuesday in New York; the first hour of Monday in Sydney is Sunday."""
    assert check({**GOOD, "executed_at": "2024-03-06T00:30:00Z"}).new.height == 1
    with pytest.raises(FillsInvalid, match="a day without a session"):
        check({**GOOD, "executed_at": "2024-03-04T00:30:00Z"})
    sydney = replace(expected(), zone="Australia/Sydney")
    monday = pl.DataFrame([{**GOOD, "executed_at": "2024-03-03T23:30:00Z"}])
    assert check_fills(monday, sydney, "fills.csv").new.height == 1


def test_an_id_that_stands_twice_is_refused() -> None:
    with pytest.raises(FillsInvalid, match=r"stands twice[\s\S]*2 of 2 rows"):
        check(GOOD, {**GOOD, "quantity": "5"})


def test_importing_twice_brings_nothing_new_and_a_changed_fill_is_refused() -> None:
    first = check(GOOD, {**GOOD, "fill_id": "b2", "mid": None})
    again = check(GOOD, {**GOOD, "fill_id": "b2", "mid": None}, {**GOOD, "fill_id": "b3"}, known=first.new)
    assert (again.new["fill_id"].to_list(), again.known) == (["b3"], 2)
    with pytest.raises(FillsInvalid, match="stored with other content"):
        check({**GOOD, "price": "10.02"}, known=first.new)


def test_csv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    lines, table = tmp_path / "fills.jsonl", tmp_path / "fills.csv"
    lines.write_text(json.dumps({**GOOD, "quantity": 100, "price": 10.01}) + "\n", encoding="utf-8")
    table.write_text(",".join(GOOD) + "\n" + ",".join(GOOD.values()) + "\n", encoding="utf-8")
    both = [check_fills(read_fills(path), expected(), str(path)).new for path in (lines, table)]
    assert both[0].equals(both[1])


def test_names_of_columns_may_be_written_in_any_case(tmp_path: Path) -> None:
    path = tmp_path / "fills.csv"
    head = ", ".join(GOOD).upper()
    path.write_bytes(b"\xef\xbb\xbf" + f"{head}\r\n{','.join(GOOD.values())}\r\n".encode())
    assert check_fills(read_fills(path), expected(), str(path)).new.equals(check(GOOD).new)


def test_a_row_of_json_lines_is_named_by_its_own_line() -> None:
    with pytest.raises(FillsInvalid, match="line=1"):
        check_fills(pl.DataFrame([{**GOOD, "side": "hold"}]), expected(), "fills.jsonl", first_line=1)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("fills.xlsx", b"x", "is not the suffix"),
        ("fills.csv", b"", "has no row"),
        ("fills.jsonl", b"\n\n", "has no row"),
        ("fills.jsonl", b"[1, 2]\n", "cannot be read"),
        ("fills.csv", ",".join(GOOD).encode("utf-16"), "no text in UTF-8"),
        ("fills.csv", "M\u00fcnch,1\n".encode("latin-1"), "no text in UTF-8"),
        ("fills.csv", b"a,b\n1,2,3\n", "a row has more fields than the header"),
        ("fills.csv", b"fill_id;ticker\n1;AAA\n", "parted by a semicolon"),
        ("fills.csv", (",".join(GOOD) + ",Price\n").encode(), "a column stands twice: price"),
        ("fills.jsonl", b"{broken", "cannot be read"),
        ("fills.csv", b"fill_id,ticker\n1,AAA\n", "has no column side, quantity"),
        ("fills.csv", (",".join(GOOD) + "\n").encode(), "has no row"),
    ],
)
def test_a_file_that_is_none_is_one_error(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FillsInvalid, match=says):
        read_fills(path)
