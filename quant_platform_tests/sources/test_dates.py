"""Stamps of every kind become local dates of the exchange; the expected dates are written by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from quant_platform.contracts.errors import SourceMalformed
from quant_platform.market.calendar import sessions
from quant_platform.sources.files.dates import to_dates
from quant_platform.specification.sources import TextTable

# Both sides of the change to summer time, north and south.
DAYS = {name: sessions(name, date(2020, 1, 2), date(2020, 8, 28)) for name in ("XNYS", "XETR", "XTKS", "XASX", "XSHG")}
ZONES = {
    "XNYS": "America/New_York",
    "XETR": "Europe/Berlin",
    "XTKS": "Asia/Tokyo",
    "XASX": "Australia/Sydney",
    "XSHG": "Asia/Shanghai",
}


def at(days: list[date], hour: int, zone: str) -> list[datetime]:
    """Each day at an hour of a zone, as UTC; through winter and summer time."""
    return [datetime(d.year, d.month, d.day, hour, tzinfo=ZoneInfo(zone)).astimezone(UTC) for d in days]


def read(values: pl.Series, exchange: str, **style: object) -> list[date]:
    frame = pl.DataFrame({"when": values})
    found = to_dates(frame, "when", "a file", TextTable.model_validate(style), exchange=exchange, must_be_sessions=True)
    return found["when"].to_list()


@pytest.mark.parametrize("exchange", ZONES)
@pytest.mark.parametrize("hour", [0, 9, 16, 23])
@pytest.mark.parametrize("stored_in", ["UTC", "own", "Asia/Tokyo", "America/Los_Angeles"])
def test_zoned_stamps_are_dates_of_the_exchange(exchange: str, hour: int, stored_in: str) -> None:
    days = DAYS[exchange]
    zone = ZONES[exchange] if stored_in == "own" else stored_in
    stamps = pl.Series(at(days, hour, ZONES[exchange]), dtype=pl.Datetime("ns", "UTC")).dt.convert_time_zone(zone)
    assert read(stamps, exchange) == days
    text = pl.Series([stamp.astimezone(ZoneInfo(zone)).isoformat() for stamp in at(days, hour, ZONES[exchange])])
    assert read(text, exchange) == days, "CSV and Parquet agree"


@pytest.mark.parametrize("exchange", ZONES)
@pytest.mark.parametrize("label", ["UTC", "Europe/Berlin", "Asia/Tokyo", "America/New_York"])
def test_midnights_of_any_zone_are_dates_with_a_label(exchange: str, label: str) -> None:
    days = DAYS[exchange]
    stamps = pl.Series([datetime(d.year, d.month, d.day) for d in days]).dt.replace_time_zone(label)
    assert read(stamps, exchange) == days


@pytest.mark.parametrize("hour", [0, 9, 16])
def test_stamps_without_a_zone_are_times_at_the_exchange(hour: int) -> None:
    naive = pl.Series([datetime(d.year, d.month, d.day, hour) for d in DAYS["XETR"]])
    assert read(naive, "XETR") == DAYS["XETR"]
    assert read(naive.dt.strftime("%d.%m.%Y %H:%M"), "XETR", date_format="%d.%m.%Y %H:%M") == DAYS["XETR"]
    assert read(naive.dt.strftime("%Y-%m-%d %H:%M:%S"), "XETR") == DAYS["XETR"]


def test_stamps_of_another_zone_that_do_not_say_so_are_refused_until_the_spec_says_it() -> None:
    # Midnight in Frankfurt, written as UTC without saying so: 23:00 or 22:00 of the day before.
    naive = pl.Series([stamp.replace(tzinfo=None) for stamp in at(DAYS["XETR"], 0, "Europe/Berlin")])
    assert naive.dt.date().to_list()[0] == date(2020, 1, 1)
    with pytest.raises(SourceMalformed, match=r"cannot be mapped to sessions[\s\S]*time_zone"):
        read(naive, "XETR")
    assert read(naive, "XETR", time_zone="UTC") == DAYS["XETR"]
    text = naive.dt.strftime("%Y-%m-%d %H:%M:%S")
    with pytest.raises(SourceMalformed, match="cannot be mapped"):
        read(text, "XETR")
    assert read(text, "XETR", time_zone="UTC") == DAYS["XETR"]


def test_a_wrong_exchange_is_refused_where_it_moves_dates() -> None:
    # Midnights in Frankfurt lie on the evening before in New York.
    stamps = pl.Series(at(DAYS["XETR"], 0, "Europe/Berlin"), dtype=pl.Datetime("us", "UTC"))
    with pytest.raises(SourceMalformed, match="too many are no sessions"):
        read(stamps, "XNYS")


NUMBERS = {
    "epoch_s": 1_577_923_200,
    "epoch_ms": 1_577_923_200_000,
    "epoch_us": 1_577_923_200_000_000,
    "epoch_ns": 1_577_923_200_000_000_000,
    "epoch_days": 18_263,
    "excel_days": 43_832,
    "%Y%m%d": 20_200_102,
}


@pytest.mark.parametrize("date_format", NUMBERS)
def test_dates_written_as_a_number(date_format: str) -> None:
    # 2020-01-02 00:00 UTC by date(1); day 43832 of a spreadsheet.
    number = NUMBERS[date_format]
    assert read(pl.Series([number]), "XNYS", date_format=date_format) == [date(2020, 1, 2)]
    assert read(pl.Series([str(number)]), "XNYS", date_format=date_format) == [date(2020, 1, 2)]


@pytest.mark.parametrize("stated", [name for name in NUMBERS if name.startswith("epoch")])
@pytest.mark.parametrize("counted_in", [name for name in NUMBERS if name.startswith("epoch")])
def test_a_number_counted_in_another_unit_is_refused_or_of_1970(stated: str, counted_in: str) -> None:
    # Read as a coarser unit it lies beyond every calendar, read as a finer one within days of 1970.
    if stated == counted_in:
        return
    try:
        (day,) = read(pl.Series([NUMBERS[counted_in]]), "XNYS", date_format=stated)
    except SourceMalformed as error:
        assert f"dates that are not {stated!r}" in str(error)  # noqa: PT017 - either answer is right
    else:
        assert abs(day.year - 1970) <= 1


@pytest.mark.parametrize(("unit", "count"), [("ms", 1 << 62), ("us", -(1 << 62)), ("ns", (1 << 63) - 1)])
def test_stamps_that_no_calendar_has_are_refused(unit: pl.datatypes.TimeUnit, count: int) -> None:
    for zone in (None, "Asia/Tokyo"):
        stamps = pl.Series([count], dtype=pl.Int64).cast(pl.Datetime(unit, zone))
        with pytest.raises(SourceMalformed, match="dates that are not"):
            read(stamps, "XTKS")


@pytest.mark.parametrize(
    ("exchange", "text", "day"),
    [
        ("XNYS", "2020-02-20 00:00:00-05", date(2020, 2, 20)),
        ("XNYS", "2020-02-20 16:00:00.5-05", date(2020, 2, 20)),
        ("XTKS", "2020-02-20 15:00:00+00", date(2020, 2, 21)),
        ("XBOM", "2020-02-19 18:30:00+00:00", date(2020, 2, 20)),
    ],
)
def test_offsets_of_whole_hours(exchange: str, text: str, day: date) -> None:
    assert read(pl.Series([text]), exchange) == [day]


@pytest.mark.parametrize(("number", "said"), [(20_200_102, "%Y%m%d"), (1_577_923_200, "epoch_s"), (43_832, "excel")])
def test_a_number_that_no_format_explains_is_refused_with_a_guess(number: int, said: str) -> None:
    with pytest.raises(SourceMalformed, match=rf"holds numbers[\s\S]*{said}"):
        read(pl.Series([number]), "XNYS")


@pytest.mark.parametrize(
    ("text", "date_format"),
    [("02/01/2020", "%d/%m/%Y"), ("01/02/2020", "%m/%d/%Y"), ("2-Jan-20", "%d-%b-%y"), (" 2020-01-02 ", "%Y-%m-%d")],
)
def test_dates_written_as_text(text: str, date_format: str) -> None:
    assert read(pl.Series([text]), "XNYS", date_format=date_format) == [date(2020, 1, 2)]


@pytest.mark.parametrize("text", ["20-01-02", "0001-01-01"])
def test_the_year_one_is_no_date(text: str) -> None:
    with pytest.raises(SourceMalformed, match="before 1800"):
        read(pl.Series([text]), "XNYS")


def test_a_date_column_stays_and_another_type_is_refused() -> None:
    assert read(pl.Series([date(1955, 3, 1)]), "XNYS") == [date(1955, 3, 1)]
    with pytest.raises(SourceMalformed, match="holds Boolean, not dates"):
        read(pl.Series([True]), "XNYS")
    with pytest.raises(SourceMalformed, match="dates that are not"):
        read(pl.Series(["2020-01-02", None]), "XNYS")


def test_offsets_by_a_format_with_z() -> None:
    text = pl.Series(["02.01.2020 00:00 +0100", "01.07.2020 00:00 +0200"])
    assert read(text, "XETR", date_format="%d.%m.%Y %H:%M %z") == [date(2020, 1, 2), date(2020, 7, 1)]


def test_parquet_of_dates_east_of_utc_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    days = DAYS["XASX"]
    pl.DataFrame({"when": pl.Series(at(days, 0, "Australia/Sydney"), dtype=pl.Datetime("us", "UTC"))}).write_parquet(
        path
    )
    assert read(pl.read_parquet(path)["when"], "XASX") == days
    assert days[1] - days[0] == timedelta(days=1)
