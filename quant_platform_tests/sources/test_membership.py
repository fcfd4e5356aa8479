from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from quant_platform.contracts.errors import SourceMalformed
from quant_platform.contracts.schemas.raw import StatedSecurities
from quant_platform.sources.files.sections import read_membership
from quant_platform_tests.sources.builders import shipped


def read(folder: Path, text: str) -> list[tuple[object, ...]]:
    spec = shipped("sp500_daily")
    assert spec.files is not None
    assert spec.files.membership is not None
    path = folder / "members.csv"
    path.write_text(f"ticker,start_date,end_date\n{text}", encoding="utf-8")
    frame = StatedSecurities.validate(read_membership(path, spec.files.membership, spec, spec.files).rows)
    return frame.select("ticker", "start_date", "end_date").rows()


def test_an_exclusive_end_becomes_the_last_session_inside(tmp_path: Path) -> None:
    # 2017-06-19 was a Monday: the last session as a member was Friday the 16th.
    assert read(tmp_path, "AABA,1999-12-08,2017-06-19\n") == [("AABA", date(1999, 12, 8), date(2017, 6, 16))]


def test_a_reused_ticker_keeps_all_its_intervals_and_an_open_one_stays_open(tmp_path: Path) -> None:
    assert read(tmp_path, "AAL,2015-03-23,\nAAL,1996-01-02,1997-01-15\n") == [
        ("AAL", date(1996, 1, 2), date(1997, 1, 14)),
        ("AAL", date(2015, 3, 23), None),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A,2020-01-02,2010-01-04\n", "end before they start"),
        ("A,2020-01-02,\nA,2020-01-02,2021-01-04\n", "stated twice"),
        ("A,soon,\n", "line 2"),
        ("A,2020-01-02,never\n", "value=never"),
        ("../../x,2020-01-02,\n", "is not a ticker"),
    ],
)
def test_malformed_membership(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SourceMalformed, match=message):
        read(tmp_path, text)
