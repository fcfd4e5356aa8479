"""Sectors out of dated lists: known from the day after, cut into the membership intervals, never before."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from quant_platform.contracts.errors import SourceMalformed
from quant_platform.sources.files.sectors import read_sectors
from quant_platform.sources.protocol import securities_schema
from quant_platform.specification.loading import load_spec
from quant_platform.specification.sources import FilesSpec, SectorFile, SourceSpec
from quant_platform_tests.homes import SHIPPED

SECTION = SectorFile(
    path="lists.csv", ticker="Symbol", known_at="at", sector="Sector", replace={"Industries": "Industrials"}
)


def files() -> FilesSpec:
    found = load_spec(SHIPPED / "sources" / "sp500_daily.yaml", SourceSpec).files
    assert found is not None
    return found


def securities(*rows: tuple[str, date, date | None]) -> pl.DataFrame:
    return pl.DataFrame(
        [(ticker, "sp500", start, end, None, None, "s") for ticker, start, end in rows],
        schema=securities_schema(),
        orient="row",
    )


def test_an_interval_is_cut_where_its_sector_becomes_known_and_where_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "lists.csv"
    path.write_text(
        "Symbol,at,Sector\n"
        "BRK-B,2013-02-10T12:00:00+00:00,Financials\n"
        "APH,2013-02-10T12:00:00+00:00,Industries\n"
        "APH,2013-06-01T12:00:00+00:00,Industrials \n"
        "APH,2014-12-07T14:00:00+00:00,Information Technology\n"
        "GONE,2013-02-10T12:00:00+00:00,\n"
    )
    known = read_sectors(path, SECTION, files())
    made = known.applied(
        securities(
            ("APH", date(2000, 1, 3), date(2014, 12, 31)),
            ("APH", date(2016, 1, 4), None),
            ("BRK.B", date(2010, 2, 16), date(2013, 2, 10)),
            ("GONE", date(2012, 1, 3), None),
        )
    )
    assert made.select("ticker", "start_date", "end_date", "sector").rows() == [
        ("APH", date(2000, 1, 3), date(2013, 2, 10), None),
        ("APH", date(2013, 2, 11), date(2014, 12, 7), "Industrials"),
        ("APH", date(2014, 12, 8), date(2014, 12, 31), "Information Technology"),
        ("APH", date(2016, 1, 4), None, "Information Technology"),
        ("BRK.B", date(2010, 2, 16), date(2013, 2, 10), None),
        ("GONE", date(2012, 1, 3), None, None),
    ]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("A,2013-02-10,Energy", "not ISO 8601 with an offset"),
        ("A,2013-02-10T01:00:00Z,Energy\nA,2013-02-10T02:00:00Z,Materials", "two sectors of one ticker"),
        (",2013-02-10T01:00:00Z,Energy", "sectors have no ticker"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused(tmp_path: Path, rows: str, said: str) -> None:
    path = tmp_path / "lists.csv"
    path.write_text(f"Symbol,at,Sector\n{rows}\n")
    with pytest.raises(SourceMalformed, match=said):
        read_sectors(path, SECTION, files())


@pytest.mark.real_data
def test_real_lists_name_ten_sectors_from_the_day_after_the_first(shared_data: Path) -> None:
    spec = files()
    assert spec.sectors is not None
    known = read_sectors(shared_data / "sp500_fundamentals_pit" / spec.sectors.path, spec.sectors, spec)
    assert min(changes[0][0] for changes in known.by_ticker.values()) == date(2013, 2, 11)
    assert len({sector for changes in known.by_ticker.values() for _, sector in changes}) == 10
    assert known.by_ticker["APH"] == [
        (date(2013, 2, 11), "Industrials"),
        (date(2014, 12, 8), "Information Technology"),
    ]
