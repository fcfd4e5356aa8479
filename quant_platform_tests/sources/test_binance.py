"""Binance's archive in a folder: what its files say, and what is refused."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from quant_platform.contracts.errors import (
    SourceMalformed,
    SourceNotFound,
)
from quant_platform.contracts.schemas import perp
from quant_platform.market.perp_cleaning import clean_perp_bars
from quant_platform.market.perp_market import market_5m
from quant_platform.sources.binance import layout
from quant_platform.sources.perp_protocol import PerpSource
from quant_platform.specification.perp_sources import SpotPair
from quant_platform_tests.market.perp_builders import cleaning, joins
from quant_platform_tests.sources.binance_files import FIRST, HEADER, in_folder, month_file, place, rows, sign


def test_a_copy_of_the_archive_is_a_source(folder: Path) -> None:
    source = in_folder(folder)
    assert isinstance(source, PerpSource)
    assert source.months("AAAUSDT") == ["2024-01", "2024-02", "2024-03"]
    found = perp.RawPerpBars.validate(source.bars("AAAUSDT", "2024-02"))
    assert found.height == 600
    row = found.row(1, named=True)
    assert row["open_time"] == datetime(2024, 2, 1, 0, 5, tzinfo=UTC)
    assert row["known_at"] == datetime(2024, 2, 1, 0, 10, tzinfo=UTC)
    values = [
        row[name] for name in ("open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_buy_volume")
    ]
    assert values == [101.0, 102.0, 100.0, 101.5, 11.0, 1001.0, 6.0, 4.0]
    assert (row["interval_seconds"], row["source"]) == (300, "binance")
    for kind in ("spot_bars", "funding", "open_interest", "liquidations", "book"):
        assert getattr(source, kind)("AAAUSDT", "2024-02").height == 0
    with pytest.raises(SourceNotFound, match="no symbol"):
        source.months("BTCUSDT")


def test_files_without_a_header_and_in_microseconds_say_the_same(folder: Path, tmp_path: Path) -> None:
    want = in_folder(folder).bars("AAAUSDT", "2024-01")
    for name, unit, header in (("bare", 1000, False), ("micro", 1_000_000, True)):
        month_file(tmp_path / name, "2024-01", rows(FIRST, 600, unit=unit), header=header)
        assert in_folder(tmp_path / name, last_month="2024-01").bars("AAAUSDT", "2024-01").equals(want)


def test_days_stand_in_for_a_month_that_is_not_out_yet(folder: Path) -> None:
    for day in ("2024-03-01", "2024-03-02"):
        start = datetime.fromisoformat(day).replace(tzinfo=UTC)
        place(folder, layout.klines("perp", "AAAUSDT", "5m", day), "\n".join(rows(start, 288)))
    whole = folder / layout.klines("perp", "AAAUSDT", "5m", "2024-03")
    whole.unlink()
    source = in_folder(folder)
    assert source.months("AAAUSDT")[-1] == "2024-03"
    found = source.bars("AAAUSDT", "2024-03")
    assert found["source_row"].to_list() == list(range(576))
    assert found["open_time"].is_sorted()
    place(
        folder,
        layout.klines("perp", "AAAUSDT", "5m", "2024-03-05"),
        "\n".join(rows(datetime(2024, 3, 5, tzinfo=UTC), 288)),
    )
    with pytest.raises(
        SourceMalformed, match=r"a day is missing between others: 2024-03-03, 2024-03-04[\s\S]*2 of 5 days"
    ):
        source.bars("AAAUSDT", "2024-03")


def test_a_missing_month_is_named(folder: Path) -> None:
    (folder / layout.klines("perp", "AAAUSDT", "5m", "2024-02")).unlink()
    with pytest.raises(
        SourceNotFound, match=r"missing between others: 2024-02[\s\S]*AAAUSDT-5m-2024-02.zip[\s\S]*1 of 3"
    ):
        in_folder(folder).months("AAAUSDT")
    with pytest.raises(SourceNotFound, match="the archive has no bars of AAAUSDT"):
        in_folder(folder, perp_interval="1m").months("AAAUSDT")


def test_a_symbol_lists_and_leaves_within_the_span(folder: Path) -> None:
    (folder / layout.klines("perp", "AAAUSDT", "5m", "2024-03")).unlink()
    assert in_folder(folder, first_month="2023-11", last_month="2024-04").months("AAAUSDT") == ["2024-01", "2024-02"]


def swap(lines: list[str], k: int, column: int, value: str) -> list[str]:
    fields = lines[k].split(",")
    fields[column] = value
    return [*lines[:k], ",".join(fields), *lines[k + 1 :]]


MINUTES = rows(FIRST + timedelta(minutes=50), 5, 1)
IRREGULAR = {
    "changed interval": (
        lambda body: [*body[:10], *MINUTES, *body[11:]],
        r"line 12\b[\s\S]*5 of 604 rows",
        "interval changes",
    ),
    "another month": (
        lambda body: [*rows(datetime(2023, 12, 31, 23, 55, tzinfo=UTC), 1), *body],
        r"line 2\b",
        "outside 2024-01",
    ),
    "repeated row": (
        lambda body: [*body[:5], body[4], *body[5:]],
        r"line 7\b[\s\S]*1 of 601 rows",
        "rows are repeated",
    ),
    "out of order": (lambda body: [*body[:5], body[6], body[5], *body[7:]], r"line 8\b", "out of order"),
    "off the grid": (
        lambda body: swap(
            swap(body, 3, 0, str(int(body[3].split(",")[0]) + 1000)), 3, 6, str(int(body[3].split(",")[6]) + 1000)
        ),
        r"line 5\b",
        "grid of 300 seconds",
    ),
}


@pytest.mark.parametrize("case", IRREGULAR)
def test_irregular_rows_are_refused_by_file_and_line_or_left_to_cleaning(folder: Path, case: str) -> None:
    spoil, place_of_error, message = IRREGULAR[case]
    month_file(folder, "2024-01", spoil(rows(FIRST, 600)))
    with pytest.raises(SourceMalformed, match=message) as caught:
        in_folder(folder).bars("AAAUSDT", "2024-01")
    assert caught.match(r"AAAUSDT-5m-2024-01.zip, " + place_of_error)
    assert in_folder(folder).bars("AAAUSDT", "2024-02").height == 600

    lenient = in_folder(folder, irregular_rows="quarantine").bars("AAAUSDT", "2024-01")
    result = clean_perp_bars(lenient, cleaning())
    kept_out = {
        "changed interval": {"changed_interval": 5},
        "another month": {"outside_month": 1},
        "repeated row": {"duplicate_key": 1},
        "out of order": {},
        "off the grid": {"off_grid": 1},
    }[case]
    assert dict(result.quarantine["rule"].value_counts().rows()) == kept_out


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda body: swap(body, 7, 4, "12x"), r"not a number[\s\S]*line 9"),
        (lambda body: swap(body, 7, 6, ""), r"rows have no time[\s\S]*line 9"),
        (lambda body: [*body[:7], body[7] + ",1,2", *body[8:]], "not a readable CSV"),
    ],
)
def test_damaged_rows_are_refused(folder: Path, spoil: Callable[[list[str]], list[str]], message: str) -> None:
    month_file(folder, "2024-01", spoil(rows(FIRST, 600)))
    with pytest.raises(SourceMalformed, match=message):
        in_folder(folder).bars("AAAUSDT", "2024-01")


def test_another_number_of_columns_is_refused(folder: Path) -> None:
    month_file(folder, "2024-01", [",".join(line.split(",")[:8]) for line in rows(FIRST, 10)], header=False)
    with pytest.raises(SourceMalformed, match=r"8 fields, not 12[\s\S]*AAAUSDT-5m-2024-01.csv, line 1"):
        in_folder(folder).bars("AAAUSDT", "2024-01")


def test_a_wrong_checksum_and_a_truncated_zip_name_the_file(folder: Path) -> None:
    path = folder / layout.klines("perp", "AAAUSDT", "5m", "2024-01")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(
        SourceMalformed, match=r"does not match its checksum[\s\S]*AAAUSDT-5m-2024-01.zip[\s\S]*SHA-256"
    ):
        in_folder(folder).bars("AAAUSDT", "2024-01")
    sign(path)
    with pytest.raises(SourceMalformed, match=r"truncated or damaged[\s\S]*AAAUSDT-5m-2024-01.zip"):
        in_folder(folder).bars("AAAUSDT", "2024-01")


def test_a_checksum_must_be_there_and_of_the_file(folder: Path) -> None:
    path = folder / (layout.klines("perp", "AAAUSDT", "5m", "2024-01") + ".CHECKSUM")
    path.write_text("0" * 64 + "  OTHER-5m-2024-01.zip\n")
    with pytest.raises(SourceMalformed, match=r"checksum is of .OTHER-5m-2024-01\.zip"):
        in_folder(folder).bars("AAAUSDT", "2024-01")
    path.write_text("<html>no such file</html>")
    with pytest.raises(SourceMalformed, match="does not begin with a SHA-256"):
        in_folder(folder).bars("AAAUSDT", "2024-01")
    path.unlink()
    with pytest.raises(SourceNotFound, match="no checksum"):
        in_folder(folder).bars("AAAUSDT", "2024-01")
    assert in_folder(folder, missing_checksum="accept").bars("AAAUSDT", "2024-01").height == 600


def test_a_zip_of_two_files_is_refused(folder: Path) -> None:
    path = folder / layout.klines("perp", "AAAUSDT", "5m", "2024-01")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.csv", "1,2")
    sign(path)
    with pytest.raises(SourceMalformed, match="holds 2 files, not one"):
        in_folder(folder).bars("AAAUSDT", "2024-01")


def test_spot_funding_and_open_interest_join_to_one_market(folder: Path) -> None:
    place(folder, layout.klines("spot", "AAAUSDT", "5m", "2024-01"), "\n".join(rows(FIRST, 600, unit=1_000_000)))
    stamps = [int(FIRST.timestamp() * 1000) + 28_800_000 * k + 3 * k for k in range(6)]
    lines = [f"{stamp},8,0.000{k}" for k, stamp in enumerate(stamps)]
    text = "\n".join(["calc_time,funding_interval_hours,last_funding_rate", *lines])
    place(folder, layout.futures("fundingRate", "AAAUSDT", "2024-01"), text)
    names = "create_time,symbol,sum_open_interest,sum_open_interest_value,a,b,c,d"
    for day in (1, 2):
        start = datetime(2024, 1, day, 0, 5, tzinfo=UTC)
        stamps_of_day = [start + timedelta(minutes=5 * k, seconds=3 * (k == 7)) for k in range(288)]
        lines = [
            f"{stamp:%Y-%m-%d %H:%M:%S},AAAUSDT,{1000 * day + k},1,1,1,1,1" for k, stamp in enumerate(stamps_of_day)
        ]
        place(folder, layout.futures("metrics", "AAAUSDT", f"2024-01-{day:02d}"), "\n".join([names, *lines]))
    source = in_folder(folder, spot_interval="5m", funding=True, metrics=True)
    funding = perp.RawFunding.validate(source.funding("AAAUSDT", "2024-01"))
    assert funding["interval_hours"].to_list() == [8.0] * 6
    interest = perp.RawOpenInterest.validate(source.open_interest("AAAUSDT", "2024-01"))
    assert interest.height == 576
    joined = market_5m(
        clean_perp_bars(source.bars("AAAUSDT", "2024-01"), cleaning()).bars,
        spec=joins(),
        spot=clean_perp_bars(source.spot_bars("AAAUSDT", "2024-01"), cleaning(), market="spot").bars,
        funding=funding,
        open_interest=interest,
    )
    assert joined["spot_close"][0] == 100.5
    assert joined["oi"].to_list()[1:10] == [1000.0 + k for k in range(9)]
    assert joined["funding_rate"].to_list()[95:97] == [0.0, 0.0001]
    assert joined["funding_settle"].fill_nan(0.0).sum() == 6
    assert source.funding("AAAUSDT", "2024-02").height == 0
    assert source.open_interest("AAAUSDT", "2024-02").height == 0


def test_quotes_are_weighted_by_the_time_they_stood(folder: Path) -> None:
    start = int(FIRST.timestamp() * 1000)
    quotes = [
        (0, 99.99, 100.01, 10.0, 20.0),
        (150_000, 99.95, 100.05, 30.0, 40.0),
        (450_000, 99.99, 100.01, 10.0, 20.0),
    ]
    lines = [f"{k},{bid},{bs},{ask},{s},{start + ms},{start + ms}" for k, (ms, bid, ask, bs, s) in enumerate(quotes)]
    names = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time"
    place(folder, layout.futures("bookTicker", "AAAUSDT", "2024-01-01"), "\n".join([names, *lines]))
    found = perp.RawBook.validate(in_folder(folder, book="book_ticker").book("AAAUSDT", "2024-01"))
    assert found.height == 2
    # Half of each bar at 2 bps and half at 10: the second quote stands over the open of the second bar.
    np.testing.assert_allclose(found["spread_bps"].to_numpy(), [6.0, 6.0], rtol=1e-9)
    np.testing.assert_allclose(found["bid_depth_usd"].to_numpy(), (99.99 * 10 + 99.95 * 30) / 2, rtol=1e-9)
    np.testing.assert_allclose(found["ask_depth_usd"].to_numpy(), (100.01 * 20 + 100.05 * 40) / 2, rtol=1e-9)


def test_depth_is_the_mean_of_the_snapshots_of_a_bar(folder: Path) -> None:
    lines = [
        f"2024-01-01 00:{minute:02d}:07,{band},1.0,{minute * 100 + band}"
        for minute in (1, 3, 6)
        for band in (-2.0, -1.0, 1.0, 2.0)
    ]
    text = "\n".join(["timestamp,percentage,depth,notional", *lines])
    place(folder, layout.futures("bookDepth", "AAAUSDT", "2024-01-01"), text)
    found = perp.RawBook.validate(in_folder(folder, book="book_depth").book("AAAUSDT", "2024-01"))
    assert found.select("bid_depth_usd", "ask_depth_usd").rows() == [(199.0, 201.0), (599.0, 601.0)]
    assert found["spread_bps"].null_count() == 2
    with pytest.raises(SourceMalformed, match=r"no band of 0.2 percent[\s\S]*-2, -1, 1, 2"):
        in_folder(folder, book="book_depth", book_depth_percent=0.2).book("AAAUSDT", "2024-01")


METRICS = "symbol,create_time,sum_open_interest,more"


def metrics(folder: Path, day: str, *rows: tuple[str, str]) -> None:
    # The columns in another order than the archive's, and one more: they are found by name.
    lines = [f"AAAUSDT,{stamp},{value},1" for stamp, value in rows]
    place(folder, layout.futures("metrics", "AAAUSDT", day), "\n".join([METRICS, *lines]))


def test_the_first_stamp_of_a_month_counts_whichever_file_it_stands_in(folder: Path) -> None:
    metrics(folder, "2024-01-31", ("2024-01-31 23:55:00", "10"), ("2024-02-01 00:00:00", "11"))
    metrics(folder, "2024-02-01", ("2024-02-01 00:05:00", "12"))
    metrics(folder, "2024-03-01", ("2024-02-29 23:55:00", "13"), ("2024-03-01 00:00:00", "14"))
    source = in_folder(folder, metrics=True)
    want = {
        "2024-01": [(31, 23, 55, 10.0)],
        "2024-02": [(1, 0, 0, 11.0), (1, 0, 5, 12.0), (29, 23, 55, 13.0)],
        "2024-03": [(1, 0, 0, 14.0)],
    }
    for month, rows_of_month in want.items():
        found = perp.RawOpenInterest.validate(source.open_interest("AAAUSDT", month))
        assert [(s.day, s.hour, s.minute, v) for s, v in found.select("stamp", "open_interest").rows()] == rows_of_month
        assert set(found["month"]) == {month}


def test_a_stamp_that_two_files_state_is_that_of_its_own_day_and_both_are_named(folder: Path) -> None:
    metrics(folder, "2024-01-30", ("2024-01-30 23:55:00", "9"), ("2024-01-31 00:00:00", "41234.5"))
    metrics(folder, "2024-01-31", ("2024-01-31 00:00:00", "48034.75"), ("2024-01-31 00:05:00", ""))
    source = in_folder(folder, metrics=True)
    assert source.open_interest("AAAUSDT", "2024-01")["open_interest"].to_list() == [9.0, 48034.75]
    found = {one.kind: one for one in source.reading_report()}
    twice = found["stamp_stated_twice"]
    assert (twice.rows, twice.total) == (1, 3)
    assert "AAAUSDT-metrics-2024-01-30.zip against" in twice.examples[0]
    assert "AAAUSDT-metrics-2024-01-31.zip, which stands" in twice.examples[0]
    assert (found["open_interest_without_value"].rows, found["open_interest_without_value"].severity) == (1, "refused")
    assert found["open_interest_missing"].examples == ("2024-02", "2024-03")


def test_metrics_of_another_symbol_are_refused(folder: Path) -> None:
    place(folder, layout.futures("metrics", "AAAUSDT", "2024-01-02"), f"{METRICS}\nBBBUSDT,2024-01-02 00:05:00,1,1")
    with pytest.raises(SourceMalformed, match=r"another symbol than AAAUSDT[\s\S]*symbol=BBBUSDT"):
        in_folder(folder, metrics=True).open_interest("AAAUSDT", "2024-01")


def test_a_header_that_lacks_a_column_is_refused_by_name(folder: Path) -> None:
    place(folder, layout.futures("metrics", "AAAUSDT", "2024-01-02"), "create_time,symbol,oi\n2024-01-02 00:05:00,A,1")
    with pytest.raises(SourceMalformed, match=r"header lacks sum_open_interest[\s\S]*create_time, symbol, oi"):
        in_folder(folder, metrics=True).open_interest("AAAUSDT", "2024-01")


def test_bars_are_read_by_the_names_of_the_header(folder: Path, tmp_path: Path) -> None:
    want = in_folder(folder).bars("AAAUSDT", "2024-01")
    names = HEADER.split(",")
    order = [*reversed(range(len(names)))]
    lines = [",".join(line.split(",")[k] for k in order) for line in rows(FIRST, 600)]
    text = "\n".join([",".join(names[k] for k in order), *lines]) + "\n"
    place(tmp_path, layout.klines("perp", "AAAUSDT", "5m", "2024-01"), text)
    assert in_folder(tmp_path, last_month="2024-01").bars("AAAUSDT", "2024-01").equals(want)


def funding_file(folder: Path, month: str, *stamps: tuple[datetime, str], symbol: str = "AAAUSDT") -> None:
    lines = [f"{int(stamp.timestamp() * 1000)},8,{rate}" for stamp, rate in stamps]
    text = "\n".join(["calc_time,funding_interval_hours,last_funding_rate", *lines])
    place(folder, layout.futures("fundingRate", symbol, month), text)


def test_funding_is_per_symbol_and_what_the_archive_lacks_is_counted(folder: Path) -> None:
    month_file(folder, "2024-01")
    delivery = folder / layout.klines("perp", "AAAUSDT_240329", "5m", "2024-01")
    delivery.parent.mkdir(parents=True)
    delivery.write_bytes((folder / layout.klines("perp", "AAAUSDT", "5m", "2024-01")).read_bytes())
    sign(delivery)
    funding_file(folder, "2024-02", (datetime(2024, 2, 1, tzinfo=UTC), "0.0001"))
    source = in_folder(folder, funding=True, symbols=("AAAUSDT", "AAAUSDT_240329"))
    assert [source.funding("AAAUSDT", month).height for month in source.months("AAAUSDT")] == [0, 1, 0]
    assert source.funding("AAAUSDT_240329", "2024-01").height == 0
    lacking = [one for one in source.reading_report() if one.kind == "funding_missing"]
    assert [(one.where, one.rows, one.total) for one in lacking] == [("AAAUSDT", 2, 3), ("AAAUSDT_240329", 1, 1)]
    assert "delivery date" in lacking[1].action
    only = in_folder(folder, funding=("AAAUSDT",), symbols=("AAAUSDT", "AAAUSDT_240329"))
    assert [one.where for one in only.reading_report() if one.kind == "funding_missing"] == ["AAAUSDT"]


def test_a_settlement_belongs_to_the_month_of_its_stamp(folder: Path) -> None:
    eve, midnight = datetime(2024, 1, 31, 16, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)
    funding_file(folder, "2024-01", (eve, "0.0001"), (midnight, "0.0009"))
    funding_file(folder, "2024-02", (midnight, "0.0002"))
    source = in_folder(folder, funding=True)
    assert source.funding("AAAUSDT", "2024-01")["settle_time"].to_list() == [eve]
    assert source.funding("AAAUSDT", "2024-02")["funding_rate"].to_list() == [0.0002]
    assert "stamp_stated_twice" in {one.kind for one in source.reading_report()}


def test_an_archive_without_any_funding_is_refused(folder: Path) -> None:
    with pytest.raises(SourceNotFound, match="no funding at all"):
        in_folder(folder, funding=True).reading_report()


@pytest.mark.parametrize(("rate", "message"), [("8", "no funding rate"), ("-1.0", "no funding rate")])
def test_a_rate_as_large_as_the_position_is_refused(folder: Path, rate: str, message: str) -> None:
    funding_file(folder, "2024-01", (FIRST, rate))
    with pytest.raises(SourceMalformed, match=message):
        in_folder(folder, funding=True).funding("AAAUSDT", "2024-01")


def test_spot_in_other_units_is_suggested_and_read(folder: Path) -> None:
    perpetual = folder / layout.klines("perp", "1000AAAUSDT", "5m", "2024-01")
    perpetual.parent.mkdir(parents=True)
    perpetual.write_bytes((folder / layout.klines("perp", "AAAUSDT", "5m", "2024-01")).read_bytes())
    sign(perpetual)
    place(folder, layout.klines("spot", "AAAUSDT", "5m", "2024-01"), "\n".join([HEADER, *rows(FIRST, 10)]))
    wanted = {"symbols": ("1000AAAUSDT",), "spot_interval": "5m"}
    source = in_folder(folder, **wanted)
    assert source.spot_bars("1000AAAUSDT", "2024-01").height == 0
    (missing,) = [one for one in source.reading_report() if one.kind == "spot_missing"]
    assert "spot_symbols: {1000AAAUSDT: {symbol: AAAUSDT, units: 1000}}" in missing.action
    pair = SpotPair(symbol="AAAUSDT", units=1000.0)
    found = in_folder(folder, **wanted, spot_symbols={"1000AAAUSDT": pair}).spot_bars("1000AAAUSDT", "2024-01")
    first = perp.RawSpotBars.validate(found).row(0, named=True)
    # 100.0 a unit of spot and 10 units, of which 4 by takers; the value traded stays.
    assert [first[name] for name in ("symbol", "open", "volume", "taker_buy_volume", "quote_volume")] == [
        "1000AAAUSDT",
        100_000.0,
        0.01,
        0.004,
        1000.0,
    ]


def test_a_last_month_that_ends_early_is_said(folder: Path) -> None:
    (found,) = in_folder(folder).reading_report()
    # 600 bars of the 8928 of March.
    assert (found.kind, found.rows, found.total) == ("ends_before_the_month", 8328, 8928)


def test_an_open_last_month_is_read_from_its_days(folder: Path) -> None:
    (folder / layout.klines("perp", "AAAUSDT", "5m", "2024-03")).unlink()
    start = datetime(2024, 3, 1, tzinfo=UTC)
    place(folder, layout.klines("perp", "AAAUSDT", "5m", "2024-03-01"), "\n".join(rows(start, 288)))
    source = replace(in_folder(folder, last_month=None), now=lambda: datetime(2024, 3, 2, 5, tzinfo=UTC))
    assert source.months("AAAUSDT") == ["2024-01", "2024-02", "2024-03"]
    assert source.bars("AAAUSDT", "2024-03").height == 288
    assert source.reading_report() == ()
