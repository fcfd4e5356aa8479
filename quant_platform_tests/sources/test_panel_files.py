"""Somebody's own files: read under our names, refused with a sentence when they are not what the spec says."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from quant_platform.contracts.errors import PlatformError, SourceNotFound, SpecError
from quant_platform.sources.open import open_panel_source, open_source
from quant_platform.sources.panel_files import PanelSource
from quant_platform.specification.sources import SourceSpec

TODAY = date(2024, 6, 3)
RETURNS = {
    "path": "ret.csv",
    "ticker": "id",
    "session": "day",
    "ret": "r",
    "ret_open_to_close": "intraday",
    "unit": "per_cent",
    "decimal": ",",
    "separator": ";",
    "date_format": "%d.%m.%Y",
}
ROWS = """id;day;r;intraday
abc-x;04.01.2024;-2,0;
abc-x;03.01.2024;1,5;0,5
7;03.01.2024;;
7;04.01.2024;0,25;0,25
"""
DESCRIPTORS = {
    "path": "desc.csv",
    "ticker": "id",
    "session": "day",
    "adv": "adv",
    "market_cap": "cap",
    "industry": "gics",
    "member": "in",
}


def spec(**sections: Any) -> SourceSpec:
    return SourceSpec.model_validate(
        {
            "name": "mine",
            "description": "Mine.",
            "kind": "panel",
            "exchange": "XNYS",
            "universe": "mine",
            "adjustment": "split_dividend",
            "panel": {"returns": RETURNS, "ticker": {"replace": {"-": "."}}} | sections,
        }
    )


def opened(folder: Path, rows: str = ROWS, **sections: Any) -> PanelSource:
    (folder / "ret.csv").write_text(rows)
    return open_panel_source(spec(**sections), folder, today=TODAY)


def test_returns_are_fractions_under_our_names(tmp_path: Path) -> None:
    source = opened(tmp_path)
    assert source.returns.rows() == [
        ("7", date(2024, 1, 3), None, None, None),
        ("7", date(2024, 1, 4), 0.0025, 0.0025, None),
        ("ABC.X", date(2024, 1, 3), 0.015, 0.005, None),
        ("ABC.X", date(2024, 1, 4), -0.02, None, None),
    ]
    assert source.tickers() == ["7", "ABC.X"]
    assert source.span == (date(2024, 1, 3), date(2024, 1, 4))
    assert source.dates is None
    assert source.descriptors.is_empty()
    assert source.reading_report() == ()


def test_a_row_between_others_without_a_return_is_left_out_and_named(tmp_path: Path) -> None:
    source = opened(tmp_path, ROWS + "7;05.01.2024;;\n7;08.01.2024;1,0;\n")
    assert date(2024, 1, 5) not in source.returns["session"].to_list()
    (finding,) = source.reading_report()
    assert (finding.kind, finding.rows, finding.total) == ("rows_without_returns", 1, 6)
    assert finding.examples == ("7 2024-01-05",)


def test_descriptors_risk_and_dates_of_csv_and_parquet(tmp_path: Path) -> None:
    (tmp_path / "desc.csv").write_text(
        "id,day,adv,cap,gics,in\nabc-x,2024-01-03,1e6,5e9, Energy ,TRUE\n7,2024-01-03,2e6,,,0\n8,2024-01-03,1,1,X,1\n"
    )
    pl.DataFrame(
        {"id": ["abc-x"], "day": [date(2024, 1, 2)], "BETA": [1.5], "unused": ["x"]},
    ).write_parquet(tmp_path / "risk.parquet")
    (tmp_path / "dates.csv").write_text("d\n2024-01-04\n2024-01-03\n")
    source = opened(
        tmp_path,
        descriptors=DESCRIPTORS,
        risk={"path": "risk.parquet", "ticker": "id", "session": "day", "columns": {"beta": "BETA"}},
        dates={"path": "dates.csv", "session": "d"},
    )
    assert source.descriptors.rows() == [
        ("7", date(2024, 1, 3), 2e6, None, None, 0.0),
        ("8", date(2024, 1, 3), 1.0, 1.0, "X", 1.0),
        ("ABC.X", date(2024, 1, 3), 1e6, 5e9, "Energy", 1.0),
    ]
    assert source.risk.rows() == [("ABC.X", date(2024, 1, 2), 1.5)]
    assert source.dates is not None
    assert source.dates.to_list() == [date(2024, 1, 3), date(2024, 1, 4)]
    (finding,) = source.reading_report()
    assert (finding.kind, finding.rows, finding.examples) == ("unmatched_names", 1, ("8",))
    assert set(source.content_hashes()) == {"returns", "descriptors", "risk", "dates"}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("id;day;r\na;03.01.2024;1,0\n", "does not have the column 'intraday'"),
        ("id;day;r;intraday\n", "a header and no rows"),
        (ROWS + "7;04.01.2024;1,0;\n", "several rows have the same name and date"),
        (ROWS + "x y;04.01.2024;1,0;\n", "'X Y' is not a ticker"),
        (ROWS + ";04.01.2024;1,0;\n", "rows have no ticker"),
        (ROWS + "7;05.06.2024;1,0;\n", "rows are dated after today, 2024-06-03"),
        (ROWS + "7;2024-01-05;1,0;\n", "holds dates that are not"),
        (ROWS + "7;05.01.2024;one;\n", "holds text that is not a number"),
        (ROWS + "7;05.01.2024;-101,0;\n", "holds returns below minus one"),
        (ROWS.replace("2,0", "60,0").replace("1,5", "55,0").replace("0,25;", "70,0;"), "usual return .* no market has"),
    ],
)
def test_a_file_of_returns_that_is_not_what_the_spec_says_is_refused(tmp_path: Path, rows: str, said: str) -> None:
    with pytest.raises(PlatformError, match=said) as found:
        _ = opened(tmp_path, rows).returns
    assert "ret.csv" in str(found.value)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a,2024-01-03,-1,1,X,1", "'adv' holds values below zero"),
        ("a,2024-01-03,1,1,X,perhaps", "'in' holds what is neither true nor false"),
    ],
)
def test_a_file_of_descriptors_that_cannot_be_is_refused(tmp_path: Path, row: str, said: str) -> None:
    (tmp_path / "desc.csv").write_text(f"id,day,adv,cap,gics,in\n{row}\n")
    with pytest.raises(PlatformError, match=said):
        _ = opened(tmp_path, descriptors=DESCRIPTORS).descriptors


def test_what_is_not_there_or_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    source = opened(tmp_path, dates={"path": "dates.csv", "session": "d"})
    with pytest.raises(SourceNotFound, match="the file does not exist"):
        _ = source.dates
    (tmp_path / "dates.csv").write_text("d\n2024-01-03\n2024-01-03\n")
    with pytest.raises(PlatformError, match="trading dates are repeated"):
        _ = source.dates
    outside = opened(tmp_path, dates={"path": "../dates.csv", "session": "d"})
    with pytest.raises(SpecError, match="leaves the folder"):
        _ = outside.dates
    elsewhere = opened(tmp_path, dates={"path": "dates.csv", "session": "d", "location": "calendar"})
    with pytest.raises(SpecError, match="--location calendar=FOLDER"):
        _ = elsewhere.dates
    with pytest.raises(SourceNotFound, match="has returns and no price bars"):
        open_source(spec(), tmp_path)
    with pytest.raises(SourceNotFound, match="the folder of the source does not exist"):
        open_panel_source(spec(), tmp_path / "nowhere")
